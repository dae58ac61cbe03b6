//! `infer`

use clap::Args;
use protocol::{
    DeviceId, HiveId, ModelRef, WorkerId,
    inference::{Message, Role},
    operation::Infer,
};

use super::values::parse_number;
use crate::cli::names;

/// `infer`
#[derive(Debug, Args)]
pub struct InferArgs {
    /// The text to continue; `-` reads it from stdin
    #[arg(value_name = "PROMPT")]
    pub prompt: String,
    /// With which model
    #[arg(long, short, value_name = "MODEL", default_value = "demo", add = names::models())]
    pub model: ModelRef,
    /// Only on this machine
    #[arg(long, value_name = "ALIAS", add = names::hives())]
    pub hive: Option<HiveId>,
    /// Only by this worker
    #[arg(long, value_name = "ID", add = names::workers())]
    pub worker_id: Option<WorkerId>,
    /// Only on this device
    #[arg(long, value_name = "DEVICE", add = names::devices())]
    pub device: Option<DeviceId>,
    /// How many tokens at most [default: 256]
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<u32>,
    /// 0 to 2; 0 always takes the likeliest token [default: 0.7]
    #[arg(long, value_name = "T", value_parser = parse_number, allow_negative_numbers = true)]
    pub temperature: Option<f64>,
    /// Keep the smallest set of tokens whose probability reaches this
    #[arg(long, value_name = "P", value_parser = parse_number, allow_negative_numbers = true)]
    pub top_p: Option<f64>,
    /// Keep this many of the likeliest tokens
    #[arg(long, value_name = "K")]
    pub top_k: Option<u32>,
    /// Drop tokens less likely than this times the likeliest one
    #[arg(long, value_name = "P", value_parser = parse_number, allow_negative_numbers = true)]
    pub min_p: Option<f64>,
    /// Above 1, tokens already seen become less likely
    #[arg(long, value_name = "R", value_parser = parse_number, allow_negative_numbers = true)]
    pub repetition_penalty: Option<f64>,
    /// Equal seeds give equal text
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// End before this text would appear; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,
    /// Send the prompt as a message of a conversation
    #[arg(long)]
    pub chat: bool,
    /// Wait for the whole text
    #[arg(long)]
    pub no_stream: bool,
}

impl InferArgs {
    /// The operation, with this prompt.
    pub fn operation(&self, prompt: String) -> Infer {
        let mut infer = Infer::new(prompt, self.model.clone());
        if self.chat {
            infer.messages =
                infer.prompt.take().map(|content| vec![Message { role: Role::User, content }]);
        }
        infer.hive_id = self.hive.clone();
        infer.worker_id = self.worker_id.clone();
        infer.device = self.device.clone();
        infer.max_tokens = self.max_tokens.unwrap_or(infer.max_tokens);
        infer.temperature = self.temperature.unwrap_or(infer.temperature);
        infer.top_p = self.top_p;
        infer.top_k = self.top_k;
        infer.min_p = self.min_p;
        infer.repetition_penalty = self.repetition_penalty;
        infer.seed = self.seed;
        infer.stop = self.stop.clone();
        infer.stream = !self.no_stream;
        infer
    }
}

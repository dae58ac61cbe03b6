//! The fields of what the queen carries out.

use serde::{Deserialize, Serialize};

use crate::{
    DeviceId, HiveId, ModelRef, WorkerId, bounds,
    inference::{Message, default_max_tokens, default_temperature},
};

/// Fields of `status`: none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {}

/// Fields of `hive_list`: none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HiveList {}

macro_rules! alias_operation {
    ($($(#[$doc:meta])* $name:ident $(, $default:ident)?;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// The machine.
            $(#[serde($default)])?
            pub alias: HiveId,
        }
    )+};
}

alias_operation! {
    /// Fields of `hive_start`.
    HiveStart, default;
    /// Fields of `hive_stop`.
    HiveStop, default;
    /// Fields of `hive_get`.
    HiveGet, default;
    /// Fields of `hive_status`.
    HiveStatus, default;
    /// Fields of `hive_refresh_capabilities`.
    HiveRefreshCapabilities, default;
}

/// Fields of `ssh_test`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SshTest {
    /// The machine.
    pub alias: HiveId,
    /// Where it is: `[user@]host[:port]`; absent: what the files say of the
    /// alias, and else the alias itself, as ssh knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<String>,
    /// The fingerprint of the machine's key, which notes it as known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
}

/// Fields of `hive_uninstall`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HiveUninstall {
    /// The machine.
    pub alias: HiveId,
    /// The models that the hive downloaded go as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub purge: bool,
    /// Only the queen forgets it: the machine is gone for good.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forget: bool,
}

/// Fields of `hive_install`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HiveInstall {
    /// The machine.
    pub alias: HiveId,
    /// Where the binaries for that machine are; absent: as `hives.conf` says,
    /// or this build's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary_path: Option<String>,
    /// As in `ssh_test`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<String>,
    /// As in `ssh_test`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
}

/// Fields of `hive_update`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HiveUpdate {
    /// The machine.
    pub alias: HiveId,
    /// As in `hive_install`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary_path: Option<String>,
    /// An older version may take the place of a newer one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_downgrade: bool,
}

/// Fields of `infer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Infer {
    /// Text to continue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// A conversation to answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<Message>>,
    /// Which model.
    pub model: ModelRef,
    /// Only on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hive_id: Option<HiveId>,
    /// Only by this worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<WorkerId>,
    /// Only on this device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// How many tokens at most.
    #[serde(default = "default_max_tokens", deserialize_with = "bounds::max_tokens")]
    pub max_tokens: u32,
    /// 0 to 2; 0 always takes the likeliest token.
    #[serde(default = "default_temperature", deserialize_with = "bounds::temperature")]
    pub temperature: f64,
    /// Keep the smallest set of tokens whose probability reaches this.
    #[serde(
        default,
        deserialize_with = "bounds::fraction",
        skip_serializing_if = "Option::is_none"
    )]
    pub top_p: Option<f64>,
    /// Keep this many of the likeliest tokens.
    #[serde(default, deserialize_with = "bounds::top_k", skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Drop tokens less likely than this times the likeliest one.
    #[serde(
        default,
        deserialize_with = "bounds::fraction",
        skip_serializing_if = "Option::is_none"
    )]
    pub min_p: Option<f64>,
    /// Above 1, tokens already seen become less likely.
    #[serde(
        default,
        deserialize_with = "bounds::repetition_penalty",
        skip_serializing_if = "Option::is_none"
    )]
    pub repetition_penalty: Option<f64>,
    /// Equal seeds give equal text; absent: a new one each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Generation ends before the first of these would appear.
    #[serde(default, deserialize_with = "bounds::stop", skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// `false`: the text comes once, in the result.
    #[serde(default = "yes")]
    pub stream: bool,
}

impl Infer {
    /// Continue `prompt` with `model`, everything else as documented.
    pub fn new(prompt: impl Into<String>, model: ModelRef) -> Self {
        Self {
            prompt: Some(prompt.into()),
            messages: None,
            model,
            hive_id: None,
            worker_id: None,
            device: None,
            max_tokens: default_max_tokens(),
            temperature: default_temperature(),
            top_p: None,
            top_k: None,
            min_p: None,
            repetition_penalty: None,
            seed: None,
            stop: Vec::new(),
            stream: true,
        }
    }
}

fn yes() -> bool {
    true
}

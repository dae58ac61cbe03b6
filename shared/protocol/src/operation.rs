//! Operations: what a job can be asked to do, and the only parser of them.
//!
//! An operation is one flat object tagged by `operation`, in snake_case. The
//! two older documented forms are turned into it by [`normalise()`] at the door.
//! The whole operation is checked by [`Operation::parse`], so that nothing
//! wrong is found a line later in the stream.
//!
//! There are two enums: the queen's and the hive's. A hive's code takes a
//! [`HiveOperation`] and so cannot be handed a queen's.

mod normalise;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use normalise::normalise;

use crate::{
    ApiError, DeviceId, ErrorCode, HiveId, ModelRef, WorkerId, bounds, fields,
    inference::{Message, default_max_tokens, default_temperature},
    model::Revision,
    suggest::nearest,
};

macro_rules! operations {
    ($(#[$doc:meta])* $enum:ident { $($(#[$variant_doc:meta])* $name:literal => $variant:ident($fields:ty),)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(tag = "operation", rename_all = "snake_case")]
        pub enum $enum {
            $($(#[$variant_doc])* $variant($fields),)+
        }

        impl $enum {
            /// Every name, in the documented order.
            pub const NAMES: &[&str] = &[$($name),+];

            /// The name on the wire.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)+
                }
            }

            /// `None` when the name is not one of these.
            fn from_fields(name: &str, fields: Map<String, Value>) -> Option<Result<Self, ApiError>> {
                match name {
                    $($name => Some(fields::read(name, Value::Object(fields)).map(Self::$variant)),)+
                    _ => None,
                }
            }
        }

        $(impl From<$fields> for $enum {
            fn from(fields: $fields) -> Self {
                Self::$variant(fields)
            }
        })+
    };
}

operations! {
    /// What the queen carries out herself.
    QueenOperation {
        /// The fleet as it is.
        "status" => Status(Status),
        /// Whether a machine can be reached over SSH and used.
        "ssh_test" => SshTest(SshTest),
        /// Put rbee on a machine over SSH.
        "hive_install" => HiveInstall(HiveInstall),
        /// Take rbee off a machine.
        "hive_uninstall" => HiveUninstall(HiveUninstall),
        /// Replace rbee's binaries on a machine.
        "hive_update" => HiveUpdate(HiveUpdate),
        /// Start a machine's daemon.
        "hive_start" => HiveStart(HiveStart),
        /// Stop a machine's daemon and its workers.
        "hive_stop" => HiveStop(HiveStop),
        /// A machine's record.
        "hive_get" => HiveGet(HiveGet),
        /// Whether a machine's daemon answers.
        "hive_status" => HiveStatus(HiveStatus),
        /// Ask a machine again what it has.
        "hive_refresh_capabilities" => HiveRefreshCapabilities(HiveRefreshCapabilities),
        /// All known machines.
        "hive_list" => HiveList(HiveList),
        /// Generate text. Boxed, because it is many times the size of the rest.
        "infer" => Infer(Box<Infer>),
    }
}

operations! {
    /// What a hive carries out; the queen forwards it.
    HiveOperation {
        /// Start a worker with a model.
        "worker_spawn" => WorkerSpawn(WorkerSpawn),
        /// All workers.
        "worker_list" => WorkerList(WorkerList),
        /// A worker's record.
        "worker_get" => WorkerGet(WorkerGet),
        /// Stop a worker and forget it.
        "worker_delete" => WorkerDelete(WorkerDelete),
        /// Fetch a model.
        "model_download" => ModelDownload(ModelDownload),
        /// All models on disk.
        "model_list" => ModelList(ModelList),
        /// A model's record.
        "model_get" => ModelGet(ModelGet),
        /// Remove a model from disk.
        "model_delete" => ModelDelete(ModelDelete),
    }
}

impl From<Infer> for QueenOperation {
    fn from(fields: Infer) -> Self {
        Self::Infer(Box::new(fields))
    }
}

/// What the keeper and the queen speak: either kind, untagged on the wire.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Operation {
    /// The queen does it.
    Queen(QueenOperation),
    /// A hive does it.
    Hive(HiveOperation),
}

impl Operation {
    /// Reads and checks the body of `POST /v1/jobs`.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let (name, fields) = read_form(body)?;
        if let Some(operation) = QueenOperation::from_fields(&name, fields.clone()) {
            return operation?.checked().map(Self::Queen);
        }
        match HiveOperation::from_fields(&name, fields) {
            Some(operation) => operation.map(Self::Hive),
            None => Err(unknown_operation(&name)),
        }
    }

    /// The name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Queen(operation) => operation.name(),
            Self::Hive(operation) => operation.name(),
        }
    }

    /// What the operation concerns, as a job's record shows it.
    pub fn target(&self) -> Target {
        match self {
            Self::Queen(operation) => operation.target(),
            Self::Hive(operation) => operation.target(),
        }
    }
}

impl From<QueenOperation> for Operation {
    fn from(operation: QueenOperation) -> Self {
        Self::Queen(operation)
    }
}

impl From<HiveOperation> for Operation {
    fn from(operation: HiveOperation) -> Self {
        Self::Hive(operation)
    }
}

/// What an operation concerns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// The machine.
    pub hive_id: Option<HiveId>,
    /// The worker.
    pub worker_id: Option<WorkerId>,
    /// The model.
    pub model: Option<ModelRef>,
}

impl QueenOperation {
    /// What the operation concerns.
    pub fn target(&self) -> Target {
        let alias = match self {
            Self::Status(_) | Self::HiveList(_) => return Target::default(),
            Self::Infer(infer) => {
                return Target {
                    hive_id: infer.hive_id.clone(),
                    worker_id: infer.worker_id.clone(),
                    model: Some(infer.model.clone()),
                };
            }
            Self::SshTest(it) => &it.alias,
            Self::HiveInstall(it) => &it.alias,
            Self::HiveUninstall(it) => &it.alias,
            Self::HiveUpdate(it) => &it.alias,
            Self::HiveStart(it) => &it.alias,
            Self::HiveStop(it) => &it.alias,
            Self::HiveGet(it) => &it.alias,
            Self::HiveStatus(it) => &it.alias,
            Self::HiveRefreshCapabilities(it) => &it.alias,
        };
        Target { hive_id: Some(alias.clone()), ..Target::default() }
    }

    /// What no single field can say.
    fn checked(self) -> Result<Self, ApiError> {
        if let Self::Infer(infer) = &self {
            check_prompt(infer.prompt.is_some(), infer.messages.as_deref())?;
        }
        Ok(self)
    }
}

impl HiveOperation {
    /// As [`Operation::parse`], on a hive: a queen's operation is refused by
    /// name, whatever its fields, because mending them here would be in vain.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let (name, fields) = read_form(body)?;
        match Self::from_fields(&name, fields) {
            Some(operation) => operation,
            None if QueenOperation::NAMES.contains(&name.as_str()) => Err(ApiError::new(
                ErrorCode::NotAHiveOperation,
                format!("`{name}` is carried out by the queen, not by a hive"),
            )
            .with_hint(format!(
                "POST it to the queen, by default http://{}",
                crate::routes::QUEEN_ADDRESS
            ))),
            None => Err(unknown_operation(&name)),
        }
    }

    /// The machine it is for; `None` means every machine.
    pub fn hive_id(&self) -> Option<&HiveId> {
        match self {
            Self::WorkerSpawn(it) => Some(&it.hive_id),
            Self::ModelDownload(it) => Some(&it.hive_id),
            Self::ModelGet(it) => Some(&it.hive_id),
            Self::ModelDelete(it) => Some(&it.hive_id),
            Self::WorkerList(it) => it.hive_id.as_ref(),
            Self::ModelList(it) => it.hive_id.as_ref(),
            Self::WorkerGet(it) => it.hive_id.as_ref(),
            Self::WorkerDelete(it) => it.hive_id.as_ref(),
        }
    }

    /// What the operation concerns.
    pub fn target(&self) -> Target {
        let (worker_id, model) = match self {
            Self::WorkerSpawn(it) => (None, Some(&it.model)),
            Self::ModelDownload(it) => (None, Some(&it.model)),
            Self::ModelGet(it) => (None, Some(&it.id)),
            Self::ModelDelete(it) => (None, Some(&it.id)),
            Self::WorkerGet(it) => (Some(&it.worker_id), None),
            Self::WorkerDelete(it) => (Some(&it.worker_id), None),
            Self::WorkerList(_) | Self::ModelList(_) => (None, None),
        };
        Target {
            hive_id: self.hive_id().cloned(),
            worker_id: worker_id.cloned(),
            model: model.cloned(),
        }
    }
}

/// The name and the fields of a body in any of the documented forms.
fn read_form(body: &[u8]) -> Result<(String, Map<String, Value>), ApiError> {
    normalise(fields::json(body).map_err(|error| error.with_hint(EXAMPLE))?)
}

const EXAMPLE: &str = r#"send one operation, such as {"operation":"status"}"#;

/// Exactly one of `prompt` and `messages`, and something in it.
fn check_prompt(has_prompt: bool, messages: Option<&[Message]>) -> Result<(), ApiError> {
    let invalid = |message: &str| Err(ApiError::new(ErrorCode::InvalidField, message));
    match (has_prompt, messages) {
        (false, None) => Err(ApiError::new(
            ErrorCode::MissingField,
            "`infer` needs the field `prompt` or the field `messages`",
        )
        .with_hint(r#"such as "prompt":"Once upon a time""#)),
        (true, Some(_)) => invalid("`prompt` and `messages` exclude each other; send one of them"),
        (false, Some([])) => invalid("field `messages` must hold at least one message"),
        _ => Ok(()),
    }
}

fn unknown_operation(name: &str) -> ApiError {
    let known = QueenOperation::NAMES.iter().chain(HiveOperation::NAMES).copied();
    let shown: String = name.chars().take(80).collect();
    let error = ApiError::new(ErrorCode::UnknownOperation, format!("unknown operation {shown:?}"));
    match nearest(name, known.clone()) {
        Some(near) => error.with_hint(format!("did you mean `{near}`?")),
        None => error.with_hint(format!("known: {}", known.collect::<Vec<_>>().join(", "))),
    }
}

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

/// Which device of a hive: by its name, or by its index among the devices of
/// the engine's kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum DeviceSelector {
    /// `GPU-0`, `CPU-0`.
    Id(DeviceId),
    /// 0, 1, ….
    Index(u32),
}

impl<'de> Deserialize<'de> for DeviceSelector {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        match Value::deserialize(d)? {
            Value::String(id) => id.parse().map(Self::Id).map_err(D::Error::custom),
            Value::Number(index) => index
                .as_u64()
                .and_then(|index| u32::try_from(index).ok())
                .map(Self::Index)
                .ok_or_else(|| D::Error::custom("must be a small whole number or a name")),
            _ => Err(D::Error::custom("must be a device such as \"GPU-0\", or its index")),
        }
    }
}

/// The kind of engine a worker is built with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    /// Processors.
    Cpu,
    /// NVIDIA GPUs.
    Cuda,
    /// Apple GPUs.
    Metal,
}

/// Fields of `worker_spawn`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerSpawn {
    /// The machine.
    #[serde(default)]
    pub hive_id: HiveId,
    /// What to run.
    pub model: ModelRef,
    /// On what; absent: the best that fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceSelector>,
    /// With which engine; absent: the device's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<EngineKind>,
    /// How many requests at once.
    #[serde(default, deserialize_with = "bounds::slots", skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    /// How many tokens its context holds; absent: what the model was made for.
    #[serde(
        default,
        deserialize_with = "bounds::context_length",
        skip_serializing_if = "Option::is_none"
    )]
    pub context_length: Option<u32>,
    /// How many threads on a processor; absent: its share of the free cores.
    #[serde(
        default,
        deserialize_with = "bounds::threads",
        skip_serializing_if = "Option::is_none"
    )]
    pub threads: Option<u32>,
}

impl WorkerSpawn {
    /// Run `model` on `hive_id`, everything else as documented.
    pub fn new(hive_id: HiveId, model: ModelRef) -> Self {
        Self {
            hive_id,
            model,
            device: None,
            worker: None,
            slots: None,
            context_length: None,
            threads: None,
        }
    }
}

/// Fields of `worker_list`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerList {
    /// Absent: every machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hive_id: Option<HiveId>,
}

/// Fields of `worker_get`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerGet {
    /// Absent: wherever it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hive_id: Option<HiveId>,
    /// The worker.
    #[serde(alias = "id")]
    pub worker_id: WorkerId,
}

/// Fields of `worker_delete`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerDelete {
    /// Absent: wherever it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hive_id: Option<HiveId>,
    /// The worker.
    #[serde(alias = "id")]
    pub worker_id: WorkerId,
}

/// Fields of `model_download`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelDownload {
    /// The machine.
    #[serde(default)]
    pub hive_id: HiveId,
    /// What to fetch.
    pub model: ModelRef,
    /// Which branch, tag or commit; absent: `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
}

/// Fields of `model_list`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelList {
    /// Absent: every machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hive_id: Option<HiveId>,
}

/// Fields of `model_get`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelGet {
    /// The machine.
    #[serde(default)]
    pub hive_id: HiveId,
    /// The model.
    pub id: ModelRef,
    /// Ask the hub about a model that is not here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hub: bool,
}

/// Fields of `model_delete`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelDelete {
    /// The machine.
    #[serde(default)]
    pub hive_id: HiveId,
    /// The model.
    pub id: ModelRef,
}

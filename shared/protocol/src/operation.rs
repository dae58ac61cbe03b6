//! Operations: what a job can be asked to do, and the only parser of them.
//!
//! An operation is one flat object tagged by `operation`, in snake_case. The
//! two older documented forms are turned into it by [`normalise()`] at the door.
//! The whole operation is checked by [`Operation::parse`], so that nothing
//! wrong is found a line later in the stream.
//!
//! There are two enums: the queen's and the hive's. A hive's code takes a
//! [`HiveOperation`] and so cannot be handed a queen's.

mod hive;
mod normalise;
mod queen;

use serde::Serialize;
use serde_json::{Map, Value};

pub use self::{
    hive::{
        DeviceSelector, EngineKind, ModelDelete, ModelDownload, ModelGet, ModelList, WorkerDelete,
        WorkerGet, WorkerList, WorkerSpawn,
    },
    normalise::normalise,
    queen::{
        HiveGet, HiveInstall, HiveList, HiveRefreshCapabilities, HiveStart, HiveStatus, HiveStop,
        HiveUninstall, HiveUpdate, Infer, SshTest, Status,
    },
};
use crate::{
    ApiError, ErrorCode, HiveId, ModelRef, WorkerId, fields, inference::Message, suggest::nearest,
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

/// Whether an operation of this name takes away what nothing brings back, so
/// that a person is asked first.
pub fn is_destructive(name: &str) -> bool {
    matches!(name, "hive_stop" | "hive_uninstall" | "worker_delete" | "model_delete")
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

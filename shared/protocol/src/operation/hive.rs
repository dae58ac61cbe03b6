//! The fields of what a hive carries out.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{DeviceId, HiveId, ModelRef, WorkerId, bounds, model::Revision};

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

//! The messages of the feed.

use serde::{Deserialize, Serialize};

use super::{DeviceRecord, HiveRecord, QueenRecord, Snapshot, WorkerRecord};
use crate::{
    HiveId, JobId,
    job::{JobEvent, JobRecord},
    model::ModelRecord,
};

/// A line of narration in the feed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Narration {
    /// The job that says it.
    pub job_id: JobId,
    /// What it says.
    #[serde(flatten)]
    pub event: JobEvent,
}

/// A token in the feed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeedToken {
    /// The job it belongs to.
    pub job_id: JobId,
    /// Its text.
    pub text: String,
    /// Its place in the answer.
    pub index: u32,
}

/// A record that is no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// What was its id.
    pub id: String,
    /// For a device or a model, whose it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hive_id: Option<HiveId>,
    gone: True,
}

/// The literal `true`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct True;

impl Serialize for True {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(true)
    }
}

impl<'de> Deserialize<'de> for True {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if bool::deserialize(d)? {
            Ok(Self)
        } else {
            Err(serde::de::Error::custom("`gone` is true or absent"))
        }
    }
}

impl Gone {
    /// The record with this id is no more.
    pub fn new(id: impl ToString) -> Self {
        Self { id: id.to_string(), hive_id: None, gone: True }
    }

    /// What only its hive and its id together name is no more.
    pub fn on(hive_id: &HiveId, id: impl ToString) -> Self {
        Self { id: id.to_string(), hive_id: Some(hive_id.clone()), gone: True }
    }
}

/// A record, or the word that it is no more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Change<T> {
    /// It is no more.
    Gone(Gone),
    /// The whole new record.
    Now(Box<T>),
}

impl<T> From<T> for Change<T> {
    fn from(record: T) -> Self {
        Self::Now(Box::new(record))
    }
}

/// One message of the feed. The SSE `event:` name is the variant's.
#[derive(Debug, Clone, PartialEq)]
pub enum FeedEvent {
    /// Everything, first and after a gap.
    Snapshot(Box<Snapshot>),
    /// The queen's own record changed.
    Queen(Box<QueenRecord>),
    /// A machine changed.
    Hive(Change<HiveRecord>),
    /// A worker changed.
    Worker(Change<WorkerRecord>),
    /// A device changed.
    Device(Change<DeviceRecord>),
    /// A job changed.
    Job(Change<JobRecord>),
    /// A model on a machine's disk changed.
    Model(Change<ModelRecord>),
    /// Somebody says something.
    Narration(Narration),
    /// Somebody generates something.
    Token(FeedToken),
    /// This reader was too slow; a snapshot follows.
    Lagged,
}

impl FeedEvent {
    /// The SSE event name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Snapshot(_) => "snapshot",
            Self::Queen(_) => "queen",
            Self::Hive(_) => "hive",
            Self::Worker(_) => "worker",
            Self::Device(_) => "device",
            Self::Job(_) => "job",
            Self::Model(_) => "model",
            Self::Narration(_) => "narration",
            Self::Token(_) => "token",
            Self::Lagged => "lagged",
        }
    }

    /// The SSE data.
    pub fn data(&self) -> serde_json::Result<String> {
        match self {
            Self::Snapshot(it) => serde_json::to_string(it),
            Self::Queen(it) => serde_json::to_string(it),
            Self::Hive(it) => serde_json::to_string(it),
            Self::Worker(it) => serde_json::to_string(it),
            Self::Device(it) => serde_json::to_string(it),
            Self::Job(it) => serde_json::to_string(it),
            Self::Model(it) => serde_json::to_string(it),
            Self::Narration(it) => serde_json::to_string(it),
            Self::Token(it) => serde_json::to_string(it),
            Self::Lagged => Ok("{}".to_owned()),
        }
    }

    /// Reads a message back; `None` for a name from a newer version, which a
    /// reader passes over.
    pub fn parse(name: &str, data: &str) -> serde_json::Result<Option<Self>> {
        Ok(Some(match name {
            "snapshot" => Self::Snapshot(serde_json::from_str(data)?),
            "queen" => Self::Queen(serde_json::from_str(data)?),
            "hive" => Self::Hive(serde_json::from_str(data)?),
            "worker" => Self::Worker(serde_json::from_str(data)?),
            "device" => Self::Device(serde_json::from_str(data)?),
            "job" => Self::Job(serde_json::from_str(data)?),
            "model" => Self::Model(serde_json::from_str(data)?),
            "narration" => Self::Narration(serde_json::from_str(data)?),
            "token" => Self::Token(serde_json::from_str(data)?),
            "lagged" => Self::Lagged,
            _ => return Ok(None),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_from_a_newer_version_is_passed_over() {
        assert_eq!(FeedEvent::parse("galaxy", "not even JSON").unwrap(), None);
    }

    #[test]
    fn a_snapshot_and_a_hive_of_a_version_that_tells_of_no_models_are_read() {
        let hive = r#"{"id":"attic","url":"http://attic:9000","state":"ready","version":null,
            "last_seen_at":null,"reason":null}"#;
        let snapshot = format!(r#"{{"hives":[{hive}],"workers":[],"devices":[],"jobs":[]}}"#);
        let Ok(Some(FeedEvent::Snapshot(snapshot))) = FeedEvent::parse("snapshot", &snapshot)
        else {
            panic!("{snapshot}");
        };
        assert!(snapshot.models.is_empty() && snapshot.hives[0].disk.is_none());
    }

    #[test]
    fn a_model_that_is_gone_says_whose_it_was() {
        let gone = Gone::on(&"attic".parse().unwrap(), "org/repo:Q4_K_M");
        let event = FeedEvent::Model(Change::Gone(gone));
        let data = event.data().unwrap();
        assert_eq!(data, r#"{"id":"org/repo:Q4_K_M","hive_id":"attic","gone":true}"#);
        assert_eq!(FeedEvent::parse("model", &data).unwrap(), Some(event));
    }
}

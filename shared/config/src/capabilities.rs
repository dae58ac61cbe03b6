//! `capabilities.yaml`: what each hive last said it has.
//!
//! Written by the queen for people and their tools. No program of rbee's reads
//! it back: a hive speaks for itself, and what it said yesterday decides
//! nothing. So the file holds what this queen has heard since she started.

use std::{collections::BTreeMap, io, path::PathBuf};

use protocol::{HiveId, Timestamp, fleet::CapabilityDevice};
use serde::Serialize;

use crate::paths::replace_private_file;

const HEADER: &str = "\
# Written by queen-rbee whenever a hive comes up or is asked for its devices.
# Changes made here are overwritten and mean nothing to any program of rbee's.
";

/// The file, and what is to stand in it.
#[derive(Debug)]
pub struct CapabilitiesFile {
    path: PathBuf,
    document: Document,
}

/// Why the file was not written.
#[derive(Debug, thiserror::Error)]
pub enum CapabilitiesError {
    /// The system refuses.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Something in it cannot be YAML.
    #[error("cannot put into YAML what is to stand in {}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_saphyr::ser::Error,
    },
}

#[derive(Debug, Serialize)]
struct Document {
    last_updated: Timestamp,
    hives: BTreeMap<HiveId, Entry>,
}

#[derive(Debug, Serialize)]
struct Entry {
    alias: HiveId,
    endpoint: String,
    last_updated_ms: i64,
    devices: Vec<CapabilityDevice>,
}

impl CapabilitiesFile {
    /// A file that says nothing yet. Nothing is written.
    pub fn new(path: PathBuf) -> Self {
        let document = Document { last_updated: Timestamp::UNIX_EPOCH, hives: BTreeMap::new() };
        Self { path, document }
    }

    /// Notes what a hive has and writes the file, whole or not at all. Blocks
    /// until the disk has it.
    pub fn record(
        &mut self,
        alias: &HiveId,
        endpoint: &str,
        devices: Vec<CapabilityDevice>,
        now: Timestamp,
    ) -> Result<(), CapabilitiesError> {
        let entry = Entry {
            alias: alias.clone(),
            endpoint: endpoint.to_owned(),
            last_updated_ms: now.as_millisecond(),
            devices,
        };
        self.document.last_updated = now;
        self.document.hives.insert(alias.clone(), entry);
        let yaml = serde_saphyr::to_string(&self.document)
            .map_err(|source| CapabilitiesError::Encode { path: self.path.clone(), source })?;
        replace_private_file(&self.path, format!("{HEADER}{yaml}").as_bytes())
            .map_err(|source| CapabilitiesError::Write { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use protocol::fleet::DeviceKind;
    use serde_json::{Value, json};

    use super::*;

    fn gpu(name: &str) -> CapabilityDevice {
        CapabilityDevice {
            id: "GPU-0".parse().unwrap(),
            name: name.to_owned(),
            device_type: DeviceKind::Gpu,
            vram_gb: Some(24),
            compute_capability: Some("8.9".to_owned()),
            memory_bytes: Some(25_757_220_864),
            cores: None,
        }
    }

    #[test]
    fn every_hive_is_in_the_file_in_the_documented_shape() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("new/capabilities.yaml");
        let mut file = CapabilitiesFile::new(path.clone());
        let now = "2025-10-21T20:40:00.5Z".parse().unwrap();
        file.record(&HiveId::localhost(), "http://127.0.0.1:9000", vec![gpu("RTX 4090")], now)
            .unwrap();
        file.record(&"box".parse().unwrap(), "http://box:9000", Vec::new(), now).unwrap();

        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# Written by queen-rbee"), "{text}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(
            read,
            json!({
                "last_updated": "2025-10-21T20:40:00.5Z",
                "hives": {
                    "box": {
                        "alias": "box",
                        "endpoint": "http://box:9000",
                        "last_updated_ms": 1_761_079_200_500_i64,
                        "devices": [],
                    },
                    "localhost": {
                        "alias": "localhost",
                        "endpoint": "http://127.0.0.1:9000",
                        "last_updated_ms": 1_761_079_200_500_i64,
                        "devices": [{
                            "id": "GPU-0",
                            "name": "RTX 4090",
                            "device_type": "gpu",
                            "vram_gb": 24,
                            "compute_capability": "8.9",
                            "memory_bytes": 25_757_220_864_u64,
                            "cores": null,
                        }],
                    },
                },
            })
        );
    }

    #[test]
    fn no_name_of_a_device_can_break_out_of_its_line() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("capabilities.yaml");
        for name in ["a: b", "# c", "x\nhives: {}", "'\"", "- 1", "*x", "&x", "!t", "no", "8.9", ""]
        {
            let mut file = CapabilitiesFile::new(path.clone());
            file.record(&HiveId::localhost(), "http://a", vec![gpu(name)], Timestamp::UNIX_EPOCH)
                .unwrap();
            let read: Value = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            assert_eq!(read["hives"]["localhost"]["devices"][0]["name"], name);
        }
    }
}

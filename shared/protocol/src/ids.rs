//! Names that cross a socket, parsed once at the edge.
//!
//! An id that exists has been checked: it fits on a line, in a file name and
//! in an argument list, and cannot be mistaken for an option. Nothing else in
//! rbee needs to look at its characters again.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

/// Why a string is not an id; the sentence continues "must …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must {must}, got {got:?}")]
pub struct InvalidId {
    must: &'static str,
    got: String,
}

impl InvalidId {
    pub(crate) fn new(must: &'static str, got: &str) -> Self {
        // A hostile value must not fill a log line or an answer.
        const ECHO_MAX: usize = 80;
        let got = match got.char_indices().nth(ECHO_MAX) {
            Some((end, _)) => format!("{}…", &got[..end]),
            None => got.to_owned(),
        };
        Self { must, got }
    }
}

/// The shape shared by all plain ids: a letter or digit first, so that it is
/// never an option or a hidden file, then letters, digits, `.`, `_`, `-`.
pub(crate) fn is_plain(s: &str, length_max: usize) -> bool {
    s.len() <= length_max
        && s.starts_with(|c: char| c.is_ascii_alphanumeric())
        && s.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

macro_rules! string_id {
    ($(#[$doc:meta])* $name:ident, $must:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The id as it stands on the wire.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(s: &str) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(s) { Ok(Self(s.to_owned())) } else { Err(InvalidId::new($must, s)) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

string_id! {
    /// One job on one daemon: `job-…`.
    JobId,
    "be a job id such as `job-0d7c…` (letters, digits, `.`, `_`, `-`; at most 64)",
    |s| is_plain(s, 64)
}

string_id! {
    /// One worker's slot on its hive; it survives restarts of the process.
    WorkerId,
    "be a worker id such as `wk-3f9a` (letters, digits, `.`, `_`, `-`; at most 64)",
    |s| is_plain(s, 64)
}

string_id! {
    /// One inference request on one worker.
    RequestId,
    "be letters, digits, `.`, `_` and `-`, at most 64",
    |s| is_plain(s, 64)
}

string_id! {
    /// One machine, by the alias the operator gave it; `localhost` is this one.
    HiveId,
    "be a host alias (letters, digits, `.`, `_`, `-`, not starting with `-` or `.`; at most 128)",
    |s| is_plain(s, 128)
}

string_id! {
    /// One device of a hive: `GPU-0`, `CPU-0`, and `GPU-0:1` for an instance of
    /// a GPU that is divided into several.
    DeviceId,
    "be a device such as `GPU-0` or `CPU-0`",
    |s| {
        let is_number = |it: &str| {
            (1..=4).contains(&it.len()) && it.chars().all(|c| c.is_ascii_digit())
        };
        match s.split_once('-') {
            Some(("CPU", index)) => is_number(index),
            Some(("GPU", index)) => match index.split_once(':') {
                Some((index, instance)) => is_number(index) && is_number(instance),
                None => is_number(index),
            },
            _ => false,
        }
    }
}

string_id! {
    /// A model as a person names it: `demo`, `org/repo`,
    /// `org/repo:quantisation-or-file`, or the absolute path of a GGUF file on
    /// the hive.
    ModelRef,
    "be `demo`, `org/repo`, `org/repo:Q4_K_M`, `org/repo:file.gguf` or an absolute path ending in .gguf",
    is_model_ref
}

fn is_model_ref(s: &str) -> bool {
    if s == ModelRef::DEMO {
        return true;
    }
    if s.len() > 512 || s.chars().any(char::is_control) {
        return false;
    }
    if s.starts_with('/') {
        return s.ends_with(".gguf") && !s.split('/').any(|part| part == "..");
    }
    let (repo, selector) = match s.split_once(':') {
        Some((repo, selector)) => (repo, Some(selector)),
        None => (s, None),
    };
    let Some((org, name)) = repo.split_once('/') else {
        return false;
    };
    let inside_repo = |path: &str| path.split('/').all(|part| is_plain(part, 128));
    is_plain(org, 96) && is_plain(name, 96) && selector.is_none_or(inside_repo)
}

impl JobId {
    /// A new id; time-ordered, so ids sort by creation.
    pub fn generate() -> Self {
        Self(format!("job-{}", Uuid::now_v7().simple()))
    }

    /// Enough of the id to tell it from its neighbours on a screen: the random
    /// tail, because time-ordered ids share their beginning.
    pub fn short(&self) -> &str {
        let tail = self.0.len().saturating_sub(6);
        self.0.get(tail..).unwrap_or(&self.0)
    }
}

impl WorkerId {
    /// A new id, short enough to be typed.
    pub fn generate() -> Self {
        let id = Uuid::new_v4().simple().to_string();
        Self(format!("wk-{}", &id[..8]))
    }
}

impl RequestId {
    /// A new id.
    pub fn generate() -> Self {
        Self(format!("req-{}", Uuid::new_v4().simple()))
    }
}

impl HiveId {
    /// The machine the queen runs on.
    pub fn localhost() -> Self {
        Self("localhost".to_owned())
    }

    /// Whether this is the machine the queen runs on.
    pub fn is_localhost(&self) -> bool {
        self.0 == "localhost"
    }
}

impl Default for HiveId {
    fn default() -> Self {
        Self::localhost()
    }
}

impl ModelRef {
    const DEMO: &str = "demo";

    /// The model that every hive carries in itself.
    pub fn demo() -> Self {
        Self(Self::DEMO.to_owned())
    }

    /// Whether this is the model that every hive carries in itself.
    pub fn is_demo(&self) -> bool {
        self.0 == Self::DEMO
    }
}

impl DeviceId {
    /// The `index`th GPU.
    pub fn gpu(index: u32) -> Self {
        Self(format!("GPU-{index}"))
    }

    /// An instance of the `index`th GPU.
    pub fn gpu_instance(index: u32, instance: u32) -> Self {
        Self(format!("GPU-{index}:{instance}"))
    }

    /// The processor.
    pub fn cpu() -> Self {
        Self("CPU-0".to_owned())
    }

    /// Its number among the devices of its kind; of an instance, its GPU's.
    pub fn index(&self) -> usize {
        // The shape was checked when the id was parsed.
        let digits = self.0.split(['-', ':']).nth(1);
        digits.and_then(|index| index.parse().ok()).unwrap_or_default()
    }

    /// Whether this is a processor rather than a GPU.
    pub fn is_cpu(&self) -> bool {
        self.0.starts_with("CPU")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused_wherever_an_id_is_read() {
        for hostile in [
            "",
            "-oProxyCommand=id",
            ".hidden",
            "a b",
            "a\nb",
            "a/../b",
            "$(id)",
            "a;b",
            "%h",
            "a\u{202e}b",
            "\"",
        ] {
            assert!(hostile.parse::<HiveId>().is_err(), "{hostile:?} passed as a hive");
            assert!(hostile.parse::<WorkerId>().is_err(), "{hostile:?} passed as a worker");
            assert!(hostile.parse::<JobId>().is_err(), "{hostile:?} passed as a job");
        }
        assert!("x".repeat(65).parse::<JobId>().is_err());
    }

    #[test]
    fn a_model_is_named_the_documented_ways_and_no_other() {
        for good in [
            "demo",
            "TheBloke/TinyLlama-1.1B-GGUF",
            "org/repo:Q4_K_M",
            "org/repo:sub/file.gguf",
            "/models/a b.gguf",
        ] {
            assert!(good.parse::<ModelRef>().is_ok(), "{good}");
        }
        for bad in [
            "tinyllama",
            "org/",
            "org/../etc",
            "org/repo:",
            "org/repo:../x",
            "/etc/passwd",
            "/a/../b.gguf",
        ] {
            assert!(bad.parse::<ModelRef>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_device_is_a_kind_and_an_index() {
        assert_eq!("GPU-12".parse::<DeviceId>().unwrap().index(), 12);
        assert_eq!("GPU-3:1".parse::<DeviceId>().unwrap().index(), 3);
        assert_eq!("GPU-3:1".parse::<DeviceId>(), Ok(DeviceId::gpu_instance(3, 1)));
        for bad in
            ["gpu0", "GPU", "GPU-", "TPU-0", "GPU-x", "GPU-00000", "CPU-0:1", "GPU-0:", "GPU-0:1:2"]
        {
            assert!(bad.parse::<DeviceId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn generated_ids_parse_back() {
        let job = JobId::generate();
        assert_eq!(job.as_str().parse::<JobId>().as_ref(), Ok(&job));
        assert_eq!(job.short().len(), 6);
        let worker = WorkerId::generate();
        assert_eq!(worker.as_str().parse::<WorkerId>(), Ok(worker));
    }

    #[test]
    fn a_long_hostile_value_is_not_echoed_whole() {
        let error = "é ".repeat(500).parse::<HiveId>().unwrap_err().to_string();
        assert!(error.len() < 400, "{error}");
    }
}

//! How a value on the command line is read.

use std::time::Duration;

use clap::ValueEnum;
use protocol::{job::JobState, operation::DeviceSelector};

/// Whose completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU Bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
}

pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(digits);
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    let count = count.parse::<u64>().ok().and_then(|count| count.checked_mul(milliseconds));
    match count {
        Some(count) if count > 0 => Ok(Duration::from_millis(count)),
        _ => Err("must be a time such as 500ms, 30s, 5m or 1h".to_owned()),
    }
}

/// A number that JSON can carry.
pub(super) fn parse_number(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|number| number.is_finite())
        .ok_or_else(|| "must be a number such as 0.7".to_owned())
}

pub(super) fn parse_device_selector(text: &str) -> Result<DeviceSelector, String> {
    if let Ok(index) = text.parse() {
        return Ok(DeviceSelector::Index(index));
    }
    text.parse()
        .map(DeviceSelector::Id)
        .map_err(|error: protocol::ids::InvalidId| format!("{error}; or its index"))
}

pub(super) fn parse_job_state(text: &str) -> Result<JobState, String> {
    JobState::from_name(text)
        .ok_or_else(|| "must be queued, running, done, failed or cancelled".to_owned())
}

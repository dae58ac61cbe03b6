//! Tests of what not every machine can do.

use std::io::Write as _;

/// Says on the terminal that a test has seen nothing, and why. The test runner
/// shows nothing that a test which passes prints; this goes past it.
pub fn skip(test: &str, why: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stderr(), "SKIPPED {test}: {why}")?)
}

//! What is run on another machine: constants, all of them. Their arguments are
//! lines on stdin (see [`lifecycle::ssh::script`]).
//!
//! ```text
//! ~/.local/share/rbee-hive/  rbee-hive -> versions/<build>/rbee-hive
//!                            versions/<build>/{rbee-hive,llm-worker-rbee}
//!                            config/ data/ run/queen.sock
//! ~/.cache/rbee-hive/        models
//! ```

use std::time::Duration;

use lifecycle::ssh::Script;

macro_rules! script {
    ($name:literal) => {
        Script(concat!(include_str!("scripts/places.sh"), include_str!(concat!("scripts/", $name))))
    };
}

/// What the machine is and has.
pub(super) const FACTS: Script = script!("facts.sh");
/// Before the forwards of a new connection.
pub(super) const OPEN: Script = script!("open.sh");
/// A folder for a test of the tunnel, and its end.
pub(super) const LOOP: Script = script!("loop.sh");
pub(super) const UNLOOP: Script = script!("unloop.sh");
/// One program of a build.
pub(super) const PUT: Script = script!("put.sh");
/// Whether a build that has arrived runs there.
pub(super) const STAGE: Script = script!("stage.sh");
/// The build that counts from now on.
pub(super) const ACTIVATE: Script = script!("activate.sh");
pub(super) const START: Script = script!("start.sh");
pub(super) const STOP: Script = script!("stop.sh");
/// Away with other builds.
pub(super) const TIDY: Script = script!("tidy.sh");
pub(super) const REMOVE: Script = script!("remove.sh");

/// Where a build's folder of sockets is, below the home folder.
pub(super) const QUEEN_SOCKET: &str = ".local/share/rbee-hive/run/queen.sock";

/// A script that looks or writes a few files.
pub(super) const BRIEF: Duration = Duration::from_secs(30);
/// A script that starts or stops a hive: its workers may finish their work.
pub(super) const LONG: Duration = Duration::from_secs(120);

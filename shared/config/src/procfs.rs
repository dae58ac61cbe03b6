//! Facts about processes, read from `/proc`.
//!
//! rbee runs on Linux first, and this module with `lifecycle::process` is
//! where it shows: `/proc`, pidfds and `flock`. Another system needs its own
//! answer to the same three questions: which boot is this, when did that
//! process start, and whose session is it in.
//!
//! A pid alone identifies nothing, because pids are used again. Boot, pid and
//! start time together name one process for ever.

use std::{fs, io, path::Path};

/// What `/proc/<pid>/stat` says about one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The state letter: `R`, `S`, `D`, `T`, `Z`, …
    pub state: char,
    /// The session it belongs to, named by its leader's pid.
    pub session: u32,
    /// When it started, in clock ticks since boot (field 22).
    pub start_time: u64,
}

impl Stat {
    /// Whether it has ended and only waits for its parent to notice.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// What the kernel says about a process, or none if there is no such process.
pub fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(line: &[u8]) -> Option<Stat> {
    // The second field is the program's name in parentheses, and a program
    // may be called `a) R 1`: only the last parenthesis ends it.
    let after_name = line.iter().rposition(|&byte| byte == b')')? + 1;
    let rest = str::from_utf8(line.get(after_name..)?).ok()?;
    // The first of these is field 3 of proc_pid_stat(5).
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let session = fields.nth(2)?.parse().ok()?;
    let start_time = fields.nth(15)?.parse().ok()?;
    Some(Stat { state, session, start_time })
}

/// The identity of this boot: start times of another one mean nothing.
pub fn boot_id() -> io::Result<String> {
    let id = fs::read_to_string(Path::new("/proc/sys/kernel/random/boot_id"))?;
    Ok(id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_program_name_does_not_shift_the_fields() {
        let line = b"42 (a) Z 9 9 9) S 1 42 41 0 -1 4194560 101 0 0 0 0 0 0 0 20 0 1 0 16418 31334";
        let stat = parse_stat(line).unwrap();
        assert_eq!(stat, Stat { state: 'S', session: 41, start_time: 16_418 });
        assert_eq!(parse_stat(b"42 (short) S 1 2"), None);
        assert_eq!(parse_stat(b""), None);
    }

    #[test]
    fn this_process_is_alive_and_started_after_its_parent() {
        let this = stat(std::process::id()).unwrap();
        let parent = stat(std::os::unix::process::parent_id()).unwrap();
        assert!(!this.has_ended());
        assert!(this.start_time >= parent.start_time);
        assert_eq!(stat(u32::MAX), None);
    }

    #[test]
    fn the_boot_has_one_identity() {
        assert_eq!(boot_id().unwrap(), boot_id().unwrap());
        assert_eq!(boot_id().unwrap().len(), 36);
    }
}

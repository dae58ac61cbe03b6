//! Facts about processes, read from `/proc`.
//!
//! rbee runs on Linux first, and this module with `lifecycle::process` is
//! where it shows: `/proc`, pidfds and `flock`. Another system needs its own
//! answer to the same three questions: which boot is this, when did that
//! process start, and whose session is it in.
//!
//! A pid alone identifies nothing, because pids are used again. Boot, pid and
//! start time together name one process for ever.

use std::{fs, io};

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

/// Every process of this machine that can be seen from here.
pub fn pids() -> io::Result<Vec<u32>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// Whether `pid` was started with `entry` (`NAME=value`) in its environment.
/// What cannot be read, because the process is gone or another user's, does
/// not carry it.
pub fn was_started_with(pid: u32, entry: &str) -> bool {
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environ| environ.split(|&byte| byte == 0).any(|one| one == entry.as_bytes()))
}

/// How much memory a process has resident, in bytes.
pub fn memory_bytes(pid: u32) -> Option<u64> {
    let line = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(rustix::param::page_size() as u64)
}

/// The identity of this boot: start times of another one mean nothing.
pub fn boot_id() -> io::Result<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
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
    fn this_process_has_memory_and_nobody_has_none() {
        assert!(memory_bytes(std::process::id()).unwrap() > 100_000);
        assert_eq!(memory_bytes(u32::MAX), None);
    }

    #[test]
    fn a_process_is_found_by_what_it_was_started_with() {
        let mut child =
            std::process::Command::new("sleep").arg("1000").env("MARK", "mine").spawn().unwrap();
        let pid = child.id();
        assert!(pids().unwrap().contains(&pid));
        assert!(was_started_with(pid, "MARK=mine"));
        assert!(!was_started_with(pid, "MARK=min") && !was_started_with(pid, "ARK=mine"));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!was_started_with(pid, "MARK=mine"));
    }

    #[test]
    fn the_boot_has_one_identity() {
        assert_eq!(boot_id().unwrap(), boot_id().unwrap());
        assert_eq!(boot_id().unwrap().len(), 36);
    }
}

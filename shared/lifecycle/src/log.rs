//! The file that a launched process writes its output to.
//!
//! A file and never a pipe: a pipe's reader is the launcher, and a daemon
//! that outlives it would be stopped by the first line nobody reads.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use config::paths::create_private_dir;

/// A log longer than this is set aside before the next launch.
const LENGTH_MAX: u64 = 8 * 1024 * 1024;

/// Opens `path` to append to, readable by this user alone, and says where the
/// new part begins. A log that grew too long becomes `<path>.1` first, in the
/// place of the one before it.
pub(crate) fn open(path: &Path) -> io::Result<(File, u64)> {
    open_with_limit(path, LENGTH_MAX)
}

fn open_with_limit(path: &Path, length_max: u64) -> io::Result<(File, u64)> {
    if let Some(dir) = path.parent() {
        create_private_dir(dir)?;
    }
    if fs::metadata(path).is_ok_and(|log| log.len() > length_max) {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".1");
        fs::rename(path, PathBuf::from(aside))?;
    }
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let begin = log.metadata()?.len();
    Ok((log, begin))
}

/// The last `lines` of a log, from at most its last `max_bytes`; nothing if
/// there is no log. What is not UTF-8 is replaced.
pub fn log_tail(path: &Path, lines: usize, max_bytes: u64) -> Vec<String> {
    tail_since(path, 0, lines, max_bytes)
}

/// The same, of the part that begins at `begin`.
pub(crate) fn tail_since(path: &Path, begin: u64, lines: usize, max_bytes: u64) -> Vec<String> {
    // A log that cannot be read must not hide the error it was to explain.
    read_tail(path, begin, lines, max_bytes).unwrap_or_default()
}

fn read_tail(path: &Path, begin: u64, lines: usize, max_bytes: u64) -> io::Result<Vec<String>> {
    let mut log = File::open(path)?;
    let length = log.metadata()?.len();
    // Shorter than its beginning: somebody emptied it, so all of it is new.
    let begin = if begin > length { 0 } else { begin };
    let mut from = begin.max(length.saturating_sub(max_bytes));
    // One byte more tells a whole first line from the rest of one.
    let is_cut = from > begin;
    if is_cut {
        from -= 1;
    }
    log.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    log.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    if is_cut {
        let cut = bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |end| end + 1);
        bytes.drain(..cut);
    }
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<_> = text.lines().collect();
    Ok(all.iter().skip(all.len().saturating_sub(lines)).map(|&line| line.to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::fs::PermissionsExt};

    use super::*;

    fn log(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("logs/queen.log");
        let (mut file, begin) = open(&path).unwrap();
        assert_eq!(begin, 0);
        file.write_all(content).unwrap();
        (temp, path)
    }

    #[test]
    fn the_tail_is_the_last_lines_and_only_whole_ones() {
        let (_temp, path) = log(b"one\ntwo\nthree\nfour");
        assert_eq!(log_tail(&path, 2, 1000), ["three", "four"]);
        assert_eq!(log_tail(&path, 9, 1000), ["one", "two", "three", "four"]);
        assert_eq!(log_tail(&path, 9, 10), ["three", "four"]);
        assert_eq!(log_tail(&path, 9, 9), ["four"]);
        assert_eq!(log_tail(&path, 0, 1000), [""; 0]);
        assert_eq!(log_tail(&path, 9, 0), [""; 0]);
        assert_eq!(log_tail(Path::new("/nonexistent/log"), 9, 1000), [""; 0]);
    }

    #[test]
    fn bytes_that_are_not_text_are_replaced() {
        let (_temp, path) = log(b"\xff\xfe ok\r\n");
        assert_eq!(log_tail(&path, 1, 1000), ["\u{fffd}\u{fffd} ok"]);
    }

    #[test]
    fn a_later_launch_sees_its_own_lines_and_not_those_before_it() {
        let (_temp, path) = log(b"old\n");
        let (mut file, begin) = open(&path).unwrap();
        assert_eq!(tail_since(&path, begin, 9, 1000), [""; 0]);
        file.write_all(b"new\n").unwrap();
        assert_eq!(tail_since(&path, begin, 9, 1000), ["new"]);
        assert_eq!(log_tail(&path, 9, 1000), ["old", "new"]);
        fs::write(&path, "x\n").unwrap();
        assert_eq!(tail_since(&path, begin, 9, 1000), ["x"]);
    }

    #[test]
    fn a_log_that_grew_too_long_is_set_aside_once() {
        let (_temp, path) = log(b"first run\n");
        let aside = path.with_file_name("queen.log.1");
        let (mut file, begin) = open_with_limit(&path, 10).unwrap();
        assert_eq!((begin, aside.exists()), (10, false));
        file.write_all(b"second run\n").unwrap();
        let (_file, begin) = open_with_limit(&path, 10).unwrap();
        assert_eq!(begin, 0);
        assert_eq!(fs::read_to_string(&aside).unwrap(), "first run\nsecond run\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

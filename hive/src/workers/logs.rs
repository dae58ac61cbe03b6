//! What a worker has written: its output and its own log, page by page.
//!
//! Two files make one log. The process's output has its last words, such as a
//! panic; its own log, a new file every day, has the rest. A page never reads
//! more than a bounded piece of either.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    str::FromStr,
    time::SystemTime,
};

use protocol::logs::{LogLine, LogSource};
use serde_json::Value;

/// How much of one file a page reads.
const READ_MAX: u64 = 256 * 1024;
/// A longer line is cut: it is no line for a person.
const LINE_CHARS_MAX: usize = 4_096;

/// How far somebody has read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Position {
    output: Place,
    /// The file name of the worker's own log, and how far.
    log: Option<(String, u64)>,
}

/// How far in which file: a long output is set aside and another one gets its
/// name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Place {
    offset: u64,
    /// 0 when there was no file yet.
    inode: u64,
}

/// It is nothing that this hive has ever said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotAPosition;

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.output.offset, self.output.inode)?;
        match &self.log {
            Some((name, offset)) => write!(f, ":{offset}:{name}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Position {
    type Err = NotAPosition;

    fn from_str(s: &str) -> Result<Self, NotAPosition> {
        let mut parts = s.splitn(3, ':');
        let number = |part: Option<&str>| part.and_then(|it| it.parse().ok()).ok_or(NotAPosition);
        let (offset, inode) = parts.next().and_then(|it| it.split_once('.')).ok_or(NotAPosition)?;
        let output = Place { offset: number(Some(offset))?, inode: number(Some(inode))? };
        let log = match parts.next() {
            None => None,
            offset => {
                let offset = number(offset)?;
                Some((parts.next().ok_or(NotAPosition)?.to_owned(), offset))
            }
        };
        Ok(Self { output, log })
    }
}

/// Where a worker writes.
#[derive(Debug, Clone)]
pub(crate) struct LogFiles {
    /// The process's output.
    pub(crate) output: PathBuf,
    /// The folder of its own log.
    pub(crate) folder: PathBuf,
}

impl LogFiles {
    /// The newest `lines`, and where what comes next begins. Blocks.
    pub(crate) fn newest(&self, lines: usize) -> io::Result<(Vec<LogLine>, Position)> {
        let output = tail(&self.output)?;
        let name = self.names()?.pop();
        let log = name.as_deref().map(|name| tail(&self.folder.join(name))).transpose()?;
        let log = log.unwrap_or_default();
        let position = Position { output: output.place(), log: name.map(|name| (name, log.end())) };
        // Whoever wrote last is read last.
        let mut pieces = [(LogSource::Output, output), (LogSource::Log, log)];
        pieces.sort_by_key(|(_, piece)| piece.written_at);
        let mut all = vec![];
        for (source, piece) in &pieces {
            all.extend(piece.lines().filter_map(|line| shown(*source, line)));
        }
        let skipped = all.len().saturating_sub(lines);
        Ok((all.into_iter().skip(skipped).collect(), position))
    }

    /// What came after `position`, at most so many lines. Blocks.
    pub(crate) fn after(
        &self,
        position: Position,
        lines: usize,
    ) -> io::Result<(Vec<LogLine>, Position)> {
        let mut found = vec![];
        let output = self.output_after(position.output, lines, &mut found)?;
        let names = self.names()?;
        let mut log = position.log;
        // A name that is not in the folder is of a file that is gone, or made
        // up; either way the oldest one that is newer follows.
        if let Some((name, offset)) = log.as_mut().filter(|(name, _)| names.contains(name)) {
            let path = self.folder.join(&*name);
            let end = take(&path, *offset, LogSource::Log, lines, &mut found)?.offset;
            let is_drained = end == *offset;
            *offset = end;
            if !is_drained {
                return Ok((found, Position { output, log }));
            }
        }
        let next = names.iter().find(|name| log.as_ref().is_none_or(|(old, _)| *name > old));
        if let Some(name) = next {
            let end = take(&self.folder.join(name), 0, LogSource::Log, lines, &mut found)?;
            log = Some((name.clone(), end.offset));
        }
        Ok((found, Position { output, log }))
    }

    /// The rest of an output that was set aside before the one that has its
    /// name now: the last words of a process are there.
    fn output_after(
        &self,
        from: Place,
        lines: usize,
        found: &mut Vec<LogLine>,
    ) -> io::Result<Place> {
        let is_it = |path: &Path| fs::metadata(path).is_ok_and(|it| it.ino() == from.inode);
        if from.inode == 0 || is_it(&self.output) {
            return take(&self.output, from.offset, LogSource::Output, lines, found);
        }
        let mut aside = self.output.as_os_str().to_owned();
        aside.push(".1");
        let aside = PathBuf::from(aside);
        if is_it(&aside) {
            let end = take(&aside, from.offset, LogSource::Output, lines, found)?;
            // Between the two there is a moment without a file of that name.
            if end.offset != from.offset || !self.output.exists() {
                return Ok(end);
            }
        }
        take(&self.output, 0, LogSource::Output, lines, found)
    }

    /// The files of its own log; their names have the date, so they sort.
    fn names(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            Err(error) => return Err(error),
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<_> = names.filter(|name| name.ends_with(".log")).collect();
        names.sort();
        Ok(names)
    }
}

/// Whole lines of a file.
#[derive(Debug, Default)]
struct Piece {
    bytes: Vec<u8>,
    begin: u64,
    inode: u64,
    written_at: Option<SystemTime>,
}

impl Piece {
    fn end(&self) -> u64 {
        self.begin + self.bytes.len() as u64
    }

    fn place(&self) -> Place {
        Place { offset: self.end(), inode: self.inode }
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.split_inclusive(|byte| *byte == b'\n')
    }
}

/// The end of a file.
fn tail(path: &Path) -> io::Result<Piece> {
    let length = match fs::metadata(path) {
        Ok(file) => file.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Piece::default()),
        Err(error) => return Err(error),
    };
    let mut piece = read(path, length.saturating_sub(READ_MAX))?;
    if piece.begin > 0 {
        // The first line has most likely lost its beginning.
        let cut = piece.lines().next().map_or(0, <[u8]>::len);
        piece.bytes.drain(..cut);
        piece.begin += cut as u64;
    }
    Ok(piece)
}

/// Reads from `from` on to the end of the last whole line within the limit.
fn read(path: &Path, from: u64) -> io::Result<Piece> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Piece::default()),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    // Shorter than what was read of it: another file has its name.
    let begin = if from > metadata.len() { 0 } else { from };
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = vec![];
    file.take(READ_MAX).read_to_end(&mut bytes)?;
    let is_full = bytes.len() as u64 == READ_MAX;
    match bytes.iter().rposition(|byte| *byte == b'\n') {
        Some(last) => bytes.truncate(last + 1),
        // A line that never ends must not be waited for.
        None if is_full => {}
        None => bytes.clear(),
    }
    let inode = metadata.ino();
    Ok(Piece { bytes, begin, inode, written_at: metadata.modified().ok() })
}

/// Adds what follows `from` to `found`, until that has `most` lines; answers
/// how far it came.
fn take(
    path: &Path,
    from: u64,
    source: LogSource,
    most: usize,
    found: &mut Vec<LogLine>,
) -> io::Result<Place> {
    let piece = read(path, from)?;
    let mut end = piece.begin;
    for line in piece.lines() {
        if found.len() >= most {
            break;
        }
        end += line.len() as u64;
        found.extend(shown(source, line));
    }
    Ok(Place { offset: end, inode: piece.inode })
}

/// A line as a person reads it, without anything that moves a cursor; an empty
/// one is none.
fn shown(source: LogSource, line: &[u8]) -> Option<LogLine> {
    let line = String::from_utf8_lossy(line);
    let line = line.trim_end();
    let event = (source == LogSource::Log).then(|| readable(line)).flatten();
    let printable = |c: char| if c.is_control() && c != '\t' { ' ' } else { c };
    let text = event.as_deref().unwrap_or(line).chars().take(LINE_CHARS_MAX).map(printable);
    (!line.is_empty()).then(|| LogLine { source, text: text.collect() })
}

/// `2026-11-21T14:00:00Z  INFO worker::server: ready, model: demo`
fn readable(line: &str) -> Option<String> {
    let event: Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| event.get(name).and_then(Value::as_str);
    let fields = event.get("fields")?.as_object()?;
    let mut said =
        format!("{} {:>5} {}:", text("timestamp")?, text("level")?, text("target").unwrap_or("?"));
    if let Some(message) = fields.get("message").and_then(Value::as_str) {
        said.push_str(&format!(" {message}"));
    }
    for (name, value) in fields.iter().filter(|(name, _)| *name != "message") {
        match value {
            Value::String(value) => said.push_str(&format!(", {name}: {value}")),
            value => said.push_str(&format!(", {name}: {value}")),
        }
    }
    Some(said)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    struct Bench {
        files: LogFiles,
        _dir: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let folder = dir.path().join("log");
            fs::create_dir(&folder).unwrap();
            let files = LogFiles { output: dir.path().join("worker.log"), folder };
            Self { files, _dir: dir }
        }

        fn append(&self, path: &Path, text: &str) {
            let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        fn prints(&self, text: &str) {
            self.append(&self.files.output, text);
        }

        fn logs(&self, day: &str, text: &str) {
            self.append(&self.files.folder.join(format!("w.{day}.log")), text);
        }

        fn after(&self, position: &Position, lines: usize) -> (Vec<String>, Position) {
            let (lines, position) = self.files.after(position.clone(), lines).unwrap();
            (lines.into_iter().map(|line| line.text).collect(), position)
        }
    }

    #[test]
    fn the_newest_lines_come_first_and_then_what_follows_without_a_gap() {
        let bench = Bench::new();
        bench.prints("one\ntwo\nthree\nhal");
        let (lines, position) = bench.files.newest(2).unwrap();
        assert_eq!(lines.iter().map(|line| &*line.text).collect::<Vec<_>>(), ["two", "three"]);
        assert_eq!(bench.after(&position, 9), (vec![], position.clone()));
        bench.prints("f\nfive\nsix\n");
        let (lines, position) = bench.after(&position, 2);
        assert_eq!(lines, ["half", "five"]);
        assert_eq!(bench.after(&position, 2).0, ["six"]);
    }

    #[test]
    fn both_files_are_read_and_the_next_day_follows() {
        let bench = Bench::new();
        bench.prints("up\n");
        bench.logs("2026-11-21", "a\n");
        let (lines, position) = bench.files.newest(9).unwrap();
        assert_eq!(lines.len(), 2);
        bench.logs("2026-11-21", "b\n");
        bench.logs("2026-11-22", "c\n");
        let (lines, position) = bench.after(&position, 9);
        assert_eq!(lines, ["b"]);
        let (lines, position) = bench.after(&position, 9);
        assert_eq!(lines, ["c"]);
        let again: Position = position.to_string().parse().unwrap();
        assert_eq!(again, position);
        assert_eq!(bench.after(&again, 9).0, [""; 0]);
    }

    #[test]
    fn an_output_that_began_anew_is_read_from_its_beginning() {
        let bench = Bench::new();
        bench.prints("a long line of a former life\n");
        let (_, position) = bench.files.newest(9).unwrap();
        fs::write(&bench.files.output, "new\n").unwrap();
        assert_eq!(bench.after(&position, 9).0, ["new"]);
    }

    #[test]
    fn an_output_that_was_set_aside_is_read_to_its_end_before_the_next() {
        let bench = Bench::new();
        bench.prints("up\n");
        let (_, position) = bench.files.newest(9).unwrap();
        bench.prints("last\nwords\n");
        let output = &bench.files.output;
        fs::rename(output, output.with_extension("log.1")).unwrap();
        bench.prints("up again, and with more to say than before\n");
        let (lines, position) = bench.after(&position, 1);
        assert_eq!(lines, ["last"]);
        let (lines, position) = bench.after(&position.to_string().parse().unwrap(), 9);
        assert_eq!(lines, ["words"]);
        let (lines, position) = bench.after(&position, 9);
        assert_eq!(lines, ["up again, and with more to say than before"]);
        assert_eq!(bench.after(&position, 9).0, [""; 0]);
    }

    #[test]
    fn a_worker_that_has_written_nothing_has_an_empty_log() {
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone");
        let files = LogFiles { output: gone.join("x"), folder: gone };
        let (lines, position) = files.newest(9).unwrap();
        assert_eq!((lines, position.to_string().as_str()), (vec![], "0.0"));
    }

    #[test]
    fn an_event_of_the_log_reads_as_a_line_and_no_byte_moves_a_cursor() {
        let line = r#"{"timestamp":"2026-11-21T14:00:00Z","level":"INFO","fields":{"message":"ready","model":"de\u001bmo","n":3},"target":"worker::server"}"#;
        let shown = |source, line: &str| shown(source, line.as_bytes()).unwrap().text;
        assert_eq!(
            shown(LogSource::Log, line),
            "2026-11-21T14:00:00Z  INFO worker::server: ready, model: de mo, n: 3"
        );
        assert_eq!(shown(LogSource::Output, "a\u{1b}[2Jb"), "a [2Jb");
    }

    #[test]
    fn a_line_that_never_ends_is_not_waited_for_and_a_position_that_is_none_is_refused() {
        let bench = Bench::new();
        bench.prints(&"x".repeat(READ_MAX as usize + 5));
        let (lines, _) = bench.after(&Position::default(), 9);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [LINE_CHARS_MAX]);
        for wrong in ["", "x", "1", "1.y", "1.2:y", "1.2:3", "-1.2:3:z"] {
            assert_eq!(wrong.parse::<Position>(), Err(NotAPosition), "{wrong}");
        }
    }
}

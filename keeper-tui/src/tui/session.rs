//! The file that keeps how the dashboard was left, queen by queen.
//!
//! It is only ever a convenience: a file that cannot be used costs one line of
//! notice and never the start.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::update::session::Session;

/// What this version writes and understands.
const VERSION: u32 = 1;
/// Queens whose sessions are kept.
const QUEENS_MAX: usize = 16;
/// More than that was not written by us.
const BYTES_MAX: u64 = 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct Kept {
    v: u32,
    /// The one that was left last is the last.
    queens: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    /// Where she answers.
    queen: String,
    session: Session,
}

/// Only what has to be known to read the rest.
#[derive(Deserialize)]
struct Versioned {
    v: u32,
}

/// Why there is nothing to open again.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error("is damaged ({0}); it is written anew")]
    Damaged(#[from] serde_json::Error),
    #[error("is larger than {} KiB; it is written anew", BYTES_MAX / 1024)]
    TooLarge,
    #[error("is of a newer rbee-keeper (format {0}); it is left alone")]
    Newer(u32),
}

/// How the dashboard of this queen was left; or why that is not known.
pub(super) fn read(file: &Path, queen: &str) -> Result<Option<Session>, String> {
    match kept(file) {
        Ok(kept) => {
            let found = kept.queens.into_iter().find(|it| it.queen == queen);
            Ok(found.map(|it| it.session))
        }
        Err(error) => Err(format!("the last session is not restored: {} {error}", file.display())),
    }
}

fn kept(file: &Path) -> Result<Kept, Unusable> {
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Kept { v: VERSION, queens: Vec::new() });
        }
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    opened.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(Unusable::TooLarge);
    }
    let Versioned { v } = serde_json::from_slice(&bytes)?;
    if v > VERSION {
        return Err(Unusable::Newer(v));
    }
    Ok(serde_json::from_slice(&bytes)?)
}

/// Keeps how it is left. The file is the old one or the new one, whole.
pub(super) fn write(file: &Path, queen: &str, session: Session) -> io::Result<()> {
    let mut queens = match kept(file) {
        Ok(kept) => kept.queens,
        Err(Unusable::Newer(_)) => return Ok(()),
        Err(_) => Vec::new(),
    };
    queens.retain(|it| it.queen != queen);
    queens.push(Entry { queen: queen.to_owned(), session });
    queens.drain(..queens.len().saturating_sub(QUEENS_MAX));
    let kept = serde_json::to_vec(&Kept { v: VERSION, queens })?;
    config::paths::replace_private_file(file, &kept)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::tui::fixture::Stage;

    fn session(keys: &str) -> Session {
        let mut stage = Stage::busy((80, 24));
        stage.type_keys(keys);
        Session::of(&stage.model)
    }

    #[test]
    fn each_queen_has_a_session_of_her_own_and_the_oldest_gives_way() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("keeper/session.json");
        assert_eq!(read(&file, "a:1"), Ok(None));
        write(&file, "a:1", session("2")).unwrap();
        write(&file, "b:1", session("5")).unwrap();
        assert_eq!(read(&file, "a:1"), Ok(Some(session("2"))));
        assert_eq!(read(&file, "b:1"), Ok(Some(session("5"))));
        for port in 2..=QUEENS_MAX {
            write(&file, &format!("b:{port}"), session("4")).unwrap();
        }
        assert_eq!(read(&file, "a:1"), Ok(None), "whom nobody asked for longest");
        assert_eq!(read(&file, "b:1"), Ok(Some(session("5"))));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(temp.path().join("keeper")).unwrap().count(), 1, "no drafts");
    }

    #[test]
    fn a_file_that_cannot_be_used_is_told_and_only_a_newer_one_is_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("session.json");
        for (text, told) in [
            ("{\"v\":1,\"que", "is damaged"),
            (
                "{\"v\":1,\"queens\":[{\"queen\":\"a:1\",\"session\":{\"view\":\"moon\"}}]}",
                "is damaged",
            ),
            ("", "is damaged"),
            ("{\"v\":2}", "newer rbee-keeper (format 2)"),
        ] {
            fs::write(&file, text).unwrap();
            let said = read(&file, "a:1").unwrap_err();
            assert!(said.contains(told) && said.contains("session.json"), "{said}");
            write(&file, "a:1", session("2")).unwrap();
            if told.contains("newer") {
                assert_eq!(fs::read_to_string(&file).unwrap(), text);
            } else {
                assert_eq!(read(&file, "a:1"), Ok(Some(session("2"))), "{text}");
            }
        }
        let dir = temp.path().join("dir");
        fs::create_dir(&dir).unwrap();
        assert!(read(&dir, "a:1").unwrap_err().contains("cannot be read"));
        assert!(write(&dir, "a:1", session("2")).is_err());
    }
}

//! What the catalogue must change to agree with the disk.
//!
//! Pure. The disk is right about which files there are; the catalogue is
//! right about what was found out about them, for as long as they are the
//! same.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use protocol::{ApiError, ErrorCode, ModelRef};

use super::{
    cache::{Found, FoundFile},
    catalog::{Key, Row, RowFile, Stage},
};

/// Who copies a file writes to it more often than that.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// One correction.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Repair {
    /// The files are gone, and so is what was known of them.
    Forget(Key),
    /// This is what is known now.
    Write(Box<Row>),
}

/// The corrections. `has_part` says whether some of an unfinished model is
/// here; what is `busy` is being changed by somebody and left alone.
pub(crate) fn reconcile(
    rows: &BTreeMap<Key, Row>,
    found: &[Found],
    has_part: &dyn Fn(&Row) -> bool,
    busy: &BTreeSet<Key>,
) -> Vec<Repair> {
    let on_disk: BTreeMap<Key, &Found> =
        found.iter().filter_map(|it| Some((key(it)?, it))).collect();
    let known = rows
        .iter()
        .filter(|(key, _)| !busy.contains(key))
        .filter_map(|(key, row)| correct(key, row, on_disk.get(key).copied(), has_part(row)));
    let new = on_disk
        .iter()
        .filter(|(key, _)| !rows.contains_key(key) && !busy.contains(key))
        .filter_map(|(_, found)| adopt(found).map(write));
    known.chain(new).collect()
}

fn write(row: Row) -> Repair {
    Repair::Write(Box::new(row))
}

fn key(found: &Found) -> Option<Key> {
    let first = found.files.first()?;
    Some(Key { repo: found.repo.clone(), file: first.name.clone() })
}

fn correct(key: &Key, row: &Row, found: Option<&Found>, has_part: bool) -> Option<Repair> {
    let partial = || write(Row { stage: Stage::Partial, error: None, ..row.clone() });
    match (row.stage, found) {
        (Stage::Ready, Some(found)) if holds(row, found) => None,
        // Nobody ever knew how long it has to be: whoever put it there was not
        // done, or has put another there.
        (_, Some(found)) if row.revision.is_none() && !holds(row, found) => adopt(found).map(write),
        (Stage::Ready, Some(found)) if found.files.len() < row.files.len() => Some(partial()),
        // Other bytes than were compared with the hub's: another revision
        // that another tool fetched, or damage. Nobody knows which yet.
        (Stage::Ready, Some(found)) => match is_newer(row, found) {
            true => adopt(found).map(write),
            false => {
                Some(write(Row { stage: Stage::Failed, error: Some(changed(row)), ..row.clone() }))
            }
        },
        (Stage::Ready | Stage::Partial, None) if has_part => {
            (row.stage == Stage::Ready).then(partial)
        }
        (Stage::Ready | Stage::Partial, None) => Some(Repair::Forget(key.clone())),
        // All there, and not compared with the hub's: the next download does
        // that without fetching anything.
        (Stage::Partial, Some(_)) => None,
        // Another tool fetched and removed it; nobody here asked for it.
        (Stage::Failed, None) if row.revision.is_none() => Some(Repair::Forget(key.clone())),
        // It stays to be looked at until somebody deletes it or tries again.
        (Stage::Failed, _) => None,
    }
}

/// The models that somebody has written to a moment ago and may still write.
pub(crate) fn unsettled(found: &[Found], now: SystemTime) -> BTreeSet<Key> {
    let is_young = |file: &FoundFile| {
        // One from the future, by a clock that was set back, is as it is.
        let age = file.changed.and_then(|changed| now.duration_since(changed).ok());
        age.is_some_and(|age| age < SETTLED_AFTER)
    };
    found.iter().filter(|it| it.files.iter().any(is_young)).filter_map(key).collect()
}

/// Whether the disk has exactly the files of `row`.
fn holds(row: &Row, found: &Found) -> bool {
    row.files.len() == found.files.len()
        && row.files.iter().zip(&found.files).all(|(row, found)| {
            (row.name.as_str(), row.bytes) == (found.name.as_str(), found.bytes)
        })
}

fn is_newer(row: &Row, found: &Found) -> bool {
    found.files.iter().any(|file| file.commit != row.commit)
}

fn changed(row: &Row) -> ApiError {
    let message = format!("the files of {} are not as long as they were", row.id);
    ApiError::new(ErrorCode::Conflict, message)
        .with_hint(format!("rbee-keeper model delete {0}; rbee-keeper model download {0}", row.id))
}

/// What another tool fetched.
fn adopt(found: &Found) -> Option<Row> {
    let first = found.files.first()?;
    let id: ModelRef = format!("{}:{}", found.repo, first.name).parse().ok()?;
    let files = found
        .files
        .iter()
        .map(|file| RowFile { name: file.name.clone(), bytes: file.bytes, sha256: None })
        .collect();
    Some(Row {
        id,
        repo: found.repo.clone(),
        revision: None,
        commit: first.commit.clone(),
        files,
        stage: if found.is_whole { Stage::Ready } else { Stage::Partial },
        error: None,
        info: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{cache::tests::COMMIT, catalog::tests::row};

    fn found(repo: &str, files: &[(&str, u64)], commit: &str) -> Found {
        let files = files
            .iter()
            .map(|(name, bytes)| FoundFile {
                name: (*name).to_owned(),
                commit: commit.to_owned(),
                path: format!("/cache/{name}").into(),
                bytes: *bytes,
                changed: None,
            })
            .collect();
        Found { repo: repo.to_owned(), files, is_whole: true }
    }

    fn repairs(rows: &[Row], found: &[Found], has_part: bool) -> Vec<Repair> {
        let rows = rows.iter().map(|row| (row.key(), row.clone())).collect();
        reconcile(&rows, found, &|_| has_part, &BTreeSet::new())
    }

    fn written(repairs: &[Repair]) -> &Row {
        match repairs {
            [Repair::Write(row)] => row,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_agrees_is_left_alone() {
        let ready = row("o/r", &[("a.gguf", 3)], Stage::Ready);
        assert_eq!(repairs(&[ready], &[found("o/r", &[("a.gguf", 3)], COMMIT)], false), []);
        let partial = row("o/r", &[("a.gguf", 3)], Stage::Partial);
        assert_eq!(repairs(&[partial], &[], true), []);
    }

    #[test]
    fn what_others_fetched_is_ready_and_not_compared() {
        let found = [found("o/r", &[("a.gguf", 3)], COMMIT)];
        let repairs = repairs(&[], &found, false);
        let adopted = written(&repairs);
        assert_eq!((adopted.id.as_str(), adopted.stage), ("o/r:a.gguf", Stage::Ready));
        assert_eq!(adopted.files[0].sha256, None);
    }

    #[test]
    fn what_is_gone_is_forgotten_unless_some_of_it_is_left() {
        for stage in [Stage::Ready, Stage::Partial] {
            let gone = row("o/r", &[("a.gguf", 3)], stage);
            assert_eq!(
                repairs(std::slice::from_ref(&gone), &[], false),
                [Repair::Forget(gone.key())]
            );
        }
        let ready = row("o/r", &[("a.gguf", 3)], Stage::Ready);
        assert_eq!(written(&repairs(&[ready], &[], true)).stage, Stage::Partial);
    }

    #[test]
    fn a_file_that_changed_its_length_is_not_ready_any_more() {
        let ready = row("o/r", &[("a.gguf", 3)], Stage::Ready);
        let truncated = [found("o/r", &[("a.gguf", 2)], COMMIT)];
        let result = repairs(std::slice::from_ref(&ready), &truncated, false);
        assert_eq!(written(&result).stage, Stage::Failed);
        let other = [found("o/r", &[("a.gguf", 2)], &"e".repeat(40))];
        let result = repairs(&[ready], &other, false);
        assert_eq!((written(&result).stage, written(&result).files[0].bytes), (Stage::Ready, 2));
    }

    #[test]
    fn what_was_found_before_it_was_all_there_is_what_it_has_become() {
        let found_early = Row { revision: None, ..row("o/r", &[("a.gguf", 3)], Stage::Ready) };
        let refused = Row { stage: Stage::Failed, ..found_early.clone() };
        for early in [found_early, refused] {
            let whole = [found("o/r", &[("a.gguf", 9)], COMMIT)];
            let result = repairs(std::slice::from_ref(&early), &whole, false);
            assert_eq!((written(&result).stage, written(&result).bytes()), (Stage::Ready, 9));
            assert_eq!(repairs(&[early], &[found("o/r", &[("a.gguf", 3)], COMMIT)], false), []);
        }
    }

    #[test]
    fn a_split_model_that_others_put_there_is_ready_with_its_last_part() {
        let files = [("b-00001-of-00002.gguf", 3), ("b-00002-of-00002.gguf", 1)];
        let first = Found { is_whole: false, ..found("o/r", &files[..1], COMMIT) };
        let result = repairs(&[], &[first], false);
        let partial = written(&result).clone();
        assert_eq!(partial.stage, Stage::Partial);
        let result = repairs(&[partial], &[found("o/r", &files, COMMIT)], false);
        assert_eq!((written(&result).stage, written(&result).files.len()), (Stage::Ready, 2));
    }

    #[test]
    fn what_is_being_copied_has_not_settled() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let copied = |seconds_ago: i64| {
            let mut found = found("o/r", &[("a.gguf", 3)], COMMIT);
            let seconds = u64::try_from(1_000 - seconds_ago).unwrap();
            found.files[0].changed = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
            unsettled(&[found], now).len()
        };
        assert_eq!([copied(1), copied(2), copied(-5)], [1, 0, 0]);
    }

    #[test]
    fn a_model_that_lost_a_part_is_partial() {
        let files = [("b-00001-of-00002.gguf", 3), ("b-00002-of-00002.gguf", 1)];
        let ready = row("o/r", &files, Stage::Ready);
        let result = repairs(&[ready], &[found("o/r", &files[..1], COMMIT)], false);
        assert_eq!(written(&result).stage, Stage::Partial);
    }

    #[test]
    fn a_file_that_was_never_compared_is_not_ready_by_being_there() {
        for stage in [Stage::Partial, Stage::Failed] {
            let unfinished = row("o/r", &[("a.gguf", 3)], stage);
            let complete = [found("o/r", &[("a.gguf", 3)], COMMIT)];
            assert_eq!(repairs(&[unfinished], &complete, false), []);
        }
    }

    #[test]
    fn what_is_being_fetched_is_left_to_whoever_fetches_it() {
        let partial = row("o/r", &[("a.gguf", 3)], Stage::Partial);
        let busy = BTreeSet::from([partial.key()]);
        let rows = BTreeMap::from([(partial.key(), partial)]);
        assert_eq!(reconcile(&rows, &[], &|_| false, &busy), []);
    }
}

//! The jobs on disk: SQLite in WAL mode, owned by one thread.
//!
//! An event is committed before anybody sees it, tokens included: group
//! commits make that cost tens of microseconds, and it leaves one rule instead
//! of two for what survives a crash. `synchronous=NORMAL` survives the death
//! of the process at any point; only a power cut may take the last commits,
//! and with them nothing but the ends of jobs that the cut ended anyway.

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use protocol::{
    JobId, Timestamp,
    job::{End, JobRecord, JobState},
};
use rusqlite::{Connection, OptionalExtension, Savepoint, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::log::{Entry, JobLog};

/// Commands that may wait for the disk; beyond that callers wait.
const COMMANDS_WAITING_MAX: usize = 1_024;
/// Commands that share one commit.
const COMMANDS_PER_COMMIT_MAX: usize = 256;
/// Another process (a person with `sqlite3`) may hold the lock this long.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the log cannot be written or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// SQLite says no.
    #[error("the job log cannot be used: {0}")]
    Database(String),
    /// The transaction that held the change was not committed.
    #[error("the job log could not be committed; the daemon's log says why (is the disk full?)")]
    Commit,
    /// The writer is gone; the daemon is going down.
    #[error("the job log is closed")]
    Closed,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.to_string())
    }
}

/// What a job left behind for the next life of its daemon.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// When the whole call must be over, by the wall clock: the only one that
    /// two lives share.
    pub(crate) deadline_at: Option<Timestamp>,
    /// The handler's own.
    pub(crate) state: Value,
}

/// A job that has no end.
#[derive(Debug)]
pub(crate) struct Unended {
    pub(crate) record: JobRecord,
    pub(crate) checkpoint: Option<Checkpoint>,
}

type Work = Box<dyn FnOnce(&mut Savepoint<'_>) -> Box<dyn FnOnce() + Send> + Send>;

/// A handle to the writer's thread.
#[derive(Clone)]
pub(crate) struct Store {
    work: mpsc::Sender<Work>,
}

/// How many ended jobs are kept, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// The newest jobs that are kept.
    pub jobs_max: u32,
    /// How long an ended job is kept.
    pub age_max: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { jobs_max: 1_000, age_max: Duration::from_secs(24 * 60 * 60) }
    }
}

impl Store {
    /// Opens the database, or a new one when the old one is damaged: the old
    /// file is put aside, because a daemon that does not start helps nobody.
    pub(crate) fn open(file: &Path) -> Result<Self, StoreError> {
        let connection = match open_checked(file) {
            Ok(connection) => connection,
            Err(error) if is_damage(&error) => {
                let aside = put_aside(file);
                tracing::error!(%error, ?aside, "the job log is damaged; starting an empty one");
                open_checked(file)?
            }
            Err(error) => return Err(error.into()),
        };
        let (work, queue) = mpsc::channel(COMMANDS_WAITING_MAX);
        thread::Builder::new()
            .name("job-store".to_owned())
            .spawn(move || write_loop(connection, queue))
            .map_err(|error| StoreError::Database(format!("no thread for it: {error}")))?;
        Ok(Self { work })
    }

    /// Runs `work` on the writer's thread and answers after its commit.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Savepoint<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let boxed: Work = Box::new(move |savepoint| {
            let result = work(savepoint);
            if result.is_err() {
                // Half of a command must not ride on the batch's commit.
                let _ = savepoint.rollback();
            }
            // A caller that has gone away does not need its answer.
            Box::new(move || drop(answer.send(result.map_err(StoreError::from))))
        });
        self.work.send(boxed).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Commit)?
    }

    /// A new job, or the job that the same idempotency key made before.
    pub(crate) async fn create(
        &self,
        record: JobRecord,
        idempotency_key: Option<String>,
        request: String,
        checkpoint: Option<Checkpoint>,
    ) -> Result<Option<JobId>, StoreError> {
        self.run(move |db| {
            if let Some(key) = &idempotency_key {
                let known: Option<String> = db
                    .prepare_cached("SELECT id FROM jobs WHERE idempotency_key = ?1")?
                    .query_row([key], |row| row.get(0))
                    .optional()?;
                if let Some(id) = known.and_then(|id| id.parse().ok()) {
                    return Ok(Some(id));
                }
            }
            db.prepare_cached(
                "INSERT INTO jobs (id, state, created_ms, idempotency_key, record) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                record.id.as_str(),
                record.state.as_str(),
                record.created_at.as_millisecond(),
                idempotency_key,
                json(&record)?,
            ])?;
            db.prepare_cached("INSERT INTO requests (job_id, request) VALUES (?1, ?2)")?
                .execute(params![record.id.as_str(), request])?;
            if let Some(checkpoint) = &checkpoint {
                leave(db, &record.id, checkpoint)?;
            }
            Ok(None)
        })
        .await
    }

    /// Commits events `first`, `first + 1`, …, and the record they lead to.
    pub(crate) async fn append(
        &self,
        record: JobRecord,
        first: u64,
        entries: Vec<Entry>,
    ) -> Result<(), StoreError> {
        self.run(move |db| {
            insert(db, &record.id, first, &entries)?;
            update_record(db, &record)
        })
        .await
    }

    /// Commits a record that changed without an event.
    pub(crate) async fn update(&self, record: JobRecord) -> Result<(), StoreError> {
        self.run(move |db| update_record(db, &record)).await
    }

    /// Commits the end with the event before it, unless there is an end: the
    /// first is the end.
    pub(crate) async fn end(
        &self,
        record: JobRecord,
        end: End,
        last: Option<Entry>,
    ) -> Result<bool, StoreError> {
        self.run(move |db| {
            if let Some(entry) = last {
                insert(db, &record.id, record.last_event, &[entry])?;
            }
            let ended = db
                .prepare_cached("UPDATE jobs SET end = ?2, state = ?3, ended_ms = ?4, record = ?5 WHERE id = ?1 AND end IS NULL")?
                .execute(params![
                    record.id.as_str(),
                    json(&end)?,
                    record.state.as_str(),
                    record.ended_at.map(|at| at.as_millisecond()),
                    json(&record)?,
                ])?;
            db.prepare_cached("DELETE FROM checkpoints WHERE job_id = ?1")?
                .execute([record.id.as_str()])?;
            Ok(ended == 1)
        })
        .await
    }

    /// A job with its whole log.
    pub(crate) async fn load(&self, id: JobId) -> Result<Option<JobLog>, StoreError> {
        self.run(move |db| {
            let job = db
                .prepare_cached("SELECT record, end FROM jobs WHERE id = ?1")?
                .query_row([id.as_str()], |row| {
                    Ok((from_json(&row.get::<_, String>(0)?)?, row.get::<_, Option<String>>(1)?))
                })
                .optional()?;
            let Some((record, end)) = job else { return Ok(None) };
            let entries = db
                .prepare_cached("SELECT json, text FROM events WHERE job_id = ?1 ORDER BY number")?
                .query_map([id.as_str()], |row| {
                    Ok(Entry {
                        json: row.get::<_, String>(0)?.into(),
                        text: row.get::<_, String>(1)?.into(),
                    })
                })?
                .collect::<rusqlite::Result<_>>()?;
            let end = end.map(|end| from_json(&end)).transpose()?;
            Ok(Some(JobLog::restored(record, entries, end)))
        })
        .await
    }

    /// What was asked of a job; `None` if it is not known, or was kept by a
    /// version that did not keep this.
    pub(crate) async fn request(&self, id: JobId) -> Result<Option<Value>, StoreError> {
        self.run(move |db| {
            let request: Option<String> = db
                .prepare_cached("SELECT request FROM requests WHERE job_id = ?1")?
                .query_row([id.as_str()], |row| row.get(0))
                .optional()?;
            request.map(|request| from_json(&request)).transpose()
        })
        .await
    }

    /// The newest jobs, newest first.
    pub(crate) async fn list(
        &self,
        state: Option<JobState>,
        limit: u32,
    ) -> Result<Vec<JobRecord>, StoreError> {
        self.run(move |db| {
            db.prepare_cached(
                "SELECT record FROM jobs WHERE ?1 IS NULL OR state = ?1 ORDER BY id DESC LIMIT ?2",
            )?
            .query_map(params![state.map(JobState::as_str), limit], |row| {
                from_json(&row.get::<_, String>(0)?)
            })?
            .collect()
        })
        .await
    }

    /// Leaves word of how far a job has come, unless it has ended.
    pub(crate) async fn checkpoint(
        &self,
        id: JobId,
        checkpoint: Checkpoint,
    ) -> Result<(), StoreError> {
        self.run(move |db| leave(db, &id, &checkpoint)).await
    }

    /// Jobs that a former life of this daemon left without an end, oldest
    /// first.
    pub(crate) async fn unended(&self) -> Result<Vec<Unended>, StoreError> {
        self.run(|db| {
            db.prepare(
                "SELECT record, checkpoint FROM jobs LEFT JOIN checkpoints ON job_id = id \
                 WHERE end IS NULL ORDER BY id",
            )?
            .query_map([], |row| {
                let record = from_json(&row.get::<_, String>(0)?)?;
                let checkpoint: Option<String> = row.get(1)?;
                // One that another version wrote is as good as none.
                let checkpoint = checkpoint.and_then(|text| from_json(&text).ok());
                Ok(Unended { record, checkpoint })
            })?
            .collect()
        })
        .await
    }

    /// Forgets ended jobs beyond the retention; answers which.
    pub(crate) async fn prune(
        &self,
        retention: Retention,
        now: Timestamp,
    ) -> Result<Vec<JobId>, StoreError> {
        let age_max_ms = i64::try_from(retention.age_max.as_millis()).unwrap_or(i64::MAX);
        let oldest_ms = now.as_millisecond().saturating_sub(age_max_ms);
        self.run(move |db| {
            let ids: Vec<String> = db
                .prepare_cached(
                    "SELECT id FROM jobs WHERE end IS NOT NULL AND (ended_ms < ?1 OR id NOT IN \
                     (SELECT id FROM jobs ORDER BY id DESC LIMIT ?2))",
                )?
                .query_map(params![oldest_ms, retention.jobs_max], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            for id in &ids {
                db.prepare_cached("DELETE FROM events WHERE job_id = ?1")?.execute([id])?;
                db.prepare_cached("DELETE FROM requests WHERE job_id = ?1")?.execute([id])?;
                db.prepare_cached("DELETE FROM jobs WHERE id = ?1")?.execute([id])?;
            }
            Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
        })
        .await
    }
}

fn insert(db: &Savepoint<'_>, job: &JobId, first: u64, entries: &[Entry]) -> rusqlite::Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT INTO events (job_id, number, json, text) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for (number, entry) in (first..).zip(entries) {
        // Far below i64::MAX: a job's events are counted one by one.
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        insert.execute(params![job.as_str(), number, &*entry.json, &*entry.text])?;
    }
    Ok(())
}

fn leave(db: &Savepoint<'_>, id: &JobId, checkpoint: &Checkpoint) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO checkpoints (job_id, checkpoint) \
         SELECT id, ?2 FROM jobs WHERE id = ?1 AND end IS NULL",
    )?
    .execute(params![id.as_str(), json(checkpoint)?])?;
    Ok(())
}

fn update_record(db: &Savepoint<'_>, record: &JobRecord) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE jobs SET state = ?2, record = ?3 WHERE id = ?1 AND end IS NULL")?
        .execute(params![record.id.as_str(), record.state.as_str(), json(record)?])?;
    Ok(())
}

fn json<T: serde::Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
    })
}

fn open_checked(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
            Some(verdict),
        ));
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS jobs (
             id TEXT PRIMARY KEY,
             state TEXT NOT NULL,
             created_ms INTEGER NOT NULL,
             ended_ms INTEGER,
             idempotency_key TEXT UNIQUE,
             record TEXT NOT NULL,
             end TEXT
         ) WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS events (
             job_id TEXT NOT NULL,
             number INTEGER NOT NULL,
             json TEXT NOT NULL,
             text TEXT NOT NULL,
             PRIMARY KEY (job_id, number)
         ) WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS checkpoints (
             job_id TEXT PRIMARY KEY,
             checkpoint TEXT NOT NULL
         ) WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS requests (
             job_id TEXT PRIMARY KEY,
             request TEXT NOT NULL
         );",
    )?;
    Ok(connection)
}

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

/// Moves the database and its side files away; answers where the main one
/// went.
fn put_aside(file: &Path) -> Option<PathBuf> {
    let stamp = crate::now().as_millisecond();
    let named = |path: &Path, suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    for side in ["-wal", "-shm"] {
        // They belong to the damaged file and may not exist.
        let _ = std::fs::remove_file(named(file, side));
    }
    let aside = named(file, &format!(".corrupt-{stamp}"));
    std::fs::rename(file, &aside).ok().map(|()| aside)
}

fn write_loop(mut connection: Connection, mut queue: mpsc::Receiver<Work>) {
    let mut batch = Vec::with_capacity(COMMANDS_PER_COMMIT_MAX);
    while let Some(first) = queue.blocking_recv() {
        batch.push(first);
        while batch.len() < COMMANDS_PER_COMMIT_MAX {
            let Ok(next) = queue.try_recv() else { break };
            batch.push(next);
        }
        commit(&mut connection, batch.drain(..));
    }
}

/// One transaction for the whole batch, a savepoint for each command, and the
/// answers only after the commit. If the commit itself fails, the answers are
/// dropped, which their callers read as an error.
fn commit(connection: &mut Connection, batch: impl Iterator<Item = Work>) {
    let result = (|| {
        let mut transaction = connection.transaction()?;
        let mut answers = Vec::new();
        for work in batch {
            let mut savepoint = transaction.savepoint()?;
            answers.push(work(&mut savepoint));
            savepoint.commit()?;
        }
        transaction.commit()?;
        Ok::<_, rusqlite::Error>(answers)
    })();
    match result {
        Ok(answers) => answers.into_iter().for_each(|answer| answer()),
        Err(error) => tracing::error!(%error, "cannot commit to the job log"),
    }
}

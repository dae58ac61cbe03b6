//! What is written down about models: SQLite in WAL mode, beside the jobs.
//!
//! The files on disk are the truth about files; here is what they cannot say:
//! what a model was asked for as, whether its bytes were compared with the
//! hub's, what its header says, and why it failed. A download that is under
//! way is not a state here, because it ends with its process.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use protocol::{
    ApiError, ModelRef,
    model::{ModelInfo, Revision},
};
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use serde::{Deserialize, Serialize};

/// A person with `sqlite3` may hold the lock this long.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const VERSION: i64 = 1;

/// Why the catalogue cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// SQLite says no.
    #[error("the model catalogue {} cannot be used; is the disk full?", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What it says.
        source: rusqlite::Error,
    },
    /// The damaged file cannot be moved out of the way.
    #[error("the model catalogue {} is damaged and cannot be put aside", path.display())]
    PutAside {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A model of the hub is one first file of one repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) repo: String,
    pub(crate) file: String,
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RowFile {
    /// Inside the repository.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// What the hub says it must be; absent for a file that others fetched
    /// and nobody has compared.
    pub(crate) sha256: Option<String>,
}

/// How far a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    Ready,
    Partial,
    Failed,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) id: ModelRef,
    pub(crate) repo: String,
    pub(crate) revision: Option<Revision>,
    pub(crate) commit: String,
    pub(crate) files: Vec<RowFile>,
    pub(crate) stage: Stage,
    pub(crate) error: Option<ApiError>,
    /// What the header says; absent until it was read.
    pub(crate) info: Option<ModelInfo>,
}

impl Row {
    pub(crate) fn key(&self) -> Key {
        let file = self.files.first().map(|file| file.name.clone()).unwrap_or_default();
        Key { repo: self.repo.clone(), file }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Whether its header is still to be read.
    pub(crate) fn is_unread(&self) -> bool {
        self.stage == Stage::Ready && self.info.is_none()
    }
}

/// The database, used by one caller at a time.
#[derive(Debug)]
pub(crate) struct Catalog {
    path: PathBuf,
    connection: Connection,
}

impl Catalog {
    /// Opens the catalogue. A damaged one is put aside and made anew from
    /// what is on disk, because a hive that does not start helps nobody.
    pub(crate) fn open(path: &Path) -> Result<Self, CatalogError> {
        let connection = match connect(path) {
            Ok(connection) => connection,
            Err(error) if is_damage(&error) => {
                let aside = path.with_extension("sqlite.damaged");
                tracing::error!(%error, aside = %aside.display(), "the model catalogue is damaged; starting an empty one");
                fs::rename(path, &aside)
                    .map_err(|source| CatalogError::PutAside { path: path.to_owned(), source })?;
                for suffix in ["-wal", "-shm"] {
                    let mut beside = path.as_os_str().to_owned();
                    beside.push(suffix);
                    // They belong to the damaged file; usually there are none.
                    let _ = fs::remove_file(beside);
                }
                connect(path).map_err(database(path))?
            }
            Err(error) => return Err(database(path)(error)),
        };
        Ok(Self { path: path.to_owned(), connection })
    }

    /// Every model. A row that this version cannot read is as good as none:
    /// the files are found again.
    pub(crate) fn rows(&self) -> Result<BTreeMap<Key, Row>, CatalogError> {
        let read = || -> rusqlite::Result<Vec<String>> {
            let mut statement = self.connection.prepare_cached("SELECT row FROM models")?;
            statement.query_map([], |row| row.get(0))?.collect()
        };
        let texts = read().map_err(database(&self.path))?;
        let rows = texts.iter().filter_map(|text| match serde_json::from_str::<Row>(text) {
            Ok(row) => Some((row.key(), row)),
            Err(error) => {
                tracing::warn!(%error, "passing over a row of the model catalogue");
                None
            }
        });
        Ok(rows.collect())
    }

    /// One model.
    pub(crate) fn row(&self, key: &Key) -> Result<Option<Row>, CatalogError> {
        let text = self
            .connection
            .prepare_cached("SELECT row FROM models WHERE repo = ?1 AND file = ?2")
            .and_then(|mut it| {
                it.query_row(params![key.repo, key.file], |row| row.get::<_, String>(0)).optional()
            })
            .map_err(database(&self.path))?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// Writes a model down, anew or in place of what was known of it.
    pub(crate) fn write(&self, row: &Row) -> Result<(), CatalogError> {
        let key = row.key();
        let text = serde_json::to_string(row).unwrap_or_default();
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO models (repo, file, row) VALUES (?1, ?2, ?3)")
            .and_then(|mut it| it.execute(params![key.repo, key.file, text]))
            .map(drop)
            .map_err(database(&self.path))
    }

    pub(crate) fn forget(&self, key: &Key) -> Result<(), CatalogError> {
        self.connection
            .prepare_cached("DELETE FROM models WHERE repo = ?1 AND file = ?2")
            .and_then(|mut it| it.execute(params![key.repo, key.file]))
            .map(drop)
            .map_err(database(&self.path))
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS models (
            repo TEXT NOT NULL, file TEXT NOT NULL, row TEXT NOT NULL,
            PRIMARY KEY (repo, file)
        ) STRICT",
    )?;
    connection.pragma_update(None, "user_version", VERSION)?;
    Ok(connection)
}

fn is_damage(error: &rusqlite::Error) -> bool {
    let damage = [ErrorCode::NotADatabase, ErrorCode::DatabaseCorrupt];
    error.sqlite_error_code().is_some_and(|code| damage.contains(&code))
}

fn database(path: &Path) -> impl FnOnce(rusqlite::Error) -> CatalogError {
    move |source| CatalogError::Database { path: path.to_owned(), source }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn row(repo: &str, files: &[(&str, u64)], stage: Stage) -> Row {
        let (first, _) = files[0];
        Row {
            id: format!("{repo}:{first}").parse().unwrap(),
            repo: repo.to_owned(),
            revision: Some(Revision::default()),
            commit: crate::models::cache::tests::COMMIT.to_owned(),
            files: files
                .iter()
                .map(|(name, bytes)| RowFile {
                    name: (*name).to_owned(),
                    bytes: *bytes,
                    sha256: Some("ab".repeat(32)),
                })
                .collect(),
            stage,
            error: None,
            info: None,
        }
    }

    #[test]
    fn what_was_written_is_there_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("models.sqlite");
        let (kept, gone) = (
            row("o/r", &[("a.gguf", 3)], Stage::Ready),
            row("o/x", &[("b.gguf", 1)], Stage::Partial),
        );
        {
            let catalog = Catalog::open(&path).unwrap();
            catalog.write(&kept).unwrap();
            catalog.write(&Row { stage: Stage::Failed, ..kept.clone() }).unwrap();
            catalog.write(&kept).unwrap();
            catalog.write(&gone).unwrap();
            catalog.forget(&gone.key()).unwrap();
        }
        let rows = Catalog::open(&path).unwrap().rows().unwrap();
        assert_eq!(rows.into_values().collect::<Vec<_>>(), [kept]);
    }

    #[test]
    fn a_damaged_catalogue_is_put_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("models.sqlite");
        fs::write(&path, "this is no database, and long enough to be looked at".repeat(100))
            .unwrap();
        let catalog = Catalog::open(&path).unwrap();
        assert!(catalog.rows().unwrap().is_empty());
        assert!(directory.path().join("models.sqlite.damaged").exists());
    }
}

//! The models on the feed, told as they change, and found without being asked
//! for.
//!
//! ```text
//! written down, or a download began or ended ─▶ the catalogue ─┐
//! every 2 s: do the folders look as before? ─▶ else a scan ────┼─▶ records ─▶ feed
//! every 60 s, whatever they look like ─▶ a scan ───────────────┤
//! headers that nobody has read, one at a time ─────────────────┘
//! ```
//!
//! Other tools write to the cache and tell nobody. A folder that a file came
//! to or went from has another time of change, so a look at those times tells
//! whether a scan is due; what they do not show is found by the scan a minute
//! later. Once the hive serves, a disk that hangs holds only this task.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    time::{Duration, Instant, SystemTime},
};

use daemon::feed::Feed;
use futures::{
    FutureExt,
    future::{BoxFuture, Fuse, FusedFuture},
};
use protocol::{
    ApiError, ModelRef,
    fleet::{Change, DiskRecord, FeedEvent, Gone, WorkerRecord},
    model::ModelRecord,
};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    CatalogError, Models,
    cache::Look,
    catalog::{Key, Row},
    lock, reconcile,
    room::{is_news, room},
};

const LOOK_INTERVAL: Duration = Duration::from_secs(2);
const SCAN_INTERVAL: Duration = Duration::from_secs(60);
/// Every reader of the feed holds them; `model list` has the others as well.
const PUBLISHED_MAX: usize = 2_000;

/// Publishes the models of this machine from now on, until `stop`. The first
/// look is over when it returns. The receiver has the room on their disk.
pub(crate) async fn publish(
    models: Models,
    feed: Feed,
    stop: CancellationToken,
) -> watch::Receiver<Option<DiskRecord>> {
    let (disk, told) = watch::channel(None);
    let mut publisher = Publisher {
        models,
        feed,
        shelf: Shelf::default(),
        shown: BTreeSet::new(),
        tried: BTreeMap::new(),
        disk,
    };
    publisher.turn(Cause::Look).await;
    tokio::spawn(async move {
        tokio::select! {
            () = publisher.run() => {}
            () = stop.cancelled() => {}
        }
    });
    told
}

/// Why the models are to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// Something may be different on the disk.
    Look,
    /// Something is different in the catalogue.
    Told,
}

struct Publisher {
    models: Models,
    feed: Feed,
    shelf: Shelf,
    /// What the feed has.
    shown: BTreeSet<ModelRef>,
    /// Headers that were asked for, of models this long: who cannot read one
    /// now cannot read it in two seconds. `None` is the demo model.
    tried: BTreeMap<Option<Key>, u64>,
    disk: watch::Sender<Option<DiskRecord>>,
}

impl Publisher {
    async fn run(mut self) {
        let mut ticks = interval_at(tokio::time::Instant::now() + LOOK_INTERVAL, LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reading = Fuse::terminated();
        loop {
            if reading.is_terminated() {
                reading = self.next_header().map_or_else(Fuse::terminated, FutureExt::fuse);
            }
            let cause = tokio::select! {
                () = &mut reading, if !reading.is_terminated() => Cause::Told,
                () = self.models.inner.changed.notified() => Cause::Told,
                _ = ticks.tick() => Cause::Look,
            };
            self.turn(cause).await;
        }
    }

    /// Brings the feed up to date.
    async fn turn(&mut self, cause: Cause) {
        let models = self.models.clone();
        let workers: Vec<WorkerRecord> =
            self.feed.look(|fleet| fleet.workers.values().cloned().collect());
        let mut shelf = mem::take(&mut self.shelf);
        let turned = tokio::task::spawn_blocking(move || {
            if let Err(error) = shelf.renew(&models, cause) {
                tracing::warn!(%error, "cannot tell which models are here");
            }
            let records = shelf.records(&models, &workers);
            let disk = (cause == Cause::Look).then(|| room(models.inner.cache.root()));
            (shelf, records, disk)
        });
        match turned.await {
            Ok((shelf, records, disk)) => {
                self.shelf = shelf;
                self.show(records);
                if let Some(disk) = disk {
                    self.disk.send_if_modified(|told| {
                        let is_news = is_news(*told, disk);
                        if is_news {
                            *told = disk;
                        }
                        is_news
                    });
                }
            }
            Err(error) => tracing::warn!(%error, "cannot look at the models"),
        }
    }

    fn show(&mut self, records: BTreeMap<ModelRef, ModelRecord>) {
        let hive_id = &self.models.inner.hive_id;
        for gone in self.shown.iter().filter(|id| !records.contains_key(*id)) {
            self.feed.publish(FeedEvent::Model(Change::Gone(Gone::on(hive_id, gone))));
        }
        self.shown = records.keys().cloned().collect();
        // The feed itself passes over a record that says nothing new.
        for record in records.into_values() {
            self.feed.publish(FeedEvent::Model(record.into()));
        }
    }

    /// Reads a header that nobody has read yet, if there is one.
    fn next_header(&mut self) -> Option<BoxFuture<'static, ()>> {
        let Self { models, shelf, tried, .. } = self;
        tried.retain(|key, bytes| match key {
            Some(key) => shelf.rows.get(key).is_some_and(|row| row.bytes() == *bytes),
            None => true,
        });
        let models = models.clone();
        let told = |read: Result<(), ApiError>| {
            if let Err(error) = read {
                tracing::warn!(%error, "cannot tell what a model's header says");
            }
        };
        if tried.insert(None, 0).is_none() {
            return Some(async move { told(models.describe_demo().await) }.boxed());
        }
        let mut unread = shelf.rows.iter().filter(|(_, row)| row.is_unread());
        let (key, bytes) = unread.find_map(|(key, row)| {
            let is_new = !tried.contains_key(&Some(key.clone()));
            is_new.then(|| (key.clone(), row.bytes()))
        })?;
        tried.insert(Some(key.clone()), bytes);
        Some(async move { told(models.describe_unread(key).await) }.boxed())
    }
}

/// The models as they were last looked at.
#[derive(Debug, Default)]
struct Shelf {
    rows: BTreeMap<Key, Row>,
    look: Look,
    scanned_at: Option<Instant>,
}

impl Shelf {
    /// Looks again. Blocks.
    fn renew(&mut self, models: &Models, cause: Cause) -> Result<(), CatalogError> {
        let is_recent = self.scanned_at.is_some_and(|at| at.elapsed() < SCAN_INTERVAL);
        if is_recent && (cause == Cause::Told || self.look.is_as_before()) {
            if cause == Cause::Told {
                self.rows = lock(&models.inner.catalog).rows()?;
            }
            return Ok(());
        }
        // The look comes before the scan: what changes in between is seen to
        // have changed by the next one.
        let cache = &models.inner.cache;
        self.look = cache.look();
        let found = cache.scan();
        let unsettled = reconcile::unsettled(&found, SystemTime::now());
        if !unsettled.is_empty() {
            self.look = Look::default();
        }
        self.rows = models.repair(&found, unsettled)?;
        if self.rows.len() >= PUBLISHED_MAX {
            tracing::warn!(
                models = self.rows.len(),
                "there are more models here than the fleet is told of; `model list` has them all"
            );
        }
        self.scanned_at = Some(Instant::now());
        Ok(())
    }

    /// The models by the names they are shown under. Blocks.
    fn records(
        &self,
        models: &Models,
        workers: &[WorkerRecord],
    ) -> BTreeMap<ModelRef, ModelRecord> {
        let mut records = BTreeMap::from([(ModelRef::demo(), models.demo(workers))]);
        for record in models.records(&self.rows, workers) {
            // Of two files that were asked for under the same name, the first
            // is the one that the name means.
            if records.len() < PUBLISHED_MAX {
                records.entry(record.id.clone()).or_insert(record);
            }
        }
        records
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        path::{Path, PathBuf},
    };

    use protocol::{
        HiveId,
        fleet::{Fleet, WorkerRecord},
        model::ModelState,
    };
    use tempfile::TempDir;

    use super::*;
    use crate::models::{
        HubCache,
        cache::tests::{COMMIT, put},
        catalog::{Stage, tests::row},
        sweep::tests::leave,
        tests::{open, worker},
    };

    struct Bench {
        directory: TempDir,
        cache: HubCache,
        models: Models,
        feed: Feed,
    }

    impl Bench {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let cache = HubCache::new(directory.path().join("hub"));
            let models = open(directory.path());
            Self { directory, cache, models, feed: Feed::new() }
        }

        async fn publish(&self) -> watch::Receiver<Option<DiskRecord>> {
            publish(self.models.clone(), self.feed.clone(), CancellationToken::new()).await
        }

        /// Puts a file there that was written long ago.
        fn put(&self, repo: &str, name: &str) -> PathBuf {
            put(&self.cache, repo, COMMIT, name, b"GGUF");
            let file = self.cache.pointer(repo, COMMIT, name);
            written(&file, Duration::from_secs(60));
            file
        }

        async fn until(&self, what: &str, is_so: impl Fn(&Fleet) -> bool) {
            let so = self.feed.wait_for(|fleet| is_so(fleet).then_some(()));
            if tokio::time::timeout(Duration::from_secs(60), so).await.is_err() {
                panic!("not {what}: {:?}", self.feed.fleet().models);
            }
        }

        async fn until_ids(&self, ids: &[&str]) {
            self.until(&format!("{ids:?}"), |fleet| {
                fleet.models.keys().map(|(_, id)| id.as_str()).eq(ids.iter().copied())
            })
            .await;
        }
    }

    fn written(file: &Path, ago: Duration) {
        let file = File::options().write(true).open(file).unwrap();
        file.set_modified(SystemTime::now() - ago).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_put_there_and_take_away_is_told_without_being_asked_for() {
        let bench = Bench::new();
        let disk = bench.publish().await;
        assert!(disk.borrow().is_some_and(|disk| disk.total_bytes > 0));
        bench.until_ids(&["demo"]).await;
        bench.put("o/r", "a.gguf");
        bench.until_ids(&["demo", "o/r:a.gguf"]).await;
        fs::remove_dir_all(bench.cache.repo_dir("o/r")).unwrap();
        bench.until_ids(&["demo"]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_hive_itself_does_is_told() {
        let bench = Bench::new();
        bench.publish().await;
        let known: protocol::ModelRef = "o/r:a.gguf".parse().unwrap();
        bench.put("o/r", "a.gguf");
        bench.until_ids(&["demo", "o/r:a.gguf"]).await;

        let used = worker("o/r", "ready");
        bench.feed.publish(FeedEvent::Worker(used.into()));
        let users = |fleet: &Fleet| fleet.models.values().map(|it| it.used_by.len()).sum::<usize>();
        bench.until("used", |fleet| users(fleet) == 1).await;
        bench.feed.publish(FeedEvent::Worker(Change::Gone(Gone::new("wk-1"))));
        bench.until("free", |fleet| users(fleet) == 0).await;

        bench.models.delete(&known, Vec::<WorkerRecord>::new).await.unwrap();
        bench.until_ids(&["demo"]).await;
        let partial = row("o/x", &[("b.gguf", 9)], Stage::Partial);
        let blob = partial.files[0].sha256.as_deref().unwrap();
        leave(&bench.cache, "o/x", blob, 0);
        bench.models.write(&partial).unwrap();
        bench
            .until("partial", |fleet| {
                let key = (HiveId::localhost(), partial.id.clone());
                fleet.models.get(&key).is_some_and(|it| it.state == ModelState::Partial)
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_hive_tells_of_everything_at_once() {
        let bench = Bench::new();
        bench.put("o/r", "a.gguf");
        bench.publish().await;
        assert_eq!(bench.feed.fleet().models.len(), 2, "before anybody else was served");
        assert!(bench.directory.path().join("hub").is_dir());
    }

    #[tokio::test]
    async fn what_is_being_copied_is_told_once_it_lies_still() {
        let bench = Bench::new();
        let mut shelf = Shelf::default();
        let mut renew = |cause| {
            shelf.renew(&bench.models, cause).unwrap();
            shelf.rows.values().map(Row::bytes).collect::<Vec<_>>()
        };
        let file = bench.put("o/r", "a.gguf");
        written(&file, Duration::ZERO);
        assert_eq!(renew(Cause::Look), [0_u64; 0]);
        fs::write(&file, "GGUF and more").unwrap();
        assert_eq!(renew(Cause::Look), [0_u64; 0]);
        written(&file, Duration::from_secs(3));
        assert_eq!(renew(Cause::Look), [13]);
        // Somebody writes over it.
        fs::write(&file, "GGUF").unwrap();
        assert_eq!(renew(Cause::Look), [13]);
        written(&file, Duration::from_secs(3));
        assert_eq!(renew(Cause::Look), [4]);
    }

    #[tokio::test]
    async fn two_files_of_one_name_are_one_model() {
        let bench = Bench::new();
        let name: ModelRef = "o/r".parse().unwrap();
        let mut shelf = Shelf::default();
        for file in ["a.gguf", "b.gguf"] {
            let row = Row { id: name.clone(), ..row("o/r", &[(file, 3)], Stage::Ready) };
            shelf.rows.insert(row.key(), row);
        }
        let records = shelf.records(&bench.models, &[]);
        assert!(records[&name].files[0].path.ends_with("a.gguf"), "{records:?}");
    }
}

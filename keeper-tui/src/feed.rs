//! The queen's feed, wherever she is: one who comes back may listen elsewhere.

use std::sync::Arc;

use client::{Daemon, FeedItem, FeedOptions, FeedStream};
use tokio::sync::watch;

/// Looks where the queen is now; `None` while nobody knows.
pub type FindQueen = Arc<dyn Fn() -> Option<Daemon> + Send + Sync>;

/// The feed of a queen who is looked for again each time she is lost. It never
/// ends.
pub struct Feed {
    find: FindQueen,
    options: FeedOptions,
    stream: FeedStream,
    /// Who is read, for the others who ask her something.
    queen: watch::Sender<Daemon>,
    wake: Arc<watch::Sender<()>>,
    woken: watch::Receiver<()>,
    is_connected: bool,
    /// She was lost, or somebody wants her now, and nobody has looked since.
    is_to_look: bool,
}

/// What others hold of a feed.
#[derive(Debug, Clone)]
pub struct FeedHandle {
    queen: watch::Receiver<Daemon>,
    wake: Arc<watch::Sender<()>>,
}

impl FeedHandle {
    /// The queen who is read.
    pub fn queen(&self) -> Daemon {
        self.queen.borrow().clone()
    }

    /// Looks for her now, and tries again, unless the connection stands.
    pub fn retry_now(&self) {
        self.wake.send_replace(());
    }
}

impl Feed {
    /// The feed of `queen`, for as long as `find` finds nobody else.
    pub fn new(queen: Daemon, options: FeedOptions, find: FindQueen) -> Self {
        let (wake, woken) = watch::channel(());
        Self {
            stream: queen.feed(options.clone()),
            find,
            options,
            queen: watch::Sender::new(queen),
            wake: Arc::new(wake),
            woken,
            is_connected: false,
            is_to_look: false,
        }
    }

    /// What others hold of it.
    pub fn handle(&self) -> FeedHandle {
        FeedHandle { queen: self.queen.subscribe(), wake: Arc::clone(&self.wake) }
    }

    /// The next item. Nothing is lost when this is dropped before its end.
    pub async fn next_item(&mut self) -> FeedItem {
        loop {
            if std::mem::take(&mut self.is_to_look) {
                self.look();
            }
            let item = tokio::select! {
                biased;
                // The sender is ours as well.
                _ = self.woken.changed() => {
                    self.is_to_look = !self.is_connected;
                    self.stream.handle().retry_now();
                    continue;
                }
                item = self.stream.next_item() => item,
            };
            if let Some(item) = item {
                self.is_connected = !matches!(item, FeedItem::Disconnected { .. });
                self.is_to_look = !self.is_connected;
                return item;
            }
        }
    }

    fn look(&mut self) {
        let Some(found) = (self.find)() else { return };
        if found.base_url() != self.queen.borrow().base_url() {
            self.stream = found.feed(self.options.clone());
            self.queen.send_replace(found);
        }
    }
}

//! Who reads which request, so that nothing is generated for nobody.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use protocol::RequestId;

use crate::generation::Generator;

/// A request that can be resumed is cancelled when nobody has read it for this
/// long.
const UNREAD_MAX: Duration = Duration::from_secs(60);

/// How many read each request, and how often that has changed.
type Counts = HashMap<RequestId, Count>;

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    readers: usize,
    /// Tells a minute without readers from a minute in which one came and
    /// went.
    changes: u64,
}

/// All readers of a worker. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Readers {
    counts: Arc<Mutex<Counts>>,
}

/// One reader; dropping it is how a worker learns that it went away.
pub(super) struct Reading {
    readers: Readers,
    generator: Generator,
    id: RequestId,
    outlives: bool,
}

impl Readers {
    /// A reader begins. A request that does not outlive its connection ends
    /// with this reader.
    pub(super) fn begin(&self, generator: &Generator, id: &RequestId, outlives: bool) -> Reading {
        let mut counts = self.lock();
        let count = counts.entry(id.clone()).or_default();
        count.readers += 1;
        count.changes += 1;
        Reading { readers: self.clone(), generator: generator.clone(), id: id.clone(), outlives }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Counting leaves nothing half done.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one reader off; answers the count if it was the last one.
    fn leave(&self, id: &RequestId) -> Option<Count> {
        let mut counts = self.lock();
        let count = counts.get_mut(id)?;
        count.readers -= 1;
        count.changes += 1;
        (count.readers == 0).then_some(*count)
    }

    /// Forgets a request that nobody has read since `left`; answers whether it
    /// was so.
    fn forget_if_unread_since(&self, id: &RequestId, left: Count) -> bool {
        let mut counts = self.lock();
        let unread = counts.get(id).is_some_and(|count| count.changes == left.changes);
        if unread {
            counts.remove(id);
        }
        unread
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let Some(left) = self.readers.leave(&self.id) else { return };
        let has_ended = self.generator.find(&self.id).is_none_or(|log| log.end().is_some());
        if has_ended || !self.outlives {
            self.readers.forget_if_unread_since(&self.id, left);
            // Already ended or forgotten is as good as cancelled.
            let _ = self.generator.cancel(&self.id);
            return;
        }
        let (readers, generator, id) =
            (self.readers.clone(), self.generator.clone(), self.id.clone());
        let wait = async move {
            tokio::time::sleep(UNREAD_MAX).await;
            if readers.forget_if_unread_since(&id, left) {
                tracing::info!(%id, "nobody reads it: cancelled");
                let _ = generator.cancel(&id);
            }
        };
        // Without a runtime the process is going down, and the request too.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(wait);
        }
    }
}

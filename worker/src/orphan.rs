//! A worker that has lost its hive finishes its work and leaves.
//!
//! Its hive asks every worker how it is, every two seconds at most; that
//! question is the contact. A hive that was killed comes back within seconds
//! and adopts its workers. One that does not come back would leave a process
//! behind that nobody looks after and that holds a GPU's memory for ever.

use std::time::Duration;

use daemon::shutdown::Shutdown;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// When somebody last asked how this worker is. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Contact {
    last: watch::Sender<Instant>,
}

impl Default for Contact {
    fn default() -> Self {
        Self { last: watch::Sender::new(Instant::now()) }
    }
}

impl Contact {
    /// Somebody asks now.
    pub fn made(&self) {
        self.last.send_replace(Instant::now());
    }
}

/// Asks for `shutdown` when nobody has made contact for `limit` and nothing is
/// being worked on, which `idle` waits for. A contact while the last work is
/// being finished changes its mind.
pub async fn leave_when_forgotten<F: Future<Output = ()>>(
    contact: Contact,
    limit: Duration,
    idle: impl Fn() -> F,
    shutdown: Shutdown,
) {
    let mut last = contact.last.subscribe();
    loop {
        let until = *last.borrow_and_update() + limit;
        tokio::select! {
            () = shutdown.asked() => return,
            () = sleep_until(until) => {}
        }
        // Asked meanwhile: the silence begins anew.
        if last.has_changed().unwrap_or(false) {
            continue;
        }
        tokio::select! {
            biased;
            () = shutdown.asked() => return,
            () = idle() => {
                tracing::warn!("no hive has asked for {} s: leaving", limit.as_secs());
                shutdown.ask();
                return;
            }
            changed = last.changed() => if changed.is_err() { return },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::{advance, timeout};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    /// How long after its last contact a worker leaves; `None`: not within an
    /// hour.
    async fn leaves_after(shutdown: &Shutdown, contacts: &[u64], contact: &Contact) -> Option<u64> {
        for seconds in contacts {
            advance(Duration::from_secs(*seconds)).await;
            assert!(!shutdown.is_asked(), "left before it was forgotten");
            contact.made();
        }
        let last = Instant::now();
        let left = timeout(Duration::from_secs(3600), shutdown.asked()).await;
        left.ok().map(|()| last.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_leaves_a_minute_after_its_hive_last_asked_and_not_before() {
        let (contact, shutdown) = (Contact::default(), Shutdown::new());
        let idle = || ready(());
        tokio::spawn(leave_when_forgotten(contact.clone(), LIMIT, idle, shutdown.clone()));
        tokio::task::yield_now().await;
        let after = leaves_after(&shutdown, &[2, 2, 59, 59], &contact).await;
        assert_eq!(after, Some(60));
    }

    #[tokio::test(start_paused = true)]
    async fn it_finishes_its_work_first() {
        let (contact, shutdown) = (Contact::default(), Shutdown::new());
        let (busy, activity) = watch::channel(1);
        let idle = move || {
            let mut activity = activity.clone();
            async move { drop(activity.wait_for(|active| *active == 0).await) }
        };
        tokio::spawn(leave_when_forgotten(contact, LIMIT, idle, shutdown.clone()));
        assert!(timeout(Duration::from_secs(600), shutdown.asked()).await.is_err());
        busy.send(0).unwrap();
        shutdown.asked().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_hive_that_comes_back_while_it_finishes_keeps_it() {
        let (contact, shutdown) = (Contact::default(), Shutdown::new());
        tokio::spawn(leave_when_forgotten(contact.clone(), LIMIT, pending, shutdown.clone()));
        assert!(timeout(Duration::from_secs(90), shutdown.asked()).await.is_err());
        contact.made();
        assert_eq!(leaves_after(&shutdown, &[30, 30], &contact).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_is_told_to_leave_is_not_waited_for() {
        let (contact, shutdown) = (Contact::default(), Shutdown::new());
        let watching = leave_when_forgotten(contact, LIMIT, pending, shutdown.clone());
        shutdown.ask();
        timeout(Duration::from_secs(1), watching).await.unwrap();
    }
}

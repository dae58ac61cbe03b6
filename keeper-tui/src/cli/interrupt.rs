//! Ctrl-C, SIGTERM and SIGHUP, counted in one place.
//!
//! A command that follows a job *attends* to them: it cancels or detaches.
//! Everything else simply ends. And a command that is stuck in a write to a
//! terminal that does not read ends as well, a moment after it was asked
//! for the second time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::sleep,
};

use super::exit::Exit;

/// How long a command that attends has for its last words.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What has been asked so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// How often Ctrl-C was pressed.
    pub interrupts: u32,
    /// Whether SIGTERM or SIGHUP came.
    pub terminate: bool,
}

/// The signals of this process.
#[derive(Debug, Clone)]
pub struct Interrupts {
    asked: watch::Receiver<Asked>,
    attended: Arc<AtomicBool>,
}

/// As long as this lives, somebody attends.
#[derive(Debug)]
pub struct Attention(Arc<AtomicBool>);

impl Drop for Attention {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Interrupts {
    /// Takes over the signals of this process. Needs a tokio runtime.
    pub fn install() -> std::io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let (sender, asked) = watch::channel(Asked::default());
        tokio::spawn(async move {
            loop {
                let is_interrupt = tokio::select! {
                    _ = interrupt.recv() => true,
                    _ = terminate.recv() => false,
                    _ = hangup.recv() => false,
                };
                sender.send_modify(|asked| {
                    if is_interrupt {
                        asked.interrupts = asked.interrupts.saturating_add(1);
                    } else {
                        asked.terminate = true;
                    }
                });
            }
        });
        Ok(Self { asked, attended: Arc::default() })
    }

    /// From now on the caller answers to the signals.
    pub fn attend(&self) -> Attention {
        self.attended.store(true, Ordering::SeqCst);
        Attention(Arc::clone(&self.attended))
    }

    /// The next thing asked beyond `known`.
    pub async fn beyond(&self, known: Asked) -> Asked {
        let mut asked = self.asked.clone();
        let next = asked.wait_for(|asked| *asked != known).await.map(|asked| *asked);
        match next {
            Ok(asked) => asked,
            // The listening task is gone with its runtime: nothing will come.
            Err(_) => std::future::pending().await,
        }
    }

    /// Returns when the program must end and nobody attends to that.
    pub async fn unattended(&self) -> Exit {
        let mut known = Asked::default();
        loop {
            known = self.beyond(known).await;
            if !self.attended.load(Ordering::SeqCst) {
                return exit(known);
            }
        }
    }

    /// Returns when even a command that attends has had its time.
    pub async fn overdue(&self) -> Exit {
        let mut known = Asked::default();
        while known.interrupts < 2 && !known.terminate {
            known = self.beyond(known).await;
        }
        sleep(LAST_WORDS).await;
        exit(known)
    }
}

fn exit(asked: Asked) -> Exit {
    if asked.terminate { Exit::Terminated } else { Exit::Interrupted }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interrupts() -> (watch::Sender<Asked>, Interrupts) {
        let (sender, asked) = watch::channel(Asked::default());
        (sender, Interrupts { asked, attended: Arc::default() })
    }

    #[tokio::test]
    async fn the_first_ctrl_c_ends_what_nobody_attends_to() {
        let (sender, interrupts) = interrupts();
        sender.send_modify(|asked| asked.interrupts = 1);
        assert_eq!(interrupts.unattended().await, Exit::Interrupted);
        sender.send_modify(|asked| asked.terminate = true);
        assert_eq!(interrupts.unattended().await, Exit::Terminated);
    }

    #[tokio::test]
    async fn a_command_that_attends_ends_itself() {
        let (sender, interrupts) = interrupts();
        let attention = interrupts.attend();
        sender.send_modify(|asked| asked.interrupts = 1);
        let unattended = interrupts.unattended();
        tokio::pin!(unattended);
        assert!(futures::poll!(&mut unattended).is_pending());
        drop(attention);
        sender.send_modify(|asked| asked.interrupts = 2);
        assert_eq!(unattended.await, Exit::Interrupted);
        assert_eq!(interrupts.overdue().await, Exit::Interrupted);
    }
}

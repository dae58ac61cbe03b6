//! What a person is told who starts the hive of this machine beside a queen
//! that could carry it: what that costs here and now, and the way out.

use std::time::{Duration, Instant};

use client::Daemon;
use protocol::{HiveId, fleet::HiveState};
use tokio::sync::{mpsc, oneshot};

use super::{
    Cx, Wanted,
    exit::{Failure, Outcome},
    queen::LOCAL_HIVE,
    question::{Answered, Usually},
};

/// So many calls are measured, after as many that are not.
const CALLS: usize = 20;
const REBUILD: &str = "rbee-keeper queen rebuild --with-local-hive --restart";

/// Before a hive is started: the notice, and on a terminal the question. Nothing is
/// said of a hive that runs already, and nothing that cannot be learnt here is
/// a reason not to start one.
pub async fn before_hive(cx: &mut Cx, alias: &HiveId) -> Outcome<()> {
    if !alias.is_localhost() || !cx.config.keeper.local_hive_notice {
        return Ok(());
    }
    let queen = cx.queen(Wanted::Started).await?;
    if !is_called_over_http(&queen).await {
        return Ok(());
    }
    for line in notice(over_http(&queen).await, within_process().await) {
        cx.out.hint(&line)?;
    }
    match cx.ask("Continue with distributed setup?", Usually::No).await? {
        Answered::Yes | Answered::Nobody => Ok(()),
        Answered::No => {
            let hint = format!("nothing was started; {REBUILD}");
            Err(Failure::usage("not confirmed").with_hint(hint).into())
        }
    }
}

/// Whether the hive of her machine would be a process beside this queen, and
/// is not one yet.
async fn is_called_over_http(queen: &Daemon) -> bool {
    let (build, status) = tokio::join!(queen.build_info(), queen.status());
    let (Ok(build), Ok(status)) = (build, status) else { return false };
    let runs = |hive: &protocol::fleet::HiveRecord| {
        hive.id.is_localhost() && hive.state == HiveState::Ready
    };
    !build.features.iter().any(|feature| feature == LOCAL_HIVE) && !status.hives.iter().any(runs)
}

fn notice(http: Option<Duration>, direct: Option<Duration>) -> Vec<String> {
    let figure = |time: Option<Duration>| match time {
        Some(time) => format!("{:.3} ms", time.as_secs_f64() * 1e3),
        None => "could not be measured".to_owned(),
    };
    vec![
        "Performance notice: you are starting a hive on localhost, but your queen-rbee was built \
         without the `local-hive` feature."
            .to_owned(),
        format!("  Current setup: {} for each call over HTTP", figure(http)),
        format!("  Integrated:    {} for each call inside one process", figure(direct)),
        format!("  Both are of an empty call and measured just now: the median of {CALLS}."),
        format!("💡 Rebuild the queen with the hive of this machine in her: {REBUILD}"),
        "   Or continue with distributed setup; `local_hive_notice = false` under [keeper] in \
         config.toml says so for good."
            .to_owned(),
    ]
}

/// What a call of a daemon on this machine takes: the one to the queen goes
/// the same way as hers to the hive.
async fn over_http(queen: &Daemon) -> Option<Duration> {
    median(|| async move { queen.health().await.is_ok() }).await
}

/// What it takes when the one who is called is a task of the same process.
async fn within_process() -> Option<Duration> {
    let (calls, mut called) = mpsc::channel::<oneshot::Sender<()>>(1);
    let task = tokio::spawn(async move {
        while let Some(answer) = called.recv().await {
            let _ = answer.send(());
        }
    });
    let caller = &calls;
    let time = median(|| async move {
        let (answer, answered) = oneshot::channel();
        caller.send(answer).await.is_ok() && answered.await.is_ok()
    })
    .await;
    drop(calls);
    task.await.ok().and(time)
}

/// The median time of a call; none when one of them failed.
async fn median<F: Future<Output = bool>>(mut call: impl FnMut() -> F) -> Option<Duration> {
    let mut times = Vec::with_capacity(CALLS);
    for round in 0..2 * CALLS {
        let began = Instant::now();
        if !call().await {
            return None;
        }
        if round >= CALLS {
            times.push(began.elapsed());
        }
    }
    times.sort_unstable();
    times.get(CALLS / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notice_has_the_figures_that_were_measured_and_no_others() {
        let (http, direct) = (Duration::from_micros(400), Duration::from_micros(4));
        let both = notice(Some(http), Some(direct)).join("\n");
        for part in ["0.400 ms", "0.004 ms", REBUILD, "local_hive_notice"] {
            assert!(both.contains(part), "{part}: {both}");
        }
        let one = notice(None, Some(direct)).join("\n");
        assert!(one.contains("HTTP") && one.contains("could not be measured"), "{one}");
    }

    #[tokio::test]
    async fn a_call_that_fails_is_not_measured() {
        assert_eq!(median(|| async { false }).await, None);
        assert!(within_process().await.is_some());
    }
}

//! Stopping a process, all that it started, and nobody else.

use std::time::Duration;

use config::{Record, procfs};
use lifecycle::{Process, Stopped, stop};

use crate::helpers::{PATIENCE, Scene, eventually, is_running, record_of};

/// Long enough to be asked, too short for a test to notice.
const GRACE: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_process_that_ends_when_asked_was_asked() {
    let scene = Scene::new();
    let script = "trap 'echo bye; exit 0' TERM; echo $$ >pid; while :; do sleep 0.01; done";
    let mut launched = scene.script(script).start().unwrap();
    scene.pid("pid");
    assert_eq!(
        stop(&record_of(launched.pid, launched.nonce), PATIENCE).await.unwrap(),
        Stopped::Asked
    );
    assert_eq!(launched.exited().await.code, Some(0));
    assert_eq!(launched.log_tail(1, 100), ["bye"]);
}

#[tokio::test]
async fn a_process_that_will_not_is_killed_and_so_is_one_that_is_stopped() {
    let scene = Scene::new();
    for deaf in
        ["trap '' TERM; echo $$ >pid; while :; do sleep 1; done", "echo $$ >pid; kill -STOP $$"]
    {
        let mut launched = scene.script(deaf).start().unwrap();
        scene.pid("pid");
        if deaf.contains("STOP") {
            let is_stopped = |stat: &procfs::Stat| stat.state == 'T';
            eventually("the stop", || procfs::stat(launched.pid).filter(is_stopped));
        }
        assert_eq!(
            stop(&record_of(launched.pid, launched.nonce), GRACE).await.unwrap(),
            Stopped::Killed
        );
        assert_eq!(launched.exited().await.signal, Some(9));
        std::fs::remove_file(scene.path("pid")).unwrap();
    }
}

/// Children of a shell that ends and leaves them: in its group, in a group
/// and session of their own after a double fork, and with nothing of its
/// environment.
const LEAVE_CHILDREN: &str = r#"
    child='echo $$ >$0.new; mv $0.new $0; exec sleep 1000'
    sh -c "$child" plain &
    (setsid sh -c "$child" escaped &)
    env -i PATH="$PATH" sh -c "$child" cleared &
"#;

async fn with_children(scene: &Scene, ending: &str) -> (lifecycle::Launched, Vec<u32>) {
    let launched = scene.script(&format!("{LEAVE_CHILDREN}\n{ending}")).start().unwrap();
    let children: Vec<_> = ["plain", "escaped", "cleared"].map(|name| scene.pid(name)).into();
    assert!(children.iter().all(|&pid| is_running(pid)));
    assert_ne!(procfs::stat(children[1]).unwrap().session, launched.pid);
    (launched, children)
}

#[tokio::test]
async fn a_stopped_process_leaves_no_stray_wherever_it_hid() {
    for (ending, stopped) in [
        ("wait", Stopped::Asked),
        ("trap '' TERM; echo $$ >deaf; while :; do sleep 1; done", Stopped::Killed),
    ] {
        let scene = Scene::new();
        let (launched, children) = with_children(&scene, ending).await;
        let grace = match stopped {
            Stopped::Killed => {
                scene.pid("deaf");
                GRACE
            }
            _ => PATIENCE,
        };
        assert_eq!(stop(&record_of(launched.pid, launched.nonce), grace).await.unwrap(), stopped);
        let strays: Vec<_> = children.into_iter().filter(|&pid| is_running(pid)).collect();
        assert!(strays.is_empty(), "left running after {stopped:?}: {strays:?}");
    }
}

#[tokio::test]
async fn what_a_crashed_process_left_behind_is_ended_as_well() {
    let scene = Scene::new();
    let (mut launched, children) = with_children(&scene, "wait").await;
    let record = record_of(launched.pid, launched.nonce);
    Process::open(&record).unwrap().unwrap().kill().unwrap();
    launched.exited().await;
    assert!(is_running(children[0]));

    assert_eq!(stop(&record, PATIENCE).await.unwrap(), Stopped::AlreadyGone);
    assert!(!is_running(children[0]) && !is_running(children[1]));
    // The limit: without leader, session and mark nothing says whose it is.
    assert!(is_running(children[2]));
    end(children[2]);
}

/// Ends what a scene cannot find again by its environment.
fn end(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_daemon_that_was_launched_by_the_stopped_one_lives_on() {
    let scene = Scene::new();
    let launcher = scene.launcher().start().unwrap();
    let launched_by_it = scene.pid("launched");
    assert_eq!(
        stop(&record_of(launcher.pid, launcher.nonce), PATIENCE).await.unwrap(),
        Stopped::Asked
    );
    assert!(is_running(launched_by_it));
}

#[tokio::test]
async fn a_stranger_with_the_same_number_is_never_signalled() {
    let scene = Scene::new();
    let stranger = scene.program("/bin/sleep").args(["1000"]).start().unwrap();
    let truth = record_of(stranger.pid, config::Nonce::fresh());
    for lie in [
        Record { start_time: truth.start_time - 1, ..truth.clone() },
        Record { boot_id: "another boot".to_owned(), ..truth.clone() },
        Record { pid: 0, ..truth.clone() },
        Record { pid: u32::MAX, ..truth.clone() },
    ] {
        assert!(Process::open(&lie).unwrap().is_none(), "{lie:?}");
        assert_eq!(stop(&lie, GRACE).await.unwrap(), Stopped::AlreadyGone);
    }
    assert!(is_running(stranger.pid));
}

#[tokio::test]
async fn a_process_that_is_no_child_of_ours_is_watched_to_its_end() {
    let scene = Scene::new();
    // The middle one ends, so the last one is nobody's child of ours.
    let script = "(sh -c 'echo $$ >orphan.new; mv orphan.new orphan; exec sleep 1000' &)";
    let middle = scene.script(script).start().unwrap();
    let pid = scene.pid("orphan");
    eventually("the end of the middle one", || (!is_running(middle.pid)).then_some(()));
    let record = record_of(pid, middle.nonce);

    let orphan = Process::open(&record).unwrap().unwrap();
    assert_eq!(orphan.pid(), pid);
    let not_yet = tokio::time::timeout(Duration::from_millis(20), orphan.exited()).await;
    assert!(not_yet.is_err());
    orphan.terminate().unwrap();
    let (one, another) = tokio::join!(orphan.exited(), orphan.exited());
    one.and(another).unwrap();
    assert!(!is_running(pid));
    // Late signals reach nobody, and that is no error.
    orphan.terminate().and(orphan.kill()).unwrap();
}

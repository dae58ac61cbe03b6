//! What a launched process is given, and how its end is told.

use std::fs;

use config::procfs;
use lifecycle::{Exit, Launch, LaunchError};

use crate::helpers::{Scene, eventually, is_running};

#[tokio::test]
async fn a_launched_process_leads_its_own_session_and_knows_its_nonce() {
    let scene = Scene::new();
    let launch =
        scene.script("echo $RBEE_INSTANCE_NONCE; pwd; cat; echo to stderr >&2; sleep 1000");
    let launched = launch.args(["unused"]).start().unwrap();
    let lines = eventually("the output", || {
        let lines = launched.log_tail(9, 1000);
        (lines.len() == 3).then_some(lines)
    });
    // `cat` ended at once: there is nothing to read.
    let dir = scene.path("").canonicalize().unwrap().display().to_string();
    assert_eq!(lines, [launched.nonce.to_string(), dir, "to stderr".to_owned()]);
    assert_eq!(procfs::stat(launched.pid).unwrap().session, launched.pid);
    assert_ne!(procfs::stat(std::process::id()).unwrap().session, launched.pid);
    let output = fs::read_link(format!("/proc/{}/fd/1", launched.pid)).unwrap();
    assert_eq!(output, scene.path("log").canonicalize().unwrap());
}

#[tokio::test]
async fn a_daemon_does_not_stand_in_its_launchers_folder() {
    let scene = Scene::new();
    let launched = scene.program("/bin/sleep").args(["1000"]).start().unwrap();
    let stands_in = || fs::read_link(format!("/proc/{}/cwd", launched.pid)).ok();
    assert_eq!(stands_in().unwrap(), std::path::Path::new("/"));
}

#[tokio::test]
async fn the_end_is_told_as_it_was_and_as_often_as_it_is_asked_for() {
    let scene = Scene::new();
    for (script, code, signal) in
        [("exit 0", Some(0), None), ("exit 7", Some(7), None), ("kill -9 $$", None, Some(9))]
    {
        let mut launched = scene.script(script).start().unwrap();
        assert_eq!(launched.exited().await, Exit { code, signal });
        assert_eq!(launched.exited().await, Exit { code, signal });
    }
}

#[tokio::test]
async fn an_exit_is_told_while_a_grandchild_still_runs() {
    let scene = Scene::new();
    let mut launched = scene.script("sleep 1000 & echo $! >child; exit 3").start().unwrap();
    assert_eq!(launched.exited().await.code, Some(3));
    assert!(is_running(scene.pid("child")));
}

#[tokio::test]
async fn no_zombie_is_left_although_nobody_holds_the_handle() {
    let scene = Scene::new();
    let pids: Vec<_> = (0..50).map(|_| scene.program("/bin/true").start().unwrap().pid).collect();
    tokio::task::spawn_blocking(move || {
        for pid in pids {
            let is_ours = |stat: &procfs::Stat| stat.has_ended();
            eventually("the reaping", || procfs::stat(pid).filter(is_ours).is_none().then_some(()));
            eventually("the end", || (!is_running(pid)).then_some(()));
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_cannot_be_started_or_logged_is_named() {
    let scene = Scene::new();
    let error = scene.program("/nonexistent/queen-rbee").start().unwrap_err();
    assert!(matches!(error, LaunchError::Start { .. }));
    assert!(error.to_string().contains("/nonexistent/queen-rbee"), "{error}");
    let error = Launch::new("/bin/true", "/proc/queen.log").start().unwrap_err();
    assert!(matches!(error, LaunchError::Log { .. }));
    assert!(error.to_string().contains("/proc/queen.log"), "{error}");
}

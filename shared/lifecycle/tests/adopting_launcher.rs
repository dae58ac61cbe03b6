//! A launcher that adopts orphans, as the first process of a container and
//! some service managers do. Alone in its binary, because adopting is a
//! property of the whole process.

use lifecycle::Launch;
use rustix::process::{Pid, Signal, getpid, kill_process, set_child_subreaper};

#[tokio::test]
async fn an_exit_is_told_although_an_adopted_grandchild_still_runs() {
    set_child_subreaper(Some(getpid())).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let script = "sleep 1000 & echo $!; exit 3";
    let launch = Launch::new("/bin/sh", temp.path().join("log")).args(["-c", script]);
    let mut launched = launch.start().unwrap();
    let patience = std::time::Duration::from_secs(30);
    let exit = tokio::time::timeout(patience, launched.exited()).await;

    let grandchild: i32 = launched.log_tail(1, 100)[0].parse().unwrap();
    kill_process(Pid::from_raw(grandchild).unwrap(), Signal::KILL).unwrap();
    assert_eq!(exit.unwrap().code, Some(3));
}

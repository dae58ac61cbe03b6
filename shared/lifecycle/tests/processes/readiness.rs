//! From launched to ready, or to the reason why not.

use std::{
    cell::Cell,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use config::{Found, Instance, Nonce, instance};
use lifecycle::{ReadyError, Stage, Stopped, stop, wait_until_ready};

use crate::helpers::{PATIENCE, Scene};

async fn answers(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

#[tokio::test]
async fn a_daemon_is_ready_when_it_holds_its_directory_and_answers() {
    let scene = Scene::new();
    let mut launched = scene.daemon().start().unwrap();
    let record = wait_until_ready(&mut launched, &scene.path("data"), PATIENCE, answers).await;
    let record = record.unwrap();
    assert_eq!((record.pid, record.nonce), (launched.pid, launched.nonce));
    assert_eq!(instance::find(&scene.path("data")).unwrap(), Found::Running(record.clone()));

    assert_eq!(stop(&record, PATIENCE).await.unwrap(), Stopped::Asked);
    assert_eq!(launched.exited().await.signal, Some(15));
    assert_eq!(instance::find(&scene.path("data")).unwrap(), Found::Stale(record.clone()));
    assert_eq!(stop(&record, PATIENCE).await.unwrap(), Stopped::AlreadyGone);
}

#[tokio::test]
async fn a_daemon_that_does_not_answer_yet_is_asked_again() {
    let scene = Scene::new();
    let mut launched = scene.daemon().start().unwrap();
    let asked = Cell::new(0);
    let third_time = |_| {
        asked.set(asked.get() + 1);
        let is_well = asked.get() == 3;
        async move { is_well }
    };
    wait_until_ready(&mut launched, &scene.path("data"), PATIENCE, third_time).await.unwrap();
    assert_eq!(asked.get(), 3);
}

#[tokio::test]
async fn a_daemon_that_ends_first_is_answered_with_its_exit_and_its_own_last_lines() {
    let scene = Scene::new();
    scene.script("echo an earlier launch; exit 0").start().unwrap().exited().await;
    let mut launched = scene.script("echo binding; echo port taken >&2; exit 1").start().unwrap();
    let error = wait_until_ready(&mut launched, &scene.path("data"), PATIENCE, answers).await;
    let log = scene.path("log").display().to_string();
    assert_eq!(
        error.unwrap_err().to_string(),
        format!("sh exited with code 1 before it was ready; {log} ends:\n  binding\n  port taken")
    );

    let mut silent = scene.script("kill -9 $$").start().unwrap();
    let error = wait_until_ready(&mut silent, &scene.path("data"), PATIENCE, answers).await;
    assert_eq!(
        error.unwrap_err().to_string(),
        format!(
            "sh was killed by signal 9 (SIGKILL) before it was ready; it wrote nothing to {log}"
        )
    );
}

#[tokio::test]
async fn a_second_daemon_ends_with_the_name_of_the_first_which_is_unharmed() {
    let scene = Scene::new();
    let mut first = scene.daemon().start().unwrap();
    let dir = scene.path("data");
    let record = wait_until_ready(&mut first, &dir, PATIENCE, answers).await.unwrap();

    let mut second = scene.daemon().start().unwrap();
    let error = wait_until_ready(&mut second, &dir, PATIENCE, answers).await.unwrap_err();
    assert!(matches!(error, ReadyError::Ended { .. }), "{error}");
    let held = format!("is held by test-daemon (pid {}, since ", first.pid);
    assert!(error.to_string().contains(&held), "{error}");
    assert_eq!(instance::find(&dir).unwrap(), Found::Running(record));
}

#[tokio::test]
async fn a_daemon_that_is_late_is_left_running_and_says_how_far_it_came() {
    let scene = Scene::new();
    let dir = scene.path("data");
    let brief = Duration::from_millis(20);

    let mut idle = scene.program("/bin/sleep").args(["1000"]).start().unwrap();
    let error = wait_until_ready(&mut idle, &dir, brief, answers).await.unwrap_err();
    assert!(matches!(error, ReadyError::Late { stage: Stage::Starting, .. }), "{error}");
    assert_eq!(idle.stop(PATIENCE).await.unwrap(), Stopped::Asked);

    // A directory that another holds says nothing about ours.
    let other = Instance::acquire(&dir, "other", Nonce::fresh()).unwrap();
    let mut idle = scene.program("/bin/sleep").args(["1000"]).start().unwrap();
    let error = wait_until_ready(&mut idle, &dir, brief, answers).await.unwrap_err();
    assert!(matches!(error, ReadyError::Late { stage: Stage::Starting, .. }), "{error}");
    drop(other);

    // One that hangs when asked is bounded by the same deadline.
    let mut launched = scene.daemon().start().unwrap();
    let record = wait_until_ready(&mut launched, &dir, PATIENCE, answers).await.unwrap();
    let hangs = |_| std::future::pending();
    let error = wait_until_ready(&mut launched, &dir, brief, hangs).await.unwrap_err();
    let place = format!("it listens at {} and", record.address.unwrap());
    assert!(error.to_string().contains(&place), "{error}");
    wait_until_ready(&mut launched, &dir, PATIENCE, answers).await.unwrap();
}

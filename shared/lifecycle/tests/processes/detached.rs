//! What a launched process outlives.

use std::{fs::File, thread};

use lifecycle::Exit;
use rustix::{
    process::{Pid, Signal, kill_process_group},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

use crate::helpers::{Scene, is_running};

#[tokio::test]
async fn a_launched_process_outlives_its_killed_launcher() {
    let scene = Scene::new();
    let mut launcher = scene.launcher().start().unwrap();
    let pid = scene.pid("launched");
    // The whole group, as a shell's Ctrl-\ or a service manager would.
    let group = Pid::from_raw(launcher.pid.cast_signed()).unwrap();
    kill_process_group(group, Signal::KILL).unwrap();
    assert_eq!(launcher.exited().await.signal, Some(9));
    assert!(is_running(pid));
}

#[tokio::test]
async fn a_launched_process_outlives_its_launchers_terminal() {
    let scene = Scene::new();
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();

    // A session leader that opens a terminal without being asked not to gets
    // it as its own, and this one then becomes the launcher. Whoever runs the
    // tests under `nohup` has SIGHUP ignored by all that he starts.
    let mut launch = scene.launcher();
    let launcher = std::mem::replace(&mut launch.program, "/bin/sh".into());
    let args = std::mem::take(&mut launch.args);
    let on_terminal = r#"exec <>"$1" >&0 2>&0; shift; exec env --default-signal=HUP "$@""#;
    let mut launcher =
        launch.args(["-c", on_terminal, "sh", &name]).args([launcher]).args(args).start().unwrap();
    let pid = scene.pid("launched");

    drop(File::from(terminal));
    assert_eq!(launcher.exited().await, Exit { code: None, signal: Some(1) });
    assert!(is_running(pid));
}

#[test]
fn a_launched_process_outlives_the_thread_and_the_runtime_that_started_it() {
    let scene = Scene::new();
    let launch = scene.program("/bin/sleep").args(["1000"]);
    let start = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { launch.start().unwrap().pid })
    };
    let pid = thread::spawn(start).join().unwrap();
    assert!(is_running(pid));
}

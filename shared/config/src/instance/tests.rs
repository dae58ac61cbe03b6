use std::process::{Child, Command, Stdio};

use super::*;

fn data_dir() -> (tempfile::TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("queen");
    (temp, dir)
}

fn address() -> SocketAddr {
    "127.0.0.1:8500".parse().unwrap()
}

fn record_in(dir: &Path) -> Record {
    read_record(dir).unwrap().unwrap()
}

/// A stranger with a life of its own, ended with the test.
struct Stranger(Child);

impl Stranger {
    fn start() -> Self {
        Self(Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_held_directory_refuses_the_second_and_says_who_holds_it() {
    let (_temp, dir) = data_dir();
    let mut first = Instance::acquire(&dir, "queen-rbee", Nonce::fresh()).unwrap();
    let error = Instance::acquire(&dir, "queen-rbee", Nonce::fresh()).unwrap_err().to_string();
    assert!(error.contains("not listening yet"), "{error}");

    first.publish(address()).unwrap();
    let error = Instance::acquire(&dir, "queen-rbee", Nonce::fresh()).unwrap_err().to_string();
    let started_at = first.record().started_at;
    let holder = format!(
        "{} is held by queen-rbee (pid {}, since {started_at:.0}, at 127.0.0.1:8500)",
        dir.display(),
        std::process::id()
    );
    assert_eq!(error, holder);
    assert_eq!(find(&dir).unwrap(), Found::Running(first.record().clone()));

    drop(first);
    assert_eq!(find(&dir).unwrap(), Found::Absent);
    Instance::acquire(&dir, "queen-rbee", Nonce::fresh()).unwrap();
}

#[test]
fn of_a_hundred_that_start_together_one_gets_the_directory_and_the_others_its_name() {
    let (_temp, dir) = data_dir();
    let barrier = std::sync::Barrier::new(100);
    let attempts: Vec<_> = thread::scope(|scope| {
        let start = || {
            barrier.wait();
            Instance::acquire(&dir, "queen-rbee", Nonce::fresh())
        };
        let threads: Vec<_> = (0..100).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let winners: Vec<_> = attempts.iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    for loser in attempts.iter().filter_map(|attempt| attempt.as_ref().err()) {
        match loser {
            InstanceError::Held { record: Some(record), .. } => {
                assert_eq!(record.nonce, winners[0].record().nonce);
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn looking_does_not_keep_a_daemon_from_starting() {
    let (_temp, dir) = data_dir();
    let stop = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    find(&dir).unwrap();
                }
            });
        }
        let starts: Vec<_> = (0..50)
            .map(|_| Instance::acquire(&dir, "queen-rbee", Nonce::fresh()).map(drop))
            .collect();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        for start in starts {
            start.unwrap();
        }
    });
}

#[test]
fn the_record_carries_what_identifies_the_process_and_the_launch() {
    let (_temp, dir) = data_dir();
    let nonce = Nonce::fresh();
    let mut instance = Instance::acquire(&dir, "rbee-hive", nonce).unwrap();
    assert_eq!(record_in(&dir).address, None);
    instance.publish(address()).unwrap();

    let record = record_in(&dir);
    assert_eq!(&record, instance.record());
    assert_eq!((record.nonce, record.address), (nonce, Some(address())));
    assert_eq!(record.start_time, procfs::stat(std::process::id()).unwrap().start_time);
    assert!(record.is_live());
    let names: Vec<_> =
        fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "nothing but lock and record may stay: {names:?}");
}

#[test]
fn a_record_whose_process_is_gone_is_stale_and_does_not_hold() {
    let (_temp, dir) = data_dir();
    let mut stranger = Stranger::start();
    let mut record = {
        let instance = Instance::acquire(&dir, "queen-rbee", Nonce::fresh()).unwrap();
        instance.record().clone()
    };
    record.pid = stranger.0.id();
    record.start_time = procfs::stat(record.pid).unwrap().start_time;
    stranger.0.kill().unwrap();
    stranger.0.wait().unwrap();
    write_record(&dir, &record).unwrap();

    assert_eq!(find(&dir).unwrap(), Found::Stale(record));
    Instance::acquire(&dir, "queen-rbee", Nonce::fresh()).unwrap();
}

#[test]
fn a_pid_used_again_by_a_stranger_another_boot_and_a_zombie_are_stale() {
    let (_temp, dir) = data_dir();
    // The lock is held all the time, so that only the identity can tell.
    let instance = Instance::acquire(&dir, "queen-rbee", Nonce::fresh()).unwrap();
    let truth = instance.record().clone();
    assert_eq!(find(&dir).unwrap(), Found::Running(truth.clone()));

    let stranger = Stranger::start();
    let mut zombie = Stranger::start();
    zombie.0.kill().unwrap();
    while !procfs::stat(zombie.0.id()).unwrap().has_ended() {
        thread::yield_now();
    }
    let zombie_start = procfs::stat(zombie.0.id()).unwrap().start_time;
    for stale in [
        Record { pid: stranger.0.id(), start_time: truth.start_time - 1, ..truth.clone() },
        Record { boot_id: "another boot".to_owned(), ..truth.clone() },
        Record { pid: zombie.0.id(), start_time: zombie_start, ..truth.clone() },
    ] {
        write_record(&dir, &stale).unwrap();
        assert_eq!(find(&dir).unwrap(), Found::Stale(stale));
        // Nobody will say more, however long it is waited for.
        let patience = Duration::from_millis(20);
        let second = Instance::acquire_within(patience, &dir, "queen-rbee", Nonce::fresh());
        let error = second.unwrap_err();
        assert!(matches!(error, InstanceError::Held { record: None, .. }), "{error}");
    }
}

#[test]
fn a_live_process_that_does_not_hold_the_lock_is_not_running_here() {
    let (_temp, dir) = data_dir();
    let record = {
        let instance = Instance::acquire(&dir, "queen-rbee", Nonce::fresh()).unwrap();
        instance.record().clone()
    };
    write_record(&dir, &record).unwrap();
    assert_eq!(find(&dir).unwrap(), Found::Stale(record));
}

#[test]
fn the_directory_comes_back_although_a_child_inherited_the_moment() {
    let (_temp, dir) = data_dir();
    let instance = Instance::acquire(&dir, "queen-rbee", Nonce::fresh()).unwrap();
    // What a fork leaves until its exec: another owner of the open file.
    let shared = instance.lock.try_clone().unwrap();
    drop(instance);
    Instance::acquire(&dir, "queen-rbee", Nonce::fresh()).unwrap();
    drop(shared);
}

#[test]
fn a_file_that_is_no_record_names_nobody_and_does_not_hold() {
    let (_temp, dir) = data_dir();
    assert_eq!(find(&dir).unwrap(), Found::Absent);
    create_private_dir(&dir).unwrap();
    let whole = {
        let instance = Instance::acquire(&dir, "queen-rbee", Nonce::fresh()).unwrap();
        serde_json::to_string(instance.record()).unwrap()
    };
    for damaged in ["", "{", "\0\0\0\0", "[]", &whole[..whole.len() / 2]] {
        fs::write(record_path(&dir), damaged).unwrap();
        assert_eq!(find(&dir).unwrap(), Found::Absent, "{damaged:?}");
        let instance = Instance::acquire(&dir, "queen-rbee", Nonce::fresh()).unwrap();
        assert_eq!(find(&dir).unwrap(), Found::Running(instance.record().clone()), "{damaged:?}");
    }
}

#[test]
fn a_record_that_is_damaged_while_its_daemon_runs_is_named() {
    let (_temp, dir) = data_dir();
    let _instance = Instance::acquire(&dir, "queen-rbee", Nonce::fresh()).unwrap();
    fs::write(record_path(&dir), "{").unwrap();
    let error = find(&dir).unwrap_err().to_string();
    assert!(error.contains("record.json"), "{error}");
    assert!(error.contains("runs"), "{error}");
}

#[test]
fn a_launchers_nonce_is_taken_and_anything_else_is_replaced() {
    let nonce = Nonce::fresh();
    assert_eq!(Nonce::from_launcher(Some(nonce.to_string().into())), nonce);
    assert_ne!(Nonce::from_launcher(Some("no nonce".into())), Nonce::from_launcher(None));
}

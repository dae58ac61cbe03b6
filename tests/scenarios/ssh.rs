//! Other machines, each a real sshd on loopback with a home folder of its own.

mod configured;
mod elsewhere;
mod outage;

use std::{fs, os::unix::fs::PermissionsExt};

use harness::{Cluster, Machine, MachineSetup, Script, Seen, Terminal, wait_for};
use serde_json::{Value, json};

/// What the queen knows of a hive; null if nothing.
async fn hive(cluster: &Cluster, id: &str) -> anyhow::Result<Value> {
    let status = cluster.get("/v1/status").await?;
    let hives = status.body["hives"].as_array().cloned().unwrap_or_default();
    Ok(hives.into_iter().find(|hive| hive["id"] == id).unwrap_or_default())
}

async fn until_link(cluster: &Cluster, id: &str, state: &str) -> anyhow::Result<()> {
    wait_for(&format!("the link to be {state}"), async || {
        let hive = hive(cluster, id).await?;
        Ok(Seen::when(hive["link"]["state"] == state, hive))
    })
    .await
}

/// A worker with a script on a machine.
async fn spawn(cluster: &Cluster, id: &str, script: &Script) -> anyhow::Result<Value> {
    let spawned = cluster
        .run(&json!({
            "operation": "worker_spawn", "hive_id": id, "model": script.model(), "device": "CPU-0"
        }))
        .await?;
    anyhow::ensure!(spawned.result()["worker"].is_object(), "{spawned:#?}");
    Ok(spawned.result()["worker"].clone())
}

#[tokio::test]
async fn a_machine_is_looked_at_step_by_step_and_nothing_is_left_on_it() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let machine = Machine::start(&cluster, "gpu-1").await?;

    let discover = cluster.keeper(&["hive", "discover", "-o", "json"]).await?.succeeded()?;
    let host = discover.json()?["hosts"][0].clone();
    assert_eq!((&host["name"], &host["port"]), (&json!("gpu-1"), &json!(machine.port())));

    let test = cluster.keeper(&["hive", "ssh-test", "gpu-1", "-o", "json"]).await?.succeeded()?;
    let seen = test.json()?;
    let steps: Vec<&str> =
        seen["steps"].as_array().unwrap().iter().filter_map(|it| it["step"].as_str()).collect();
    assert_eq!(steps, ["login", "echo", "system", "tunnel"], "{seen}");
    assert_eq!(
        (&seen["facts"]["os"], &seen["facts"]["clock_seconds"]),
        (&json!("Linux"), &json!(0))
    );
    assert!(test.stderr.contains("tunnel: there and back"), "{test:#?}");
    assert_eq!(machine.files(), [""; 0]);
    cluster.close()
}

#[tokio::test]
async fn a_key_that_nobody_knows_is_shown_and_accepted_only_by_its_fingerprint()
-> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let unknown = MachineSetup { is_unknown: true, ..MachineSetup::default() };
    let machine = Machine::start_with(&cluster, "gpu-1", unknown).await?;
    let right = machine.fingerprint()?;

    // On a terminal it is asked for.
    let asked = Machine::start_with(&cluster, "asked", unknown).await?;
    let mut terminal = Terminal::running(&cluster, &["hive", "ssh-test", "asked"])?;
    terminal.until_it_shows("Is this its key? [y/N]").await?;
    assert!(terminal.text().replace(['\n', ' '], "").contains(&asked.fingerprint()?));
    terminal.press("y\r")?;
    terminal.until_it_shows("can be used").await?;
    fs::remove_file(cluster.home().join("known_hosts"))?;

    let refused = cluster.keeper(&["hive", "ssh-test", "gpu-1", "--yes"]).await?;
    assert_eq!(refused.code, Some(4), "{refused:#?}");
    assert!(refused.stderr.contains(&right), "{refused:#?}");
    assert!(refused.stderr.contains(&format!("--host-key {right}")), "{refused:#?}");

    let wrong = format!("SHA256:{}", "A".repeat(43));
    let refused = cluster.keeper(&["hive", "ssh-test", "gpu-1", "--host-key", &wrong]).await?;
    assert_ne!(refused.code, Some(0));
    assert!(!cluster.home().join("known_hosts").exists(), "nothing was noted");

    cluster.keeper(&["hive", "ssh-test", "gpu-1", "--host-key", &right]).await?.succeeded()?;
    cluster.keeper(&["hive", "ssh-test", "gpu-1"]).await?.succeeded()?;

    // Another key under the same name is somebody else until proven otherwise.
    let known = cluster.home().join("known_hosts");
    let other = Machine::start_with(&cluster, "other", unknown).await?;
    let text =
        fs::read_to_string(&known)?.replace(&machine.port().to_string(), &other.port().to_string());
    fs::write(&known, text)?;
    let changed = cluster.keeper(&["hive", "ssh-test", "other"]).await?;
    assert!(changed.stderr.contains("another host key"), "{changed:#?}");
    let right = other.fingerprint()?;
    let changed = cluster.keeper(&["hive", "ssh-test", "other", "--host-key", &right]).await?;
    assert!(changed.stderr.contains("another host key"), "{changed:#?}");
    cluster.close()
}

#[tokio::test]
async fn a_machine_is_installed_used_cut_off_updated_and_left_as_it_was() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let mut machine = Machine::start(&cluster, "gpu-1").await?;
    fs::write(machine.home().join("mine"), "x")?;
    machine.cache_model("someone/theirs", "theirs.gguf")?;
    let before = machine.files();

    cluster.keeper(&["hive", "install", "gpu-1"]).await?.succeeded()?;
    let installed = hive(&cluster, "gpu-1").await?;
    assert_eq!((&installed["state"], &installed["link"]["state"]), (&json!("ready"), &json!("up")));
    assert!(installed["link"]["round_trip_ms"].as_f64().unwrap() > 0.0, "{installed}");

    // Nothing there but loopback, and nothing without the token.
    let record = config::instance::find(&machine.paths().hive_dir())?;
    let config::Found::Running(record) = record else { panic!("{record:?}") };
    let address = record.address.unwrap();
    assert!(address.ip().is_loopback());
    let url = format!("http://{address}");
    let answer = cluster.call_at(&url, "GET", "/v1/jobs", &[], None).await?;
    assert_eq!((answer.status, answer.code()), (401, "unauthorized"));
    let token = machine.paths().config_dir.join("hive.token");
    assert_eq!(fs::metadata(&token)?.permissions().mode() & 0o777, 0o600);

    let script = cluster.script("endless", &Script::endless(10))?;
    let worker = spawn(&cluster, "gpu-1", &script).await?;
    let worker_url = worker["url"].as_str().unwrap();
    let answer = cluster.call_at(worker_url, "GET", "/v1/inference/x/stream", &[], None).await?;
    assert_eq!(answer.status, 401, "{answer:?}");
    let worker_id = worker["id"].as_str().unwrap().parse()?;
    let beats = |it: &Value| it["last_heartbeat_at"].is_string();
    cluster.until_worker(&worker_id, "its heartbeat through the tunnel", beats).await?;

    let job = cluster.submit(&Cluster::infer(&script)).await?;
    cluster.until_tokens(&job, 3).await?;
    // The near end is killed.
    for pid in cluster.ssh_pids() {
        cluster.kill9(pid).await?;
    }
    let shown = cluster.job(&job).await?.last_event as usize;
    cluster.until_tokens(&job, shown + 5).await?;
    // The far end is gone, and comes back.
    machine.switch_off()?;
    until_link(&cluster, "gpu-1", "down").await?;
    let shown = cluster.job(&job).await?.last_event as usize;
    machine.switch_on().await?;
    until_link(&cluster, "gpu-1", "up").await?;
    cluster.until_tokens(&job, shown + 5).await?;

    // The queen is killed, and the connection with her; the next one reads on.
    let shown = cluster.job(&job).await?.last_event as usize;
    cluster.kill9(cluster.pid(harness::Daemon::Queen)?).await?;
    cluster.keeper(&["queen", "start"]).await?.succeeded()?;
    until_link(&cluster, "gpu-1", "up").await?;
    cluster.until_tokens(&job, shown + 5).await?;
    wait_for("the dead queen's ssh to be gone", async || {
        let pids = cluster.ssh_pids();
        Ok(Seen::when(pids.len() == 1, pids))
    })
    .await?;

    // The same build again changes nothing; another one takes its place while
    // the worker goes on.
    cluster.keeper(&["hive", "install", "gpu-1"]).await?.succeeded()?;
    let other = other_build(&cluster)?;
    let hive_before = record.pid;
    let update = ["hive", "update", "gpu-1", "--binary-path", &other];
    cluster.keeper(&update).await?.succeeded()?;
    let record = config::instance::find(&machine.paths().hive_dir())?;
    let config::Found::Running(record) = record else { panic!("{record:?}") };
    assert_ne!(record.pid, hive_before);
    let is_same = |it: &Value| it["pid"] == worker["pid"] && it["state"] == "busy";
    cluster.until_worker(&worker_id, "the same process, at work", is_same).await?;
    let shown = cluster.job(&job).await?.last_event as usize;
    cluster.until_tokens(&job, shown + 5).await?;

    cluster.cancel(&job).await?;
    let transcript = cluster.read(&job).await?;
    assert_eq!(transcript.text(), Script::endless_text(transcript.token_count()));

    let doctor = cluster.keeper(&["hive", "doctor", "gpu-1"]).await?.succeeded()?;
    assert!(doctor.stdout.contains("can be used"), "{doctor:#?}");
    let uninstall = ["hive", "uninstall", "gpu-1", "--purge", "--confirm", "gpu-1"];
    let purged = cluster.keeper(&uninstall).await?.succeeded()?;
    // What another tool put into the hub's cache is not rbee's to delete.
    assert!(purged.stderr.contains("theirs.gguf stays"), "{purged:#?}");
    assert_eq!(machine.files(), before);
    assert_eq!(machine.processes(), []);
    assert_eq!(hive(&cluster, "gpu-1").await?, Value::Null);
    cluster.close()
}

/// Names that would be something else to an option parser, a shell or an
/// expansion.
const HOSTILE: [&str; 24] = [
    "-oProxyCommand=touch /tmp/x",
    "-l",
    "--",
    "a b",
    "a\tb",
    "a\nb",
    "a\rb",
    "a;id",
    "a|id",
    "a&id",
    "$(id)",
    "`id`",
    "${HOME}",
    "a'b",
    "a\"b",
    "a\\b",
    "%h",
    "a%20b",
    "~root",
    "*",
    "a>b",
    "a\u{202e}b",
    "a\0b",
    "",
];

#[tokio::test]
async fn a_hostile_name_is_refused_at_the_door_and_ssh_is_never_started() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let record = cluster.home().join("argv");
    let script = format!("printf '%s\\n' \"$@\" end >>'{}'\nexit 255", record.display());
    cluster.stand_in("ssh", &script)?;
    for name in HOSTILE {
        let user = format!("{name}@box");
        let port = format!("box:{name}");
        for (field, operation) in [
            ("alias", json!({"operation": "ssh_test", "alias": name})),
            ("alias", json!({"operation": "hive_install", "alias": name})),
            ("alias", json!({"operation": "hive_uninstall", "alias": name})),
            ("ssh", json!({"operation": "ssh_test", "alias": "box", "ssh": name})),
            ("ssh", json!({"operation": "hive_install", "alias": "box", "ssh": user})),
            ("ssh", json!({"operation": "hive_install", "alias": "box", "ssh": port})),
            ("host_key", json!({"operation": "ssh_test", "alias": "box", "host_key": name})),
            (
                "binary_path",
                json!({"operation": "hive_update", "alias": "box", "binary_path": name}),
            ),
        ] {
            let answer = cluster.post_job(harness::Daemon::Queen, &operation).await?;
            assert_eq!(answer.status, 422, "{operation}: {answer:?}");
            assert!(answer.message().contains(field), "{operation}: {answer:?}");
        }
    }
    assert!(!record.exists(), "{}", fs::read_to_string(&record)?);

    // A good name is one argument behind `--`, and the command is a constant.
    let test = json!({"operation": "ssh_test", "alias": "box", "ssh": "ada@10.0.0.7:2222"});
    cluster.run(&test).await?.error()?;
    let words = fs::read_to_string(&record)?;
    let words: Vec<&str> = words.lines().collect();
    let tail = ["-l", "ada", "-p", "2222", "--", "10.0.0.7", "exec cat", "end"];
    assert!(words.ends_with(&tail), "{words:?}");
    cluster.close()
}

#[tokio::test]
async fn every_reason_why_a_machine_cannot_be_used_is_told_with_a_remedy() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let closed =
        MachineSetup { sshd_config: "AllowStreamLocalForwarding no", ..MachineSetup::default() };
    let closed = Machine::start_with(&cluster, "closed", closed).await?;
    let failed = cluster.keeper(&["hive", "ssh-test", "closed"]).await?;
    assert!(failed.stderr.contains("AllowStreamLocalForwarding"), "{failed:#?}");
    drop(closed);

    let mac = [("uname", "[ \"$1\" = -s ] && echo Darwin || echo arm64")];
    let mac = MachineSetup { programs: &mac, ..MachineSetup::default() };
    let mac = Machine::start_with(&cluster, "mac", mac).await?;
    let failed = cluster.keeper(&["hive", "install", "mac"]).await?;
    assert!(failed.stderr.contains("a hive needs Linux"), "{failed:#?}");
    assert_eq!(mac.files(), [""; 0]);

    let odd = [("uname", "[ \"$1\" = -s ] && echo Linux || echo riscv64")];
    let odd = MachineSetup { programs: &odd, ..MachineSetup::default() };
    let _odd = Machine::start_with(&cluster, "odd", odd).await?;
    let failed = cluster.keeper(&["hive", "install", "odd"]).await?;
    assert!(failed.stderr.contains("BinaryPath in hives.conf"), "{failed:#?}");
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    assert!(failed.stderr.contains(&triple), "{failed:#?}");
    assert!(failed.stderr.contains("--binary-path"), "{failed:#?}");

    let small = [("df", "echo head; echo /dev/x 1 1 1024 1% /")];
    let small = MachineSetup { programs: &small, ..MachineSetup::default() };
    let small = Machine::start_with(&cluster, "small", small).await?;
    let failed = cluster.keeper(&["hive", "install", "small"]).await?;
    assert!(failed.stderr.contains("has 1 MiB free"), "{failed:#?}");
    assert_eq!((small.files(), hive(&cluster, "small").await?), (vec![], Value::Null));

    let mut gone = Machine::start(&cluster, "gone").await?;
    gone.let_in(&cluster, false)?;
    let failed = cluster.keeper(&["hive", "ssh-test", "gone"]).await?;
    assert!(failed.stderr.contains("refused the login"), "{failed:#?}");
    assert!(failed.stderr.contains("ssh-copy-id"), "{failed:#?}");
    gone.switch_off()?;
    let failed = cluster.keeper(&["hive", "ssh-test", "gone"]).await?;
    assert!(failed.stderr.contains("cannot be reached"), "{failed:#?}");
    let failed = cluster.keeper(&["hive", "start", "gone"]).await?;
    assert!(failed.stderr.contains("no hive 'gone'"), "{failed:#?}");
    cluster.close()
}

#[tokio::test]
async fn an_installation_that_broke_is_taken_up_and_one_that_does_not_start_is_undone()
-> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    // The link is cut when the programs have arrived.
    let cut = [(
        "chmod",
        "[ -e \"$HOME/../cut\" ] && exec /bin/chmod \"$@\"; : >\"$HOME/../cut\"; kill -9 $PPID; exit 1",
    )];
    let setup = MachineSetup { programs: &cut, ..MachineSetup::default() };
    let machine = Machine::start_with(&cluster, "gpu-1", setup).await?;
    let broken = cluster.keeper(&["hive", "install", "gpu-1"]).await?;
    assert_ne!(broken.code, Some(0), "{broken:#?}");
    let unfinished = hive(&cluster, "gpu-1").await?;
    assert_eq!(unfinished["reason"], "its installation did not come to its end", "{unfinished}");
    cluster.keeper(&["hive", "install", "gpu-1"]).await?.succeeded()?;

    let before = hive(&cluster, "gpu-1").await?;
    let script = cluster.script("endless", &Script::endless(10))?;
    let worker = spawn(&cluster, "gpu-1", &script).await?;
    // It says its version as a hive does, and knows nothing else.
    let wrong = cluster.home().join("wrong");
    fs::create_dir(&wrong)?;
    let bin = cluster.home().join("bin");
    fs::copy(bin.join("llm-worker-rbee"), wrong.join("rbee-hive"))?;
    fs::copy(bin.join("llm-worker-rbee"), wrong.join("llm-worker-rbee"))?;
    let path = wrong.display().to_string();
    let undone = cluster.keeper(&["hive", "update", "gpu-1", "--binary-path", &path]).await?;
    assert_ne!(undone.code, Some(0), "{undone:#?}");
    assert!(undone.stderr.contains("the build before counts again"), "{undone:#?}");
    let worker_id = worker["id"].as_str().unwrap().parse()?;
    let is_same = |it: &Value| it["pid"] == worker["pid"] && it["state"] == "ready";
    cluster.until_worker(&worker_id, "the same process", is_same).await?;
    wait_for("the hive to be back", async || {
        let hive = hive(&cluster, "gpu-1").await?;
        Ok(Seen::when(hive["state"] == "ready" && hive["version"] == before["version"], hive))
    })
    .await?;

    // An older build only takes the place of a newer one when that is said.
    let older = older_build(&cluster)?;
    let update = ["hive", "update", "gpu-1", "--binary-path", &older];
    let refused = cluster.keeper(&update).await?;
    assert!(refused.stderr.contains("is older"), "{refused:#?}");
    assert!(refused.stderr.contains("--allow-downgrade"), "{refused:#?}");
    cluster.keeper(&[&update[..], &["--allow-downgrade"]].concat()).await?.succeeded()?;
    assert_eq!(hive(&cluster, "gpu-1").await?["version"], OLDER);
    let doctor = cluster.keeper(&["hive", "doctor", "gpu-1"]).await?;
    assert_ne!(doctor.code, Some(0), "{doctor:#?}");
    assert!(doctor.stdout.contains("rbee-keeper hive update gpu-1"), "{doctor:#?}");

    cluster.keeper(&["hive", "stop", "gpu-1"]).await?.succeeded()?;
    assert_eq!(machine.processes(), []);
    cluster.keeper(&["hive", "start", "gpu-1"]).await?.succeeded()?;
    // The next queen finds the machine again.
    cluster.keeper(&["queen", "stop"]).await?.succeeded()?;
    cluster.keeper(&["queen", "start"]).await?.succeeded()?;
    until_link(&cluster, "gpu-1", "up").await?;
    let uninstall = ["hive", "uninstall", "gpu-1", "--confirm", "gpu-1"];
    cluster.keeper(&uninstall).await?.succeeded()?;
    assert!(!machine.home().join(".local").exists(), "{:?}", machine.files());
    cluster.close()
}

/// Enough of systemd for one unit: it starts what the unit says.
const SYSTEMCTL: &str = r#"
echo "$@" >>"$HOME/../systemctl.log"
U="$HOME/.config/systemd/user/rbee-hive.service"
case "$2 $3" in
    'enable --now')
        env=$(sed -n 's/^Environment=//p' "$U" | sed "s,%h,$HOME,g")
        run=$(sed -n 's/^ExecStart=//p' "$U" | sed "s,%h,$HOME,g")
        setsid env $env $run </dev/null >/dev/null 2>&1 &
        ;;
esac
exit 0"#;

#[tokio::test]
async fn where_there_is_systemd_the_hive_is_a_unit_of_its_user() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let programs = [("systemctl", SYSTEMCTL), ("loginctl", "exit 1")];
    let setup = MachineSetup { programs: &programs, ..MachineSetup::default() };
    let mut machine = Machine::start_with(&cluster, "gpu-1", setup).await?;
    let installed = cluster.keeper(&["hive", "install", "gpu-1"]).await?.succeeded()?;
    assert!(installed.stderr.contains("as a systemd unit of its user"), "{installed:#?}");
    assert!(installed.stderr.contains("loginctl enable-linger"), "{installed:#?}");
    let unit = fs::read_to_string(machine.home().join(".config/systemd/user/rbee-hive.service"))?;
    // The workers outlive their hive.
    assert!(unit.contains("KillMode=process\n") && unit.contains("--hive-id gpu-1 "), "{unit}");
    let uninstall = ["hive", "uninstall", "gpu-1", "--confirm", "gpu-1"];
    machine.switch_off()?;
    let failed = cluster.keeper(&uninstall).await?;
    assert!(failed.stderr.contains("--forget"), "{failed:#?}");
    machine.switch_on().await?;
    cluster.keeper(&uninstall).await?.succeeded()?;
    assert_eq!((machine.files(), machine.processes()), (vec![], vec![]));

    // A machine that does not come back.
    cluster.keeper(&["hive", "install", "gpu-1"]).await?.succeeded()?;
    machine.switch_off()?;
    let forget = ["hive", "uninstall", "gpu-1", "--forget", "--confirm", "gpu-1"];
    cluster.keeper(&forget).await?.succeeded()?;
    assert_eq!(hive(&cluster, "gpu-1").await?, Value::Null);
    cluster.close()
}

/// As long as the version of this build.
const OLDER: &str = "0.0.9";

/// The same programs, which call themselves older.
fn older_build(cluster: &Cluster) -> anyhow::Result<String> {
    let version = env!("CARGO_PKG_VERSION").as_bytes();
    assert_eq!(version.len(), OLDER.len());
    let dir = cluster.home().join("older");
    fs::create_dir(&dir)?;
    for name in ["rbee-hive", "llm-worker-rbee"] {
        let mut program = fs::read(cluster.home().join("bin").join(name))?;
        let mut at = 0;
        while let Some(found) = program[at..].windows(version.len()).position(|it| it == version) {
            at += found;
            program[at..at + version.len()].copy_from_slice(OLDER.as_bytes());
        }
        let file = dir.join(name);
        fs::write(&file, program)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    }
    Ok(dir.display().to_string())
}

/// The same programs as another build: bytes behind the end of one change
/// nothing but its sha256.
fn other_build(cluster: &Cluster) -> anyhow::Result<String> {
    let dir = cluster.home().join("other");
    fs::create_dir(&dir)?;
    for name in ["rbee-hive", "llm-worker-rbee"] {
        fs::copy(cluster.home().join("bin").join(name), dir.join(name))?;
    }
    let mut hive = fs::File::options().append(true).open(dir.join("rbee-hive"))?;
    std::io::Write::write_all(&mut hive, b"another build")?;
    Ok(dir.display().to_string())
}

//! `hive …`: the machines.

use std::path::{Path, PathBuf};

use config::{SshTarget, ssh_config};
use lifecycle::ssh::{SshFault, argv, effective};
use protocol::operation::{
    HiveGet, HiveInstall, HiveList, HiveRefreshCapabilities, HiveStart, HiveStatus, HiveStop,
    HiveUninstall, HiveUpdate, Operation, QueenOperation, SshTest,
};
use serde_json::json;

use super::{
    Cx, Wanted,
    args::{Hive, InstallArgs, Machine, Reach},
    exit::{Exit, Failure, Outcome, Stop},
    notice, operate,
    output::{Block, Report},
    question::{Answered, Usually},
    table::{Cell, Table},
};

/// `hive …`
pub async fn hive(cx: &mut Cx, command: Hive) -> Outcome {
    let (operation, wanted): (QueenOperation, _) = match command {
        Hive::Start(hive) => {
            notice::before_hive(cx, &hive.alias).await?;
            (HiveStart { alias: hive.alias }.into(), Wanted::Started)
        }
        Hive::Install(args) if args.reach.machine.alias.is_localhost() => {
            let alias = args.reach.machine.alias;
            cx.out.say("this machine has the programs already; starting its hive")?;
            notice::before_hive(cx, &alias).await?;
            (HiveStart { alias }.into(), Wanted::Started)
        }
        Hive::Stop(hive) => (HiveStop { alias: hive.alias }.into(), Wanted::Running),
        Hive::Status(hive) => (HiveStatus { alias: hive.alias }.into(), Wanted::Running),
        Hive::Refresh(hive) => {
            (HiveRefreshCapabilities { alias: hive.alias }.into(), Wanted::Running)
        }
        Hive::List => (HiveList::default().into(), Wanted::Running),
        Hive::Get(hive) => (HiveGet { alias: hive.alias }.into(), Wanted::Running),
        Hive::Discover => return discover(cx).await,
        Hive::SshTest(reach) => {
            let (alias, ssh, host_key) = parts(*reach);
            return with_host_key(cx, host_key, |host_key| {
                SshTest { alias: alias.clone(), ssh: ssh.clone(), host_key }.into()
            })
            .await;
        }
        Hive::Install(args) => {
            let InstallArgs { reach, binary_path } = *args;
            let (alias, ssh, host_key) = parts(reach);
            let binary_path = absolute(binary_path)?;
            return with_host_key(cx, host_key, |host_key| {
                let (alias, ssh) = (alias.clone(), ssh.clone());
                HiveInstall { alias, ssh, host_key, binary_path: binary_path.clone() }.into()
            })
            .await;
        }
        Hive::Update { alias, binary_path, allow_downgrade } => {
            let binary_path = absolute(binary_path)?;
            (HiveUpdate { alias, binary_path, allow_downgrade }.into(), Wanted::Running)
        }
        Hive::Doctor { alias } => {
            (SshTest { alias, ssh: None, host_key: None }.into(), Wanted::Running)
        }
        Hive::Uninstall { alias, purge, forget, confirm } => {
            let question = match (forget, purge) {
                (true, _) => format!("Forget '{alias}' and leave what is on it?"),
                (false, true) => {
                    format!(
                        "Take the hive, its workers and the models that it downloaded off \
                         '{alias}'? What other tools put into the hub's cache stays."
                    )
                }
                (false, false) => format!("Take the hive and its workers off '{alias}'?"),
            };
            cx.confirm_delete(&question, &alias, confirm.as_ref()).await?;
            (HiveUninstall { alias, purge, forget }.into(), Wanted::Running)
        }
    };
    operate(cx, Operation::from(operation), wanted).await
}

fn parts(reach: Reach) -> (protocol::HiveId, Option<String>, Option<String>) {
    let Reach { machine: Machine { alias, target }, ssh, host_key } = reach;
    (alias, ssh.or(target).map(|target| target.destination()), host_key)
}

/// The queen runs in another folder.
fn absolute(path: Option<PathBuf>) -> Result<Option<String>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let path = std::path::absolute(&path).map_err(|error| Failure::local("usage", &error))?;
    match path.to_str() {
        Some(path) => Ok(Some(path.to_owned())),
        None => Err(Failure::usage("--binary-path: the path must be UTF-8")),
    }
}

/// Runs the operation. A host key that nobody knows yet is shown to the person
/// at the terminal, and the operation is run again with the fingerprint that
/// was agreed to; where nobody can be asked, the error says how to accept it.
async fn with_host_key(
    cx: &mut Cx,
    given: Option<String>,
    operation: impl Fn(Option<String>) -> QueenOperation,
) -> Outcome {
    let is_given = given.is_some();
    let first = operate(cx, Operation::from(operation(given)), Wanted::Started).await;
    let failure = match first {
        Err(Stop::Failed(failure)) if failure.code == "host_key_unknown" && !is_given => failure,
        done => return done,
    };
    let fingerprint = failure.message.split(' ').find(|word| word.starts_with("SHA256:"));
    // `--yes` is an answer to our questions and not to this one.
    let (Some(fingerprint), false) = (fingerprint.map(str::to_owned), cx.options.yes) else {
        return Err(failure.into());
    };
    cx.out.say(&failure.message)?;
    match cx.ask("Is this its key?", Usually::No).await? {
        Answered::Yes => {
            let operation = Operation::from(operation(Some(fingerprint)));
            operate(cx, operation, Wanted::Running).await
        }
        Answered::No | Answered::Nobody => Err(failure.into()),
    }
}

/// Hosts of `~/.ssh/config`, and what ssh makes of each.
async fn discover(cx: &mut Cx) -> Outcome {
    let home = std::env::home_dir().ok_or_else(|| {
        Failure::new(Exit::Failed, "no_home", "there is no home folder with a .ssh/config")
    })?;
    let file = home.join(".ssh/config");
    let names = ssh_config::names(&file, &home);
    let mut table = Table::new(["HOST", "USER", "ADDRESS", ">PORT", "NOTE"]);
    let (mut documents, mut usable) = (Vec::new(), Vec::new());
    for name in &names {
        let host = look(name).await?;
        table.row([
            Cell::new(name),
            Cell::from(host.user.as_ref()),
            Cell::from(host.address.as_ref()),
            Cell::from(host.port),
            Cell::from(host.note.as_ref()),
        ]);
        documents.push(json!({
            "name": name, "user": host.user, "address": host.address, "port": host.port,
            "note": host.note,
        }));
        if host.note.is_none() {
            usable.push(name.clone());
        }
    }
    let blocks = match (names.is_empty(), usable.first()) {
        (true, _) => vec![Block::Line(nothing(&file))],
        (false, Some(name)) => vec![
            Block::Table(table),
            Block::Line(format!("add one: rbee-keeper hive install {name}")),
        ],
        (false, None) => vec![Block::Table(table)],
    };
    let document = json!({ "hosts": documents });
    cx.out.report(None, &Report { document, names: usable, blocks, exit: Exit::Done })?;
    Ok(Exit::Done)
}

fn nothing(file: &Path) -> String {
    format!("{} names no host; or: rbee-keeper hive install USER@HOST", file.display())
}

#[derive(Default)]
struct Host {
    user: Option<String>,
    address: Option<String>,
    port: Option<u16>,
    note: Option<String>,
}

async fn look(name: &str) -> Result<Host, Failure> {
    let note = |text: &str| Host { note: Some(text.to_owned()), ..Host::default() };
    let (true, Ok(target)) = (name.parse::<protocol::HiveId>().is_ok(), name.parse::<SshTarget>())
    else {
        return Ok(note("this name is no alias: letters, digits, `.`, `_`, `-`"));
    };
    match effective::look(argv::effective(&target)).await {
        Ok(seen) => {
            Ok(Host { user: seen.user, address: seen.host_name, port: seen.port, note: None })
        }
        Err(error) if error.fault == SshFault::NoSsh => {
            let failure = Failure::new(Exit::Failed, "no_ssh", error.message);
            Err(Failure { hint: error.hint, ..failure })
        }
        Err(error) => Ok(note(&error.message)),
    }
}

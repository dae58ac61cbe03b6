//! Machines are added: one is chosen, what comes of it is shown, and only then
//! the queen is asked.

use protocol::{
    HiveId,
    operation::{HiveInstall, HiveStart, Operation, QueenOperation},
};

use super::{
    deeds, toast,
    typing::{LINE_MAX, edit},
};
use crate::{
    cli::args::Machine,
    text::one_line,
    tui::{
        actions::{Reason, Target, Verb, available},
        effect::Effect,
        state::{
            Model, Now,
            dialog::{Confirm, Dialog},
            line::Line,
            machines::Pick,
        },
        theme::Tone,
    },
};

/// The hosts were read, or could not be.
pub(super) fn hosts_read(model: &mut Model, result: Result<Vec<String>, String>, now: Now) {
    match result {
        Ok(names) => model.hosts.names = Some(names),
        Err(cause) => {
            super::note(model, "ssh config", &cause, now);
            model.hosts.problem = Some(cause);
        }
    }
}

/// Asks for the hosts once the offer to add one is on the screen.
pub(super) fn ask(model: &mut Model, effects: &mut Vec<Effect>) {
    let is_offered = matches!(model.ui.dialog, Some(Dialog::Machine(_)))
        || (model.is_first_run() && model.ui.view == crate::tui::state::View::Fleet);
    if is_offered && model.is_queen_here() && !model.hosts.is_asked {
        model.hosts.is_asked = true;
        effects.push(Effect::ReadHosts);
    }
}

/// Starts the hive of the queen's machine.
pub(super) fn start_here(model: &mut Model, now: Now) {
    let start = QueenOperation::from(HiveStart { alias: HiveId::localhost() });
    deeds::begin_operation(model, Verb::StartHive, start.into(), false, now);
}

/// Asks which machine.
pub(super) fn pick(model: &mut Model, now: Now) {
    let refusal = if model.is_read_only {
        Reason::ReadOnly
    } else if !model.connection.is_live() {
        Reason::QueenAway
    } else {
        // What was written since the last time counts.
        (model.hosts.is_asked, model.hosts.problem) = (false, None);
        model.ui.dialog = Some(Dialog::Machine(Pick::default()));
        return;
    };
    toast(model, deeds::cannot(&refusal), Tone::Warn, now);
}

/// Moves through the hosts.
pub(super) fn step(model: &Model, pick: &mut Pick, by: i64) {
    let last = model.hosts_like(pick.line.text()).count().checked_sub(1);
    pick.at = match (pick.at, last) {
        (_, None) => None,
        (None, _) if by < 0 => None,
        (Some(0), _) if by < 0 => None,
        (None, _) => Some(0),
        (Some(at), Some(last)) if by < 0 => Some((at - 1).min(last)),
        (Some(at), Some(last)) => Some((at + 1).min(last)),
    };
}

/// A key for the line.
pub(super) fn type_key(pick: &mut Pick, key: crossterm::event::KeyEvent) {
    if edit(&mut pick.line.input, key, LINE_MAX) {
        typed(pick);
    }
}

/// The line is another.
pub(super) fn typed(pick: &mut Pick) {
    pick.at = None;
    pick.problem = None;
}

/// Puts the chosen host, or else the first that fits, into the line.
pub(super) fn complete(model: &Model, pick: &mut Pick) {
    let name = model.hosts_like(pick.line.text()).nth(pick.at.unwrap_or(0)).map(str::to_owned);
    if let Some(name) = name {
        pick.line = Line::new(&name);
        typed(pick);
    }
}

/// Takes the chosen host, or else what is typed; shows what would come of it.
pub(super) fn accept(model: &mut Model, mut pick: Pick) {
    let chosen = pick.at.and_then(|at| model.hosts_like(pick.line.text()).nth(at));
    let name = chosen.unwrap_or_else(|| pick.line.text().trim()).to_owned();
    let confirmed = match name.parse::<Machine>() {
        _ if name.is_empty() => Err("type a host, or move to one with ↓".to_owned()),
        Ok(machine) => confirm(model, machine).map_err(|reason| reason.to_string()),
        Err(problem) => Err(one_line(&problem).into_owned()),
    };
    if let Err(problem) = confirmed {
        pick.problem = Some(problem);
        model.ui.dialog = Some(Dialog::Machine(pick));
    }
}

/// Shows what would come of it, unless it cannot be done.
pub(super) fn confirm(model: &mut Model, machine: Machine) -> Result<(), Reason> {
    let Machine { alias, target } = machine;
    available(model, Verb::InstallHive, &Target::Hive(alias.clone()))?;
    let ssh = target.map(|target| target.destination());
    model.ui.dialog = Some(Dialog::Confirm(question(model, install(alias, ssh))));
    Ok(())
}

/// What puts a hive there that is as this build's.
pub(super) fn install(alias: HiveId, ssh: Option<String>) -> HiveInstall {
    HiveInstall { alias, binary_path: None, ssh, host_key: None }
}

/// An installation is to be asked for once more: shall it be done?
pub(super) fn request_read(model: &mut Model, result: Result<Operation, String>, now: Now) {
    match result {
        Ok(Operation::Queen(QueenOperation::HiveInstall(install))) => {
            // Whatever was opened meanwhile is what is being answered.
            if model.ui.dialog.is_none() {
                model.ui.dialog = Some(Dialog::Confirm(question(model, install)));
            }
        }
        Ok(_) => {}
        Err(cause) => toast(model, format!("Not now: {cause}"), Tone::Warn, now),
    }
}

/// Shall a hive be put there? With the key that the machine showed, if that is
/// what was missing.
pub(super) fn question(model: &Model, install: HiveInstall) -> Confirm {
    let host_key = model.shown_key(&install.alias).or(install.host_key);
    let install = HiveInstall { host_key, ..install };
    Confirm {
        verb: Verb::InstallHive,
        targets: vec![Target::Hive(install.alias.clone())],
        name: None,
        operation: Some(QueenOperation::from(install).into()),
    }
}

//! Asking: what is put to whom.

use super::{command, toast};
use crate::tui::{
    actions::{Slot, operation_line},
    effect::Effect,
    keymap::Action,
    state::{
        Model, Now, Pane,
        infer::{Target, Turn},
    },
    theme::Tone,
};

fn is_busy(model: &Model, target: &Target) -> bool {
    match &target.turn {
        Turn::Sending { .. } => true,
        Turn::Accepted { job, .. } => !model.is_ended(job),
        Turn::Unasked | Turn::Refused { .. } => false,
    }
}

/// Puts the prompt to everybody who shall answer.
pub(super) fn send(model: &mut Model, now: Now, effects: &mut Vec<Effect>) {
    let prompt = model.infer.text();
    if prompt.trim().is_empty() {
        toast(model, "Type something first", Tone::Quiet, now);
        return;
    }
    if !model.connection.is_live() {
        toast(model, "The queen is away; what you typed stays here", Tone::Warn, now);
        return;
    }
    if model.infer.targets().any(|target| is_busy(model, target)) {
        let leave = model.keymap.label(Action::LeavePrompt);
        let stop = model.keymap.label(Action::Do(Slot::Stop));
        let text = format!("The last answer is not over; {leave} {stop} cancels it");
        toast(model, text, Tone::Warn, now);
        return;
    }
    // To where `x` cancels; what is typed ahead of that must not.
    model.ui.focus = Pane::Text;
    model.ui.view_since = now.monotonic;
    model.infer.remember(&prompt);
    let mut ticket = model.infer.tickets;
    let sampling = model.infer.sampling.clone();
    let mut lines = Vec::new();
    for target in model.infer.targets_mut() {
        ticket += 1;
        let operation = sampling.operation(&prompt, target);
        lines.push(operation_line(&model.program, &operation));
        effects.push(Effect::Submit { ticket, operation });
        target.turn = Turn::Sending { ticket, prompt: prompt.clone(), since: now.monotonic };
    }
    model.infer.tickets = ticket;
    lines.into_iter().for_each(|line| command(model, line, now));
}

/// The next of the models that can be asked.
pub(super) fn next_model(model: &mut Model) {
    let setting = match model.ui.focus {
        Pane::Second => crate::tui::state::sampling::Setting::SecondModel,
        _ => crate::tui::state::sampling::Setting::Model,
    };
    model.nudge(setting, 1);
}

/// Two answers beside each other: the same model twice, until another is
/// chosen; or one answer again.
pub(super) fn compare(model: &mut Model) {
    let other = match model.infer.second {
        Some(_) => None,
        None => Some(model.infer.first.model.clone()),
    };
    model.infer.compare_with(other);
    if model.infer.second.is_none() && model.ui.focus == Pane::Second {
        model.ui.focus = Pane::Text;
    }
}

/// The setting is typed.
pub(super) fn accept(model: &mut Model, now: Now) {
    let Some(typed) = model.infer.typed.take() else { return };
    if let Err(cause) = model.set(model.infer.setting, &typed) {
        toast(model, cause, Tone::Bad, now);
    }
}

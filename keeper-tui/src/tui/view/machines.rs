//! How machines are added: which one, and what is told before it is done.

use protocol::operation::{Operation, QueenOperation};
use ratatui::text::{Line, Span};

use super::{
    popup::{chosen, typed},
    widgets::{safe, word},
};
use crate::tui::{
    keymap::{Action, Context},
    state::{Model, machines::Pick},
    theme::Tone,
};

/// Hosts offered at once.
const ROWS: usize = 10;

/// The hosts that could be added, and the line.
pub(super) fn pick<'a>(model: &Model, pick: &Pick) -> (String, String, Vec<Line<'a>>) {
    let text = pick.line.text();
    let first = model.hosts_like(text).next().filter(|_| !text.is_empty());
    let ghost = first.and_then(|name| name.strip_prefix(text)).unwrap_or_default();
    let mut spans = vec![word("Host  ", Tone::Quiet)];
    spans.extend(typed(&pick.line, ghost));
    if text.is_empty() {
        spans.push(word(" a host that ssh knows, or USER@HOST:PORT", Tone::Quiet));
    }
    let mut lines = vec![Line::from(spans), Line::default()];
    if let Some(problem) = &pick.problem {
        lines.push(Line::from(safe(&format!("✗ {problem}"), Tone::Bad)));
    }
    let fitting = model.hosts_like(text).count();
    let above = pick.at.map_or(0, |at| (at + 1).saturating_sub(ROWS));
    let rows = model.hosts_like(text).enumerate().skip(above).take(ROWS);
    lines.extend(
        rows.map(|(index, host)| chosen(vec![safe(host, Tone::Plain)], Some(index) == pick.at)),
    );
    let note = match (&model.hosts.names, fitting) {
        _ if !model.is_queen_here() => "the queen is elsewhere: what her ssh knows cannot be seen",
        (None, _) => "reading ~/.ssh/config…",
        (Some(names), _) if names.is_empty() => "~/.ssh/config names no host",
        (Some(_), 0) => "no other host of ~/.ssh/config fits",
        (Some(_), n) if n > ROWS => "the hosts of ~/.ssh/config; type to see fewer",
        (Some(_), _) => "the hosts of ~/.ssh/config",
    };
    lines.push(Line::from(match &model.hosts.problem {
        Some(cause) => safe(&format!("  ▲ ~/.ssh/config: {cause}"), Tone::Warn),
        None => word(format!("  {note}"), Tone::Quiet),
    }));
    let key = model.keymap.label_in(Context::Machine, Action::Accept);
    ("Add a machine".to_owned(), format!("{key} shows what would be done"), lines)
}

/// What else is told about an operation before it is done.
pub(super) fn told<'a>(operation: &Operation) -> Vec<Line<'a>> {
    let Operation::Queen(QueenOperation::HiveInstall(install)) = operation else {
        return Vec::new();
    };
    let mut lines = vec![Line::from("A login without root is enough; models come when asked for.")];
    if let Some(ssh) = &install.ssh {
        lines.push(Line::from(vec![Span::raw("It is reached as "), safe(ssh, Tone::Strong)]));
    }
    if let Some(key) = &install.host_key {
        lines.extend([
            Line::from(vec![
                word("▲ Its key is not known yet. It showed ", Tone::Warn),
                safe(key, Tone::Strong),
            ]),
            Line::from("Yes trusts this key. What it should be, the machine itself says:"),
            Line::from("  for f in /etc/ssh/ssh_host_*.pub; do ssh-keygen -lf $f; done"),
        ]);
    }
    lines
}

/// How a hive that runs already becomes one of the fleet.
pub(super) fn by_url<'a>(model: &Model) -> (String, String, Vec<Line<'a>>) {
    let config = model.queen.config.as_deref().filter(|_| model.is_queen_here());
    let folder = config.and_then(|file| file.rsplit_once('/')).map(|(folder, _)| folder);
    let file = folder.map_or_else(|| "hives.conf".to_owned(), |it| format!("{it}/hives.conf"));
    let mut lines = vec![
        Line::from(vec![
            Span::raw("Its address goes into "),
            safe(&file, Tone::Strong),
            Span::raw(if folder.is_some() { ":" } else { " of the queen:" }),
        ]),
        Line::default(),
    ];
    for line in ["Host gpu-1", "  Transport http", "  Url http://gpu-1:9000"] {
        lines.push(Line::from(word(format!("  {line}"), Tone::Accent)));
    }
    lines.extend([
        Line::default(),
        Line::from("and `TokenFile FILE`, when that hive asks for a token."),
        Line::from("The queen reads it when she starts:"),
        Line::from(word("  rbee-keeper queen stop && rbee-keeper queen start", Tone::Strong)),
    ]);
    let key = model.keymap.label_in(Context::Pager, Action::Dismiss);
    ("A hive that runs already".to_owned(), format!("{key} closes"), lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::{
        fixture::{Stage, empty_fleet},
        message::Message,
        state::dialog::Dialog,
    };

    #[test]
    fn hosts_that_could_not_be_read_are_not_being_read_any_more() {
        let mut stage = Stage::new((80, 24));
        stage.connect(empty_fleet());
        let shown = |stage: &Stage| {
            let Some(Dialog::Machine(it)) = &stage.model.ui.dialog else { panic!("no question") };
            let lines = pick(&stage.model, it).2;
            lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        stage.type_keys("2");
        assert!(shown(&stage).contains("reading ~/.ssh/config"));
        stage.send(Message::Hosts(Err("there is no home folder".to_owned())));
        assert!(shown(&stage).ends_with("▲ ~/.ssh/config: there is no home folder"));
        stage.key(crossterm::event::KeyCode::Esc);
        stage.type_keys("2");
        assert!(shown(&stage).contains("reading ~/.ssh/config"), "it is tried again");
    }
}

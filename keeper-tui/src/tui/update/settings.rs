//! The configuration while the dashboard is open.

use super::{show, toast};
use crate::tui::{
    configuration::Reread,
    effect::Effect,
    keymap::Action,
    state::{Model, Now, deeds::Alert, dialog::Dialog},
    theme::Tone,
};

/// Opens the configuration in an editor.
pub(super) fn edit(model: &mut Model, now: Now, effects: &mut Vec<Effect>) {
    if model.is_read_only {
        toast(model, "READ-ONLY: the configuration is not edited from here", Tone::Warn, now);
    } else {
        effects.push(Effect::EditConfig);
    }
}

/// The editor is closed.
pub(super) fn edited(model: &mut Model, result: Result<Reread, Vec<String>>, now: Now) {
    let reread = match result {
        Ok(reread) => reread,
        Err(problems) => {
            let count = problems.len();
            tell(model, problems, Tone::Bad, now);
            let what = if count == 1 { "a mistake" } else { "mistakes" };
            let text = format!("The configuration has {what}; nothing of it counts");
            show(model, &text, Tone::Bad, now);
            model.ui.dialog = Some(Dialog::Alerts(0));
            return;
        }
    };
    let Reread { theme, keymap, notices, restart } = reread;
    model.theme = theme;
    model.set_keymap(keymap);
    let is_fine = notices.is_empty();
    tell(model, notices, Tone::Warn, now);
    let text = match restart.as_slice() {
        [] => "The configuration counts from now on".to_owned(),
        parts => format!("The configuration counts from now on; {}", parts.join("; ")),
    };
    let tone = if is_fine && restart.is_empty() { Tone::Quiet } else { Tone::Warn };
    show(model, &text, tone, now);
    if !is_fine {
        model.ui.dialog = Some(Dialog::Alerts(0));
    }
}

/// Something about the files should be known; it stops nobody.
pub(super) fn noticed(model: &mut Model, notices: Vec<String>, now: Now) {
    let text = match notices.as_slice() {
        [] => return,
        [one] => one.clone(),
        many => {
            let key = model.keymap.label(Action::Alerts);
            format!("{} remarks on your files; {key} shows them", many.len())
        }
    };
    tell(model, notices, Tone::Warn, now);
    show(model, &text, Tone::Warn, now);
}

/// Into the alerts, the first on top.
fn tell(model: &mut Model, problems: Vec<String>, tone: Tone, now: Now) {
    let at = model.queen_time(now);
    for problem in problems.into_iter().rev() {
        let text = crate::text::one_line(&problem).into_owned();
        model.deeds.alert(Alert { at, text, tone });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::{
        fixture::Stage,
        keymap::Keymap,
        message::Message,
        theme::{Palette, Theme},
    };

    fn reread(keys: &str, restart: &[&str]) -> Reread {
        let file = std::path::Path::new("/c/config.toml");
        let config = config::Config::parse(file, keys).unwrap();
        let (keymap, problems) = Keymap::read(&config.keys);
        Reread {
            theme: Theme { palette: Palette::Mono, ascii: true },
            keymap,
            notices: problems.iter().map(ToString::to_string).collect(),
            restart: restart.iter().map(|it| (*it).to_owned()).collect(),
        }
    }

    #[test]
    fn what_was_edited_counts_at_once_and_the_rest_is_told() {
        let mut stage = Stage::busy((80, 24));
        assert_eq!(stage.type_keys("E"), [Effect::EditConfig]);
        let edited = reread("[keys.everywhere]\nhelp = \"H\"\n", &["the queen later"]);
        stage.send(Message::ConfigEdited(Ok(edited)));
        let toast = stage.model.ui.toast.clone().unwrap();
        assert_eq!(toast.text, "The configuration counts from now on; the queen later");
        assert!(stage.model.theme.ascii);
        stage.type_keys("H");
        assert!(stage.model.ui.help.is_some());
    }

    #[test]
    fn a_mistake_is_shown_and_nothing_of_the_file_counts() {
        let mut stage = Stage::busy((80, 24));
        let problems = ["config.toml:3: unknown key", "config.toml:9: no theme"];
        stage.send(Message::ConfigEdited(Err(problems.map(str::to_owned).to_vec())));
        assert!(matches!(stage.model.ui.dialog, Some(Dialog::Alerts(0))));
        let alerts: Vec<_> = stage.model.deeds.alerts.iter().rev().map(|it| &it.text).collect();
        assert_eq!(alerts, problems.iter().collect::<Vec<_>>(), "the first on top");
        assert!(!stage.model.theme.ascii);
    }

    #[test]
    fn who_only_looks_edits_nothing() {
        let mut stage = Stage::busy((80, 24));
        stage.model.is_read_only = true;
        assert_eq!(stage.type_keys("E"), []);
        assert!(stage.model.ui.toast.unwrap().text.contains("READ-ONLY"));
    }
}

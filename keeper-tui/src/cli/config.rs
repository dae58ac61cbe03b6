//! `config …`: the operator's files.
//!
//! Works without a queen and with files that are wrong: it is what mends them.

use std::path::{Path, PathBuf};

use ::config::{Config, HiveEntry, Paths, Reach, check::Check, examples};
use protocol::HiveId;
use serde_json::{Value, json};

use super::{
    args::ConfigCommand,
    exit::{Exit, Failure, Outcome},
    output::{Block, Output, Report},
    table::{Cell, Table},
    terminal::Tone,
};
use crate::tui::{self, Keymap};

/// `config …`
pub fn config(out: &mut Output, command: ConfigCommand) -> Outcome {
    let paths = Paths::from_env().map_err(|error| Failure {
        exit: Exit::Usage,
        ..Failure::local("configuration", &error)
    })?;
    let report = match command {
        ConfigCommand::Path => path(&paths),
        ConfigCommand::Check => check(&paths),
        ConfigCommand::Init => init(&paths)?,
        ConfigCommand::Keys => keys(&paths),
    };
    out.report(None, &report)?;
    Ok(report.exit)
}

fn path(paths: &Paths) -> Report {
    let places: [(&str, PathBuf); 10] = [
        ("configuration", paths.config_dir.clone()),
        ("config.toml", paths.config_file()),
        ("hives.conf", paths.hives_file()),
        ("capabilities.yaml", paths.capabilities_file()),
        ("data", paths.data_dir.clone()),
        ("queen", paths.queen_dir()),
        ("hive", paths.hive_dir()),
        ("keeper", paths.keeper_dir()),
        ("cache", paths.cache_dir.clone()),
        ("models", paths.models_dir()),
    ];
    let mut table = Table::new(["WHAT", "EXISTS", "PATH"]);
    let mut documents = Vec::new();
    for (what, path) in &places {
        let exists = path.exists();
        let shown =
            if exists { Cell::toned("yes", Tone::Good) } else { Cell::toned("no", Tone::Faint) };
        table.row([Cell::new(what), shown, Cell::new(path.display())]);
        documents.push(json!({"what": what, "path": path, "exists": exists}));
    }
    Report {
        document: json!({ "paths": documents }),
        names: places.iter().map(|(_, path)| path.display().to_string()).collect(),
        blocks: vec![Block::Table(table)],
        exit: Exit::Done,
    }
}

fn check(paths: &Paths) -> Report {
    let Check { config, mut problems } = ::config::check::check(paths);
    let (of_dashboard, of_keys) = dashboard_problems(&config);
    problems.extend(of_dashboard);
    let warnings: Vec<String> = config.warnings.iter().cloned().chain(of_keys).collect();
    let mut blocks = Vec::new();
    blocks.extend(problems.iter().map(|problem| Block::Line(format!("error: {problem}"))));
    blocks.extend(warnings.iter().map(|warning| Block::Line(format!("warning: {warning}"))));
    blocks.push(Block::Line(verdict(paths, problems.len())));
    if !config.hives.is_empty() {
        blocks.push(Block::Table(hives(&config.hives)));
    }
    let entries: Vec<Value> = config.hives.iter().map(document).collect();
    Report {
        document: json!({
            "ok": problems.is_empty(),
            "problems": problems,
            "warnings": warnings,
            "hives": entries,
        }),
        names: config.hives.keys().map(ToString::to_string).collect(),
        blocks,
        exit: if problems.is_empty() { Exit::Done } else { Exit::Usage },
    }
}

/// What is wrong with what only the dashboard understands, and what is merely
/// worth knowing.
fn dashboard_problems(config: &Config) -> (Vec<String>, Vec<String>) {
    let (_, of_keys) = Keymap::read(&config.keys);
    let (granted, refused): (Vec<_>, Vec<_>) = of_keys.iter().partition(|it| it.is_granted);
    let mut problems: Vec<String> = refused.iter().map(ToString::to_string).collect();
    if let Some(theme) = &config.keeper.theme
        && let Err(problem) = tui::Options::default().with_theme(&theme.text)
    {
        problems.push(format!("{}: {problem}", theme.place));
    }
    (problems, granted.iter().map(ToString::to_string).collect())
}

fn keys(paths: &Paths) -> Report {
    let Check { config, problems } = ::config::check::check(paths);
    let (keymap, of_keys) = Keymap::read(&config.keys);
    let is_right = problems.is_empty() && of_keys.iter().all(|it| it.is_granted);
    let said: Vec<String> =
        problems.into_iter().chain(of_keys.iter().map(ToString::to_string)).collect();
    let mut table = Table::new(["CONTEXT", "ACTION", "KEYS", "USUALLY", "WHAT"]);
    let mut documents = Vec::new();
    let mut names = Vec::new();
    for row in keymap.listed() {
        let is_usual = row.keys == row.usual;
        let keys = match row.keys.as_slice() {
            [] => Cell::toned("none", Tone::Warn),
            keys if is_usual => Cell::new(keys.join(" ")),
            keys => Cell::toned(keys.join(" "), Tone::Good),
        };
        let usually = (!is_usual).then(|| row.usual.join(" "));
        table.row([
            Cell::new(row.context),
            Cell::new(row.action),
            keys,
            Cell::from(usually),
            Cell::new(row.what),
        ]);
        names.push(format!("{}.{}", row.context, row.action));
        documents.push(json!({
            "context": row.context,
            "action": row.action,
            "keys": row.keys,
            "default": row.usual,
            "what": row.what,
        }));
    }
    let mut blocks: Vec<Block> =
        said.iter().map(|problem| Block::Line(format!("warning: {problem}"))).collect();
    blocks.push(Block::Table(table));
    Report {
        document: json!({ "keys": documents, "problems": said }),
        names,
        blocks,
        exit: if is_right { Exit::Done } else { Exit::Usage },
    }
}

fn verdict(paths: &Paths, problems: usize) -> String {
    let named = |path: PathBuf| match path.exists() {
        true => path.display().to_string(),
        false => format!("{} (not there: the defaults)", path.display()),
    };
    let files = format!("{}, {}", named(paths.config_file()), named(paths.hives_file()));
    match problems {
        0 => format!("fine: {files}"),
        1 => format!("1 problem: {files}"),
        some => format!("{some} problems: {files}"),
    }
}

fn hives<'a>(entries: impl IntoIterator<Item = (&'a HiveId, &'a HiveEntry)>) -> Table {
    let mut table = Table::new(["HIVE", "ADDRESS", "SETTINGS", "FROM"]);
    for (alias, entry) in entries {
        let settings = settings(&entry.reach);
        let settings = (!settings.is_empty()).then(|| settings.join(", "));
        table.row([
            Cell::new(alias),
            Cell::new(&entry.reach),
            Cell::from(settings),
            Cell::new(&entry.origin),
        ]);
    }
    table
}

fn settings(reach: &Reach) -> Vec<String> {
    let path = |what: &str, path: &Path| format!("{what} {}", path.display());
    match reach {
        Reach::Http { token_file, ca_file, .. } => {
            let mut settings = Vec::new();
            settings.extend(token_file.iter().map(|file| path("token", file)));
            settings.extend(ca_file.iter().map(|file| path("authority", file)));
            settings
        }
        Reach::Ssh(target) => {
            let mut settings = Vec::new();
            settings.extend(target.hive_port.map(|port| format!("hive port {port}")));
            settings.extend(target.binary_path.iter().map(|file| path("programs", file)));
            settings.extend(target.identity_file.iter().map(|path| format!("key {path}")));
            settings.extend(target.token_file.iter().map(|file| path("token", file)));
            settings
        }
    }
}

fn document((alias, entry): (&HiveId, &HiveEntry)) -> Value {
    let mut document = match &entry.reach {
        Reach::Http { url, token_file, ca_file } => json!({
            "transport": "http",
            "url": url.as_str(),
            "token_file": token_file,
            "ca_file": ca_file,
        }),
        Reach::Ssh(target) => json!({
            "transport": "ssh",
            "host_name": target.host_name.as_str(),
            "port": target.port.map(|port| port.get()),
            "user": target.user.as_ref().map(|user| user.as_str()),
            "identity_file": target.identity_file.as_ref().map(|path| path.as_str()),
            "hive_port": target.hive_port.map(|port| port.get()),
            "binary_path": target.binary_path,
            "token_file": target.token_file,
        }),
    };
    document["alias"] = json!(alias);
    document["file"] = json!(entry.origin.file);
    document["line"] = json!(entry.origin.line);
    document
}

fn init(paths: &Paths) -> Result<Report, Failure> {
    let files = examples::install(paths).map_err(|error| Failure::local("init", &error))?;
    let lines = files.iter().map(|file| {
        let path = file.path.display();
        Block::Line(match file.is_new {
            true => format!("made {path}"),
            false => format!("kept {path}, which was there"),
        })
    });
    let documents: Vec<_> =
        files.iter().map(|file| json!({"path": file.path, "is_new": file.is_new})).collect();
    Ok(Report {
        document: json!({ "files": documents }),
        names: files.iter().map(|file| file.path.display().to_string()).collect(),
        blocks: lines.collect(),
        exit: Exit::Done,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn paths(temp: &tempfile::TempDir) -> Paths {
        let dir = |name| temp.path().join(name);
        Paths { config_dir: dir("c"), data_dir: dir("d"), cache_dir: dir("k") }
    }

    fn lines(report: &Report) -> Vec<&str> {
        fn line(block: &Block) -> Option<&str> {
            match block {
                Block::Line(line) => Some(line),
                Block::Table(_) => None,
            }
        }
        report.blocks.iter().filter_map(line).collect()
    }

    #[test]
    fn a_new_user_looks_makes_the_files_and_finds_them_fine() {
        let temp = tempfile::tempdir().unwrap();
        let paths = paths(&temp);
        assert!(
            path(&paths).document["paths"]
                .as_array()
                .unwrap()
                .iter()
                .all(|it| it["exists"] == false)
        );
        let made = init(&paths).unwrap();
        assert!(lines(&made).iter().all(|line| line.starts_with("made ")), "{made:?}");
        let made = init(&paths).unwrap();
        assert!(lines(&made).iter().all(|line| line.starts_with("kept ")), "{made:?}");
        let checked = check(&paths);
        assert_eq!(checked.exit, Exit::Done);
        assert_eq!(checked.document["ok"], true);
        let there: Vec<_> = path(&paths).document["paths"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|it| it["exists"] == true)
            .map(|it| it["what"].clone())
            .collect();
        assert_eq!(there, ["configuration", "config.toml", "hives.conf"]);
    }

    #[test]
    fn every_mistake_is_a_line_and_the_exit_code_says_usage() {
        let temp = tempfile::tempdir().unwrap();
        let paths = paths(&temp);
        init(&paths).unwrap();
        fs::write(paths.config_file(), "[queen]\nqueue_limit = 0\n").unwrap();
        fs::write(paths.hives_file(), "Host a\n  Prot 22\n").unwrap();
        let checked = check(&paths);
        assert_eq!(checked.exit, Exit::Usage);
        let lines = lines(&checked);
        assert!(lines[0].contains("config.toml:2: `queue_limit` in [queen] must be"), "{lines:?}");
        assert!(lines[1].contains("hives.conf:2: unknown keyword \"Prot\""), "{lines:?}");
        assert!(lines[2].starts_with("2 problems: "), "{lines:?}");
    }

    #[test]
    fn the_effective_hives_are_listed_with_where_each_comes_from() {
        let temp = tempfile::tempdir().unwrap();
        let paths = paths(&temp);
        init(&paths).unwrap();
        fs::write(paths.config_file(), "[hives.box]\nurl = \"http://a:1\"\n").unwrap();
        fs::write(paths.hives_file(), "\nHost box\n  User ada\n  BinaryPath /opt/rbee-hive\n")
            .unwrap();
        let checked = check(&paths);
        assert_eq!(checked.exit, Exit::Done);
        let hive = &checked.document["hives"][0];
        assert_eq!(
            (&hive["alias"], &hive["user"], &hive["line"]),
            (&json!("box"), &json!("ada"), &json!(2))
        );
        assert_eq!(hive["port"], Value::Null);
        assert!(lines(&checked)[0].starts_with("warning: "), "{checked:?}");
        let shown = format!("{:?}", checked.blocks);
        assert!(
            shown.contains("ssh://ada@box") && shown.contains("programs /opt/rbee-hive"),
            "{shown}"
        );
    }
}

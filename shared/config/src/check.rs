//! `config check`: everything that is wrong with the files, at once.
//!
//! [`Config::load`] stops at the first mistake, because a daemon must. A person
//! who mends files wants the mistakes of all of them.

use std::{error::Error, path::Path};

use crate::{Config, ConfigError, Paths, Reach, hives_conf, read_token, text_file};

/// What a look at the files has shown.
#[derive(Debug)]
pub struct Check {
    /// What the files that could be read amount to.
    pub config: Config,
    /// Each keeps a daemon from starting, or from doing what it is told there.
    pub problems: Vec<String>,
}

/// Looks at every file that the configuration consists of.
pub fn check(paths: &Paths) -> Check {
    let mut problems = Vec::new();
    let path = paths.config_file();
    let mut config = read(&path, &mut problems, Config::parse).unwrap_or_default();
    let declared = read(&paths.hives_file(), &mut problems, hives_conf::parse);
    config.add_hives(declared.unwrap_or_default());
    config.warn_of_open_tokens();

    let of_hives = config.hives.values().filter_map(|entry| match &entry.reach {
        Reach::Http { token_file, .. } => Some((Some(&entry.origin), token_file.as_deref()?)),
        Reach::Ssh(_) => None,
    });
    let of_daemons =
        [&config.queen.token_file, &config.hive.token_file, &config.hive.hf_token_file];
    let of_daemons = of_daemons.into_iter().flatten().map(|file| (None, file.as_path()));
    for (origin, token_file) in of_daemons.chain(of_hives) {
        if let Err(error) = read_token(token_file) {
            let place = origin.map_or_else(|| path.display().to_string(), ToString::to_string);
            problems.push(format!("{place}: {}", with_causes(&error)));
        }
    }
    for entry in config.hives.values() {
        if let Reach::Http { ca_file: Some(file), .. } = &entry.reach
            && let Err(error) = std::fs::File::open(file)
        {
            let problem = format!("cannot read the CA file {}: {error}", file.display());
            problems.push(format!("{}: {problem}", entry.origin));
        }
    }
    Check { config, problems }
}

fn read<T>(
    path: &Path,
    problems: &mut Vec<String>,
    parse: fn(&Path, &str) -> Result<T, ConfigError>,
) -> Option<T> {
    let read =
        text_file::read(path).and_then(|text| text.map(|text| parse(path, &text)).transpose());
    read.unwrap_or_else(|error| {
        problems.push(with_causes(&error));
        None
    })
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn paths(dir: &Path) -> Paths {
        Paths { config_dir: dir.to_owned(), data_dir: dir.join("d"), cache_dir: dir.join("k") }
    }

    #[test]
    fn files_that_are_not_there_are_fine() {
        let temp = tempfile::tempdir().unwrap();
        let Check { config, problems } = check(&paths(temp.path()));
        assert_eq!((config, problems), (Config::default(), Vec::new()));
    }

    #[test]
    fn the_mistakes_of_all_files_are_named_at_once() {
        let temp = tempfile::tempdir().unwrap();
        let paths = paths(temp.path());
        fs::write(paths.config_file(), "[queen]\nadress = 1\n").unwrap();
        fs::write(paths.hives_file(), "Host a\nMatch all\n").unwrap();
        let problems = check(&paths).problems;
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("config.toml:2: unknown key `adress`"), "{problems:?}");
        assert!(problems[1].contains("hives.conf:2: `Match` is not understood"), "{problems:?}");
    }

    #[test]
    fn a_token_that_cannot_be_read_is_a_problem_where_it_is_asked_for() {
        let temp = tempfile::tempdir().unwrap();
        let paths = paths(temp.path());
        fs::write(paths.config_file(), "[queen]\ntoken_file = \"queen.token\"\n").unwrap();
        fs::write(paths.hives_file(), "Host a\n  Url https://a:1\n  TokenFile a.token\n").unwrap();
        let problems = check(&paths).problems;
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("config.toml: ") && problems[0].contains("queen.token"));
        assert!(problems[1].contains("hives.conf:1: ") && problems[1].contains("a.token"));
    }
}

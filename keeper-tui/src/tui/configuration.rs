//! The configuration as a file that is edited while the dashboard is open.

use std::sync::Arc;

use config::{Config, Paths, check::check, examples};

use super::{
    keymap::Keymap,
    message::Message,
    options::Options,
    pager::{self, EDITOR},
    theme::Theme,
};

/// What the configuration says about the dashboard.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What the terminal can show.
    pub options: Options,
    /// What keys do.
    pub keymap: Keymap,
    /// What should be known about either.
    pub notices: Vec<String>,
}

/// Makes settings of a configuration; the command line may have a say in it.
pub(super) type Understand = Arc<dyn Fn(&Config) -> Result<Settings, String> + Send + Sync>;

/// The file, and what it said last.
pub struct Configuration {
    /// Where it is.
    pub paths: Paths,
    /// What it said.
    pub config: Config,
    /// How it is understood.
    pub understand: Understand,
}

/// What counts from now on.
#[derive(Debug, Clone)]
pub(crate) struct Reread {
    /// How it looks.
    pub(crate) theme: Theme,
    /// What keys do.
    pub(crate) keymap: Keymap,
    /// What should be known about it.
    pub(crate) notices: Vec<String>,
    /// What counts later, each with what has to happen for it.
    pub(crate) restart: Vec<String>,
}

impl Configuration {
    /// Lets the operator edit it, and reads it again. The terminal must be the
    /// shell's. The answer is for the dashboard, with the options where they
    /// are others now.
    pub(crate) async fn edit(&mut self) -> (Message, Option<Options>) {
        let made = examples::install_config(&self.paths).map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            format!("{error}: {}", cause.unwrap_or_default())
        });
        let edited = match made {
            Ok(made) => pager::open(EDITOR, &made.path).await,
            Err(cause) => Err(cause),
        };
        if let Err(cause) = edited {
            return (Message::Paged(Err(cause)), None);
        }
        match self.read() {
            Ok((reread, options)) => (Message::ConfigEdited(Ok(reread)), Some(options)),
            Err(problems) => (Message::ConfigEdited(Err(problems)), None),
        }
    }

    fn read(&mut self) -> Result<(Reread, Options), Vec<String>> {
        let problems = check(&self.paths).problems;
        let Ok(config) = Config::load(&self.paths) else { return Err(problems) };
        let settings = (self.understand)(&config).map_err(|cause| vec![cause])?;
        let restart = pending(&self.config, &config);
        self.config = config;
        let Settings { options, keymap, mut notices } = settings;
        notices.splice(0..0, problems);
        Ok((Reread { theme: options.theme, keymap, notices, restart }, options))
    }
}

/// What of a change does not count before somebody is started again.
fn pending(before: &Config, after: &Config) -> Vec<String> {
    let queen = before.queen != after.queen || before.hives != after.hives;
    let here = before.keeper.queen_url != after.keeper.queen_url
        || before.queen.address != after.queen.address
        || before.queen.token_file != after.queen.token_file;
    let restore = before.keeper.restore_session != after.keeper.restore_session;
    let parts = [
        (queen, "what concerns the queen, when she is started again"),
        (before.hive != after.hive, "what concerns the hive, when it is started again"),
        (here, "how she is reached, when this dashboard is started again"),
        (restore, "whether it opens as it was left, when this dashboard is started again"),
    ];
    parts.into_iter().filter(|(is_pending, _)| *is_pending).map(|it| it.1.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use config::file::KeeperConfig;

    use super::*;

    #[test]
    fn what_a_running_program_has_read_already_waits_for_its_next_start() {
        let before = Config::default();
        let mut after = before.clone();
        after.keeper.fps = Some(10);
        after.keeper.theme = None;
        assert_eq!(pending(&before, &after), [""; 0]);
        let session =
            KeeperConfig { restore_session: !after.keeper.restore_session, ..after.keeper.clone() };
        let told = pending(&after, &Config { keeper: session, ..after.clone() });
        assert!(told.len() == 1 && told[0].contains("opens as it was left"), "{told:?}");
        after.queen.queue_limit = 1;
        assert_eq!(pending(&before, &after).len(), 1);
        after.hive.worker_restarts_max = 1;
        after.keeper.queen_url = Some("http://10.0.0.1:8500".parse().unwrap());
        assert_eq!(pending(&before, &after).len(), 3);
    }
}

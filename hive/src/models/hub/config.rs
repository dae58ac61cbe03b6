//! Which hub, which cache, whose token.
//!
//! The variables are the ones of the hub's own tools, so that both agree on
//! where models are. A token is read from a file and from nowhere else, since
//! every process of the same user sees the environment: from the file that
//! `hf_token_file` names, or else that of `HF_TOKEN_PATH`, or else
//! `$HF_HOME/token`, where a login with the hub's own tools leaves it. It is
//! read anew for every download, so that a new one needs no restart.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use config::{BaseUrl, SecretError};
use secrecy::SecretString;

/// Where models come from and where they are kept.
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// The hub; or what is wrong with the address that was given.
    pub endpoint: Result<BaseUrl, String>,
    /// Where models are kept, in the layout of the hub's own tools.
    pub cache_dir: PathBuf,
    /// Whose token.
    pub token_file: TokenFile,
    /// How much is asked for at a time; what a cut can cost.
    pub chunk_bytes: usize,
    /// How long silence is borne with.
    pub silence: Silence,
}

/// The file that holds the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenFile {
    /// The operator named it, so it must be there.
    Named(PathBuf),
    /// Where the hub's own tools would have put one.
    Usual(PathBuf),
}

/// What a hub that sends nothing comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// Followers are told that the download has stalled.
    pub told_after: Duration,
    /// The line is taken for dead, and the hub asked anew.
    pub cut_after: Duration,
}

impl Default for Silence {
    fn default() -> Self {
        Self { told_after: Duration::from_secs(10), cut_after: Duration::from_secs(30) }
    }
}

/// Larger pieces go a little faster and lose more when the line is cut.
const CHUNK_BYTES: usize = 8 * 1024 * 1024;
/// The hub that everybody means.
pub(crate) const PUBLIC: &str = "https://huggingface.co";

impl HubConfig {
    /// What the environment says; the operator's `token_file` comes before
    /// it, and `fallback` is for a user without a home.
    pub fn from_env(token_file: Option<PathBuf>, fallback: PathBuf) -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self::read(variable, token_file, fallback)
    }

    fn read(
        variable: impl Fn(&str) -> Option<OsString>,
        token_file: Option<PathBuf>,
        fallback: PathBuf,
    ) -> Self {
        let path = |name: &str| variable(name).map(PathBuf::from).filter(|it| it.is_absolute());
        let home = path("HF_HOME").unwrap_or_else(|| {
            let caches = path("XDG_CACHE_HOME").or_else(|| Some(path("HOME")?.join(".cache")));
            caches.unwrap_or(fallback).join("huggingface")
        });
        let endpoint = match variable("HF_ENDPOINT") {
            None => PUBLIC.to_owned(),
            Some(value) => value.to_string_lossy().trim_end_matches('/').to_owned(),
        };
        Self {
            endpoint: endpoint.parse::<BaseUrl>().map_err(|error| format!("HF_ENDPOINT {error}")),
            cache_dir: path("HF_HUB_CACHE").unwrap_or_else(|| home.join("hub")),
            token_file: match token_file {
                Some(named) => TokenFile::Named(named),
                None => {
                    TokenFile::Usual(path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token")))
                }
            },
            chunk_bytes: CHUNK_BYTES,
            silence: Silence::default(),
        }
    }

    /// The token, if there is one; why it cannot be used, if it cannot.
    pub(crate) fn token(&self) -> Result<Option<SecretString>, SecretError> {
        let (path, must_be_there) = match &self.token_file {
            TokenFile::Named(path) => (path, true),
            TokenFile::Usual(path) => (path, false),
        };
        match config::read_token(path) {
            Ok(token) => Ok(Some(token)),
            Err(SecretError::Read { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound && !must_be_there =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::fs::OpenOptionsExt, path::Path};

    use secrecy::ExposeSecret;

    use super::*;

    fn read(environment: &[(&str, &str)]) -> HubConfig {
        let variable = |wanted: &str| {
            let found = environment.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| OsString::from(value))
        };
        HubConfig::read(variable, None, "/fallback".into())
    }

    fn usual(path: &str) -> TokenFile {
        TokenFile::Usual(path.into())
    }

    #[test]
    fn the_variables_of_the_hubs_own_tools_are_respected() {
        let config = read(&[("HOME", "/home/me")]);
        assert_eq!(config.endpoint.unwrap().as_str(), PUBLIC);
        assert_eq!(config.cache_dir, Path::new("/home/me/.cache/huggingface/hub"));
        assert_eq!(config.token_file, usual("/home/me/.cache/huggingface/token"));

        let config = read(&[("HF_HOME", "/hf"), ("HF_ENDPOINT", "http://127.0.0.1:1/")]);
        assert_eq!(config.endpoint.unwrap().as_str(), "http://127.0.0.1:1");
        assert_eq!(config.cache_dir, Path::new("/hf/hub"));
        assert_eq!(config.token_file, usual("/hf/token"));

        let config = read(&[("HF_HUB_CACHE", "/c"), ("HF_TOKEN_PATH", "/t")]);
        assert_eq!((config.cache_dir.as_path(), config.token_file), (Path::new("/c"), usual("/t")));
    }

    #[test]
    fn a_token_file_that_the_operator_names_comes_first_and_must_be_there() {
        let directory = tempfile::tempdir().unwrap();
        let (named, usual) = (directory.path().join("named"), directory.path().join("usual"));
        for file in [&named, &usual] {
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create_new(true).mode(0o600);
            options.open(file).unwrap().write_all(file.display().to_string().as_bytes()).unwrap();
        }
        let read = |named: Option<&PathBuf>| {
            let value = usual.clone().into_os_string();
            HubConfig::read(
                move |name| (name == "HF_TOKEN_PATH").then(|| value.clone()),
                named.cloned(),
                "/fallback".into(),
            )
        };
        let shown = |config: &HubConfig| {
            config.token().unwrap().map(|token| token.expose_secret().to_owned())
        };
        assert_eq!(shown(&read(Some(&named))), Some(named.display().to_string()));
        assert_eq!(shown(&read(None)), Some(usual.display().to_string()));
        std::fs::remove_file(&named).unwrap();
        std::fs::remove_file(&usual).unwrap();
        assert!(read(None).token().unwrap().is_none(), "most models need none");
        let error = read(Some(&named)).token().unwrap_err().to_string();
        assert!(error.contains(&named.display().to_string()), "{error}");
    }

    #[test]
    fn an_address_that_is_none_is_named_with_its_variable() {
        let error = read(&[("HF_ENDPOINT", "ftp://x")]).endpoint.unwrap_err();
        assert!(error.starts_with("HF_ENDPOINT must be an address"), "{error}");
    }
}

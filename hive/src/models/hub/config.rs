//! Which hub, which cache, whose token.
//!
//! The variables are the ones of the hub's own tools, so that both agree on
//! where models are. A token is read from a file and from nowhere else.

use std::{ffi::OsString, path::PathBuf};

use config::{BaseUrl, SecretError};
use secrecy::SecretString;

/// Where models come from and where they are kept.
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// The hub; or what is wrong with the address that was given.
    pub endpoint: Result<BaseUrl, String>,
    /// Where models are kept, in the layout of the hub's own tools.
    pub cache_dir: PathBuf,
    /// The file that holds the token, if there is one.
    pub token_file: PathBuf,
    /// How much is asked for at a time; what a cut can cost.
    pub chunk_bytes: usize,
}

/// Larger pieces go a little faster and lose more when the line is cut.
const CHUNK_BYTES: usize = 8 * 1024 * 1024;
/// The hub that everybody means.
pub(crate) const PUBLIC: &str = "https://huggingface.co";

impl HubConfig {
    /// What the environment says; `fallback` is for a user without a home.
    pub fn from_env(fallback: PathBuf) -> Self {
        Self::read(|name| std::env::var_os(name).filter(|value| !value.is_empty()), fallback)
    }

    fn read(variable: impl Fn(&str) -> Option<OsString>, fallback: PathBuf) -> Self {
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
            token_file: path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token")),
            chunk_bytes: CHUNK_BYTES,
        }
    }

    /// The token, if there is one; why it cannot be used, if it cannot.
    pub(crate) fn token(&self) -> Result<Option<SecretString>, SecretError> {
        match config::read_token(&self.token_file) {
            Ok(token) => Ok(Some(token)),
            Err(SecretError::Read { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(environment: &[(&str, &str)]) -> HubConfig {
        let variable = |wanted: &str| {
            let found = environment.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| OsString::from(value))
        };
        HubConfig::read(variable, "/fallback".into())
    }

    #[test]
    fn the_variables_of_the_hubs_own_tools_are_respected() {
        let config = read(&[("HOME", "/home/me")]);
        assert_eq!(config.endpoint.unwrap().as_str(), PUBLIC);
        assert_eq!(config.cache_dir, Path::new("/home/me/.cache/huggingface/hub"));
        assert_eq!(config.token_file, Path::new("/home/me/.cache/huggingface/token"));

        let config = read(&[("HF_HOME", "/hf"), ("HF_ENDPOINT", "http://127.0.0.1:1/")]);
        assert_eq!(config.endpoint.unwrap().as_str(), "http://127.0.0.1:1");
        assert_eq!(config.cache_dir, Path::new("/hf/hub"));
        assert_eq!(config.token_file, Path::new("/hf/token"));

        let config = read(&[("HF_HUB_CACHE", "/c"), ("HF_TOKEN_PATH", "/t")]);
        assert_eq!(
            (config.cache_dir.as_path(), config.token_file.as_path()),
            (Path::new("/c"), Path::new("/t"))
        );
    }

    #[test]
    fn an_address_that_is_none_is_named_with_its_variable() {
        let error = read(&[("HF_ENDPOINT", "ftp://x")]).endpoint.unwrap_err();
        assert!(error.starts_with("HF_ENDPOINT must be an address"), "{error}");
    }
}

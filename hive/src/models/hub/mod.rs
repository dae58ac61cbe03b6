//! Getting models from the hub.
//!
//! ```text
//!   config    which hub, which cache, whose token
//!   listing   what the hub says a repository holds, checked
//!   flight    one download, however many ask for it
//!   fetch     one attempt at one file, by hf-hub in a thread of its own
//!   gate      the only hub that hf-hub ever speaks to
//!   verify    whether a file is what the listing says; making it last
//!   meter     bytes over time                                      (pure)
//! ```

mod config;
mod fetch;
mod flight;
mod gate;
mod listing;
mod meter;
mod verify;

use protocol::{ApiError, ErrorCode};

pub use self::config::{HubConfig, Silence, TokenFile};
pub(crate) use self::{
    flight::{Flight, Follower, Order, Stopped, fly},
    gate::Wanted,
    listing::{Hub, Listing, dishonest},
};

/// hf-hub obeys the proxy variables even on loopback, where the gate is. A
/// proxy that was meant for others would be asked for our own address.
pub(crate) fn check_environment() -> Result<(), ApiError> {
    check_proxy(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

fn check_proxy(variable: impl Fn(&str) -> Option<String>) -> Result<(), ApiError> {
    let proxy = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
        .into_iter()
        .find(|name| variable(name).is_some());
    let exempt = variable("NO_PROXY").or_else(|| variable("no_proxy")).unwrap_or_default();
    let is_exempt =
        exempt.split(',').map(str::trim).any(|it| matches!(it, "*" | "127.0.0.1" | "127.0.0.0/8"));
    match proxy {
        Some(name) if !is_exempt => Err(ApiError::new(
            ErrorCode::Unavailable,
            format!("{name} is set for the hive and NO_PROXY does not exempt 127.0.0.1"),
        )
        .with_hint("start the hive with NO_PROXY=127.0.0.1,localhost; the hub is still asked through the proxy")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_takes_loopback_as_well_is_refused_with_the_remedy() {
        let check = |set: &[(&str, &str)]| {
            check_proxy(|wanted| {
                let found = set.iter().find(|(name, _)| *name == wanted);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        assert!(check(&[]).is_ok());
        assert!(check(&[("https_proxy", "http://p:1")]).is_ok());
        let error = check(&[("HTTP_PROXY", "http://p:1")]).unwrap_err();
        assert!(error.message.starts_with("HTTP_PROXY is set"), "{error}");
        assert!(
            check(&[("HTTP_PROXY", "http://p:1"), ("NO_PROXY", "localhost, 127.0.0.1")]).is_ok()
        );
    }
}

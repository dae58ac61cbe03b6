//! What the hub says a repository holds, and whom we let say it.
//!
//! Whatever comes from the hub is checked here before anything is named after
//! it: commits and hashes are hexadecimal, sizes are sizes, and a redirect
//! leads only to hosts that belong to the hub. The token is shown to the
//! hub's own origin and to nobody else.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use config::BaseUrl;
use protocol::{ApiError, ErrorCode, model::Revision};
use reqwest::{
    Client, RequestBuilder, Response, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{LOCATION, RANGE},
    redirect::Policy,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::config::PUBLIC;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const LISTING_TIMEOUT: Duration = Duration::from_secs(60);
const LISTING_BYTES_MAX: usize = 32 * 1024 * 1024;
const FILES_MAX: usize = 50_000;
const REDIRECTS_MAX: usize = 5;
/// Where the public hub keeps what it does not serve itself.
const PUBLIC_HOSTS: [&str; 2] = ["huggingface.co", "hf.co"];

/// The hub, and who we are to it.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    endpoint: BaseUrl,
    origin: Url,
    client: Client,
    token: Option<SecretString>,
    silence_max: Duration,
}

/// A repository at one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) commit: String,
    pub(crate) files: Vec<ListedFile>,
}

/// A file of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedFile {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// Absent for a file that is kept in git itself, as no model is.
    pub(crate) sha256: Option<String>,
}

#[derive(Deserialize)]
struct RepoAnswer {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

impl Hub {
    /// One that is silent for `silence_max` is taken for gone.
    pub(crate) fn new(
        endpoint: BaseUrl,
        token: Option<SecretString>,
        silence_max: Duration,
    ) -> Result<Self, ApiError> {
        let internal = |error: &dyn std::fmt::Display| {
            ApiError::new(ErrorCode::Internal, format!("cannot speak to the hub: {error}"))
        };
        let origin = Url::parse(endpoint.as_str()).map_err(|error| internal(&error))?;
        let client = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(silence_max)
            .user_agent(concat!("rbee/", env!("CARGO_PKG_VERSION")));
        let client = if endpoint.as_str() == PUBLIC {
            client.dns_resolver(Arc::new(OutsideOnly))
        } else {
            client
        };
        let client = client.build().map_err(|error| internal(&error))?;
        Ok(Self { endpoint, origin, client, token, silence_max })
    }

    /// Why bytes that were on their way came to an end.
    pub(crate) fn broke_off(&self, name: &str, error: &reqwest::Error) -> ApiError {
        let message = if error.is_timeout() {
            format!("the hub sent nothing of {name} for {:?}", self.silence_max)
        } else {
            format!("the transfer of {name} broke off")
        };
        ApiError::new(ErrorCode::HubUnreachable, message)
            .with_hint("what is here is kept; download it again to go on")
    }

    /// What `repo` holds at `revision`.
    pub(crate) async fn list(&self, repo: &str, revision: &Revision) -> Result<Listing, ApiError> {
        let escaped = revision.as_str().replace('/', "%2F");
        let url = format!("{}/api/models/{repo}/revision/{escaped}?blobs=true", self.endpoint);
        let work = async {
            let response = self.get(&url, None).await?;
            let status = response.status();
            if !status.is_success() {
                return Err(self.refused(status, repo, revision));
            }
            body(response).await
        };
        let timed = tokio::time::timeout(LISTING_TIMEOUT, work);
        let bytes = timed.await.map_err(|_| {
            unreachable(
                &self.endpoint,
                &format!("no listing within {} s", LISTING_TIMEOUT.as_secs()),
            )
        })??;
        let answer: RepoAnswer = serde_json::from_slice(&bytes).map_err(|error| {
            dishonest(format!("{} does not answer as a hub: {error}", self.endpoint))
        })?;
        listing(answer)
    }

    /// GETs one file of a commit, through whatever redirects the hub allows
    /// itself.
    pub(crate) async fn resolve(
        &self,
        repo: &str,
        commit: &str,
        name: &str,
        range: Option<&str>,
    ) -> Result<Resolved, ApiError> {
        let url = format!("{}/{repo}/resolve/{commit}/{name}", self.endpoint);
        let mut claims = Claims::default();
        let mut url = Url::parse(&url).map_err(|error| dishonest(error.to_string()))?;
        for _ in 0..=REDIRECTS_MAX {
            let response = self.send(self.client.get(url.clone()), &url, range).await?;
            claims.note(&response);
            if !response.status().is_redirection() {
                return Ok(Resolved { response, claims });
            }
            url = self.next(&url, &response)?;
        }
        Err(dishonest(format!("more than {REDIRECTS_MAX} redirects for {name}")))
    }

    async fn get(&self, url: &str, range: Option<&str>) -> Result<Response, ApiError> {
        let mut url = Url::parse(url).map_err(|error| dishonest(error.to_string()))?;
        for _ in 0..=REDIRECTS_MAX {
            let response = self.send(self.client.get(url.clone()), &url, range).await?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            url = self.next(&url, &response)?;
        }
        Err(dishonest(format!("more than {REDIRECTS_MAX} redirects")))
    }

    async fn send(
        &self,
        request: RequestBuilder,
        url: &Url,
        range: Option<&str>,
    ) -> Result<Response, ApiError> {
        let request = match range {
            Some(range) => request.header(RANGE, range),
            None => request,
        };
        let request = match &self.token {
            // Scheme, host and port: a redirect takes no token along.
            Some(token) if url.origin() == self.origin.origin() => {
                request.bearer_auth(token.expose_secret())
            }
            _ => request,
        };
        request.send().await.map_err(|error| {
            let cause =
                std::iter::successors(std::error::Error::source(&error), |error| error.source());
            let cause = cause.last().map_or_else(|| error.to_string(), ToString::to_string);
            unreachable(&self.endpoint, &cause)
        })
    }

    fn next(&self, from: &Url, response: &Response) -> Result<Url, ApiError> {
        let location = response.headers().get(LOCATION).and_then(|it| it.to_str().ok());
        let location = location.ok_or_else(|| dishonest("a redirect to nowhere".to_owned()))?;
        let to = from.join(location).map_err(|error| dishonest(error.to_string()))?;
        if is_allowed(&self.origin, from, &to) {
            return Ok(to);
        }
        let host = to.host_str().unwrap_or("nowhere");
        Err(dishonest(format!("{} redirects to {host}, which is not the hub's", self.endpoint))
            .with_hint("nothing was fetched from there; is a proxy or a login page in between?"))
    }

    fn refused(&self, status: StatusCode, repo: &str, revision: &Revision) -> ApiError {
        let endpoint = &self.endpoint;
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if self.token.is_none() => {
                ApiError::new(
                    ErrorCode::ModelNotFound,
                    format!("{endpoint} shows {repo} only with a token, or has no such repository"),
                )
                .with_hint(
                    "check its name; a token goes into a file of mode 0600 that `hf_token_file` \
                     under [hive] names, or HF_TOKEN_PATH",
                )
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ApiError::new(
                ErrorCode::HubForbidden,
                format!("{endpoint} does not let this token read {repo}"),
            )
            .with_hint(format!("accept its terms at {endpoint}/{repo}, or use another token")),
            StatusCode::NOT_FOUND => ApiError::new(
                ErrorCode::ModelNotFound,
                format!("{endpoint} has no {repo} at revision {revision}"),
            )
            .with_hint(format!("look at {endpoint}/{repo}")),
            status => unreachable(endpoint, &format!("it answers {status}")),
        }
    }
}

/// An answer with bytes, and what was said about them on the way.
pub(crate) struct Resolved {
    pub(crate) response: Response,
    pub(crate) claims: Claims,
}

/// What headers said; the first word counts, as in the hub's own tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) commit: Option<String>,
    pub(crate) etag: Option<String>,
}

impl Claims {
    fn note(&mut self, response: &Response) {
        let header = |name: &str| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some(value.trim_start_matches("W/").replace('"', ""))
        };
        self.commit = self.commit.take().or_else(|| header("x-repo-commit"));
        self.etag = self.etag.take().or_else(|| header("x-linked-etag")).or_else(|| header("etag"));
    }
}

/// Whether the hub at `origin` may send us from one address to the other.
fn is_allowed(origin: &Url, from: &Url, to: &Url) -> bool {
    let is_downgrade = from.scheme() == "https" && to.scheme() != "https";
    let is_web = matches!(to.scheme(), "http" | "https");
    let (Some(home), Some(host)) = (origin.host_str(), to.host_str()) else { return false };
    let is_known = if origin.as_str().trim_end_matches('/') == PUBLIC {
        PUBLIC_HOSTS.iter().any(|known| {
            host == *known || host.strip_suffix(known).is_some_and(|it| it.ends_with('.'))
        })
    } else {
        host == home
    };
    is_web && !is_downgrade && is_known && to.username().is_empty() && to.password().is_none()
}

fn listing(answer: RepoAnswer) -> Result<Listing, ApiError> {
    if !is_hex(&answer.sha, 40) {
        return Err(dishonest("the hub names a commit that is none".to_owned()));
    }
    if answer.siblings.len() > FILES_MAX {
        return Err(dishonest(format!("the repository has more than {FILES_MAX} files")));
    }
    let mut files = Vec::with_capacity(answer.siblings.len());
    for sibling in answer.siblings {
        let sha256 = match &sibling.lfs {
            Some(lfs) if is_hex(&lfs.sha256, 64) => Some(lfs.sha256.clone()),
            Some(_) => return Err(dishonest("the hub names a hash that is none".to_owned())),
            None => None,
        };
        let bytes = sibling.lfs.map(|it| it.size).or(sibling.size).unwrap_or_default();
        files.push(ListedFile { name: sibling.rfilename, bytes, sha256 });
    }
    Ok(Listing { commit: answer.sha, files })
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}

async fn body(mut response: Response) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    loop {
        let chunk = response.chunk().await.map_err(|error| {
            ApiError::new(ErrorCode::Unavailable, format!("the hub's listing broke off: {error}"))
                .with_hint("try again")
        })?;
        let Some(chunk) = chunk else { return Ok(bytes) };
        if bytes.len() + chunk.len() > LISTING_BYTES_MAX {
            return Err(dishonest(format!("its listing is larger than {LISTING_BYTES_MAX} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
}

fn unreachable(endpoint: &BaseUrl, cause: &str) -> ApiError {
    ApiError::new(ErrorCode::HubUnreachable, format!("the hub {endpoint} cannot be used: {cause}"))
        .with_hint("check the network of the hive's machine; HF_ENDPOINT names another hub")
}

/// The hub says what cannot be true.
pub(crate) fn dishonest(message: String) -> ApiError {
    ApiError::new(ErrorCode::HubDishonest, message)
}

/// Names of the public hub never lead into our own network.
struct OutsideOnly;

impl Resolve for OutsideOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let outside: Vec<SocketAddr> = found.filter(|it| is_outside(it.ip())).collect();
            if outside.is_empty() {
                return Err(format!("{host} leads to no address outside of this network").into());
            }
            Ok(Box::new(outside.into_iter()) as Addrs)
        })
    }
}

fn is_outside(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(it) => {
            !(it.is_loopback()
                || it.is_private()
                || it.is_link_local()
                || it.is_unspecified()
                || it.is_broadcast()
                || it.is_multicast())
        }
        IpAddr::V6(it) => {
            !(it.is_loopback()
                || it.is_unique_local()
                || it.is_unicast_link_local()
                || it.is_unspecified()
                || it.is_multicast())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn the_public_hub_redirects_to_its_own_hosts_only() {
        let hub = url(PUBLIC);
        for good in [
            "https://huggingface.co/x",
            "https://cdn-lfs.huggingface.co/x",
            "https://cas-bridge.xethub.hf.co/x",
        ] {
            assert!(is_allowed(&hub, &hub, &url(good)), "{good}");
        }
        for bad in [
            "http://huggingface.co/x",
            "https://evilhuggingface.co/x",
            "https://huggingface.co.evil.com/x",
            "https://127.0.0.1/x",
            "https://169.254.169.254/latest",
            "https://[::ffff:7f00:1]/x",
            "https://user:pass@huggingface.co/x",
            "file:///etc/passwd",
        ] {
            assert!(!is_allowed(&hub, &hub, &url(bad)), "{bad}");
        }
    }

    #[test]
    fn a_hub_of_ones_own_redirects_to_its_own_host() {
        let hub = url("http://127.0.0.1:8000");
        assert!(is_allowed(&hub, &hub, &url("http://127.0.0.1:9000/cdn")));
        assert!(!is_allowed(&hub, &hub, &url("http://169.254.169.254/latest")));
    }

    #[test]
    fn addresses_inside_are_not_outside() {
        for inside in
            ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:7f00:1", "fd00::1"]
        {
            assert!(!is_outside(inside.parse().unwrap()), "{inside}");
        }
        assert!(is_outside("18.155.68.44".parse().unwrap()));
    }

    #[test]
    fn a_listing_whose_hashes_are_paths_is_refused() {
        let read = |sha: &str, sha256: &str| {
            let answer = serde_json::json!({
                "sha": sha,
                "siblings": [
                    {"rfilename": "README.md", "size": 3},
                    {"rfilename": "a.gguf", "size": 9, "lfs": {"sha256": sha256, "size": 9}},
                ],
            });
            listing(serde_json::from_value(answer).unwrap())
        };
        let (commit, hash) = ("a".repeat(40), "b".repeat(64));
        assert_eq!(read(&commit, &hash).unwrap().files[1].sha256.as_deref(), Some(hash.as_str()));
        assert!(read("/etc/cron.d/x", &hash).is_err());
        assert!(read(&commit, "../../x").is_err());
        assert!(read(&commit, &"B".repeat(64)).is_err());
    }
}

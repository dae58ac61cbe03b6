//! The one place where an HTTP client is built, bodies are read and the
//! transport's faults become [`ClientError`]s.

use std::{error::Error, io, path::Path, sync::OnceLock, time::Duration};

use protocol::error::ErrorBody;
use reqwest::{Certificate, Client, Response, StatusCode, Url, redirect::Policy};
use serde::de::DeserializeOwned;

use crate::{ClientError, ConnectFault, Limits, Peer, Silence};

/// A snapshot of ten thousand workers and as many models on disks is some
/// twenty megabytes.
const ANSWER_MAX: usize = 64 * 1024 * 1024;
/// An error is a sentence.
const ERROR_MAX: usize = 64 * 1024;
/// An error's body that trickles in must not hold back the error.
const ERROR_WAIT: Duration = Duration::from_secs(5);
/// How much of a strange body is worth showing.
const EXCERPT_CHARS: usize = 120;

/// The HTTP clients of one daemon, made when first needed.
///
/// There are three because the silence after which a connection counts as dead
/// is a property of the client, not of a request (see `sse`). They are not
/// shared between daemons or kept in a static: a connection in a client's pool
/// is served by the runtime that opened it and is dead once that is gone.
#[derive(Default)]
pub(crate) struct Clients {
    calls: OnceLock<Client>,
    jobs: OnceLock<Client>,
    feed: OnceLock<Client>,
}

/// What a client is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Use {
    Call,
    Job,
    Feed,
}

impl Use {
    pub(crate) fn silence(self, limits: &Limits) -> Option<Duration> {
        match self {
            // A call has a limit as a whole.
            Self::Call => None,
            Self::Job => Some(limits.job_silence),
            Self::Feed => Some(limits.feed_silence),
        }
    }
}

impl Clients {
    pub(crate) fn get(
        &self,
        purpose: Use,
        peer: &Peer,
        socket: Option<&Path>,
        trusted: Option<&[Certificate]>,
        limits: &Limits,
    ) -> Result<&Client, ClientError> {
        let cell = match purpose {
            Use::Call => &self.calls,
            Use::Job => &self.jobs,
            Use::Feed => &self.feed,
        };
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        let trust = Trust::new(peer, trusted);
        let client = build(purpose.silence(limits), socket, trust, limits.connect);
        let client = client.map_err(|error| ClientError::Setup {
            peer: peer.clone(),
            reason: root_cause(&error),
        })?;
        Ok(cell.get_or_init(|| client))
    }
}

/// Whose certificates count.
enum Trust<'a> {
    /// Nobody's, where there is no TLS; all authorities of the world would be
    /// kept in memory once more for each daemon.
    Nobody,
    /// Those that this machine and the web trust.
    Everybody,
    /// These authorities and no others.
    These(&'a [Certificate]),
}

impl<'a> Trust<'a> {
    fn new(peer: &Peer, trusted: Option<&'a [Certificate]>) -> Self {
        match trusted {
            _ if !peer.url().starts_with("https:") => Self::Nobody,
            Some(trusted) => Self::These(trusted),
            None => Self::Everybody,
        }
    }
}

fn build(
    silence: Option<Duration>,
    socket: Option<&Path>,
    trust: Trust<'_>,
    connect: Duration,
) -> reqwest::Result<Client> {
    let these = if let Trust::These(these) = trust { these } else { &[] };
    let builder = these
        .iter()
        .cloned()
        .fold(Client::builder(), |builder, authority| builder.add_root_certificate(authority));
    let builder = builder
        .tls_built_in_root_certs(matches!(trust, Trust::Everybody))
        // A daemon never redirects; whoever does must not be sent the token.
        .redirect(Policy::none())
        // The fleet is reached straight or through our own tunnels. A proxy
        // that was set for the web would break loopback and see the token.
        .no_proxy()
        // Whether a call may be repeated is known here, not in the library.
        .retry(reqwest::retry::never())
        .connect_timeout(connect)
        .tcp_keepalive(Duration::from_secs(15))
        .pool_max_idle_per_host(4)
        .pool_idle_timeout(Duration::from_secs(30));
    let builder = match socket {
        Some(socket) => builder.unix_socket(socket),
        None => builder,
    };
    match silence {
        Some(silence) => builder.read_timeout(silence),
        None => builder,
    }
    .build()
}

/// The authorities in a PEM file.
pub(crate) fn authorities(pem: &[u8]) -> Result<Vec<Certificate>, String> {
    match Certificate::from_pem_bundle(pem) {
        Ok(authorities) if !authorities.is_empty() => Ok(authorities),
        Ok(_) => Err("it holds no certificate; one begins with -----BEGIN CERTIFICATE-----".into()),
        Err(error) => Err(root_cause(&error)),
    }
}

/// Checks an address and brings it into the form that paths are added to.
pub(crate) fn base_url(given: &str) -> Result<String, ClientError> {
    let refuse = |address: &str, reason: &str| {
        Err(ClientError::Address { address: address.to_owned(), reason: reason.to_owned() })
    };
    // Checked before anything is echoed: what stands before an `@` may be a password.
    if given.contains('@') {
        return refuse(
            given.rsplit('@').next().unwrap_or_default(),
            "a user name or password does not belong in an address; use a token",
        );
    }
    let Ok(url) = Url::parse(given) else {
        return refuse(given, "write it as http://127.0.0.1:8500");
    };
    if !matches!(url.scheme(), "http" | "https") {
        return refuse(given, "it must begin with http:// or https://");
    }
    if url.host_str().is_none() {
        return refuse(given, "it has no host");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refuse(given, "it must end with the port or a path");
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Reads the body of a call's answer.
pub(crate) async fn body(response: &mut Response) -> reqwest::Result<Body> {
    read(response, ANSWER_MAX).await
}

/// Reads what the body of the answer to `call` says.
pub(crate) fn parse<T: DeserializeOwned>(
    peer: &Peer,
    call: &str,
    body: &Body,
) -> Result<T, ClientError> {
    let problem = if body.whole {
        match serde_json::from_slice(&body.bytes) {
            Ok(answer) => return Ok(answer),
            Err(error) => excerpt(&error.to_string()),
        }
    } else {
        format!("it is longer than {ANSWER_MAX} bytes")
    };
    Err(ClientError::Undecodable {
        peer: peer.clone(),
        what: format!("an answer to {call}"),
        problem,
    })
}

/// Turns an answer that is not a success into the error it carries.
pub(crate) async fn refusal(peer: &Peer, response: Response) -> ClientError {
    let status = response.status();
    let body = beginning(response).await;
    match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(body) => ClientError::Api(body.error),
        Err(_) => not_ours(peer, status, &body),
    }
}

/// Turns an answer that should have been a stream and is none into an error.
pub(crate) async fn foreign(peer: &Peer, response: Response) -> ClientError {
    let status = response.status();
    not_ours(peer, status, &beginning(response).await)
}

fn not_ours(peer: &Peer, status: StatusCode, body: &[u8]) -> ClientError {
    ClientError::Foreign {
        peer: peer.clone(),
        status: status.as_u16(),
        excerpt: excerpt(&String::from_utf8_lossy(body)),
    }
}

async fn beginning(mut response: Response) -> Vec<u8> {
    match tokio::time::timeout(ERROR_WAIT, read(&mut response, ERROR_MAX)).await {
        Ok(Ok(body)) => body.bytes,
        // The status alone says enough.
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

/// Whether the same request may be answered differently soon.
pub(crate) fn is_passing(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

/// How long the daemon asks us to stay away; zero when it does not.
pub(crate) fn retry_after(response: &Response) -> Duration {
    let header = response.headers().get(reqwest::header::RETRY_AFTER);
    let seconds = header.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Duration::from_secs(seconds.unwrap_or(0))
}

/// A body, read as far as the limit allows.
pub(crate) struct Body {
    bytes: Vec<u8>,
    whole: bool,
}

async fn read(response: &mut Response, most: usize) -> reqwest::Result<Body> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = most - bytes.len();
        if chunk.len() > room {
            bytes.extend_from_slice(chunk.get(..room).unwrap_or_default());
            return Ok(Body { bytes, whole: false });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Body { bytes, whole: true })
}

/// The beginning of a foreign text as one line without control characters, so
/// that it cannot move a terminal's cursor.
pub(crate) fn excerpt(text: &str) -> String {
    let mut words = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if !word.is_empty() {
            if !words.is_empty() {
                words.push(' ');
            }
            words.push_str(word);
        }
        if words.len() > 4 * EXCERPT_CHARS {
            break;
        }
    }
    match words.char_indices().nth(EXCERPT_CHARS) {
        Some((end, _)) => format!("{}…", words.get(..end).unwrap_or_default()),
        None => words,
    }
}

/// Says what a fault of the transport means. `silence` and `after` tell what
/// was waited for if it was a matter of time, `connect` how long for a
/// connection.
pub(crate) fn fault(
    peer: Peer,
    error: &reqwest::Error,
    connect: Duration,
    silence: Silence,
    after: Duration,
) -> ClientError {
    if error.is_builder() {
        return ClientError::Setup { peer, reason: root_cause(error) };
    }
    if error.is_connect() {
        let fault = if let Some(untrusted) = untrusted(error) {
            ConnectFault::Untrusted(untrusted)
        } else if let Some(way_is_down) = peer.way_is_down() {
            ConnectFault::Other(way_is_down.to_owned())
        } else if io_kind(error) == Some(io::ErrorKind::ConnectionRefused) {
            ConnectFault::Refused
        } else if error.is_timeout() {
            ConnectFault::TimedOut(connect)
        } else if chain(error).any(|cause| cause.to_string().starts_with("dns error")) {
            ConnectFault::UnknownHost
        } else {
            ConnectFault::Other(root_cause(error))
        };
        return ClientError::Unreachable { peer, fault };
    }
    if error.is_timeout() {
        return ClientError::TimedOut { peer, silence, after };
    }
    ClientError::Broken { peer, reason: root_cause(error) }
}

/// What TLS found wrong with a certificate.
fn untrusted(error: &reqwest::Error) -> Option<String> {
    let said = chain(error).last()?.to_string();
    Some(excerpt(said.strip_prefix("invalid peer certificate: ")?))
}

fn chain(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let outermost: &(dyn Error + 'static) = error;
    std::iter::successors(Some(outermost), |error| (*error).source())
}

fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    chain(error).find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind)
}

/// The innermost cause; the layers above it only repeat that a request failed.
fn root_cause(error: &reqwest::Error) -> String {
    excerpt(&chain(error).last().map(ToString::to_string).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_brought_into_one_form_or_refused_with_a_remedy() {
        assert_eq!(base_url("http://127.0.0.1:8500/").unwrap(), "http://127.0.0.1:8500");
        assert_eq!(base_url("https://gate.example/rbee/").unwrap(), "https://gate.example/rbee");
        for bad in [
            "",
            "127.0.0.1:8500",
            "localhost:8500",
            "ftp://x",
            "http://",
            "http://x/?a=1",
            "http://x/#a",
        ] {
            assert!(matches!(base_url(bad), Err(ClientError::Address { .. })), "{bad:?} passed");
        }
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_not_repeated() {
        let error = base_url("http://me:hunter2@10.0.0.1:8500").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }

    #[test]
    fn an_excerpt_is_short_and_cannot_move_a_cursor() {
        assert_eq!(excerpt("<html>\n\u{1b}[2J  <p>é</p>\r\n"), "<html> [2J <p>é</p>");
        assert_eq!(excerpt(&"é".repeat(9_000)).chars().count(), EXCERPT_CHARS + 1);
    }
}

//! A hub on loopback that speaks the hub's protocol: a listing with revisions,
//! `resolve` with its headers and its redirect to another origin, ranges.
//!
//! `main.rs` has the hub's own Python client fetch from it, so that it is
//! known to be honest. It can also misbehave, one way at a time.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub(crate) const REPO: &str = "org/repo";
pub(crate) const TOKEN: &str = "hf_test_token_0123456789";

/// One way of misbehaving.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Manner {
    Honest,
    /// So many transfers break off after so many bytes.
    CutsAfter {
        bytes: usize,
        times: usize,
    },
    /// One bit of every file is another.
    FlipsABit,
    /// `resolve` redirects to this address.
    RedirectsTo(String),
    /// `resolve` says another etag than the listing.
    Etag(String),
    /// The file has grown since the listing.
    Grows,
    /// Sends all of it, whatever was asked for.
    IgnoresRange,
    /// An HTML page in place of a file.
    LoginPage,
    /// Sends nothing of what lies behind this.
    HangsFrom(usize),
    /// Only for whoever shows the token.
    Gated,
    /// Its listing says that every file is this long.
    Claims(u64),
}

/// What was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) authorization: Option<String>,
}

pub(crate) struct Shared {
    files: BTreeMap<String, File>,
    manner: Mutex<Manner>,
    seen: Mutex<Vec<Seen>>,
    cdn: SocketAddr,
}

#[derive(Clone)]
struct File {
    bytes: Bytes,
    sha256: String,
}

/// The hub, and the other origin that it keeps large files on.
#[derive(Clone)]
pub(crate) struct Double {
    pub(crate) shared: Arc<Shared>,
    pub(crate) url: String,
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let mut hex = String::new();
    for byte in Sha256::digest(bytes) {
        write!(hex, "{byte:02x}").unwrap();
    }
    hex
}

impl Double {
    pub(crate) async fn serve(files: &[(&str, &[u8])]) -> Self {
        let bind = || tokio::net::TcpListener::bind("127.0.0.1:0");
        let (hub, cdn) = (bind().await.unwrap(), bind().await.unwrap());
        let shared = Arc::new(Shared {
            files: files
                .iter()
                .map(|(name, bytes)| {
                    let file = File { bytes: Bytes::copy_from_slice(bytes), sha256: sha256(bytes) };
                    ((*name).to_owned(), file)
                })
                .collect(),
            manner: Mutex::new(Manner::Honest),
            seen: Mutex::default(),
            cdn: cdn.local_addr().unwrap(),
        });
        let url = format!("http://{}", hub.local_addr().unwrap());
        for (listener, is_cdn) in [(hub, false), (cdn, true)] {
            let shared = Arc::clone(&shared);
            let router = Router::new()
                .fallback(move |State(shared), request| answer(shared, is_cdn, request));
            let router = router.with_state(shared);
            tokio::spawn(async move { axum::serve(listener, router).await });
        }
        Self { shared, url }
    }

    pub(crate) fn behave(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
    }

    pub(crate) fn forget(&self) {
        self.shared.seen.lock().unwrap().clear();
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Bytes of files that were asked for, one-byte looks aside.
    pub(crate) fn asked_bytes(&self) -> u64 {
        let range = |seen: &Seen| {
            let (first, last) = seen.range.as_ref()?.strip_prefix("bytes=")?.split_once('-')?;
            Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?))
        };
        let seen = self.seen();
        let cdn = seen.iter().filter(|it| it.path.starts_with("/cdn/")).filter_map(range);
        cdn.filter(|(first, last)| first != last).map(|(first, last)| last - first + 1).sum()
    }
}

async fn answer(shared: Arc<Shared>, is_cdn: bool, request: Request) -> Response {
    let text = |name: header::HeaderName| {
        request.headers().get(name).and_then(|it| it.to_str().ok()).map(str::to_owned)
    };
    let seen = Seen {
        path: request.uri().path().to_owned(),
        range: text(header::RANGE),
        authorization: text(header::AUTHORIZATION),
    };
    shared.seen.lock().unwrap().push(seen.clone());
    let manner = shared.manner.lock().unwrap().clone();
    let path = seen.path.clone();
    if is_cdn {
        return match path.strip_prefix("/cdn/").and_then(|name| shared.files.get(name)) {
            Some(file) => transfer(&shared, &manner, file, request.headers()),
            None => StatusCode::NOT_FOUND.into_response(),
        };
    }
    let shown = format!("Bearer {TOKEN}");
    if manner == Manner::Gated && seen.authorization.as_deref() != Some(shown.as_str()) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    for revision in ["main", "v1", COMMIT] {
        let listing =
            [format!("/api/models/{REPO}/revision/{revision}"), format!("/api/models/{REPO}")];
        if listing.contains(&path) {
            return axum::Json(list(&shared.files, &manner)).into_response();
        }
        if let Some(name) = path.strip_prefix(&format!("/{REPO}/resolve/{revision}/")) {
            return match shared.files.get(name) {
                Some(file) => resolve(&shared, &manner, name, file, request.method()),
                None => {
                    (StatusCode::NOT_FOUND, [("x-error-code", "EntryNotFound")]).into_response()
                }
            };
        }
    }
    (StatusCode::NOT_FOUND, [("x-error-code", "RepoNotFound")]).into_response()
}

fn list(files: &BTreeMap<String, File>, manner: &Manner) -> Value {
    let length = |bytes: &Bytes| match manner {
        Manner::Claims(length) => *length,
        _ => bytes.len() as u64,
    };
    let siblings: Vec<Value> = files
        .iter()
        .map(|(name, File { bytes, sha256 })| {
            json!({
                "rfilename": name, "size": length(bytes), "blobId": &sha256[..40],
                "lfs": {"sha256": sha256, "size": length(bytes), "pointerSize": 130},
            })
        })
        .collect();
    json!({
        "_id": "0", "id": REPO, "modelId": REPO, "sha": COMMIT, "private": false, "gated": false,
        "disabled": false, "tags": [], "downloads": 0, "likes": 0, "siblings": siblings,
    })
}

/// As the hub does for a file of git-lfs: its headers on a redirect to the
/// place that has the bytes.
fn resolve(shared: &Shared, manner: &Manner, name: &str, file: &File, method: &Method) -> Response {
    if *manner == Manner::LoginPage && *method == Method::GET {
        return ([(header::CONTENT_TYPE, "text/html")], "<html>Please log in</html>")
            .into_response();
    }
    let location = match manner {
        Manner::RedirectsTo(elsewhere) => elsewhere.clone(),
        _ => format!("http://{}/cdn/{name}", shared.cdn),
    };
    let etag = match manner {
        Manner::Etag(etag) => etag.clone(),
        _ => file.sha256.clone(),
    };
    Response::builder()
        .status(StatusCode::FOUND)
        .header(header::LOCATION, location)
        .header("x-repo-commit", COMMIT)
        .header("x-linked-etag", format!("\"{etag}\""))
        .header("x-linked-size", file.bytes.len())
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CONTENT_LENGTH, 0)
        .body(Body::empty())
        .unwrap()
}

fn transfer(shared: &Shared, manner: &Manner, file: &File, headers: &HeaderMap) -> Response {
    let mut bytes = file.bytes.clone();
    if *manner == Manner::Grows {
        bytes = [&bytes[..], b"more"].concat().into();
    }
    if *manner == Manner::FlipsABit {
        let mut other = bytes.to_vec();
        let middle = other.len() / 2;
        other[middle] ^= 1;
        bytes = other.into();
    }
    let total = bytes.len();
    let asked = headers.get(header::RANGE).and_then(|it| it.to_str().ok());
    let asked = asked.filter(|_| *manner != Manner::IgnoresRange);
    let (status, first, last) =
        match asked.and_then(|it| it.strip_prefix("bytes=")?.split_once('-')) {
            Some((first, last)) => {
                let first: usize = first.parse().unwrap();
                let last = last.parse().unwrap_or(total).min(total - 1);
                (StatusCode::PARTIAL_CONTENT, first, last)
            }
            None => (StatusCode::OK, 0, total - 1),
        };
    let body = bytes.slice(first..=last);
    let response = Response::builder()
        .status(status)
        .header(header::CONTENT_LENGTH, body.len())
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, format!("\"{}\"", file.sha256));
    let response = match status {
        StatusCode::PARTIAL_CONTENT => {
            response.header(header::CONTENT_RANGE, format!("bytes {first}-{last}/{total}"))
        }
        _ => response,
    };
    let broken = |sent: Bytes| {
        let cut = Err(std::io::Error::other("cut"));
        Body::from_stream(stream::iter([Ok(sent), cut]).then(|it| async {
            // What was sent before is read before the line is cut.
            tokio::time::sleep(Duration::from_millis(5)).await;
            it
        }))
    };
    let body = match manner {
        Manner::CutsAfter { bytes, times }
            if body.len() > 1 && *times > 0 && body.len() > *bytes =>
        {
            let left = Manner::CutsAfter { bytes: *bytes, times: times - 1 };
            *shared.manner.lock().unwrap() = left;
            broken(body.slice(..*bytes))
        }
        Manner::HangsFrom(offset) if first >= *offset && body.len() > 1 => {
            Body::from_stream(stream::pending::<std::io::Result<Bytes>>())
        }
        _ => Body::from(body),
    };
    response.body(body).unwrap()
}

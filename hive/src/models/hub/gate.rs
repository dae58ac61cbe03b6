//! The only hub that hf-hub ever speaks to: a listener on loopback, for one
//! file.
//!
//! hf-hub names files on disk after headers, sends its token wherever a
//! redirect leads, takes the answer to any range for that range, and waits
//! for ever. So it gets the headers from us, who have them from the hub's
//! listing; the gate asks the hub, follows what may be followed, and passes on
//! exactly the bytes that were asked for or an error. Who does not know the
//! secret in the path gets nothing.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use config::Nonce;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use protocol::{ApiError, ErrorCode};
use tokio::net::TcpListener;

use super::listing::{Hub, Resolved, dishonest};

/// A server that sends the whole file for every piece is borne with up to
/// this; for a larger one the pieces would cost too much.
const WHOLE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// One file of the hub, as its listing describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) repo: String,
    pub(crate) commit: String,
    pub(crate) name: String,
    pub(crate) sha256: String,
    pub(crate) bytes: u64,
}

/// What went wrong behind the gate; hf-hub only knows that something did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) error: ApiError,
    /// Whether trying again may help.
    pub(crate) may_pass: bool,
}

pub(crate) struct Gate {
    hub: Hub,
    wanted: Wanted,
    secret: String,
    problem: Mutex<Option<Problem>>,
}

impl Gate {
    /// Opens a gate on the current runtime, with which it ends. The address
    /// is an endpoint for hf-hub.
    pub(crate) async fn open(hub: Hub, wanted: Wanted) -> std::io::Result<(Arc<Self>, String)> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = listener.local_addr()?;
        let secret = format!("/{}/", Nonce::fresh());
        let endpoint = format!("http://{address}{}", secret.trim_end_matches('/'));
        let gate = Arc::new(Self { hub, wanted, secret, problem: Mutex::default() });
        let router = Router::new().fallback(pass).with_state(Arc::clone(&gate));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok((gate, endpoint))
    }

    pub(crate) fn take_problem(&self) -> Option<Problem> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn fail(&self, error: ApiError, may_pass: bool) {
        let mut problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        // The first is the cause of the others, unless only it may pass.
        if problem.as_ref().is_none_or(|known| known.may_pass && !may_pass) {
            *problem = Some(Problem { error, may_pass });
        }
    }

    async fn fetch(self: &Arc<Self>, range: (u64, u64)) -> Result<Response, Problem> {
        let (first, last) = range;
        let Wanted { repo, commit, name, .. } = &self.wanted;
        let asked = format!("bytes={first}-{last}");
        let resolved = self.hub.resolve(repo, commit, name, Some(&asked)).await;
        let resolved = resolved.map_err(|error| {
            let may_pass = error.code == ErrorCode::HubUnreachable;
            Problem { error, may_pass }
        })?;
        let skip = check(&self.wanted, range, &resolved)?;
        let length = last - first + 1;
        let gate = Arc::clone(self);
        let body =
            exactly(resolved.response.bytes_stream(), skip, length).inspect_err(move |error| {
                gate.fail(gate.hub.broke_off(&gate.wanted.name, error), true)
            });
        Response::builder()
            .status(StatusCode::PARTIAL_CONTENT)
            .header(header::CONTENT_RANGE, format!("bytes {first}-{last}/{}", self.wanted.bytes))
            .header(header::CONTENT_LENGTH, length)
            .header(header::ETAG, format!("\"{}\"", self.wanted.sha256))
            .header("x-repo-commit", commit)
            .body(Body::from_stream(body))
            .map_err(|error| fatal(dishonest(error.to_string())))
    }
}

async fn pass(State(gate): State<Arc<Gate>>, request: Request) -> Response {
    if request.method() != Method::GET || !request.uri().path().starts_with(&gate.secret) {
        return StatusCode::NOT_FOUND.into_response();
    }
    // hf-hub is given no token; one that it found by itself is not ours to
    // pass on, and it must not get used to sending any.
    if request.headers().contains_key(header::AUTHORIZATION) {
        let message = "hf-hub has shown a token, which it must not have".to_owned();
        gate.fail(ApiError::new(ErrorCode::Internal, message), false);
        return StatusCode::FORBIDDEN.into_response();
    }
    let asked = request.headers().get(header::RANGE).and_then(|it| it.to_str().ok());
    let Some(range) = asked.and_then(|asked| parse_range(asked, gate.wanted.bytes)) else {
        return StatusCode::RANGE_NOT_SATISFIABLE.into_response();
    };
    match gate.fetch(range).await {
        Ok(response) => response,
        Err(Problem { error, may_pass }) => {
            gate.fail(error, may_pass);
            StatusCode::BAD_GATEWAY.into_response()
        }
    }
}

/// `bytes=3-9` of a file that is long enough; a last byte beyond its end is
/// its last one.
fn parse_range(asked: &str, bytes: u64) -> Option<(u64, u64)> {
    let (first, last) = asked.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let last = last.min(bytes.checked_sub(1)?);
    (first <= last).then_some((first, last))
}

/// How many bytes of the answer come before those that were asked for.
fn check(wanted: &Wanted, range: (u64, u64), resolved: &Resolved) -> Result<u64, Problem> {
    let Resolved { response, claims } = resolved;
    let name = &wanted.name;
    let status = response.status();
    let changed = |what: &str| {
        fatal(
            dishonest(format!("{name} is another on the hub than its listing says: {what}"))
                .with_hint("it may have just been replaced; download it again"),
        )
    };
    if claims.commit.as_ref().is_some_and(|commit| *commit != wanted.commit) {
        return Err(changed("it belongs to another commit"));
    }
    if claims.etag.as_ref().is_some_and(|etag| *etag != wanted.sha256) && status.is_success() {
        return Err(changed("it has another hash"));
    }
    let (first, last) = range;
    match status {
        StatusCode::PARTIAL_CONTENT => {
            let expected = format!("bytes {first}-{last}/{}", wanted.bytes);
            let said =
                response.headers().get(header::CONTENT_RANGE).and_then(|it| it.to_str().ok());
            match said {
                Some(said) if said == expected => Ok(0),
                said => {
                    Err(changed(&format!("{:?} instead of {expected}", said.unwrap_or_default())))
                }
            }
        }
        StatusCode::OK if response.content_length() != Some(wanted.bytes) => {
            let said = response.content_length();
            Err(changed(&format!("it has {said:?} bytes instead of {}", wanted.bytes)))
        }
        StatusCode::OK if wanted.bytes <= WHOLE_BYTES_MAX => Ok(first),
        StatusCode::OK => {
            Err(fatal(dishonest(format!("the hub sends all of {name} for every piece of it"))))
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
            Err(fatal(ApiError::new(
                ErrorCode::HubForbidden,
                format!("the hub lists {name} and then answers {status}"),
            )))
        }
        status => Err(Problem {
            error: ApiError::new(
                ErrorCode::HubUnreachable,
                format!("the hub answers {status} for {name}"),
            )
            .with_hint("what is here is kept; download it again later"),
            may_pass: true,
        }),
    }
}

fn fatal(error: ApiError) -> Problem {
    Problem { error, may_pass: false }
}

/// `length` bytes of `bytes` after the first `skip`. One that ends early ends
/// the answer early, which its reader notices by the length.
fn exactly(
    bytes: impl Stream<Item = reqwest::Result<Bytes>> + Send + 'static,
    skip: u64,
    length: u64,
) -> impl Stream<Item = reqwest::Result<Bytes>> + Send + 'static {
    stream::unfold((Box::pin(bytes), skip, length), |(mut bytes, mut skip, mut left)| async move {
        while left > 0 {
            let mut chunk = match bytes.next().await? {
                Ok(chunk) => chunk,
                Err(error) => return Some((Err(error), (bytes, skip, 0))),
            };
            let before = usize::try_from(skip).map_or(chunk.len(), |it| it.min(chunk.len()));
            skip -= before as u64;
            let _ = chunk.split_to(before);
            chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            if !chunk.is_empty() {
                left -= chunk.len() as u64;
                return Some((Ok(chunk), (bytes, skip, left)));
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_stays_inside_the_file() {
        assert_eq!(parse_range("bytes=0-0", 10), Some((0, 0)));
        assert_eq!(parse_range("bytes=8-10", 10), Some((8, 9)));
        for bad in
            ["bytes=10-12", "bytes=5-4", "bytes=-5", "bytes=a-b", "items=0-1", "bytes=0-0,2-3"]
        {
            assert_eq!(parse_range(bad, 10), None, "{bad}");
        }
        assert_eq!(parse_range("bytes=0-0", 0), None);
    }

    #[tokio::test]
    async fn a_piece_is_cut_out_of_more_than_was_asked_for() {
        let chunks = ["0123", "4567", "89"].map(|it| Ok(Bytes::from(it)));
        let cut: Vec<_> = exactly(stream::iter(chunks), 3, 4).collect().await;
        let cut: Vec<Bytes> = cut.into_iter().map(Result::unwrap).collect();
        assert_eq!(cut.concat(), b"3456");
    }
}

//! The listener: an accept loop of our own around hyper, because
//! `axum::serve` has neither a header timeout nor a connection limit.
//!
//! ```text
//! bind ─▶ serve ─▶ (close: stop accepting ─▶ let connections finish ─▶ cut what is left)
//! ```

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, response::IntoResponse};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use protocol::{ApiError, ErrorCode};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_http::{catch_panic::CatchPanicLayer, timeout::RequestBodyTimeoutLayer};

use crate::Refusal;

/// Open connections; more wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 4_096;
/// A request's header must be whole in this time.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// A pause between two pieces of a request's body may be this long.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// The kernel's share of noticing a peer that vanished without a word: unsent
/// or unacknowledged bytes this old break the connection.
const UNACKNOWLEDGED_MS_MAX: u32 = 20_000;
/// Buffer for a request's header; also its largest size.
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// When the process has no file descriptors left, accepting pauses.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a daemon cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}{}", hint(source))]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program has that port: stop it, or set another address in config.toml"
        }
        io::ErrorKind::PermissionDenied => "; ports below 1024 belong to root: set another address",
        _ => "",
    }
}

/// Takes the port, or says who cannot have it.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError { address, source })
}

/// A running listener.
#[derive(Debug)]
pub struct HttpServer {
    local_addr: SocketAddr,
    stop: CancellationToken,
    connections: TaskTracker,
    accepting: JoinHandle<()>,
}

impl HttpServer {
    /// Serves `router` on `listener` until [`HttpServer::close`].
    pub fn serve(listener: TcpListener, router: Router) -> io::Result<Self> {
        let local_addr = listener.local_addr()?;
        let stop = CancellationToken::new();
        let connections = TaskTracker::new();
        let router = router
            .layer(RequestBodyTimeoutLayer::new(BODY_TIMEOUT))
            .layer(CatchPanicLayer::custom(|_| internal_error()));
        let accepting =
            tokio::spawn(accept_loop(listener, router, stop.clone(), connections.clone()));
        Ok(Self { local_addr, stop, connections, accepting })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Stops accepting, lets running answers finish for `grace`, then cuts
    /// what is left. Streams must have been told to end before.
    pub async fn close(self, grace: Duration) {
        self.stop.cancel();
        self.connections.close();
        if tokio::time::timeout(grace, self.connections.wait()).await.is_err() {
            tracing::info!(left = self.connections.len(), "cutting connections that did not end");
        }
        self.accepting.abort();
    }
}

fn internal_error() -> axum::response::Response {
    let error = ApiError::new(ErrorCode::Internal, "this request hit a bug in the daemon")
        .with_hint("its log has the details");
    Refusal(error).into_response()
}

async fn accept_loop(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
    connections: TaskTracker,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = serve_connection(stream, peer, router.clone(), stop.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            // The peer was gone before it was accepted.
            Err(error) if is_per_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_per_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    stop: CancellationToken,
) {
    // Tokens are small and must not wait for each other.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(&stream, UNACKNOWLEDGED_MS_MAX) {
        tracing::debug!(%error, "no TCP_USER_TIMEOUT");
    }
    let service = TowerToHyperService::new(router);
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%peer, %error, "connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn start() -> HttpServer {
        async fn panics() -> &'static str {
            panic!("on purpose")
        }
        let router =
            Router::new().route("/ok", get(|| async { "ok" })).route("/panic", get(panics));
        let listener = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        HttpServer::serve(listener, router).unwrap()
    }

    async fn exchange(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        // A connection that the server resets has said all it will.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn a_panic_is_one_bad_answer_and_the_next_request_is_served() {
        let server = start().await;
        let request = b"GET /panic HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let answer = exchange(server.local_addr(), request).await;
        assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
        assert!(answer.contains(r#""code":"internal""#), "{answer}");
        let request = b"GET /ok HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        assert!(exchange(server.local_addr(), request).await.ends_with("ok"));
    }

    #[tokio::test]
    async fn a_header_over_the_limit_is_refused() {
        let server = start().await;
        let request =
            format!("GET /ok HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(64 * 1024));
        let answer = exchange(server.local_addr(), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }

    #[tokio::test]
    async fn a_taken_port_is_named_with_its_remedy() {
        let server = start().await;
        let error = bind(server.local_addr()).await.unwrap_err().to_string();
        assert!(error.contains(&server.local_addr().to_string()), "{error}");
        assert!(error.contains("another program"), "{error}");
    }

    #[tokio::test]
    async fn closing_lets_a_running_answer_finish_and_takes_no_new_one() {
        let server = start().await;
        let address = server.local_addr();
        server.close(Duration::from_secs(5)).await;
        assert!(TcpStream::connect(address).await.is_err());
    }
}

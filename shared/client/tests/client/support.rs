//! A scripted HTTP server on loopback, and a clock that stands still.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use client::{Daemon, Limits};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The number a stream is to be resumed after.
    pub(crate) fn resumes_after(&self) -> u64 {
        self.header("last-event-id").map_or(0, |id| id.parse().unwrap())
    }
}

/// What the server sends on a connection, and what it does then.
pub(crate) struct Reply {
    bytes: Vec<u8>,
    then: Then,
}

enum Then {
    HangUp,
    HangUpAfter(Duration),
    /// Waits for the client to hang up.
    Silence,
}

impl Reply {
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), then: Then::HangUp }
    }

    pub(crate) fn json(status: &str, body: &str) -> Self {
        Self::typed(status, "application/json", body)
    }

    pub(crate) fn typed(status: &str, content_type: &str, body: &str) -> Self {
        Self::raw(format!(
            "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\nretry-after: 2\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        ))
    }

    pub(crate) fn stream(events: &str) -> Self {
        Self::raw(stream_bytes(events))
    }

    /// The events, on a connection that then stays open and silent.
    pub(crate) fn open_stream(events: &str) -> Self {
        let mut bytes = stream_bytes(events);
        bytes.truncate(bytes.len() - LAST_CHUNK.len());
        Self::raw(bytes).then_silence()
    }

    /// Keeps the connection open afterwards.
    pub(crate) fn then_silence(self) -> Self {
        Self { then: Then::Silence, ..self }
    }

    /// Keeps the connection open for a while on the test's clock.
    pub(crate) fn hang_up_after(self, time: Duration) -> Self {
        Self { then: Then::HangUpAfter(time), ..self }
    }

    /// Hangs up before byte `at`.
    pub(crate) fn cut(mut self, at: usize) -> Self {
        self.bytes.truncate(at);
        self
    }
}

pub(crate) const LAST_CHUNK: &str = "0\r\n\r\n";

/// A stream as our daemons frame it: one chunk for each message.
pub(crate) fn stream_bytes(events: &str) -> Vec<u8> {
    let mut bytes =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            .to_owned();
    for event in events.split_inclusive("\n\n") {
        bytes.push_str(&format!("{:x}\r\n{event}\r\n", event.len()));
    }
    bytes.push_str(LAST_CHUNK);
    bytes.into_bytes()
}

/// Job events `from..=to`.
pub(crate) fn events(from: u64, to: u64) -> String {
    (from..=to).map(|n| event(n, &format!("line {n} 🐝"))).collect()
}

/// One job event.
pub(crate) fn event(number: u64, message: &str) -> String {
    format!("id: {number}\ndata: {{\"event\":\"step\",\"message\":\"{message}\"}}\n\n")
}

pub(crate) struct Server {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    hung_up: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Answers the `n`th connection (from 0) with `reply(n, request)`.
    pub(crate) async fn start(
        reply: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (hang_up, hung_up) = watch::channel(0);
        let (log, reply) = (Arc::clone(&requests), Arc::new(reply));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let (log, reply, hang_up) = (Arc::clone(&log), Arc::clone(&reply), hang_up.clone());
                connections.spawn(async move {
                    let Some(request) = read_request(&mut socket).await else { return };
                    let number = {
                        let mut log = log.lock().unwrap();
                        log.push(request.clone());
                        log.len() - 1
                    };
                    let reply = reply(number, &request);
                    if socket.write_all(&reply.bytes).await.is_err() {
                        return;
                    }
                    match reply.then {
                        Then::HangUp => {}
                        Then::HangUpAfter(time) => tokio::time::sleep(time).await,
                        Then::Silence => {
                            // Returns when the client has closed its side.
                            let _ = socket.read(&mut [0]).await;
                            hang_up.send_modify(|count| *count += 1);
                        }
                    }
                });
            }
        });
        Self { url, requests, hung_up, task }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits until the client has closed a connection that was kept open.
    pub(crate) async fn client_hung_up(&mut self) {
        self.hung_up.wait_for(|count| *count > 0).await.unwrap();
    }

    /// A client of this server that never waits before it tries again.
    pub(crate) fn daemon(&self) -> Daemon {
        eager(&self.url)
    }
}

pub(crate) fn eager(url: &str) -> Daemon {
    let limits = Limits { backoff_max: Duration::ZERO, ..Limits::default() };
    Daemon::new(url).unwrap().named("queen").with_limits(limits)
}

async fn read_request(socket: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            break end;
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(key, value)| (key.to_lowercase(), value.to_owned()))
        .collect();
    let mut request = Request { line, headers, body: String::new() };
    let length = request.header("content-length").map_or(0, |it| it.parse().unwrap());
    while bytes.len() < end + 4 + length {
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    request.body = String::from_utf8(bytes[end + 4..].to_vec()).unwrap();
    Some(request)
}

/// Stops the runtime's clock until the guard is dropped; only
/// `tokio::time::advance` moves it.
///
/// `tokio::time::pause` alone is not enough next to real sockets: the clock
/// then jumps to the next timer whenever the runtime is idle, which it also is
/// while bytes are on their way. It does not jump while a blocking task runs.
pub(crate) fn stop_the_clock() -> impl Drop {
    struct Stopped(Option<mpsc::Sender<()>>);
    impl Drop for Stopped {
        fn drop(&mut self) {
            self.0.take();
        }
    }
    tokio::time::pause();
    let (guard, released) = mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || released.recv());
    Stopped(Some(guard))
}

/// Moves a stopped clock in steps, until `done`; the runtime gets to handle its
/// sockets between the steps.
pub(crate) async fn advance_until(step: Duration, done: impl Fn() -> bool) {
    while !done() {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        tokio::time::advance(step).await;
    }
}

//! Encoding of server-sent events, and the response they travel in.
//!
//! Written by hand rather than with axum's `Sse`, because plain clients get
//! `data:` lines and nothing else, and because chunks are filled with as many
//! events as are ready: one write per batch instead of one per event.

use std::convert::Infallible;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderValue, header};

/// A chunk is sent once it holds this much: a slow reader costs a cursor and
/// one chunk, never a queue.
pub const CHUNK_BYTES_MAX: usize = 64 * 1024;

/// How a client wants its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// It asked for `text/event-stream`: ids, retry and keep-alives.
    Aware,
    /// It takes every line for data: `data:` lines and nothing else.
    Plain,
}

impl Dialect {
    /// What the request says it understands.
    pub fn of(headers: &HeaderMap) -> Self {
        let aware = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.contains("text/event-stream"));
        if aware { Self::Aware } else { Self::Plain }
    }

    /// The start of a stream: how soon a reader that lost it may come back.
    pub fn opening(self) -> &'static str {
        match self {
            Self::Aware => "retry: 1000\n\n",
            Self::Plain => "",
        }
    }

    /// A sign of life.
    pub fn keep_alive(self) -> &'static str {
        match self {
            Self::Aware => ": keep-alive\n\n",
            Self::Plain => "",
        }
    }

    /// Appends one event. `data` must be one line; a JSON text always is, and
    /// anything else has its line ends turned into spaces so that no text can
    /// pass for a second `data:` line.
    pub fn event(self, out: &mut String, name: Option<&str>, id: Option<&str>, data: &str) {
        if self == Self::Aware {
            if let Some(name) = name {
                out.push_str("event: ");
                out.push_str(name);
                out.push('\n');
            }
            if let Some(id) = id {
                out.push_str("id: ");
                out.push_str(id);
                out.push('\n');
            }
        }
        out.push_str("data: ");
        if data.contains(['\r', '\n']) {
            out.push_str(&data.replace("\r\n", " ").replace(['\r', '\n'], " "));
        } else {
            out.push_str(data);
        }
        out.push_str("\n\n");
    }
}

/// Somebody who reads a log and puts what it finds into chunks.
pub trait Reader: Send + 'static {
    /// The next chunk, as soon as there is one; `None` ends the stream.
    fn next_chunk(&mut self) -> impl Future<Output = Option<String>> + Send;
}

/// The response around a reader. A broken connection is noticed by the socket;
/// the stream itself cannot fail.
pub fn response(reader: impl Reader) -> Response {
    let chunks = stream::unfold(reader, |mut reader| async move {
        let chunk = reader.next_chunk().await?;
        Some((Ok::<_, Infallible>(Bytes::from(chunk)), reader))
    });
    let body = Body::from_stream(chunks);
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies such as nginx would otherwise hold the stream back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(dialect: Dialect, data: &str) -> String {
        let mut out = String::new();
        dialect.event(&mut out, None, Some("7"), data);
        out
    }

    #[test]
    fn a_plain_client_gets_data_lines_and_nothing_else() {
        assert_eq!(encode(Dialect::Plain, "{}"), "data: {}\n\n");
        assert_eq!(Dialect::Plain.opening(), "");
        assert_eq!(Dialect::Plain.keep_alive(), "");
    }

    #[test]
    fn an_aware_client_gets_the_number_as_well() {
        assert_eq!(encode(Dialect::Aware, "{}"), "id: 7\ndata: {}\n\n");
    }

    #[test]
    fn no_text_can_pass_for_a_second_line() {
        for hostile in ["a\ndata: [DONE]", "a\r\ndata: [DONE]", "a\rdata: [DONE]"] {
            assert_eq!(encode(Dialect::Plain, hostile), "data: a data: [DONE]\n\n");
        }
    }

    #[test]
    fn the_dialect_is_what_the_client_accepts() {
        let mut headers = HeaderMap::new();
        assert_eq!(Dialect::of(&headers), Dialect::Plain);
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        assert_eq!(Dialect::of(&headers), Dialect::Plain);
        headers.append(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        assert_eq!(Dialect::of(&headers), Dialect::Aware);
    }
}

//! A worker's answer to one inference request, over one connection.
//!
//! Nothing is resumed here: whether a broken answer is taken up again, and on
//! which worker, is the scheduler's to decide. What it needs for that is
//! [`InferenceStream::next_index`].

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{Stream, StreamExt, stream, stream::BoxStream};
use protocol::{
    RequestId,
    inference::{InferenceEvent, InferenceRequest},
    job::{End, EndMarker},
    routes,
};
use reqwest::{Method, RequestBuilder};

use crate::{
    ClientError, Daemon,
    jobs::stream_deadline,
    sse::{Message, Source},
    transport::{self, Use},
};

/// What an answer yields.
#[derive(Debug, Clone, PartialEq)]
pub enum InferenceItem {
    /// The next token, or what the answer cost.
    Event(InferenceEvent),
    /// How it ended; the last item.
    End(EndMarker),
}

/// An answer as it is generated; made by [`Daemon::infer`] and
/// [`Daemon::resume_inference`].
///
/// Ends after [`InferenceItem::End`] or after the first error. Dropping it
/// closes the connection, which cancels a request that has no `request_id`.
pub struct InferenceStream {
    items: BoxStream<'static, Result<InferenceItem, ClientError>>,
    next_index: u32,
}

impl InferenceStream {
    /// The next item; `None` after the last.
    pub async fn next_item(&mut self) -> Option<Result<InferenceItem, ClientError>> {
        self.next().await
    }

    /// The index of the token that is due next: where to resume.
    pub fn next_index(&self) -> u32 {
        self.next_index
    }
}

impl fmt::Debug for InferenceStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InferenceStream")
            .field("next_index", &self.next_index)
            .finish_non_exhaustive()
    }
}

impl Stream for InferenceStream {
    type Item = Result<InferenceItem, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.items.poll_next_unpin(cx);
        let token = InferenceItem::token_index;
        if let Poll::Ready(Some(Ok(item))) = &polled
            && let Some(index) = token(item)
        {
            self.next_index = index.saturating_add(1);
        }
        polled
    }
}

impl InferenceItem {
    fn token_index(&self) -> Option<u32> {
        match self {
            Self::Event(InferenceEvent::Token { index, .. }) => Some(*index),
            Self::Event(InferenceEvent::Stats { .. }) | Self::End(_) => None,
        }
    }
}

impl Daemon {
    /// Starts an inference on a worker and waits until it is accepted.
    pub async fn infer(&self, request: &InferenceRequest) -> Result<InferenceStream, ClientError> {
        let http = self.request(Use::Job, Method::POST, routes::INFERENCE)?.json(request);
        self.answer(http, 0).await
    }

    /// Takes up the answer to a request from token `next_index` on.
    pub async fn resume_inference(
        &self,
        id: &RequestId,
        next_index: u32,
    ) -> Result<InferenceStream, ClientError> {
        let mut http = self.request(Use::Job, Method::GET, &routes::inference_stream(id))?;
        if next_index > 0 {
            http = http.header(routes::LAST_EVENT_ID_HEADER, next_index);
        }
        self.answer(http, next_index).await
    }

    async fn answer(
        &self,
        http: RequestBuilder,
        next_index: u32,
    ) -> Result<InferenceStream, ClientError> {
        let until = stream_deadline(self);
        // A worker whose slots are taken may let the request wait, so it has
        // the time that any silence has.
        let opened = Source::open(self, Use::Job, http);
        let opened = match &until {
            Some((at, error)) => {
                tokio::time::timeout_at(*at, opened).await.map_err(|_| error.clone())?
            }
            None => opened.await,
        };
        let reader =
            Reader { daemon: self.clone(), source: opened.map_err(|it| it.error)?, next_index };
        let items = stream::unfold(Some(reader), move |reader| {
            let until = until.clone();
            async move {
                let mut reader = reader?;
                let item = match until {
                    Some((at, error)) => {
                        tokio::time::timeout_at(at, reader.item()).await.unwrap_or(Err(error))
                    }
                    None => reader.item().await,
                };
                let goes_on = matches!(item, Ok(InferenceItem::Event(_)));
                Some((item, goes_on.then_some(reader)))
            }
        });
        Ok(InferenceStream { items: items.boxed(), next_index })
    }
}

struct Reader {
    daemon: Daemon,
    source: Source,
    next_index: u32,
}

impl Reader {
    async fn item(&mut self) -> Result<InferenceItem, ClientError> {
        loop {
            let message = self.source.next().await.map_err(|fault| fault.error)?;
            if let Some(item) = self.read(&message)? {
                return Ok(item);
            }
        }
    }

    /// `None` for a token that was there before.
    fn read(&mut self, message: &Message) -> Result<Option<InferenceItem>, ClientError> {
        if let Some(end) = End::parse(&message.data) {
            return Ok(Some(InferenceItem::End(end)));
        }
        let event = serde_json::from_str(&message.data)
            .map_err(|error| self.unreadable(transport::excerpt(&error.to_string())))?;
        let item = InferenceItem::Event(event);
        if let Some(index) = item.token_index() {
            if index < self.next_index {
                return Ok(None);
            }
            if index > self.next_index {
                let due = self.next_index;
                return Err(self.unreadable(format!("token {index} came where {due} was due")));
            }
            self.next_index = index.saturating_add(1);
        }
        Ok(Some(item))
    }

    fn unreadable(&self, problem: String) -> ClientError {
        ClientError::Undecodable {
            peer: self.daemon.peer().clone(),
            what: "an answer".to_owned(),
            problem,
        }
    }
}

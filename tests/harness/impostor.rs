//! Somebody who answers where a queen is expected.

use std::{convert::Infallible, net::Ipv4Addr};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{StreamExt, stream};
use protocol::{ApiError, ErrorCode, Timestamp, error::ErrorBody};
use serde_json::json;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// What is answered from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// She is stopping, or has too much to do.
    Unavailable,
    /// Some other program listens there.
    SomethingElse,
    /// A feed that cannot be read.
    Nonsense,
    /// What a queen says.
    Sense,
    /// The same, and then not a byte more, with the connection open.
    SenseThenNothing,
}

/// See the module.
pub struct Impostor {
    url: String,
    says: watch::Sender<Says>,
    server: JoinHandle<()>,
}

impl Impostor {
    /// Listens, and answers every question in the same way.
    pub async fn start(says: Says) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (says, heard) = watch::channel(says);
        let router = Router::new().fallback(answer).with_state(heard);
        // Ends with this value.
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url, says, server })
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers otherwise from now on; what is being said breaks off.
    pub fn now_says(&self, says: Says) {
        self.says.send_replace(says);
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(mut says): State<watch::Receiver<Says>>) -> Response {
    let now = *says.borrow_and_update();
    let event = match now {
        Says::Unavailable => {
            let error = ApiError::new(ErrorCode::Unavailable, "the queen is stopping");
            return (StatusCode::SERVICE_UNAVAILABLE, Json(ErrorBody { error })).into_response();
        }
        Says::SomethingElse => {
            let page = "<!doctype html><title>Welcome to nginx!</title>";
            return ([(header::CONTENT_TYPE, "text/html")], page).into_response();
        }
        Says::Nonsense => Event::default().event("snapshot").data(r#"{"hives": 7}"#),
        Says::Sense | Says::SenseThenNothing => snapshot(),
    };
    let changed = Box::pin(async move { says.changed().await });
    let events = stream::once(async { Ok::<_, Infallible>(event) })
        .chain(stream::pending().take_until(changed));
    match now {
        Says::SenseThenNothing => Sse::new(events).into_response(),
        _ => Sse::new(events).keep_alive(KeepAlive::default()).into_response(),
    }
}

/// A queen without a fleet.
fn snapshot() -> Event {
    let now = Timestamp::now();
    let queen = json!({
        "version": "0.1.0", "features": [], "started_at": now, "now": now,
        "queued": 0, "heartbeats_ignored": 0,
    });
    let fleet = json!({ "queen": queen, "hives": [], "workers": [], "devices": [], "jobs": [] });
    Event::default().event("snapshot").id("impostor-1").data(fleet.to_string())
}

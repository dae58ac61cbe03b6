//! The guard at the door of every daemon.
//!
//! A daemon on loopback is still reachable by every web page its user opens,
//! so every method of every route is checked: no foreign `Host` (DNS
//! rebinding), no `Origin` (cross-site requests), and the token where one is
//! configured. Only `/health` is open to all.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header};
use protocol::{ApiError, ErrorCode, routes};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tracing::Instrument;

use crate::Refusal;

/// Who may come in.
#[derive(Clone)]
pub struct Door {
    /// Only the digest is kept: comparing digests takes the same time
    /// whatever was sent, its length included.
    token_digest: Option<[u8; 32]>,
}

impl Door {
    /// With a token everybody but `/health` needs it; without one the door
    /// relies on the loopback address.
    pub fn new(token: Option<&SecretString>) -> Self {
        Self { token_digest: token.map(|token| Sha256::digest(token.expose_secret()).into()) }
    }

    /// Puts the guard before every route of `router`.
    pub fn guard(self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(Arc::new(self), enter))
    }

    fn check(&self, path: &str, headers: &HeaderMap) -> Result<(), ApiError> {
        if path == routes::HEALTH {
            return Ok(());
        }
        if headers.contains_key(header::ORIGIN) {
            return Err(ApiError::new(
                ErrorCode::ForbiddenOrigin,
                "requests from web pages (header Origin) are not answered",
            ));
        }
        if !headers.get(header::HOST).is_none_or(is_own_host) {
            return Err(ApiError::new(
                ErrorCode::ForbiddenOrigin,
                "header Host must be an IP address or localhost",
            )
            .with_hint("use the address the daemon prints when it starts"));
        }
        match &self.token_digest {
            Some(expected) if !has_token(headers, expected) => {
                Err(ApiError::new(ErrorCode::Unauthorized, "this daemon needs its token")
                    .with_hint(
                        "send `Authorization: Bearer <token>`; its config names the token file",
                    ))
            }
            _ => Ok(()),
        }
    }
}

/// A page that rebinds its own name to our address still sends that name.
fn is_own_host(host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else { return false };
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, _port)) => v6,
        None => host.rsplit_once(':').map_or(host, |(name, _port)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

fn has_token(headers: &HeaderMap, expected: &[u8; 32]) -> bool {
    let sent = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default();
    let digest: [u8; 32] = Sha256::digest(sent).into();
    digest.ct_eq(expected).into()
}

async fn enter(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let span = tracing::info_span!(
        "request",
        id = id.to_str().unwrap_or_default(),
        method = %request.method(),
        path = request.uri().path(),
    );
    let answer = async {
        match door.check(request.uri().path(), request.headers()) {
            Ok(()) => next.run(request).await,
            Err(error) => Refusal(error).into_response(),
        }
    };
    let mut response = answer.instrument(span).await;
    response.headers_mut().insert(routes::REQUEST_ID_HEADER, id);
    response
}

/// The caller's id for this request, or a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    const LENGTH_MAX: usize = 128;
    match headers.get(routes::REQUEST_ID_HEADER) {
        Some(id) if id.len() <= LENGTH_MAX && id.to_str().is_ok() => id.clone(),
        _ => HeaderValue::from_str(&uuid::Uuid::new_v4().to_string())
            .unwrap_or(HeaderValue::from_static("unknown")),
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, routing::get};
    use http::StatusCode;
    use tower::ServiceExt;

    use super::*;

    fn router(token: Option<&str>) -> Router {
        let token = token.map(SecretString::from);
        let router = Router::new()
            .route(routes::HEALTH, get(|| async { "ok" }))
            .route(routes::JOBS, get(|| async { "jobs" }).post(|| async { "made" }));
        Door::new(token.as_ref()).guard(router)
    }

    async fn status(
        router: Router,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> StatusCode {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
    }

    #[tokio::test]
    async fn a_web_page_is_refused_with_every_method() {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            for headers in [
                [("origin", "http://evil.example"), ("host", "127.0.0.1:8500")],
                [("host", "evil.example:8500"), ("accept", "*/*")],
            ] {
                let status = status(router(None), method, routes::JOBS, &headers).await;
                assert_eq!(status, StatusCode::FORBIDDEN, "{method} {headers:?}");
            }
        }
    }

    #[tokio::test]
    async fn our_own_addresses_are_let_in() {
        for host in ["127.0.0.1:8500", "localhost:8500", "[::1]:8500", "10.1.2.3"] {
            let status = status(router(None), "GET", routes::JOBS, &[("host", host)]).await;
            assert_eq!(status, StatusCode::OK, "{host}");
        }
    }

    #[tokio::test]
    async fn with_a_token_only_health_is_open() {
        let token = "correct-horse-battery";
        for (authorization, expected) in [
            ("", StatusCode::UNAUTHORIZED),
            ("Bearer wrong", StatusCode::UNAUTHORIZED),
            ("correct-horse-battery", StatusCode::UNAUTHORIZED),
            ("Bearer correct-horse-battery", StatusCode::OK),
        ] {
            let headers = [("authorization", authorization)];
            let status = status(router(Some(token)), "GET", routes::JOBS, &headers).await;
            assert_eq!(status, expected, "{authorization:?}");
        }
        assert_eq!(status(router(Some(token)), "GET", routes::HEALTH, &[]).await, StatusCode::OK);
    }
}

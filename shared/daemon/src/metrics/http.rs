//! `GET /metrics`, and the counting of requests.

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderValue, Method, StatusCode, header};
use protocol::routes;

use super::{BUILD_INFO, HTTP_REQUESTS, Metrics, PROCESS_RESIDENT_MEMORY};
use crate::build;

impl Metrics {
    /// `GET /metrics` of the daemon of this name. `sample` sets what is looked
    /// up rather than counted; it is called for every scrape.
    pub fn routes(
        &self,
        daemon: &'static str,
        sample: impl Fn(&Metrics) + Clone + Send + Sync + 'static,
    ) -> Router {
        let scrape = move |State(metrics): State<Metrics>| async move {
            metrics.sample_process(daemon);
            sample(&metrics);
            let version = "text/plain; version=0.0.4; charset=utf-8";
            ([(header::CONTENT_TYPE, HeaderValue::from_static(version))], metrics.render())
                .into_response()
        };
        Router::new().route(routes::METRICS, get(scrape)).with_state(self.clone())
    }

    /// Counts what `router` answers. To be put around everything else, so that
    /// what the door refuses is counted as well.
    pub fn watch(&self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self.clone(), count))
    }

    fn sample_process(&self, daemon: &str) {
        let build = build::info(&[]);
        let labels =
            [("daemon", daemon), ("version", &*build.version), ("git_sha", &*build.git_sha)];
        self.set(&BUILD_INFO, &labels, 1.0);
        if let Some(bytes) = config::procfs::memory_bytes(std::process::id()) {
            self.set(&PROCESS_RESIDENT_MEMORY, &[], bytes as f64);
        }
    }
}

async fn count(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut counting = Counting { metrics, route, method: method(request.method()), status: None };
    let response = next.run(request).await;
    counting.status = Some(response.status());
    response
}

/// A request; counted when it is dropped, because a caller who leaves and a
/// handler that panics end it as well.
struct Counting {
    metrics: Metrics,
    route: Option<MatchedPath>,
    method: &'static str,
    status: Option<StatusCode>,
}

impl Drop for Counting {
    fn drop(&mut self) {
        let status = match &self.status {
            Some(status) => status.as_str(),
            None if std::thread::panicking() => "500",
            None => "none",
        };
        // The pattern, never the path, which holds ids and whatever a scanner
        // of ports thinks of.
        let route = self.route.as_ref().map_or("unmatched", MatchedPath::as_str);
        let labels = [("method", self.method), ("route", route), ("status", status)];
        self.metrics.count(&HTTP_REQUESTS, &labels);
    }
}

/// A method may be any word; those that we answer are labels.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

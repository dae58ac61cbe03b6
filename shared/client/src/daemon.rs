//! One daemon and the plain calls to it.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use protocol::{
    JobId, RequestId, WorkerId,
    deadline::Deadline,
    fleet::{BuildInfo, Capabilities, Health, Heartbeat, HeartbeatAnswer, Snapshot},
    job::{JobCreated, JobDetails, JobList, JobRecord, JobState},
    logs::{LogPage, LogQuery},
    operation::Operation,
    routes,
};
use reqwest::{
    Certificate, Method, RequestBuilder, Response, StatusCode,
    header::{HeaderMap, HeaderValue},
};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use crate::{
    ClientError, Limits, Peer, Silence, backoff,
    transport::{self, Clients, Use},
};

/// One daemon's HTTP address with its credentials. Cheap to clone; clones
/// share their connections.
#[derive(Clone)]
pub struct Daemon {
    peer: Peer,
    token: Option<SecretString>,
    deadline: Option<Deadline>,
    request_id: Option<HeaderValue>,
    limits: Limits,
    socket: Option<Arc<Path>>,
    trusted: Option<Arc<[Certificate]>>,
    clients: Arc<Clients>,
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Written by hand so that no field added later can carry the token out.
        f.debug_struct("Daemon")
            .field("url", &self.peer.url())
            .field("token", &self.token.as_ref().map(|_| "[redacted]"))
            .field("deadline", &self.deadline)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

impl Daemon {
    /// The daemon at `base_url`, such as `http://127.0.0.1:8500`.
    pub fn new(base_url: &str) -> Result<Self, ClientError> {
        Ok(Self {
            peer: Peer::new(&transport::base_url(base_url)?),
            token: None,
            deadline: None,
            request_id: None,
            limits: Limits::default(),
            socket: None,
            trusted: None,
            clients: Arc::default(),
        })
    }

    /// Calls the daemon `queen`, `hive` or `worker` in errors.
    #[must_use]
    pub fn named(self, name: &'static str) -> Self {
        Self { peer: self.peer.named(name), ..self }
    }

    /// Sends `Authorization: Bearer <token>`.
    #[must_use]
    pub fn with_token(self, token: SecretString) -> Self {
        Self { token: Some(token), ..self }
    }

    /// Connects to this socket, behind which the address is: the near end of a
    /// tunnel. Whether anybody answers there says nothing about the daemon.
    #[must_use]
    pub fn through_socket(self, socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: Some(socket.into().into()),
            peer: self.peer.behind("the tunnel to it is down"),
            clients: Arc::default(),
            ..self
        }
    }

    /// Trusts the authorities in this PEM file, and no others, to vouch for
    /// the daemon; or says what is wrong with it.
    pub fn trusting_only(self, pem: &[u8]) -> Result<Self, String> {
        let trusted = Some(transport::authorities(pem)?.into());
        Ok(Self { trusted, clients: Arc::default(), ..self })
    }

    /// The worker to which this hive passes on what is asked below `path`.
    /// Whether the hive answers says nothing about the worker.
    #[must_use]
    pub fn relaying(&self, path: &str) -> Self {
        let url = format!("{}{path}", self.peer.url());
        let peer = Peer::new(&url).named("worker").behind("its hive does not answer");
        Self { peer, ..self.clone() }
    }

    /// Asks the daemon what somebody else asked us, and returns its answer
    /// whatever it is.
    pub async fn pass_on(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: reqwest::Body,
    ) -> Result<Response, ClientError> {
        let request = self.request(Use::Job, method, path)?.headers(headers).body(body);
        let silence = Use::Job.silence(&self.limits).unwrap_or_default();
        let budget = Budget { limit: silence, deadline: None };
        request.send().await.map_err(|error| self.fault(&error, &budget))
    }

    /// Bounds every wait by the deadline and tells the daemon what is left of
    /// it. The feed has no end and so no deadline.
    #[must_use]
    pub fn with_deadline(&self, deadline: Option<Deadline>) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// Sends `x-rbee-request-id`. An id that no header can carry is left out:
    /// a call must not fail for the sake of its log lines.
    #[must_use]
    pub fn with_request_id(&self, id: &str) -> Self {
        Self { request_id: HeaderValue::from_str(id).ok(), ..self.clone() }
    }

    /// Waits otherwise than by default.
    #[must_use]
    pub fn with_limits(&self, limits: Limits) -> Self {
        // Some of the limits are built into the HTTP clients.
        Self { limits, clients: Arc::default(), ..self.clone() }
    }

    /// The address, without a slash at the end.
    pub fn base_url(&self) -> &str {
        self.peer.url()
    }

    /// Whether it lives and can serve.
    pub async fn health(&self) -> Result<Health, ClientError> {
        self.get(routes::HEALTH).await
    }

    /// Version, features and build.
    pub async fn build_info(&self) -> Result<BuildInfo, ClientError> {
        self.get(routes::BUILD_INFO).await
    }

    /// A hive's devices.
    pub async fn capabilities(&self) -> Result<Capabilities, ClientError> {
        self.get(routes::CAPABILITIES).await
    }

    /// The fleet as it is now.
    pub async fn status(&self) -> Result<Snapshot, ClientError> {
        self.get(routes::STATUS).await
    }

    /// Asks it to drain and exit.
    pub async fn shutdown(&self, query: &[(&str, &str)]) -> Result<(), ClientError> {
        let request = self.request(Use::Call, Method::POST, routes::SHUTDOWN)?.query(query);
        self.send(request.json(&serde_json::json!({}))).await.map(drop)
    }

    /// A page of a worker's log, from its hive or through the queen.
    pub async fn worker_logs(
        &self,
        id: &WorkerId,
        query: &LogQuery,
    ) -> Result<LogPage, ClientError> {
        let path = routes::worker_logs(id);
        let request = self.request(Use::Call, Method::GET, &path)?.query(&query.parameters());
        self.read(Method::GET, &path, request).await
    }

    /// Worker → queen.
    pub async fn heartbeat(&self, heartbeat: &Heartbeat) -> Result<HeartbeatAnswer, ClientError> {
        let path = routes::WORKER_HEARTBEAT;
        let request = self.request(Use::Call, Method::POST, path)?.json(heartbeat);
        self.read(Method::POST, path, request).await
    }

    /// Creates a job.
    ///
    /// A connection that fails is tried once more: the key makes a repeated
    /// POST the same job, and the queen may be between two lives.
    pub async fn submit(&self, operation: &Operation) -> Result<JobCreated, ClientError> {
        let key = RequestId::generate();
        match self.submit_once(operation, &key).await {
            Err(error) if error.is_connection_fault() => {
                tracing::debug!(%error, "submitting a second time");
                let wait = backoff::wait(
                    backoff::JOB,
                    1,
                    Duration::ZERO,
                    backoff::jitter(),
                    self.limits.backoff_max,
                );
                backoff::pause(wait).await;
                self.submit_once(operation, &key).await
            }
            answer => answer,
        }
    }

    async fn submit_once(
        &self,
        operation: &Operation,
        key: &RequestId,
    ) -> Result<JobCreated, ClientError> {
        let request = self
            .request(Use::Call, Method::POST, routes::JOBS)?
            .header(routes::IDEMPOTENCY_HEADER, key.as_str())
            .json(operation);
        self.read(Method::POST, routes::JOBS, request).await
    }

    /// Jobs, newest first.
    pub async fn jobs(
        &self,
        state: Option<JobState>,
        limit: u32,
    ) -> Result<Vec<JobRecord>, ClientError> {
        let limit = limit.to_string();
        let mut query = vec![("limit", limit.as_str())];
        query.extend(state.map(|state| ("state", state.as_str())));
        let request = self.request(Use::Call, Method::GET, routes::JOBS)?.query(&query);
        let list: JobList = self.read(Method::GET, routes::JOBS, request).await?;
        Ok(list.jobs)
    }

    /// One job, and what was asked of it.
    pub async fn job(&self, id: &JobId) -> Result<JobDetails, ClientError> {
        self.get(&routes::job(id)).await
    }

    /// Cancels a job; one that has ended answers with a conflict.
    pub async fn cancel(&self, id: &JobId) -> Result<(), ClientError> {
        let request = self.request(Use::Call, Method::DELETE, &routes::job(id))?;
        self.send(request).await.map(drop)
    }

    /// Cancels an inference on a worker or, once it has ended, acknowledges
    /// the end. One that is not known needs neither.
    pub async fn delete_inference(&self, id: &RequestId) -> Result<(), ClientError> {
        let request = self.request(Use::Call, Method::DELETE, &routes::inference(id))?;
        let response = self.exchange(request, &self.budget()).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(());
        }
        self.accepted(response).await.map(drop)
    }

    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn deadline(&self) -> Option<Deadline> {
        self.deadline
    }

    /// A request with everything that each request carries.
    pub(crate) fn request(
        &self,
        purpose: Use,
        method: Method,
        path: &str,
    ) -> Result<RequestBuilder, ClientError> {
        let (socket, trusted) = (self.socket.as_deref(), self.trusted.as_deref());
        let client = self.clients.get(purpose, &self.peer, socket, trusted, &self.limits)?;
        let mut request = client.request(method, format!("{}{path}", self.peer.url()));
        if let Some(token) = &self.token {
            request = request.header(reqwest::header::AUTHORIZATION, self.bearer(token)?);
        }
        if let Some(id) = &self.request_id {
            request = request.header(routes::REQUEST_ID_HEADER, id);
        }
        if let Some(deadline) = &self.deadline {
            let left = deadline.remaining_ms(Instant::now());
            if left == 0 {
                return Err(ClientError::Deadline(deadline.exceeded()));
            }
            request = request.header(routes::DEADLINE_HEADER, left);
        }
        Ok(request)
    }

    fn bearer(&self, token: &SecretString) -> Result<HeaderValue, ClientError> {
        // Read from a file, a token often has a line break at its end.
        let token = token.expose_secret().trim();
        let mut value =
            HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| ClientError::Setup {
                peer: self.peer.clone(),
                reason: "the token has a character in it that no header can carry".to_owned(),
            })?;
        value.set_sensitive(true);
        Ok(value)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.read(Method::GET, path, self.request(Use::Call, Method::GET, path)?).await
    }

    async fn read<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        request: RequestBuilder,
    ) -> Result<T, ClientError> {
        let budget = self.budget();
        let mut response = self.accepted(self.exchange(request, &budget).await?).await?;
        let body = transport::body(&mut response).await;
        let body = body.map_err(|error| self.fault(&error, &budget))?;
        transport::parse(&self.peer, &format!("{method} {path}"), &body)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        self.accepted(self.exchange(request, &self.budget()).await?).await
    }

    async fn exchange(
        &self,
        request: RequestBuilder,
        budget: &Budget,
    ) -> Result<Response, ClientError> {
        let answer = request.timeout(budget.limit).send().await;
        answer.map_err(|error| self.fault(&error, budget))
    }

    async fn accepted(&self, response: Response) -> Result<Response, ClientError> {
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(transport::refusal(&self.peer, response).await)
        }
    }

    fn budget(&self) -> Budget {
        let limit = self.limits.call;
        match self.deadline.map(|it| (it, it.remaining(Instant::now()))) {
            Some((deadline, left)) if left < limit => {
                Budget { limit: left, deadline: Some(deadline) }
            }
            _ => Budget { limit, deadline: None },
        }
    }

    fn fault(&self, error: &reqwest::Error, budget: &Budget) -> ClientError {
        let peer = self.peer.clone();
        let (connect, after) = (self.limits.connect, budget.limit);
        let fault = transport::fault(peer, error, connect, Silence::Answer, after);
        match (&fault, budget.deadline) {
            (ClientError::TimedOut { .. }, Some(deadline)) => {
                ClientError::Deadline(deadline.exceeded())
            }
            _ => fault,
        }
    }
}

/// How long a call may take, and whether it is the caller's deadline that
/// says so.
struct Budget {
    limit: Duration,
    deadline: Option<Deadline>,
}

//! The documented wire, spoken without our own client, so that a mistake both
//! of our sides agree on is still seen.

use anyhow::Context as _;
use protocol::{
    JobId, WorkerId,
    job::{JobDetails, JobRecord},
};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

use crate::{Cluster, Daemon, PATIENCE, Script, Seen, Transcript, wait_for};

/// A whole HTTP answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body as JSON; null if it is none.
    pub body: Value,
    /// `Retry-After`, if it has one.
    pub retry_after: Option<String>,
    /// `Allow`, if it has one.
    pub allow: Option<String>,
}

impl Answer {
    /// `error.code` of a refusal.
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    /// `error.message` of a refusal.
    pub fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }

    /// `error.hint` of a refusal.
    pub fn hint(&self) -> &str {
        self.body["error"]["hint"].as_str().unwrap_or_default()
    }
}

/// What a client of server-sent events says.
const AWARE: [(&str, &str); 1] = [("accept", "text/event-stream")];

impl Cluster {
    /// Any request to a daemon, with any headers and any body.
    pub async fn call(
        &self,
        daemon: Daemon,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> anyhow::Result<Answer> {
        self.call_at(&self.url(daemon)?, method, path, headers, body).await
    }

    /// The same to any address, such as a worker's.
    pub async fn call_at(
        &self,
        base: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> anyhow::Result<Answer> {
        let response = self.send(base, method, path, headers, body).await?;
        let status = response.status().as_u16();
        let header = |name| {
            let value = response.headers().get(name);
            value.map(|value| value.to_str().map(str::to_owned)).transpose()
        };
        let (retry_after, allow) = (header("retry-after")?, header("allow")?);
        let body = serde_json::from_str(&response.text().await?).unwrap_or_default();
        Ok(Answer { status, body, retry_after, allow })
    }

    /// `GET` from the queen.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.call(Daemon::Queen, "GET", path, &[], None).await
    }

    /// `POST /v1/jobs`, whatever the answer.
    pub async fn post_job(&self, daemon: Daemon, operation: &Value) -> anyhow::Result<Answer> {
        let json = [("content-type", "application/json")];
        self.call(daemon, "POST", "/v1/jobs", &json, Some(operation.to_string())).await
    }

    /// A new job of the queen.
    pub async fn submit(&self, operation: &Value) -> anyhow::Result<JobId> {
        let answer = self.post_job(Daemon::Queen, operation).await?;
        let id = answer.body["job_id"].as_str().with_context(|| format!("{answer:?}"))?;
        anyhow::ensure!(answer.status == 200, "{answer:?}");
        anyhow::ensure!(answer.body["sse_url"] == format!("/v1/jobs/{id}/stream"), "{answer:?}");
        Ok(id.parse()?)
    }

    /// A job's whole stream, held to the invariants.
    pub async fn read(&self, job: &JobId) -> anyhow::Result<Transcript> {
        self.read_at(Daemon::Queen, job).await
    }

    /// The same of a job on any daemon.
    pub async fn read_at(&self, daemon: Daemon, job: &JobId) -> anyhow::Result<Transcript> {
        let raw = self.raw_stream_at(daemon, job, "", &AWARE).await?;
        Transcript::parse(&raw, 0).with_context(|| format!("stream of {job}"))
    }

    /// A new job and its whole stream.
    pub async fn run(&self, operation: &Value) -> anyhow::Result<Transcript> {
        self.read(&self.submit(operation).await?).await
    }

    /// The bytes of a job's stream as a client of server-sent events gets
    /// them, to the end of the connection.
    pub async fn aware_stream(&self, job: &JobId) -> anyhow::Result<String> {
        self.raw_stream(job, "", &AWARE).await
    }

    /// The bytes of a job's stream to the end of the connection.
    pub async fn raw_stream(
        &self,
        job: &JobId,
        query: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<String> {
        self.raw_stream_at(Daemon::Queen, job, query, headers).await
    }

    async fn raw_stream_at(
        &self,
        daemon: Daemon,
        job: &JobId,
        query: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<String> {
        let path = format!("/v1/jobs/{job}/stream{query}");
        let response = self.send(&self.url(daemon)?, "GET", &path, headers, None).await?;
        anyhow::ensure!(response.status() == 200, "{:?}", response);
        Ok(tokio::time::timeout(PATIENCE, response.text()).await.context("it does not end")??)
    }

    /// Reads a job's stream until `enough` of it is there, and goes away.
    pub async fn read_until(
        &self,
        job: &JobId,
        enough: impl Fn(&str) -> bool,
    ) -> anyhow::Result<String> {
        let path = format!("/v1/jobs/{job}/stream");
        let mut response = self.send(&self.url(Daemon::Queen)?, "GET", &path, &AWARE, None).await?;
        let mut raw = String::new();
        let read = tokio::time::timeout(PATIENCE, async {
            while !enough(&raw) {
                let chunk = response.chunk().await?.context("the stream ended")?;
                raw.push_str(std::str::from_utf8(&chunk)?);
            }
            Ok(())
        });
        let read = read.await.unwrap_or_else(|_| Err(anyhow::anyhow!("it does not come")));
        read.with_context(|| format!("stream of {job} so far: {raw}"))?;
        Ok(raw)
    }

    /// Waits until a job has said `count` tokens.
    pub async fn until_tokens(&self, job: &JobId, count: usize) -> anyhow::Result<()> {
        let token = r#""event":"token""#;
        self.read_until(job, |raw| raw.matches(token).count() >= count).await.map(drop)
    }

    /// A job's record.
    pub async fn job(&self, job: &JobId) -> anyhow::Result<JobRecord> {
        Ok(self.job_at(Daemon::Queen, job).await?.record)
    }

    /// A job on any daemon, with what was asked of it.
    pub async fn job_at(&self, daemon: Daemon, job: &JobId) -> anyhow::Result<JobDetails> {
        let answer = self.call(daemon, "GET", &format!("/v1/jobs/{job}"), &[], None).await?;
        serde_json::from_value(answer.body.clone()).with_context(|| format!("{answer:?}"))
    }

    /// `DELETE`: asks the queen to cancel a job.
    pub async fn cancel(&self, job: &JobId) -> anyhow::Result<Answer> {
        self.call(Daemon::Queen, "DELETE", &format!("/v1/jobs/{job}"), &[], None).await
    }

    /// Starts a worker with a script, and the hive before it if none runs.
    pub async fn spawn_worker(&self, script: &Script, slots: u32) -> anyhow::Result<WorkerId> {
        self.run(&json!({"operation": "hive_start"})).await?;
        let spawn = json!({
            "operation": "worker_spawn", "model": script.model(), "device": "CPU-0", "slots": slots
        });
        let spawned = self.run(&spawn).await?;
        let result = spawned.result();
        let id = result["worker"]["id"].as_str().with_context(|| format!("{spawned:#?}"))?;
        let id: WorkerId = id.parse()?;
        // The hive's feed may be a moment behind the end of its job.
        self.until_worker(&id, "it to serve", |worker| worker["state"] == "ready").await?;
        Ok(id)
    }

    /// What the queen knows of a worker; null if nothing.
    pub async fn worker(&self, id: &WorkerId) -> anyhow::Result<Value> {
        let status = self.get("/v1/status").await?;
        let workers = status.body["workers"].as_array().cloned().unwrap_or_default();
        Ok(workers.into_iter().find(|it| it["id"] == id.as_str()).unwrap_or_default())
    }

    /// Waits until the queen knows of a worker what `holds`.
    pub async fn until_worker(
        &self,
        id: &WorkerId,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<()> {
        wait_for(&format!("worker {id}: {what}"), async || {
            let worker = self.worker(id).await?;
            Ok(Seen::when(holds(&worker), worker))
        })
        .await
    }

    /// An inference without an end of its own, by the worker of this script.
    pub fn infer(script: &Script) -> Value {
        json!({
            "operation": "infer", "prompt": "x", "model": script.model(), "max_tokens": 100_000
        })
    }

    async fn send(
        &self,
        base: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> anyhow::Result<Response> {
        let method = Method::from_bytes(method.as_bytes())?;
        let mut request = self.http().request(method, format!("{base}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        Ok(request.send().await?)
    }
}

/// Keeps no connection for later, so that a daemon which stops waits for none.
pub(crate) fn client() -> anyhow::Result<Client> {
    Ok(Client::builder().no_proxy().pool_max_idle_per_host(0).build()?)
}

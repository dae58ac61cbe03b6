//! Every route × (right, unknown id, id that cannot be, unknown parameter,
//! wrong method, wrong content type) × (queen, hive, worker).

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use harness::{Answer, Cluster, Daemon, Script};
use protocol::routes;
use serde_json::{Value, json};

use super::{Walk, lines};

/// The path | who has it | its methods | its parameters | what an id that is
/// not there is answered with. `POST*` takes a body.
const ROUTES: &str = r#"
/health                           | queen hive worker | GET HEAD        |                       |
/v1/build-info                    | queen hive worker | GET HEAD        |                       |
/metrics                          | queen hive worker | GET HEAD        |                       |
/v1/jobs                          | queen hive        | GET HEAD POST*  | state limit           |
/v1/jobs/{job_id}                 | queen hive        | DELETE GET HEAD |                       | job_not_found
/v1/jobs/{job_id}/stream          | queen hive        | GET HEAD        | after format          | job_not_found
/v1/events                        | queen hive        | GET HEAD        | tokens narration      |
/v1/status                        | queen hive        | GET HEAD        |                       |
/v1/worker-heartbeat              | queen             | POST*           |                       |
/v1/heartbeat                     | queen             | POST*           |                       |
/capabilities                     | hive              | GET HEAD        |                       |
/v1/workers/{worker_id}/logs      | queen hive        | GET HEAD        | lines after follow    | worker_not_found
/v1/workers/{worker_id}/relay/{*path} | hive          | DELETE GET HEAD POST |                  | worker_not_found
/v1/inference                     | worker            | POST*           |                       |
/v1/inference/{request_id}        | worker            | DELETE          |                       | request_not_found
/v1/inference/{request_id}/stream | worker            | GET HEAD        |                       | request_not_found
/v1/shutdown                      | queen             | POST            | keep_hives            |
/v1/shutdown                      | hive              | POST            | stop_workers          |
/v1/shutdown                      | worker            | POST            |                       |
"#;

const JSON: (&str, &str) = ("content-type", "application/json");

/// A line of the table.
struct Row {
    path: &'static str,
    owners: Vec<&'static str>,
    methods: BTreeSet<&'static str>,
    takes_body: bool,
    parameters: Vec<&'static str>,
    not_there: &'static str,
}

fn rows() -> Vec<Row> {
    let read = |columns: Vec<&'static str>| match columns[..] {
        [path, owners, methods, parameters, not_there] => Row {
            path,
            owners: owners.split_whitespace().collect(),
            methods: methods.split_whitespace().map(|it| it.trim_end_matches('*')).collect(),
            takes_body: methods.contains('*'),
            parameters: parameters.split_whitespace().collect(),
            not_there,
        },
        _ => panic!("{columns:?}"),
    };
    lines(ROUTES).map(read).collect()
}

impl Row {
    fn with_id(&self, id: &str) -> String {
        // A worker's own path, behind its hive's.
        let there =
            format!("/relay{}", routes::INFERENCE_STREAM_PATTERN).replace("{request_id}", "req-1");
        self.with_first_id(id).replace("/relay/{*path}", &there)
    }

    fn with_first_id(&self, id: &str) -> String {
        match (self.path.find('{'), self.path.find('}')) {
            (Some(from), Some(to)) => {
                format!("{}{id}{}", &self.path[..from], &self.path[to + 1..])
            }
            _ => self.path.to_owned(),
        }
    }
}

/// What is refused, and that there is a remedy.
fn is(answer: &Answer, status: u16, code: &str, message: &str) -> anyhow::Result<()> {
    ensure!(!answer.hint().is_empty(), "there is no hint: {answer:?}");
    says(answer, status, code, message)
}

/// What is refused by a message that is the remedy, or for good.
fn says(answer: &Answer, status: u16, code: &str, message: &str) -> anyhow::Result<()> {
    ensure!(
        (answer.status, answer.code()) == (status, code),
        "{status} {code} was due: {answer:?}"
    );
    ensure!(answer.message().contains(message), "{message:?} was to be said: {answer:?}");
    let keys: Vec<_> = answer.body.as_object().into_iter().flatten().map(|it| it.0).collect();
    ensure!(keys == ["error"], "{answer:?}");
    Ok(())
}

struct Fleet {
    cluster: Cluster,
    worker_url: String,
    /// What is there to be asked for on the daemons of this name.
    ids: Vec<(&'static str, &'static str, String)>,
}

impl Fleet {
    async fn start() -> anyhow::Result<Self> {
        let cluster = Cluster::start().await?;
        let script = cluster.script("short", &Script::words("a b c"))?;
        let worker = cluster.spawn_worker(&script, 1).await?;
        let worker_url = cluster.worker(&worker).await?["url"].as_str().map(str::to_owned);
        let worker_url = worker_url.context("the worker has no address")?;
        let mut ids = Vec::new();
        for (name, daemon) in [("queen", Daemon::Queen), ("hive", Daemon::Hive)] {
            let listing = json!({"operation": "worker_list"});
            let answer = cluster.post_job(daemon, &listing).await?;
            let job = answer.body["job_id"].as_str().context("no job")?.to_owned();
            cluster.read_at(daemon, &job.parse()?).await?;
            ids.push((name, "{job_id}", job));
            ids.push((name, "{worker_id}", worker.to_string()));
        }
        let request = json!({"prompt": "x", "request_id": "req-1"}).to_string();
        let answer =
            cluster.call_at(&worker_url, "POST", "/v1/inference", &[JSON], Some(request)).await?;
        ensure!(answer.status == 200, "{answer:?}");
        ids.push(("worker", "{request_id}", "req-1".to_owned()));
        Ok(Self { cluster, worker_url, ids })
    }

    async fn call(
        &self,
        daemon: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> anyhow::Result<Answer> {
        let base = match daemon {
            "queen" => self.cluster.url(Daemon::Queen)?,
            "hive" => self.cluster.url(Daemon::Hive)?,
            _ => self.worker_url.clone(),
        };
        self.cluster.call_at(&base, method, path, headers, body.map(str::to_owned)).await
    }

    /// The id that is there for a route, if it has one.
    fn id(&self, daemon: &str, row: &Row) -> &str {
        let there = self.ids.iter().find(|(at, kind, _)| *at == daemon && row.path.contains(kind));
        there.map_or("", |(_, _, id)| id.as_str())
    }

    /// Whether everything is there that the route documents.
    async fn right(&self, daemon: &str, row: &Row) -> anyhow::Result<()> {
        let path = row.with_id(self.id(daemon, row));
        // The feed has no end; that it begins is enough here.
        let reading = if row.path == "/v1/events" { "HEAD" } else { "GET" };
        if row.methods.contains(reading) {
            let answer = self.call(daemon, reading, &path, &[], None).await?;
            ensure!(answer.status == 200, "{answer:?}");
        }
        if row.methods.contains("DELETE") && row.path.contains("{job_id}") {
            let answer = self.call(daemon, "DELETE", &path, &[], None).await?;
            says(&answer, 409, "conflict", "done")?;
        }
        Ok(())
    }

    async fn wrong_method(&self, daemon: &str, row: &Row) -> anyhow::Result<()> {
        let path = row.with_id(self.id(daemon, row));
        let answer = self.call(daemon, "PATCH", &path, &[], None).await?;
        is(&answer, 405, "method_not_allowed", "PATCH")?;
        let allowed = answer.allow.clone().unwrap_or_default();
        let allowed: BTreeSet<&str> = allowed.split(',').map(str::trim).collect();
        ensure!(allowed == row.methods, "{answer:?}");
        Ok(())
    }

    async fn wrong_ids(&self, daemon: &str, row: &Row) -> anyhow::Result<()> {
        for (id, said) in [("nobody-1", "nobody-1"), ("a%20b", "\"a b\""), ("%24%28id%29", "$(id)")]
        {
            for method in row.methods.iter().filter(|method| **method != "HEAD") {
                let answer = self.call(daemon, method, &row.with_id(id), &[], None).await?;
                is(&answer, 404, row.not_there, said).with_context(|| format!("{method} {id}"))?;
            }
        }
        Ok(())
    }

    async fn wrong_parameter(&self, daemon: &str, row: &Row) -> anyhow::Result<()> {
        let path = format!("{}?zzz=1", row.with_id(self.id(daemon, row)));
        let method = if row.methods.contains("GET") { "GET" } else { "POST" };
        let answer = self.call(daemon, method, &path, &[], None).await?;
        is(&answer, 422, "unknown_field", "zzz")?;
        let unnamed = row.parameters.iter().find(|name| !answer.hint().contains(**name));
        ensure!(unnamed.is_none(), "{unnamed:?}: {answer:?}");
        Ok(())
    }

    async fn wrong_body(&self, daemon: &str, row: &Row) -> anyhow::Result<()> {
        for headers in [&[][..], &[("content-type", "text/plain")]] {
            let answer = self.call(daemon, "POST", row.path, headers, Some("{}")).await?;
            is(&answer, 415, "unsupported_media_type", "application/json")?;
        }
        let long = format!("\"{}\"", "x".repeat(1024 * 1024));
        let answer = self.call(daemon, "POST", row.path, &[JSON], Some(&long)).await?;
        is(&answer, 413, "body_too_large", "1048576 bytes")?;
        // The deprecated heartbeat is answered whatever it says.
        if row.path != "/v1/heartbeat" {
            let answer = self.call(daemon, "POST", row.path, &[JSON], Some("{")).await?;
            says(&answer, 400, "bad_request", "not JSON")?;
        }
        Ok(())
    }
}

#[test]
fn the_table_has_every_route() {
    let source = include_str!("../../../shared/protocol/src/routes.rs");
    let paths =
        source.lines().filter_map(|line| line.strip_prefix("pub const ")?.split('"').nth(1));
    let known: BTreeSet<&str> = paths.filter(|path| path.starts_with('/')).collect();
    let in_table: BTreeSet<&str> = rows().iter().map(|row| row.path).collect();
    assert_eq!(in_table, known);
}

#[tokio::test]
async fn every_route_is_answered_as_the_table_says() -> anyhow::Result<()> {
    let fleet = Fleet::start().await?;
    let mut walk = Walk::default();
    for daemon in ["queen", "hive", "worker"] {
        for row in rows() {
            let at = format!("{daemon} {}", row.path);
            if !row.owners.contains(&daemon) {
                // Another line may say what this daemon's own is like.
                let mut of_path = rows().into_iter().filter(|it| it.path == row.path);
                if !of_path.any(|it| it.owners.contains(&daemon)) {
                    let path = row.with_id("nobody-1");
                    let answer = fleet.call(daemon, "GET", &path, &[], None).await?;
                    walk.cell(
                        format!("{at}, not here"),
                        is(&answer, 404, "route_not_found", &path),
                    );
                }
                continue;
            }
            walk.cell(format!("{at}, right"), fleet.right(daemon, &row).await);
            walk.cell(format!("{at}, method"), fleet.wrong_method(daemon, &row).await);
            if !row.not_there.is_empty() {
                walk.cell(format!("{at}, id"), fleet.wrong_ids(daemon, &row).await);
            }
            if !row.parameters.is_empty() {
                walk.cell(format!("{at}, parameter"), fleet.wrong_parameter(daemon, &row).await);
            }
            if row.takes_body {
                walk.cell(format!("{at}, body"), fleet.wrong_body(daemon, &row).await);
            }
        }
    }
    for daemon in ["queen", "hive", "worker"] {
        let answer = fleet.call(daemon, "GET", "/v1/nothing", &[], None).await?;
        let outcome = says(&answer, 404, "route_not_found", "/v1/nothing");
        walk.cell(format!("{daemon} /v1/nothing"), outcome);
    }
    for daemon in [Daemon::Queen, Daemon::Hive] {
        for (path, said) in [
            ("/v1/jobs?state=idle", "`state`"),
            ("/v1/jobs?limit=0", "`limit`"),
            ("/v1/events?tokens=a%20b", "`tokens`"),
            ("/v1/events?narration=loud", "`narration`"),
        ] {
            let answer = fleet.cluster.call(daemon, "GET", path, &[], None).await?;
            walk.cell(format!("{daemon:?} {path}"), says(&answer, 422, "invalid_field", said));
        }
    }
    walk.end()?;
    let all = fleet.cluster.processes_with(1).await?;
    assert_eq!(fleet.cluster.processes().len(), all, "and nobody was stopped");
    let status = fleet.cluster.get("/v1/status").await?.body;
    assert_ne!(status["workers"], Value::Null);
    fleet.cluster.close()
}

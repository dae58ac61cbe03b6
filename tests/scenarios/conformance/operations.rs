//! Every operation × (right, a field missing, of a wrong type, unknown; a name
//! that is not there) × (queen, hive) × the three documented forms.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use harness::{Cluster, Daemon, Script};
use protocol::{
    WorkerId,
    job::EndMarker,
    operation::{HiveOperation, Operation, QueenOperation},
};
use serde_json::{Map, Value, json};

use super::{Walk, forms, lines};

/// Who carries it out | its name | how a right one ends | a right one | what
/// it needs | what a reference to something unknown is answered with. A `-`
/// is a name that only the hub or ssh could know. The order is the one of the walk:
/// `worker_delete` takes the workers of `worker_spawn`, and `hive_stop` leaves
/// nothing to ask for.
const OPERATIONS: &str = r#"
queen | status                    | done                  | {}                                       |           |
queen | ssh_test                  | hive_unreachable      | {"alias":"box","ssh":"127.0.0.1:1"}      | alias     | alias:-
queen | hive_install              | preflight_failed      | {"alias":"box","binary_path":"/opt/bin"} | alias     | alias:-
queen | hive_uninstall            | hive_not_found        | {"alias":"box"}                          | alias     | alias:hive_not_found
queen | hive_update               | hive_not_found        | {"alias":"box","binary_path":"/opt/bin"} | alias     | alias:hive_not_found
queen | hive_start                | done                  | {"alias":"localhost"}                    |           | alias:hive_not_found
queen | hive_get                  | done                  | {"alias":"localhost"}                    |           | alias:hive_not_found
queen | hive_status               | done                  | {"alias":"localhost"}                    |           | alias:hive_not_found
queen | hive_refresh_capabilities | done                  | {"alias":"localhost"}                    |           | alias:hive_not_found
queen | hive_list                 | done                  | {}                                       |           |
queen | infer                     | done                  | {"model":"{model}","prompt":"x"}         | model,prompt | model:no_worker hive_id:hive_not_found worker_id:worker_not_found device:no_worker
hive  | worker_spawn              | done                  | {"model":"{model}","device":"CPU-0"}     | model     | model:model_not_found hive_id:hive_not_found device:device_not_found
hive  | worker_list               | done                  | {"hive_id":"localhost"}                  |           | hive_id:hive_not_found
hive  | worker_get                | done                  | {"worker_id":"{worker}"}                 | worker_id | hive_id:hive_not_found worker_id:worker_not_found id:worker_not_found
hive  | worker_delete             | done                  | {"worker_id":"{spawned}"}                | worker_id | hive_id:hive_not_found worker_id:worker_not_found id:worker_not_found
hive  | model_download            | done                  | {"model":"demo"}                         | model     | hive_id:hive_not_found model:-
hive  | model_list                | done                  | {"hive_id":"localhost"}                  |           | hive_id:hive_not_found
hive  | model_get                 | done                  | {"id":"org/here:tiny.gguf"}              | id        | hive_id:hive_not_found id:model_not_found
hive  | model_delete              | done                  | {"id":"org/here:tiny.gguf"}              | id        | hive_id:hive_not_found id:model_not_found
queen | hive_stop                 | done                  | {"alias":"localhost"}                    |           | alias:hive_not_found
"#;

/// A field, and what it cannot be.
const WRONG: &str = r#"
alias              | 7
allow_downgrade    | "yes"
binary_path        | 7
context_length     | 1.5
device             | true
hive_id            | 7
forget             | "yes"
host_key           | 7
hub                | "yes"
id                 | 7
max_tokens         | "many"
messages           | "hello"
min_p              | "small"
model              | 7
prompt             | 7
purge              | "yes"
repetition_penalty | "some"
revision           | 7
seed               | -1
slots              | "two"
ssh                | 7
stop               | 7
stream             | "yes"
temperature        | "hot"
threads            | "many"
top_k              | -1
top_p              | "large"
worker             | "cudda"
worker_id          | 7
"#;

/// The fields that name something which has to be there.
const REFERENCES: [&str; 6] = ["alias", "hive_id", "worker_id", "id", "model", "device"];

/// A line of the table.
struct Row {
    by: Daemon,
    name: &'static str,
    ends: &'static str,
    right: &'static str,
    needed: Vec<&'static str>,
    /// Field and code.
    unknown: Vec<(&'static str, &'static str)>,
}

fn rows() -> Vec<Row> {
    let read = |columns: Vec<&'static str>| match columns[..] {
        [by, name, ends, right, needed, unknown] => Row {
            by: if by == "queen" { Daemon::Queen } else { Daemon::Hive },
            name,
            ends,
            right,
            needed: needed.split(',').filter(|it| !it.is_empty()).collect(),
            unknown: unknown.split_whitespace().filter_map(|it| it.split_once(':')).collect(),
        },
        _ => panic!("{columns:?}"),
    };
    lines(OPERATIONS).map(read).collect()
}

fn wrong_value(field: &str) -> Option<Value> {
    let line = lines(WRONG).find(|columns| columns[0] == field)?;
    serde_json::from_str(line[1]).ok()
}

/// How an operation was answered, at the POST or at the end of its job.
#[derive(Debug)]
struct Told {
    at_post: bool,
    /// `done`, or the code of the error.
    code: String,
    message: String,
    hint: String,
    result: Value,
}

/// What the cells are walked with.
struct Fleet {
    cluster: Cluster,
    script: Script,
    worker: WorkerId,
    spawned: Vec<String>,
}

impl Fleet {
    async fn start() -> anyhow::Result<Self> {
        let cluster = Cluster::start().await?;
        let script = cluster.script("short", &Script::words("a b c"))?;
        // Before the hive, which looks for models when it starts.
        cluster.cache_model("org/here", "tiny.gguf")?;
        let worker = cluster.spawn_worker(&script, 1).await?;
        Ok(Self { cluster, script, worker, spawned: Vec::new() })
    }

    /// The right fields of a row, with what is there now.
    fn right(&self, row: &Row) -> anyhow::Result<Value> {
        let spawned = self.spawned.last().map_or("wk-none", String::as_str);
        let text = row.right.replace("{model}", &self.script.model());
        let text = text.replace("{worker}", self.worker.as_str()).replace("{spawned}", spawned);
        serde_json::from_str(&text).with_context(|| format!("{}: {text}", row.name))
    }

    async fn ask(&self, daemon: Daemon, operation: &Value) -> anyhow::Result<Told> {
        let answer = self.cluster.post_job(daemon, operation).await?;
        let Some(job) = answer.body["job_id"].as_str() else {
            let status = protocol_status(answer.code());
            ensure!(status == Some(answer.status), "{operation}: {answer:?}");
            return Ok(Told {
                at_post: true,
                code: answer.code().to_owned(),
                message: answer.message().to_owned(),
                hint: answer.hint().to_owned(),
                result: Value::Null,
            });
        };
        ensure!(answer.status == 200, "{operation}: {answer:?}");
        let job = job.parse()?;
        let transcript = self.cluster.read_at(daemon, &job).await?;
        let details = self.cluster.job_at(daemon, &job).await?;
        // Whichever form it came in.
        let canonical =
            Operation::parse(operation.to_string().as_bytes()).map(serde_json::to_value)??;
        ensure!(details.request == Some(canonical), "{operation}: {details:?}");
        let Some(error) = details.record.error else {
            ensure!(transcript.end == EndMarker::Done, "{operation}: {:?}", transcript.end);
            return Ok(Told {
                at_post: false,
                code: "done".to_owned(),
                message: String::new(),
                hint: String::new(),
                result: transcript.result(),
            });
        };
        ensure!(transcript.error()? == error.one_line(), "{operation}: {:?}", transcript.end);
        Ok(Told {
            at_post: false,
            code: error.code.to_string(),
            message: error.message,
            hint: error.hint.unwrap_or_default(),
            result: Value::Null,
        })
    }

    /// A queen's operation is refused by a hive, whatever is in it.
    async fn refused_by_hive(&self, row: &Row, fields: &Value) -> anyhow::Result<()> {
        for form in forms(row.name, fields) {
            let told = self.ask(Daemon::Hive, &form).await?;
            told.is("not_a_hive_operation", row.name, "POST it to the queen")?;
            ensure!(told.at_post, "{told:?}");
        }
        Ok(())
    }

    /// The answer to a wrong field, which is given at the POST.
    async fn refused(
        &self,
        daemon: Daemon,
        row: &Row,
        fields: &Value,
        (code, message, hint): (&str, &str, &str),
    ) -> anyhow::Result<()> {
        if row.by == Daemon::Queen && daemon == Daemon::Hive {
            return self.refused_by_hive(row, fields).await;
        }
        for form in forms(row.name, fields) {
            let told = self.ask(daemon, &form).await?;
            told.is(code, message, hint).with_context(|| form.to_string())?;
            ensure!(told.at_post, "{form} became a job: {told:?}");
        }
        Ok(())
    }

    async fn right_cell(&mut self, daemon: Daemon, row: &Row) -> anyhow::Result<()> {
        if row.by == Daemon::Queen && daemon == Daemon::Hive {
            return self.refused_by_hive(row, &self.right(row)?).await;
        }
        // Once for each form, and each with something of its own to delete.
        for at in 0..3 {
            self.cluster.cache_model("org/here", "tiny.gguf")?;
            let operation = &forms(row.name, &self.right(row)?)[at];
            let told = self.ask(daemon, operation).await?;
            ensure!(told.code == row.ends, "{operation}: {told:?}");
            // What only the disk or another machine can tell ends a job.
            let at_post = protocol_status(row.ends).is_some();
            ensure!(told.at_post == at_post, "{operation}: {told:?}");
            let has_result = row.ends == "done" && row.name != "hive_stop";
            ensure!(told.result.is_object() == has_result, "{operation}: {told:?}");
            ensure!(row.ends == "done" || !told.hint.is_empty(), "{operation}: {told:?}");
            match row.name {
                "worker_spawn" => {
                    let id = told.result["worker"]["id"].as_str().context("no worker")?;
                    self.spawned.push(id.to_owned());
                }
                "worker_delete" => drop(self.spawned.pop()),
                _ => {}
            }
        }
        Ok(())
    }

    /// A name that is not there: what is there is suggested.
    async fn unknown_cell(
        &self,
        daemon: Daemon,
        row: &Row,
        (field, code): (&str, &str),
    ) -> anyhow::Result<()> {
        let mut fields = self.right(row)?;
        let (wrong, near) = match field {
            "worker_id" | "id" if row.name.starts_with("worker_") || field == "worker_id" => {
                fields = without(&fields, "worker_id");
                (format!("{}x", self.worker), format!("did you mean `{}`?", self.worker))
            }
            "model" if row.name == "infer" => {
                let near = format!("did you mean `{}`?", self.script.model());
                (self.script.model().replace(".gguf", "x.gguf"), near)
            }
            "model" | "id" => {
                ("org/hare:tiny.gguf".to_owned(), "did you mean `org/here:tiny.gguf`?".to_owned())
            }
            "device" if row.name == "infer" => {
                ("CPU-7".to_owned(), "rbee-keeper worker spawn".to_owned())
            }
            "device" => ("CPU-7".to_owned(), "available: CPU-0 (".to_owned()),
            _ if row.ends != "done" => {
                ("elsewhere".to_owned(), "known hives: localhost".to_owned())
            }
            _ if daemon == Daemon::Hive => ("localhots".to_owned(), "ask the queen".to_owned()),
            _ => ("localhots".to_owned(), "did you mean `localhost`?".to_owned()),
        };
        fields[field] = wrong.clone().into();
        if row.by == Daemon::Queen && daemon == Daemon::Hive {
            return self.refused_by_hive(row, &fields).await;
        }
        self.cluster.cache_model("org/here", "tiny.gguf")?;
        for form in forms(row.name, &fields) {
            let told = self.ask(daemon, &form).await?;
            told.is(code, &wrong, &near).with_context(|| form.to_string())?;
        }
        Ok(())
    }

    /// The fields of an operation as the product lists them.
    async fn fields_of(&self, row: &Row) -> anyhow::Result<Vec<String>> {
        let mut fields = self.right(row)?;
        fields["zzz"] = 1.into();
        let told = self.ask(row.by, &forms(row.name, &fields)[0]).await?;
        ensure!(told.code == "unknown_field" && told.message.contains("\"zzz\""), "{told:?}");
        let Some(listed) = told.hint.strip_prefix("fields: ") else {
            ensure!(told.hint.contains("has no fields"), "{told:?}");
            return Ok(Vec::new());
        };
        Ok(listed.split(", ").map(str::to_owned).collect())
    }
}

impl Told {
    fn is(&self, code: &str, message: &str, hint: &str) -> anyhow::Result<()> {
        ensure!(self.code == code, "{code} was due: {self:?}");
        ensure!(self.message.contains(message), "{message:?} was to be named: {self:?}");
        ensure!(!self.hint.is_empty(), "there is no hint: {self:?}");
        ensure!(self.hint.contains(hint), "{hint:?} was to be hinted at: {self:?}");
        Ok(())
    }
}

fn without(fields: &Value, field: &str) -> Value {
    let fields = fields.as_object().cloned().unwrap_or_default();
    fields.into_iter().filter(|(name, _)| name != field).collect::<Map<_, _>>().into()
}

/// The documented status of a code.
fn protocol_status(code: &str) -> Option<u16> {
    Some(match code {
        "bad_request" => 400,
        "device_not_found" | "hive_not_found" | "model_not_found" | "worker_not_found" => 404,
        "invalid_field"
        | "missing_field"
        | "not_a_hive_operation"
        | "unknown_field"
        | "unknown_operation"
        | "unsupported_operation" => 422,
        _ => return None,
    })
}

#[test]
fn the_table_has_every_operation_and_each_with_who_carries_it_out() {
    for (by, names) in
        [(Daemon::Queen, QueenOperation::NAMES), (Daemon::Hive, HiveOperation::NAMES)]
    {
        let rows = rows();
        let in_table: BTreeSet<&str> =
            rows.iter().filter(|row| row.by == by).map(|row| row.name).collect();
        assert_eq!(in_table, names.iter().copied().collect(), "{by:?}");
    }
}

#[tokio::test]
async fn every_operation_is_answered_as_the_table_says() -> anyhow::Result<()> {
    let mut fleet = Fleet::start().await?;
    let mut walk = Walk::default();
    for daemon in [Daemon::Hive, Daemon::Queen] {
        for row in rows() {
            let at = format!("{daemon:?}, {}", row.name);
            let right = fleet.right(&row)?;
            let fields = fleet.fields_of(&row).await.context(at.clone())?;

            let mut misspelt = right.clone();
            misspelt["zzz"] = 1.into();
            let told = ("unknown_field", "\"zzz\"", "field");
            walk.cell(format!("{at}, zzz"), fleet.refused(daemon, &row, &misspelt, told).await);

            for field in &row.needed {
                let told = ("missing_field", &*format!("`{field}`"), &*format!("\"{field}\":"));
                let lacking = without(&right, field);
                let outcome = fleet.refused(daemon, &row, &lacking, told).await;
                walk.cell(format!("{at} without {field}"), outcome);
            }
            for field in &fields {
                let Some(wrong) = wrong_value(field) else {
                    walk.cell(at.clone(), Err(anyhow::anyhow!("nothing is wrong for `{field}`")));
                    continue;
                };
                // `id` is another name of `worker_id`.
                let mut wrongly = match field.as_str() {
                    "id" => without(&right, "worker_id"),
                    _ => right.clone(),
                };
                wrongly[field] = wrong;
                let told = ("invalid_field", &*format!("`{field}`"), "");
                let outcome = fleet.refused(daemon, &row, &wrongly, told).await;
                walk.cell(format!("{at}, wrong {field}"), outcome);
                let is_covered = row.unknown.iter().any(|(name, _)| name == field);
                if REFERENCES.contains(&field.as_str()) && !is_covered {
                    let error = anyhow::anyhow!("no column says what an unknown `{field}` is");
                    walk.cell(at.clone(), Err(error));
                }
            }
            for unknown in row.unknown.iter().filter(|(_, code)| *code != "-") {
                let outcome = fleet.unknown_cell(daemon, &row, *unknown).await;
                walk.cell(format!("{at}, unknown {}", unknown.0), outcome);
            }
            let outcome = fleet.right_cell(daemon, &row).await;
            walk.cell(format!("{at}, right"), outcome);
        }
    }
    walk.end()?;
    fleet.cluster.close()
}

#[tokio::test]
async fn what_is_no_operation_is_refused_with_what_would_be_one() -> anyhow::Result<()> {
    let fleet = Fleet::start().await?;
    let mut walk = Walk::default();
    for daemon in [Daemon::Queen, Daemon::Hive] {
        for (operation, code, message, hint) in [
            (json!({}), "bad_request", "no `operation`", "\"status\""),
            (json!([]), "bad_request", "JSON object", "\"status\""),
            (json!({"operation": 7}), "bad_request", "`operation`", "\"status\""),
            (
                json!({"operation": "model_list", "type": "ModelList"}),
                "bad_request",
                "exclude",
                "\"status\"",
            ),
            (
                json!({"operation": "worker_spwan"}),
                "unknown_operation",
                "worker_spwan",
                "did you mean `worker_spawn`?",
            ),
            (
                json!({"operation": {"WorkerSpwan": {}}}),
                "unknown_operation",
                "worker_spwan",
                "did you mean `worker_spawn`?",
            ),
            (json!({"type": "Banana"}), "unknown_operation", "banana", "known: status"),
            (
                json!({"operation": "worker_spawn", "model": "demo", "slotz": 1}),
                "unknown_field",
                "slotz",
                "did you mean `slots`?",
            ),
            (
                json!({"operation": "worker_spawn", "model": "demo", "worker": "cudda"}),
                "invalid_field",
                "`worker`",
                "did you mean `cuda`?",
            ),
            (
                json!({"operation": "worker_spawn", "model": "demo", "device": "TPU-1"}),
                "invalid_field",
                "`device`",
                "CPU-0",
            ),
            (
                json!({"operation": "worker_spawn", "model": "demo", "slots": 65}),
                "invalid_field",
                "between 1 and 64",
                "\"slots\":",
            ),
            (
                json!({"operation": "worker_list", "hive_id": "a b"}),
                "invalid_field",
                "`hive_id`",
                "localhost",
            ),
        ] {
            let told = fleet.ask(daemon, &operation).await?;
            let name = format!("{daemon:?} {operation}");
            let outcome = told.is(code, message, hint);
            walk.cell(name.clone(), outcome);
            walk.cell(name, told.at_post.then_some(()).context("it became a job"));
        }
    }
    walk.end()?;
    fleet.cluster.close()
}

//! The first thing a newcomer does, with the worker and the model that a
//! newcomer has.

use harness::{Cluster, Daemon, Setup};

const REAL: Setup<'static> = Setup { real_worker: true, queen: "", hive: "" };

#[tokio::test]
async fn from_nothing_a_prompt_is_answered_and_the_second_starts_nothing() -> anyhow::Result<()> {
    let cluster = Cluster::install(REAL)?;
    let ask = ["infer", "Once upon a time", "--max-tokens", "40", "--seed", "7"];

    let first = cluster.keeper(&ask).await?.succeeded()?;
    let words = first.stdout.split_whitespace().collect::<Vec<_>>();
    assert!(words.len() > 10, "{first:?}");
    let readable = |c: char| c.is_ascii_alphanumeric() || c.is_ascii_punctuation();
    assert!(words.iter().all(|word| word.chars().all(readable)), "{first:?}");
    for step in ["no queen is running", "starting the hive", "the model is", "is ready after"] {
        assert!(first.stderr.contains(step), "{step:?} is not told in {}", first.stderr);
    }
    assert!(!first.stderr.contains("no slot is free"), "nobody is ahead: {}", first.stderr);

    let pids = (cluster.pid(Daemon::Queen)?, cluster.pid(Daemon::Hive)?, cluster.worker_pids());
    assert_eq!(pids.2.len(), 1);
    let second = cluster.keeper(&ask).await?.succeeded()?;
    assert_eq!(second.stdout, first.stdout, "equal seeds give equal text");
    let still = (cluster.pid(Daemon::Queen)?, cluster.pid(Daemon::Hive)?, cluster.worker_pids());
    assert_eq!(still, pids);
    assert!(!second.stderr.contains("starting"), "{}", second.stderr);
    cluster.close()
}

#[tokio::test]
async fn a_program_gets_the_text_and_the_figures_as_json() -> anyhow::Result<()> {
    let cluster = Cluster::install(REAL)?;
    let ask = ["infer", "Once upon a time", "--max-tokens", "12", "--seed", "7", "-o"];

    let document = cluster.keeper(&[&ask[..], &["json"]].concat()).await?.succeeded()?.json()?;
    let text = document["text"].as_str().unwrap_or_default().to_owned();
    assert!(!text.is_empty(), "{document}");
    assert_eq!(document["stats"]["generated_tokens"], 12, "{document}");
    assert_eq!(document["stats"]["finish_reason"], "length", "{document}");
    assert_eq!(document["model"], "demo", "{document}");

    let lines =
        cluster.keeper(&[&ask[..], &["ndjson"]].concat()).await?.succeeded()?.json_lines()?;
    let kinds: Vec<_> =
        lines.iter().map(|line| line["kind"].as_str().unwrap_or_default()).collect();
    assert_eq!(kinds.last(), Some(&"result"), "{kinds:?}");
    assert!(kinds.contains(&"narration"), "{kinds:?}");
    let tokens = lines.iter().filter(|line| line["kind"] == "token");
    let said: String = tokens.filter_map(|line| line["message"].as_str()).collect();
    assert_eq!(said, text, "{lines:#?}");
    let numbers = lines.iter().map(|line| line["seq"].as_u64());
    assert!(numbers.eq((1..).map(Some).take(lines.len())), "{lines:#?}");
    cluster.close()
}

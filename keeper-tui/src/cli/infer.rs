//! `infer`: text in, text out.

use std::io::Read;

use protocol::{
    inference::{FinishReason, InferenceStats},
    operation::{Operation, QueenOperation},
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Cx, Wanted,
    args::{InferArgs, checked},
    exit::{Exit, Failure, Outcome},
    follow::{self, Ended},
    output::{Format, Report},
};

/// The queen takes no larger body.
const PROMPT_BYTES_MAX: u64 = 1024 * 1024;

/// `infer PROMPT`
pub async fn infer(cx: &mut Cx, args: &InferArgs) -> Outcome {
    // What is wrong with the flags is said before anything is started or read.
    checked(Operation::Queen(args.operation("-".to_owned()).into()))?;
    let queen = cx.queen(Wanted::Started).await?;
    let prompt = if args.prompt == "-" { read_prompt().await? } else { args.prompt.clone() };
    let operation = checked(Operation::Queen(QueenOperation::from(args.operation(prompt))))?;
    match follow::run(cx, &queen, &operation).await? {
        Some(ended) => finish(cx, ended),
        None => Ok(Exit::Done),
    }
}

/// The answer of an inference that has ended.
pub fn finish(cx: &mut Cx, ended: Ended) -> Outcome {
    let Ended { job, answer, text } = ended;
    let stats = stats(&answer.result);
    let mut document = match answer.result {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    let whole = document.get("text").and_then(Value::as_str).map(str::to_owned);
    match cx.out.format() {
        Format::Human | Format::Wide => {
            // Without streaming the text comes once, in the result.
            if let Some(whole) = whole.filter(|_| text.is_empty()) {
                cx.out.answer_text(&whole)?;
            }
            cx.out.end_line()?;
        }
        Format::Name | Format::Json | Format::Ndjson => {
            document.insert("job_id".to_owned(), job.as_str().into());
            document.insert("text".to_owned(), whole.unwrap_or(text).into());
            let names = vec![job.to_string()];
            cx.out.report(Some(&job), &Report::line(document.into(), names, ""))?;
        }
    }
    if let Some(stats) = stats {
        cx.out.hint(&stats_line(&stats))?;
    }
    Ok(Exit::Done)
}

async fn read_prompt() -> Outcome<String> {
    // On a thread of its own, because a terminal that says nothing must not
    // keep Ctrl-C from being heard.
    let read = tokio::task::spawn_blocking(|| {
        let mut prompt = String::new();
        std::io::stdin().lock().take(PROMPT_BYTES_MAX + 1).read_to_string(&mut prompt)?;
        Ok::<_, std::io::Error>(prompt)
    });
    let prompt = match read.await {
        Ok(Ok(prompt)) => prompt,
        Ok(Err(error)) => {
            return Err(
                Failure::usage(format!("cannot read the prompt from stdin: {error}")).into()
            );
        }
        Err(error) => return Err(Failure::local("internal", &error).into()),
    };
    if prompt.len() as u64 > PROMPT_BYTES_MAX {
        return Err(Failure::usage("the prompt on stdin is longer than 1 MiB").into());
    }
    Ok(prompt)
}

/// The figures in a result, by themselves or as a field.
fn stats(result: &Value) -> Option<InferenceStats> {
    InferenceStats::deserialize(result)
        .or_else(|_| InferenceStats::deserialize(result.get("stats").unwrap_or(&Value::Null)))
        .ok()
}

fn stats_line(stats: &InferenceStats) -> String {
    let mut parts = vec![match stats.generated_tokens {
        1 => "1 token".to_owned(),
        count => format!("{count} tokens"),
    }];
    parts.extend(stats.time_to_first_token_ms.map(|ms| format!("TTFT {ms:.0} ms")));
    parts.extend(stats.tokens_per_second.map(|rate| format!("{rate:.1} tok/s")));
    let reason = match stats.finish_reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ContextFull => "context full",
    };
    parts.push(format!("ended by {reason}"));
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_figures_are_found_in_the_result_or_in_a_box_inside_it() {
        let figures = json!({
            "prompt_tokens": 3, "generated_tokens": 12, "finish_reason": "length",
            "time_to_first_token_ms": 180.4, "tokens_per_second": 41.27,
        });
        for result in [figures.clone(), json!({"stats": figures, "text": "x"})] {
            let stats = stats(&result).unwrap();
            assert_eq!(stats_line(&stats), "12 tokens  TTFT 180 ms  41.3 tok/s  ended by length");
        }
        assert_eq!(stats(&json!({"text": "x"})), None);
    }

    #[test]
    fn what_was_not_measured_is_not_in_the_line() {
        let stats = InferenceStats {
            prompt_tokens: 1,
            generated_tokens: 1,
            finish_reason: FinishReason::Stop,
            time_to_first_token_ms: None,
            tokens_per_second: None,
        };
        assert_eq!(stats_line(&stats), "1 token  ended by stop");
    }
}

//! The door: every documented form of every operation, and every way of
//! getting one wrong.

use protocol::{
    ErrorCode,
    operation::{HiveOperation, Operation, QueenOperation},
};
use serde_json::{Value, json};

fn parse(body: &Value) -> Result<Operation, protocol::ApiError> {
    Operation::parse(body.to_string().as_bytes())
}

/// The least that each operation needs.
fn minimal(name: &str) -> Value {
    match name {
        "status" | "hive_list" | "worker_list" | "model_list" => json!({}),
        "infer" => json!({"prompt": "Once", "model": "demo"}),
        "worker_spawn" | "model_download" => json!({"model": "demo"}),
        "worker_get" | "worker_delete" => json!({"worker_id": "wk-1"}),
        "model_get" | "model_delete" => json!({"id": "demo"}),
        _ => json!({"alias": "gpu-1"}),
    }
}

fn pascal_case(name: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('_').map(capital).collect()
}

fn all_names() -> impl Iterator<Item = &'static str> {
    QueenOperation::NAMES.iter().chain(HiveOperation::NAMES).copied()
}

fn with(mut object: Value, key: &str, value: Value) -> Value {
    object[key] = value;
    object
}

#[test]
fn every_documented_form_of_every_operation_is_the_same_operation() {
    for name in all_names() {
        let fields = minimal(name);
        let canonical = parse(&with(fields.clone(), "operation", json!(name)));
        let nested = parse(&json!({"operation": {pascal_case(name): fields}}));
        let typed = parse(&with(minimal(name), "type", json!(pascal_case(name))));

        let operation = canonical.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(operation.name(), name);
        assert_eq!(nested.as_ref(), Ok(&operation), "{name}, nested");
        assert_eq!(typed.as_ref(), Ok(&operation), "{name}, typed");
    }
}

#[test]
fn what_is_sent_is_the_canonical_form_and_reads_back_as_itself() {
    for name in all_names() {
        let operation = parse(&with(minimal(name), "operation", json!(name))).unwrap();
        let sent = serde_json::to_value(&operation).unwrap();
        assert_eq!(sent["operation"], name);
        assert_eq!(parse(&sent), Ok(operation), "{name}");
    }
}

#[test]
fn an_unknown_field_of_any_operation_is_named() {
    for name in all_names() {
        let body = with(with(minimal(name), "operation", json!(name)), "wrong_field", json!(1));
        let error = parse(&body).unwrap_err();
        assert_eq!(error.code, ErrorCode::UnknownField, "{name}");
        assert!(error.message.contains("wrong_field"), "{name}: {error}");
    }
}

#[test]
fn a_missing_field_is_named() {
    for (name, field) in [
        ("infer", "model"),
        ("worker_spawn", "model"),
        ("worker_get", "worker_id"),
        ("worker_delete", "worker_id"),
        ("model_get", "id"),
        ("model_delete", "id"),
        ("model_download", "model"),
        ("hive_install", "alias"),
        ("ssh_test", "alias"),
    ] {
        let error = parse(&json!({"operation": name})).unwrap_err();
        assert_eq!(error.code, ErrorCode::MissingField, "{name}");
        assert!(error.message.contains(&format!("`{field}`")), "{name}: {error}");
    }
}

#[test]
fn a_wrong_value_names_its_field_and_its_range() {
    for (field, value, said) in [
        ("temperature", json!(7), "between 0 and 2"),
        ("temperature", json!("hot"), "f64"),
        ("top_p", json!(-0.1), "between 0 and 1"),
        ("max_tokens", json!(0), "between 1 and"),
        ("max_tokens", json!(-5), "u32"),
        ("model", json!("tinyllama"), "must be `demo`"),
        ("hive_id", json!("-oProxyCommand=id"), "must be a host alias"),
        ("stop", json!(["ok", ""]), "1 to 256 bytes"),
        ("device", json!("TPU-1"), "GPU-0"),
    ] {
        let body = with(with(minimal("infer"), "operation", json!("infer")), field, value);
        let error = parse(&body).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidField, "{field}");
        assert!(error.message.contains(&format!("`{field}`")), "{field}: {error}");
        assert!(error.message.contains(said), "{field}: {error}");
    }
}

#[test]
fn who_leaves_a_field_out_or_gets_it_wrong_is_shown_a_right_one() {
    for (name, fields, hint) in [
        ("worker_get", json!({}), r#"such as "worker_id":"wk-3f9a""#),
        ("worker_get", json!({"id": 7}), r#"such as "id":"wk-3f9a""#),
        ("model_get", json!({}), r#"such as "id":"demo""#),
        ("worker_spawn", json!({"model": "demo", "slots": 65}), r#"such as "slots":2"#),
        ("worker_spawn", json!({"model": "demo", "worker": "cudda"}), "did you mean `cuda`?"),
        (
            "infer",
            json!({"model": "demo", "messages": [{"role": 7}]}),
            r#"such as "messages":[{"role":"user","content":"Hello"}]"#,
        ),
    ] {
        let error = parse(&with(fields, "operation", json!(name))).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some(hint), "{name}: {error}");
    }
}

#[test]
fn infer_takes_a_prompt_or_messages_but_not_both_and_not_neither() {
    let messages = json!([{"role": "user", "content": "Hello"}]);
    let chat = json!({"operation": "infer", "model": "demo", "messages": messages});
    assert!(parse(&chat).is_ok());
    assert!(parse(&with(chat, "prompt", json!("x"))).unwrap_err().message.contains("exclude"));
    let neither = parse(&json!({"operation": "infer", "model": "demo"})).unwrap_err();
    assert_eq!(neither.code, ErrorCode::MissingField);
}

#[test]
fn an_unknown_operation_is_answered_with_the_nearest_known_one() {
    let error = parse(&json!({"operation": "worker_spwan"})).unwrap_err();
    assert_eq!(error.code, ErrorCode::UnknownOperation);
    assert_eq!(error.hint.as_deref(), Some("did you mean `worker_spawn`?"));
}

#[test]
fn a_body_without_an_operation_is_a_bad_request_that_shows_one() {
    for body in [
        "",
        "{",
        "[]",
        "7",
        "{}",
        r#"{"operation":7}"#,
        r#"{"operation":{"A":{},"B":{}}}"#,
        "\u{feff}{}",
    ] {
        let error = Operation::parse(body.as_bytes()).unwrap_err();
        assert_eq!(error.code, ErrorCode::BadRequest, "{body}");
        assert!(error.hint.as_deref().unwrap_or_default().contains("status"), "{body}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(Operation::parse(deep.as_bytes()).unwrap_err().code, ErrorCode::BadRequest);
}

#[test]
fn a_hive_refuses_the_queens_operations_by_name() {
    // Whatever its fields: to mend them here would be in vain.
    for fields in [minimal("infer"), json!({}), json!({"prompt": 7})] {
        let body = with(fields, "operation", json!("infer")).to_string();
        let error = HiveOperation::parse(body.as_bytes()).unwrap_err();
        assert_eq!(error.code, ErrorCode::NotAHiveOperation);
        assert!(error.message.contains("`infer`"), "{error}");
    }
}

#[test]
fn a_hostile_value_is_not_echoed_at_length() {
    let long = "x".repeat(10_000);
    for body in [
        json!({"operation": long}),
        json!({"operation": "infer", "prompt": "x", "model": long}),
        json!({"operation": "status", long.as_str(): 1}),
    ] {
        let error = parse(&body).unwrap_err();
        let all = format!("{} {}", error.message, error.hint.unwrap_or_default());
        assert!(all.len() < 700, "{} bytes", all.len());
    }
}

use clap::CommandFactory;
use protocol::{
    ModelRef,
    operation::{Infer, QueenOperation},
};

use super::*;

fn parse(line: &str) -> Result<Cli, String> {
    let words = std::iter::once("rbee-keeper").chain(line.split_whitespace());
    Cli::try_parse_from(words).map_err(|error| error.to_string())
}

fn infer(line: &str) -> Result<Infer, Failure> {
    let Some(Command::Infer(args)) = parse(line).unwrap().command else {
        panic!("not an infer: {line}");
    };
    match checked(Operation::Queen(args.operation(args.prompt.clone()).into()))? {
        Operation::Queen(QueenOperation::Infer(infer)) => Ok(*infer),
        operation => panic!("{operation:?}"),
    }
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_documented_command_is_understood() {
    for line in [
        "",
        "status",
        "queen start",
        "queen stop --keep-hives",
        "queen status -o json",
        "queen info",
        "queen rebuild --with-local-hive --source /src/rbee --restart",
        "hive start",
        "hive stop attic",
        "hive status",
        "hive refresh attic",
        "hive list -o wide",
        "hive get attic",
        "hive discover",
        "hive ssh-test ada@gpu-1:2222",
        "hive install gpu-1 --ssh ada@10.0.0.7 --binary-path /opt/rbee --host-key SHA256:abc",
        "hive update gpu-1 --allow-downgrade",
        "hive doctor gpu-1",
        "hive uninstall gpu-1 --purge --confirm gpu-1",
        "hive uninstall gpu-1 --forget --confirm gpu-1",
        "worker spawn --model demo",
        "worker spawn --model org/repo:Q4_K_M --hive attic --device GPU-0 --worker cuda --slots 4 --context-length 4096",
        "worker spawn --model demo --device 0",
        "worker list --hive attic",
        "worker get wk-1",
        "worker delete wk-1 --confirm wk-1",
        "model download org/repo:Q4_K_M --hive attic --revision v1",
        "model list --hive attic",
        "model get org/repo",
        "model delete org/repo --hive attic --confirm org/repo",
        "model plan org/repo:Q8_0 --hive attic --slots 4 --context-length 4096",
        "infer hello -m demo --max-tokens 16 --temperature 0 --seed 7 --stop a --stop b",
        "infer - --chat --no-stream",
        "job list --state running --limit 5",
        "job logs job-1",
        "job attach job-1 --on-interrupt detach",
        "job cancel job-1 job-2",
        "job retry job-1 --detach",
        "config path",
        "config check -o json",
        "config init",
        "exit-codes",
        "-",
        "- --keep-going -o ndjson",
        "batch",
        "status --watch --plain",
        "wait worker/wk-1 --for=ready --timeout 30s",
        "wait hive/attic --for gone",
        "wait job/job-1",
        "wait model/org/repo:Q4_K_M --hive attic",
        "worker list --read-only",
        "record fleet.ndjson --duration 30s --no-tokens",
        "replay fleet.ndjson --speed 10 -o ndjson",
        "completions zsh",
        "man",
        "man target/man",
        "status --timeout 5s --color never --yes --detach -q -vv --no-tui --queen http://q:8500",
    ] {
        assert!(parse(line).is_ok(), "{line}: {:?}", parse(line));
    }
}

#[test]
fn a_wrong_value_is_refused_with_the_flag_and_the_remedy() {
    for (line, flag, remedy) in [
        ("worker spawn --model tinyllama", "--model", "`org/repo`"),
        ("worker spawn --model demo --device TPU", "--device", "`GPU-0`"),
        ("hive get -- -oProxyCommand=x", "[ALIAS]", "host alias"),
        ("hive install -- -oProxyCommand=x", "<MACHINE>", "[user@]host[:port]"),
        ("hive install box;id", "<MACHINE>", "host name"),
        ("hive install box --ssh ada@-box", "--ssh", "host name"),
        ("status --queen localhost", "--queen", "http://127.0.0.1:8500"),
        ("status --timeout soon", "--timeout", "30s"),
        ("job list --state gone", "--state", "cancelled"),
        ("infer x --temperature nan", "--temperature", "0.7"),
    ] {
        let error = parse(line).unwrap_err();
        assert!(error.contains(flag) && error.contains(remedy), "{line}: {error}");
    }
}

#[test]
fn a_number_out_of_range_names_its_flag_and_the_range() {
    let failure = infer("infer x --temperature 3").unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    assert_eq!(failure.message, "--temperature: must be between 0 and 2, got 3");
    let failure = infer("infer x --max-tokens 0").unwrap_err();
    assert!(failure.message.starts_with("--max-tokens: must be"), "{failure:?}");
}

#[test]
fn what_is_not_said_is_as_documented() {
    let infer = infer("infer hello").unwrap();
    assert_eq!(infer, Infer::new("hello", ModelRef::demo()));
}

#[test]
fn a_chat_is_one_message_and_no_prompt() {
    let infer = infer("infer hello --chat --no-stream").unwrap();
    assert_eq!(infer.prompt, None);
    assert!(!infer.stream);
    assert_eq!(infer.messages.unwrap()[0].content, "hello");
}

#[test]
fn durations_have_a_unit_or_are_seconds() {
    assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(parse_duration("30"), Ok(Duration::from_secs(30)));
    assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
    for bad in ["", "0", "5x", "-1s", "1.5s", "99999999999999999999h"] {
        assert!(parse_duration(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_command_to_copy_is_quoted_for_the_shell() {
    assert_eq!(shell_word("job-1"), "job-1");
    assert_eq!(shell_word("it's"), r"'it'\''s'");
    assert_eq!(shell_word(""), "''");
    let cli = parse("status --queen http://q:8500").unwrap();
    let command = attach_command(&cli.options, &"job-1".parse().unwrap());
    assert_eq!(command, "rbee-keeper --queen http://q:8500 job attach job-1");
}

#[test]
fn help_lists_every_exit_code() {
    let help = parse("help exit-codes").unwrap_err();
    for code in ["0  done", "9  for a status", "130  interrupted", "143  terminated"] {
        assert!(help.contains(code), "{help}");
    }
}

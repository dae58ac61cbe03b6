use std::fs;

use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("/etc/rbee/config.toml"), text)
}

#[track_caller]
fn refusal(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn the_example_file_says_the_defaults() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/config/config.toml");
    let text = fs::read_to_string(&example).unwrap();
    assert_eq!(Config::parse(&example, &text).unwrap(), Config::default());

    // Every key of it is alive once the comment sign before it is gone.
    let uncommented: String = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let config = Config::parse(&example, &uncommented).unwrap();
    assert!(config.queen.token_file.is_some() && config.hive.token_file.is_some());
    assert!(config.hive.hf_token_file.is_some());
    assert!(config.keeper.queen_url.is_some() && config.keeper.theme.is_some());
    assert_eq!(config.keeper.fps, Some(30));
    assert_eq!(config.keeper.glyphs, Glyphs::Ascii);
    assert!(config.keeper.restore_session);
    assert_eq!((config.keys.wishes.len(), config.keys.malformed.len()), (3, 0));
    assert_eq!(config.hives.len(), 1);
}

#[test]
fn the_defaults_are_the_documented_addresses() {
    let config = Config::default();
    assert_eq!(config.queen.address.to_string(), routes::QUEEN_ADDRESS);
    assert_eq!(config.hive.address.to_string(), routes::HIVE_ADDRESS);
}

#[test]
fn a_missing_file_is_the_defaults_and_an_unreadable_one_is_an_error() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().to_owned();
    let paths =
        Paths { config_dir: dir.clone(), data_dir: dir.join("data"), cache_dir: dir.join("cache") };
    assert_eq!(Config::load(&paths).unwrap(), Config::default());
    fs::create_dir(paths.config_file()).unwrap();
    let error = Config::load(&paths).unwrap_err().to_string();
    assert!(error.contains("config.toml"), "{error}");
}

#[test]
fn what_the_file_says_replaces_the_default_and_nothing_else() {
    let config = parse(
        "[queen]\naddress = \"127.0.0.1:0\"\nqueue_limit = 1_000\ndrain_seconds = 0\n\
         retention_hours = 48\n\
         [hive]\nworker_drain_seconds = 3\nworker_ports_first = 9_400\n\
         worker_restart_delay_ms = 50\nworker_restarts_max = 0\nworker_threads = 2\n\
         hf_token_file = \"hf\"\n\
         [keeper]\nqueen_url = \"http://[::1]:8500/\"\n\
         [hives.box-1]\nurl = \"https://box-1.lan:9000\"\n[hives.box-2]\n",
    )
    .unwrap();
    assert_eq!(config.queen.address.port(), 0);
    assert_eq!(config.queen.queue_limit, 1000);
    assert_eq!(config.queen.drain, Duration::ZERO);
    assert_eq!(config.queen.retention, Duration::from_secs(48 * 3600));
    assert_eq!(config.queen.retention_jobs, QueenConfig::default().retention_jobs);
    assert_eq!(config.hive.worker_drain, Duration::from_secs(3));
    assert_eq!(config.hive.worker_ports_first, 9400);
    assert_eq!(config.hive.worker_restart_delay, Duration::from_millis(50));
    assert_eq!((config.hive.worker_restarts_max, config.hive.worker_threads), (0, Some(2)));
    assert_eq!(config.hive.hf_token_file.as_deref(), Some(Path::new("/etc/rbee/hf")));
    assert_eq!(config.keeper.queen_url.unwrap().as_str(), "http://[::1]:8500");
    let reached: Vec<_> = config.hives.values().map(|hive| hive.reach.to_string()).collect();
    assert_eq!(reached, ["https://box-1.lan:9000", "ssh://box-2"]);
    let lines: Vec<_> = config.hives.values().map(|hive| hive.origin.line).collect();
    assert_eq!(lines, [15, 17]);
}

#[test]
fn an_unknown_key_is_answered_with_its_line_and_the_nearest_known_one() {
    assert_eq!(
        refusal("# mine\n\n[queen]\nqueue_limit = 3\nadress = \"127.0.0.1:1\"\n"),
        "/etc/rbee/config.toml:5: unknown key `adress` in [queen]; did you mean `address`?"
    );
    assert_eq!(
        refusal("[hive]\nbanana = 1\n"),
        "/etc/rbee/config.toml:2: unknown key `banana` in [hive]; known are `address`, \
         `token_file`, `worker_ports_first`, `worker_drain_seconds`, \
         `worker_restart_delay_ms`, `worker_restarts_max`, `worker_threads`, `hf_token_file`"
    );
    assert_eq!(
        refusal("[hives.box]\nulr = \"http://a\"\n"),
        "/etc/rbee/config.toml:2: unknown key `ulr` in [hives.box]; known are `url`, \
         `token_file`, `ca_file`, `insecure_http`"
    );
    assert_eq!(
        refusal("\n[quen]\naddress = 1\n"),
        "/etc/rbee/config.toml:2: unknown section [quen]; did you mean [queen]?"
    );
    assert!(refusal("address = 1\n").contains(":1: unknown key `address`; known are"));
}

#[test]
fn the_first_mistake_in_the_file_is_the_one_named() {
    assert!(refusal("[queen]\nzebra = 1\naardvark = 1\n").contains("zebra"));
}

#[test]
fn a_wrong_type_or_value_is_answered_with_what_is_right() {
    for (text, line, said) in [
        (
            "[queen]\nqueue_limit = \"3\"",
            2,
            "`queue_limit` in [queen] must be a whole number from 1 to 100000, got \"3\"",
        ),
        ("[queen]\nqueue_limit = 0", 2, "must be a whole number from 1 to 100000, got 0"),
        ("[queen]\nqueue_limit = -1", 2, "must be a whole number from 1 to 100000, got -1"),
        (
            "[queen]\ndrain_seconds = 99999999999999999999",
            2,
            "must be a whole number from 0 to 3600",
        ),
        ("[queen]\ndrain_seconds = 1.5", 2, "got a value of type float"),
        ("[queen]\nretention_jobs = true", 2, "got true"),
        (
            "[hive]\n\naddress = 9000",
            3,
            "must be an IP address and a port such as `127.0.0.1:9000`, got 9000",
        ),
        ("[hive]\naddress = \"localhost:9000\"", 2, "must be an IP address and a port"),
        ("[hive]\nworker_ports_first = 80", 2, "must be a whole number from 1024 to 65000, got 80"),
        ("[keeper]\nfps = 0", 2, "must be a whole number from 1 to 60"),
        ("[keeper]\nlocal_hive_notice = \"no\"", 2, "must be true or false"),
        ("[keeper]\nglyphs = \"emoji\"", 2, "`auto` or `ascii`"),
        (
            "[keeper]\nqueen_url = \"queen\"",
            2,
            "must be an address such as `http://127.0.0.1:8500`",
        ),
        ("queen = 3", 1, "`queen` must be a section [queen], got 3"),
        ("[hives]\nbox = \"http://a\"", 2, "`hives.box` must be a section [hives.box]"),
        ("[hives.a]\ntoken_file = \"t\"", 2, "`token_file` needs a `url`"),
        ("[hives.\"-oProxyCommand=x\"]", 1, "the name of a section [hives.…] must be a host alias"),
    ] {
        let said_instead = refusal(text);
        let place = format!("/etc/rbee/config.toml:{line}: ");
        assert!(said_instead.starts_with(&place) && said_instead.contains(said), "{said_instead}");
    }
}

#[test]
fn a_broken_file_is_answered_with_its_line() {
    for (text, line) in [("[queen]\naddress = \n", 2), ("[queen\n", 1), ("a = 1\n\na = 2\n", 3)] {
        let said = refusal(text);
        assert!(said.starts_with(&format!("/etc/rbee/config.toml:{line}: ")), "{said}");
        assert!(!said.contains('\n'), "{said}");
    }
}

#[test]
fn an_address_beyond_loopback_needs_a_token_file() {
    for address in ["0.0.0.0:8500", "[::]:8500", "192.168.1.2:8500"] {
        let said = refusal(&format!("[queen]\naddress = \"{address}\"\n"));
        assert!(said.contains(":2: ") && said.contains("needs a `token_file`"), "{said}");
        let with_token =
            format!("[queen]\naddress = \"{address}\"\ntoken_file = \"queen.token\"\n");
        let config = parse(&with_token).unwrap();
        assert_eq!(config.queen.token_file.unwrap(), Path::new("/etc/rbee/queen.token"));
    }
    assert!(parse("[hive]\naddress = \"[::1]:9000\"\n").is_ok());
    let absolute = parse("[hive]\ntoken_file = \"/run/token\"\n").unwrap();
    assert_eq!(absolute.hive.token_file.unwrap(), Path::new("/run/token"));
}

#[test]
fn an_url_is_scheme_host_and_port_and_nothing_else() {
    for bad in [
        "",
        "127.0.0.1:8500",
        "ftp://a",
        "http://",
        "http://:8500",
        "http://user:secret@a",
        "http://a/path",
        "http://a/?q=1",
        "http://a b",
        "http://a\nb",
    ] {
        assert!(bad.parse::<BaseUrl>().is_err(), "{bad:?} passed");
    }
    assert_eq!(BaseUrl::from(loopback(8500)).to_string(), "http://127.0.0.1:8500");
}

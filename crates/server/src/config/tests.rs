//! Configurations with each mistake, its place and its remedy.

use std::path::{Path, PathBuf};

use jedlik_replica::BudgetSettings;
use tempfile::TempDir;

use super::{Config, InvalidConfig, Mistake, MysqlPlace, OPTIONS, Settings, Source};

/// Makes a folder with files of credentials, whose content does not matter here.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["ca.pem", "node.pem", "node.key"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    folder
}

const MINIMAL: &str = r#"
data_dir = "data"
[tls]
ca = "ca.pem"
cert = "node.pem"
key = "node.key"
"#;

fn settings(folder: &Path, text: &str) -> Settings {
    let mut settings = Settings::defaults();
    settings.add_text(&folder.join("node.toml"), text);
    settings
}

fn check(text: &str) -> Result<Config, InvalidConfig> {
    let folder = folder();
    settings(folder.path(), text).check()
}

/// Returns the minimal file with `line` put in front.
fn check_with(line: &str) -> Result<Config, InvalidConfig> {
    check(&format!("{line}{MINIMAL}"))
}

#[test]
fn a_minimal_file_is_completed_by_defaults() {
    let folder = folder();
    let config = settings(folder.path(), MINIMAL).check().unwrap();
    assert_eq!(config.data_dir, folder.path().join("data"));
    assert_eq!(config.tls.key, folder.path().join("node.key"));
    assert_eq!(config.listen.to_string(), "127.0.0.1:7400");
    assert_eq!((config.advertise, config.seeds, config.shards), (None, vec![], None));
    assert_eq!(
        (config.zone.as_str(), config.weight, config.first_layout.partitions.get()),
        ("default", 1, 256)
    );
    assert_eq!(config.telemetry.log.filter, "info");
}

#[test]
fn nothing_is_traced_without_an_endpoint_and_with_one_its_path_is_completed() {
    assert_eq!(check(MINIMAL).unwrap().telemetry.traces, None);
    for (lines, collector, path, sample) in [
        ("endpoint = \"http://127.0.0.1:4318\"", "127.0.0.1:4318", "/v1/traces", 0.01),
        ("endpoint = \"http://[::1]:1/\"\nsample = 1", "[::1]:1", "/v1/traces", 1.0),
        (
            "endpoint = \"http://localhost:4318/a/b/\"\nsample = 0.5",
            "localhost:4318",
            "/a/b/v1/traces",
            0.5,
        ),
    ] {
        let traces = check(&format!("{MINIMAL}[otlp]\n{lines}")).unwrap().telemetry.traces;
        let traces = traces.expect("requests are traced");
        assert_eq!((&*traces.collector, &*traces.path), (collector, path));
        assert_eq!((traces.sample, traces.limit_per_s), (sample, 1_000));
    }
}

#[test]
fn background_work_is_bounded_by_the_budgets_own_defaults() {
    let background = check(MINIMAL).unwrap().background;
    let BudgetSettings { limit_per_s, slowdown_percent, .. } = BudgetSettings::DEFAULT;
    assert_eq!(background.limit_per_s, limit_per_s);
    assert_eq!(background.slowdown_percent, slowdown_percent);
}

#[test]
fn every_default_is_a_value_that_the_check_takes() {
    for option in &OPTIONS {
        let Some(default) = option.default else { continue };
        let folder = folder();
        let mut settings = settings(folder.path(), MINIMAL);
        settings.add_flag(option.name, default.split(',').map(String::from).collect());
        if default.is_empty() {
            settings.add_flag(option.name, vec![]);
        }
        assert!(settings.check().is_ok(), "{}", option.name);
    }
}

/// Lines to put in front of the minimal file, each with the end of the mistake's text.
const MISTAKES: &[(&str, &str)] = &[
    ("lisen = \"127.0.0.1:1\"", "node.toml:1: unknown option \"lisen\"; did you mean \"listen\"?"),
    (
        "colour = 1",
        "node.toml:1: unknown option \"colour\"; `jedlik-node run --help` lists the options",
    ),
    (
        "[limit]\nstop_ms = 1\n[x]",
        "node.toml:1: unknown option \"limit\"; did you mean \"limits\"?",
    ),
    (
        "listen = 7400",
        "node.toml:1: listen can't be \"7400\": it takes a host or an address with a port, such as \
             0.0.0.0:7400",
    ),
    (
        "listen = \"0.0.0.0:7400\"",
        "node.toml:1: listen can't be \"0.0.0.0:7400\": it means every interface, which others \
             can't be told; set advertise to the address that they reach",
    ),
    (
        "otlp.endpoint = \"http://10.0.0.1:4318\"",
        "node.toml:1: otlp.endpoint can't be \"http://10.0.0.1:4318\": spans are sent unencrypted, so the collector has \
             to be on this machine, at 127.0.0.1, ::1 or localhost; it passes them on",
    ),
    (
        "otlp.endpoint = \"https://127.0.0.1:4318\"",
        "node.toml:1: otlp.endpoint can't be \"https://127.0.0.1:4318\": it takes http:// with an address of this \
             machine and a port, such as http://127.0.0.1:4318",
    ),
    (
        "otlp.endpoint = \"http://127.0.0.1:4318/a b\"",
        "node.toml:1: otlp.endpoint can't be \"http://127.0.0.1:4318/a b\": it takes http:// with an address of this \
             machine and a port, such as http://127.0.0.1:4318",
    ),
    (
        "otlp.sample = 1.5",
        "node.toml:1: otlp.sample can't be \"1.5\": it takes a number from 0 to 1",
    ),
    (
        "otlp.sample = nan",
        "node.toml:1: otlp.sample can't be \"nan\": it takes a number from 0 to 1",
    ),
    (
        "advertise = \"10.0.0.1:0\"",
        "node.toml:1: advertise can't be \"10.0.0.1:0\": others can't reach it; name an \
             interface's address and a port",
    ),
    (
        "seeds = [\"127.0.0.1:1\", \"nowhere\"]",
        "node.toml:1: seeds can't be \"nowhere\": it takes hosts or addresses with ports, such as \
             10.0.0.6:7400",
    ),
    ("weight = 0", "node.toml:1: weight can't be \"0\": it takes a whole number from 1 to 1000"),
    (
        "weight = 1.5",
        "node.toml:1: weight can't be \"1.5\": it takes a whole number \
             from 1 to 1000",
    ),
    (
        "engine = \"fjall\"",
        "node.toml:1: engine can't be \"fjall\": it takes redb, lsm, mysql or memory",
    ),
    ("shards = 65", "node.toml:1: shards can't be \"65\": it takes a whole number from 1 to 64"),
    (
        "partitions = 100",
        "node.toml:1: partitions can't be \"100\": it takes a power of two from 1 to 65536",
    ),
    ("zone = \"\"", "node.toml:1: zone can't be \"\": it takes a name of 1 to 64 bytes"),
    (
        "log.filter = \"inof\"",
        "node.toml:1: log.filter can't be \"inof\": it takes a level (error, warn, info, debug, \
             trace) or a filter such as info,jedlik_net=debug",
    ),
    (
        "storage.flush_reserve_bytes = 1",
        "node.toml:1: storage.flush_reserve_bytes can't be \"1\": it is less than storage.journal_bytes, 67108864, \
             which a full disk would have no room for; make it at least as much, or 0 to leave nothing",
    ),
    (
        "limits.message_life_ms = 10000",
        "node.toml:1: limits.message_life_ms can't be \"10000\": the largest record takes 17329 ms at \
             limits.slowest_link_bytes_per_s, 4194304, and would be refused as too old; make it at least as much, on \
             every node, or that greater if no link is so slow",
    ),
    (
        "storage.cache_bytes = 33554433\nstorage.memory_bytes = 67108864",
        "node.toml:2: storage.memory_bytes can't be \"67108864\": storage.cache_bytes and twice storage.buffer_bytes are \
             67108865 together; make it at least as much, or those less",
    ),
    (
        "storage.cache_bytes = 1",
        "node.toml:1: storage.cache_bytes can't be \"1\": it takes a number of bytes from \
             1048576 to 4294967295",
    ),
];

#[test]
fn each_mistake_names_the_option_the_value_the_place_and_the_remedy() {
    for (line, message) in MISTAKES {
        let error = first_mistake(&format!("{line}\n{MINIMAL}"));
        assert!(error.ends_with(message), "{error}\nis not\n{message}");
    }
}

/// Checks a configuration with the engine `mysql` and these lines of its table.
fn check_mysql(lines: &str) -> Result<Config, InvalidConfig> {
    check(&format!("engine = \"mysql\"{MINIMAL}[mysql]\n{lines}"))
}

#[test]
fn a_server_is_on_this_machine_and_reached_in_one_way() {
    for (lines, message) in [
        (
            "",
            "mysql.socket is not set; it takes the path of a Unix socket, such as /run/mysqld/mysqld.sock. Set it in \
             the file, as JEDLIK_MYSQL_SOCKET, or with --mysql-socket",
        ),
        (
            "host = \"db.example\"",
            "mysql.host can't be \"db.example\": what is sent to the server is not encrypted, so it must be on this \
             machine: 127.0.0.1, ::1 or localhost, or better mysql.socket",
        ),
        (
            "host = \"localhost\"\nsocket = \"/run/s\"",
            "mysql.host can't be \"localhost\": mysql.socket is set too; leave one of them out",
        ),
        (
            "socket = \"/run/s\"\npassword_file = \"none\"",
            "mysql.password_file can't be \"none\": it can't be opened: No such file or directory (os error 2)",
        ),
        (
            "pasword_file = \"none\"",
            "unknown option \"mysql.pasword_file\"; did you mean \"mysql.password_file\"?",
        ),
    ] {
        let InvalidConfig(mistakes) = check_mysql(lines).unwrap_err();
        assert!(mistakes[0].to_string().ends_with(message), "{}\nis not\n{message}", mistakes[0]);
    }
    let mysql = check_mysql("host = \"::1\"").unwrap().records.mysql.unwrap();
    assert_eq!(mysql.place, MysqlPlace::Loopback("[::1]:3306".parse().unwrap()));
    assert_eq!((mysql.user.as_str(), mysql.database.as_str()), ("jedlik", "jedlik"));
    let lines = "socket = \"s\"\nuser = \"u\"\ndatabase = \"d\"\npassword_file = \"node.key\"";
    let mysql = check_mysql(lines).unwrap().records.mysql.unwrap();
    assert!(matches!(mysql.place, MysqlPlace::Socket(path) if path.ends_with("s")));
    assert!(mysql.password_file.unwrap().is_absolute());
    assert_eq!(check(MINIMAL).unwrap().records.mysql, None);
}

#[test]
fn a_misspelt_option_in_a_section_is_recognized() {
    let error = first_mistake(&format!("{MINIMAL}cerf = \"x\""));
    assert!(
        error.ends_with("node.toml:7: unknown option \"tls.cerf\"; did you mean \"tls.cert\"?"),
        "{error}"
    );
}

fn first_mistake(text: &str) -> String {
    let InvalidConfig(mistakes) = check(text).unwrap_err();
    mistakes[0].to_string()
}

#[test]
fn what_is_missing_is_named_with_the_three_ways_to_set_it() {
    let InvalidConfig(mistakes) = check("").unwrap_err();
    let names: Vec<&str> = mistakes
        .iter()
        .map(|mistake| match mistake {
            Mistake::Missing { option } => option.name,
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(names, ["data_dir", "tls.ca", "tls.cert", "tls.key"]);
    assert_eq!(
        mistakes[1].to_string(),
        "tls.ca is not set; it takes a PEM file, as jedlik-admin makes it. Set it in the file, as \
         JEDLIK_TLS_CA, or with --tls-ca"
    );
}

#[test]
fn a_credential_that_is_not_there_is_a_mistake_now_and_not_at_the_first_connection() {
    let error = check(&MINIMAL.replace("ca.pem", "other.pem")).unwrap_err().to_string();
    assert!(error.contains("tls.ca can't be") && error.contains("other.pem"), "{error}");
    assert!(error.contains("No such file") && error.contains("jedlik-admin cert issue"), "{error}");
}

#[test]
fn text_that_is_not_toml_is_refused_with_its_line() {
    let error = check_with("listen = = 1").unwrap_err().to_string();
    assert!(error.contains("not TOML") && error.contains("line 1"), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let mut settings = Settings::defaults();
    settings.add_file(Path::new("/nowhere/node.toml"));
    let error = settings.check().unwrap_err().to_string();
    assert!(
        error.starts_with("can't read the configuration /nowhere/node.toml: No such"),
        "{error}"
    );
}

#[test]
fn flags_win_over_the_environment_which_wins_over_the_file() {
    let folder = folder();
    let mut settings = settings(folder.path(), &format!("zone = \"file\"\nweight = 2\n{MINIMAL}"));
    let variables = [("JEDLIK_ZONE", "environment"), ("JEDLIK_WEIGHT", "3"), ("HOME", "/root")];
    settings.add_environment(variables.iter().map(|(k, v)| ((*k).into(), (*v).into())));
    settings.add_flag("zone", vec!["flag".into()]);
    let place = |settings: &Settings, name| settings.by_name[name].source.clone();
    assert_eq!(place(&settings, "zone"), Source::Flag { flag: "zone".into() });
    assert_eq!(
        place(&settings, "weight"),
        Source::Environment { variable: "JEDLIK_WEIGHT".into() }
    );
    let file = Source::File { path: folder.path().join("node.toml"), line: 4 };
    assert_eq!(place(&settings, "data_dir"), file);
    let config = settings.check().unwrap();
    assert_eq!((config.zone.as_str(), config.weight), ("flag", 3));
}

#[test]
fn lists_in_the_environment_are_cut_at_commas() {
    let folder = folder();
    let mut settings = settings(folder.path(), MINIMAL);
    let seeds = "127.0.0.1:1, 127.0.0.1:2";
    settings.add_environment([("JEDLIK_SEEDS".to_owned(), seeds.to_owned())].into_iter());
    let seeds: Vec<String> =
        settings.check().unwrap().seeds.iter().map(ToString::to_string).collect();
    assert_eq!(seeds, ["127.0.0.1:1", "127.0.0.1:2"]);
}

#[test]
fn a_misspelt_variable_is_a_mistake_and_a_foreign_one_is_not() {
    let folder = folder();
    let mut settings = settings(folder.path(), MINIMAL);
    let variables = [("JEDLIK_PROFILE", "x"), ("JEDLIK_LISTENN", "y")];
    settings.add_environment(variables.iter().map(|(k, v)| ((*k).into(), (*v).into())));
    let error = settings.check().unwrap_err().to_string();
    assert_eq!(
        error,
        "JEDLIK_LISTENN: unknown option \"JEDLIK_LISTENN\"; did you mean \"listen\"?"
    );
}

#[test]
fn relative_paths_start_at_the_folder_of_the_file_that_names_them() {
    let folder = folder();
    let mut settings = settings(folder.path(), MINIMAL);
    settings.add_flag("data_dir", vec!["elsewhere".into()]);
    let config = settings.check().unwrap();
    assert_eq!(config.data_dir, PathBuf::from("elsewhere"));
    assert_eq!(config.tls.ca, folder.path().join("ca.pem"));
}

#[test]
fn what_is_shown_can_be_read_again_and_means_the_same() {
    let folder = folder();
    let text = format!("seeds = [\"127.0.0.1:1\"]\nzone = \"a \\\"b\\\"\"\nshards = 3\n{MINIMAL}");
    let shown = settings(folder.path(), &text).to_toml();
    assert!(shown.contains("node.toml:3"), "{shown}");
    let first = settings(folder.path(), &text).check().unwrap();
    assert_eq!(settings(folder.path(), &shown).check().unwrap(), first);
}

#[test]
fn what_an_option_takes_names_the_bounds_that_are_checked() {
    let taken = |name: &'static str, number: u64| {
        let folder = folder();
        let mut settings = settings(folder.path(), MINIMAL);
        if name == "storage.journal_bytes" {
            // A reserve is at least as much.
            settings.add_flag("storage.flush_reserve_bytes", vec!["0".into()]);
        }
        if name == "limits.message_life_ms" {
            // Links as fast as that let messages live as short as they may.
            let fast = (1_u64 << 40).to_string();
            settings.add_flag("limits.slowest_link_bytes_per_s", vec![fast]);
        }
        if name == "limits.slowest_link_bytes_per_s" {
            // The slowest of all take longer than any message lives.
            settings.add_flag("limits.message_life_ms", vec!["600000".into()]);
        }
        settings.add_flag(name, vec![number.to_string()]);
        settings.check().is_ok()
    };
    let mut checked = 0;
    for option in &OPTIONS {
        let Some((_, bounds)) = option.takes.split_once(" from ") else { continue };
        let (least, most) = bounds.split_once(" to ").unwrap_or((bounds, "18446744073709551615"));
        let (least, most): (u64, u64) = (least.parse().unwrap(), most.parse().unwrap());
        assert!(taken(option.name, least) && taken(option.name, most), "{}", option.name);
        assert!(least == 0 || !taken(option.name, least - 1), "{} below {least}", option.name);
        assert!(most == u64::MAX || !taken(option.name, most + 1), "{} above {most}", option.name);
        checked += 1;
    }
    assert!(checked > 15, "options with bounds: {checked}");
}

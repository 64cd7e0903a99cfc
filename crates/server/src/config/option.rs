//! Options of the node, each once: its name, what it takes, its default and what it is for.
//!
//! Invariant: the file, the environment, the flags, `check-config` and every error read this table,
//! so an option is added here and in [`super::Config`], nowhere else.

/// Option of the node's configuration.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigOption {
    /// Name as in the file, with the section before a dot: `tls.ca`.
    pub name: &'static str,
    /// Value that holds if no source sets the option; `None` where the option is required or stays unset.
    pub default: Option<&'static str>,
    /// Description of the values that the option takes, which completes "it takes".
    pub takes: &'static str,
    /// Purpose of the option, in a sentence without its full stop.
    pub about: &'static str,
    /// Whether the option may be given several times.
    pub list: bool,
}

impl ConfigOption {
    /// Returns the name of the environment variable: `JEDLIK_TLS_CA` for `tls.ca`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.name.replace('.', "_").to_uppercase())
    }

    /// Returns the flag without its dashes: `tls-ca` for `tls.ca`.
    #[must_use]
    pub fn flag(&self) -> String {
        self.name.replace(['.', '_'], "-")
    }
}

/// Names of the tables in the configuration file.
pub(super) const SECTIONS: [&str; 9] =
    ["tls", "http", "riak_pb", "mysql", "log", "otlp", "storage", "limits", "background"];

/// Prefix of the names of all environment variables that set options.
pub(super) const VARIABLE_PREFIX: &str = "JEDLIK_";

const fn option(
    name: &'static str,
    default: Option<&'static str>,
    takes: &'static str,
    about: &'static str,
) -> ConfigOption {
    ConfigOption { name, default, takes, about, list: false }
}

/// All options, in the order in which they are shown.
pub const OPTIONS: [ConfigOption; 55] = [
    option(
        "data_dir",
        None,
        "a folder, made at the first start",
        "Where this node keeps its records; no two nodes may share one",
    ),
    option(
        "listen",
        Some("127.0.0.1:7400"),
        "a host or an address with a port, such as 0.0.0.0:7400",
        "Where peers and clients reach this node; port 0 takes any free one",
    ),
    option(
        "advertise",
        None,
        "a host or an address with a port that others can reach, such as 10.0.0.5:7400",
        "The address told to others, where it isn't the one listened on",
    ),
    ConfigOption {
        list: true,
        ..option(
            "seeds",
            Some(""),
            "hosts or addresses with ports, such as 10.0.0.6:7400",
            "Nodes through which this one finds the cluster; some may be down",
        )
    },
    option(
        "zone",
        Some("default"),
        "a name of 1 to 64 bytes",
        "The failure domain of this node: replicas of a key stand in distinct ones while they last",
    ),
    option(
        "weight",
        Some("1"),
        "a whole number from 1 to 1000",
        "This node's share of the data relative to the others'",
    ),
    option("engine", Some("redb"), "redb, lsm, mysql or memory", "What holds the records"),
    option(
        "shards",
        None,
        "a whole number from 1 to 64",
        "Threads that own records; fixed when the data directory is made, then one a core up to 16",
    ),
    option(
        "partitions",
        Some("256"),
        "a power of two from 1 to 65536",
        "How many ranges the keys are cut into; the same on every node, fixed with the first layout",
    ),
    option(
        "n",
        Some("3"),
        "a whole number from 1 to 16",
        "Replicas that the first layout is planned for; each bucket has an n of its own",
    ),
    option("tls.ca", None, CERTIFICATE_FILE, "The certificate of the cluster's authority"),
    option("tls.cert", None, CERTIFICATE_FILE, "This node's certificate"),
    option("tls.key", None, KEY_FILE, "The private key of tls.cert"),
    option(
        "http.listen",
        None,
        "a host or an address with a port, such as 127.0.0.1:8098",
        "Where programs reach this node over HTTP; port 0 takes any free one, and without it there is no HTTP",
    ),
    option(
        "http.access",
        Some("open"),
        "open or tokens",
        "Who comes in over HTTP: every program of this machine, with all rights, or whoever shows a token, \
         with its rights (`jedlik-admin token make`)",
    ),
    option("http.tls_cert", None, DOOR_CERTIFICATE_FILE, DOOR_CERTIFICATE),
    option("http.tls_key", None, KEY_FILE, "The private key of http.tls_cert"),
    option("http.tls_clients", Some("none"), CLIENTS, CLIENT_CERTIFICATES),
    option("http.insecure_beyond_loopback", Some("false"), TRUE_OR_FALSE, INSECURE),
    option(
        "riak_pb.listen",
        None,
        "a host or an address with a port, such as 127.0.0.1:8087",
        "Where Riak's Protocol Buffers clients reach this node; port 0 takes any free one, and without it there is no \
         such interface",
    ),
    option(
        "riak_pb.access",
        Some("open"),
        "open or tokens",
        "The same as http.access for riak_pb.listen: the user is a token's name, the password its secret",
    ),
    option("riak_pb.tls_cert", None, DOOR_CERTIFICATE_FILE, DOOR_CERTIFICATE),
    option("riak_pb.tls_key", None, KEY_FILE, "The private key of riak_pb.tls_cert"),
    option("riak_pb.tls_clients", Some("none"), CLIENTS, CLIENT_CERTIFICATES),
    option("riak_pb.insecure_beyond_loopback", Some("false"), TRUE_OR_FALSE, INSECURE),
    option(
        "mysql.socket",
        None,
        "the path of a Unix socket, such as /run/mysqld/mysqld.sock",
        "Where the MySQL or MariaDB server listens that has the records, with engine = \"mysql\"",
    ),
    option(
        "mysql.host",
        None,
        "127.0.0.1, ::1 or localhost",
        "The same without a socket: only this machine, since what is sent is not encrypted",
    ),
    option(
        "mysql.port",
        Some("3306"),
        "a whole number from 1 to 65535",
        "The port of mysql.host; without meaning for a socket",
    ),
    option("mysql.user", Some("jedlik"), "a user of the server", "Who owns the node's tables"),
    option(
        "mysql.password_file",
        None,
        "a file whose first line is the password",
        "The password of mysql.user; read at each connection, so it may be changed",
    ),
    option(
        "mysql.database",
        Some("jedlik"),
        "the name of a database, which must be there",
        "Where the tables are; nodes may share a database, since each shard names its own tables",
    ),
    option("log.format", Some("text"), "text or json", "How log lines are written"),
    option(
        "log.filter",
        Some("info"),
        "a level (error, warn, info, debug, trace) or a filter such as info,jedlik_net=debug",
        "Which log lines are written",
    ),
    option(
        "otlp.endpoint",
        None,
        "http:// with an address of this machine and a port, such as http://127.0.0.1:4318",
        "The OpenTelemetry collector that is sent the spans of traced requests, over HTTP; without it nothing is traced",
    ),
    option(
        "otlp.sample",
        Some("0.01"),
        "a number from 0 to 1",
        "The share of requests that are traced where their client does not say whether they are",
    ),
    option(
        "otlp.limit_per_s",
        Some("1000"),
        "a whole number from 1 to 100000",
        "Spans that the node makes in a second, whoever wants them; past it requests are not traced",
    ),
    option(
        "storage.memory_bytes",
        None,
        "a number of bytes from 67108864 to 1099511627776",
        "Memory for data: the engines' caches, twice the buffers and the filters of absent keys, and the rest for records \
         that were read or written lately; where it is not set, an eighth of the machine's or of the control group's",
    ),
    option(
        "storage.cache_bytes",
        Some("33554432"),
        "a number of bytes from 1048576 to 4294967295",
        "Memory of the engines' page caches, all shards together",
    ),
    option(
        "storage.buffer_bytes",
        Some("16777216"),
        "a number of bytes from 1048576 to 4294967295",
        "Records that are journalled and not yet in the engines, all shards together; past a part of it, \
         from three quarters to all, that differs from node to node, they are moved there; meanwhile \
         up to twice as much is held, or a burst of the largest values",
    ),
    option(
        "storage.journal_bytes",
        Some("67108864"),
        "a number of bytes from 1048576 to 4294967295",
        "Length of the journals past which they are emptied into the engines, all shards together",
    ),
    option(
        "storage.queue_bytes",
        Some("33554432"),
        "a number of bytes from 1048576 to 4294967295",
        "Writes that may wait for the disk, all shards together; past it they are refused",
    ),
    option(
        "storage.sync_interval_ms",
        Some("1000"),
        "a number of milliseconds from 1 to 60000",
        "How long a write that asked for less than a sync may stay unsynced",
    ),
    option(
        "storage.disk_reserve_bytes",
        Some("1073741824"),
        "a number of bytes from 0",
        "What hints for other nodes leave of the disk beside storage.flush_reserve_bytes; past it this node takes no more \
         of them",
    ),
    option(
        "storage.flush_reserve_bytes",
        Some("134217728"),
        "a number of bytes from 0",
        "What records leave of the disk, a twentieth of it at most, so that what is journalled can still be moved into \
         the engines; past it this node takes no more of them",
    ),
    option(
        "storage.stall_after_ms",
        Some("3000"),
        "a whole number from 100 to 3600000",
        "A disk that has not finished a write or a sync for so long is stalled: requests go elsewhere",
    ),
    option(
        "limits.queue_inputs",
        Some("4096"),
        "a whole number from 16 to 1048576",
        "Requests and messages that may wait for one shard; past it they are refused as overload",
    ),
    option(
        "limits.queue_bytes",
        Some("134217728"),
        "a number of bytes from 1048576 to 1099511627776",
        "Values and records that may wait for the shards, all of them together, and as much again in \
         requests under way; past it requests are refused as overload",
    ),
    option(
        "limits.stop_ms",
        Some("5000"),
        "a number of milliseconds from 0 to 600000",
        "How long a stopping node lets the requests that it has accepted go on",
    ),
    option(
        "limits.message_life_ms",
        Some("30000"),
        "a number of milliseconds from 100 to 600000",
        "How old a message may be that changes something; tombstones are kept for ten times as long, \
         and it has to be the same on every node",
    ),
    option(
        "limits.slowest_link_bytes_per_s",
        Some("4194304"),
        "a number of bytes a second from 131072 to 1099511627776",
        "The slowest link between nodes by which the largest record still arrives within \
         limits.message_life_ms; with a slower one messages have to live longer",
    ),
    option(
        "limits.confirm_ms",
        Some("10000"),
        "a number of milliseconds from 100 to 600000",
        "How long a starting node waits for another one to say what it remembers of it, before it serves \
         without a vote on what is absent",
    ),
    option(
        "background.limit_per_s",
        Some("20000"),
        "a whole number from 1 to 1000000",
        "Messages and pages a second of all background work together; `jedlik-admin background set` \
         changes it until the next start",
    ),
    option(
        "background.slowdown_percent",
        Some("150"),
        "a whole number from 101 to 10000",
        "How slow clients' 99th percentile may become while background work runs, in hundredths of \
         what it is without",
    ),
    option(
        "background.exchange_interval_s",
        Some("60"),
        "a number of seconds from 1 to 86400",
        "Between two rounds of comparing hash trees with the other owners",
    ),
    option(
        "background.scrub_interval_s",
        Some("21600"),
        "a number of seconds from 1 to 31536000",
        "Between two readings of all records, which find what the disk has damaged, what has expired \
         and which tombstones can go",
    ),
];

const CERTIFICATE_FILE: &str = "a PEM file, as jedlik-admin makes it";
const KEY_FILE: &str = "a PEM file with a private key";
const DOOR_CERTIFICATE_FILE: &str = "a PEM file with a certificate and those that signed it";
const DOOR_CERTIFICATE: &str = "The certificate of this way in, with a name that its clients check (`jedlik-admin cert \
                                door` makes one); with it they speak TLS, and it is read anew when it changes";
const CLIENTS: &str = "none, accepted or required";
const CLIENT_CERTIFICATES: &str =
    "Whether clients show a certificate of the cluster's authority, in place of a token";
const INSECURE: &str =
    "Lets clients of other machines come in without TLS, or without showing who they are";
/// Description of the values of an option that is on or off.
pub(super) const TRUE_OR_FALSE: &str = "true or false";

/// Returns the option called `name`; `None` if there is none.
pub(super) fn find(name: &str) -> Option<&'static ConfigOption> {
    OPTIONS.iter().find(|option| option.name == name)
}

/// Returns the known name that `name` was probably meant to be; `None` if none is similar.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (edits(name, candidate), candidate))
        .filter(|(edits, candidate)| *edits <= 1 + candidate.len() / 5)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Returns the number of letters that have to be put in, left out or changed to turn one word into the other.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.chars().count()]
}

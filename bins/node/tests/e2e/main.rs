//! End-to-end tests: real nodes, real disks, real sockets, and the command-line tools as people use them.
//!
//! Run by `cargo xtask test`, which builds the tools and gives the path of the word list. Several clusters run at the
//! same time, since most of a test is waiting; a test that a busy machine would distort runs alone.
//!
//! Sizes are small by default; environment variables make them larger by hand:
//!
//! | variable | what it is |
//! |---|---|
//! | `JEDLIK_CLUSTERS` | clusters at a time, if the harness has as many threads (`RUST_TEST_THREADS`) |
//! | `JEDLIK_TEST_TIMES` | a file that gets a line for each test, with its seconds |
//! | `JEDLIK_TEST_ENGINE` | the engine of nodes for which a test chooses none |
//! | `JEDLIK_CRASH_ROUNDS` | rounds of `crash` |
//! | `JEDLIK_MISSED_KEYS` | keys that a node misses in `away` |
//! | `JEDLIK_LOADED_LINES` | lines of the bulk load in `examples` |
//! | `JEDLIK_LOST_RECORDS` | records of the cluster when a data directory is lost in `lost` |
//! | `JEDLIK_DAMAGE_RECORDS`, `JEDLIK_DAMAGED_RECORDS` | records there, and how many of them are damaged |
//! | `JEDLIK_PHASE_REQUESTS`, `JEDLIK_PAUSE_MS` | requests in each phase of `steady`; a writer's pause |
//! | `JEDLIK_WAIT_LIMIT_MS` | the longest that a request may wait there; without it any time is taken |
//! | `JEDLIK_SIBLING_LIMIT`, `JEDLIK_CROWDED_PUTS` | the bucket's limit in `limits`; puts of each writer |
//! | `JEDLIK_FLOOD_ROUNDS` | rounds of `overload` |
//! | `JEDLIK_HOT_SIBLINGS`, `JEDLIK_HOT_WRITERS` | the bucket's limit in `hot`; its writers |
//! | `JEDLIK_DUMPED_KEYS` | keys of 1,000 bytes that `dumps` writes while nodes stand still |
//! | `JEDLIK_MOVED_RECORDS`, `JEDLIK_MOVED_PARTITIONS` | records that move between nodes; the ring's partitions |
//! | `JEDLIK_RECORD_BYTES` | the size of their values |
//! | `JEDLIK_QUIET_REQUESTS` | requests in each quiet time of `grow` |
//! | `JEDLIK_NEXT_NODE` | the node that speaks the next protocol, for `upgrade`; else it is built |
//! | `JEDLIK_WRITERS`, `JEDLIK_READERS`, `JEDLIK_TRAFFIC_PAUSE_MS` | writers and readers meanwhile; their pause |

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod admin;
mod away;
mod bad_disk;
mod believed;
mod change;
mod clients;
mod clocks;
mod cluster;
mod counted_anew;
mod counts;
mod crash;
mod deletes;
mod doors;
mod drain;
mod dumps;
mod ended;
mod engines;
mod examples;
mod flood;
mod forged;
mod forwarded;
mod full_disk;
mod given_back;
mod grow;
mod held_disk;
mod hot;
mod hot_reads;
mod http;
mod http_nonsense;
mod interrupted;
mod large;
mod life_length;
mod limits;
mod lives;
mod load;
mod lost;
mod memory;
mod migrated;
mod mysql_tables;
mod node;
mod nonsense;
mod observer;
mod outputs;
mod overload;
mod packages;
mod page;
mod places;
mod refusals;
mod replaced;
mod requests;
mod restored;
mod riak_http;
mod riak_pb;
mod rolled_back;
mod rot;
mod schemathesis;
mod seeds;
mod sessions;
mod siblings;
mod signals;
mod sorted_tables;
mod steady;
mod still;
mod strace;
mod strangers;
mod streams;
mod taken_back;
mod terminal;
mod tokens;
mod tools;
mod traces;
mod traffic;
mod unlinked;
mod upgrade;
mod votes;
mod words;
mod zones;

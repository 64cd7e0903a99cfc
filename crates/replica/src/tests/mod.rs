//! Replicas joined by hand: a few nodes, memory for storage, time that stands still unless told.

mod clashes;
mod cluster;
mod collection;
mod counts;
mod disputes;
mod exchanges;
mod explaining;
mod faults;
mod histories;
mod hot_keys;
mod last_write;
mod limits;
mod messages;
mod pacing;
mod passing;
mod processes;
mod reading;
mod recounts;
mod repairs;
mod requests;
mod rivals;
mod scans;
mod served;
mod sloppy;
mod transfers;
mod votes;

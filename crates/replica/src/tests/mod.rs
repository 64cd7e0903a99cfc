//! Replicas joined by hand: a few nodes, memory for storage, time that stands still unless told.

mod cluster;
mod faults;
mod histories;
mod limits;
mod requests;

//! The rows of a matrix: every combination of what is to be measured.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::cluster::Engine;

/// Bucket of every measurement.
pub(super) const BUCKET: &str = "bench";

/// Durability of the bucket that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Durability {
    /// A put is in the memory of W replicas.
    Buffered,
    /// The operating systems of W replicas have it.
    Written,
    /// It is on the disks of W replicas.
    Synced,
}

impl Durability {
    /// Returns the name that the bucket's property has.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Buffered => "buffered",
            Self::Written => "written",
            Self::Synced => "synced",
        }
    }
}

/// Choices that are measured, each with every other.
#[derive(Debug, clap::Args)]
pub(super) struct Matrix {
    /// Engines that the nodes have
    #[arg(long, value_delimiter = ',', default_value = "redb,lsm")]
    engines: Vec<Engine>,
    /// Durabilities of puts; gets alone are measured with the first
    #[arg(long, value_delimiter = ',', default_value = "synced,written")]
    durability: Vec<Durability>,
    /// Sizes of the values, in bytes
    #[arg(long, value_delimiter = ',', default_value = "1024", value_name = "BYTES")]
    value_bytes: Vec<u32>,
    /// Numbers of records in the cluster beforehand, which are also the keys that gets read; 1 is an empty cluster
    #[arg(long, value_delimiter = ',', default_value = "10000", value_name = "COUNTS")]
    records: Vec<u64>,
    /// Requests: put, get, or the share of puts, such as 20%
    #[arg(long, value_delimiter = ',', default_value = "put,get")]
    mix: Vec<String>,
    /// How often keys are read: uniform, zipf, or zipf:E
    #[arg(long, value_delimiter = ',', default_value = "uniform", value_name = "CHOICES")]
    popularity: Vec<String>,
    /// Numbers of clients that run at the same time
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256", value_name = "COUNTS")]
    clients: Vec<u16>,
    /// Requests that arrive in a second, whatever is answered, so that waiting counts [default: closed loop]
    #[arg(long, value_delimiter = ',', value_name = "RATES")]
    rate: Vec<u32>,
}

/// State in which a cluster is measured; each has a cluster of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) engine: Engine,
    pub(super) durability: Durability,
    pub(super) value_bytes: u32,
    pub(super) records: u64,
}

/// One measurement of a matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    #[serde(flatten)]
    pub(super) place: Place,
    pub(super) mix: String,
    pub(super) popularity: String,
    pub(super) clients: u16,
    /// Requests that arrive in a second; `None` in a closed loop.
    pub(super) rate: Option<u32>,
}

impl Matrix {
    /// Returns the clusters that are measured, in their order.
    pub(super) fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        for &records in &self.records {
            for &value_bytes in &self.value_bytes {
                for &durability in &self.durability {
                    let place = |&engine| Place { engine, durability, value_bytes, records };
                    places.extend(self.engines.iter().map(place));
                }
            }
        }
        places
    }

    /// Returns the measurements in one of the clusters.
    pub(super) fn rows(&self, place: &Place) -> Vec<Row> {
        let rates: Vec<Option<u32>> = match &self.rate[..] {
            [] => vec![None],
            rates => rates.iter().copied().map(Some).collect(),
        };
        let is_first = self.durability.first() == Some(&place.durability);
        let mut rows = Vec::new();
        for mix in self.mix.iter().filter(|mix| is_first || *mix != "get") {
            for popularity in &self.popularity {
                for &clients in &self.clients {
                    rows.extend(rates.iter().map(|&rate| Row {
                        place: place.clone(),
                        mix: mix.clone(),
                        popularity: popularity.clone(),
                        clients,
                        rate,
                    }));
                }
            }
        }
        rows
    }
}

impl Place {
    /// Returns the arguments of `jedlik bench` for this cluster.
    pub(super) fn arguments(&self) -> Vec<String> {
        let (keys, bytes) = (self.records.to_string(), self.value_bytes.to_string());
        ["--bucket", BUCKET, "--keys", &keys, "--value-bytes", &bytes].map(Into::into).into()
    }
}

impl Row {
    /// Returns the arguments of `jedlik bench` for this measurement.
    pub(super) fn arguments(&self) -> Vec<String> {
        let clients = self.clients.to_string();
        let mut words = self.place.arguments();
        words.extend(["--mix", &self.mix, "--popularity", &self.popularity].map(Into::into));
        words.extend(["--clients", &clients].map(Into::into));
        words.extend(self.rate.iter().flat_map(|rate| ["--rate".into(), rate.to_string()]));
        words
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { engine, durability, value_bytes, records } = self;
        let (engine, durability) = (engine.name(), durability.name());
        write!(f, "{engine} {durability}, {records} records of {value_bytes} B")
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, mix, popularity, clients, rate } = self;
        let plural = if *clients == 1 { "" } else { "s" };
        write!(f, "{place}, {mix} {popularity}, {clients} client{plural}")?;
        rate.map_or(Ok(()), |rate| write!(f, ", {rate}/s arrive"))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::Matrix;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        matrix: Matrix,
    }

    fn rows(words: &str) -> Vec<String> {
        let words = ["bench"].into_iter().chain(words.split_whitespace());
        let matrix = Arguments::try_parse_from(words).unwrap().matrix;
        let places = matrix.places();
        let rows = places.iter().flat_map(|place| matrix.rows(place));
        rows.map(|row| format!("{row}: {}", row.arguments().join(" "))).collect()
    }

    #[test]
    fn everything_is_measured_with_everything_else_and_gets_alone_once() {
        let words = "--engines redb,lsm --durability synced,written --mix put,get --clients 1,64";
        let found = rows(words);
        assert_eq!(found.len(), 2 * (2 * 2 + 2), "{found:#?}");
        let wanted = "lsm written, 10000 records of 1024 B, put uniform, 64 clients: --bucket bench --keys 10000 \
                      --value-bytes 1024 --mix put --popularity uniform --clients 64";
        assert_eq!(found.last().unwrap(), wanted);
        assert!(!found.iter().any(|row| row.contains("written") && row.contains("get")));
    }

    #[test]
    fn requests_that_arrive_at_a_rate_are_rows_of_their_own() {
        let words = "--engines lsm --durability written --mix 20% --clients 64 --rate 100,200 \
                     --popularity zipf --records 1,5";
        let found = rows(words);
        assert_eq!(found.len(), 4);
        assert!(found[3].ends_with("--popularity zipf --clients 64 --rate 200"), "{found:#?}");
        assert!(found[3].contains("5 records") && found[3].contains("200/s arrive"), "{found:#?}");
    }
}

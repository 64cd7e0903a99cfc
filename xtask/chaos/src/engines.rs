//! Which engine each node of a run has.

use std::fmt;
use std::str::FromStr;

use jedlik_engines::Engine;

use crate::plan::Number;

/// Name of the choice by which the nodes of one cluster have different engines.
const MIXED: &str = "mixed";

/// Engines of a run's nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engines {
    /// Every node has the same one.
    All(Engine),
    /// Each node has another one than the node before it.
    Mixed,
}

impl Engines {
    /// Returns the engine of the node with this number.
    pub(crate) fn of(self, number: Number) -> Engine {
        match self {
            Self::All(engine) => engine,
            Self::Mixed => Engine::ALL[usize::from(number) % Engine::ALL.len()],
        }
    }

    /// Whether nodes have their records on a server.
    pub(crate) fn have_server(self) -> bool {
        matches!(self, Self::Mixed | Self::All(Engine::Mysql))
    }
}

impl fmt::Display for Engines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(engine) => engine.fmt(f),
            Self::Mixed => f.write_str(MIXED),
        }
    }
}

impl FromStr for Engines {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if name == MIXED {
            return Ok(Self::Mixed);
        }
        name.parse().map(Self::All).map_err(|error: String| format!("{error}, or {MIXED}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixed_cluster_has_every_engine_and_the_others_have_one() {
        let mixed: Engines = MIXED.parse().unwrap();
        let mut engines: Vec<Engine> = (1..=4).map(|number| mixed.of(number)).collect();
        engines.sort();
        engines.dedup();
        assert_eq!(engines, Engine::ALL);
        for engine in Engine::ALL {
            let all: Engines = engine.name().parse().unwrap();
            assert!((1..=4).all(|number| all.of(number) == engine));
            assert_eq!(all.to_string(), engine.name());
            assert_eq!(all.have_server(), engine == Engine::Mysql);
        }
        assert!("none".parse::<Engines>().unwrap_err().ends_with("or mixed"));
    }
}

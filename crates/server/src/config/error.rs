//! What can be wrong with a configuration, in the words that the operator reads.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use super::option::{ConfigOption, find};
use super::source::Source;

/// One mistake in the configuration. Nothing was started.
#[derive(Debug, Error)]
pub enum Mistake {
    /// Name a file that exists and can be read, or leave `--config` out.
    #[error("can't read the configuration {}: {error}", path.display())]
    Unreadable {
        /// As given.
        path: PathBuf,
        /// From the operating system.
        error: std::io::Error,
    },
    /// Mend the file at that place.
    #[error("{}: not TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// With the line and what was expected.
        message: String,
    },
    /// Correct the name, or take the line out.
    #[error("{place}: unknown option {name:?}{}", suggestion(*nearest))]
    Unknown {
        /// As given.
        name: String,
        /// Where it stands.
        place: Source,
        /// The option that was probably meant.
        nearest: Option<&'static str>,
    },
    /// Give it a value of its kind.
    #[error("{place}: {} can't be {value:?}: it takes {}", option.name, option.takes)]
    BadValue {
        /// Which option.
        option: &'static ConfigOption,
        /// As given.
        value: String,
        /// Where it stands.
        place: Source,
    },
    /// Give it.
    #[error(
        "{} is not set; it takes {}. Set it in the file, as {}, or with --{}",
        option.name, option.takes, option.variable(), option.flag()
    )]
    Missing {
        /// Which option.
        option: &'static ConfigOption,
    },
    /// Its value is of the right kind, but can't be used here.
    #[error("{place}: {} can't be {value:?}: {why}", option.name)]
    Unusable {
        /// Which option.
        option: &'static ConfigOption,
        /// As given.
        value: String,
        /// Where it stands.
        place: Source,
        /// What is wrong and what to do.
        why: String,
    },
}

fn suggestion(nearest: Option<&str>) -> String {
    match nearest {
        Some(name) => format!("; did you mean {name:?}?"),
        None => "; `jedlik-node run --help` lists the options".into(),
    }
}

impl Mistake {
    pub(super) fn bad_value(name: &str, value: &str, source: &Source) -> Self {
        let option = find(name).expect("options are only asked for by names in the table");
        Self::BadValue { option, value: value.into(), place: source.clone() }
    }

    pub(super) fn unusable(name: &str, value: &str, source: &Source, why: String) -> Self {
        let option = find(name).expect("options are only asked for by names in the table");
        Self::Unusable { option, value: value.into(), place: source.clone(), why }
    }
}

/// Every mistake that was found, so that they can be mended in one go.
#[derive(Debug)]
pub struct InvalidConfig(pub Vec<Mistake>);

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, mistake) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidConfig {}

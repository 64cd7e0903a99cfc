//! Mistakes in a configuration, in the words that the operator reads.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use super::option::{ConfigOption, find};
use super::source::Source;

/// Mistake in the configuration. Nothing was started.
#[derive(Debug, Error)]
pub enum Mistake {
    /// Configuration file that can't be read. Name one that exists and is readable, or leave `--config` out.
    #[error("can't read the configuration {}: {error}", path.display())]
    Unreadable {
        /// Path of the file, as it was given.
        path: PathBuf,
        /// Error that the operating system returned.
        error: std::io::Error,
    },
    /// Configuration file that is not TOML. Correct it at the place that the message names.
    #[error("{}: not TOML: {message}", path.display())]
    Syntax {
        /// Path of the configuration file.
        path: PathBuf,
        /// Message of the parser, with the line and what was expected.
        message: String,
    },
    /// Name that no option has. Correct it, or take the line out.
    #[error("{place}: unknown option {name:?}{}", suggestion(*nearest))]
    Unknown {
        /// Name of the option, as it was given.
        name: String,
        /// Place at which the name stands.
        place: Source,
        /// Name of the option that was probably meant; `None` if none is similar.
        nearest: Option<&'static str>,
    },
    /// Value that is not of the option's kind. Give one that the option takes.
    #[error("{place}: {} can't be {value:?}: it takes {}", option.name, option.takes)]
    BadValue {
        /// Option that has the value.
        option: &'static ConfigOption,
        /// Value of the option, as it was given.
        value: String,
        /// Place at which the value stands.
        place: Source,
    },
    /// Option that is required and not set. Give it a value.
    #[error(
        "{} is not set; it takes {}. Set it in the file, as {}, or with --{}",
        option.name, option.takes, option.variable(), option.flag()
    )]
    Missing {
        /// Option that has to be set.
        option: &'static ConfigOption,
    },
    /// Value of the right kind that can't be used here.
    #[error("{place}: {} can't be {value:?}: {why}", option.name)]
    Unusable {
        /// Option that has the value.
        option: &'static ConfigOption,
        /// Value of the option, as it was given.
        value: String,
        /// Place at which the value stands.
        place: Source,
        /// Reason why the value can't be used, and what to do about it.
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

/// All mistakes that were found, so that they can be corrected together.
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

//! Sources of settings: defaults, the file, the environment, the flags, in this order.
//!
//! Invariant: a later source wins, and every setting remembers its source.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::error::Mistake;
use super::option::{OPTIONS, VARIABLE_PREFIX, find, nearest};

/// Environment variable that names the configuration file; it is not an option itself.
pub const CONFIG_VARIABLE: &str = "JEDLIK_CONFIG";

/// Source that has set an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Default of the option, which no other source has set.
    Default,
    /// Configuration file, at a line.
    File {
        /// Path of the file.
        path: PathBuf,
        /// Number of the line, counted from 1.
        line: usize,
    },
    /// Environment variable that sets the option.
    Environment {
        /// Name of the variable, such as `JEDLIK_TLS_CA`.
        variable: String,
    },
    /// Flag of the command line.
    Flag {
        /// Name of the flag, without dashes.
        flag: String,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment { variable } => f.write_str(variable),
            Self::Flag { flag } => write!(f, "--{flag}"),
        }
    }
}

impl Source {
    /// Returns the folder that relative paths start from: the file's own, or else the working directory.
    pub(super) fn folder(&self) -> &Path {
        match self {
            Self::File { path, .. } => path.parent().unwrap_or(Path::new("")),
            Self::Default | Self::Environment { .. } | Self::Flag { .. } => Path::new(""),
        }
    }
}

/// Values of one option and their source. There may be several values where the option is a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Values as text, whatever types the source has.
    pub values: Vec<String>,
    /// Source that has set the option.
    pub source: Source,
}

/// Settings by option, and the mistakes that were made on the way to them.
#[derive(Debug, Default)]
pub struct Settings {
    pub(super) by_name: BTreeMap<&'static str, Setting>,
    pub(super) mistakes: Vec<Mistake>,
}

/// Values of all options at one time, by which changes of the configuration are found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<&'static str, Vec<String>>);

impl Snapshot {
    /// Returns the names of the options that `other` sets to something else.
    #[must_use]
    pub fn changed(&self, other: &Self) -> Vec<&'static str> {
        let differs = |name: &&str| self.0.get(*name) != other.0.get(*name);
        OPTIONS.iter().map(|option| option.name).filter(differs).collect()
    }

    /// Sets the options called `names` to what they are in `other`.
    pub fn take(&mut self, names: &[&str], other: &Self) {
        self.0.retain(|name, _| !names.contains(name));
        let taken = other.0.iter().filter(|(name, _)| names.contains(name));
        self.0.extend(taken.map(|(name, values)| (*name, values.clone())));
    }
}

impl Settings {
    /// Returns the present values of all options.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let values = |(name, setting): (&&'static str, &Setting)| (*name, setting.values.clone());
        Snapshot(self.by_name.iter().map(values).collect())
    }

    /// Returns settings that hold every option's default.
    #[must_use]
    pub fn defaults() -> Self {
        let mut settings = Self::default();
        for option in &OPTIONS {
            if let Some(default) = option.default {
                settings.set(option.name, list(default), Source::Default);
            }
        }
        settings
    }

    /// Lays the environment over the settings. Variables of other names are left alone, unless they look like a
    /// misspelt one.
    pub fn add_environment(&mut self, variables: impl Iterator<Item = (String, String)>) {
        let names: Vec<String> = OPTIONS.iter().map(super::ConfigOption::variable).collect();
        for (variable, value) in variables {
            if !variable.starts_with(VARIABLE_PREFIX) || variable == CONFIG_VARIABLE {
                continue;
            }
            let source = Source::Environment { variable: variable.clone() };
            if let Some(index) = names.iter().position(|name| *name == variable) {
                let option = &OPTIONS[index];
                let values = if option.list { list(&value) } else { vec![value] };
                self.set(option.name, values, source);
            } else if let Some(name) = nearest(&variable, names.iter().map(String::as_str)) {
                let index = names.iter().position(|known| known == name);
                let nearest = index.map(|index| OPTIONS[index].name);
                self.mistakes.push(Mistake::Unknown { name: variable, place: source, nearest });
            }
        }
    }

    /// Lays one flag over the settings.
    ///
    /// # Panics
    /// `name` is not the name of an option.
    pub fn add_flag(&mut self, name: &str, values: Vec<String>) {
        let option = find(name).expect("flags are made from the table of options");
        self.set(option.name, values, Source::Flag { flag: option.flag() });
    }

    pub(super) fn set(&mut self, name: &'static str, values: Vec<String>, source: Source) {
        self.by_name.insert(name, Setting { values, source });
    }

    /// Returns the settings as TOML, with each option's source in a comment.
    #[must_use]
    pub fn to_toml(&self) -> String {
        OPTIONS.iter().fold(String::new(), |text, option| {
            let line = match self.by_name.get(option.name) {
                None => format!("# {} is not set", option.name),
                Some(Setting { values, source }) => {
                    let quoted: Vec<String> = values.iter().map(|value| quote(value)).collect();
                    let value = if option.list {
                        format!("[{}]", quoted.join(", "))
                    } else {
                        quoted.concat()
                    };
                    format!("{:<48} # {source}", format!("{} = {value}", option.name))
                }
            };
            text + &line + "\n"
        })
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

fn quote(value: &str) -> String {
    if value.parse::<u64>().is_ok() { value.into() } else { toml::Value::from(value).to_string() }
}

//! Configuration file: TOML, flattened into settings with their lines.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Mistake;
use super::option::{ConfigOption, OPTIONS, SECTIONS, TRUE_OR_FALSE, find, nearest};
use super::source::{Settings, Source};

impl Settings {
    /// Lays the file at `path` over the settings.
    pub fn add_file(&mut self, path: &Path) {
        match std::fs::read_to_string(path) {
            Ok(text) => self.add_text(path, &text),
            Err(error) => self.mistakes.push(Mistake::Unreadable { path: path.into(), error }),
        }
    }

    /// Lays `text`, the content of `path`, over the settings.
    pub fn add_text(&mut self, path: &Path, text: &str) {
        match DeTable::parse(text) {
            Ok(table) => self.add_table(&File { path, text }, "", table.get_ref()),
            Err(error) => {
                let message = error.to_string().trim_end().to_owned();
                self.mistakes.push(Mistake::Syntax { path: path.into(), message });
            }
        }
    }

    fn add_table(&mut self, file: &File<'_>, section: &str, table: &DeTable<'_>) {
        let names = OPTIONS.iter().map(|option| option.name).chain(SECTIONS);
        for (key, value) in table {
            let name = format!("{section}{}", key.get_ref());
            let source = file.at(key.span().start);
            if let Some(inner) = value.get_ref().as_table()
                && SECTIONS.contains(&name.as_str())
            {
                self.add_table(file, &format!("{name}."), inner);
                continue;
            }
            let Some(option) = find(&name) else {
                let nearest = nearest(&name, names.clone());
                self.mistakes.push(Mistake::Unknown { name, place: source, nearest });
                continue;
            };
            match values(value, option) {
                Ok(values) => self.set(option.name, values, source),
                Err(shown) => self.mistakes.push(Mistake::bad_value(option.name, &shown, &source)),
            }
        }
    }
}

/// Configuration file with the text that offsets point into.
struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    fn at(&self, offset: usize) -> Source {
        let line = 1 + self.text[..offset].matches('\n').count();
        Source::File { path: PathBuf::from(self.path), line }
    }
}

/// Returns the value as text; the error shows a value of no kind that an option takes.
fn values(value: &Spanned<DeValue<'_>>, option: &ConfigOption) -> Result<Vec<String>, String> {
    match value.get_ref() {
        DeValue::Array(items) if option.list => {
            items.iter().map(|item| scalar(item.get_ref())).collect()
        }
        DeValue::Boolean(value) if option.takes == TRUE_OR_FALSE => Ok(vec![value.to_string()]),
        other => Ok(vec![scalar(other)?]),
    }
}

fn scalar(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(|number| number.to_string())
            .map_err(|_| number.to_string()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        other => Err(format!("a TOML {}", other.type_str())),
    }
}

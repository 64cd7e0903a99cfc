//! `jedlik-node inspect-set-aside`: the contents of folders of shards that were set aside.
//!
//! Invariant: unreadable data does not end the inspection; its amount is reported at the end.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::panic;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ArgMatches;
use jedlik_server::inspection::{
    FoundKey, FoundVersion, Inspected, OpenError, inspect, shard_folders,
};
use jedlik_server::logging;
use serde_json::{Map, Value, json};

/// Form in which a key is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Json,
    Dump,
}

/// Filter, form and destination of the output, and its count of keys.
struct Shown<W: Write> {
    form: Form,
    bucket: Option<Vec<u8>>,
    out: W,
    keys: u64,
    failure: Option<io::Error>,
}

/// Shows everything in the given folder; `false` if that failed.
pub(crate) fn run(matches: &ArgMatches) -> bool {
    let path: &PathBuf = matches.get_one("dir").expect("clap demands it");
    let scratch = matches.get_one::<PathBuf>("scratch").cloned().unwrap_or_else(std::env::temp_dir);
    let form = match (matches.get_flag("json"), matches.get_flag("dump")) {
        (_, true) => Form::Dump,
        (true, false) => Form::Json,
        (false, false) => Form::Text,
    };
    let bucket = matches.get_one::<String>("bucket").map(|bucket| bucket.clone().into_bytes());
    let out = BufWriter::new(io::stdout().lock());
    let mut shown = Shown { form, bucket, out, keys: 0, failure: None };
    // An unreadable page makes the engine panic; it is counted, and the next one is read.
    panic::set_hook(Box::new(|_| {}));
    let done = all(path, &scratch, &mut shown);
    let _default = panic::take_hook();
    match (done, shown.failure.take()) {
        (_, Some(error)) if error.kind() != ErrorKind::BrokenPipe => {
            logging::say(&format!("jedlik-node: can't write to standard output: {error}"));
            false
        }
        (Ok(()), _) => true,
        (Err(error), _) => {
            logging::say(&format!("jedlik-node: {error}"));
            false
        }
    }
}

fn all(path: &Path, scratch: &Path, shown: &mut Shown<impl Write>) -> Result<(), OpenError> {
    let mut folders = shard_folders(path);
    if folders.is_empty() {
        // Opening the folder itself fails with the reason.
        folders.push(path.into());
    }
    if shown.form == Form::Dump {
        shown.line("{\"jedlik_dump\":1}");
    }
    for folder in folders {
        let Inspected { keys, damaged, unreadable, journal } =
            inspect(&folder, scratch, &mut |key| shown.take(&key))?;
        let journal = journal.map_or_else(String::new, |what| format!("; its journal: {what}"));
        logging::say(&format!(
            "{}: {keys} keys; {damaged} rows fail their checksums, and {unreadable} places can't be read{journal}",
            folder.display()
        ));
    }
    if shown.form == Form::Dump {
        let keys = shown.keys;
        shown.line(&format!("{{\"end\":{{\"keys\":{keys}}}}}"));
    }
    shown.flush();
    Ok(())
}

impl<W: Write> Shown<W> {
    fn take(&mut self, found: &FoundKey) {
        if self.bucket.as_ref().is_some_and(|bucket| *bucket != found.bucket) {
            return;
        }
        let line = match self.form {
            Form::Text => text(found),
            Form::Json => json_line(found),
            // A key without a value has nothing to load.
            Form::Dump if found.values.is_empty() => return,
            Form::Dump => dump_line(found),
        };
        self.keys += 1;
        self.line(&line);
    }

    fn line(&mut self, line: &str) {
        if self.failure.is_none() {
            self.failure = writeln!(self.out, "{line}").err();
        }
    }

    fn flush(&mut self) {
        if self.failure.is_none() {
            self.failure = self.out.flush().err();
        }
    }
}

fn text(found: &FoundKey) -> String {
    let name = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let mut line = format!("{}/{}", name(&found.bucket), name(&found.key));
    for version in &found.versions {
        line += &format!("\n  {}", version_text(version));
    }
    for hint in &found.hints {
        line += &format!("\n  hint for {} since {} ms", hint.target, hint.since_ms);
        for version in &hint.versions {
            line += &format!("\n    {}", version_text(version));
        }
    }
    line
}

fn version_text(version: &FoundVersion) -> String {
    let what = version
        .value
        .as_ref()
        .map_or("tombstone".into(), |value| format!("value of {} B", value.len()));
    format!("{what}, {}, written at {} ms", version.dot, version.written_at_ms)
}

/// Puts bytes into an object under `name`, or as base64 if they are not text.
fn put(object: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object.insert(name.into(), text.into()),
        Err(_) => object.insert(format!("{name}_base64"), STANDARD.encode(bytes).into()),
    };
}

fn version_json(version: &FoundVersion) -> Value {
    let mut object = Map::new();
    object.insert("dot".into(), version.dot.clone().into());
    object.insert("written_at_ms".into(), version.written_at_ms.into());
    object.insert("expires_at_ms".into(), version.expires_at_ms.into());
    object.insert("deleted".into(), version.value.is_none().into());
    if let Some(value) = &version.value {
        put(&mut object, "value", value);
    }
    object.into()
}

fn named(found: &FoundKey) -> Map<String, Value> {
    let mut object = Map::new();
    put(&mut object, "bucket", &found.bucket);
    put(&mut object, "key", &found.key);
    object
}

fn json_line(found: &FoundKey) -> String {
    let mut object = named(found);
    let versions: Vec<Value> = found.versions.iter().map(version_json).collect();
    object.insert("versions".into(), versions.into());
    let hints = found.hints.iter().map(|hint| {
        let versions: Vec<Value> = hint.versions.iter().map(version_json).collect();
        json!({ "target": hint.target, "since_ms": hint.since_ms, "versions": versions })
    });
    object.insert("hints".into(), hints.collect::<Vec<Value>>().into());
    Value::from(object).to_string()
}

/// Formats a key as `jedlik dump --all` does, so that `jedlik load` reads it.
fn dump_line(found: &FoundKey) -> String {
    let mut object = named(found);
    match &found.values[..] {
        [value] => put(&mut object, "value", value),
        values => {
            let siblings = values.iter().map(|value| {
                let mut sibling = Map::new();
                put(&mut sibling, "value", value);
                Value::from(sibling)
            });
            object.insert("siblings".into(), siblings.collect::<Vec<Value>>().into());
        }
    }
    Value::from(object).to_string()
}

#[cfg(test)]
mod tests {
    use jedlik_server::inspection::{FoundHint, FoundKey, FoundVersion};

    use super::{Form, Shown};

    fn version(value: Option<&[u8]>) -> FoundVersion {
        let value = value.map(<[u8]>::to_vec);
        FoundVersion { dot: "0a:1".into(), written_at_ms: 5, expires_at_ms: None, value }
    }

    fn shown(form: Form, found: &FoundKey) -> String {
        let mut shown =
            Shown { form, bucket: Some(b"b".to_vec()), out: Vec::new(), keys: 0, failure: None };
        shown.take(found);
        shown.take(&FoundKey { bucket: b"another".to_vec(), ..found.clone() });
        String::from_utf8(shown.out).unwrap()
    }

    #[test]
    fn a_key_is_shown_as_text_as_json_and_as_a_dump_has_it() {
        let hint =
            FoundHint { target: "7".into(), since_ms: 9, versions: vec![version(Some(b"salt"))] };
        let found = FoundKey {
            bucket: b"b".to_vec(),
            key: vec![0xff, b'k'],
            versions: vec![version(Some(b"tea")), version(None)],
            hints: vec![hint],
            values: vec![b"tea".to_vec(), b"salt".to_vec()],
        };
        assert_eq!(
            shown(Form::Text, &found),
            "b/\\xffk\n  value of 3 B, 0a:1, written at 5 ms\n  tombstone, 0a:1, written at 5 ms\n  \
             hint for 7 since 9 ms\n    value of 4 B, 0a:1, written at 5 ms\n"
        );
        assert_eq!(
            shown(Form::Dump, &found),
            "{\"bucket\":\"b\",\"key_base64\":\"/2s=\",\"siblings\":[{\"value\":\"tea\"},{\"value\":\"salt\"}]}\n"
        );
        let json: serde_json::Value = serde_json::from_str(&shown(Form::Json, &found)).unwrap();
        assert_eq!(json["versions"][1]["deleted"], true);
        assert_eq!(json["hints"][0]["versions"][0]["value"], "salt");
        let one = FoundKey { values: vec![b"tea".to_vec()], ..found.clone() };
        assert!(shown(Form::Dump, &one).ends_with("\"value\":\"tea\"}\n"));
        let none = FoundKey { values: Vec::new(), ..found };
        assert_eq!(shown(Form::Dump, &none), "");
    }
}

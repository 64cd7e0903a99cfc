//! The body of the fuzz target for configuration files, run by tests here and by a fuzzer.

use std::path::Path;

use jedlik_server::config::Settings;

/// Takes any bytes as a configuration file: it is taken, or its mistakes are told.
pub(crate) fn text(bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    let mut settings = Settings::defaults();
    settings.add_text(Path::new("node.toml"), text);
    let shown = settings.to_toml();
    match settings.check() {
        Ok(_) => assert!(!shown.is_empty()),
        Err(invalid) => assert!(!invalid.to_string().is_empty()),
    }
}

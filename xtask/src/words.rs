//! Debian's list of American words, the real input of the end-to-end tests.

use std::path::Path;

use anyhow::bail;
use jedlik_services::install;

/// Path of the list in Debian's package.
const PATH: &str = "/usr/share/dict/american-english";
const PACKAGE: &str = "wamerican";

/// Returns the path of the list, which is installed if possible. `None`, with a note, if it can't be: the tests then
/// make up as many words. In CI that is an error.
///
/// # Errors
/// There is no list, and the environment has `CI`.
pub(crate) fn find() -> anyhow::Result<Option<&'static Path>> {
    let path = Path::new(PATH);
    if !path.exists() {
        install(&[PACKAGE]);
    }
    if path.exists() {
        return Ok(Some(path));
    }
    let remedy = format!("`sudo apt-get install {PACKAGE}` brings it");
    if std::env::var_os("CI").is_some() {
        bail!("{PATH} is missing; {remedy}");
    }
    println!("{PATH} is missing ({remedy}); the tests make up words instead");
    Ok(None)
}

//! Exit codes against what `--help` promises.

use anyhow::anyhow;
use jedlik_client::{ClientError, ErrorCode, Refusal, StartError};
use jedlik_console::profile::{NotFound, ProfileError};

use super::{Exit, Usage};

#[test]
fn every_error_has_the_code_that_help_promises() {
    let profile = ProfileError::NotFound(NotFound { project: "p".into(), user: None });
    let cases: [(anyhow::Error, u8); 6] = [
        (ClientError::Start(StartError::NoSeeds).into(), 2),
        (profile.into(), 2),
        (ClientError::Forbidden(Refusal::new(ErrorCode::Forbidden, "no")).into(), 2),
        (ClientError::NoLayout.into(), 3),
        (anyhow!("no such file").context(Usage("bad".into())).context("while reading"), 2),
        (anyhow!("disk full"), 3),
    ];
    for (error, code) in cases {
        assert_eq!(Exit::of(&error).code(), code, "{error:#}");
    }
}

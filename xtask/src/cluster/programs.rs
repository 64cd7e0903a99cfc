//! The choice of the programs that a cluster is started with: those of a folder, or freshly built ones.
//!
//! Invariant: an existing cluster keeps the programs that it was started with, unless others are asked for.

use std::path::{Path, PathBuf};

use crate::workspace::Profile;

/// Programs of a cluster: in a folder as they are, or built in a profile first.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Programs {
    In(PathBuf),
    Built(Profile),
}

impl Programs {
    /// Chooses by what was given now, and otherwise by what an existing cluster has `recorded`. A folder into which
    /// this workspace builds is built anew; `folder` returns that of a profile.
    pub(super) fn choose(
        given: Option<&Path>,
        debug: bool,
        recorded: Option<&Path>,
        folder: impl Fn(Profile) -> PathBuf,
    ) -> Self {
        if let Some(given) = given {
            return Self::In(given.into());
        }
        if debug {
            return Self::Built(Profile::Debug);
        }
        let Some(recorded) = recorded else { return Self::Built(Profile::Release) };
        let built = [Profile::Release, Profile::Debug];
        let profile = built.into_iter().find(|profile| folder(*profile) == recorded);
        profile.map_or_else(|| Self::In(recorded.into()), Self::Built)
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::Programs;
    use crate::workspace::Profile;

    #[test]
    fn an_existing_cluster_keeps_its_programs_unless_others_are_given() {
        let built = |profile| match profile {
            Profile::Release => PathBuf::from("/target/release"),
            Profile::Debug => "/target/debug".into(),
        };
        let mine = || Programs::In("/mine".into());
        let (release, debug) = (Programs::Built(Profile::Release), Programs::Built(Profile::Debug));
        let cases = [
            (None, false, None, &release),
            (None, true, None, &debug),
            (Some("/mine"), false, Some("/target/release"), &mine()),
            (None, false, Some("/mine"), &mine()),
            (None, true, Some("/mine"), &debug),
            (None, false, Some("/target/debug"), &debug),
            (None, false, Some("/target/release"), &release),
        ];
        for (given, wants_debug, recorded, expected) in cases {
            let (given, recorded) = (given.map(Path::new), recorded.map(Path::new));
            let chosen = Programs::choose(given, wants_debug, recorded, built);
            assert_eq!(chosen, *expected, "{given:?} {wants_debug} {recorded:?}");
        }
    }
}

//! Resolution of what was typed to a node: its name, its identity, or the first digits of that.
//!
//! Invariant: never a guess. What fits no node, or more than one, is refused with a list of the nodes.

use jedlik_client::NodeId;

use crate::exit::Usage;

/// Number of digits of an identity that people see; even among a thousand nodes they hardly ever collide.
const SHORT_DIGITS: usize = 8;

/// Returns the first digits of an identity.
pub(crate) fn short(node: NodeId) -> String {
    let mut digits = node.to_string();
    digits.truncate(SHORT_DIGITS);
    digits
}

/// Finds the one node that `wanted` names, among nodes with these identities and names.
pub(crate) fn resolve<'a>(
    wanted: &str,
    known: impl IntoIterator<Item = (NodeId, &'a str)>,
) -> Result<NodeId, Usage> {
    let known: Vec<(NodeId, &str)> = known.into_iter().collect();
    let fitting = |fits: &dyn Fn(&(NodeId, &str)) -> bool| -> Vec<(NodeId, &str)> {
        known.iter().filter(|one| fits(one)).copied().collect()
    };
    let digits = wanted.to_ascii_lowercase();
    let by_name = fitting(&|(_, name)| *name == wanted);
    let by_identity = || {
        let prefixed = !digits.is_empty();
        fitting(&|(node, _)| prefixed && node.to_string().starts_with(&digits))
    };
    let found = if by_name.is_empty() { by_identity() } else { by_name };
    match found.as_slice() {
        [(node, _)] => Ok(*node),
        [] => Err(Usage(format!("no member is called {wanted:?}; there are {}", names(&known)))),
        several => Err(Usage(format!(
            "{wanted:?} may be any of {}: give more of the identity",
            several
                .iter()
                .map(|(node, name)| format!("{name} ({node})"))
                .collect::<Vec<_>>()
                .join(", ")
        ))),
    }
}

fn names(known: &[(NodeId, &str)]) -> String {
    let mut names: Vec<&str> = known.iter().map(|(_, name)| *name).collect();
    names.sort_unstable();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

//! Members with equal names, which commands can't tell apart.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec::Vec;

use jedlik_amounts::count;
use jedlik_hashing::NodeId;

use crate::diagnosis::{Finding, Severity};
use crate::observed::{Observed, ObservedMember};

/// Warns of each name that several members have.
pub(crate) fn equal(observed: &Observed) -> Vec<Finding> {
    let several = by_name(&observed.members).into_iter().filter(|(_, nodes)| nodes.len() > 1);
    let findings = several.map(|(name, nodes)| {
        let identities: Vec<String> = nodes.iter().map(NodeId::to_string).collect();
        Finding {
            severity: Severity::Warning,
            what: format!(
                "{} are called {name}: {}",
                count(nodes.len() as u64, "member"),
                identities.join(", ")
            ),
            blocks: Some(format!("commands that say {name}: they take an identity only")),
            remedy: "say the identity in commands. If one of them is a mistake, stop it and remove it (`jedlik-admin \
                     cluster remove IDENTITY`, then plan and commit), or give it another name (`jedlik-admin cert \
                     issue --role node --node IDENTITY --name OTHER`) and start it with that certificate"
                .into(),
        }
    });
    findings.collect()
}

/// Has members of one name called by their identities as well, and commands about them take the identity.
pub fn tell_apart(members: &mut [ObservedMember]) {
    let names = by_name(members);
    for member in members {
        let (node, name) = (member.member.node, &member.member.name);
        if names.get(name).is_some_and(|nodes| nodes.len() > 1) {
            member.label = format!("{name} ({node})");
            member.handle = node.to_string();
        }
    }
}

fn by_name(members: &[ObservedMember]) -> BTreeMap<String, Vec<NodeId>> {
    let mut names: BTreeMap<String, Vec<NodeId>> = BTreeMap::new();
    for ObservedMember { member, .. } in members {
        names.entry(member.name.clone()).or_default().push(member.node);
    }
    names
}

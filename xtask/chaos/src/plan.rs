//! The plan of a run: faults with their times and places, and changes of the membership.
//!
//! Invariants: a plan is a function of its setting alone. It never has more nodes in trouble at the same time than
//! [`troubled_limit`] allows, and never destroys a copy while another copy is missing for good. Faults of a server that
//! has nodes' records come on top: they destroy nothing.

use std::fmt;

use crate::chance::{Chance, Concern};

/// Number of a node, from 1; its name is `n1` and so on.
pub(crate) type Number = u16;

/// Fewest members from which one may leave: N = 3, and one more that may be in trouble.
const MEMBERS_MIN: usize = 4;
/// Members that there may be in addition to those at the start.
const MEMBERS_MORE: usize = 3;
/// Time of the first change; the first fault comes sooner.
const FIRST_CHANGE_MS: u64 = 8_000;
const FIRST_FAULT_MS: u64 = 3_000;
/// Time before the end in which nothing new begins.
const LAST_MS: u64 = 6_000;
/// Amount by which a clock is set wrong.
const HOUR_S: i32 = 3_600;
/// Longest fault of a server, and the shortest time between two of its faults.
const SERVER_FAULT_MS: u64 = 8_000;
const SERVER_PAUSE_MS: u64 = 12_000;
/// Time for which a node that is gone for good counts as missing.
const MISSING_MS: u64 = 20_000;

/// Inputs from which a plan is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Seed of everything that is left to chance.
    pub(crate) seed: u64,
    /// Time for which clients run.
    pub(crate) span_ms: u64,
    /// Members at the start.
    pub(crate) nodes: Number,
    /// Whether members come and go.
    pub(crate) changes: bool,
    /// Whether nodes have their records on a server.
    pub(crate) server: bool,
}

/// Kind of fault of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    /// SIGKILL, and a start once the time is up.
    Kill,
    /// SIGSTOP, and SIGCONT once the time is up.
    Stop,
    /// No packet comes to the node or goes from it.
    Cut,
    /// No packet from the node reaches the other one; packets in the other direction arrive.
    Mute(Number),
    /// Packets of the node are late, and some get lost.
    Delay,
    /// The reader of the node's log ends, and there is none until the node's next start.
    LogCut,
    /// The node's calendar clock is ahead of the machine's by this many seconds.
    Clock(i32),
}

/// Fault of one node, with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at_ms: u64,
    pub(crate) for_ms: u64,
    pub(crate) node: Number,
    pub(crate) trouble: Trouble,
}

/// Kind of fault of the server that has nodes' records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerTrouble {
    /// SIGKILL, and a start once the time is up.
    Kill,
    /// SIGSTOP, and SIGCONT once the time is up.
    Stop,
}

/// Fault of the server, with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ServerFault {
    pub(crate) at_ms: u64,
    pub(crate) for_ms: u64,
    pub(crate) trouble: ServerTrouble,
}

/// Change of the membership, or of a member's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemberChange {
    /// An empty node joins the cluster.
    Join(Number),
    /// A node hands its data over, and leaves.
    Leave(Number),
    /// The first node dies with its disk; the second, empty one takes its place.
    Replace(Number, Number),
    /// A node dies with its disk; the others go on without it.
    Remove(Number),
    /// A member loses its disk, and comes back empty under its own identity.
    LoseDisk(Number),
    /// A member comes back with an older copy of its directory, or of its tables on a server, or of both.
    PutBack(Number),
    /// Bits flip in what a member's engine keeps while it runs.
    Rot(Number),
}

/// Change of the membership, with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) at_ms: u64,
    pub(crate) change: MemberChange,
}

/// Faults and changes of a run, each in the order of their times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) faults: Vec<Fault>,
    pub(crate) server_faults: Vec<ServerFault>,
    pub(crate) steps: Vec<Step>,
}

/// Returns how many of `members` nodes may be in trouble or dead at the same time: with N = 3 and R = W = 2 puts and
/// gets still find enough nodes.
pub(crate) fn troubled_limit(members: usize) -> usize {
    if members >= 5 { 2 } else { 1 }
}

impl Plan {
    pub(crate) fn new(setting: &Setting) -> Self {
        let steps = if setting.changes { steps(setting) } else { Vec::new() };
        let server_faults = if setting.server { server_faults(setting) } else { Vec::new() };
        Self { faults: faults(setting, &steps), server_faults, steps }
    }
}

fn steps(setting: &Setting) -> Vec<Step> {
    let mut chance = Chance::new(setting.seed, Concern::Changes);
    let mut members: Vec<Number> = (1..=setting.nodes).collect();
    let (least, most) = (MEMBERS_MIN, members.len() + MEMBERS_MORE);
    let mut next = setting.nodes + 1;
    let mut at_ms = FIRST_CHANGE_MS + chance.below(4_000);
    let mut steps = Vec::new();
    while at_ms + LAST_MS < setting.span_ms {
        let victim = chance.pick(&members);
        let change = match chance.below(11) {
            0..=2 if members.len() < most => MemberChange::Join(next),
            3 | 4 if members.len() > least => MemberChange::Leave(victim),
            5 | 6 if members.len() >= least => MemberChange::Replace(victim, next),
            7 if members.len() > least => MemberChange::Remove(victim),
            8 => MemberChange::LoseDisk(victim),
            9 => MemberChange::PutBack(victim),
            10 => MemberChange::Rot(victim),
            _ if members.len() < most => MemberChange::Join(next),
            _ => MemberChange::Leave(victim),
        };
        members.retain(|member| Some(*member) != change.goes());
        members.extend(change.comes());
        next += Number::from(change.comes().is_some());
        steps.push(Step { at_ms, change });
        at_ms += chance.between(18_000, 35_000);
    }
    steps
}

fn faults(setting: &Setting, steps: &[Step]) -> Vec<Fault> {
    let mut chance = Chance::new(setting.seed, Concern::Faults);
    let mut faults: Vec<Fault> = Vec::new();
    let mut at_ms = FIRST_FAULT_MS;
    while at_ms + LAST_MS < setting.span_ms {
        let members = members_at(setting, steps, at_ms);
        let troubled = |fault: &&Fault| fault.at_ms + fault.for_ms >= at_ms;
        let troubled: Vec<Number> = faults.iter().filter(troubled).map(|f| f.node).collect();
        let missing = steps.iter().filter(|step| step.leaves_a_gap_at(at_ms)).count();
        let free: Vec<Number> =
            members.iter().copied().filter(|member| !troubled.contains(member)).collect();
        if troubled.len() + missing < troubled_limit(members.len()) && free.len() > 1 {
            let node = chance.pick(&free);
            let others: Vec<Number> = members.into_iter().filter(|other| *other != node).collect();
            let trouble = match chance.below(11) {
                0..=2 => Trouble::Kill,
                3 => Trouble::Clock(if at_ms.is_multiple_of(2) { HOUR_S } else { -HOUR_S }),
                4 | 5 => Trouble::Stop,
                6 | 7 => Trouble::Cut,
                8 => Trouble::Mute(chance.pick(&others)),
                9 => Trouble::LogCut,
                _ => Trouble::Delay,
            };
            let most_ms = match trouble {
                Trouble::LogCut => 1_000,
                Trouble::Kill | Trouble::Clock(_) => 6_000,
                _ => 12_000,
            };
            faults.push(Fault { at_ms, for_ms: chance.between(300, most_ms), node, trouble });
        }
        at_ms += chance.between(500, 4_000);
    }
    faults
}

/// Returns the server's faults, one after the other. A node waits no longer than some seconds for an answer, and some
/// faults last longer.
fn server_faults(setting: &Setting) -> Vec<ServerFault> {
    let mut chance = Chance::new(setting.seed, Concern::Server);
    let mut faults = Vec::new();
    let mut at_ms = FIRST_FAULT_MS + chance.below(SERVER_PAUSE_MS);
    loop {
        let trouble = chance.pick(&[ServerTrouble::Kill, ServerTrouble::Stop]);
        let for_ms = chance.between(300, SERVER_FAULT_MS);
        if at_ms + for_ms + LAST_MS > setting.span_ms {
            return faults;
        }
        faults.push(ServerFault { at_ms, for_ms, trouble });
        at_ms += for_ms + SERVER_PAUSE_MS + chance.below(SERVER_PAUSE_MS);
    }
}

/// Returns the nodes that may have trouble at this time: members that stay, and those that have just joined.
fn members_at(setting: &Setting, steps: &[Step], at_ms: u64) -> Vec<Number> {
    let mut members: Vec<Number> = (1..=setting.nodes).collect();
    for step in steps.iter().filter(|step| step.at_ms <= at_ms) {
        members.retain(|member| Some(*member) != step.change.goes());
        members.extend(step.change.comes());
    }
    members
}

impl Step {
    /// Whether a node has died whose place no other has taken yet.
    fn leaves_a_gap_at(&self, at_ms: u64) -> bool {
        self.change.destroys() && (self.at_ms..self.at_ms + MISSING_MS).contains(&at_ms)
    }
}

impl MemberChange {
    /// Returns the node that the change adds to the cluster, if any.
    pub(crate) fn comes(self) -> Option<Number> {
        match self {
            Self::Join(new) | Self::Replace(_, new) => Some(new),
            _ => None,
        }
    }

    /// Returns the node that the change takes out of the cluster, if any.
    pub(crate) fn goes(self) -> Option<Number> {
        match self {
            Self::Leave(old) | Self::Replace(old, _) | Self::Remove(old) => Some(old),
            _ => None,
        }
    }

    /// Returns the member that stays and must be refilled by the others, if any.
    pub(crate) fn refills(self) -> Option<Number> {
        match self {
            Self::LoseDisk(node) | Self::PutBack(node) | Self::Rot(node) => Some(node),
            _ => None,
        }
    }

    /// Whether the change destroys copies of data.
    pub(crate) fn destroys(self) -> bool {
        matches!(self, Self::Replace(..) | Self::Remove(_)) || self.refills().is_some()
    }

    /// Returns the name under which the change is counted.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Join(_) => "join",
            Self::Leave(_) => "leave",
            Self::Replace(..) => "replace",
            Self::Remove(_) => "remove",
            Self::LoseDisk(_) => "lost disk",
            Self::PutBack(_) => "old copy",
            Self::Rot(_) => "rot",
        }
    }
}

impl fmt::Display for MemberChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Join(node) => write!(f, "n{node} joins"),
            Self::Leave(node) => write!(f, "n{node} leaves"),
            Self::Replace(old, new) => write!(f, "n{old} dies, n{new} replaces it"),
            Self::Remove(node) => write!(f, "n{node} dies and is removed"),
            Self::LoseDisk(node) => write!(f, "n{node} loses its disk and comes back empty"),
            Self::PutBack(node) => {
                write!(f, "n{node} comes back with an old copy of what it keeps")
            }
            Self::Rot(node) => write!(f, "bits flip in what n{node}'s engine keeps"),
        }
    }
}

impl Trouble {
    /// Returns the name under which the fault is counted.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Cut => "cut",
            Self::Mute(_) => "mute",
            Self::Delay => "delay",
            Self::LogCut => "log cut",
            Self::Clock(_) => "clock set",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { for_ms, node, trouble, .. } = self;
        write!(f, "{} n{node}", trouble.name())?;
        if let Trouble::Mute(to) = trouble {
            write!(f, " towards n{to}")?;
        }
        if let Trouble::Clock(ahead_s) = trouble {
            write!(f, " {ahead_s:+} s")?;
        }
        write!(f, " for {for_ms} ms")
    }
}

impl ServerTrouble {
    /// Returns the name under which the fault is counted.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "server kill",
            Self::Stop => "server stop",
        }
    }
}

impl fmt::Display for ServerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {} ms", self.trouble.name(), self.for_ms)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = self.faults.iter().map(|fault| (fault.at_ms, fault.to_string()));
        let of_server = self.server_faults.iter().map(|fault| (fault.at_ms, fault.to_string()));
        let steps = self.steps.iter().map(|step| (step.at_ms, step.change.to_string()));
        let mut lines: Vec<(u64, String)> = faults.chain(of_server).chain(steps).collect();
        lines.sort();
        for (at_ms, line) in lines {
            writeln!(f, "  {:>5}.{:03}  {line}", at_ms / 1_000, at_ms % 1_000)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! What goes wrong, when and where, and how the membership changes meanwhile.
//!
//! Invariants: a plan is a function of its setting alone. It never has more nodes in trouble at a time than
//! [`troubled_limit`] allows, and never destroys a copy while another copy is missing for good.

use std::fmt;

use crate::chance::{Chance, Concern};

/// A node's number, from 1; `n1` and so on.
pub(crate) type Number = u16;

/// Fewer members than this and nobody leaves: N = 3, and one more that may be in trouble.
const MEMBERS_MIN: usize = 4;
/// How many more members than at the start there may be.
const MEMBERS_MORE: usize = 3;
/// The first change; the first fault comes sooner.
const FIRST_CHANGE_MS: u64 = 8_000;
const FIRST_FAULT_MS: u64 = 3_000;
/// Towards the end nothing new begins.
const LAST_MS: u64 = 6_000;
/// By how much a clock is set wrong.
const HOUR_S: i32 = 3_600;
/// For how long a node that is gone for good counts as missing.
const MISSING_MS: u64 = 20_000;

/// What a plan is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Of everything that is left to chance.
    pub(crate) seed: u64,
    /// How long clients run.
    pub(crate) span_ms: u64,
    /// Members at the start.
    pub(crate) nodes: Number,
    /// Whether members come and go.
    pub(crate) changes: bool,
}

/// What can go wrong with one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    /// SIGKILL, and a start after the time is up.
    Kill,
    /// SIGSTOP, then SIGCONT.
    Stop,
    /// No packet comes or goes.
    Cut,
    /// Nothing that it sends to that one arrives; the other way all is well.
    Mute(Number),
    /// Its packets are late, and some get lost.
    Delay,
    /// Whoever reads its log ends, and nobody reads it until the node's next start.
    LogCut,
    /// Its calendar clock shows so many seconds more than the machine's.
    Clock(i32),
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at_ms: u64,
    pub(crate) for_ms: u64,
    pub(crate) node: Number,
    pub(crate) trouble: Trouble,
}

/// One change of the membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemberChange {
    /// An empty node comes.
    Join(Number),
    /// A node hands on what it has, and goes.
    Leave(Number),
    /// A node dies with its disk; an empty one takes its place.
    Replace(Number, Number),
    /// A node dies with its disk; the others make do without.
    Remove(Number),
    /// A member loses its disk, and comes back empty under its own identity.
    LoseDisk(Number),
    /// A member comes back with an older copy of its directory.
    PutBack(Number),
    /// Bits flip in the files of a member's engine while it runs.
    Rot(Number),
}

/// A change and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) at_ms: u64,
    pub(crate) change: MemberChange,
}

/// All that happens to a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) faults: Vec<Fault>,
    pub(crate) steps: Vec<Step>,
}

/// How many nodes of so many may be in trouble or dead at a time: with N = 3 and R = W = 2 puts and gets
/// find whom they need all the same.
pub(crate) fn troubled_limit(members: usize) -> usize {
    if members >= 5 { 2 } else { 1 }
}

impl Plan {
    pub(crate) fn new(setting: &Setting) -> Self {
        let steps = if setting.changes { steps(setting) } else { Vec::new() };
        Self { faults: faults(setting, &steps), steps }
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

/// Who may have trouble at this time: members that stay, and those that have just come.
fn members_at(setting: &Setting, steps: &[Step], at_ms: u64) -> Vec<Number> {
    let mut members: Vec<Number> = (1..=setting.nodes).collect();
    for step in steps.iter().filter(|step| step.at_ms <= at_ms) {
        members.retain(|member| Some(*member) != step.change.goes());
        members.extend(step.change.comes());
    }
    members
}

impl Step {
    /// Whether a node has died that nobody has taken the place of yet.
    fn leaves_a_gap_at(&self, at_ms: u64) -> bool {
        self.change.destroys() && (self.at_ms..self.at_ms + MISSING_MS).contains(&at_ms)
    }
}

impl MemberChange {
    /// Who is new.
    pub(crate) fn comes(self) -> Option<Number> {
        match self {
            Self::Join(new) | Self::Replace(_, new) => Some(new),
            _ => None,
        }
    }

    /// Who is no member any more.
    pub(crate) fn goes(self) -> Option<Number> {
        match self {
            Self::Leave(old) | Self::Replace(old, _) | Self::Remove(old) => Some(old),
            _ => None,
        }
    }

    /// The member that stays and has to be refilled by the others.
    pub(crate) fn refills(self) -> Option<Number> {
        match self {
            Self::LoseDisk(node) | Self::PutBack(node) | Self::Rot(node) => Some(node),
            _ => None,
        }
    }

    /// Whether copies are lost by it.
    pub(crate) fn destroys(self) -> bool {
        matches!(self, Self::Replace(..) | Self::Remove(_)) || self.refills().is_some()
    }

    /// To count it under.
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
                write!(f, "n{node} comes back with an old copy of its directory")
            }
            Self::Rot(node) => write!(f, "bits flip in the files of n{node}'s engine"),
        }
    }
}

impl Trouble {
    /// To count it under.
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

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = self.faults.iter().map(|fault| (fault.at_ms, fault.to_string()));
        let steps = self.steps.iter().map(|step| (step.at_ms, step.change.to_string()));
        let mut lines: Vec<(u64, String)> = faults.chain(steps).collect();
        lines.sort();
        for (at_ms, line) in lines {
            writeln!(f, "  {:>5}.{:03}  {line}", at_ms / 1_000, at_ms % 1_000)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

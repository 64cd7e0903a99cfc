//! `jedlik-admin task`: long-running work as tasks that can be listed, paused and resumed.
//!
//! A task is named by its kind of work; work that each member does for itself also names the member: `transfers`,
//! `hints:n1`, `repair:n1`, `collection`.

mod observed;
#[cfg(test)]
mod tests;

use std::fmt;
use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, Subcommand};
use jedlik_doctor::work_name;
use jedlik_protocol::admin::{
    AdminRequest, AdminResponse, BackgroundChange, BackgroundReport, WorkKind,
};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::connection::ConnectionArgs;
use crate::exit::UNAVAILABLE;
use crate::members::{self, Told, WhichArgs, permitted, report_silent};
use crate::output::Output;
use crate::table::{Align, Table};
use crate::task::observed::{Observed, Task};

const KINDS: [WorkKind; 4] =
    [WorkKind::Transfer, WorkKind::Handoff, WorkKind::Repair, WorkKind::Collection];

#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    /// List long-running work: what it is, whether it runs, and its progress
    #[command(after_help = "Example:\n  jedlik-admin task list --json")]
    List,
    /// Pause a task, or all of them
    ///
    /// Reads and writes go on. What was transferred before the pause stays where it is.
    #[command(after_help = TASK_HELP)]
    Pause(TaskArgs),
    /// Resume a task, or all of them
    #[command(after_help = TASK_HELP)]
    Resume(TaskArgs),
}

const TASK_HELP: &str = "\
A task is transfers, hints, repair or collection, on all members, or on one, as in hints:n1. Resuming one kind
of work does not undo a pause of everything.

Examples:
  jedlik-admin task pause transfers
  jedlik-admin task resume transfers:n3
  jedlik-admin task resume";

#[derive(Debug, Args)]
pub(crate) struct TaskArgs {
    /// The task, as `task list` shows it; all if none is named
    #[arg(value_name = "TASK")]
    task: Option<TaskId>,
}

/// Name of a task, as it is typed and listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaskId {
    kind: WorkKind,
    /// Name of the member that does the work; `None` for all members.
    node: Option<String>,
}

impl FromStr for TaskId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, node) = match text.split_once(':') {
            Some((name, node)) => (name, Some(node)),
            None => (text, None),
        };
        let kind = KINDS.into_iter().find(|kind| work_name(*kind) == name);
        match (kind, node) {
            (Some(kind), None) => Ok(Self { kind, node: None }),
            (Some(kind), Some(node)) if !node.is_empty() => {
                Ok(Self { kind, node: Some(node.into()) })
            }
            _ => Err(format!(
                "a task is one of {}, or one of a member's, such as hints:n1",
                KINDS.map(work_name).join(", ")
            )),
        }
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(work_name(self.kind))?;
        self.node.iter().try_for_each(|node| write!(f, ":{node}"))
    }
}

pub(crate) async fn run(
    connection: &ConnectionArgs,
    command: TaskCommand,
    output: Output,
) -> anyhow::Result<ExitCode> {
    match command {
        TaskCommand::List => list(connection, output).await,
        TaskCommand::Pause(args) => pause(connection, args.task, true, output).await,
        TaskCommand::Resume(args) => pause(connection, args.task, false, output).await,
    }
}

async fn list(connection: &ConnectionArgs, output: Output) -> anyhow::Result<ExitCode> {
    let cluster = Cluster::connect(connection, None).await?;
    let observed = Observed::ask(&cluster).await?;
    let tasks = observed.tasks();
    let json = json!({ "tasks": tasks.iter().map(Task::to_json).collect::<Vec<Value>>() });
    output.print(&json, || to_text(&tasks))?;
    let silent = report_silent(&observed.moving.told);
    Ok(if silent { UNAVAILABLE.into() } else { ExitCode::SUCCESS })
}

async fn pause(
    connection: &ConnectionArgs,
    task: Option<TaskId>,
    paused: bool,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let client = connection.connect().await?;
    let node = task.as_ref().and_then(|task| task.node.clone());
    let members = WhichArgs { node }.of(client.admin().topology().members)?;
    let report = |answer| match answer {
        AdminResponse::Background(report) => Some(*report),
        _ => None,
    };
    let request = change(task.as_ref(), paused);
    let told = permitted(members::ask(&client, &members, &request, report).await)?;
    output
        .print(&paused_json(task.as_ref(), &told), || paused_text(task.as_ref(), paused, &told))?;
    Ok(if report_silent(&told) { UNAVAILABLE.into() } else { ExitCode::SUCCESS })
}

fn change(task: Option<&TaskId>, paused: bool) -> AdminRequest {
    let work = task.map(|task| task.kind);
    let change = BackgroundChange { work, paused: Some(paused), ..BackgroundChange::default() };
    AdminRequest::SetBackground(change)
}

/// Whether a member has paused this kind of work, or all of its work.
fn is_paused(report: &BackgroundReport, kind: Option<WorkKind>) -> bool {
    report.paused || kind.is_some_and(|kind| report.paused_kinds.contains(&kind))
}

fn paused_text(task: Option<&TaskId>, paused: bool, told: &[Told<BackgroundReport>]) -> String {
    let kind = task.map(|task| task.kind);
    let what = kind.map_or("all background work", work_name);
    let on = |wanted: bool| -> Vec<&str> {
        let answered = told.iter().filter(|one| {
            one.answer.as_ref().is_ok_and(|report| is_paused(report, kind) == wanted)
        });
        answered.map(|one| one.member.name.as_str()).collect()
    };
    let (done, not) = (on(paused), on(!paused));
    let word = if paused { "paused" } else { "running" };
    let mut text = match done.as_slice() {
        [] => String::new(),
        names => format!("{what} is {word} on {}\n", names.join(", ")),
    };
    if !not.is_empty() {
        let names = not.join(", ");
        text += &match paused {
            true => format!("{what} is not paused on {names}\n"),
            false => format!(
                "{what} is still paused on {names}, with all other work: `jedlik-admin task resume` \
                 lets everything go on\n"
            ),
        };
    }
    text
}

fn paused_json(task: Option<&TaskId>, told: &[Told<BackgroundReport>]) -> Value {
    let kind = task.map(|task| task.kind);
    let nodes: Vec<Value> = told
        .iter()
        .map(|one| {
            json!({
                "node": one.member.node.to_string(),
                "name": one.member.name,
                "paused": one.answer.as_ref().ok().map(|report| is_paused(report, kind)),
                "error": one.answer.as_ref().err().map(ToString::to_string),
            })
        })
        .collect();
    json!({ "task": task.map(ToString::to_string), "nodes": nodes })
}

fn to_text(tasks: &[Task]) -> String {
    let mut table =
        Table::new([("task", Align::Left), ("state", Align::Left), ("progress", Align::Left)]);
    for task in tasks {
        table.row([task.id.to_string(), task.state(), task.progress.clone()]);
    }
    table.to_string()
}

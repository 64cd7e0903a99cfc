//! `jedlik-sim`: runs seeds, prints their traces, and tries planted bugs. Started by `cargo xtask sim`.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use clap::Parser;
use jedlik_sim::{Breach, Counts, Line, Plan, Run, SPAN_US, WARM_UP_US, run, shrunk};

/// Allocator for many small values, which a run mostly consists of.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs simulated clusters with faults, from seeds.
#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// Run this seed and print its trace.
    #[arg(long)]
    seed: Option<u64>,
    /// Run this many seeds, spread over the processors.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The first seed; by default a random one, which is printed, so that a run can be repeated.
    #[arg(long)]
    start: Option<u64>,
    /// How many nodes the cluster has, from 3 to 8.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(3..=8))]
    nodes: u8,
    /// How many threads to use; as many as processors by default.
    #[arg(long)]
    threads: Option<NonZero<usize>>,
    /// Stop after this many seconds, however many seeds are left.
    #[arg(long)]
    limit_s: Option<u64>,
    /// Run all seeds, naming those that fail, and print no trace.
    #[arg(long)]
    through: bool,
    /// With --seed: make the failing run smaller before its trace is printed.
    #[arg(long)]
    shrink: bool,
    /// The bug to plant, by name; `all`, or several with commas between them, makes the table. Needs a build with
    /// planted bugs.
    #[cfg(jedlik_planted)]
    #[arg(long)]
    planted: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    #[cfg(jedlik_planted)]
    if let Some(name) = &arguments.planted {
        return planted(&arguments, name);
    }
    sound(&arguments)
}

fn sound(arguments: &Arguments) -> ExitCode {
    if let Some(seed) = arguments.seed {
        return tell(&Plan::of(seed, arguments.nodes), arguments.shrink);
    }
    let start = arguments.start.unwrap_or_else(drawn);
    let Arguments { seeds, nodes, .. } = arguments;
    println!(
        "seeds from {start} on; again: cargo xtask sim --start {start} --seeds {seeds} --nodes {nodes}"
    );
    let found = search(arguments, start, true);
    match found {
        None => ExitCode::SUCCESS,
        Some(_) if arguments.through => ExitCode::FAILURE,
        Some((seed, breach)) => {
            println!("seed {seed} fails: {breach}\nmaking it smaller");
            let plan = shrunk(&Plan::of(seed, arguments.nodes), &breach);
            tell(&plan, false);
            println!("the whole trace: cargo xtask sim --seed {seed} --nodes {}", arguments.nodes);
            ExitCode::FAILURE
        }
    }
}

/// Returns a random first seed, which no run has probably used.
fn drawn() -> u64 {
    // Each hasher is keyed by the system. Numbers of twelve digits are easy to read out, and seldom overlap.
    RandomState::new().hash_one("a place to begin at") % 1_000_000_000_000
}

/// Runs one plan and prints its trace.
fn tell(plan: &Plan, smaller: bool) -> ExitCode {
    let first = run(plan, false);
    let plan = match &first.breach {
        Some(breach) if smaller => &shrunk(plan, breach),
        _ => plan,
    };
    let Run { breach, lines, counts } = run(plan, true);
    let about = breach.as_ref().and_then(|breach| breach.key);
    println!("{:#?}", plan.setting);
    // A breach's trace leaves out other keys and the first gossip, which did not lead to it.
    let told = |line: &&Line| match (about, line.key) {
        (Some(about), Some(key)) => key == about,
        (Some(_), None) => line.at_us >= WARM_UP_US,
        (None, _) => true,
    };
    for line in lines.iter().filter(told) {
        println!("{line}");
    }
    let Plan { faults, operations, changes, .. } = plan;
    let (faults, operations, changes) = (faults.len(), operations.len(), changes.len());
    println!("{faults} faults, {operations} operations, {changes} changes, {counts:?}");
    match breach {
        None => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
    }
}

/// Runs seeds over the processors, from `start` on, until one fails.
fn search(arguments: &Arguments, start: u64, told: bool) -> Option<(u64, Breach)> {
    let threads = arguments.threads.or_else(|| thread::available_parallelism().ok());
    let threads = threads.map_or(1, NonZero::get);
    let begun = Instant::now();
    let (next, done, failed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let total = Mutex::new((Counts::default(), None::<(u64, Breach)>));
    let late = || arguments.limit_s.is_some_and(|limit_s| begun.elapsed().as_secs() >= limit_s);
    let work = || {
        while !failed.load(Ordering::Relaxed) && !late() {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= arguments.seeds {
                return;
            }
            let seed = start + number;
            let Run { breach, counts, .. } = run(&Plan::of(seed, arguments.nodes), false);
            let mut total = total.lock().expect("no thread panics while it holds it");
            total.0 = total.0.plus(counts);
            if let Some(breach) = breach {
                failed.store(!arguments.through, Ordering::Relaxed);
                if arguments.through {
                    println!("seed {seed} fails: {breach}");
                }
                if total.1.as_ref().is_none_or(|(first, _)| seed < *first) {
                    total.1 = Some((seed, breach));
                }
            }
            let count = done.fetch_add(1, Ordering::Relaxed) + 1;
            if told && count.is_multiple_of(100) {
                report(count, total.0, begun, threads);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let (counts, found) = total.into_inner().expect("no thread panics while it holds it");
    if told {
        report(done.into_inner(), counts, begun, threads);
    }
    found
}

fn report(seeds: u64, counts: Counts, begun: Instant, threads: usize) {
    let elapsed = begun.elapsed().as_secs_f64();
    let rate = counts.virtual_us as f64 / 1e6 / elapsed / threads as f64;
    let Counts { acknowledged, gets, events, settling_us, layouts, dropped, .. } = counts;
    let rest_s = settling_us as f64 / 1e6 / seeds.max(1) as f64;
    println!(
        "{seeds} seeds of {} s and more, {elapsed:.0} s: {rate:.0} virtual seconds a second and core; \
         {acknowledged} writes, {gets} gets, {events} events; {layouts} layouts, \
         {dropped} ranges dropped; at rest after {rest_s:.0} s",
        SPAN_US / 1_000_000
    );
}

/// Looks for planted bugs: one by name, printing its trace, or all, making the table.
#[cfg(jedlik_planted)]
fn planted(arguments: &Arguments, name: &str) -> ExitCode {
    use jedlik_planted::{BUGS, Bug, plant};
    let names: Vec<&str> = name.split(',').collect();
    let is_named = |bug: &Bug| name == "all" || names.contains(&format!("{bug:?}").as_str());
    if name == "all" || names.len() > 1 {
        // The table must be the same each time that it is made.
        let start = arguments.start.unwrap_or(0);
        let mut missed = false;
        for bug in BUGS.iter().copied().filter(is_named) {
            plant(Some(bug));
            let begun = Instant::now();
            let found = search(arguments, start, false);
            let seconds = begun.elapsed().as_secs_f64();
            missed |= found.is_none();
            match found {
                Some((seed, breach)) => println!(
                    "| `{bug:?}` | {} | {} | {seconds:.1} |",
                    seed - start + 1,
                    breach.promise
                ),
                None => println!("| `{bug:?}` | not within {} | | {seconds:.1} |", arguments.seeds),
            }
        }
        return if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    let Some(bug) = BUGS.iter().copied().find(is_named) else {
        println!("no bug is called {name}; there are {BUGS:?} and all");
        return ExitCode::FAILURE;
    };
    plant(Some(bug));
    sound(&Arguments { start: arguments.start.or(Some(0)), ..arguments.clone() })
}

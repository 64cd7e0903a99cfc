//! One exchange between two replicas, its answers in any order, some of them lost or given twice.

use jedlik_antientropy::{
    Direction, Exchange, ExchangeOutput, ExchangeReport, Outcome, PAGES_AT_ONCE, PIPELINE,
    REQUESTS_AT_ONCE,
};
use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::peer::Page;

use crate::replica::{Replica, put};

/// Conditions that an exchange meets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World {
    /// Direction of the exchange: which side gets what it lacks.
    pub(crate) direction: Direction,
    /// Seed that decides on every order and loss.
    pub(crate) seed: u64,
    /// Number of digests or records that the peer sends in a page.
    pub(crate) page: usize,
    /// Number of answers in 256 that are lost, after what they answer has happened or before.
    pub(crate) lost: u64,
    /// Whether every answer of the peer's is given a second time.
    pub(crate) twice: bool,
    /// Number of steps in 256 that bring a write to one of the replicas.
    pub(crate) writes: u64,
}

impl World {
    /// Returns conditions under which nothing goes wrong.
    pub(crate) fn calm(seed: u64) -> Self {
        Self { direction: Direction::Both, seed, page: 1024, lost: 0, twice: false, writes: 0 }
    }

    fn draw(&mut self) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.seed >> 33
    }

    fn happens(&mut self, of_256: u64) -> bool {
        self.draw() % 256 < of_256
    }
}

/// Work under way for the exchange.
#[derive(Debug)]
enum Task {
    /// The peer, or this node's store, is to answer.
    Answer(ExchangeOutput),
    /// A page that has come is to be merged.
    Merge { first_leaf: u16, page: Page },
}

/// Both replicas, and all that was ever written to either.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pair {
    pub(crate) mine: Replica,
    pub(crate) theirs: Replica,
    pub(crate) written: Replica,
}

impl Pair {
    pub(crate) fn new(mine: Replica, theirs: Replica) -> Self {
        let mut written = mine.clone();
        written.merge_all(&theirs);
        Self { mine, theirs, written }
    }

    fn write(&mut self, world: &mut World) {
        let key = crate::replica::key((world.draw() % 32) as u32);
        let side = if world.happens(128) { &mut self.mine } else { &mut self.theirs };
        let record = put(side.get(&key), 1_000_000 + world.draw(), world.happens(128));
        side.merge(&key, &record);
        self.written.merge(&key, &record);
    }

    /// Runs one exchange to its end.
    pub(crate) fn exchange(&mut self, mut world: World) -> ExchangeReport {
        let tree = self.mine.tree().clone();
        let mut exchange = Exchange::new(NodeId(2), Partition(0), tree, world.direction);
        let mut under_way = Vec::new();
        while !exchange.is_done() {
            if world.happens(world.writes) {
                self.write(&mut world);
            }
            if world.happens(140)
                && let Some(output) = exchange.poll_output()
            {
                under_way.push(Task::Answer(output));
                assert_bounded(&under_way);
                continue;
            }
            if under_way.is_empty() {
                under_way.extend(exchange.poll_output().map(Task::Answer));
                assert!(!under_way.is_empty(), "it waits for nothing: {exchange:?}");
            }
            let chosen = world.draw() as usize % under_way.len();
            match under_way.swap_remove(chosen) {
                Task::Answer(output) => {
                    let page = self.answer(&mut exchange, &mut world, &output);
                    under_way.extend(page);
                }
                Task::Merge { first_leaf, page } => {
                    self.merge(&mut exchange, &mut world, first_leaf, &page);
                }
            }
            assert_bounded(&under_way);
        }
        assert_eq!(exchange.poll_output(), None);
        let report = exchange.report();
        assert_eq!(
            report.complete,
            exchange.outcome() == Outcome::Finished && report.failed_records == 0
        );
        report
    }

    /// Answers, or loses the answer; a page of records is still to be merged then.
    fn answer(
        &mut self,
        exchange: &mut Exchange,
        world: &mut World,
        output: &ExchangeOutput,
    ) -> Option<Task> {
        let lost = world.happens(world.lost);
        let happens = !lost || world.happens(128);
        let mut merge = None;
        for _ in 0..=u8::from(world.twice) {
            match output {
                ExchangeOutput::Pull { key, .. } | ExchangeOutput::Push { key, .. } => {
                    if happens {
                        self.move_record(exchange, output, lost);
                    }
                    if lost {
                        exchange.handle_record_failure(key);
                    }
                }
                _ if lost => exchange.handle_failure(),
                ExchangeOutput::Fetch { first_leaf, last_leaf, after } => {
                    let leaves = (*first_leaf, *last_leaf);
                    let page = self.theirs.page(leaves, after.clone(), world.page);
                    let records = page.records.len() as u32;
                    exchange.handle_page(*first_leaf, records, page.until.clone());
                    merge = Some(Task::Merge { first_leaf: *first_leaf, page });
                }
                _ => self.compare(exchange, output, world.page),
            }
        }
        merge
    }

    /// Merges a page that has come, or fails in the middle of it.
    fn merge(&mut self, exchange: &mut Exchange, world: &mut World, first_leaf: u16, page: &Page) {
        let fails = world.happens(world.lost);
        let merged = if fails { page.records.len() / 2 } else { page.records.len() };
        for (key, record) in &page.records[..merged] {
            self.mine.merge(key, record);
        }
        if fails {
            exchange.handle_failure();
        } else {
            exchange.handle_page_merged(first_leaf);
        }
    }

    fn compare(&self, exchange: &mut Exchange, output: &ExchangeOutput, page: usize) {
        match output {
            ExchangeOutput::AskHashes { branch, known } => {
                let tree = self.theirs.tree();
                if branch.map_or_else(|| tree.root(), |branch| tree.branch(branch)) == *known {
                    exchange.handle_same(*branch);
                } else {
                    exchange.handle_hashes(*branch, tree.children(*branch));
                }
            }
            ExchangeOutput::LoadDigests { first_leaf, last_leaf, clocks } => {
                let own = self.mine.digests((*first_leaf, *last_leaf), None, usize::MAX, *clocks);
                exchange.handle_own_digests(*first_leaf, own.digests);
            }
            ExchangeOutput::AskDigests { first_leaf, last_leaf, after, clocks } => {
                let leaves = (*first_leaf, *last_leaf);
                let page = self.theirs.digests(leaves, after.clone(), page, *clocks);
                exchange.handle_digests(*first_leaf, page);
            }
            ExchangeOutput::Fetch { .. }
            | ExchangeOutput::Pull { .. }
            | ExchangeOutput::Push { .. } => {}
        }
    }

    /// Moves a record to one side or the other; the exchange hears of it unless `silently`.
    fn move_record(&mut self, exchange: &mut Exchange, output: &ExchangeOutput, silently: bool) {
        let (from, to, key) = match output {
            ExchangeOutput::Pull { key, .. } => (&self.theirs, &mut self.mine, key),
            ExchangeOutput::Push { key, .. } => (&self.mine, &mut self.theirs, key),
            _ => return,
        };
        let Some(record) = from.get(key).cloned() else {
            if !silently {
                exchange.handle_gone(key);
            }
            return;
        };
        to.merge(key, &record);
        if silently {
            return;
        }
        match output {
            ExchangeOutput::Pull { .. } => {
                exchange.handle_pulled(key, self.mine.digest(key), record.digest());
            }
            _ => exchange.handle_pushed(key),
        }
    }
}

fn assert_bounded(under_way: &[Task]) {
    let (mut records, mut pages, mut requests) = (0, 0, 0);
    for task in under_way {
        match task {
            Task::Answer(ExchangeOutput::Pull { .. } | ExchangeOutput::Push { .. }) => records += 1,
            Task::Answer(ExchangeOutput::Fetch { .. }) | Task::Merge { .. } => pages += 1,
            Task::Answer(_) => requests += 1,
        }
    }
    assert!(records <= PIPELINE, "{records} records");
    assert!(pages <= PAGES_AT_ONCE, "{pages} pages");
    assert!(requests <= REQUESTS_AT_ONCE, "{requests} requests");
}

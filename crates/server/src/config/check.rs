//! Check of settings into a [`Config`]: every value is parsed, every pair that must agree compared.
//!
//! Invariant: all mistakes are found in one pass, so the operator can correct them together.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use jedlik_hashing::PartitionCount;
use jedlik_protocol::limits::{FRAME_LIMIT_BYTES, N_MAX};
use tracing_subscriber::EnvFilter;

use super::error::{InvalidConfig, Mistake};
use super::option::find;
use super::source::{Setting, Settings, Source};
use super::{
    Background, Config, Engine, FirstLayout, Limits, Log, LogFormat, Place, Records, StorageLimits,
    Telemetry, Tls,
};

/// Smallest cache or buffer, in bytes.
const MEMORY_LEAST_BYTES: u64 = 1 << 20;
/// Least memory for data, in bytes: what caches and buffers take by default.
const DATA_LEAST_BYTES: u64 = 64 << 20;

impl Settings {
    /// Checks the settings, and makes a configuration of them.
    ///
    /// # Errors
    /// All mistakes in them, each with its option, value, place and remedy.
    pub fn check(self) -> Result<Config, InvalidConfig> {
        let mut check = Check { settings: self };
        let config = check.config();
        match config {
            Some(config) if check.settings.mistakes.is_empty() => Ok(config),
            _ => Err(InvalidConfig(check.settings.mistakes)),
        }
    }
}

pub(super) struct Check {
    pub(super) settings: Settings,
}

impl Check {
    /// Returns the configuration; `None` only together with a mistake. Everything is looked at before anything is given
    /// up.
    fn config(&mut self) -> Option<Config> {
        let data_dir = self.required("data_dir", Self::path);
        let listen = self.required("listen", Self::parsed::<Place>);
        let advertise = self.advertise(listen.as_ref());
        let seeds = self.seeds();
        let zone = self.required("zone", |_, setting| {
            text(setting).filter(|zone| (1..=64).contains(&zone.len())).map(str::to_owned)
        });
        let weight = self.number("weight", 1..=1000);
        let engines = [Engine::Redb, Engine::Lsm, Engine::Mysql, Engine::Memory]
            .map(|engine| (engine.name(), engine));
        let engine = self.choice("engine", &engines);
        let records = engine.and_then(|engine| self.records(engine));
        let shards = if self.settings.by_name.contains_key("shards") {
            self.number("shards", 1..=64)
        } else {
            None
        };
        let partitions = self.required("partitions", |_, setting| {
            text(setting)?.parse().ok().and_then(PartitionCount::new)
        });
        let n = self.number("n", 1..=u64::from(N_MAX));
        let (tls, doors, log, traces) = (self.tls(), self.doors(), self.log(), self.otlp());
        let (storage, limits) = (self.storage(), self.limits());
        let background = self.background();
        Some(Config {
            data_dir: data_dir?,
            listen: listen?,
            advertise,
            seeds: seeds?,
            zone: zone?,
            weight: weight? as u32,
            records: records?,
            shards: shards.map(|shards| shards as u16),
            first_layout: FirstLayout { partitions: partitions?, n: n? as u8 },
            tls: tls?,
            doors: doors?,
            telemetry: Telemetry { log: log?, traces: traces? },
            storage: storage?,
            limits: limits?,
            background: background?,
        })
    }

    fn records(&mut self, engine: Engine) -> Option<Records> {
        let port = self.number("mysql.port", 1..=65_535);
        if engine == Engine::Lsm && !cfg!(feature = "lsm") {
            let why = "this program was built without it; build it with the feature `lsm`";
            return self.unusable("engine", why);
        }
        let mysql = match engine {
            Engine::Mysql => Some(self.mysql(port? as u16)?),
            Engine::Redb | Engine::Lsm | Engine::Memory => None,
        };
        Some(Records { engine, mysql })
    }

    /// Parses the address that others are told, which must be one that they can use.
    fn advertise(&mut self, listen: Option<&Place>) -> Option<Place> {
        let Some(setting) = self.settings.by_name.get("advertise").cloned() else {
            if let Some(address) = listen.filter(|place| place.is_every_interface()) {
                let source = self.settings.by_name["listen"].source.clone();
                let why = "it means every interface, which others can't be told; set advertise to \
                           the address that they reach"
                    .into();
                let value = address.to_string();
                self.settings.mistakes.push(Mistake::unusable("listen", &value, &source, why));
            }
            return None;
        };
        let address = self.required("advertise", Self::parsed::<Place>)?;
        if address.is_every_interface() || address.port() == 0 {
            let why = "others can't reach it; name an interface's address and a port".into();
            let value = address.to_string();
            self.settings.mistakes.push(Mistake::unusable(
                "advertise",
                &value,
                &setting.source,
                why,
            ));
        }
        Some(address)
    }

    fn seeds(&mut self) -> Option<Vec<Place>> {
        let Setting { values, source } = self.settings.by_name.get("seeds")?.clone();
        let mut seeds = Vec::with_capacity(values.len());
        for value in &values {
            match value.parse() {
                Ok(address) => seeds.push(address),
                Err(_) => {
                    self.settings.mistakes.push(Mistake::bad_value("seeds", value, &source));
                }
            }
        }
        Some(seeds)
    }

    fn tls(&mut self) -> Option<Tls> {
        let (ca, cert, key) = (self.file("tls.ca"), self.file("tls.cert"), self.file("tls.key"));
        Some(Tls { ca: ca?, cert: cert?, key: key? })
    }

    fn log(&mut self) -> Option<Log> {
        let format =
            self.choice("log.format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]);
        let filter = self.required("log.filter", |_, setting| {
            text(setting).filter(|text| is_filter(text)).map(str::to_owned)
        });
        Some(Log { format: format?, filter: filter? })
    }

    fn storage(&mut self) -> Option<StorageLimits> {
        let whole = if self.settings.by_name.contains_key("storage.memory_bytes") {
            self.number("storage.memory_bytes", DATA_LEAST_BYTES..=1 << 40)
        } else {
            None
        };
        let memory = MEMORY_LEAST_BYTES..=u64::from(u32::MAX);
        let cache = self.number("storage.cache_bytes", memory.clone());
        let buffer = self.number("storage.buffer_bytes", memory.clone());
        let journal = self.number("storage.journal_bytes", memory.clone());
        let queue = self.number("storage.queue_bytes", memory);
        let sync_interval = self.number("storage.sync_interval_ms", 1..=60_000);
        let reserve = self.number("storage.disk_reserve_bytes", 0..=u64::MAX);
        let flush_reserve = self.number("storage.flush_reserve_bytes", 0..=u64::MAX);
        self.check_reserve(flush_reserve, journal);
        let stall_after = self.number("storage.stall_after_ms", 100..=3_600_000);
        let limits = StorageLimits {
            memory_bytes: whole,
            cache_bytes: cache? as usize,
            buffer_bytes: buffer? as usize,
            journal_bytes: journal? as usize,
            queue_bytes: queue? as usize,
            sync_interval: Duration::from_millis(sync_interval?),
            disk_reserve_bytes: reserve?,
            flush_reserve_bytes: flush_reserve?,
            stall_after: Duration::from_millis(stall_after?),
        };
        self.check_memory(&limits);
        Some(limits)
    }

    /// Checks that caches and buffers have room in the memory that is to hold them.
    fn check_memory(&mut self, limits: &StorageLimits) {
        let Some(memory) = limits.memory_bytes else { return };
        let fixed = limits.fixed_bytes();
        if memory < fixed {
            let why = format!(
                "storage.cache_bytes and twice storage.buffer_bytes are {fixed} together; make it at least as much, or \
                 those less"
            );
            let _noted: Option<()> = self.unusable("storage.memory_bytes", &why);
        }
    }

    /// Checks that the reserve has room for the journals, since what is journalled must find room when it is moved.
    fn check_reserve(&mut self, reserve: Option<u64>, journal: Option<u64>) {
        let (Some(reserve), Some(journal)) = (reserve, journal) else { return };
        if reserve == 0 || reserve >= journal {
            return;
        }
        let name = "storage.flush_reserve_bytes";
        let source = self.settings.by_name[name].source.clone();
        let why = format!(
            "it is less than storage.journal_bytes, {journal}, which a full disk would have no room for; make it at \
             least as much, or 0 to leave nothing"
        );
        self.settings.mistakes.push(Mistake::unusable(name, &reserve.to_string(), &source, why));
    }

    fn limits(&mut self) -> Option<Limits> {
        let queue = self.number("limits.queue_inputs", 16..=1 << 20);
        let bytes = self.number("limits.queue_bytes", MEMORY_LEAST_BYTES..=1 << 40);
        let stop = self.number("limits.stop_ms", 0..=600_000);
        let life = self.number("limits.message_life_ms", 100..=600_000);
        let pace = self.number("limits.slowest_link_bytes_per_s", 131_072..=1 << 40);
        self.check_life(life, pace);
        let confirm = self.number("limits.confirm_ms", 100..=600_000);
        Some(Limits {
            queue_inputs: queue? as usize,
            queue_bytes: bytes? as usize,
            stop: Duration::from_millis(stop?),
            message_life: Duration::from_millis(life?),
            confirm: Duration::from_millis(confirm?),
        })
    }

    /// Checks that the largest record arrives within the life of a message: a later one is refused, as often as it is
    /// sent.
    fn check_life(&mut self, life_ms: Option<u64>, bytes_per_s: Option<u64>) {
        let (Some(life_ms), Some(bytes_per_s)) = (life_ms, bytes_per_s) else { return };
        let least_ms = (FRAME_LIMIT_BYTES as u64 * 1000).div_ceil(bytes_per_s);
        if life_ms >= least_ms {
            return;
        }
        let name = "limits.message_life_ms";
        let source = self.settings.by_name[name].source.clone();
        let why = format!(
            "the largest record takes {least_ms} ms at limits.slowest_link_bytes_per_s, {bytes_per_s}, and would be \
             refused as too old; make it at least as much, on every node, or that greater if no link is so slow"
        );
        self.settings.mistakes.push(Mistake::unusable(name, &life_ms.to_string(), &source, why));
    }

    fn background(&mut self) -> Option<Background> {
        let limit = self.number("background.limit_per_s", 1..=1_000_000);
        let slowdown = self.number("background.slowdown_percent", 101..=10_000);
        let exchange = self.number("background.exchange_interval_s", 1..=86_400);
        let scrub = self.number("background.scrub_interval_s", 1..=31_536_000);
        Some(Background {
            limit_per_s: limit? as u32,
            slowdown_percent: slowdown? as u32,
            exchange_interval: Duration::from_secs(exchange?),
            scrub_interval: Duration::from_secs(scrub?),
        })
    }

    /// Returns the option's value; `None` with a mistake noted.
    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&mut Self, &Setting) -> Option<T>,
    ) -> Option<T> {
        let Some(setting) = self.settings.by_name.get(name).cloned() else {
            let option = find(name).expect("options are only asked for by names in the table");
            self.settings.mistakes.push(Mistake::Missing { option });
            return None;
        };
        let parsed = parse(self, &setting);
        if parsed.is_none() {
            let value = setting.values.join(", ");
            self.settings.mistakes.push(Mistake::bad_value(name, &value, &setting.source));
        }
        parsed
    }

    pub(super) fn parsed<T: FromStr>(&mut self, setting: &Setting) -> Option<T> {
        text(setting)?.parse().ok()
    }

    pub(super) fn number(&mut self, name: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        self.required(name, Self::parsed::<u64>).and_then(|number| {
            if range.contains(&number) { Some(number) } else { self.reject(name) }
        })
    }

    fn reject<T>(&mut self, name: &'static str) -> Option<T> {
        self.required(name, |_, _| None)
    }

    pub(super) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        self.required(name, |_, setting| {
            let text = text(setting)?;
            choices.iter().find(|(choice, _)| *choice == text).map(|(_, value)| *value)
        })
    }

    pub(super) fn path(&mut self, setting: &Setting) -> Option<PathBuf> {
        text(setting).filter(|text| !text.is_empty()).map(|text| setting.source.folder().join(text))
    }

    /// Returns the path of a file, and notes a mistake if it can't be opened now.
    fn file(&mut self, name: &'static str) -> Option<PathBuf> {
        let path = self.required(name, Self::path)?;
        if let Err(error) = std::fs::File::open(&path) {
            let source = self.settings.by_name[name].source.clone();
            self.unreadable(name, &path, &source, &error);
        }
        Some(path)
    }

    fn unreadable(
        &mut self,
        name: &str,
        path: &std::path::Path,
        source: &Source,
        error: &std::io::Error,
    ) {
        let why = format!("{error}; `jedlik-admin cert issue` makes a node's files");
        let value = path.display().to_string();
        self.settings.mistakes.push(Mistake::unusable(name, &value, source, why));
    }
}

/// Returns the one value of an option that is not a list.
pub(super) fn text(setting: &Setting) -> Option<&str> {
    match setting.values.as_slice() {
        [value] => Some(value),
        _ => None,
    }
}

/// Whether `text` is a filter. A bare word must be a level: `EnvFilter` would take a misspelt one for a module's name.
fn is_filter(text: &str) -> bool {
    let known = |part: &str| {
        part.contains(['=', '['])
            || part.trim().parse::<tracing::level_filters::LevelFilter>().is_ok()
    };
    text.split(',').all(known) && EnvFilter::try_new(text).is_ok()
}

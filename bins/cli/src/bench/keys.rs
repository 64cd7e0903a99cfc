//! The choice of keys: each as often as any other, or a few of them most of the time.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use clap::Args;
use rand_core::TryRng;
use rand_distr::{Distribution as _, Zipf};

/// Exponent of the usual skewed choice, that of the YCSB benchmark.
const USUAL_EXPONENT: f64 = 0.99;
const EXPONENT_MAX: f64 = 10.0;

/// Shares of the requests that keys get.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Popularity {
    /// The same share for all keys.
    Uniform,
    /// A share that is inverse to this power of the key's rank.
    Zipf(f64),
}

impl FromStr for Popularity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "uniform" => return Ok(Self::Uniform),
            "zipf" => return Ok(Self::Zipf(USUAL_EXPONENT)),
            _ => {}
        }
        let exponent = text.strip_prefix("zipf:").and_then(|exponent| exponent.parse().ok());
        exponent
            .filter(|exponent| (0.0..=EXPONENT_MAX).contains(exponent))
            .map(Self::Zipf)
            .ok_or_else(|| "keys are uniform, zipf, or zipf:E with an exponent E up to 10".into())
    }
}

impl fmt::Display for Popularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => f.write_str("uniform"),
            Self::Zipf(exponent) => write!(f, "zipf:{exponent}"),
        }
    }
}

/// Options of the key space.
#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    /// How many keys the key space has
    #[arg(long = "keys", value_name = "KEYS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: u64,
    /// How often keys of the key space are chosen: uniform, zipf (0.99), or zipf:E with another exponent
    #[arg(long, default_value = "uniform", value_name = "CHOICE")]
    pub(crate) popularity: Popularity,
    /// Write the whole key space first
    #[arg(long)]
    pub(crate) preload: bool,
}

/// Keys that gets read and that `--preload` writes.
#[derive(Debug)]
pub(crate) struct KeySpace {
    count: u64,
    /// Skewed choice of a rank, from 1 on; `None` if all keys are alike.
    skewed: Option<Zipf<f64>>,
}

impl KeySpace {
    pub(crate) fn new(args: &KeysArgs) -> Self {
        let &KeysArgs { count, popularity, .. } = args;
        let skewed = match popularity {
            Popularity::Uniform => None,
            Popularity::Zipf(exponent) => Zipf::new(count as f64, exponent).ok(),
        };
        Self { count, skewed }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Returns the number of a key. Skewed or not, hashing spreads neighbours over the cluster.
    pub(crate) fn choose(&self, random: &mut Random) -> u64 {
        match &self.skewed {
            None => random.below(self.count),
            Some(ranks) => (ranks.sample(random) as u64).clamp(1, self.count) - 1,
        }
    }

    pub(crate) fn name(index: u64) -> String {
        format!("key-{index:010}")
    }
}

/// SplitMix64 generator: fast, and good enough to choose keys.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// Returns bytes that don't compress.
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

impl TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.next() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next())
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Infallible> {
        target.copy_from_slice(&self.bytes(target.len()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{KeySpace, KeysArgs, Popularity, Random};

    fn counts(keys: u64, popularity: Popularity, choices: usize) -> Vec<u64> {
        let space = KeySpace::new(&KeysArgs { count: keys, popularity, preload: false });
        let mut random = Random::new(7);
        let mut counts = vec![0; keys as usize];
        for _ in 0..choices {
            counts[space.choose(&mut random) as usize] += 1;
        }
        counts
    }

    #[test]
    fn popularity_is_read_with_its_exponent() {
        let cases = [
            ("uniform", Some(Popularity::Uniform)),
            ("zipf", Some(Popularity::Zipf(0.99))),
            ("zipf:0", Some(Popularity::Zipf(0.0))),
            ("zipf:1.2", Some(Popularity::Zipf(1.2))),
            ("zipf:", None),
            ("zipf:-1", None),
            ("zipf:NaN", None),
            ("zipf:11", None),
            ("latest", None),
            ("", None),
        ];
        for (text, popularity) in cases {
            assert_eq!(text.parse::<Popularity>().ok(), popularity, "{text}");
        }
    }

    #[test]
    fn chosen_keys_cover_the_key_space_and_stay_in_it() {
        let seen = counts(10, Popularity::Uniform, 1000);
        assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
        for popularity in [Popularity::Uniform, Popularity::Zipf(0.99), Popularity::Zipf(10.0)] {
            assert_eq!(counts(1, popularity, 10), [10], "{popularity:?}");
        }
    }

    #[test]
    fn a_skewed_choice_gives_each_rank_its_share() {
        let seen = counts(1000, Popularity::Zipf(1.0), 100_000);
        // The harmonic number of 1,000 is 7.4855.
        for rank in [1_u64, 2, 3, 10] {
            let expected = 100_000.0 / 7.4855 / rank as f64;
            let ratio = seen[rank as usize - 1] as f64 / expected;
            assert!((0.9..1.1).contains(&ratio), "rank {rank}: {ratio}");
        }
        assert!(seen[500..].iter().sum::<u64>() > 5_000, "the long tail is read too");
    }
}

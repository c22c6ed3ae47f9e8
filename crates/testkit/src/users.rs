//! Who asks, how often, and how versions behave towards them.

use std::collections::BTreeMap;

use slipway_core::names::VersionName;
use slipway_core::units::Millis;

use crate::Random;

/// The users of a service.
#[derive(Debug, Clone)]
pub struct Users {
    /// Requests per second in all.
    pub rate: f64,
    /// How many users there are; 0 where nobody can be told apart, so that each request has a key of its own.
    pub count: u64,
    /// The share of all requests that the first user makes.
    pub heavy: f64,
    /// How often a user asks again at once after a failure.
    pub retries: u32,
}

impl Default for Users {
    fn default() -> Self {
        Users { rate: 300.0, count: 1_000, heavy: 0.0, retries: 0 }
    }
}

impl Users {
    /// The assignment key of whoever asks next.
    pub fn key(&self, random: &mut Random) -> String {
        match self.count {
            0 => format!("anonymous-{}", random.bits()),
            _ if self.heavy > 0.0 && random.chance(self.heavy) => "user-0".to_string(),
            count => format!("user-{}", random.below(count)),
        }
    }
}

/// How versions behave over time.
#[derive(Debug, Clone, Default)]
pub struct Behaviour {
    /// The share of requests that fail, by version; others never fail.
    pub errors: BTreeMap<VersionName, f64>,
    /// The share of requests slower than any declared bound, by version.
    pub slow: BTreeMap<VersionName, f64>,
    /// Latency in milliseconds, by version: half of it at least, and as much again on average. None is told where absent.
    pub latency_ms: BTreeMap<VersionName, f64>,
    /// The share of a cohort's requests that fail, by cohort and version.
    pub cohort_errors: BTreeMap<(String, VersionName), f64>,
    /// Users whom a version always fails, by version: their place in the order of users.
    pub hates: BTreeMap<VersionName, u64>,
    /// Everything fails at this share from one moment to another, whatever the version.
    pub outage: Option<(Millis, Millis, f64)>,
}

impl Behaviour {
    /// Whether a request of `key` to `version` fails, `since` after the world's beginning.
    pub fn fails(&self, version: &VersionName, key: &str, since: Millis, random: &mut Random) -> bool {
        let shared = match self.outage {
            Some((from, to, share)) if since >= from && since < to => share,
            _ => 0.0,
        };
        let hated = self.hates.get(version).is_some_and(|user| key == format!("user-{user}"));
        hated || random.chance(self.errors.get(version).copied().unwrap_or(0.0).max(shared))
    }

    /// How long a request to `version` takes, in microseconds, where that is told.
    pub fn took_us(&self, version: &VersionName, random: &mut Random) -> Option<u64> {
        let half = self.latency_ms.get(version)? / 2.0;
        let unit = (random.below(1_000_000) + 1) as f64 / 1_000_001.0;
        Some(((half + half * -unit.ln()) * 1000.0) as u64)
    }

    /// Whether a request to `version` is slow.
    pub fn is_slow(&self, version: &VersionName, random: &mut Random) -> bool {
        random.chance(self.slow.get(version).copied().unwrap_or(0.0))
    }
}

//! Requests: assigned as a gateway assigns them, answered as versions behave, counted.

use slipway_core::names::VersionName;
use slipway_core::traffic::link::{CountRow, ObjectiveCount};
use slipway_core::traffic::{Counted, CountedBad, Route, assign};

use super::{BUCKET_US, TICK, World};

impl World {
    pub(super) fn requests(&mut self) {
        self.cohort_requests();
        self.owed += self.service.users.rate * TICK.0 as f64 / 1000.0;
        while self.owed >= 1.0 {
            self.owed -= 1.0;
            let key = self.service.users.key(&mut self.random);
            for _ in 0..=self.service.users.retries {
                if !self.request(&key) {
                    break;
                }
            }
        }
    }

    fn assigned(&mut self, route: &Route, key: &str) -> VersionName {
        if let Some((version, share)) = &self.service.misrouted
            && route.versions.iter().any(|v| v.version == *version)
            && self.random.chance(*share)
        {
            return version.clone();
        }
        assign(&route.split, &route.salt, key).0.clone()
    }

    /// One request; returns whether it failed.
    fn request(&mut self, key: &str) -> bool {
        let Some(route) = self.route.clone() else { return true };
        let version = self.assigned(&route, key);
        self.note_user(hash(key), &version);
        self.answer(&route, &version, key)
    }

    /// What a version answers to a request that is one of the split's; returns whether it failed.
    pub(super) fn answer(&mut self, route: &Route, version: &VersionName, key: &str) -> bool {
        let failed = self.service.behaviour.fails(version, key, self.age(), &mut self.random);
        let slow = self.service.behaviour.is_slow(version, &mut self.random);
        let took = self.service.behaviour.took_us(version, &mut self.random);
        *self.served.entry(version.clone()).or_default() += 1;
        let row = self.counts.entry((route.epoch, version.clone())).or_insert_with(|| empty(route, version));
        row.users += u64::from(self.met.entry(route.epoch).or_default().insert(hash(key)));
        let cap = |objective: &str| (route.epoch, version.clone(), objective.to_string());
        count(row, &route.objectives, hash(key), failed, Some((slow, took)), |objective, key, bad| {
            let cap = self.caps.entry(cap(objective)).or_default();
            cap.record(key, bad).then(|| cap.bad_keys())
        });
        failed
    }
}

pub(super) fn empty(route: &Route, version: &VersionName) -> CountRow {
    CountRow {
        service: route.service.clone(),
        environment: route.environment.clone(),
        epoch: route.epoch,
        version: version.clone(),
        cohort: None,
        assigned: 0,
        users: 0,
        attempts: 0,
        failed: 0,
        failed_by_slipway: 0,
        injected: 0,
        mirrored: false,
        objectives: Vec::new(),
        latency_us: Vec::new(),
    }
}

/// Counts one request, by every objective. `took`: whether it was slow by any declared bound, and its latency where
/// versions have one. `admit` says of an event whether it counts, and with it the users with a bad one so far.
pub(super) fn count(
    row: &mut CountRow,
    objectives: &[Counted],
    key: u64,
    failed: bool,
    took: Option<(bool, Option<u64>)>,
    mut admit: impl FnMut(&str, u64, bool) -> Option<u64>,
) {
    let (slow, took_us) = took.unwrap_or_default();
    row.assigned += 1;
    row.attempts += 1;
    row.failed += u64::from(failed);
    if let Some(us) = took_us {
        let upper = us.div_ceil(BUCKET_US) * BUCKET_US;
        match row.latency_us.binary_search_by_key(&upper, |(bound, _)| *bound) {
            Ok(at) => row.latency_us[at].1 += 1,
            Err(at) => row.latency_us.insert(at, (upper, 1)),
        }
    }
    for objective in objectives {
        let bad = match objective.bad {
            CountedBad::Failed => failed,
            CountedBad::SlowerThan(bound) => slow || took_us.is_some_and(|us| us > bound.0 * 1_000),
            CountedBad::SlowerThanUs(bound) => took_us.is_some_and(|us| us > bound),
        };
        let at = match row.objectives.iter().position(|o| o.name == objective.name) {
            Some(at) => at,
            None => {
                row.objectives.push(ObjectiveCount { name: objective.name.clone(), n: 0, bad: 0, bad_keys: 0 });
                row.objectives.len() - 1
            }
        };
        if let Some(bad_keys) = admit(&objective.name, key, bad) {
            let count = &mut row.objectives[at];
            count.n += 1;
            count.bad += u64::from(bad);
            count.bad_keys = bad_keys;
        }
    }
}

pub(super) fn hash(key: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

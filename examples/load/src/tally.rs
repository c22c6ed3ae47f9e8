//! Keeps count of what the workers saw. One lock, held for well under a microsecond per request.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::blame::Blame;
use crate::histogram::Histogram;
use crate::report::{Failure, Failures, Report, Second, Version};

const FAILURES_KEPT: usize = 100;
const SECONDS_KEPT: usize = 86_400;

/// How one request ended.
pub(crate) struct Outcome {
    /// Who asked, where users are told apart.
    pub(crate) user: Option<u32>,
    pub(crate) due: Instant,
    pub(crate) sent: Instant,
    pub(crate) version: Option<String>,
    pub(crate) failure: Option<Fault>,
}

/// How one request failed.
pub(crate) struct Fault {
    pub(crate) blame: Blame,
    pub(crate) kind: String,
    pub(crate) detail: String,
}

/// The counts.
pub(crate) struct Tally {
    start: Instant,
    start_ms: u64,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    requests: u64,
    unsigned: u64,
    failures: Failures,
    latency: Histogram,
    versions: BTreeMap<String, VersionCounts>,
    switches: BTreeMap<String, u64>,
    users: Vec<User>,
    seconds: VecDeque<Second>,
    this_second: Histogram,
    first_failures: Vec<Failure>,
}

#[derive(Clone, Default)]
struct User {
    /// The version that answered last, and when.
    last: Option<(String, Instant)>,
    switches: u64,
}

struct VersionCounts {
    requests: u64,
    failed: u64,
    users: HashSet<u32>,
    users_failed: HashSet<u32>,
    first: Instant,
    last: Instant,
    last_sent: Instant,
    first_failed: Option<Instant>,
    latency: Histogram,
}

impl Tally {
    pub(crate) fn new(users: u32) -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let counts = Counts { users: vec![User::default(); users as usize], ..Counts::default() };
        Self { start: Instant::now(), start_ms: since_1970.as_millis() as u64, counts: Mutex::new(counts) }
    }

    /// Writes down a request that ended now.
    pub(crate) fn record(&self, outcome: Outcome) {
        let now = Instant::now();
        let latency = now - outcome.due;
        let mut counts = self.lock();
        counts.requests += 1;
        counts.latency.record(latency);
        counts.second(self.second_of(now), &outcome, latency);
        match &outcome.version {
            Some(version) => {
                counts.version(version, &outcome, now, latency);
                counts.user(version, &outcome, now);
            }
            None if outcome.failure.is_none() => counts.unsigned += 1,
            None => {}
        }
        if let Some(fault) = outcome.failure {
            counts.failure(fault, outcome.version, self.ms(now));
        }
    }

    pub(crate) fn report(&self) -> Report {
        let counts = self.lock();
        let versions = counts.versions.iter().map(|(name, version)| (name.clone(), self.version(version)));
        let mut seconds: Vec<Second> = counts.seconds.iter().cloned().collect();
        if let Some(last) = seconds.last_mut() {
            last.latency = counts.this_second.summary();
        }
        Report {
            start_ms: self.start_ms,
            duration_ms: self.start.elapsed().as_millis() as u64,
            requests: counts.requests,
            failures: counts.failures.clone(),
            unsigned: counts.unsigned,
            latency: counts.latency.summary(),
            versions: versions.collect(),
            switches: counts.switches.clone(),
            max_switches_of_a_user: counts.users.iter().map(|user| user.switches).max().unwrap_or(0),
            seconds,
            first_failures: counts.first_failures.clone(),
        }
    }

    /// The last `n` seconds that are over, oldest first.
    pub(crate) fn last_seconds(&self, n: usize) -> Vec<Second> {
        let this = self.second_of(Instant::now());
        let mut counts = self.lock();
        counts.turn_to(this);
        let over = counts.seconds.len().saturating_sub(1);
        counts.seconds.range(over.saturating_sub(n)..over).cloned().collect()
    }

    fn version(&self, version: &VersionCounts) -> Version {
        Version {
            requests: version.requests,
            failed: version.failed,
            users: version.users.len() as u64,
            users_failed: version.users_failed.len() as u64,
            first_ms: self.ms(version.first),
            last_ms: self.ms(version.last),
            last_sent_ms: self.ms(version.last_sent),
            first_failed_ms: version.first_failed.map(|at| self.ms(at)),
            latency: version.latency.summary(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since 1970, by a clock that was read once and never jumps.
    fn ms(&self, at: Instant) -> u64 {
        self.start_ms + (at - self.start).as_millis() as u64
    }

    fn second_of(&self, at: Instant) -> u64 {
        self.start_ms + (at - self.start).as_secs() * 1000
    }
}

impl Counts {
    fn second(&mut self, at_ms: u64, outcome: &Outcome, latency: Duration) {
        self.turn_to(at_ms);
        self.this_second.record(latency);
        if let Some(second) = self.seconds.back_mut() {
            second.requests += 1;
            match outcome.failure.as_ref().map(|fault| fault.blame) {
                Some(Blame::Service) => second.failed_by_service += 1,
                Some(Blame::Slipway) => second.failed_by_slipway += 1,
                None => {}
            }
            if let Some(version) = &outcome.version {
                *second.versions.entry(version.clone()).or_default() += 1;
            }
        }
    }

    /// Makes the second that begins at `at_ms` the last one, with those in which nothing happened before it.
    fn turn_to(&mut self, at_ms: u64) {
        while self.seconds.back().is_none_or(|second| second.at_ms < at_ms) {
            let latency = std::mem::take(&mut self.this_second).summary();
            let next = match self.seconds.back_mut() {
                Some(last) => {
                    last.latency = latency;
                    last.at_ms + 1000
                }
                None => at_ms,
            };
            self.seconds.push_back(Second { at_ms: next, ..Second::default() });
            if self.seconds.len() > SECONDS_KEPT {
                self.seconds.pop_front();
            }
        }
    }

    fn version(&mut self, name: &str, outcome: &Outcome, now: Instant, latency: Duration) {
        if !self.versions.contains_key(name) {
            self.versions.insert(name.to_string(), VersionCounts::new(now, outcome.sent));
        }
        let Some(version) = self.versions.get_mut(name) else { return };
        version.requests += 1;
        version.latency.record(latency);
        version.last = now;
        version.last_sent = version.last_sent.max(outcome.sent);
        version.users.extend(outcome.user);
        if outcome.failure.is_some() {
            version.failed += 1;
            version.first_failed.get_or_insert(now);
            version.users_failed.extend(outcome.user);
        }
    }

    fn user(&mut self, version: &str, outcome: &Outcome, now: Instant) {
        let Some(user) = outcome.user.and_then(|user| self.users.get_mut(user as usize)) else { return };
        match &user.last {
            Some((_, answered)) if outcome.sent < *answered => return,
            Some((old, _)) if old != version => {
                user.switches += 1;
                *self.switches.entry(format!("{old} -> {version}")).or_default() += 1;
            }
            _ => {}
        }
        user.last = Some((version.to_string(), now));
    }

    fn failure(&mut self, fault: Fault, version: Option<String>, at_ms: u64) {
        match fault.blame {
            Blame::Service => self.failures.by_service += 1,
            Blame::Slipway => self.failures.by_slipway += 1,
        }
        *self.failures.kinds.entry(fault.kind.clone()).or_default() += 1;
        if self.first_failures.len() < FAILURES_KEPT {
            let Fault { blame, kind, detail } = fault;
            self.first_failures.push(Failure { at_ms, blame, kind, version, detail });
        }
    }
}

impl VersionCounts {
    fn new(now: Instant, sent: Instant) -> Self {
        Self {
            requests: 0,
            failed: 0,
            users: HashSet::new(),
            users_failed: HashSet::new(),
            first: now,
            last: now,
            last_sent: sent,
            first_failed: None,
            latency: Histogram::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(user: u32, version: &str, sent: Instant) -> Outcome {
        Outcome { user: Some(user), due: sent, sent, version: Some(version.into()), failure: None }
    }

    #[test]
    fn switches_are_counted_per_user_and_direction() {
        let tally = Tally::new(3);
        for (user, version) in [(0, "1"), (1, "1"), (0, "1"), (0, "2"), (1, "2"), (0, "1"), (2, "2")] {
            tally.record(answer(user, version, Instant::now()));
        }
        let report = tally.report();
        assert_eq!(report.switches, BTreeMap::from([("1 -> 2".into(), 2), ("2 -> 1".into(), 1)]));
        assert_eq!(report.max_switches_of_a_user, 2);
        assert_eq!((report.versions["1"].users, report.versions["2"].users), (2, 3));
    }

    #[test]
    fn overlapping_requests_are_no_switch() {
        let tally = Tally::new(1);
        let before = Instant::now();
        tally.record(answer(0, "2", Instant::now()));
        tally.record(answer(0, "1", before));
        tally.record(answer(0, "2", Instant::now()));
        assert_eq!(tally.report().switches, BTreeMap::new());
    }

    #[test]
    fn seconds_without_requests_are_there_too() {
        let mut counts = Counts::default();
        counts.turn_to(1000);
        counts.turn_to(4000);
        assert_eq!(counts.seconds.iter().map(|s| s.at_ms).collect::<Vec<_>>(), [1000, 2000, 3000, 4000]);
    }
}

//! What the gateways counted, kept so that a turn can be shown it: totals by stretch of evidence, and each version's
//! last ten minutes, of which the last one by the second. Gateways report cumulative counts, so losing a book loses only the minutes before.
//! A value that whoever observes keeps; turns are shown [`Evidence`] from it.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use super::latency::Latency;
use super::observed::{Evidence, Tally};
use crate::judge::Counts;
use crate::names::{LaneId, VersionName};
use crate::traffic::Epoch;
use crate::traffic::link::CountRow;
use crate::units::{Millis, Timestamp};

/// How far back anything is kept.
const KEPT: Millis = Millis::from_secs(600);
/// How fine the time before the last minute is kept.
const TEN: Millis = Millis::from_secs(10);
/// What counts as now when an outage of stable is looked for.
pub(super) const NOW: Millis = Millis::from_secs(10);
/// Over how long the rate is measured, and how far back single seconds are kept.
const RATE: Millis = Millis::from_secs(60);

/// The counts of all lanes.
#[derive(Debug, Default)]
pub struct Book {
    lanes: BTreeMap<LaneId, Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    rows: BTreeMap<(Epoch, VersionName), Tally>,
    /// What of `rows` was counted at no time that is known, where there is any.
    unheard: BTreeMap<(Epoch, VersionName), Tally>,
    lately: BTreeMap<VersionName, Lately>,
    latency: BTreeMap<VersionName, Latency>,
    first_seen: Option<Timestamp>,
}

/// What one version did lately. Thousands of these are kept, so each stretch of time is a row of numbers.
#[derive(Debug, Default)]
struct Lately {
    /// What the counts of each stretch are of.
    objectives: Vec<String>,
    /// Ten seconds each, up to the first of `seconds`.
    tens: VecDeque<Stretch>,
    /// The last minute.
    seconds: VecDeque<Stretch>,
}

#[derive(Debug)]
struct Stretch {
    /// Its beginning.
    at: Timestamp,
    requests: u64,
    /// By place in `objectives`; nothing of those beyond.
    counts: Vec<Counts>,
}

impl Lately {
    fn note(&mut self, before: &Tally, after: &Tally, now: Timestamp) {
        let at = Timestamp(now.0 / 1000 * 1000);
        if self.seconds.back().is_none_or(|second| second.at != at) {
            self.seconds.push_back(Stretch { at, requests: 0, counts: Vec::new() });
        }
        let Some(last) = self.seconds.back_mut() else { return };
        last.requests += after.attempts.saturating_sub(before.attempts);
        for (name, counts) in &after.objectives {
            let old = before.objectives.get(name).copied().unwrap_or_default();
            let place = self.objectives.iter().position(|known| known == name).unwrap_or_else(|| {
                self.objectives.push(name.clone());
                self.objectives.len() - 1
            });
            last.add(place, |sum| {
                sum.n += counts.n.saturating_sub(old.n);
                sum.bad += counts.bad.saturating_sub(old.bad);
                sum.bad_keys += counts.bad_keys.saturating_sub(old.bad_keys);
            });
        }
    }

    /// Puts seconds of more than a minute ago together, and forgets what is too old. Whether anything is left.
    fn forget(&mut self, now: Timestamp) -> bool {
        while let Some(old) = self.seconds.pop_front_if(|second| now.since(second.at) > RATE) {
            let at = Timestamp(old.at.0 / TEN.0 * TEN.0);
            match self.tens.back_mut().filter(|ten| ten.at == at) {
                None => self.tens.push_back(Stretch { at, ..old }),
                Some(ten) => {
                    ten.requests += old.requests;
                    for (place, counts) in old.counts.iter().enumerate() {
                        ten.add(place, |sum| {
                            sum.n += counts.n;
                            sum.bad += counts.bad;
                            sum.bad_keys += counts.bad_keys;
                        });
                    }
                }
            }
        }
        while self.tens.pop_front_if(|ten| now.since(ten.at) > KEPT).is_some() {}
        !self.seconds.is_empty() || !self.tens.is_empty()
    }

    /// The stretches of the last so much, newest first.
    fn within(&self, length: Millis, now: Timestamp) -> impl Iterator<Item = &Stretch> {
        self.seconds.iter().rev().chain(self.tens.iter().rev()).take_while(move |s| now.since(s.at) <= length)
    }
}

impl Stretch {
    fn add(&mut self, place: usize, add: impl FnOnce(&mut Counts)) {
        if self.counts.len() <= place {
            self.counts.reserve_exact(place + 1 - self.counts.len());
            self.counts.resize(place + 1, Counts::default());
        }
        add(&mut self.counts[place]);
    }
}

impl Book {
    /// Takes in what the gateways have counted so far. Returns the lanes in which something is new.
    pub fn take(&mut self, rows: Vec<CountRow>, now: Timestamp) -> Vec<LaneId> {
        self.take_heard(rows, Vec::new(), now)
    }

    /// The same, where some of it was counted while whoever observes did not hear of it: `unheard` counts in the stretches
    /// of evidence as the rest does, and belongs to none of the seconds that are known.
    pub fn take_heard(&mut self, rows: Vec<CountRow>, unheard: Vec<CountRow>, now: Timestamp) -> Vec<LaneId> {
        let of = |row: &CountRow| (row.service.clone(), row.environment.clone(), row.epoch, row.version.clone());
        let mut unheard: BTreeMap<_, _> = unheard.into_iter().map(|row| (of(&row), row)).collect();
        let mut changed = Vec::new();
        let mut epochs: BTreeMap<LaneId, Vec<Epoch>> = BTreeMap::new();
        for row in rows {
            let id = LaneId { service: row.service.clone(), environment: row.environment.clone() };
            epochs.entry(id.clone()).or_default().push(row.epoch);
            let lane = self.lanes.entry(id.clone()).or_default();
            let unheard = unheard.remove(&of(&row));
            if lane.take(row, unheard, now) && changed.last() != Some(&id) {
                changed.push(id);
            }
        }
        for (id, seen) in epochs {
            if let Some(lane) = self.lanes.get_mut(&id) {
                lane.rows.retain(|(epoch, _), _| seen.contains(epoch));
                lane.unheard.retain(|(epoch, _), _| seen.contains(epoch));
                lane.forget(now);
            }
        }
        changed
    }

    /// What a turn of `lane` is shown now. What was counted of stable by other objectives than its own is left out of its
    /// last minutes.
    pub fn evidence(&self, lane: &super::lane::Lane, now: Timestamp) -> Evidence {
        let Some(kept) = self.lanes.get(&lane.id) else { return Evidence::default() };
        let since = lane.counted_afresh.unwrap_or(Timestamp(0));
        let window = |length| lane.stable_version().map_or_else(BTreeMap::new, |v| kept.window(v, length, since, now));
        Evidence {
            rows: kept.rows.clone(),
            stable_ten_minutes: window(KEPT),
            looked: kept.first_seen.map(|first| now.since(first.max(since)).min(KEPT)),
            stable_ten_seconds: window(NOW),
            latency: kept.latency.iter().map(|(version, latency)| (version.clone(), latency.sum.clone())).collect(),
            rate: kept.rate(now),
        }
    }
}

impl Lane {
    fn take(&mut self, row: CountRow, unheard: Option<CountRow>, now: Timestamp) -> bool {
        let first = *self.first_seen.get_or_insert(now);
        let latency = self.latency.entry(row.version.clone()).or_default();
        match &unheard {
            None => latency.take(row.epoch, &row.latency_us, now > first, now),
            Some(unheard) => {
                let unheard: BTreeMap<u64, u64> = unheard.latency_us.iter().copied().collect();
                let of = |upper: &u64| unheard.get(upper).copied().unwrap_or_default();
                let heard: Vec<_> = row.latency_us.iter().map(|(u, n)| (*u, n.saturating_sub(of(u)))).collect();
                latency.take(row.epoch, &heard, now > first, now);
            }
        }
        let tally = tally(&row);
        let key = (row.epoch, row.version);
        let before = self.rows.get(&key).cloned().unwrap_or_default();
        if before == tally {
            return false;
        }
        let unheard = unheard.map(|row| self::tally(&row));
        // What a gateway had counted before this control plane began to look belongs to no second that is known.
        if now > first || !before.objectives.is_empty() {
            let (before, after) = (heard(&before, self.unheard.get(&key)), heard(&tally, unheard.as_ref()));
            self.lately.entry(key.1.clone()).or_default().note(&before, &after, now);
        }
        if let Some(unheard) = unheard {
            self.unheard.insert(key.clone(), unheard);
        }
        self.rows.insert(key, tally);
        true
    }

    fn forget(&mut self, now: Timestamp) {
        self.lately.retain(|_, lately| lately.forget(now));
        let rows = &self.rows;
        self.latency
            .retain(|version, latency| latency.forget(now, KEPT, |epoch| rows.contains_key(&(epoch, version.clone()))));
    }

    fn window(
        &self,
        version: &VersionName,
        length: Millis,
        since: Timestamp,
        now: Timestamp,
    ) -> BTreeMap<String, Counts> {
        let mut sums: BTreeMap<String, Counts> = BTreeMap::new();
        let Some(lately) = self.lately.get(version) else { return sums };
        for stretch in lately.within(length, now).take_while(|stretch| stretch.at >= since) {
            for (name, counts) in lately.objectives.iter().zip(&stretch.counts) {
                let sum = sums.entry(name.clone()).or_default();
                sum.n += counts.n;
                sum.bad += counts.bad;
                sum.bad_keys += counts.bad_keys;
            }
        }
        sums
    }

    fn rate(&self, now: Timestamp) -> Option<f64> {
        let seen = now.since(self.first_seen?);
        let span = seen.0.min(RATE.0);
        if span < 2_000 {
            return None;
        }
        let requests: u64 = self
            .lately
            .values()
            .flat_map(|lately| lately.within(Millis(span), now))
            .map(|stretch| stretch.requests)
            .sum();
        Some(requests as f64 / (span as f64 / 1000.0))
    }
}

fn tally(row: &CountRow) -> Tally {
    let objectives = row.objectives.iter();
    Tally {
        assigned: row.assigned,
        users: row.users,
        attempts: row.attempts,
        failed: row.failed,
        failed_by_slipway: row.failed_by_slipway,
        injected: row.injected,
        objectives: objectives.map(|o| (o.name.clone(), Counts { n: o.n, bad: o.bad, bad_keys: o.bad_keys })).collect(),
    }
}

/// Attempts and objectives of a tally without those that were not heard of in time.
fn heard<'a>(all: &'a Tally, unheard: Option<&Tally>) -> Cow<'a, Tally> {
    let Some(unheard) = unheard else { return Cow::Borrowed(all) };
    let mut heard = all.clone();
    heard.attempts = all.attempts.saturating_sub(unheard.attempts);
    for (name, counts) in &mut heard.objectives {
        let less = unheard.objectives.get(name).copied().unwrap_or_default();
        counts.n = counts.n.saturating_sub(less.n);
        counts.bad = counts.bad.saturating_sub(less.bad);
        counts.bad_keys = counts.bad_keys.saturating_sub(less.bad_keys);
    }
    Cow::Owned(heard)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::link::ObjectiveCount;

    fn row(epoch: u64, n: u64, bad: u64) -> CountRow {
        CountRow {
            service: "shop".parse().expect("a service"),
            environment: "production".parse().expect("an environment"),
            epoch: Epoch(epoch),
            version: "1".parse().expect("a version"),
            cohort: None,
            assigned: n,
            users: n,
            attempts: n,
            failed: bad,
            failed_by_slipway: 0,
            injected: 0,
            mirrored: false,
            objectives: vec![ObjectiveCount { name: "errors".into(), n, bad, bad_keys: bad }],
            latency_us: Vec::new(),
        }
    }

    /// 1 serves.
    fn serving() -> crate::rollout::Lane {
        crate::rollout::fixture::serving(crate::rollout::fixture::SHOP)
    }

    fn lane() -> LaneId {
        LaneId {
            service: "shop".parse().expect("a service"),
            environment: "production".parse().expect("an environment"),
        }
    }

    #[test]
    fn cumulative_rows_become_seconds_once_each() {
        let mut book = Book::default();
        let version = "1".parse().expect("a version");
        book.take(vec![row(1, 100, 1)], Timestamp(1_000));
        book.take(vec![row(1, 150, 2)], Timestamp(5_000));
        book.take(vec![row(1, 150, 2)], Timestamp(6_000));
        book.take(vec![row(1, 160, 2)], Timestamp(20_000));
        let evidence = book.evidence(&serving(), Timestamp(20_500));
        assert_eq!(evidence.stable_ten_minutes["errors"], Counts { n: 60, bad: 1, bad_keys: 1 });
        assert_eq!(evidence.stable_ten_seconds["errors"], Counts { n: 10, bad: 0, bad_keys: 0 });
        assert_eq!(evidence.counts(Epoch(1), &version, "errors").n, 160);
    }

    #[test]
    fn what_was_counted_by_others_objectives_is_no_part_of_the_last_minutes() {
        let mut book = Book::default();
        for (n, at) in [(0, 1_000), (100, 5_000), (110, 70_000), (115, 75_000)] {
            book.take(vec![row(1, n, n)], Timestamp(at));
        }
        let lane = crate::rollout::Lane { counted_afresh: Some(Timestamp(74_500)), ..serving() };
        let evidence = book.evidence(&lane, Timestamp(76_000));
        assert_eq!((evidence.stable_ten_minutes["errors"].n, evidence.stable_ten_seconds["errors"].n), (5, 5));
        assert_eq!(evidence.looked, Some(Millis(1_500)));
        assert_eq!(book.evidence(&lane, Timestamp(74_000)).looked, Some(Millis(0)), "not yet");
        let all = book.evidence(&serving(), Timestamp(76_000));
        assert_eq!((all.stable_ten_minutes["errors"].n, all.looked), (115, Some(Millis(75_000))));
    }

    #[test]
    fn a_gateway_that_is_heard_of_late_brings_no_rush_of_requests() {
        let mut book = Book::default();
        let version = "1".parse().expect("a version");
        let with = |n, bad| CountRow { latency_us: vec![(10, n)], ..row(1, n, bad) };
        // One calls, then another that has served for long; then the link of the first is down for a while.
        book.take_heard(vec![with(5_000, 50)], vec![with(5_000, 50)], Timestamp(1_000));
        book.take_heard(vec![with(14_010, 140)], vec![with(14_000, 140)], Timestamp(2_000));
        book.take_heard(vec![with(14_020, 141)], vec![with(14_000, 140)], Timestamp(3_000));
        book.take_heard(vec![with(14_130, 151)], vec![with(14_100, 150)], Timestamp(11_000));
        let evidence = book.evidence(&serving(), Timestamp(11_000));
        let heard = Counts { n: 30, bad: 1, bad_keys: 1 };
        assert_eq!((evidence.stable_ten_seconds["errors"], evidence.stable_ten_minutes["errors"]), (heard, heard));
        assert_eq!(evidence.rate, Some(3.0));
        assert_eq!(evidence.latency[&version], BTreeMap::from([(10, 30)]));
        let all = Counts { n: 14_130, bad: 151, bad_keys: 151 };
        assert_eq!(evidence.counts(Epoch(1), &version, "errors"), all, "a stretch's evidence is whole");
    }

    #[test]
    fn ten_minutes_are_kept_in_little_room_and_forgotten_in_time() {
        let mut book = Book::default();
        let version = "1".parse().expect("a version");
        for second in 0..=900 {
            book.take(vec![row(1, second * 10, 0)], Timestamp(second * 1_000));
        }
        let (lately, now) = (&book.lanes[&lane()].lately[&version], Timestamp(900_000));
        assert_eq!((lately.seconds.len(), lately.tens.len()), (61, 54), "a minute by the second, the rest by ten");
        let evidence = book.evidence(&serving(), now);
        assert_eq!(evidence.stable_ten_minutes["errors"].n, 6_010);
        assert_eq!(evidence.stable_ten_seconds["errors"].n, 110);
        assert_eq!(evidence.rate, Some(610.0 / 60.0));
        book.take(vec![row(1, 9_001, 0)], Timestamp(1_500_000));
        let lately = &book.lanes[&lane()].lately[&version];
        assert_eq!((lately.seconds.len(), lately.tens.len()), (1, 1), "what is left is ten minutes old");
    }

    #[test]
    fn epochs_that_gateways_have_forgotten_are_forgotten() {
        let mut book = Book::default();
        book.take(vec![row(1, 1, 0), row(2, 1, 0)], Timestamp(1_000));
        book.take(vec![row(2, 2, 0)], Timestamp(2_000));
        let evidence = book.evidence(&crate::rollout::Lane::new(lane()), Timestamp(2_000));
        assert_eq!(evidence.rows.keys().map(|(e, _)| e.0).collect::<Vec<_>>(), [2]);
    }
}

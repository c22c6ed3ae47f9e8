//! Which counts the control plane has not been told yet, and when to tell it: at once where something bad happened,
//! otherwise four times a second.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use slipway_core::names::{InstanceId, LaneId};
use slipway_core::traffic::link::{CountRow, FromGateway};

use crate::count::{Counts, VersionCounts};

/// Longest time from a failure to its report. Failures come in bursts, and one report tells of all of them.
const URGENT: Duration = Duration::from_millis(10);
/// Longest time from anything else to its report.
const EVERY: Duration = Duration::from_millis(250);

/// Rows of counts that one line holds at most.
pub(crate) const ROWS_IN_A_PART: usize = 256;
/// Instances that one line holds at most. An earlier control plane takes the last part for all.
const LEAVING_IN_A_PART: usize = 4_096;

/// What is said of instances that are leaving, as lines that are no long ones.
pub(crate) fn leaving_parts(in_flight: &[(InstanceId, u64)]) -> Vec<FromGateway> {
    let parts = in_flight.len().div_ceil(LEAVING_IN_A_PART).max(1);
    let part = |number: usize| {
        let instances = in_flight.iter().skip(number * LEAVING_IN_A_PART).take(LEAVING_IN_A_PART);
        FromGateway::Leaving { in_flight: instances.cloned().collect(), more: number + 1 < parts }
    };
    (0..parts).map(part).collect()
}

/// Counts by where they are, each with how often it had changed when it was told.
type Told = HashMap<usize, (Arc<VersionCounts>, u64)>;

/// What one connection to the control plane has been told.
#[derive(Debug)]
pub(crate) struct Reporter {
    told: Told,
    /// Whether everything was told once.
    whole: bool,
    leaving: Vec<(InstanceId, u64)>,
    at: Instant,
}

impl Reporter {
    /// Nothing has been told.
    pub(crate) fn new() -> Reporter {
        Reporter { told: Told::new(), whole: false, leaving: Vec::new(), at: Instant::now() }
    }

    /// Waits until it is time for a report. A call that is dropped halfway loses nothing.
    pub(crate) async fn due(&mut self, counts: &Counts) {
        loop {
            tokio::select! {
                () = counts.urgent() => self.at = self.at.min(Instant::now() + URGENT),
                () = tokio::time::sleep_until(self.at) => {
                    self.at = Instant::now() + EVERY;
                    return;
                }
            }
        }
    }

    /// What is told of instances that are leaving without being asked, with a greeting or a table: noted, so that their
    /// end is told as well.
    pub(crate) fn note_leaving(&mut self, now: Vec<(InstanceId, u64)>) -> Vec<(InstanceId, u64)> {
        self.leaving = now.clone();
        now
    }

    /// What is to be told of instances that are leaving, where there are any or were some when it was last told.
    pub(crate) fn leaving(&mut self, now: Vec<(InstanceId, u64)>) -> Option<Vec<(InstanceId, u64)>> {
        let before = std::mem::replace(&mut self.leaving, now.clone());
        (!now.is_empty() || !before.is_empty()).then_some(now)
    }

    /// Rows that changed since they were told, as they are now.
    pub(crate) fn rows(&mut self, counts: &Counts) -> Vec<CountRow> {
        let before = std::mem::take(&mut self.told);
        self.whole = true;
        self.tell(counts.all(), &before)
    }

    /// The same of these lanes alone; of all of them where not everything was told before.
    pub(crate) fn rows_of(&mut self, counts: &Counts, lanes: &[LaneId]) -> Vec<CountRow> {
        if !self.whole {
            return self.rows(counts);
        }
        let versions = counts.of(lanes);
        let before = versions.iter().filter_map(|version| self.told.remove_entry(&id(version))).collect();
        self.tell(versions, &before)
    }

    fn tell(&mut self, versions: Vec<Arc<VersionCounts>>, before: &Told) -> Vec<CountRow> {
        let mut rows = Vec::new();
        self.told.reserve(versions.len());
        for version in versions {
            let changes = version.changes();
            // The old entry kept the counts alive, so that the address cannot mean another one.
            if changes > 0 && before.get(&id(&version)).is_none_or(|(_, before)| *before != changes) {
                rows.push(version.row());
            }
            self.told.insert(id(&version), (version, changes));
        }
        rows
    }
}

fn id(version: &Arc<VersionCounts>) -> usize {
    Arc::as_ptr(version).addr()
}

#[cfg(test)]
mod tests {
    use slipway_core::names::VersionName;
    use slipway_core::traffic::Epoch;

    use super::*;

    #[test]
    fn many_instances_are_told_in_parts_of_which_the_last_says_so() {
        let some = |count| vec![(InstanceId::new("shop-production-1").expect("an id"), 1); count];
        for count in [0, 1, LEAVING_IN_A_PART, LEAVING_IN_A_PART + 1, LEAVING_IN_A_PART * 5] {
            let told = leaving_parts(&some(count));
            let said = told.iter().map(|part| match part {
                FromGateway::Leaving { in_flight, more } => (in_flight.len(), *more),
                _ => unreachable!(),
            });
            let said: Vec<_> = said.collect();
            assert_eq!(said.iter().map(|(instances, _)| instances).sum::<usize>(), count);
            assert!(said.iter().all(|(instances, _)| *instances <= LEAVING_IN_A_PART));
            assert_eq!(said.iter().position(|(_, more)| !more), Some(said.len() - 1));
        }
    }

    #[test]
    fn what_some_lanes_have_counted_is_told_once_and_nothing_before_everything_was() {
        let (counts, mut reporter) = (Counts::default(), Reporter::new());
        let lanes: Vec<LaneId> = ["cart", "shop"]
            .map(|name| LaneId { service: name.parse().unwrap(), environment: "production".parse().unwrap() })
            .into();
        let version = VersionName::new("1").unwrap();
        let all: Vec<_> = lanes.iter().map(|lane| counts.version(lane, Epoch(1), &version, &[])).collect();
        let told = |rows: Vec<CountRow>| rows.iter().map(|r| (r.service.to_string(), r.attempts)).collect::<Vec<_>>();
        all.iter().for_each(|version| version.ended(1, false));
        assert_eq!(told(reporter.rows_of(&counts, &lanes[..1])), [("cart".into(), 1), ("shop".into(), 1)]);
        all.iter().for_each(|version| version.ended(1, false));
        assert_eq!(told(reporter.rows_of(&counts, &lanes[..1])), [("cart".into(), 2)]);
        assert_eq!(told(reporter.rows_of(&counts, &lanes[..1])), []);
        assert_eq!(told(reporter.rows(&counts)), [("shop".into(), 2)], "what was told is not told again");
        assert_eq!(told(reporter.rows(&counts)), []);
    }

    #[test]
    fn the_end_of_what_was_told_with_a_table_is_told() {
        let mut reporter = Reporter::new();
        let one = vec![(InstanceId::new("shop-production-1").expect("an id"), 1)];
        assert_eq!(reporter.note_leaving(one.clone()), one);
        assert_eq!(reporter.leaving(Vec::new()), Some(Vec::new()), "its last request ended before the next report");
        assert_eq!(reporter.leaving(Vec::new()), None, "and that is news once");
        assert_eq!(reporter.leaving(one.clone()), Some(one.clone()));
        assert_eq!(reporter.leaving(one.clone()), Some(one), "told each time while there are any");
    }
}

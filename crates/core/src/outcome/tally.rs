//! What was reported for one objective of one version in one epoch.

use super::waits::Waits;
use super::{Kind, Outcome, Refused, hash};
use crate::judge::UserCap;
use crate::spec::Bad;
use crate::traffic::link::ObjectiveCount;
use crate::units::Timestamp;

/// The counts of one objective.
#[derive(Debug)]
pub(super) struct Tally {
    bad: Bad,
    n: u64,
    bad_events: u64,
    cap: UserCap,
    waits: Waits,
    requests: Requests,
}

/// Requests as all events: as many as there were when a report was last heard. Silence adds none, so that a reporter
/// that has died does not look like a version without bad events.
#[derive(Debug, Default)]
struct Requests {
    /// Those that the gateways had counted before anybody listened to reports.
    before: Option<u64>,
    /// A report came since they were last counted.
    heard: bool,
}

impl Tally {
    /// Begins to count. `fresh`: with the epoch itself, so that every request of it belongs here.
    pub fn new(bad: Bad, fresh: bool) -> Tally {
        let requests = Requests { before: fresh.then_some(0), heard: false };
        Tally { bad, n: 0, bad_events: 0, cap: UserCap::default(), waits: Waits::default(), requests }
    }

    /// What it counts.
    pub fn bad(&self) -> &Bad {
        &self.bad
    }

    /// Takes in an outcome of this version.
    pub fn take(&mut self, outcome: &Outcome, id: u64) -> Result<(), Refused> {
        let key = outcome.key.as_deref().map_or(id, |key| hash(&[key]));
        match &self.bad {
            Bad::Outcome { kind, of } => {
                let (is_bad, is_one) = (outcome.kind == *kind, of.as_ref() == Some(&outcome.kind));
                if is_bad && self.cap.record(key, true) {
                    self.bad_events += 1;
                }
                if is_one && self.cap.record(key, false) {
                    self.n += 1;
                }
            }
            Bad::Missing { kind, after, within } => {
                let named = outcome.subject.as_deref().or(outcome.key.as_deref());
                let subject = named.map_or(id, |name| hash(&[name]));
                if outcome.kind == *after {
                    self.waits.begin(subject, key, outcome.at, *within)?;
                }
                if outcome.kind == *kind {
                    self.waits.end(subject, outcome.at, *within)?;
                }
            }
            Bad::Failed | Bad::SlowerThan(_) | Bad::SlowerThanStable { .. } => {}
        }
        Ok(())
    }

    /// Somebody reported, of `kind`, about what happened until `until`. Complaints come from elsewhere than other
    /// outcomes: neither says that the other would be heard.
    pub fn hear(&mut self, kind: &Kind, until: Timestamp) {
        let complaints = matches!(&self.bad, Bad::Outcome { kind, .. } if kind.as_str() == Kind::COMPLAINT);
        if kind.as_str() != Kind::ALIVE && complaints != (kind.as_str() == Kind::COMPLAINT) {
            return;
        }
        self.requests.heard = true;
        if let Bad::Missing { within, .. } = self.bad {
            for (key, missing) in self.waits.over(until, within) {
                if self.cap.record(key, missing) {
                    self.n += 1;
                    self.bad_events += u64::from(missing);
                }
            }
        }
    }

    /// The gateways have counted so many requests of the version in the epoch.
    pub fn requests(&mut self, counted: u64) {
        if !matches!(self.bad, Bad::Outcome { of: None, .. }) {
            return;
        }
        let before = *self.requests.before.get_or_insert(counted);
        if std::mem::take(&mut self.requests.heard) {
            self.n = self.n.max(counted.saturating_sub(before));
        }
    }

    /// As the judge is shown it.
    pub fn count(&self, name: &str) -> ObjectiveCount {
        ObjectiveCount {
            name: name.to_string(),
            n: self.n,
            bad: self.bad_events.min(self.n),
            bad_keys: self.cap.bad_keys(),
        }
    }
}

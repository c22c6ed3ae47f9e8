//! The ledger of all lanes.

use std::collections::{BTreeMap, HashMap};

use super::again::{Allowance, Ids};
use super::place::Places;
use super::tally::Tally;
use super::{AHEAD, Kind, OLDEST, Outcome, Refused, Taken, hash};
use crate::names::{LaneId, VersionName};
use crate::rollout;
use crate::spec::Bad;
use crate::traffic::Epoch;
use crate::traffic::link::CountRow;
use crate::units::{Millis, Timestamp};

/// Every outcome that still counts for something.
#[derive(Debug, Default)]
pub struct Ledger {
    lanes: BTreeMap<LaneId, Lane>,
    ids: Ids,
    allowance: Allowance,
}

#[derive(Debug, Default)]
struct Lane {
    places: Places,
    objectives: Vec<(String, Bad)>,
    rows: BTreeMap<(Epoch, VersionName), BTreeMap<String, Tally>>,
}

impl Ledger {
    /// Takes note of what a lane asks for: its split, and the objectives that rest on reports.
    pub fn follow(&mut self, lane: &rollout::Lane, now: Timestamp) {
        let known = self.lanes.contains_key(&lane.id);
        let kept = self.lanes.entry(lane.id.clone()).or_default();
        let release = lane.open.as_ref().map(|open| &open.release).or(lane.stable.as_ref());
        let all = release.into_iter().flat_map(|release| &release.spec.objectives);
        let reported = all.filter(|o| o.bad.is_reported());
        kept.objectives = reported.map(|o| (o.name.clone(), o.bad.clone())).collect();
        let new = kept.places.follow(lane, now);
        kept.open_rows(known && new);
    }

    /// Whether `n` outcomes may come now; how long to wait where they may not.
    pub fn admit(&mut self, n: usize, now: Timestamp) -> Result<(), Millis> {
        self.allowance.take(n, now)
    }

    /// Takes an outcome in.
    pub fn take(&mut self, outcome: &Outcome, now: Timestamp) -> Result<Taken, Refused> {
        self.ids.turn(now);
        let lane = self.lanes.get_mut(&outcome.lane).ok_or_else(|| Refused::UnknownLane(outcome.lane.clone()))?;
        let id = hash(&[outcome.lane.service.as_str(), outcome.lane.environment.as_str(), &outcome.id]);
        if self.ids.has(id) {
            return Ok(Taken::Again);
        }
        if outcome.at > now.plus(AHEAD) {
            return Err(Refused::TooEarly);
        }
        if now.since(outcome.at) > OLDEST {
            return Err(Refused::TooOld);
        }
        lane.take(outcome, id, now)?;
        self.ids.insert(id);
        Ok(Taken::New)
    }

    /// Adds what was reported to what the gateways counted.
    pub fn complete(&mut self, rows: &mut Vec<CountRow>) {
        if self.lanes.values().all(|lane| lane.rows.values().all(BTreeMap::is_empty)) {
            return;
        }
        let place = |row: &CountRow| (row.service.clone(), row.environment.clone(), row.epoch, row.version.clone());
        let mut places: HashMap<_, usize> =
            rows.iter().enumerate().filter(|(_, row)| row.cohort.is_none()).map(|(i, row)| (place(row), i)).collect();
        // Reports do not say who is of a cohort, so neither do the requests that they are counted among.
        let mut attempts: HashMap<_, u64> = HashMap::new();
        for row in rows.iter() {
            *attempts.entry(place(row)).or_default() += row.attempts;
        }
        for (id, lane) in &mut self.lanes {
            for ((epoch, version), tallies) in &mut lane.rows {
                if tallies.is_empty() {
                    continue;
                }
                let at = (id.service.clone(), id.environment.clone(), *epoch, version.clone());
                let requests = attempts.get(&at).copied().unwrap_or_default();
                let index = *places.entry(at).or_insert_with(|| {
                    rows.push(no_requests(id, *epoch, version));
                    rows.len() - 1
                });
                for (name, tally) in tallies {
                    tally.requests(requests);
                    rows[index].objectives.retain(|o| o.name != *name);
                    rows[index].objectives.push(tally.count(name));
                }
            }
        }
    }
}

impl Lane {
    /// Has a tally of every objective ready for the versions that have users now.
    fn open_rows(&mut self, fresh: bool) {
        let Some((epoch, versions)) = self.places.now() else { return };
        self.rows.retain(|(epoch, _), _| self.places.has(*epoch));
        for version in versions {
            let row = self.rows.entry((epoch, version)).or_default();
            row.retain(|name, tally| self.objectives.iter().any(|(n, bad)| n == name && bad == tally.bad()));
            for (name, bad) in &self.objectives {
                row.entry(name.clone()).or_insert_with(|| Tally::new(bad.clone(), fresh));
            }
        }
    }

    fn take(&mut self, outcome: &Outcome, id: u64, now: Timestamp) -> Result<(), Refused> {
        // What a clock that is a little ahead says is now.
        let until = outcome.at.min(now);
        if outcome.kind.as_str() == Kind::ALIVE && outcome.version.is_none() {
            self.hear(None, &outcome.kind, until);
            return Ok(());
        }
        let outcome = Outcome { at: until, ..outcome.clone() };
        let (epoch, version) = self.places.of(&outcome)?;
        if let Some(row) = self.rows.get_mut(&(epoch, version.clone())) {
            for tally in row.values_mut() {
                tally.take(&outcome, id)?;
            }
        }
        let heard = (outcome.kind.as_str() != Kind::COMPLAINT).then_some(&version);
        self.hear(heard, &outcome.kind, until);
        Ok(())
    }

    /// A reporter was heard: about this version, or about all of them.
    fn hear(&mut self, version: Option<&VersionName>, kind: &Kind, until: Timestamp) {
        let rows = self.rows.iter_mut().filter(|((_, v), _)| version.is_none_or(|version| v == version));
        rows.flat_map(|(_, row)| row.values_mut()).for_each(|tally| tally.hear(kind, until));
    }
}

/// A version of which the gateways have counted nothing.
pub(super) fn no_requests(lane: &LaneId, epoch: Epoch, version: &VersionName) -> CountRow {
    CountRow {
        service: lane.service.clone(),
        environment: lane.environment.clone(),
        epoch,
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

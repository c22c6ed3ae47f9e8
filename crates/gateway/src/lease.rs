//! The dead man's switch: a split with a lease is served only while somebody keeps renewing it.
//!
//! Pure book-keeping on a monotonic clock that is handed in; `gateway` holds it, sleeps until the next deadline and
//! swaps. An epoch that lapsed stays lapsed, over restarts too; only a newer epoch is served again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use slipway_core::names::LaneId;
use slipway_core::traffic::link::Lapse;
use slipway_core::traffic::{Epoch, RoutingTable};

/// The leases of the table that is served, and the epochs that lapsed.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    running: HashMap<LaneId, (Epoch, Instant)>,
    lapsed: HashMap<LaneId, Epoch>,
}

impl Leases {
    /// With the lapses that were remembered on disk.
    pub(crate) fn remembering(lapses: Vec<Lapse>) -> Leases {
        Leases { running: HashMap::new(), lapsed: lapses.into_iter().map(|l| (l.lane, l.epoch)).collect() }
    }

    /// A newer table starts its leases; `until` says until when, given the term.
    pub(crate) fn start(&mut self, table: &RoutingTable, until: impl Fn(Duration) -> Instant) {
        self.running.clear();
        for route in &table.routes {
            if route.lease.is_none() && self.lapsed.is_empty() {
                continue;
            }
            let lane = route.lane();
            if self.lapsed.get(&lane).is_some_and(|epoch| *epoch < route.epoch) {
                self.lapsed.remove(&lane);
            }
            if let Some(term) = route.lease
                && !self.is_lapsed(&lane, route.epoch)
            {
                self.running.insert(lane, (route.epoch, until(term.as_duration())));
            }
        }
    }

    /// All leases that have not lapsed hold until `until`, or longer.
    pub(crate) fn renew(&mut self, until: Instant) {
        self.running.values_mut().for_each(|(_, at)| *at = until.max(*at));
    }

    /// The clock that these run by stood still for so long, and time did not.
    pub(crate) fn pass(&mut self, time: Duration, now: Instant) {
        self.running.values_mut().for_each(|(_, at)| *at = at.checked_sub(time).unwrap_or(now));
    }

    /// Marks what has run out, and says what.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Lapse> {
        let due = self.running.iter().filter(|(_, (_, at))| *at <= now);
        let due: Vec<Lapse> = due.map(|(lane, (epoch, _))| Lapse { lane: lane.clone(), epoch: *epoch }).collect();
        for lapse in &due {
            self.running.remove(&lapse.lane);
            self.lapsed.insert(lapse.lane.clone(), lapse.epoch);
        }
        due
    }

    /// When the next lease runs out.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.running.values().map(|(_, at)| *at).min()
    }

    /// Whether the fall-back is to be served in this epoch.
    pub(crate) fn is_lapsed(&self, lane: &LaneId, epoch: Epoch) -> bool {
        self.lapsed.get(lane).is_some_and(|lapsed| epoch <= *lapsed)
    }

    /// Every epoch that lapsed and was not followed by a newer one.
    pub(crate) fn lapses(&self) -> Vec<Lapse> {
        let mut lapses: Vec<_> =
            self.lapsed.iter().map(|(lane, epoch)| Lapse { lane: lane.clone(), epoch: *epoch }).collect();
        lapses.sort_by(|a, b| a.lane.cmp(&b.lane));
        lapses
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slipway_core::traffic::{Generation, Limits, Match, Role, Route, Split, Sticky, VersionRoute};
    use slipway_core::units::Millis;

    const TERM: Duration = Duration::from_secs(15);

    fn table(epoch: u64, leased: bool) -> RoutingTable {
        let version: slipway_core::names::VersionName = "1".parse().unwrap();
        let route = Route {
            service: "shop".parse().unwrap(),
            environment: "production".parse().unwrap(),
            matches: vec![Match { host: None, path: "/".into(), rank: 0 }],
            epoch: Epoch(epoch),
            split: Split::all(version.clone()),
            fallback: leased.then(|| Split::all(version.clone())),
            lease: leased.then_some(Millis(15_000)),
            salt: String::new(),
            sticky: Sticky::default(),
            versions: vec![VersionRoute {
                health: None,
                version,
                role: Role::Stable,
                endpoints: vec![],
                protocol: Default::default(),
            }],
            cohorts: Vec::new(),
            maintenance: None,
            faults: Vec::new(),
            mirror: None,
            objectives: vec![],
            limits: Limits::default(),
        };
        RoutingTable { generation: Generation(epoch), routes: vec![route.into()] }
    }

    #[test]
    fn a_lease_holds_while_it_is_renewed_and_lapses_once() {
        let (mut leases, start) = (Leases::default(), Instant::now());
        leases.start(&table(4, true), |term| start + term);
        let lane = table(4, true).routes[0].lane();
        assert_eq!(leases.next(), Some(start + TERM));
        assert_eq!(leases.expire(start + TERM - Duration::from_millis(1)), []);
        leases.renew(start + TERM * 2);
        leases.renew(start);
        assert_eq!(leases.expire(start + TERM), []);
        assert_eq!(leases.expire(start + TERM * 2), [Lapse { lane: lane.clone(), epoch: Epoch(4) }]);
        assert_eq!(leases.expire(start + TERM * 9), []);
        leases.renew(start + TERM * 99);
        assert_eq!(leases.next(), None, "what lapsed is not renewed");
        assert!(leases.is_lapsed(&lane, Epoch(4)) && leases.is_lapsed(&lane, Epoch(3)));
        assert!(!leases.is_lapsed(&lane, Epoch(5)));
    }

    #[test]
    fn a_lease_runs_on_while_its_clock_stands_still() {
        let (mut leases, start) = (Leases::default(), Instant::now());
        leases.start(&table(4, true), |term| start + term);
        leases.pass(TERM - Duration::from_secs(1), start);
        assert_eq!(leases.expire(start), []);
        leases.pass(Duration::from_secs(1), start);
        assert_eq!(leases.expire(start).len(), 1);
    }

    #[test]
    fn only_a_newer_epoch_forgets_a_lapse() {
        let start = Instant::now();
        let lane = table(4, true).routes[0].lane();
        let mut leases = Leases::remembering(vec![Lapse { lane: lane.clone(), epoch: Epoch(4) }]);
        leases.start(&table(4, true), |term| start + term);
        assert_eq!((leases.next(), leases.lapses().len()), (None, 1));
        leases.start(&table(5, true), |term| start + term);
        assert_eq!((leases.next(), leases.lapses().len()), (Some(start + TERM), 0));
        leases.start(&table(6, false), |term| start + term);
        assert_eq!(leases.next(), None);
    }
}

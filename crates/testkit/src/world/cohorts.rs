//! Users of cohorts: a trickle of their own, sent where the route's rules say, counted apart as a gateway does.

use slipway_core::judge::UserCap;
use slipway_core::rollout::{Book, Evidence};
use slipway_core::traffic::assign;

use super::traffic::{count, empty, hash};
use super::{TICK, World};

impl World {
    /// The requests of every cohort within one tick. Each cohort is forty people.
    pub(super) fn cohort_requests(&mut self) {
        for (name, rate) in self.service.cohorts.clone() {
            let owed = self.cohorts_owed.entry(name.clone()).or_default();
            *owed += rate * TICK.0 as f64 / 1000.0;
            let now = owed.floor();
            *owed -= now;
            for _ in 0..now as u64 {
                self.cohort_request(&name);
            }
        }
    }

    fn cohort_request(&mut self, name: &str) {
        let Some(route) = self.route.clone() else { return };
        let key = format!("{name}-{}", self.random.below(40));
        let to = route.cohorts.iter().find(|cohort| cohort.name == name).map(|cohort| cohort.to.clone());
        let Some(version) = to else {
            let version = assign(&route.split, &route.salt, &key).0.clone();
            self.answer(&route, &version, &key);
            return;
        };
        let share = self.service.behaviour.cohort_errors.get(&(name.to_string(), version.clone())).copied();
        let failed = self.random.chance(share.unwrap_or_default())
            || self.service.behaviour.fails(&version, &key, self.age(), &mut self.random);
        *self.served.entry(version.clone()).or_default() += 1;
        let row = self.cohort_counts.entry((route.epoch, version.clone(), name.to_string())).or_insert_with(|| {
            slipway_core::traffic::link::CountRow { cohort: Some(name.to_string()), ..empty(&route, &version) }
        });
        let cap = |objective: &str| (route.epoch, version.clone(), format!("{name}/{objective}"));
        count(row, &route.objectives, hash(&key), failed, None, |objective, key, bad| {
            let cap: &mut UserCap = self.caps.entry(cap(objective)).or_default();
            cap.record(key, bad).then(|| cap.bad_keys())
        });
    }

    /// What a turn is shown of cohorts, each apart.
    pub(super) fn observe_cohorts(&mut self) -> std::collections::BTreeMap<String, Evidence> {
        let names: Vec<String> = self.service.cohorts.keys().cloned().collect();
        let one = |name: String| {
            let rows = self.cohort_counts.iter().filter(|((_, _, of), _)| *of == name).map(|(_, row)| row.clone());
            let book: &mut Book = self.cohort_books.entry(name.clone()).or_default();
            book.take(rows.collect(), self.now);
            (name, book.evidence(&self.lane, self.now))
        };
        names.into_iter().map(one).collect()
    }
}

//! One lane in a world of numbers.

mod acts;
mod cohorts;
mod jobs;
mod notes;
mod people;
mod probes;
mod service;
mod traffic;

use std::collections::{BTreeMap, BTreeSet};

use slipway_core::journal::Fact;
use slipway_core::judge::UserCap;
use slipway_core::names::{Digest, InstanceId, LaneId, RolloutId, VersionName};
use slipway_core::outcome::Ledger;
use slipway_core::rollout::{
    self, Asked, Book, Confirmed, EffectResult, Lane, Observed, Release, Rollout, RolloutKind, Serving, commands,
};
use slipway_core::spec::{self, Bad, ServiceSpec};
use slipway_core::traffic::link::CountRow;
use slipway_core::traffic::{Epoch, Route};
use slipway_core::units::{Millis, Timestamp};

use crate::Random;
use acts::status;
pub use service::SimulatedService;

/// How far the world moves at once.
const TICK: Millis = Millis(100);
/// The same where nobody asks for anything.
const IDLE_TICK: Millis = Millis::from_secs(2);
/// Latencies are told apart by so much.
const BUCKET_US: u64 = 5_000;
/// Stretches of evidence that are told of a lane, as by the other end of the gateways' link.
const EPOCHS_KEPT: usize = 8;
/// From the start of an instance to its first good health answer.
const STARTS_IN: Millis = Millis(500);

/// One lane, its instances, a gateway and users.
pub struct World {
    /// What is fixed.
    pub service: SimulatedService,
    /// The lane as it is kept.
    pub lane: Lane,
    /// Everything that was recorded, with its time.
    pub journal: Vec<(Timestamp, Fact)>,
    /// What other services serve.
    pub serving: BTreeMap<LaneId, Serving>,
    shown: Option<Digest>,
    /// Rollouts that ended, in order.
    pub ended: Vec<Rollout>,
    /// Requests that each version got.
    pub served: BTreeMap<VersionName, u64>,
    /// For each version, the least that its endpoints could ever carry of what they were given; 1 is all of it.
    pub carried: BTreeMap<VersionName, f64>,
    /// The story tells what becomes of instances, too.
    pub shows_instances: bool,
    /// The story tells nothing but its notes.
    pub shows_nothing: bool,
    /// The gateway takes no new table and goes on serving the one it has.
    pub silent: bool,
    /// The epoch whose lease ran out at another gateway, which was cut off.
    pub cut_off: Option<Epoch>,
    /// Instances that another gateway may use, which cannot be asked.
    pub kept: BTreeSet<InstanceId>,
    noted: BTreeMap<VersionName, u64>,
    users_met: BTreeMap<u64, BTreeSet<VersionName>>,
    moved: u64,
    spec: ServiceSpec,
    now: Timestamp,
    random: Random,
    instances: BTreeMap<InstanceId, Timestamp>,
    route: Option<Route>,
    counts: BTreeMap<(Epoch, VersionName), CountRow>,
    caps: BTreeMap<(Epoch, VersionName, String), UserCap>,
    met: BTreeMap<Epoch, BTreeSet<u64>>,
    book: Book,
    cohorts_owed: BTreeMap<String, f64>,
    cohort_counts: BTreeMap<(Epoch, VersionName, String), CountRow>,
    cohort_books: BTreeMap<String, Book>,
    probes_owed: f64,
    probe_counts: BTreeMap<(Epoch, VersionName), CountRow>,
    probe_book: Book,
    ledger: Ledger,
    jobs: u64,
    results: Vec<EffectResult>,
    owed: f64,
    rollouts: u64,
    artifacts: BTreeSet<Digest>,
    watched_since: Timestamp,
    lapsed: Option<Epoch>,
}

impl World {
    /// A world in which nothing was released yet. Panics on a declared file with mistakes: it is the test's own.
    pub fn new(service: SimulatedService) -> World {
        let spec = spec::parse(&service.file).unwrap_or_else(|m| panic!("the file has mistakes: {m:?}")).spec;
        let environment = service.environment.parse().expect("a valid environment");
        let lane = Lane::new(LaneId { service: spec.service.clone(), environment });
        World {
            lane,
            spec,
            now: Timestamp(1_000_000),
            random: Random::new(service.seed),
            service,
            journal: Vec::new(),
            serving: BTreeMap::new(),
            shown: None,
            ended: Vec::new(),
            served: BTreeMap::new(),
            carried: BTreeMap::new(),
            shows_instances: false,
            shows_nothing: false,
            silent: false,
            cut_off: None,
            kept: BTreeSet::new(),
            noted: BTreeMap::new(),
            users_met: BTreeMap::new(),
            moved: 0,
            instances: BTreeMap::new(),
            route: None,
            counts: BTreeMap::new(),
            caps: BTreeMap::new(),
            met: BTreeMap::new(),
            book: Book::default(),
            cohorts_owed: BTreeMap::new(),
            cohort_counts: BTreeMap::new(),
            cohort_books: BTreeMap::new(),
            probes_owed: 0.0,
            probe_counts: BTreeMap::new(),
            probe_book: Book::default(),
            ledger: Ledger::default(),
            jobs: 0,
            results: Vec::new(),
            owed: 0.0,
            rollouts: 0,
            artifacts: BTreeSet::new(),
            watched_since: Timestamp(0),
            lapsed: None,
        }
    }

    /// How long the world has existed.
    pub fn age(&self) -> Millis {
        self.now.since(Timestamp(1_000_000))
    }

    /// The artifact that stands for a version.
    fn release_of(&self, version: &str) -> Release {
        let name: VersionName = version.parse().expect("a valid version");
        let mut spec = self.spec.clone();
        if let Some(need) = self.service.needs.get(&name) {
            spec.needs_schema = Some(*need);
            spec.migrate = None;
        }
        if let Some(number) = self.service.instances.get(&name) {
            spec.environments.iter_mut().for_each(|environment| environment.instances = *number);
        }
        if let Some(bound) = self.service.slower_than.get(&name) {
            let bounds = spec.objectives.iter_mut().filter(|o| matches!(o.bad, Bad::SlowerThan(_)));
            bounds.for_each(|objective| objective.bad = Bad::SlowerThan(*bound));
        }
        let config = spec::config_digest(&spec);
        Release { version: name, artifact: Digest::of(version.as_bytes()), config, spec }
    }

    fn asked(&mut self, kind: RolloutKind, version: &str) -> Asked {
        self.rollouts += 1;
        let release = self.release_of(version);
        self.artifacts.insert(release.artifact.clone());
        let environment = release.environment(&self.lane.id).expect("a declared environment");
        Asked {
            id: RolloutId::numbered(self.rollouts),
            kind,
            strategy: environment.strategy.clone(),
            release,
            key: None,
            actor: "user:test".to_string(),
            at: self.now,
            overriding: None,
            approvals: Vec::new(),
        }
    }

    /// Goes on until `done`, or until `limit` is over. Returns whether it was done.
    pub fn run_until(&mut self, limit: Millis, mut done: impl FnMut(&World) -> bool) -> bool {
        let end = self.now.plus(limit);
        while self.now < end {
            if done(self) {
                return true;
            }
            self.tick();
        }
        done(self)
    }

    /// Goes on until no rollout is open, or one needs a person, or `limit` is over.
    pub fn settle(&mut self, limit: Millis) -> bool {
        self.run_until(limit, |w| match &w.lane.open {
            None => w.lane.queue.is_empty(),
            Some(open) => matches!(open.state, rollout::State::Held { .. }),
        })
    }

    /// The newest instance of a version is gone, as after a crash of it and its shim.
    pub fn crash(&mut self, version: &VersionName) {
        let newest = self.lane.wanted(version).filter(|s| s.ready.is_some()).map(|s| s.id.clone()).last();
        if let Some(instance) = newest {
            self.instances.remove(&instance);
        }
    }

    /// The artifact of a version is not here any more.
    pub fn mislay(&mut self, version: &str) {
        let artifact = self.release_of(version).artifact;
        self.artifacts.remove(&artifact);
    }

    /// The control plane is dead for so long: users come, the gateway serves what it has, and falls back when the lease
    /// of a split has run out.
    pub fn away(&mut self, length: Millis) {
        let left = self.now;
        while self.now.since(left) < length {
            self.now = self.now.plus(TICK);
            // Nobody hears of jobs meanwhile.
            if self.lane.is_worker() {
                continue;
            }
            self.requests();
            let Some(route) = self.route.as_mut() else { continue };
            if let (Some(lease), Some(fallback)) = (route.lease, &route.fallback)
                && self.now.since(left) >= lease
            {
                route.split = fallback.clone();
                route.cohorts.clear();
                self.lapsed = Some(route.epoch);
            }
        }
        self.start_anew();
    }

    fn tick(&mut self) {
        let asked = self.service.users.rate > 0.0 || !self.service.cohorts.is_empty();
        let busy = asked || rollout::probing_of(&self.lane).is_some();
        self.now = self.now.plus(if busy { TICK } else { IDLE_TICK });
        match self.lane.is_worker() {
            true => self.jobs(),
            false => self.requests(),
        }
        self.probe();
        let seen = self.observe();
        self.results.clear();
        let turn = rollout::turn(&self.lane, &seen, self.now);
        self.apply(turn);
        if rollout::rollback_due(&self.lane, self.now) {
            let _ = self.rollback_by("slipway:watch", None);
        }
        if let Some(version) = rollout::schema::contract_due(&self.lane).map(|owed| owed.release.version.clone()) {
            let asked =
                Asked { actor: "slipway:schedule".to_string(), ..self.asked(RolloutKind::Contract, version.as_str()) };
            let _ = self.command(|turn, _| commands::contract(turn, asked));
        }
    }

    fn observe(&mut self) -> Observed {
        self.ledger.follow(&self.lane, self.now);
        let mut epochs: Vec<Epoch> = self.counts.keys().map(|(epoch, _)| *epoch).collect();
        epochs.dedup();
        if let Some(oldest) = epochs.len().checked_sub(EPOCHS_KEPT).map(|at| epochs[at]) {
            self.counts.retain(|(epoch, _), _| *epoch >= oldest);
        }
        let mut rows = self.counts.values().cloned().collect();
        self.ledger.complete(&mut rows);
        self.book.take(rows, self.now);
        let (cohorts, probes) = (self.observe_cohorts(), self.observe_probes());
        let evidence = self.book.evidence(&self.lane, self.now);
        let now = self.now;
        Observed {
            silent_hooks: BTreeMap::new(),
            instances: self.instances.iter().map(|(id, since)| (id.clone(), status(id, *since, now))).collect(),
            confirmed: Some(Confirmed { routes: self.route.clone().into_iter().collect(), newest: true }),
            watched_since: Some(self.watched_since),
            looking_since: Some(self.watched_since),
            lapsed: self.lapsed,
            lapsed_apart: self.cut_off,
            kept: self.kept.clone(),
            lost: Vec::new(),
            in_flight: Some(BTreeMap::new()),
            artifacts: self.artifacts.iter().map(|artifact| (artifact.clone(), ())).collect(),
            evidence,
            cohorts,
            probes,
            serving: self.serving.clone().into_iter().collect(),
            results: self.results.clone(),
            unrecorded: false,
        }
    }
}

//! One lane in a world of numbers.

mod cohorts;
mod jobs;
mod probes;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use slipway_core::hook::{Answer, Word};
use slipway_core::instance::{Health, InstanceState, InstanceStatus};
use slipway_core::job::JobEnd;
use slipway_core::journal::Fact;
use slipway_core::judge::UserCap;
use slipway_core::names::{Digest, InstanceId, LaneId, RolloutId, VersionName};
use slipway_core::outcome::Ledger;
use slipway_core::rollout::{
    self, Asked, Book, Confirmed, Effect, EffectResult, Lane, Observed, Refusal, Release, Rollout, RolloutKind,
    Serving, Turn, commands,
};
use slipway_core::smoke::{SmokeReport, SmokeResult};
use slipway_core::spec::{self, Bad, ServiceSpec};
use slipway_core::traffic::link::{CountRow, ObjectiveCount};
use slipway_core::traffic::{Counted, CountedBad, Epoch, Route, assign};
use slipway_core::units::{Millis, Timestamp};

use crate::random::Random;
use crate::users::{Behaviour, Users};

/// How far the world moves at once.
const TICK: Millis = Millis(100);
/// The same where nobody asks for anything.
const IDLE_TICK: Millis = Millis::from_secs(2);
/// Latencies are told apart by so much.
const BUCKET_US: u64 = 5_000;
/// From the start of an instance to its first good health answer.
const STARTS_IN: Millis = Millis(500);

/// What is fixed about a simulated service.
#[derive(Debug, Clone)]
pub struct SimulatedService {
    /// Its declared file.
    pub file: String,
    /// Which environment the lane is.
    pub environment: String,
    /// Who asks.
    pub users: Users,
    /// How versions behave.
    pub behaviour: Behaviour,
    /// Requests per second of cohorts, by name, beside those of everybody else.
    pub cohorts: BTreeMap<String, f64>,
    /// Numbers of instances that versions declare, where they differ from the file's.
    pub instances: BTreeMap<VersionName, u32>,
    /// Versions that call other requests slow than the file does.
    pub slower_than: BTreeMap<VersionName, Millis>,
    /// Versions whose smoke tests fail.
    pub fails_smoke: BTreeSet<VersionName>,
    /// The schema that a version needs that migrates nothing, where it is not the declared one.
    pub needs: BTreeMap<VersionName, u64>,
    /// Commands that exit with 1, by version.
    pub fails_migration: BTreeSet<(VersionName, String)>,
    /// What hooks answer; those that are not here do not.
    pub answers: BTreeMap<String, Word>,
    /// A gateway that does not keep to the split: this share of all requests goes to this version, whatever the table
    /// says, as long as the version is in it.
    pub misrouted: Option<(VersionName, f64)>,
    /// Where all chance comes from.
    pub seed: u64,
}

impl SimulatedService {
    /// A service whose versions all behave, in production.
    pub fn new(file: String) -> SimulatedService {
        SimulatedService {
            file,
            environment: "production".to_string(),
            users: Users::default(),
            behaviour: Behaviour::default(),
            cohorts: BTreeMap::new(),
            instances: BTreeMap::new(),
            slower_than: BTreeMap::new(),
            fails_smoke: BTreeSet::new(),
            needs: BTreeMap::new(),
            answers: BTreeMap::new(),
            fails_migration: BTreeSet::new(),
            misrouted: None,
            seed: 1,
        }
    }
}

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
    /// The gateway takes no new table and goes on serving the one it has.
    pub silent: bool,
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
            silent: false,
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

    /// Asks for a release.
    pub fn release(&mut self, version: &str) -> Result<(), Refusal> {
        let asked = self.asked(RolloutKind::Release, version);
        self.command(|turn, now| commands::release(turn, asked, false, now))
    }

    /// Asks for the way back.
    pub fn rollback(&mut self, to: Option<&str>) -> Result<(), Refusal> {
        self.rollback_by("user:test", to)
    }

    fn rollback_by(&mut self, who: &str, to: Option<&str>) -> Result<(), Refusal> {
        let to = to.map(|v| v.parse().expect("a valid version"));
        let asked = match commands::way_back(&self.lane, to.as_ref())? {
            commands::Back::TakeBack => None,
            commands::Back::To(version) => Some(self.asked(RolloutKind::Rollback, version.as_str())),
        };
        self.command(|turn, now| commands::rollback(turn, asked, who, now))
    }

    /// Asks for a drill of the way back.
    pub fn drill(&mut self, cold: bool) -> Result<(), Refusal> {
        let seen = self.observe();
        let to = rollout::drillable(&self.lane, &seen)?;
        let asked = self.asked(RolloutKind::Drill { cold }, to.version.as_str());
        self.command(|turn, _| commands::drill(turn, asked, &seen))
    }

    /// Lets a person say something.
    pub fn command(&mut self, wish: impl FnOnce(&mut Turn, Timestamp) -> Result<(), Refusal>) -> Result<(), Refusal> {
        let seen = self.observe();
        let mut turn = Turn::new(&self.lane);
        wish(&mut turn, self.now)?;
        rollout::complete(&mut turn, &seen, self.now);
        self.results.clear();
        self.apply(turn);
        Ok(())
    }

    /// Somebody gives their word for what waits, as it is shown now or as it was shown at first.
    pub fn approve(&mut self, who: &str) -> Result<(), Refusal> {
        let Some(asked) = self.lane.queue.first().cloned() else {
            return Err(Refusal { code: "not_waiting", reason: "nothing waits".to_string() });
        };
        let shown = self.shown.clone().unwrap_or_else(|| rollout::gates::seal(&self.lane, &asked));
        let seen = self.observe();
        let by = format!("user:{who}");
        self.command(|turn, now| commands::approve(turn, &asked.id, &by, &shown, &seen, now))
    }

    /// Somebody looks at what waits, and will approve that and nothing else.
    pub fn look(&mut self) {
        self.shown = self.lane.queue.first().map(|asked| rollout::gates::seal(&self.lane, asked));
    }

    /// A version errs from now on as it did not before.
    pub fn worsen(&mut self, version: VersionName, share: f64) {
        self.service.behaviour.errors.insert(version, share);
    }

    /// Writes a line into the story.
    pub fn note(&mut self, line: &str) {
        let fact = Fact {
            kind: "story".to_string(),
            lane: Some(self.lane.id.clone()),
            rollout: None,
            actor: rollout::ENGINE.to_string(),
            cause: line.to_string(),
            evidence: serde_json::Value::Null,
        };
        self.journal.push((self.now, fact));
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
        let mut rows = self.counts.values().cloned().collect();
        self.ledger.complete(&mut rows);
        self.book.take(rows, self.now);
        let (cohorts, probes) = (self.observe_cohorts(), self.observe_probes());
        let evidence = self.book.evidence(&self.lane.id, self.lane.stable_version(), self.now);
        let now = self.now;
        Observed {
            silent_hooks: BTreeMap::new(),
            instances: self.instances.iter().map(|(id, since)| (id.clone(), status(id, *since, now))).collect(),
            confirmed: Some(Confirmed { routes: self.route.clone().into_iter().collect(), newest: true }),
            watched_since: Some(self.watched_since),
            looking_since: Some(self.watched_since),
            lapsed: self.lapsed,
            lost: Vec::new(),
            in_flight: Some(BTreeMap::new()),
            artifacts: Arc::new(self.artifacts.clone()),
            evidence,
            cohorts,
            probes,
            serving: Arc::new(self.serving.clone()),
            results: self.results.clone(),
        }
    }

    /// From now on a hook answers this; nothing where `word` is absent.
    pub fn says(&mut self, hook: &str, word: Option<Word>) {
        match word {
            Some(word) => drop(self.service.answers.insert(hook.to_string(), word)),
            None => drop(self.service.answers.remove(hook)),
        }
    }

    fn apply(&mut self, turn: Turn) {
        self.journal.extend(turn.facts.into_iter().map(|f| (self.now, f)));
        self.ended.extend(turn.ended);
        self.lane = turn.lane;
        let wanted = rollout::route_of(&self.lane);
        // A lapsed split does not come back with a newer table of the same epoch.
        let back = self.lapsed.is_some() && wanted.as_ref().map(|r| r.epoch) == self.lapsed;
        if !self.silent && !back {
            self.route = wanted;
        }
        for effect in turn.effects {
            let result = self.act(effect);
            self.results.extend(result);
        }
        self.watch_capacity();
    }

    fn act(&mut self, effect: Effect) -> Option<EffectResult> {
        Some(match effect {
            Effect::Start { spec } => {
                self.instances.insert(spec.id.clone(), self.now);
                EffectResult::Started { instance: spec.id }
            }
            Effect::Stop { instance } => {
                self.instances.remove(&instance);
                EffectResult::Stopped { instance, killed: false }
            }
            Effect::Run { job } => {
                let fails = self.service.fails_migration.contains(&(job.version.clone(), job.command.join(" ")));
                let end = match fails {
                    true => JobEnd::Failed { why: format!("{} ended with exit status: 1", job.command.join(" ")) },
                    false => JobEnd::Done { tail: String::new() },
                };
                EffectResult::Ran { job: job.id, end }
            }
            Effect::Smoke { instance, incarnation, round, tests } => {
                let version = self.lane.slots.iter().find(|s| s.id == instance).map(|s| s.version.clone());
                let bad = version.is_some_and(|v| self.service.fails_smoke.contains(&v));
                let result = |name: String| SmokeResult {
                    name,
                    took: Millis(5),
                    failure: bad.then(|| "status 200 expected, 500 came".to_string()),
                };
                let tests = tests.into_iter().map(|t| result(t.name)).collect();
                EffectResult::Smoked { report: SmokeReport { instance, incarnation, at: self.now, tests }, round }
            }
            Effect::Ask { key, hook, .. } => {
                let word = *self.service.answers.get(&hook.name)?;
                EffectResult::Answered { key, answer: Ok(Answer { word, reason: None }) }
            }
        })
    }

    fn watch_capacity(&mut self) {
        let Some(route) = &self.route else { return };
        for version in route.versions.iter().filter(|v| route.split.weight(&v.version).bp() > 0) {
            let given = route.split.weight(&version.version).share();
            let declared = self.release_of(version.version.as_str()).instances(&self.lane.id);
            let carried = (version.endpoints.len() as f64 / f64::from(declared) / given).min(1.0);
            let least = self.carried.entry(version.version.clone()).or_insert(1.0);
            *least = least.min(carried);
        }
    }

    fn requests(&mut self) {
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
        self.answer(&route, &version, key)
    }

    /// What a version answers to a request that is one of the split's; returns whether it failed.
    fn answer(&mut self, route: &Route, version: &VersionName, key: &str) -> bool {
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

fn empty(route: &Route, version: &VersionName) -> CountRow {
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
        objectives: Vec::new(),
        latency_us: Vec::new(),
    }
}

/// Counts one request, by every objective. `took`: whether it was slow by any declared bound, and its latency where
/// versions have one. `admit` says of an event whether it counts, and with it the users with a bad one so far.
fn count(
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
            CountedBad::SlowerThan(_) => slow,
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

fn status(id: &InstanceId, since: Timestamp, now: Timestamp) -> InstanceStatus {
    let up = now.since(since) >= STARTS_IN;
    InstanceStatus {
        id: id.clone(),
        incarnation: 1,
        state: InstanceState::Running,
        address: Some(SocketAddr::from(([127, 0, 0, 1], 1))),
        pid: Some(1),
        health: if up { Health::Healthy } else { Health::Unknown { why: None } },
        last_exit: None,
    }
}

fn hash(key: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

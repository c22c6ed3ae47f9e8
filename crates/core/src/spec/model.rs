//! The declared file as typed values: what is left once every text has been read and every rule has been checked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cohort::Cohort;
use super::config::Config;
use super::hooks::Hook;
use super::migrate::Migrate;
use super::mirror::Mirror;
use super::policy::{self, DrillPolicy, Gates, OnBreach};
use super::probe::Probe;
use super::worker::{StopSignal, Worker};
use crate::judge::Quantile;
use crate::names::{EnvironmentName, ServiceName};
use crate::outcome::Kind;
use crate::traffic::Protocol;
use crate::units::{Millis, Weight};

/// A service as its `slipway.yaml` declares it. Defaults are filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// The service.
    pub service: ServiceName,
    /// Who answers for it.
    pub owner: Option<String>,
    /// It takes jobs by itself and gets no requests.
    #[serde(default)]
    pub worker: Option<Worker>,
    /// What is run.
    pub run: Run,
    /// Values and files beside the artifact.
    #[serde(default)]
    pub config: Config,
    /// The schema of its database that it needs; absent where it says nothing about one.
    #[serde(default)]
    pub needs_schema: Option<u64>,
    /// How its database gets there.
    #[serde(default)]
    pub migrate: Option<Migrate>,
    /// Its instances keep what others do not have.
    #[serde(default)]
    pub stateful: bool,
    /// Users must not meet two versions at the same time.
    #[serde(default)]
    pub one_version: bool,
    /// How its health is asked for.
    pub health: HealthCheck,
    /// What must work before the first user.
    pub smoke: Vec<SmokeTest>,
    /// What Slipway asks of both versions where users ask too little.
    #[serde(default)]
    pub probe: Option<Probe>,
    /// Which requests a candidate gets copies of before any user meets it.
    #[serde(default)]
    pub mirror: Option<Mirror>,
    /// Which requests are its own.
    pub traffic: Traffic,
    /// What counts as good enough.
    pub objectives: Vec<Objective>,
    /// None was declared, and these were assumed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub assumed: bool,
    /// Who is told and asked in every environment.
    #[serde(default)]
    pub hooks: Vec<Hook>,
    /// In the order in which they are declared.
    pub environments: Vec<EnvironmentSpec>,
}

impl ServiceSpec {
    /// The environment named `name`, with its place in the file.
    pub fn environment(&self, name: &EnvironmentName) -> Option<(usize, &EnvironmentSpec)> {
        self.environments.iter().enumerate().find(|(_, e)| e.name == *name)
    }

    /// The hooks of an environment: the service's, and its own in place of those of the same name.
    pub fn hooks(&self, name: &EnvironmentName) -> Vec<Hook> {
        let own = self.environment(name).map(|(_, e)| e.hooks.as_slice()).unwrap_or_default();
        let service = self.hooks.iter().filter(|hook| own.iter().all(|other| other.name != hook.name));
        service.chain(own).cloned().collect()
    }
}

/// What is run. Part of the configuration digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Program and arguments, with `{port}` or `{socket}`, `{version}` and `{instance}`.
    pub command: Vec<String>,
    /// Its environment, beside PATH, HOME, LANG, TZ, PORT or SOCKET, VERSION and INSTANCE.
    pub env: BTreeMap<String, String>,
    /// From the stop signal to the kill of the process group. Default 10s; 30s for a worker.
    pub stop_grace: Millis,
    /// What asks the program to end. Default SIGTERM.
    #[serde(default)]
    pub stop_signal: StopSignal,
}

/// How an instance's health is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// The question.
    pub probe: HealthProbe,
    /// From one question to the next. Default 2s; until first healthy it is asked every 100ms, or faster if declared.
    pub interval: Millis,
    /// How long an answer may take. Default 1s.
    pub timeout: Millis,
    /// Good answers in a row until it counts as healthy. Default 2.
    pub healthy_after: u32,
    /// Bad answers in a row until it counts as unhealthy. Default 3.
    pub unhealthy_after: u32,
    /// How long after its start it may stay unhealthy before it is given up. Default 60s.
    pub start_limit: Millis,
}

/// The question of a health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthProbe {
    /// GET on this path answers 200 to 399.
    Http(String),
    /// The port or the socket accepts a connection.
    Tcp,
    /// A program run in the instance's working folder exits with 0.
    Command(Vec<String>),
    /// The program has run for so long. For workers only.
    Running(Millis),
}

/// One smoke test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SmokeTest {
    /// For people: "a user can log in".
    pub name: String,
    /// What is done.
    pub action: SmokeAction,
    /// How long it may take in all. Default 10s.
    pub timeout: Millis,
    /// Values taken from the answer for later tests of the same run, used there as `{name}`: JSON pointer by name.
    pub capture: BTreeMap<String, String>,
}

/// What a smoke test does. `{name}` stands for a captured value in paths, header values, JSON strings and arguments;
/// `{url}` for the instance's address as `http://host:port` (`http://localhost` where it is a socket), `{port}` or `{socket}`
/// for where it listens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SmokeAction {
    /// One HTTP request to the instance.
    Http {
        /// Default GET.
        method: String,
        /// Path and query.
        path: String,
        /// Extra headers.
        headers: BTreeMap<String, String>,
        /// JSON body, if any.
        json: Option<serde_json::Value>,
        /// What must be true of the answer.
        expect: Expect,
    },
    /// The instance's port or socket accepts a connection.
    Tcp,
    /// A program run in the instance's working folder exits with 0.
    Command(Vec<String>),
}

/// What must be true of an HTTP answer. Absent parts are not looked at; with nothing declared, the status must be 200 to 399.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Expect {
    /// Exact status.
    pub status: Option<u16>,
    /// Headers that must be there with these values.
    pub headers: BTreeMap<String, String>,
    /// JSON that must be contained in the body: objects may have more keys, arrays and scalars must be equal.
    pub json: Option<serde_json::Value>,
    /// A regular expression that must match somewhere in the body.
    pub body: Option<String>,
}

/// Which requests belong to the service, and how users are told apart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// Lower case; any host where absent.
    pub host: Option<String>,
    /// Path prefix. Default `/`.
    pub path: String,
    /// Cookie that names a user.
    pub sticky_cookie: Option<String>,
    /// Header that names a user, lower case.
    pub sticky_header: Option<String>,
    /// From the request's end to the response head, and from one part of its body to the next. Default 60s.
    pub timeout: Millis,
    /// How long requests on the old version may go on after a switch. Default 30s.
    pub drain: Millis,
    /// The same for WebSockets and event streams. Default 5m.
    pub drain_long: Millis,
    /// Largest request body in bytes. Default 1 GiB.
    pub max_body: u64,
    /// What instances speak. Default HTTP/1.1.
    #[serde(default)]
    pub protocol: Protocol,
}

/// An objective: a ratio of bad events to all events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// Its name, unique within the file.
    pub name: String,
    /// What a bad event is.
    pub bad: Bad,
    /// The share of bad events that is acceptable at all, 0 to 1, above 0.
    pub at_most: f64,
    /// How much worse than stable the candidate may be when it serves everyone.
    pub tolerate: Tolerate,
}

/// What a bad event is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bad {
    /// 5xx, connection failure, time-out, truncated answer.
    Failed,
    /// The response head took longer than this.
    SlowerThan(Millis),
    /// The response head took longer than this quantile of stable's own latency, taken before the rollout.
    SlowerThanStable {
        /// Which quantile.
        quantile: Quantile,
        /// What it was, in microseconds: filled in for the judge, and absent in what is declared.
        bound_us: Option<u64>,
    },
    /// An outcome of this kind was reported.
    Outcome {
        /// What went wrong.
        kind: Kind,
        /// Among what: outcomes of this kind. Requests, for as long as reports come, where absent.
        of: Option<Kind>,
    },
    /// Something began and did not end in time.
    Missing {
        /// The end.
        kind: Kind,
        /// The beginning.
        after: Kind,
        /// In what time.
        within: Millis,
    },
}

impl Bad {
    /// Whether it is reported, and not counted by the gateway.
    pub fn is_reported(&self) -> bool {
        matches!(self, Bad::Outcome { .. } | Bad::Missing { .. })
    }
}

/// How much worse than stable a candidate may be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tolerate {
    /// An excess over stable's share of bad events, 0 to 1. Default: half of `at_most`.
    Share(f64),
    /// So many times stable's share of bad events, above 1.
    Times(f64),
}

/// One environment's policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentSpec {
    /// The environment.
    pub name: EnvironmentName,
    /// Instances of the stable version. Default 1.
    pub instances: u32,
    /// How a release goes in.
    pub strategy: Strategy,
    /// Overlay of `run.env`. Part of the configuration digest.
    pub env: BTreeMap<String, String>,
    /// Overlay of `config`. Part of the configuration digest.
    #[serde(default)]
    pub config: Config,
    /// The environment's own traffic, where it differs: host and path.
    pub traffic: Option<TrafficOverlay>,
    /// Who meets a canary first, in this order.
    #[serde(default)]
    pub cohorts: Vec<Cohort>,
    /// When the way back is practised by itself.
    #[serde(default)]
    pub drill: Option<DrillPolicy>,
    /// How old the last drill may be when a release begins.
    #[serde(default)]
    pub require_drill: Option<Millis>,
    /// What must hold before the first act of a release.
    #[serde(default)]
    pub gates: Gates,
    /// How long after its coming trouble may be a version's doing. Default 24h.
    #[serde(default = "policy::default_watch")]
    pub watch: Millis,
    /// What such trouble leads to. Default tell.
    #[serde(default)]
    pub on_breach: OnBreach,
    /// Who is told and asked here, beside the service's own.
    #[serde(default)]
    pub hooks: Vec<Hook>,
}

/// What an environment may say differently about traffic.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TrafficOverlay {
    /// Its own host.
    pub host: Option<String>,
    /// Its own path prefix.
    pub path: Option<String>,
}

/// How a release goes into an environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Strategy {
    /// The kind, with what only that kind has.
    pub kind: StrategyKind,
    /// How long verification lasts. Default 1m.
    pub verify: Millis,
    /// How long the predecessor is kept warm after success. Default 1h.
    pub standby: Millis,
    /// What inconclusive evidence leads to. Default hold.
    pub on_inconclusive: OnInconclusive,
    /// The chance of rolling back a healthy candidate, over the whole rollout. Default 0.01.
    pub alpha: f64,
    /// The chance of letting one through that is worse than tolerated. Default 0.05.
    pub beta: f64,
    /// Requests that a candidate must have had before it can pass a step. Default 50.
    pub min_requests: u64,
}

/// What only one strategy has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum StrategyKind {
    /// Two full sets, one switch.
    BlueGreen,
    /// Growing shares of the traffic, judged at each.
    Canary {
        /// Increasing, the last one 100%. Default 1, 5, 25, 50, 100.
        steps: Vec<Weight>,
        /// How long one step may wait for a verdict. Default 10m.
        step_limit: Millis,
    },
    /// Instances replaced in batches.
    Rolling {
        /// How many at a time. Default 1.
        batch: Amount,
        /// Ready instances never fall below this. Default: all.
        min_ready: Amount,
    },
    /// The old version ends whole before the new one starts. For workers only.
    Replace,
}

impl StrategyKind {
    /// Every name, as it is written in the declared file.
    pub const NAMES: [&str; 4] = ["canary", "blue-green", "rolling", "replace"];

    /// The name as it is written in the declared file.
    pub fn name(&self) -> &'static str {
        match self {
            StrategyKind::BlueGreen => "blue-green",
            StrategyKind::Canary { .. } => "canary",
            StrategyKind::Rolling { .. } => "rolling",
            StrategyKind::Replace => "replace",
        }
    }
}

/// A number of instances, or a share of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    /// So many.
    Count(u32),
    /// So much of the declared number.
    Percent(Weight),
}

impl Amount {
    /// The number of instances that this is of `whole`: a share is rounded up, and neither exceeds `whole`.
    pub fn of(self, whole: u32) -> u32 {
        match self {
            Amount::Count(n) => n.min(whole),
            Amount::Percent(w) => (u64::from(whole) * u64::from(w.bp())).div_ceil(10_000) as u32,
        }
    }
}

/// What inconclusive evidence leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnInconclusive {
    /// Hold and ask a person.
    #[default]
    Hold,
    /// Take it back.
    Rollback,
}

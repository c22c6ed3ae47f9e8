//! What the control plane tells others of its lanes and rollouts: values of `core`, put together for one question.

use std::sync::Arc;

use slipway_core::environment::{Difference, Environment, Next, Tried};
use slipway_core::instance::InstanceStatus;
use slipway_core::names::{Digest, InstanceId, LaneId, RolloutId, ServiceName, VersionName};
use slipway_core::rollout::choice::Comparison;
use slipway_core::rollout::gates::Word;
use slipway_core::rollout::trail::MeasuredShare;
use slipway_core::rollout::{Asked, Gate, Lane, Plan, Report, Rollout};
use slipway_core::units::Timestamp;

use crate::compare::Compared;

/// A lane at one moment.
#[derive(Debug, Clone)]
pub struct LaneNow {
    /// What is kept of it.
    pub lane: Arc<Lane>,
    /// Its instances as the target sees them.
    pub instances: Vec<InstanceStatus>,
    /// The wanted split with what was measured in it: share of the requests in the current stretch of evidence.
    pub split: Vec<MeasuredShare>,
    /// What differs from its environment's file, where that has one and names it.
    pub drift: Vec<Difference>,
    /// What the open rollout is doing.
    pub report: Option<Report>,
    /// Requests per second over the last minute.
    pub rate: Option<f64>,
    /// What happens here and is not recorded, because the store cannot be used.
    pub unrecorded: Option<Unrecorded>,
    /// When this was looked at.
    pub at: Timestamp,
}

/// Something that could not be recorded. What serves goes on, and so does a way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unrecorded {
    /// Since when.
    pub since: Timestamp,
    /// Why not, as the store says it.
    pub why: String,
}

/// A rollout, wherever it stands.
#[derive(Debug, Clone)]
pub enum RolloutNow {
    /// It waits for others.
    Queued {
        /// Where.
        lane: LaneId,
        /// As it was asked for.
        asked: Box<Asked>,
        /// The rollout that it waits for.
        behind: Option<RolloutId>,
        /// How its gates stand.
        gates: Vec<Gate>,
    },
    /// It is open: the lane says the rest.
    Open(Box<LaneNow>),
    /// It is over.
    Ended(LaneId, Box<Rollout>),
}

/// An instance whose logs can be read.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedInstance {
    /// The instance.
    pub id: InstanceId,
    /// Its version.
    pub version: VersionName,
    /// Its log files, oldest first.
    pub files: Vec<std::path::PathBuf>,
}

/// How the gates of a lane stand.
#[derive(Debug, Clone)]
pub struct GatesNow {
    /// Where.
    pub lane: LaneId,
    /// What is asked for; a release that nobody has asked for yet where nothing waits.
    pub asked: Asked,
    /// Whether it waits for somebody's word, or for its turn.
    pub waiting: bool,
    /// What it would do.
    pub plan: Plan,
    /// What an approval of it is bound to.
    pub seal: Digest,
    /// Each gate.
    pub gates: Vec<Gate>,
    /// What it would change of what serves; absent where nothing does.
    pub changes: Option<Compared>,
    /// Who would notice that it is bad, a sentence each.
    pub watchers: Vec<String>,
    /// Whose word it needs; absent where it needs nobody's.
    pub word: Option<Word>,
    /// Whose word counts now.
    pub counting: Vec<String>,
}

/// The strategies side by side for a release.
#[derive(Debug, Clone)]
pub struct StrategiesCompared {
    /// Where it would go.
    pub lane: LaneId,
    /// What.
    pub version: VersionName,
    /// Instances that are declared.
    pub instances: u32,
    /// Requests per second, where any were seen.
    pub rate: Option<f64>,
    /// How the strategies compare.
    pub comparison: Comparison,
}

/// An environment that has a file, at one moment.
#[derive(Debug, Clone)]
pub struct EnvironmentNow {
    /// What was applied, and how far it was followed.
    pub kept: Arc<Environment>,
    /// Each of its services.
    pub services: Vec<ServiceNow>,
    /// Everything that is not as the file says, what it does not name included.
    pub differences: Vec<Difference>,
}

/// A service of an environment that has a file.
#[derive(Debug, Clone)]
pub struct ServiceNow {
    /// Which.
    pub service: ServiceName,
    /// What is not as the file says.
    pub drift: Vec<Difference>,
    /// What is done about it next.
    pub next: Next,
    /// It was not brought to what the file says since that was applied.
    pub coming: bool,
    /// What was asked for in order to bring it there.
    pub tried: Option<Tried>,
}

/// A hook, and how far it was told.
#[derive(Debug, Clone)]
pub struct HookNow {
    /// As it is declared.
    pub hook: slipway_core::spec::Hook,
    /// The last entry of the journal that it was told of, or did not want.
    pub told: u64,
    /// It is declared no more, and is told of what is left.
    pub withdrawn: bool,
    /// Failed attempts at what it is told next.
    pub attempts: u64,
    /// Since when it cannot be told.
    pub failing_since: Option<Timestamp>,
    /// Why, the last time.
    pub why: Option<String>,
    /// When it took the last event in.
    pub last_at: Option<Timestamp>,
}

//! What goes over the wire: stable shapes, made from the values of `core` and never the other way round.

mod comparison;
mod diff;
mod drill;
mod environment;
mod explanation;
mod faults;
mod gates;
mod gateway;
mod group;
mod hook;
mod journal;
mod operating;
mod outcome;
mod plan;
mod release;
mod rollout;
mod sample;
mod schema;
mod status;
mod token;
pub mod words;

pub use comparison::{WireBack, WireComparison, WireHarm, WireWay};
pub use diff::{WireDifference, WireVersions};
pub use drill::{WireDrill, WireTimes};
pub use environment::{
    NewEnvironmentFile, WireDiffering, WireEnvironment, WireEnvironmentDiff, WireEnvironmentFile, WireServiceInFile,
};
pub use explanation::{Explanation, WireBeside, WireDecision, WireJudgement, WireStable};
pub use faults::{NewEnd, NewFault, WireFault};
pub use gates::{NewApproval, WireApproval, WireGate, WireGates};
pub use gateway::{NewInvitation, WireGateway};
pub use group::{NewGroupMember, NewGroupRelease, WireGroupMember, WireGroupPlan, WireGroupRun, WirePlannedMember};
pub use hook::WireHook;
pub use journal::NewAcceptance;
pub use operating::{NewMaintenance, NewScale, WireRestart};
pub use outcome::{NewOutcome, NewOutcomes, RefusedOutcome, Reported};
pub use plan::{WirePlan, WireStep};
pub use release::{NewDrill, NewRelease, NewRollback};
pub use rollout::{
    HistoryEntry, WireProbes, WireRollout, WireShare, WireStepRecord, WireWaiting, history_entry, rollout,
};
pub(crate) use rollout::{explanation, open_rollout};
pub use sample::{WirePoint, WireSample};
pub use schema::{NewSettlement, WireMigration, WireSchema};
pub use status::{LaneStatus, VersionStatus, WireIncident, WireInstance, WireWentBack, lane_status};
pub use token::{MadeToken, NewToken, WireToken};

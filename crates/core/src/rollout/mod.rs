//! Rollouts: the plan, the state, and what to do next.
//!
//! [`turn()`] looks at a [`Lane`] and at what is [`Observed`] and returns what to keep, to record and to do. People's
//! wishes come in as [`commands`]. Nothing here acts, waits or knows what carries the effects out.

mod advance;
mod agreement;
mod asking;
mod begin;
mod book;
mod bounds;
pub mod choice;
mod cohorts;
pub mod commands;
mod drilling;
mod effect;
mod estimate;
mod faults;
mod finish;
#[cfg(test)]
mod fixture;
pub mod gates;
mod housekeeping;
mod judging;
mod lane;
mod lately;
mod latency;
mod mirroring;
mod model;
mod observed;
mod outage;
mod plan;
mod policy;
mod probing;
mod readiness;
mod reconcile;
mod report;
mod restarting;
mod rolling;
mod routing;
pub mod schema;
mod shifting;
mod slots;
pub mod trail;
mod turn;
mod undo;
mod unstarted;
mod verifying;
mod watching;
mod wording;
mod workers;

pub use asking::{Question, Reply};
pub use book::Book;
pub use commands::Refusal;
pub use drilling::{DrillTimes, Drilled, drill_due, drillable};
pub use effect::{Effect, EffectResult};
pub use estimate::Today;
pub use faults::Begun;
pub use gates::{Approval, Gate, Standing};
pub use judging::judge_all;
pub use lane::{Asked, Counters, Lane, Release, Routing, Slot, SlotState, SmokeRun, Standby, WentBack};
pub use lately::Lately;
pub use mirroring::at_hand as by_copies;
pub use model::{
    Decision, Exposure, Outcome, Progress, Rollout, RolloutKind, State, StepRecord, StepState, Timing, Undo,
};
pub use observed::{Confirmed, Evidence, Lost, Observed, Serving, Tally};
pub use plan::{HOLD_BACK, Plan, Step, StepKind, plan};
pub use policy::{Bound, Policy};
pub use probing::{Probed, Probing, all_probes, probing_of};
pub use report::{Report, Waiting, report};
pub use restarting::Restart;
pub use routing::{LEASE, claims, route_now, route_of};
pub use turn::{ENGINE, Turn, complete, turn};
pub use unstarted::Unstarted;
pub use watching::{Incident, Watching, rollback_due};
pub use workers::same_kind;

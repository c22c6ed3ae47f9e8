//! What a rollout looked like as it went, for the wire.

use serde::{Deserialize, Serialize};
use slipway_core::judge::Verdict;
use slipway_core::rollout::trail::{Point, Sample};
use utoipa::ToSchema;

use super::explanation::WireJudgement;

/// A rollout at one moment. At most one a second, and fewer the longer it takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WireSample {
    /// When, milliseconds since 1970.
    pub at: u64,
    /// The step at hand: an index into the plan's steps; their number once all are done.
    pub step: usize,
    /// `running`, `paused`, `held`, `undoing` or `ended`.
    pub state: String,
    /// The candidate's share as wanted, in basis points.
    pub weight_bp: u16,
    /// As counted; null where nothing was.
    pub measured_bp: Option<u16>,
    /// Requests that the candidate got so far.
    pub requests: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// What is waited for.
    pub waiting: Option<String>,
    /// What the judge said.
    pub objectives: Vec<WirePoint>,
}

/// One objective at one moment. Rates are shares from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WirePoint {
    /// The objective.
    pub name: String,
    /// `pass`, `fail` or `inconclusive`.
    pub verdict: String,
    /// The candidate's events.
    pub n: u64,
    /// Bad ones among them.
    pub bad: u64,
    /// The candidate's rate is at least this.
    pub lower: f64,
    /// The candidate's rate is at most this.
    pub upper: f64,
    /// What `upper` has to come down to for a pass; null where none is asked for.
    pub pass_at: Option<f64>,
    /// What `lower` has to rise above for a fail.
    pub fail_at: Option<f64>,
    /// Lower and upper bound of stable's rate; null on a first release.
    pub stable: Option<(f64, f64)>,
}

/// A verdict, as it is written in the API.
pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Inconclusive => "inconclusive",
    }
}

impl From<Sample> for WireSample {
    fn from(sample: Sample) -> WireSample {
        WireSample {
            at: sample.at.0,
            step: sample.step,
            state: sample.state,
            weight_bp: sample.weight.bp(),
            measured_bp: sample.measured.map(|m| m.bp()),
            requests: sample.requests,
            failed: sample.failed,
            waiting: sample.waiting,
            objectives: sample.objectives.into_iter().map(WirePoint::from).collect(),
        }
    }
}

impl From<Point> for WirePoint {
    fn from(point: Point) -> WirePoint {
        WirePoint {
            name: point.name,
            verdict: verdict(point.verdict).to_string(),
            n: point.n,
            bad: point.bad,
            lower: point.lower,
            upper: point.upper,
            pass_at: point.pass_at,
            fail_at: point.fail_at,
            stable: point.stable,
        }
    }
}

impl From<&WireJudgement> for WirePoint {
    fn from(j: &WireJudgement) -> WirePoint {
        WirePoint {
            name: j.name(),
            verdict: j.verdict.clone(),
            n: j.n,
            bad: j.bad,
            lower: j.lower,
            upper: j.upper,
            pass_at: j.pass_at,
            fail_at: j.fail_at,
            stable: j.stable.as_ref().map(|s| (s.lower, s.upper)),
        }
    }
}

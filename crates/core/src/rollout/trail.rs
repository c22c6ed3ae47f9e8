//! What an open rollout looked like, second by second: for charts, and to play it again afterwards.
//!
//! Nothing is decided by it. The control plane takes a [`Sample`] of a turn that it keeps anyway, where one is
//! [`due`]; the console draws from these and from the decisions, which carry the very numbers they rested on.

use serde::{Deserialize, Serialize};

use super::lane::Lane;
use super::model::{Rollout, State};
use super::observed::{Evidence, Observed};
use super::report::report;
use crate::judge::{Judgement, Verdict};
use crate::names::VersionName;
use crate::units::{Millis, Timestamp, Weight};

/// Samples are at least so far apart, unless a step begins or the state changes.
const CLOSEST: Millis = Millis::from_secs(1);
/// And at least this fraction of the rollout's age, so that a day's rollout has some 1,500 and not 86,400.
const THINNING: u64 = 200;

/// An open rollout at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When.
    pub at: Timestamp,
    /// The step at hand, an index into the plan; the number of steps once all are done.
    pub step: usize,
    /// `running`, `paused`, `held`, `undoing` or `ended`.
    pub state: String,
    /// The candidate's share of the traffic as wanted.
    pub weight: Weight,
    /// As counted; absent where nothing was.
    pub measured: Option<Weight>,
    /// Requests that the candidate got so far.
    pub requests: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// What is waited for.
    pub waiting: Option<String>,
    /// What the judge said.
    pub objectives: Vec<Point>,
}

/// One objective at one moment: the numbers of a [`Judgement`]. Rates are shares from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The objective; `errors (synthetic)` where it was judged by probes.
    pub name: String,
    /// What it came to.
    pub verdict: Verdict,
    /// The candidate's events.
    pub n: u64,
    /// Bad ones among them.
    pub bad: u64,
    /// The candidate's rate is at least this.
    pub lower: f64,
    /// The candidate's rate is at most this.
    pub upper: f64,
    /// What `upper` has to come down to for a pass; absent where none is asked for.
    pub pass_at: Option<f64>,
    /// What `lower` has to rise above for a fail.
    pub fail_at: Option<f64>,
    /// Bounds of stable's rate; absent on a first release.
    pub stable: Option<(f64, f64)>,
}

impl From<&Judgement> for Point {
    fn from(j: &Judgement) -> Point {
        Point {
            name: j.name(),
            verdict: j.verdict,
            n: j.n,
            bad: j.bad,
            lower: j.lower,
            upper: j.upper,
            pass_at: j.pass_at,
            fail_at: j.fail_at,
            stable: j.stable.map(|s| (s.lower, s.upper)),
        }
    }
}

/// A share, wanted and measured.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredShare {
    /// The version.
    pub version: VersionName,
    /// As wanted.
    pub weight: Weight,
    /// As counted in the current stretch of evidence; absent where nothing was.
    pub measured: Option<Weight>,
}

/// The wanted split of a lane with what was measured in it.
pub fn measured_split(lane: &Lane, evidence: &Evidence) -> Vec<MeasuredShare> {
    let Some(routing) = &lane.routing else { return Vec::new() };
    let assigned =
        |version: &VersionName| evidence.rows.get(&(routing.epoch, version.clone())).map_or(0, |tally| tally.assigned);
    let total: u64 = routing.split.shares().iter().map(|s| assigned(&s.version)).sum();
    let measure = |version: &VersionName| {
        let part = (assigned(version) * 10_000).checked_div(total)?;
        Weight::from_bp(part.min(10_000) as u16)
    };
    let shares = routing.split.shares().iter();
    shares
        .map(|s| MeasuredShare { version: s.version.clone(), weight: s.weight, measured: measure(&s.version) })
        .collect()
}

/// The rollout that is open, at `now`.
pub fn sample(lane: &Lane, seen: &Observed, now: Timestamp) -> Option<Sample> {
    let open = lane.open.as_ref()?;
    let report = report(lane, seen, now)?;
    let mut sample = bare(lane, open, &seen.evidence, now);
    sample.waiting = report.waiting.map(|w| w.on);
    sample.objectives = report.judgements.iter().map(Point::from).collect();
    Some(sample)
}

/// The same of one that has just ended: what it left behind.
pub fn last_sample(lane: &Lane, ended: &Rollout, evidence: &Evidence, now: Timestamp) -> Sample {
    bare(lane, ended, evidence, now)
}

/// Whether another sample is to be taken of a rollout.
pub fn due(lane: &Lane, last: Option<&Sample>, now: Timestamp) -> bool {
    let Some(open) = &lane.open else { return false };
    let Some(last) = last else { return true };
    let far = CLOSEST.max(Millis(now.since(open.began_at).0 / THINNING));
    last.step != open.step || last.state != open.state.name() || now.since(last.at) >= far
}

fn bare(lane: &Lane, rollout: &Rollout, evidence: &Evidence, now: Timestamp) -> Sample {
    let split = measured_split(lane, evidence);
    let ours = split.iter().find(|s| s.version == rollout.release.version);
    let exposed = rollout.exposed();
    Sample {
        at: now,
        step: rollout.step,
        state: rollout.state.name().to_string(),
        weight: ours.map_or(Weight::ZERO, |s| s.weight),
        measured: ours.and_then(|s| s.measured),
        requests: exposed.requests,
        failed: exposed.failed,
        waiting: None,
        objectives: Vec::new(),
    }
}

impl State {
    /// As it is written in the API.
    pub fn name(&self) -> &'static str {
        match self {
            State::Running => "running",
            State::Paused { .. } => "paused",
            State::Held { .. } => "held",
            State::Undoing(_) => "undoing",
            State::Ended { .. } => "ended",
        }
    }
}

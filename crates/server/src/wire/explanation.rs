//! Why a rollout went as it did, for the wire.

use serde::{Deserialize, Serialize};
use slipway_core::journal::Entry;
use slipway_core::judge::Judgement;
use slipway_core::rollout::Decision;
use slipway_core::units::Weight;
use utoipa::ToSchema;

use super::plan::WirePlan;
use super::rollout::WireRollout;
use super::sample::verdict;

/// Why a rollout went as it did.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The rollout as it stands.
    #[serde(flatten)]
    pub rollout: WireRollout,
    /// Who asked for it.
    pub actor: String,
    /// When it began, milliseconds since 1970.
    pub began_at: u64,
    /// When it ended.
    pub ended_at: Option<u64>,
    /// The plan that it followed.
    pub plan: WirePlan,
    /// What was decided, oldest first.
    pub decisions: Vec<WireDecision>,
    /// What else belongs to it, oldest first: people's words for it, and what was done to the database, even after its end.
    #[serde(default)]
    pub beside: Vec<WireBeside>,
}

/// Something that belongs to a rollout and is no step or decision of it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireBeside {
    /// When, milliseconds since 1970.
    pub at: u64,
    /// Its kind in the journal: `rollout.approved`, `schema.expanded`.
    pub kind: String,
    /// Who.
    pub actor: String,
    /// What, as a sentence.
    pub sentence: String,
}

impl From<Entry> for WireBeside {
    fn from(entry: Entry) -> WireBeside {
        WireBeside { at: entry.at.0, kind: entry.fact.kind, actor: entry.fact.actor, sentence: entry.fact.cause }
    }
}

/// A decision.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireDecision {
    /// When, milliseconds since 1970.
    pub at: u64,
    /// In which step.
    pub step: String,
    /// What: `advance`, `undo`, `hold`, `restart`, `promote`, `succeed`.
    pub what: String,
    /// Who decided.
    pub actor: String,
    /// Why.
    pub sentence: String,
    /// The judgements that it rests on.
    pub judgements: Vec<WireJudgement>,
    /// The candidate's share of the split that was in force; null where that was not kept.
    #[serde(default)]
    pub weight_bp: Option<u16>,
}

/// A judgement.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireJudgement {
    /// The objective.
    pub objective: String,
    /// `pass`, `fail` or `inconclusive`.
    pub verdict: String,
    /// The candidate's events.
    pub n: u64,
    /// Bad ones among them.
    pub bad: u64,
    /// Lower bound of the candidate's rate, 0 to 1.
    pub lower: f64,
    /// Upper bound of it.
    pub upper: f64,
    /// What `upper` has to come down to for a pass; null where none is asked for.
    #[serde(default)]
    pub pass_at: Option<f64>,
    /// What `lower` has to rise above for a fail.
    #[serde(default)]
    pub fail_at: Option<f64>,
    /// What it was compared with; null on a first release.
    pub stable: Option<WireStable>,
    /// By probes that Slipway sent itself, and not by users' requests.
    #[serde(default)]
    pub synthetic: bool,
    /// By the requests of this cohort, which went first and is watched beside the step's own evidence; null otherwise.
    #[serde(default)]
    pub cohort: Option<String>,
    /// In words.
    pub sentence: String,
}

impl WireJudgement {
    /// The objective, and by whom it was judged where that is not everybody.
    pub fn name(&self) -> String {
        match (self.synthetic, &self.cohort) {
            (true, _) => format!("{} (synthetic)", self.objective),
            (false, Some(cohort)) => Judgement::name_in(&self.objective, cohort),
            (false, None) => self.objective.clone(),
        }
    }
}

/// Stable's numbers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireStable {
    /// Its events.
    pub n: u64,
    /// Bad ones among them.
    pub bad: u64,
    /// Lower bound of its rate.
    pub lower: f64,
    /// Upper bound of it.
    pub upper: f64,
    /// Whether they are from before the switch or the first batch.
    pub before: bool,
}

impl From<&Judgement> for WireJudgement {
    fn from(j: &Judgement) -> WireJudgement {
        WireJudgement {
            objective: j.objective.clone(),
            verdict: verdict(j.verdict).to_string(),
            n: j.n,
            bad: j.bad,
            lower: j.lower,
            upper: j.upper,
            pass_at: j.pass_at,
            fail_at: j.fail_at,
            stable: j.stable.map(|s| WireStable {
                n: s.n,
                bad: s.bad,
                lower: s.lower,
                upper: s.upper,
                before: s.before,
            }),
            synthetic: j.synthetic,
            cohort: j.cohort.clone(),
            sentence: j.sentence.clone(),
        }
    }
}

impl From<&Decision> for WireDecision {
    fn from(d: &Decision) -> WireDecision {
        WireDecision {
            at: d.at.0,
            step: d.step.clone(),
            what: d.what.clone(),
            actor: d.actor.clone(),
            sentence: d.sentence.clone(),
            judgements: d.judgements.iter().map(WireJudgement::from).collect(),
            weight_bp: d.weight.map(Weight::bp),
        }
    }
}

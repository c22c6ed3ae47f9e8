//! Probes: whom they go to now, what is judged by them, and what became of them.
//!
//! Slipway sends the declared request to candidate and stable alike, at the same times, while a step is judged. What
//! comes of it is evidence of its own stratum: it is never added to users' requests, and everything that is said of it
//! says that it is synthetic. Sending is not done here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::advance::{decide, done, inconclusive};
use super::estimate;
use super::judging;
use super::lane::{Lane, Release};
use super::mirroring;
use super::model::{Rollout, RolloutKind, State, StepState};
use super::observed::Observed;
use super::outage::outage;
use super::plan::{Step, StepKind};
use super::routing;
use super::shifting::route;
use super::turn::{ENGINE, Turn};
use super::undo;
use crate::judge::Verdict;
use crate::names::{LaneId, VersionName};
use crate::spec::{Probe, ServiceSpec};
use crate::traffic::{Counted, Endpoint, Epoch};
use crate::units::{Millis, Timestamp, Weight};

/// Half of the probes go to the candidate.
pub(super) const HALF: Weight = match Weight::from_bp(5_000) {
    Some(weight) => weight,
    None => Weight::ZERO,
};

/// What is to be probed now.
#[derive(Debug, Clone, PartialEq)]
pub struct Probing {
    /// Whose.
    pub lane: LaneId,
    /// The stretch of evidence.
    pub epoch: Epoch,
    /// What is sent, and how often.
    pub probe: Probe,
    /// The host that users ask for, where one is declared.
    pub host: Option<String>,
    /// Candidate and stable with their ready instances.
    pub versions: Vec<(VersionName, Vec<Endpoint>)>,
    /// What is counted.
    pub objectives: Vec<Counted>,
}

/// Probes of one stretch of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Probed {
    /// Probes that the candidate got.
    pub candidate: u64,
    /// Those that failed.
    pub candidate_failed: u64,
    /// Probes that stable got.
    pub stable: u64,
    /// Those that failed.
    pub stable_failed: u64,
}

impl std::ops::Add for Probed {
    type Output = Probed;
    fn add(self, other: Probed) -> Probed {
        Probed {
            candidate: self.candidate + other.candidate,
            candidate_failed: self.candidate_failed + other.candidate_failed,
            stable: self.stable + other.stable,
            stable_failed: self.stable_failed + other.stable_failed,
        }
    }
}

/// What a lane asks to be probed; nothing unless a step is judged, both versions can answer, and nobody goes back.
pub fn probing_of(lane: &Lane) -> Option<Probing> {
    let open = lane.open.as_ref()?;
    let stable = lane.stable_version()?;
    if open.state != State::Running || open.progress.confirmed.is_none() || !by_probes(open) || mirroring::at_hand(lane)
    {
        return None;
    }
    let ready = |version: &VersionName| {
        let endpoints: Vec<Endpoint> = lane.wanted(version).filter_map(|s| s.ready.clone()).collect();
        (!endpoints.is_empty()).then_some((version.clone(), endpoints))
    };
    let claims = routing::claims(lane, &open.release);
    Some(Probing {
        lane: lane.id.clone(),
        epoch: lane.routing.as_ref()?.epoch,
        probe: open.release.spec.probe.clone()?,
        host: claims.into_iter().find_map(|m| m.host),
        versions: vec![ready(&open.release.version)?, ready(stable)?],
        objectives: routing::counted(lane, &open.release.spec),
    })
}

/// Whether the step at hand is judged by probes as well.
pub(super) fn by_probes(open: &Rollout) -> bool {
    let probes = open.release.spec.probe.is_some();
    let judged = match open.plan.steps.get(open.step).map(|s| s.kind) {
        Some(StepKind::Probe { .. }) => true,
        Some(StepKind::Shift { .. } | StepKind::Cohort { .. }) => probes,
        Some(StepKind::Verify { weight, .. }) => weight < Weight::ALL && probes,
        _ => false,
    };
    judged && open.from.is_some() && strata(open.kind, &open.release.spec) > 1
}

/// How many strata of evidence an objective may have: users' requests, and synthetic ones.
pub(super) fn strata(kind: RolloutKind, spec: &ServiceSpec) -> usize {
    let synthetic = spec.probe.is_some() || spec.mirror.is_some();
    if kind == RolloutKind::Release && synthetic && !spec.is_worker() { 2 } else { 1 }
}

/// The probe by which a release can be judged before any user meets it.
pub(super) fn before_users(release: &Release) -> Option<&Probe> {
    release
        .spec
        .probe
        .as_ref()
        .filter(|_| !release.spec.is_worker())
        .filter(|_| release.spec.objectives.iter().any(|o| !o.bad.is_reported()))
}

/// A step in which only probes are judged: no user meets the candidate.
pub(super) fn probed(turn: &mut Turn, seen: &Observed, step: &Step, now: Timestamp) -> bool {
    let Some(open) = &mut turn.lane.open else { return false };
    if let Some(who) = open.progress.promoted_by.clone() {
        decide(turn, "promote", &who, format!("{who} let step {} pass", step.name), Vec::new(), now);
        return done(turn, &format!("let pass by {who}"), now);
    }
    let Some(began) = open.progress.confirmed else {
        open.progress.shifted = Some(now);
        open.progress.confirmed = Some(now);
        if let Some(record) = open.steps.get_mut(open.step) {
            record.state = StepState::Waiting;
        }
        // Probes of an earlier rollout are no evidence about this one.
        if let Some(split) = turn.lane.routing.as_ref().map(|r| r.split.clone()) {
            let guarded = mirroring::at_hand(&turn.lane);
            route(turn, split, guarded);
        }
        turn.wake(now.plus(Millis::from_secs(1)));
        return false;
    };
    let epoch = turn.lane.routing.as_ref().map(|r| r.epoch);
    if mirroring::at_hand(&turn.lane)
        && seen.lapsed.is_some_and(|lapsed| Some(lapsed) == epoch)
        && let Some(split) = turn.lane.routing.as_ref().map(|r| r.split.clone())
    {
        // Gateways stopped to copy, and nobody was harmed: once more from the beginning.
        route(turn, split, true);
        if let Some(open) = &mut turn.lane.open {
            (open.progress.confirmed, open.progress.forgiven) = (Some(now), Millis(0));
        }
        turn.wake(now.plus(Millis::from_secs(1)));
        return false;
    }
    if outage(turn, seen, now) {
        return false;
    }
    let judgements = judging::judge_all(&turn.lane, seen, now);
    let sentence = judging::sentence(&judgements);
    if let Some(failed) = judgements.iter().find(|j| j.verdict == Verdict::Fail) {
        let cause = format!("{}: {}", failed.name(), failed.sentence);
        undo::begin(turn, &cause, ENGINE, None, judgements, now);
        return true;
    }
    if let Some(open) = &mut turn.lane.open {
        judging::note_waiting(open, &judgements, now);
    }
    let Some(open) = &turn.lane.open else { return false };
    if judging::passed(&judgements, open.strategy.min_requests) {
        decide(turn, "advance", ENGINE, sentence.clone(), judgements, now);
        return done(turn, &sentence, now);
    }
    let limit = estimate::step_limit(&open.strategy);
    let over = began.plus(Millis(limit.0 + open.progress.forgiven.0));
    if now >= over || judgements.is_empty() {
        inconclusive(turn, format!("inconclusive after {} at {}", now.since(began), step.name), judgements, now);
        return true;
    }
    turn.wake(over);
    turn.wake(now.plus(Millis::from_secs(1)));
    false
}

/// Notes what became of probes so far, and that they began. Counts only grow while whoever sends them lives; one that
/// tells of fewer than before has begun anew, and what the one before told is kept beside.
pub(super) fn note(turn: &mut Turn, seen: &Observed) {
    let epoch = turn.lane.routing.as_ref().map(|routing| routing.epoch);
    let began = probing_of(&turn.lane).map(|probing| begun(&probing)).or_else(|| mirroring::begun(&turn.lane));
    let Some(open) = &mut turn.lane.open else { return };
    let began = began.filter(|_| open.probed.is_none());
    open.probed = open.probed.or(began.as_ref().and(epoch));
    if let (Some(first), Some(stable)) = (open.probed, &open.from) {
        for (epoch, version) in seen.probes.rows.keys() {
            if *version != open.release.version || *epoch < first {
                continue;
            }
            let of = |v: &VersionName| seen.probes.rows.get(&(*epoch, v.clone())).cloned().unwrap_or_default();
            let (ours, theirs) = (of(version), of(stable));
            let told = Probed {
                candidate: ours.attempts,
                candidate_failed: ours.failed,
                stable: theirs.attempts,
                stable_failed: theirs.failed,
            };
            let last = open.probes.insert(*epoch, told).unwrap_or_default();
            if told.candidate < last.candidate || told.stable < last.stable {
                let before = open.probed_before.entry(*epoch).or_default();
                *before = *before + last;
            }
        }
    }
    if let Some((sentence, evidence)) = began {
        turn.record("probes.began", ENGINE, sentence, evidence);
    }
}

/// What is recorded where probes begin.
fn begun(probing: &Probing) -> (String, serde_json::Value) {
    let names = probing.versions.iter().map(|(v, _)| v.to_string()).collect::<Vec<_>>().join(" and ");
    let sentence = format!(
        "{} synthetic probes a second each to {names}: {} {}; evidence of their own, not users' requests",
        probing.probe.rate, probing.probe.request.method, probing.probe.request.path
    );
    (sentence, json!({ "synthetic": true, "rate": probing.probe.rate }))
}

/// What became of all probes of a rollout; absent where there were none.
pub fn all_probes(open: &Rollout) -> Option<Probed> {
    open.probed.map(|_| open.probes.values().chain(open.probed_before.values()).fold(Probed::default(), |a, b| a + *b))
}

/// Records what became of probes, once no more are sent.
pub(super) fn close(turn: &mut Turn) {
    let Some(open) = &turn.lane.open else { return };
    let (Some(all), Some(stable)) = (all_probes(open), &open.from) else { return };
    let sentence = format!(
        "{} synthetic probes went to {}, {} failed; {} to {stable}, {} failed",
        all.candidate, open.release.version, all.candidate_failed, all.stable, all.stable_failed
    );
    turn.record("probes.ended", ENGINE, sentence, json!({ "synthetic": true, "probes": all }));
}

/// Keeps probes by stretch of evidence.
pub(super) type Probes = BTreeMap<Epoch, Probed>;

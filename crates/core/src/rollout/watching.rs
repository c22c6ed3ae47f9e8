//! After success: health and objectives go on being watched, and a breach that a change may have caused is an incident.
//!
//! An incident opens when stable is shown to be above one of its objectives, or short of instances, within `watch` of its
//! coming; it closes by itself once it is over. While a rollout is open the rollout has its own eyes. Nothing here goes
//! back; [`rollback_due`] says when the declared policy wants it, and the control plane asks for it like anybody else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::commands::no_way_back;
use super::lane::Lane;
use super::model::RolloutKind;
use super::observed::Observed;
use super::shifting::route;
use super::turn::{ENGINE, Turn};
use crate::judge::{self, Counts};
use crate::names::VersionName;
use crate::spec::OnBreach;
use crate::units::{Millis, Timestamp};

/// How long it must have been over before an incident closes.
const QUIET: Millis = Millis::from_secs(30);
/// How long stable may be short of instances: a restart is no incident. Where none of its own has failed, they may take
/// their `start_limit` beyond it: somebody scaled up, or the machine was started again.
const SHORT: Millis = Millis::from_secs(60);
/// How often all users are counted again while an incident is open.
const RECOUNT: Millis = Millis::from_secs(10);
/// The same while none is.
const RECOUNT_CALM: Millis = Millis::from_secs(600);
/// Requests within ten seconds that can show that all is well again.
const ENOUGH: u64 = 50;
/// How long after a way back that failed the next is tried.
const AGAIN: Millis = Millis::from_secs(300);
/// How far back a change of another service is named as a likely cause.
const LIKELY: Millis = Millis::from_secs(3600);

/// What a lane's watch keeps.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Watching {
    /// Since when stable has been short of instances.
    pub short_since: Option<Timestamp>,
    /// Instances of its own have ended unasked or failed their health check meanwhile.
    #[serde(default)]
    pub failing: bool,
    /// The incident that is open.
    pub incident: Option<Incident>,
    /// Incidents so far.
    pub incidents: u64,
    /// When users who had met too much to be counted began to be counted again.
    #[serde(default)]
    pub counted_since: Option<Timestamp>,
}

/// Trouble after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Its number in the lane.
    pub number: u64,
    /// When it opened.
    pub since: Timestamp,
    /// What is broken, as it was last seen.
    pub what: Vec<String>,
    /// Changes that may have caused it, the likeliest first.
    pub likely: Vec<String>,
    /// Since when nothing has been broken any more.
    pub over_since: Option<Timestamp>,
    /// Somebody went back, or Slipway did.
    pub acted: bool,
    /// All that is broken is that instances are missing.
    #[serde(default)]
    pub only_short: bool,
    /// A way back has failed: Slipway tries none before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_at: Option<Timestamp>,
}

/// An instance of `version` has failed by itself.
pub(super) fn failed(lane: &mut Lane, version: &VersionName) {
    lane.watching.failing |= lane.stable_version() == Some(version);
}

/// A release has come to serve: what breaks from here on is its own, and an incident of its own.
pub(super) fn succeeded(turn: &mut Turn, version: &VersionName, now: Timestamp) {
    let watching = &mut turn.lane.watching;
    (watching.short_since, watching.failing) = (None, false);
    if let Some(Incident { number, since, .. }) = watching.incident.take() {
        let sentence = format!("incident {number} is closed: {version} serves from now on");
        let evidence = json!({ "incident": number, "ms": now.since(since).0 });
        turn.record("incident.closed", ENGINE, sentence, evidence);
    }
}

/// Looks at what serves, while no rollout does.
pub(super) fn watch(turn: &mut Turn, seen: &Observed, now: Timestamp) {
    // What was seen for this turn was seen of the version that served before.
    let rolling = turn.lane.open.as_ref().is_some_and(|open| open.kind != RolloutKind::Contract);
    if rolling || turn.lane.stable.is_none() || turn.lane.deployed_at == Some(now) {
        return;
    }
    note_shortage(turn, now);
    recount(turn, now);
    // What was seen for this turn was counted before.
    if turn.lane.counted_afresh.is_some_and(|afresh| now < afresh) {
        return;
    }
    let breaches = breaches(&turn.lane, seen, now);
    match (&turn.lane.watching.incident, breaches.is_empty()) {
        (None, false) if within(&turn.lane, now) => open(turn, seen, breaches, now),
        (Some(_), _) => follow(turn, breaches, now),
        _ => {}
    }
}

/// Whether stable came so lately that trouble may be its doing.
fn within(lane: &Lane, now: Timestamp) -> bool {
    let environment = lane.stable.as_ref().and_then(|stable| stable.environment(&lane.id));
    match (environment, lane.deployed_at) {
        (Some(environment), Some(at)) => now.since(at) < environment.watch,
        _ => false,
    }
}

fn note_shortage(turn: &mut Turn, now: Timestamp) {
    let Some(stable) = &turn.lane.stable else { return };
    let short = turn.lane.ready(&stable.version) < stable.instances(&turn.lane.id);
    turn.lane.watching.short_since = match short {
        true => {
            let since = turn.lane.watching.short_since.unwrap_or(now);
            let over = since.plus(patience(&turn.lane));
            if now < over {
                turn.wake(over);
            }
            Some(since)
        }
        false => None,
    };
    turn.lane.watching.failing &= short;
}

/// How long stable may be short now.
fn patience(lane: &Lane) -> Millis {
    let start = lane.stable.as_ref().filter(|_| !lane.watching.failing).map(|stable| stable.spec.health.start_limit);
    Millis(SHORT.0 + start.unwrap_or_default().0)
}

fn short_for_long(lane: &Lane, now: Timestamp) -> bool {
    lane.watching.short_since.is_some_and(|since| now.since(since) >= patience(lane))
}

/// What is broken now, a sentence each; that instances are missing comes last.
fn breaches(lane: &Lane, seen: &Observed, now: Timestamp) -> Vec<String> {
    let Some(stable) = &lane.stable else { return Vec::new() };
    let mut broken: Vec<String> = broken(lane, seen).into_iter().map(|(_, what)| what).collect();
    let (ready, declared) = (lane.ready(&stable.version), stable.instances(&lane.id));
    if short_for_long(lane, now) {
        broken.push(format!("only {ready} of {declared} instances of {} are ready", stable.version));
    }
    broken
}

/// Objectives that stable is shown to be above, each by its name, with a sentence.
pub(super) fn broken(lane: &Lane, seen: &Observed) -> Vec<(String, String)> {
    let Some(stable) = &lane.stable else { return Vec::new() };
    let mut broken = Vec::new();
    for objective in &stable.spec.objectives {
        let of = |counts: &BTreeMap<String, Counts>| counts.get(&objective.name).copied().unwrap_or_default();
        let (latest, lately) = (of(&seen.evidence.stable_ten_seconds), of(&seen.evidence.stable_ten_minutes));
        // What was bad ten minutes ago keeps no incident open once enough has been good since.
        let well = latest.n >= ENOUGH && latest.rate() <= objective.at_most;
        let windows = [(latest, "ten seconds"), (lately, "ten minutes")];
        let found = windows.into_iter().find(|(counts, _)| !well && judge::breached(objective, *counts));
        if let Some((counts, length)) = found {
            let sentence = format!(
                "{}: {} of {} in {length}, and {} is the most",
                objective.name,
                counts.bad,
                counts.n,
                judge::percent(objective.at_most)
            );
            broken.push((objective.name.clone(), sentence));
        }
    }
    broken
}

fn open(turn: &mut Turn, seen: &Observed, what: Vec<String>, now: Timestamp) {
    let likely = likely(&turn.lane, seen, now);
    let only_short = what.len() == usize::from(short_for_long(&turn.lane, now));
    let watching = &mut turn.lane.watching;
    watching.incidents += 1;
    let number = watching.incidents;
    watching.incident = Some(Incident {
        number,
        since: now,
        what: what.clone(),
        likely: likely.clone(),
        over_since: None,
        acted: false,
        only_short,
        again_at: None,
    });
    let sentence = format!("incident {number}: {}; likely: {}", what.join("; "), likely.join("; "));
    turn.record("incident.opened", ENGINE, sentence, json!({ "incident": number, "what": what, "likely": likely }));
}

/// Goes on watching an open incident, and closes it once it has been over for a while.
fn follow(turn: &mut Turn, what: Vec<String>, now: Timestamp) {
    let only_short = what.len() == usize::from(short_for_long(&turn.lane, now));
    let Some(incident) = &mut turn.lane.watching.incident else { return };
    if !what.is_empty() {
        incident.only_short = only_short;
        // The numbers change with every look; that something else is broken is worth keeping.
        let names =
            |all: &[String]| all.iter().filter_map(|s| s.split(':').next()).map(str::to_string).collect::<Vec<_>>();
        if names(&what) != names(&incident.what) {
            incident.what = what;
        }
        incident.over_since = None;
        turn.wake(now.plus(Millis::from_secs(5)));
        return;
    }
    let over = *incident.over_since.get_or_insert(now);
    if now.since(over) < QUIET {
        return turn.wake(over.plus(QUIET));
    }
    let (number, lasted) = (incident.number, over.since(incident.since));
    turn.lane.watching.incident = None;
    let sentence = format!("incident {number} is over after {lasted}");
    turn.record("incident.closed", ENGINE, sentence, json!({ "incident": number, "ms": lasted.0 }));
}

/// A user who met three failures is not counted any more in a stretch of evidence. In a long one that would sooner or
/// later be everybody whom anything could be told from: so stretches are kept short while somebody watches.
fn recount(turn: &mut Turn, now: Timestamp) {
    let length = match turn.lane.watching.incident {
        Some(_) => RECOUNT,
        None if within(&turn.lane, now) || turn.lane.restarting.is_some() => RECOUNT_CALM,
        None => return,
    };
    let since = *turn.lane.watching.counted_since.get_or_insert(now);
    if now.since(since) < length {
        return;
    }
    turn.lane.watching.counted_since = Some(now);
    if let Some(split) = turn.lane.routing.as_ref().map(|routing| routing.split.clone()) {
        route(turn, split, false);
    }
}

/// Changes before an incident: the service's own first, then those of others in the environment, newest first.
fn likely(lane: &Lane, seen: &Observed, now: Timestamp) -> Vec<String> {
    let own = lane.stable_version().zip(lane.deployed_at);
    let undone = lane.undone.as_ref().and_then(|undone| Some((&undone.from, now.since(undone.at?))));
    let mut named: Vec<String> = undone
        .filter(|(_, ago)| *ago <= LIKELY)
        .map(|(version, ago)| format!("{version} of {}, taken back {ago} ago", lane.id.service))
        .into_iter()
        .chain(own.map(|(version, at)| format!("{version} of {}, {} ago", lane.id.service, now.since(at))))
        .collect();
    let mut others: Vec<_> = seen
        .serving
        .iter()
        .filter(|(other, _)| **other != lane.id && other.environment == lane.id.environment)
        .filter_map(|(other, serving)| Some((other, &serving.version, serving.since?)))
        .filter(|(_, _, since)| now.since(*since) <= LIKELY)
        .collect();
    others.sort_by_key(|(_, _, since)| std::cmp::Reverse(*since));
    named.extend(
        others
            .iter()
            .take(5)
            .map(|(other, version, at)| format!("{version} of {}, {} ago", other.service, now.since(*at))),
    );
    named
}

/// A rollback has failed, and what it was to leave serves on: the incident calls for another, and for a person until then.
pub(super) fn still_here(turn: &mut Turn, cause: &str, now: Timestamp) {
    let again = now.plus(AGAIN);
    let Some(incident) = &mut turn.lane.watching.incident else { return };
    (incident.acted, incident.again_at) = (false, Some(again));
    if on_breach(&turn.lane) == Some(OnBreach::Rollback) {
        no_way_back(turn, &format!("{cause}; the next is tried in {AGAIN}"));
    }
}

fn on_breach(lane: &Lane) -> Option<OnBreach> {
    let environment = lane.stable.as_ref().and_then(|stable| stable.environment(&lane.id));
    environment.map(|environment| environment.on_breach)
}

/// Whether an incident began while what a release that was taken back had done was still felt: going back further helps
/// nobody then.
fn is_aftermath(lane: &Lane, incident: &Incident) -> bool {
    let undone = lane.undone.as_ref().and_then(|undone| undone.at);
    undone.is_some_and(|at| at <= incident.since && incident.since.since(at) < QUIET)
}

/// Whether the policy of what serves wants to go back by itself now. Missing instances are a reason only where the version's
/// own have failed: an earlier one would be started on the same machine.
pub fn rollback_due(lane: &Lane, now: Timestamp) -> bool {
    lane.open.as_ref().is_none_or(|open| open.kind == RolloutKind::Contract)
        && lane.predecessor.is_some()
        && on_breach(lane) == Some(OnBreach::Rollback)
        && within(lane, now)
        && lane.watching.incident.as_ref().is_some_and(|i| {
            let own = (!i.only_short || lane.watching.failing) && !is_aftermath(lane, i);
            !i.acted && i.over_since.is_none() && i.again_at.is_none_or(|at| now >= at) && own
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::fixture;
    use crate::rollout::lane::WentBack;

    const FILE: &str = "
service: shop
run: { command: [./shop, \"{port}\"] }
health: { http: /, start_limit: 90s }
objectives: [{ name: errors, bad: failed, at_most: 7% }]
environments:
  production: { instances: 2, on_breach: rollback, strategy: { blue-green: {} } }
";

    /// One of two instances of 1 is ready, and 0 served before it.
    fn short() -> Lane {
        let mut lane = fixture::serving(FILE);
        lane.slots = vec![fixture::slot(&lane, 1, "1", true), fixture::slot(&lane, 2, "1", false)];
        lane.predecessor = lane.stable.clone();
        lane.deployed_at = Some(Timestamp(0));
        lane
    }

    fn watched(lane: &Lane, seen: &Observed, at: u64) -> Lane {
        let mut turn = Turn::new(lane);
        watch(&mut turn, seen, Timestamp(at));
        turn.lane
    }

    #[test]
    fn instances_that_are_started_have_their_time_and_are_no_reason_to_go_back() {
        let seen = Observed::default();
        let lane = watched(&watched(&short(), &seen, 1_000), &seen, 150_900);
        assert_eq!(lane.watching.incident, None, "somebody scaled up, and they may take 90 s");
        let lane = watched(&lane, &seen, 151_000);
        assert!(lane.watching.incident.as_ref().is_some_and(|incident| incident.what[0].contains("only 1 of 2")));
        assert!(!rollback_due(&lane, Timestamp(151_000)), "none of its own has failed");
    }

    #[test]
    fn instances_that_fail_by_themselves_are() {
        let seen = Observed::default();
        let mut lane = short();
        failed(&mut lane, &"1".parse().unwrap());
        let lane = watched(&watched(&lane, &seen, 1_000), &seen, 61_000);
        assert!(lane.watching.incident.is_some() && rollback_due(&lane, Timestamp(61_000)));
    }

    #[test]
    fn the_share_that_is_acceptable_is_told_as_it_was_written() {
        let mut seen = Observed::default();
        let bad = Counts { n: 1_000, bad: 900, bad_keys: 900 };
        seen.evidence.stable_ten_seconds.insert("errors".to_string(), bad);
        let lane = watched(&short(), &seen, 1_000);
        let told = lane.watching.incident.as_ref().map(|incident| incident.what.join("; "));
        assert_eq!(told.as_deref(), Some("errors: 900 of 1000 in ten seconds, and 7% is the most"));
        assert!(rollback_due(&lane, Timestamp(1_000)));
    }

    /// Nine in ten of what 1 answers are bad.
    fn bad() -> Observed {
        let mut seen = Observed::default();
        let counts = Counts { n: 1_000, bad: 900, bad_keys: 900 };
        seen.evidence.stable_ten_seconds.insert("errors".to_string(), counts);
        seen
    }

    fn undone_at(lane: &mut Lane, at: u64) {
        let (from, to) = ("2".parse().unwrap(), "1".parse().unwrap());
        let rollout = crate::names::RolloutId::numbered(2);
        lane.undone = Some(WentBack { rollout, from, to, at: Some(Timestamp(at)), cause: "errors".to_string() });
    }

    #[test]
    fn what_was_counted_beside_a_release_that_was_taken_back_is_no_incident() {
        let lane = Lane { counted_afresh: Some(Timestamp(12_000)), ..short() };
        assert_eq!(watched(&lane, &bad(), 11_999).watching.incident, None);
        assert!(watched(&lane, &bad(), 12_000).watching.incident.is_some(), "it goes on all the same");
    }

    #[test]
    fn what_a_release_that_was_taken_back_leaves_behind_is_no_reason_to_go_back_further() {
        let mut lane = short();
        undone_at(&mut lane, 10_000);
        for (at, due) in [(12_000, false), (40_000, true)] {
            let lane = watched(&lane, &bad(), at);
            let likely = &lane.watching.incident.as_ref().unwrap().likely;
            assert_eq!(likely[0], format!("2 of shop, taken back {} ago", Millis(at - 10_000)));
            assert_eq!(rollback_due(&lane, Timestamp(at)), due, "{at}");
        }
    }

    #[test]
    fn a_rollback_that_failed_is_told_of_and_tried_again_later() {
        let mut lane = watched(&short(), &bad(), 1_000);
        lane.watching.incident.as_mut().unwrap().acted = true;
        let mut turn = Turn::new(&lane);
        still_here(&mut turn, "no memory", Timestamp(5_000));
        assert_eq!(turn.facts[0].kind, "incident.no_way_back");
        assert!(turn.facts[0].cause.contains("no memory"), "{}", turn.facts[0].cause);
        assert!(!rollback_due(&turn.lane, Timestamp(304_999)));
        assert!(rollback_due(&turn.lane, Timestamp(305_000)));
    }
}

//! The schema of a lane's database: which one it has, which versions still fit, and the commands that change it.
//!
//! A schema is a number that versions name (`needs_schema`). `expand` brings a later one and keeps the earlier ones
//! working; `contract` ends that. So versions fit that need no more than what was expanded and no less than what was
//! contracted. Every command is asked for once: what became of it is known, or a person is asked. Pure, like its
//! callers: the planner, gates, and the commands of people.

mod contracting;
mod expanding;
mod reverting;
mod settling;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::effect::Effect;
use super::lane::{Asked, Lane, Release};
use super::model::RolloutKind;
use super::turn::{ENGINE, Turn};
use crate::job::{Job, JobEnd};
use crate::names::{RolloutId, VersionName};
use crate::spec::Migrate;
use crate::units::{Millis, Timestamp};

pub use contracting::{bears_contract, contract_due};
pub(super) use contracting::{contract, give_way, owe, succeed as contracted, withdraw};
pub(super) use expanding::expand;
pub(super) use reverting::take_back;
pub use settling::settle;

/// Beyond a command's own time, how long its end may take to be heard of.
const SLACK: Millis = Millis::from_secs(60);

/// What is known of a lane's database.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Schema {
    /// What it has been expanded to; absent as long as no version has said.
    pub at: Option<u64>,
    /// What it has been contracted to: versions that need less do not fit any more.
    pub since: Option<u64>,
    /// The command that was asked for last, until it is known what became of it.
    pub running: Option<Migration>,
    /// What was expanded for a rollout that has not succeeded.
    pub expanded: Option<Expanded>,
    /// Contracts that wait for their time, the oldest first.
    pub owed: Vec<Owed>,
}

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Adds what a version needs.
    Expand,
    /// Takes that back.
    Revert,
    /// Removes what only earlier versions need.
    Contract,
}

impl Act {
    /// As it stands in the declared file.
    pub fn as_str(self) -> &'static str {
        match self {
            Act::Expand => "expand",
            Act::Revert => "revert",
            Act::Contract => "contract",
        }
    }
}

/// A command that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// What it does.
    pub act: Act,
    /// The schema that it is about.
    pub schema: u64,
    /// The version that brought it.
    pub version: VersionName,
    /// The rollout that it belongs to.
    pub rollout: RolloutId,
    /// When it was asked for.
    pub asked: Timestamp,
    /// How long it may take.
    pub timeout: Millis,
    /// What was contracted before.
    pub since_before: Option<u64>,
    /// Why nobody knows what it has done, where that is so: a person has to look.
    pub unclear: Option<String>,
    /// Somebody was told that its end is overdue.
    #[serde(default)]
    pub told: bool,
}

impl Migration {
    /// The job's name: one for each rollout and act.
    fn id(&self) -> String {
        format!("{}-{}", self.rollout, self.act.as_str())
    }
}

/// What was expanded for a rollout that has not succeeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expanded {
    /// Whose commands they are.
    pub release: Release,
    /// The rollout.
    pub rollout: RolloutId,
    /// The schema before.
    pub before: Option<u64>,
}

/// A contract that waits for its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Owed {
    /// Whose command it is.
    pub release: Release,
    /// The schema that it leaves.
    pub schema: u64,
    /// Who released it.
    #[serde(default)]
    pub by: String,
}

/// Whether `release` can live with the lane's database as it is; otherwise why not, and what to do.
pub fn fits(lane: &Lane, release: &Release) -> Result<(), String> {
    let (schema, version) = (&lane.schema, &release.version);
    match (release.spec.needs_schema, schema.since, available(lane)) {
        (Some(need), Some(since), _) if need < since => Err(format!(
            "{version} needs schema {need} of the database, and that is gone: it was contracted to {since}"
        )),
        (None, Some(since), _) => Err(format!(
            "{version} does not say which schema it needs, and the database was contracted to {since}; \
             declare needs_schema: {since} where it can live with that"
        )),
        (Some(need), _, Some(at)) if need > at && brings(release).is_none() => Err(format!(
            "{version} needs schema {need} of the database, which has {at}, and declares no migrate to bring it"
        )),
        _ => Ok(()),
    }
}

/// The same for a version that comes back: nothing is expanded for it.
pub fn fits_back(lane: &Lane, release: &Release) -> Result<(), String> {
    fits(lane, release)?;
    match (release.spec.needs_schema, available(lane)) {
        (Some(need), Some(at)) if need > at => Err(format!(
            "{} needs schema {need} of the database, which has {at}; release it, so that it is expanded",
            release.version
        )),
        _ => Ok(()),
    }
}

/// The schema that lasts: what is being taken back does not count.
fn available(lane: &Lane) -> Option<u64> {
    let open = lane.open.as_ref().map(|open| &open.id);
    match &lane.schema.expanded {
        Some(expanded) if open != Some(&expanded.rollout) => expanded.before,
        _ => lane.schema.at,
    }
}

/// The migration that `release` would begin with: what it brings, unless it is there already.
pub(super) fn expands<'a>(lane: &Lane, release: &'a Release) -> Option<(u64, &'a Migrate)> {
    brings(release).filter(|(need, _)| lane.schema.at.is_none_or(|at| at < *need))
}

fn brings(release: &Release) -> Option<(u64, &Migrate)> {
    Some((release.spec.needs_schema?, release.spec.migrate.as_ref()?))
}

/// Whether what is asked for has to wait until the database has come to rest. Nothing holds a rollback up.
pub(super) fn busy(lane: &Lane, asked: &Asked) -> bool {
    let schema = &lane.schema;
    let at_work = schema.running.as_ref().is_some_and(|m| m.unclear.is_none());
    asked.kind != RolloutKind::Rollback && (at_work || (schema.expanded.is_some() && schema.running.is_none()))
}

/// What stands against beginning: a command of which nobody knows what it has done, or a schema that does not fit.
pub(super) fn blocked(lane: &Lane, kind: RolloutKind, release: &Release) -> Option<String> {
    if kind == RolloutKind::Rollback || matches!(kind, RolloutKind::Drill { .. }) {
        return fits_back(lane, release).err();
    }
    unclear(lane).or_else(|| fits(lane, release).err())
}

/// What a person has to look at, if anything.
pub fn unclear(lane: &Lane) -> Option<String> {
    let running = lane.schema.running.as_ref()?;
    let why = running.unclear.as_ref()?;
    Some(format!(
        "nobody knows what {} of schema {} has done: {why}; look at the database, then say so: \
         slipway migration {} --env {} --settle applied|not-applied",
        running.act.as_str(),
        running.schema,
        lane.id.service,
        lane.id.environment
    ))
}

/// What a plan has to say about the database.
pub(super) fn remarks(lane: &Lane, kind: RolloutKind, release: &Release) -> Vec<String> {
    let mut remarks = Vec::new();
    let at = available(lane);
    match kind {
        RolloutKind::Release => {
            if let (Some((need, migrate)), since) = (brings(release), lane.schema.since) {
                if expands(lane, release).is_none() {
                    remarks.push(format!("the database has schema {need} already: expand is not run"));
                }
                if migrate.contract.is_some() && since.is_none_or(|since| since < need) {
                    remarks.push(format!(
                        "contract of schema {need} follows as a rollout of its own, once standby has ended and somebody \
                         has approved it: the point of no return for versions that need less"
                    ));
                }
            }
        }
        RolloutKind::Rollback | RolloutKind::Drill { .. } => {
            if let Some(at) = at.filter(|at| release.spec.needs_schema.is_none_or(|need| need < *at)) {
                remarks.push(format!("the database keeps schema {at}, with which {} can live", release.version));
            }
        }
        RolloutKind::Contract => {
            let gone = lane.predecessor.iter().filter(|p| p.spec.needs_schema < release.spec.needs_schema);
            remarks.extend(gone.map(|p| format!("there will be no way back to {} any more", p.version)));
        }
    }
    remarks
}

/// Asks for a command, once.
fn ask(turn: &mut Turn, act: Act, release: &Release, rollout: &RolloutId, now: Timestamp) {
    let Some((schema, migrate)) = brings(release) else { return };
    let command = match act {
        Act::Expand => Some(&migrate.expand),
        Act::Revert => migrate.revert.as_ref(),
        Act::Contract => migrate.contract.as_ref(),
    };
    let Some(command) = command else { return };
    let lane = turn.lane.id.clone();
    let migration = Migration {
        act,
        schema,
        version: release.version.clone(),
        rollout: rollout.clone(),
        asked: now,
        timeout: migrate.timeout,
        since_before: turn.lane.schema.since,
        unclear: None,
        told: false,
    };
    let mut env = release.spec.env(&lane.environment);
    env.extend([
        ("SCHEMA".to_string(), schema.to_string()),
        ("VERSION".to_string(), release.version.to_string()),
        ("ENVIRONMENT".to_string(), lane.environment.to_string()),
    ]);
    let job = Job {
        id: migration.id(),
        service: lane.service.clone(),
        environment: lane.environment.clone(),
        version: release.version.clone(),
        artifact: release.artifact.clone(),
        command: command.clone(),
        env,
        files: release.spec.files(&lane.environment),
        env_file: release.spec.env_file(&lane.environment),
        timeout: migrate.timeout,
    };
    let doing = match act {
        Act::Expand => "expanding",
        Act::Revert => "reverting",
        Act::Contract => "contracting",
    };
    note(turn, &migration, doing, ENGINE, format!("{} of schema {schema} is run: {}", act.as_str(), command.join(" ")));
    turn.lane.schema.running = Some(migration);
    turn.effects.push(Effect::Run { job: Box::new(job) });
}

/// What became of a command. Returns why the version has failed, where it has.
pub(super) fn absorb(turn: &mut Turn, job: &str, end: &JobEnd) -> Option<(VersionName, String)> {
    let running = turn.lane.schema.running.take_if(|m| m.id() == *job)?;
    let (act, schema) = (running.act, running.schema);
    let how = match end {
        JobEnd::Done { .. } => {
            applied(turn, &running, ENGINE, format!("{} of schema {schema} is done", act.as_str()));
            return None;
        }
        // An expand that failed half-way is what a revert is for: without it somebody has to look.
        JobEnd::NotRun { why } if act == Act::Revert => format!("it could not be run: {why}"),
        JobEnd::NotRun { why } => {
            let sentence = format!("{} of schema {schema} could not be run: {why}", act.as_str());
            not_applied(turn, &running, ENGINE, sentence.clone());
            return (act == Act::Expand).then_some((running.version, sentence));
        }
        JobEnd::Failed { why } | JobEnd::Unclear { why } => why.clone(),
    };
    let sentence = format!("{} of schema {schema} failed: {how}", act.as_str());
    let revertible = turn.lane.schema.expanded.as_ref().is_some_and(|e| {
        e.rollout == running.rollout && brings(&e.release).is_some_and(|(_, migrate)| migrate.revert.is_some())
    });
    let failed = act == Act::Expand && matches!(end, JobEnd::Failed { .. });
    let version = running.version.clone();
    if failed && revertible {
        // Half of it may be there: taking it back is what revert is for.
        note(turn, &running, "failed", ENGINE, sentence.clone());
    } else {
        note(turn, &running, "unclear", ENGINE, sentence.clone());
        turn.lane.schema.running = Some(Migration { unclear: Some(how), ..running });
    }
    failed.then_some((version, sentence))
}

/// A command whose end has not been heard of: a person is told, and it is waited for. Whoever runs it ends it when its
/// time is over, so nobody is asked what it did before it can do no more.
pub(super) fn overdue(turn: &mut Turn, now: Timestamp) {
    let Some(running) = turn.lane.schema.running.clone().filter(|m| m.unclear.is_none() && !m.told) else { return };
    let limit = running.asked.plus(running.timeout).plus(SLACK);
    if now < limit {
        return turn.wake(limit);
    }
    let sentence =
        format!("the end of {} of schema {} is overdue; it is waited for", running.act.as_str(), running.schema);
    note(turn, &running, "overdue", ENGINE, sentence);
    turn.lane.schema.running = Some(Migration { told: true, ..running });
}

/// The command did what it is for.
fn applied(turn: &mut Turn, running: &Migration, actor: &str, sentence: String) {
    let schema = &mut turn.lane.schema;
    let done = match running.act {
        Act::Expand => {
            schema.at = Some(running.schema);
            "expanded"
        }
        Act::Revert => {
            if let Some(expanded) = schema.expanded.take() {
                schema.at = expanded.before;
            }
            "reverted"
        }
        Act::Contract => {
            schema.since = Some(running.schema);
            schema.owed.retain(|owed| owed.schema != running.schema);
            "contracted"
        }
    };
    note(turn, running, done, actor, sentence);
}

/// Nothing came of the command.
fn not_applied(turn: &mut Turn, running: &Migration, actor: &str, sentence: String) {
    let schema = &mut turn.lane.schema;
    match running.act {
        Act::Expand | Act::Revert => schema.expanded = None,
        // It is still owed, and asked for again.
        Act::Contract => schema.since = running.since_before,
    }
    note(turn, running, "not_applied", actor, sentence);
}

/// Records something about a command under the rollout that it belongs to, which may be over.
fn note(turn: &mut Turn, migration: &Migration, what: &str, actor: &str, sentence: String) {
    turn.record(&format!("schema.{what}"), actor, sentence, json!({ "migration": migration }));
    if let Some(fact) = turn.facts.last_mut() {
        fact.rollout = Some(migration.rollout.clone());
    }
}

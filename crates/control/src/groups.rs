//! Releasing groups: what is asked is checked whole before anything is done, and then driven member by member.
//!
//! A group release is a document of its own; members are released and taken back by the same commands that people use,
//! under keys that make repeating them harmless. One task drives each; after a restart it goes on from the document.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use slipway_core::group::{Act, GroupRun, GroupState, Member, MemberProgress, MemberSeen, Standing, in_order};
use slipway_core::journal::Fact;
use slipway_core::names::{EnvironmentName, GroupName, LaneId, RolloutId, ServiceName};
use slipway_core::rollout::{
    self, Gate, Lane, Plan, Refusal, Release, RolloutKind, Serving, State, Today, commands, gates,
};
use slipway_store::GroupCommit;

use crate::admission::{self, Admitted};
use crate::by::By;
use crate::control::{Control, ReleaseRequest};
use crate::error::Error;
use crate::views::RolloutNow;

/// How long a group goes without a look if nothing happens.
const LOOK: Duration = Duration::from_secs(1);
/// How long until something that could not be done is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// A service of a group that is to be released.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupMemberRequest {
    /// What is asked for.
    pub request: ReleaseRequest,
    /// Services of the group that come before it.
    pub after: Vec<ServiceName>,
}

/// A release of a group that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupRequest {
    /// The group.
    pub group: GroupName,
    /// Where to.
    pub environment: EnvironmentName,
    /// Its services as they are declared.
    pub members: Vec<GroupMemberRequest>,
}

/// A service of a group as it would be released.
#[derive(Debug, Clone)]
pub struct PlannedMember {
    /// The service.
    pub service: ServiceName,
    /// Services of the group that come before it.
    pub after: Vec<ServiceName>,
    /// Its plan.
    pub plan: Plan,
    /// Its gates, as they will stand when the members before it have been released.
    pub gates: Vec<Gate>,
    /// It serves the version already.
    pub unchanged: bool,
}

/// What is kept of a group release.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Document {
    number: u64,
    run: GroupRun,
    /// In the order of the run's members.
    requests: Vec<ReleaseRequest>,
    /// Who asked to go back, for the way back.
    #[serde(default)]
    back_by: Option<String>,
}

struct Checked {
    lane: Lane,
    release: Release,
    planned: PlannedMember,
    request: ReleaseRequest,
}

impl Control {
    /// What a group release would do, in the order in which it would do it.
    pub async fn plan_group(&self, request: GroupRequest, by: &By) -> Result<Vec<PlannedMember>, Error> {
        Ok(self.checked(request, by).await?.into_iter().map(|checked| checked.planned).collect())
    }

    /// Asks for a group release. Refused whole where any of its services could not begin.
    pub async fn release_group(&self, request: GroupRequest, by: &By) -> Result<GroupRun, Error> {
        let (group, environment) = (request.group.clone(), request.environment.clone());
        let checked = self.checked(request, by).await?;
        for member in &checked {
            let (lane, planned) = (&member.lane, &member.planned);
            if let Some(open) = lane.open.as_ref().map(|open| &open.id).or(lane.queue.first().map(|asked| &asked.id)) {
                return refused("rollout_open", format!("{open} of {} is open: ask again when it is over", lane.id));
            }
            if let Some(blocked) = gates::blocked(&planned.gates).filter(|_| !planned.unchanged) {
                return refused("gates_block", format!("{}: {blocked}", planned.service));
            }
        }
        // Looked at and kept under one lock: two that are asked for at the same time must not both begin.
        let _one = self.engine().groups.lock().await;
        for id in self.store().open_groups().await? {
            let Some(other) = self.store().group_run::<Document>(&id).await? else { continue };
            let other = other.doc.run;
            let shares = |m: &Checked| other.members.iter().any(|o| o.service == m.planned.service);
            if other.environment == environment && checked.iter().any(shares) {
                return refused("group_open", format!("{id} of {} is open: ask again when it is over", other.group));
            }
        }
        for member in &checked {
            admission::admit(self.engine(), &member.request, Some(&by.actor)).await?;
        }
        let number = self.store().next_group_number().await?;
        let run = GroupRun {
            id: format!("gr-{number}"),
            group,
            environment,
            actor: by.actor.clone(),
            asked_at: self.now(),
            ended_at: None,
            members: checked.iter().map(member).collect(),
            state: GroupState::Going,
        };
        let order = run.members.iter().map(|m| format!("{} {}", m.service, m.version)).collect::<Vec<_>>().join(", ");
        let cause = format!("to be released in this order, and taken back in reverse: {order}");
        let facts = vec![run.fact("group.planned", &by.actor, cause)];
        let requests = checked.into_iter().map(|member| member.request).collect();
        let document = Document { number, run: run.clone(), requests, back_by: None };
        if !self.keep_group(&document, 0, facts).await? {
            return Err(Error::Unavailable(format!("{} was not kept", run.id)));
        }
        self.drive_group(run.id.clone());
        Ok(run)
    }

    /// The newest release of a group.
    pub async fn group(&self, group: &GroupName, environment: &EnvironmentName) -> Result<GroupRun, Error> {
        let newest = self.store().newest_group_run::<Document>(group, environment).await?;
        let none = || Error::NotFound(format!("group {group} was never released to {environment}"));
        Ok(newest.ok_or_else(none)?.doc.run)
    }

    /// Takes the newest release of a group back, whether it goes on or has succeeded.
    pub async fn roll_group_back(
        &self,
        group: &GroupName,
        environment: &EnvironmentName,
        by: &By,
    ) -> Result<GroupRun, Error> {
        for _ in 0..5 {
            let newest = self.store().newest_group_run::<Document>(group, environment).await?;
            let none = || Error::NotFound(format!("group {group} was never released to {environment}"));
            let kept = newest.ok_or_else(none)?;
            let mut document = kept.doc;
            let run = &mut document.run;
            match &run.state {
                GroupState::Returning { .. } => return Ok(run.clone()),
                GroupState::Ended { outcome, .. } if *outcome != rollout::Outcome::Succeeded => {
                    return refused(
                        "no_rollback_of_a_rollback",
                        format!("{} went back already; name the services to go further back", run.id),
                    );
                }
                GroupState::Going | GroupState::Ended { .. } => {}
            }
            let mut facts = Vec::new();
            run.turn_back(&format!("rollback asked for by {}", by.actor), &by.actor, &mut facts);
            run.ended_at = None;
            document.back_by = Some(by.actor.clone());
            let run = document.run.clone();
            if self.keep_group(&document, kept.generation, facts).await? {
                self.drive_group(run.id.clone());
                return Ok(run);
            }
        }
        Err(Error::Unavailable(format!("{group} is being changed by somebody else all the time")))
    }

    /// Goes on with every group release that is open.
    pub(crate) async fn take_groups_up(&self) -> Result<(), Error> {
        for id in self.store().open_groups().await? {
            self.drive_group(id);
        }
        Ok(())
    }

    fn drive_group(&self, id: String) {
        let control = self.clone();
        self.spawn(async move {
            loop {
                match control.move_group(&id).await {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(error) => {
                        tracing::warn!(group = id, %error, "a group release is looked at again");
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            }
        });
    }

    /// One look at a group release. Returns whether it goes on.
    async fn move_group(&self, id: &str) -> Result<bool, Error> {
        let mut changes = self.store().subscribe();
        changes.mark_unchanged();
        let Some(kept) = self.store().group_run::<Document>(id).await? else { return Ok(false) };
        let mut document = kept.doc;
        if !document.run.is_open() {
            return Ok(false);
        }
        let mut seen = Vec::new();
        for member in &document.run.members {
            seen.push(self.member_seen(&document.run.environment, member).await?);
        }
        let before = document.run.clone();
        let (act, facts) = document.run.advance(&seen, self.now());
        // What is about to be done is kept before it is done.
        let mut generation = kept.generation;
        if document.run != before || !facts.is_empty() {
            if !self.keep_group(&document, generation, facts).await? {
                return Ok(true);
            }
            generation += 1;
        }
        if !document.run.is_open() {
            return Ok(false);
        }
        if act == Act::Wait {
            let _ = tokio::time::timeout(LOOK, changes.changed()).await;
            return Ok(true);
        }
        if self.act(&mut document, &act).await? {
            self.keep_group(&document, generation, Vec::new()).await?;
        } else {
            let _ = tokio::time::timeout(LOOK, changes.changed()).await;
        }
        Ok(true)
    }

    /// Does what is next for a member. Returns whether something is known that was not.
    async fn act(&self, document: &mut Document, act: &Act) -> Result<bool, Error> {
        let environment = document.run.environment.clone();
        let (i, word) = match act {
            Act::Wait => return Ok(false),
            Act::Release(i) => (*i, "release"),
            Act::TakeBack(i) => (*i, "back"),
            Act::Withdraw(i) => (*i, "withdraw"),
            Act::LookUp(i) => (*i, "release"),
        };
        let member = &document.run.members[i];
        let lane = LaneId { service: member.service.clone(), environment };
        let key = format!("group/{}/{}/{word}", document.run.id, member.service);
        let actor = match act {
            Act::Release(_) => document.run.actor.clone(),
            _ => document.back_by.clone().unwrap_or_else(|| format!("slipway:group:{}", document.run.group)),
        };
        let by = By { actor, key: Some(key) };
        let asked = by.before(self.engine(), &lane).await?;
        let done = match (act, asked, &member.progress) {
            (Act::LookUp(_), None, _) => {
                document.run.members[i].progress = MemberProgress::Returned { rollout: None };
                return Ok(true);
            }
            // It was asked for before the control plane died.
            (Act::LookUp(_) | Act::Release(_), Some(rollout), _) => Ok(rollout),
            (Act::Release(_), None, _) => self.release(document.requests[i].clone(), &by).await,
            (Act::Withdraw(_), _, MemberProgress::Releasing { rollout: Some(own) }) => {
                self.withdraw(&lane, own, &by).await
            }
            // Only its own rollout is taken back, and it only goes back to what it served before.
            (_, _, MemberProgress::Releasing { rollout: Some(own) })
                if self.opens(&lane).await?.as_ref() != Some(own) =>
            {
                return Ok(false);
            }
            (_, _, MemberProgress::Releasing { .. }) => self.rollback(&lane, None, &by).await,
            _ => self.rollback(&lane, member.from.clone(), &by).await,
        };
        let progress = &mut document.run.members[i].progress;
        match (done, &progress) {
            (Ok(rollout), MemberProgress::Releasing { rollout: None }) => {
                *progress = MemberProgress::Releasing { rollout: Some(rollout) };
            }
            (Ok(rollout), MemberProgress::Returning { rollout: None }) => {
                *progress = MemberProgress::Returning { rollout: Some(rollout) };
            }
            // It is on its way: how it ends will be seen.
            (Ok(_), _) => return Ok(false),
            (Err(error), _) if passes(&error) => return Err(error),
            (Err(error), MemberProgress::Releasing { rollout: None }) => {
                *progress = MemberProgress::Failed { rollout: None, cause: format!("was refused: {error}") };
            }
            (Err(error), MemberProgress::Returning { .. }) => {
                *progress = MemberProgress::Stuck { cause: error.to_string() };
            }
            (Err(error), _) => {
                tracing::debug!(%lane, %error, "a member of a group is on its way already");
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn member_seen(&self, environment: &EnvironmentName, member: &Member) -> Result<MemberSeen, Error> {
        let lane = LaneId { service: member.service.clone(), environment: environment.clone() };
        let stable = self.lane(&lane).await?.and_then(|now| now.lane.stable_version().cloned());
        let rollout = match member.progress.rollout() {
            Some(id) => self.standing(id).await?,
            None => None,
        };
        Ok(MemberSeen { rollout, stable })
    }

    /// The open rollout of a lane.
    async fn opens(&self, lane: &LaneId) -> Result<Option<RolloutId>, Error> {
        Ok(self.lane(lane).await?.and_then(|now| now.lane.open.as_ref().map(|open| open.id.clone())))
    }

    /// Withdraws a rollout that waits, and no other.
    async fn withdraw(&self, lane: &LaneId, id: &RolloutId, by: &By) -> Result<RolloutId, Error> {
        let (rollout, actor) = (id.clone(), by.actor.clone());
        self.wish(lane, move |turn, now| commands::withdraw(turn, &rollout, &actor, now)).await?;
        Ok(id.clone())
    }

    async fn standing(&self, id: &RolloutId) -> Result<Option<Standing>, Error> {
        Ok(match self.rollout(id).await? {
            None => None,
            Some(RolloutNow::Open(now)) => Some(match now.lane.open.as_ref().map(|open| &open.state) {
                Some(State::Held { reason, .. }) => Standing::Held(reason.clone()),
                _ => Standing::Open,
            }),
            Some(RolloutNow::Queued { .. }) => Some(Standing::Queued),
            Some(RolloutNow::Ended(_, doc)) => doc.ended().map(|(o, cause)| Standing::Ended(o, cause.to_string())),
        })
    }

    /// Every member as it would be released, in order; nothing is kept.
    async fn checked(&self, request: GroupRequest, by: &By) -> Result<Vec<Checked>, Error> {
        let mut admitted = Vec::new();
        for member in request.members {
            if member.request.environment != request.environment {
                return refused("other_environment", "the services of a group go into one environment".to_string());
            }
            let found = admission::admit(self.engine(), &member.request, None).await?;
            admitted.push((member, found));
        }
        let named: Vec<(ServiceName, Vec<ServiceName>)> =
            admitted.iter().map(|(m, found)| (found.lane.service.clone(), m.after.clone())).collect();
        for (service, after) in &named {
            if let Some(other) = after.iter().find(|other| !named.iter().any(|(name, _)| name == *other)) {
                return refused("unknown_member", format!("{service} comes after {other}, which is not in the group"));
            }
            if named.iter().filter(|(name, _)| name == service).count() > 1 {
                return refused("member_twice", format!("{service} stands in the group twice"));
            }
        }
        let order = in_order(&named)
            .map_err(|circle| Error::Refused(Refusal { code: "members_in_a_circle", reason: circle.to_string() }))?;
        let mut before: Vec<(LaneId, Serving)> = Vec::new();
        let mut checked = Vec::new();
        for i in order {
            let (member, Admitted { lane, release, strategy }) = &admitted[i];
            let kept = self.kept_or_new(lane).await?;
            let mut seen = self.observed(&kept);
            // What comes before it will serve by then.
            seen.serving.extend(before.iter().cloned());
            let today = Today::of(&kept, &seen.evidence);
            let plan = rollout::plan(&kept, RolloutKind::Release, release, strategy, &today);
            let asked = rollout::Asked {
                strategy: strategy.clone(),
                actor: by.actor.clone(),
                overriding: member.request.overriding.clone(),
                ..self.hypothetical(&kept, release.clone())
            };
            let gates = gates::of(&kept, &asked, &seen, self.now());
            before.push((lane.clone(), Serving { version: release.version.clone(), since: None }));
            let unchanged = kept.stable_version() == Some(&release.version);
            let planned =
                PlannedMember { service: lane.service.clone(), after: member.after.clone(), plan, gates, unchanged };
            checked.push(Checked { lane: kept, release: release.clone(), planned, request: member.request.clone() });
        }
        Ok(checked)
    }

    /// An open group release in which a lane takes part.
    pub(crate) async fn group_at(&self, lane: &LaneId) -> Result<Option<String>, Error> {
        for id in self.store().open_groups().await? {
            let Some(document) = self.store().group_run::<Document>(&id).await? else { continue };
            let run = document.doc.run;
            if run.environment == lane.environment && run.members.iter().any(|member| member.service == lane.service) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    async fn keep_group(&self, document: &Document, generation: u64, facts: Vec<Fact>) -> Result<bool, Error> {
        let run = &document.run;
        let commit = GroupCommit {
            id: &run.id,
            number: document.number,
            group: &run.group,
            environment: &run.environment,
            ended: !run.is_open(),
            expected_generation: generation,
            doc: document,
            facts,
            at: self.now(),
        };
        Ok(self.store().keep_group(commit).await?)
    }
}

fn member(checked: &Checked) -> Member {
    Member {
        service: checked.planned.service.clone(),
        version: checked.release.version.clone(),
        from: checked.lane.stable_version().cloned(),
        after: checked.planned.after.clone(),
        strategy: checked.planned.plan.strategy.clone(),
        progress: match checked.planned.unchanged {
            true => MemberProgress::Unchanged,
            false => MemberProgress::Pending,
        },
    }
}

/// Whether it may work later.
fn passes(error: &Error) -> bool {
    matches!(error, Error::Unavailable(_) | Error::Store(_))
}

fn refused<T>(code: &'static str, reason: String) -> Result<T, Error> {
    Err(Error::Refused(Refusal { code, reason }))
}

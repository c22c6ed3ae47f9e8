//! Releasing groups: what is asked is checked whole before anything is done, and then driven member by member.
//!
//! A group release is a document of its own; members are released and taken back by the same commands that people use,
//! under keys that make repeating them harmless. One task drives each; after a restart it goes on from the document.

mod checking;
mod driving;

use serde::{Deserialize, Serialize};
use slipway_core::group::{GroupRun, GroupState, Member, MemberProgress};
use slipway_core::journal::Fact;
use slipway_core::names::{EnvironmentName, GroupName, LaneId, ServiceName};
use slipway_core::rollout::{self, Gate, Plan, Refusal, gates};
use slipway_store::GroupCommit;

use crate::admission;
use crate::by::By;
use crate::control::{Control, ReleaseRequest};
use crate::error::Error;
use checking::Checked;
pub(crate) use driving::Driven;

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
        // A client that goes away meanwhile must not leave one behind that is kept and that nobody drives.
        let (control, by) = (self.clone(), by.clone());
        in_one(async move { control.begin_group(checked, group, environment, &by).await }).await
    }

    async fn begin_group(
        &self,
        checked: Vec<Checked>,
        group: GroupName,
        environment: EnvironmentName,
        by: &By,
    ) -> Result<GroupRun, Error> {
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
        let kept = self.keep_group(&document, 0, facts).await;
        // Where the answer was lost it may have been kept all the same.
        self.drive_group(&run.id);
        match kept? {
            true => Ok(run),
            false => Err(Error::Unavailable(format!("{} was not kept", run.id))),
        }
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
        let (control, group, environment, by) = (self.clone(), group.clone(), environment.clone(), by.clone());
        in_one(async move { control.turn_group_back(&group, &environment, &by).await }).await
    }

    async fn turn_group_back(
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
                GroupState::Returning { .. } => {
                    self.drive_group(&run.id);
                    return Ok(run.clone());
                }
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
            let kept = self.keep_group(&document, kept.generation, facts).await;
            self.drive_group(&run.id);
            if kept? {
                return Ok(run);
            }
        }
        Err(Error::Unavailable(format!("{group} is being changed by somebody else all the time")))
    }

    /// Goes on with every group release that is open.
    pub(crate) async fn take_groups_up(&self) -> Result<(), Error> {
        for id in self.store().open_groups().await? {
            self.drive_group(&id);
        }
        Ok(())
    }

    /// The open group release in which a lane takes part.
    pub async fn group_at(&self, lane: &LaneId) -> Result<Option<GroupRun>, Error> {
        for id in self.store().open_groups().await? {
            let Some(document) = self.store().group_run::<Document>(&id).await? else { continue };
            let run = document.doc.run;
            if run.environment == lane.environment && run.members.iter().any(|member| member.service == lane.service) {
                return Ok(Some(run));
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

/// Does something whole, whether whoever asked for it waits for the answer or not.
async fn in_one<T: Send + 'static>(what: impl Future<Output = Result<T, Error>> + Send + 'static) -> Result<T, Error> {
    let done = tokio::spawn(what).await;
    done.unwrap_or_else(|error| Err(Error::Unavailable(format!("it was cut off: {error}"))))
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
        back_since: None,
    }
}

fn refused<T>(code: &'static str, reason: String) -> Result<T, Error> {
    Err(Error::Refused(Refusal { code, reason }))
}

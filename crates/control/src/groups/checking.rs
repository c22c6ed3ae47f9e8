//! Whether a group could be released: every member is admitted, planned and put before its gates, in order, and nothing is
//! kept.

use slipway_core::group::in_order;
use slipway_core::names::{LaneId, ServiceName};
use slipway_core::rollout::{self, Lane, Refusal, Release, RolloutKind, Serving, Today, gates};

use super::{GroupRequest, PlannedMember, refused};
use crate::admission::{self, Admitted};
use crate::by::By;
use crate::control::{Control, ReleaseRequest};
use crate::error::Error;

/// A member that was admitted.
pub(super) struct Checked {
    pub(super) lane: Lane,
    pub(super) release: Release,
    pub(super) planned: PlannedMember,
    pub(super) request: ReleaseRequest,
}

impl Control {
    /// Every member as it would be released, in order; nothing is kept.
    pub(super) async fn checked(&self, request: GroupRequest, by: &By) -> Result<Vec<Checked>, Error> {
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
            let (member, Admitted { lane, release, strategy, .. }) = &admitted[i];
            let kept = self.kept_or_new(lane).await?;
            let mut seen = self.observed(&kept);
            // What comes before it will serve by then.
            before.iter().cloned().for_each(|(lane, serving)| seen.serving.insert(lane, serving));
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
}

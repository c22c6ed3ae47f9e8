//! Kinds of entries that a hook may ask to be told of. The reference page of the journal says what each means.

/// Those that belong to no service, sorted: hooks of an environment's file are told of them.
pub const OF_NO_SERVICE: [&str; 19] = [
    "certificate.obtained",
    "certificate.refused",
    "environment.applied",
    "environment.settled",
    "gateway.back",
    "gateway.forgotten",
    "gateway.invited",
    "gateway.lost",
    "gateway.outdated",
    "gateway.upgraded",
    "group.ended",
    "group.planned",
    "group.releasing",
    "group.returning",
    "group.stuck",
    "group.taking_back",
    "journal.unanchored",
    "token.created",
    "token.revoked",
];

/// Those about a service, sorted.
pub const OF_SERVICES: [&str; 73] = [
    "decided.advance",
    "decided.force",
    "decided.go",
    "decided.hold",
    "decided.promote",
    "decided.restart",
    "decided.stay",
    "decided.succeed",
    "decided.undo",
    "environment.bringing",
    "environment.stopped",
    "fault.begun",
    "fault.ended",
    "gates.looked_at",
    "gates.overridden",
    "incident.closed",
    "incident.no_way_back",
    "incident.opened",
    "instance.ejected",
    "instance.exited",
    "instance.lost",
    "instance.not_started",
    "instance.readmitted",
    "instance.ready",
    "instance.smoked",
    "instance.starting",
    "instance.stopped",
    "instance.unhealthy",
    "lane.scaled",
    "maintenance.began",
    "maintenance.ended",
    "probes.began",
    "probes.ended",
    "restart.asked",
    "restart.ended",
    "restart.replacing",
    "restart.stopped",
    "rollback.asked",
    "rollout.approved",
    "rollout.asked",
    "rollout.blocked",
    "rollout.ended",
    "rollout.paused",
    "rollout.planned",
    "rollout.promoted",
    "rollout.resumed",
    "rollout.superseded",
    "schema.contract_owed",
    "schema.contracted",
    "schema.contracting",
    "schema.expanded",
    "schema.expanding",
    "schema.failed",
    "schema.not_applied",
    "schema.overdue",
    "schema.reverted",
    "schema.reverting",
    "schema.stays",
    "schema.unclear",
    "standby.began",
    "standby.ended",
    "step.done",
    "step.entered",
    "step.outage",
    "traffic.confirmed",
    "traffic.returned",
    "traffic.returning",
    "traffic.shifting",
    "undo.overdue",
    "verification.closing",
    "work.returned",
    "work.returning",
    "work.shared",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_page_has_each_of_them() {
        let page = include_str!("../../../../docs/reference/journal.md");
        let all = OF_SERVICES.iter().chain(&OF_NO_SERVICE);
        let missing: Vec<_> = all.filter(|kind| !page.contains(&format!("`{kind}`"))).collect();
        assert!(missing.is_empty() && OF_SERVICES.is_sorted() && OF_NO_SERVICE.is_sorted(), "{missing:?}");
    }
}

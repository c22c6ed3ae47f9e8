//! Kinds of entries that are about a service: what a hook may ask to be told of.

/// Every one, sorted. The reference page of the journal says what each means.
pub const OF_SERVICES: [&str; 67] = [
    "decided.advance",
    "decided.go",
    "decided.hold",
    "decided.promote",
    "decided.restart",
    "decided.stay",
    "decided.succeed",
    "decided.undo",
    "gates.looked_at",
    "gates.overridden",
    "incident.closed",
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
        let missing: Vec<_> = OF_SERVICES.iter().filter(|kind| !page.contains(&format!("`{kind}`"))).collect();
        assert!(missing.is_empty() && OF_SERVICES.is_sorted(), "{missing:?}");
    }
}

//! Who watches a release: what an approver asks before giving their word. Sentences, made from what is declared; nobody
//! is asked whether they really look.

use crate::hook;
use crate::rollout::lane::{Asked, Lane};
use crate::rollout::model::RolloutKind;
use crate::spec::OnBreach;

/// Whether anything or anybody would notice that what is asked for is bad, a sentence each.
pub fn watchers(lane: &Lane, asked: &Asked) -> Vec<String> {
    let release = &asked.release;
    if asked.kind == RolloutKind::Contract {
        let mut said = vec!["nothing judges it, and what it removes does not come back".to_string()];
        said.push(told(lane, asked));
        return said;
    }
    let objectives: Vec<&str> = release.spec.objectives.iter().map(|objective| objective.name.as_str()).collect();
    let mut said = vec![match objectives.is_empty() {
        true => "nothing judges it: it declares no objectives".to_string(),
        false => format!("judged by {}", objectives.join(", ")),
    }];
    if let Some(environment) = release.environment(&lane.id) {
        let then = match environment.on_breach {
            OnBreach::Tell => "opens an incident",
            OnBreach::Rollback => "opens an incident and takes it back",
        };
        said.push(format!("watched for {} after success; a breach {then}", environment.watch));
    }
    said.push(told(lane, asked));
    said
}

fn told(lane: &Lane, asked: &Asked) -> String {
    let told = hook::of_release(lane, &asked.release).into_iter().filter(|hook| !hook.on.is_empty());
    let told: Vec<String> = told.map(|hook| hook.name).collect();
    match told.is_empty() {
        true => "nobody is told by hooks".to_string(),
        false => format!("told by hooks: {}", told.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{Digest, LaneId, RolloutId};
    use crate::rollout::lane::Release;
    use crate::spec;
    use crate::units::Timestamp;

    const BARE: &str = "
service: shop
run: { command: [./shop, \"{port}\"] }
health: { http: /healthz }
environments: { production: { gates: { approvals: { count: 1 } } } }
";

    fn said(text: &str) -> Vec<String> {
        said_of(RolloutKind::Release, text)
    }

    fn said_of(kind: RolloutKind, text: &str) -> Vec<String> {
        let spec = spec::parse(text).expect("a file").spec;
        let (artifact, config) = (Digest::of(b"a"), Digest::of(b"c"));
        let release = Release { version: "1".parse().expect("a version"), artifact, config, spec };
        let id =
            LaneId { service: "shop".parse().expect("a name"), environment: "production".parse().expect("a name") };
        let asked = Asked {
            id: RolloutId::numbered(1),
            kind,
            release,
            strategy: spec::Strategy::default(),
            actor: "user:ada".to_string(),
            key: None,
            at: Timestamp(0),
            overriding: None,
            approvals: Vec::new(),
        };
        watchers(&Lane::new(id), &asked)
    }

    #[test]
    fn nobody_is_told_that_a_contract_would_be_taken_back() {
        let text = BARE.replace("{ gates:", "{ on_breach: rollback, gates:");
        let said = said_of(RolloutKind::Contract, &text).join("; ");
        assert!(said.contains("does not come back") && !said.contains("takes it back"), "{said}");
    }

    #[test]
    fn a_release_that_nobody_watches_says_so() {
        let [judged, watched, told] = &said(BARE)[..] else { panic!("three sentences") };
        assert_eq!(judged, "judged by errors", "there is one by default");
        assert!(watched.contains("24h") || watched.contains("1d"), "{watched}");
        assert!(watched.ends_with("a breach opens an incident"), "{watched}");
        assert_eq!(told, "nobody is told by hooks");
    }

    #[test]
    fn objectives_a_way_back_by_itself_and_hooks_are_named() {
        let text = BARE.replace("{ gates:", "{ on_breach: rollback, gates:")
            + "objectives: [{ name: errors, bad: failed, at_most: 1% }, { name: latency, bad: slower_than 300ms, at_most: 5% }]\n"
            + "hooks: [{ name: pager, on: [rollout.ended], command: [/usr/bin/page] }]\n";
        let said = said(&text);
        assert_eq!(said[0], "judged by errors, latency");
        assert!(said[1].ends_with("a breach opens an incident and takes it back"), "{said:?}");
        assert_eq!(said[2], "told by hooks: pager");
    }
}

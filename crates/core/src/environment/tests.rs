//! What is done next, in which order, and what is left alone.

use std::collections::BTreeMap;

use super::*;
use crate::names::Digest;
use crate::rollout::{Asked, Outcome, Release, RolloutKind, Slot, SlotState, Turn, WentBack, commands, gates};
use crate::spec::{self, environment_file};

const SPEC: &str = "service: shop\nrun: { command: [\"./shop\"] }\nhealth: { tcp: true }\n\
                    environments: { production: { instances: 1, gates: { approvals: { from: [alice, bob] } } } }\n";
const FILE: &str = "environment: production\nservices: { shop: { version: 1.1.0, instances: 2, after: [payments] }, \
                    payments: { version: 2.0.0 } }\n";

fn service(name: &str) -> ServiceName {
    name.parse().unwrap()
}

fn release(name: &str, version: &str) -> Release {
    let spec = spec::parse(&SPEC.replace("service: shop", &format!("service: {name}"))).unwrap().spec;
    let artifact = Digest::of(version.as_bytes());
    Release { version: version.parse().unwrap(), artifact, config: spec::config_digest(&spec), spec }
}

fn lane(name: &str, version: &str, instances: u32) -> Lane {
    let id = LaneId { service: service(name), environment: "production".parse().unwrap() };
    let mut lane = Lane::new(id);
    let mut stable = release(name, version);
    stable.set_instances(&lane.id, instances);
    lane.stable = Some(stable);
    lane
}

fn file(text: &str) -> EnvironmentFile {
    environment_file::parse(text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}")).file
}

fn applied(text: &str) -> Environment {
    Environment::applied(file(text), None, "user:alice", Timestamp(1))
}

fn after(kept: &Environment, name: &str) -> Vec<crate::spec::After> {
    bound(&kept.file, &service(name)).gates.after
}

fn decide(kept: &Environment, name: &str, lane: Option<&Lane>, last: Option<Last>) -> Next {
    next(kept, &service(name), lane, &after(kept, name), last.as_ref())
}

#[test]
fn hooks_of_the_file_bind_every_release_and_whom_a_release_drops_is_told_until_it_has_ended() {
    let names = |hooks: Vec<spec::Hook>| hooks.into_iter().map(|hook| hook.name).collect::<Vec<_>>();
    let with = |version: &str, hooks: &str| {
        let text = SPEC.replace("service: shop\n", &format!("service: shop\nhooks: [{hooks}]\n"));
        let spec = spec::parse(&text).unwrap_or_else(|m| panic!("{m:#?}")).spec;
        Release { spec, ..release("shop", version) }
    };
    let theirs = "{ name: board, on: [\"*\"], command: [theirs] }";
    let mut lane = lane("shop", "1.0.0", 1);
    lane.stable = Some(with("1.0.0", &format!("{theirs}, {{ name: audit, on: [\"*\"], command: [audit] }}")));
    assert_eq!(names(crate::hook::of(&lane)), ["board", "audit"]);
    let coming = with("1.1.0", theirs);
    let of_both = |lane: &Lane| names(crate::hook::together(lane, Some(&coming)));
    assert_eq!(of_both(&lane), ["board", "audit"], "audit hears how it ends");
    assert_eq!(names(crate::hook::of_release(&lane, &coming)), ["board"], "and is asked nothing");

    let kept = applied("environment: production\nhooks: [{ name: board, before: step, command: [ours] }]\n");
    lane.bound = Some(bound(&kept.file, &service("shop")));
    let bound = crate::hook::of_release(&lane, &coming);
    assert_eq!(names(bound.clone()), ["board"]);
    assert_eq!(bound[0].to, spec::Receiver::Command(vec!["ours".to_string()]), "no release puts another in its place");
    assert_eq!(of_both(&lane), ["board", "audit"]);
    let less = file("environment: production\n");
    let found = differences(&less, Some(&kept), &BTreeMap::new());
    assert_eq!(
        (found.len(), found[0].place.as_str(), found[0].declared.clone()),
        (1, "hooks.board", None),
        "{found:?}"
    );
}

#[test]
fn an_environment_comes_up_in_order() {
    let mut kept = applied(FILE);
    assert!(matches!(decide(&kept, "payments", None, None), Next::Release { .. }));
    assert_eq!(decide(&kept, "shop", None, None), Next::Wait("payments comes first".to_string()));
    assert_eq!(decide(&kept, "payments", Some(&lane("payments", "2.0.0", 1)), None), Next::Arrived);
    kept.coming.remove(&service("payments"));
    assert!(matches!(decide(&kept, "shop", None, None), Next::Release { .. }));
    let serves = lane("shop", "1.1.0", 1);
    assert!(matches!(decide(&kept, "shop", Some(&serves), None), Next::Scale { instances: 2, .. }));
    assert_eq!(decide(&kept, "ledger", None, None), Next::Nothing, "what the file does not name is left alone");
}

#[test]
fn what_did_not_succeed_is_not_tried_again_before_the_file_is_applied_again() {
    let mut kept = applied(&FILE.replace("services", "heal: true\nservices"));
    kept.coming.remove(&service("payments"));
    let tried =
        Tried { times: 1, version: "1.1.0".parse().unwrap(), rollout: Some(RolloutId::numbered(7)), refused: None };
    kept.tried.insert(service("shop"), tried);
    let shop = lane("shop", "1.0.0", 2);
    let last = |outcome| Some(Last { outcome, cause: "errors: 5 of 9".to_string() });
    assert_eq!(decide(&kept, "shop", Some(&shop), None), Next::Wait("ro-7 has not ended".to_string()));
    for coming in [true, false] {
        if !coming {
            kept.coming.clear();
        }
        for outcome in [Outcome::RolledBack, Outcome::Blocked, Outcome::Failed, Outcome::Superseded] {
            let next = decide(&kept, "shop", Some(&shop), last(outcome));
            assert!(matches!(&next, Next::Stopped(why) if why.contains("ro-7") && why.contains("5 of 9")), "{next:?}");
        }
    }
    assert!(matches!(decide(&kept, "shop", Some(&shop), last(Outcome::Succeeded)), Next::Release { .. }), "it drifted");
    let again = Environment::applied(kept.file.clone(), Some(&kept), "user:bob", Timestamp(2));
    assert!(
        again.generation == 2
            && again.tried.is_empty()
            && again.key(&service("shop"), 1) != kept.key(&service("shop"), 1)
    );
}

#[test]
fn drift_is_healed_only_where_that_is_declared_and_never_against_somebody_who_went_back() {
    let mut shown = applied(FILE);
    shown.coming.clear();
    let mut healed = applied(&FILE.replace("services", "heal: true\nservices"));
    healed.coming.clear();
    let mut shop = lane("shop", "1.0.0", 2);
    assert_eq!(decide(&shown, "shop", Some(&shop), None), Next::Nothing);
    assert!(matches!(decide(&healed, "shop", Some(&shop), None), Next::Release { .. }));
    assert!(matches!(decide(&healed, "payments", None, None), Next::Release { .. }), "a missing one comes again");
    let drifted = drift(&service("shop"), &shown.file.services[&service("shop")], Some(&shop));
    let told: Vec<String> = drifted.iter().map(Difference::sentence).collect();
    assert_eq!(told, ["version: 1.0.0, and the file says 1.1.0", "ready: 0, and the file says 2"]);
    shop.went_back = Some(WentBack {
        rollout: RolloutId::numbered(9),
        from: "1.1.0".parse().unwrap(),
        to: "1.0.0".parse().unwrap(),
        at: None,
        cause: String::new(),
    });
    let stopped = decide(&healed, "shop", Some(&shop), None);
    assert!(matches!(&stopped, Next::Stopped(why) if why.contains("ro-9 went back")), "{stopped:?}");
    shop.undone = shop.went_back.take();
    let stopped = decide(&healed, "shop", Some(&shop), None);
    assert!(matches!(&stopped, Next::Stopped(why) if why.contains("ro-9 went back")), "nor what was taken back");
    let again = applied(&FILE.replace("after: [payments]", "after: []"));
    assert!(matches!(decide(&again, "shop", Some(&shop), None), Next::Release { .. }), "a person says so");
}

#[test]
fn services_that_wait_for_each_other_are_found() {
    let kept = file(
        "environment: production\nservices: { a: { version: 1, after: [b] }, b: { version: 1, after: [c] }, \
         c: { version: 1, after: [\"b in production\"] }, d: { version: 1, after: [\"a in staging\", elsewhere] } }\n",
    );
    let waits = |file: &EnvironmentFile| -> BTreeMap<ServiceName, Vec<crate::spec::After>> {
        file.services.keys().map(|name| (name.clone(), bound(file, name).gates.after)).collect()
    };
    let found = circle(&kept.environment, &waits(&kept)).expect("a circle");
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), ["b", "c"]);
    let fine = file("environment: production\ngates: { after: [ledger] }\nservices: { ledger: { version: 1 } }\n");
    assert_eq!(circle(&fine.environment, &waits(&fine)), None, "what everybody waits for does not wait for itself");
}

#[test]
fn what_is_exported_is_what_is() {
    let mut shop = lane("shop", "1.1.0", 2);
    let ready = |lane: &mut Lane, n: u64| {
        for n in 0..n {
            let version = lane.stable_version().unwrap().clone();
            lane.slots.push(Slot {
                id: crate::names::InstanceId::numbered(&lane.id.service, &lane.id.environment, n),
                version,
                state: SlotState::Wanted,
                since: Timestamp(0),
                started: true,
                ready: Some(
                    serde_json::from_value(serde_json::json!({
                        "instance": "a", "incarnation": 1, "address": "127.0.0.1:1"
                    }))
                    .unwrap(),
                ),
                smoke: None,
                running: None,
                exits: 0,
                unhealthy_since: None,
                replace: false,
            });
        }
    };
    ready(&mut shop, 2);
    let kept = applied(&format!("require_drill: 30d\n{FILE}"));
    let lanes = BTreeMap::from([(shop.id.clone(), shop.clone())]);
    let export = as_it_is(&kept.file.environment, Some(&kept), lanes.values(), "abc");
    assert_eq!(file(&export.to_yaml()), export);
    assert_eq!(differences(&export, Some(&kept), &lanes), []);
    let missing: Vec<String> = differences(&kept.file, Some(&kept), &lanes).iter().map(Difference::sentence).collect();
    assert_eq!(missing, ["nothing serves, and the file says 2.0.0"]);
    let other = differences(&file("environment: production\nheal: true\n"), Some(&kept), &lanes);
    let places: Vec<&str> = other.iter().map(|d| d.place.as_str()).collect();
    assert_eq!(places, ["heal", "require_drill", "services.shop"]);
}

#[test]
fn the_files_policy_binds_whatever_a_release_declares() {
    let mut lane = lane("shop", "1.0.0", 1);
    let mut loose = release("shop", "1.1.0");
    loose.spec.environments[0].gates = spec::Gates::default();
    let asked = |release: Release| Asked {
        id: RolloutId::numbered(1),
        kind: RolloutKind::Release,
        strategy: release.spec.environments[0].strategy.clone(),
        release,
        actor: "user:eve".to_string(),
        key: None,
        at: Timestamp(1),
        overriding: None,
        approvals: Vec::new(),
    };
    assert_eq!(gates::word(&lane, &asked(loose.clone())), None);
    let text = "environment: production\ngates: { approvals: { from: [bob, carol] } }\nservices: { shop: { version: 1, instances: 3 } }\n";
    lane.bound = Some(bound(&file(text), &lane.id.service));
    let word = gates::word(&lane, &asked(loose.clone())).expect("the file asks for one");
    assert_eq!(word.policy.from, ["bob", "carol"]);
    let strict = gates::word(&lane, &asked(release("shop", "1.1.0"))).expect("both ask for one");
    assert_eq!(strict.policy.from, ["bob"]);
    let mut turn = Turn::new(&lane);
    commands::release(&mut turn, asked(loose), false, Timestamp(1)).unwrap();
    assert_eq!(turn.lane.queue[0].release.instances(&lane.id), 3, "releases bring the number that the file declares");
    let old: Lane = serde_json::from_value({
        let mut document = serde_json::to_value(&lane).unwrap();
        document.as_object_mut().unwrap().remove("bound");
        document
    })
    .unwrap();
    assert_eq!(old.bound, None, "what an earlier program has written can be read");
}

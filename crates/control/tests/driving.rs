//! Rollouts are driven through a real store: to their end, back, past a broken store, a restart, another writer.

mod common;

use std::sync::Arc;

use common::{World, name, request, shop, until};
use slipway_control::views::RolloutNow;
use slipway_control::{By, Command, Error, ReleaseRequest};
use slipway_core::instance::TargetError;
use slipway_core::rollout::Lane;
use slipway_core::units::{Millis, Timestamp, Weight};
use slipway_store::{Commit, NewEffect};

#[tokio::test]
async fn a_release_goes_through_and_all_of_it_is_in_the_journal() {
    let world = World::new().await;
    world.serving("1.0.0").await;
    let now = world.now().await;
    assert_eq!((now.instances.len(), now.lane.stable_version()), (2, Some(&name("1.0.0"))));
    for instance in &now.instances {
        assert_eq!(world.target.starts(&instance.id), 1);
        assert!(world.target.smokes(&instance.id) >= 1, "no user before a smoke test");
    }
    until("nothing is left to do", async || {
        world.control.store().pending_effects().await.unwrap().is_empty().then_some(())
    })
    .await;
    let planned = world.entries("rollout.planned").await;
    let (first, head) = world.gateway.shares("1.0.0").into_iter().find(|(w, _)| *w == Weight::ALL).unwrap();
    assert_eq!((planned.len(), first), (1, Weight::ALL));
    assert!(head >= planned[0], "the journal comes before the act");
    assert!(world.control.store().verify_journal().await.unwrap().is_ok());
}

/// Whoever looks while it ends, however often, finds it: on its way or ended, never gone and never on its way afterwards.
#[tokio::test]
async fn a_rollout_that_ends_while_it_is_looked_at_is_always_found() {
    let world = World::new().await;
    for n in 0..5 {
        let id = world.release(&format!("1.0.{n}")).await;
        let look = async || world.control.rollout(&id).await.unwrap().expect("it is known");
        let mut abort = n > 0;
        loop {
            match look().await {
                RolloutNow::Ended(_, rollout) => {
                    assert!(rollout.ended().is_some(), "{:?}", rollout.state);
                    break;
                }
                RolloutNow::Open(now) => {
                    assert!(now.lane.open.is_some(), "it is what is shown as open");
                    if std::mem::take(&mut abort) {
                        world.control.command(&shop(), Command::Abort, &By::once("user:bob")).await.unwrap();
                    }
                }
                RolloutNow::Queued { .. } => {}
            }
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn the_way_back_is_published_before_it_is_committed() {
    let world = World::new().await;
    world.serving("1.0.0").await;
    let id = world.release("1.1.0").await;
    world.divided("1.1.0").await;
    world.control.command(&shop(), Command::Abort, &By::once("user:bob")).await.unwrap();
    assert_eq!(world.end(&id).await, "rolled_back");
    let shares = world.gateway.shares("1.1.0");
    let given = shares.iter().rposition(|(weight, _)| *weight > Weight::ZERO).unwrap();
    let recorded = world.entries("traffic.returning").await;
    assert!(shares[given + 1].1 < recorded[0], "traffic first: {shares:?} {recorded:?}");
    let forth = world.entries("step.entered").await;
    let first = shares.iter().find(|(weight, _)| *weight > Weight::ZERO).unwrap();
    assert!(forth.iter().any(|seq| *seq <= first.1), "forth, the journal first");
    let actors: Vec<_> = world.journal().await.into_iter().filter(|e| e.fact.actor == "user:bob").collect();
    assert!(!actors.is_empty(), "who asked is in the journal");
}

#[tokio::test]
async fn nobody_goes_back_to_where_the_service_never_was() {
    let world = World::new().await;
    world.serving("1.0.0").await;
    let taken_back = world.release("1.1.0").await;
    world.divided("1.1.0").await;
    let bob = By::once("user:bob");
    world.control.command(&shop(), Command::Abort, &bob).await.unwrap();
    assert_eq!(world.end(&taken_back).await, "rolled_back");
    world.promoted("1.2.0").await;
    match world.control.rollback(&shop(), Some(name("1.1.0")), &bob).await {
        Err(Error::Refused(why)) => assert_eq!(why.code, "never_served", "{why}"),
        other => panic!("1.1.0 is known and was never let in: {other:?}"),
    }
    world.promoted("1.3.0").await;
    let id = world.control.rollback(&shop(), Some(name("1.0.0")), &bob).await.unwrap();
    assert_eq!(world.end(&id).await, "succeeded", "it has served before");
}

#[tokio::test]
async fn a_way_back_that_nobody_had_met_measures_nothing() {
    let world = World::new().await;
    world.serving("1.0.0").await;
    world.target.set_smoke(&name("1.1.0"), Some("its login is broken"));
    let id = world.release("1.1.0").await;
    assert_eq!(world.end(&id).await, "rolled_back");
    assert_eq!(world.now().await.lane.lately.rollback, None, "no user was brought back");
    let met = world.release("1.2.0").await;
    world.divided("1.2.0").await;
    world.control.command(&shop(), Command::Abort, &By::once("user:bob")).await.unwrap();
    assert_eq!(world.end(&met).await, "rolled_back");
    assert!(world.now().await.lane.lately.rollback.is_some());
}

#[tokio::test]
async fn one_that_waits_is_withdrawn_under_its_own_name_and_a_word_for_one_is_not_taken_for_another() {
    let world = World::new().await;
    world.serving("1.0.0").await;
    let open = world.release("1.1.0").await;
    world.divided("1.1.0").await;
    let waits = world.release("1.2.0").await;
    let bob = By::once("user:bob");
    let late = world.control.command_on(&shop(), Some(&waits), Command::Pause, &bob).await;
    assert!(matches!(late, Err(Error::Refused(why)) if why.code == "nothing_open"), "it is not the open one");
    assert_eq!(world.control.command_on(&shop(), Some(&waits), Command::Abort, &bob).await.unwrap(), waits);
    assert_eq!(world.end(&waits).await, "blocked");
    assert_eq!(world.control.command_on(&shop(), Some(&open), Command::Abort, &bob).await.unwrap(), open);
    assert_eq!(world.end(&open).await, "rolled_back");
}

#[tokio::test]
async fn a_word_for_a_step_lets_no_later_one_pass_and_is_told_as_what_it_was() {
    let world = World::new().await;
    world.serving("1.0.0").await;
    let id = world.release("1.1.0").await;
    world.divided("1.1.0").await;
    let step = world.now().await.lane.open.as_ref().map(|open| open.plan.steps[open.step].name.clone());
    let word = || Command::Promote { step: step.clone() };
    world.control.command(&shop(), word(), &By::once("user:ann")).await.unwrap();
    until("the next step is at hand", async || {
        let now = world.now().await;
        let open = now.lane.open.as_ref()?;
        (Some(&open.plan.steps.get(open.step)?.name) != step.as_ref()).then_some(())
    })
    .await;
    match world.control.command(&shop(), word(), &By::once("user:ann")).await {
        Err(Error::Refused(why)) => assert_eq!(why.code, "another_step", "{why}"),
        other => panic!("it was for {step:?}: {other:?}"),
    }
    until("it is over", async || {
        let _ = world.control.command(&shop(), Command::Promote { step: None }, &By::once("user:bob")).await;
        world.control.store().rollout(&id).await.ok()??.outcome
    })
    .await;
    let cause = world.state_kept(&id).await;
    assert!(cause.contains("user:ann") && cause.contains("in the judge's place"), "{cause}");
}

#[tokio::test]
async fn forward_nothing_happens_that_is_not_recorded() {
    let world = World::new().await;
    world.serving("1.0.0").await;
    world.break_store().await;
    let before = common::ids(&world);
    let request = world.control.command(&shop(), Command::Pause, &By::once("user:bob")).await;
    assert!(matches!(request, Err(Error::Refused(_) | Error::NotFound(_))), "nothing is open");
    let tables = world.gateway.shares("1.0.0").len();
    let asked = world.control.rollback(&shop(), Some(name("1.0.0")), &By::once("user:bob")).await;
    assert!(asked.is_err());
    assert_eq!((common::ids(&world), world.gateway.shares("1.0.0").len()), (before, tables));
    world.mend_store().await;
    world.promoted("1.1.0").await;
}

#[tokio::test]
async fn a_restart_in_the_middle_goes_on_where_it_was() {
    let world = World::new().await;
    world.serving("1.0.0").await;
    let id = world.release("1.1.0").await;
    world.divided("1.1.0").await;
    let before: Vec<_> = world.now().await.instances.into_iter().map(|i| i.id).collect();
    let world = world.restart().await;
    until("it is published again", async || (world.gateway.share("1.1.0").bp() == 1_000).then_some(())).await;
    let first = world.gateway.shares("1.1.0")[0].0;
    assert_eq!(first.bp(), 1_000, "the first table after a restart is the one that was served");
    assert_eq!(world.now().await.lane.open.as_ref().map(|r| r.id.clone()), Some(id.clone()));
    world.control.command(&shop(), Command::Promote { step: None }, &By::once("user:ann")).await.unwrap();
    assert_eq!(world.end(&id).await, "succeeded");
    for id in before {
        assert_eq!(world.target.starts(&id), 1, "{id} was started once");
    }
}

#[tokio::test]
async fn an_effect_that_is_carried_out_twice_changes_nothing() {
    let world = World::new().await;
    world.serving("1.0.0").await;
    let (id, spec) = {
        let instance = world.now().await.instances[0].id.clone();
        (instance.clone(), world.target.spec(&instance).unwrap())
    };
    // As if the process had been killed after the act and before its result was taken in.
    world.control.stop().await;
    let kept = world.control.store().load_lane::<Lane>(&shop()).await.unwrap().unwrap();
    let effect = slipway_core::rollout::Effect::Start { spec: Box::new(spec) };
    let body = serde_json::to_value(&effect).unwrap();
    let effects = vec![NewEffect { key: "as before".into(), kind: "start".into(), body }];
    let commit = Commit {
        lane: &shop(),
        expected_generation: kept.generation,
        doc: &kept.doc,
        facts: vec![],
        effects,
        consumed: vec![],
        rollouts: vec![],
        samples: vec![],
        at: Timestamp(1),
    };
    world.control.store().commit(commit).await.unwrap();
    let world = world.restart().await;
    until("the outbox is empty", async || {
        world.control.store().pending_effects().await.unwrap().is_empty().then_some(())
    })
    .await;
    assert_eq!((world.target.starts(&id), world.now().await.instances.len()), (1, 2));
}

#[tokio::test]
async fn somebody_elses_commit_is_read_and_the_turn_taken_again() {
    let world = World::new().await;
    world.serving("1.0.0").await;
    for _ in 0..3 {
        let kept = world.control.store().load_lane::<Lane>(&shop()).await.unwrap().unwrap();
        let commit = Commit {
            lane: &shop(),
            expected_generation: kept.generation,
            doc: &kept.doc,
            facts: vec![],
            effects: vec![],
            consumed: vec![],
            rollouts: vec![],
            samples: vec![],
            at: Timestamp(1),
        };
        // The control plane itself may be first now and then.
        let _ = world.control.store().commit(commit).await;
    }
    world.promoted("1.1.0").await;
}

#[tokio::test]
async fn one_at_a_time_and_the_newest_may_push_the_others_aside() {
    let world = World::new().await;
    world.serving("1.0.0").await;
    let open = world.release("1.1.0").await;
    world.divided("1.1.0").await;
    let queued = world.release("1.2.0").await;
    let found = world.control.rollout(&queued).await.unwrap();
    assert!(matches!(found, Some(RolloutNow::Queued { behind, .. }) if behind.as_ref() == Some(&open)));
    assert_eq!(world.gateway.share("1.2.0"), Weight::ZERO);
    let last = world.ask("1.3.0", true).await;
    assert_eq!(world.end(&open).await, "superseded");
    assert_eq!(world.end(&queued).await, "superseded");
    world.divided("1.3.0").await;
    assert_eq!(world.gateway.shares("1.2.0").iter().filter(|(w, _)| *w > Weight::ZERO).count(), 0);
    world.control.rollback(&shop(), None, &By::once("user:ann")).await.unwrap();
    assert_eq!(world.end(&last).await, "rolled_back");
}

#[tokio::test]
async fn a_request_that_comes_again_under_its_key_is_carried_out_once_even_after_a_crash() {
    let world = World::new().await;
    world.serving("1.0.0").await;
    let by = |key: &str| By { actor: "user:ann".into(), key: Some(key.into()) };
    let first = world.ask_as("1.1.0", false, &by("release")).await;
    world.divided("1.1.0").await;
    let queued = world.ask_as("1.2.0", false, &by("next")).await;
    let world = world.restart().await;
    assert_eq!(world.ask_as("1.1.0", false, &by("release")).await, first, "open");
    assert_eq!(world.ask_as("1.2.0", false, &by("next")).await, queued, "queued");
    assert_eq!(world.control.command(&shop(), Command::Abort, &by("abort")).await.unwrap(), first);
    assert_eq!(world.end(&first).await, "rolled_back");
    world.divided("1.2.0").await;
    for _ in 0..2 {
        let again = world.control.command(&shop(), Command::Abort, &by("abort")).await.unwrap();
        assert_eq!(again, first, "the next one in the queue is not what was meant");
        assert_eq!(world.control.rollback(&shop(), None, &by("back")).await.unwrap(), queued);
    }
    assert_eq!(world.ask_as("1.1.0", false, &by("release")).await, first, "ended");
    assert_eq!(world.end(&queued).await, "rolled_back");
    assert_eq!(world.entries("rollout.asked").await.len(), 3);
}

#[tokio::test]
async fn after_a_reboot_nobody_is_sent_to_where_instances_used_to_be() {
    let world = World::new().await;
    world.serving("1.0.0").await;
    let before: Vec<_> = world.now().await.instances.into_iter().map(|i| i.id).collect();
    let world = world.reboot().await;
    let offered =
        until("stable is back", async || world.gateway.offered().ends_with(&[2]).then(|| world.gateway.offered()));
    let offered = offered.await;
    assert_eq!(offered[0], 0, "the first table: {offered:?}");
    for instance in world.now().await.instances {
        assert!(!before.contains(&instance.id), "started anew");
        assert!(world.target.smokes(&instance.id) >= 1, "and tested before anybody meets it");
    }
}

#[tokio::test]
async fn a_drill_that_is_due_begins_by_itself_and_only_then() {
    let world = World::new().await;
    world.serving("1.0.0").await;
    world.promoted("1.1.0").await;
    let early = world.restart_after(Millis::from_secs(6 * 24 * 3600)).await;
    until("it has looked around", async || early.now().await.lane.standby.is_none().then_some(())).await;
    assert_eq!(early.control.history(&name("shop"), None, 10).await.unwrap().len(), 2, "six days are not seven");
    let due = early.restart_after(Millis::from_secs(2 * 24 * 3600)).await;
    let drilled = until("a drill ends", async || due.now().await.lane.drilled.clone()).await;
    assert!(drilled.passed, "{drilled:?}");
    assert_eq!((drilled.to, due.now().await.lane.stable_version()), (name("1.0.0"), Some(&name("1.1.0"))));
    let history = due.control.history(&name("shop"), None, 10).await.unwrap();
    assert_eq!(history[0].1.actor, "slipway:schedule");
    assert_eq!(history.len(), 3, "one drill, not one after the other");
}

#[tokio::test]
async fn a_turn_that_panics_ends_neither_the_lane_nor_its_driver() {
    let world = World::new().await;
    world.serving("1.0.0").await;
    let id = world.release("1.1.0").await;
    world.divided("1.1.0").await;
    world.prober.startle();
    until("a turn has panicked", async || world.prober.is_calm().then_some(())).await;
    world.control.command(&shop(), Command::Abort, &By::once("user:bob")).await.unwrap();
    assert_eq!(world.end(&id).await, "rolled_back");
}

#[tokio::test]
async fn a_rollback_that_a_release_overtakes_takes_that_back() {
    let world = World::new().await;
    world.serving("1.0.0").await;
    world.promoted("1.1.0").await;
    world.shelf.hold_next();
    let asked = tokio::spawn({
        let control = world.control.clone();
        async move { control.rollback(&shop(), None, &By::once("user:bob")).await }
    });
    until("it has been decided what to go back to", async || world.shelf.is_asked().then_some(())).await;
    let id = world.release("1.2.0").await;
    world.divided("1.2.0").await;
    world.shelf.let_go();
    assert_eq!(asked.await.unwrap().unwrap(), id, "what has begun meanwhile is taken back");
    assert_eq!(world.end(&id).await, "rolled_back");
    assert!(world.now().await.lane.queue.is_empty(), "and nothing waits behind it");
}

#[tokio::test]
async fn a_version_that_stands_by_is_gone_back_to_without_its_artifact() {
    let world = World::new().await;
    world.serving("1.0.0").await;
    world.promoted("1.1.0").await;
    world.shelf.empty();
    let id = world.control.rollback(&shop(), None, &By::once("user:bob")).await.unwrap();
    assert_eq!(world.end(&id).await, "succeeded");
    assert_eq!(world.gateway.share("1.0.0"), Weight::ALL);
}

#[tokio::test]
async fn a_host_that_waits_for_a_word_is_taken_already() {
    let world = World::new().await;
    let file = |service: &str, gates: &str| {
        format!(
            "service: {service}\nrun: {{ command: [\"./shop\"] }}\nhealth: {{ http: /healthz }}\ntraffic: {{ host: shop.local }}\n\
             environments: {{ production: {{ instances: 1, {gates} }} }}\n"
        )
    };
    let ask = async |service: &str, gates: &str| {
        let request = ReleaseRequest { file: Some(file(service, gates)), ..request("1.0.0") };
        world.control.release(request, &By::once("user:ann")).await
    };
    ask("shop", "gates: { approvals: { count: 1 } }").await.unwrap();
    let refused = ask("copied", "strategy: rolling").await.expect_err("it is taken").to_string();
    assert!(refused.contains("shop.local/ already belongs to shop in production"), "{refused}");
}

#[tokio::test]
async fn what_is_under_way_when_it_ends_holds_nothing() {
    let world = World::new().await;
    // Tried again and again, for seconds.
    (0..8).for_each(|_| world.target.refuse_next_start(TargetError::Transient("not yet".to_string())));
    world.release("1.0.0").await;
    until("a start is tried again and again", async || (world.target.refusals_left() < 8).then_some(())).await;
    let World { control, target, .. } = world;
    control.stop().await;
    drop(control);
    assert_eq!(Arc::strong_count(&target), 1, "nobody holds the target of one that has ended");
}

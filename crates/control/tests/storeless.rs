//! The store is away: the traffic goes back all the same, that is recorded later, by whoever drives then, and nothing else is taken in.

mod common;

use common::{World, shop, until};
use slipway_control::views::RolloutNow;
use slipway_control::{By, Command, Error};
use slipway_core::names::RolloutId;
use slipway_core::traffic::Maintenance;
use slipway_core::units::{Millis, Weight};

/// A world that has gone back from 1.1.0 by somebody's word while nothing could be written, and the rollout.
async fn gone_back_without_a_store() -> (World, RolloutId) {
    let world = World::new().await;
    world.serving("1.0.0").await;
    let id = world.release("1.1.0").await;
    world.divided("1.1.0").await;
    world.break_store().await;
    world.control.command(&shop(), Command::Abort, &By::once("user:bob")).await.unwrap();
    until("the traffic is back", async || (world.gateway.share("1.1.0") == Weight::ZERO).then_some(())).await;
    (world, id)
}

/// The way back from 1.1.0 comes to be recorded, once, and nobody meets that version again.
async fn is_recorded_once(world: &World, id: &RolloutId) {
    assert_eq!(world.end(id).await, "rolled_back");
    assert_eq!(world.entries("traffic.returning").await.len(), 1, "recorded once");
    let shares = world.gateway.shares("1.1.0");
    let back = shares.iter().rposition(|(weight, _)| *weight > Weight::ZERO).unwrap();
    assert!(shares[back + 1..].iter().all(|(weight, _)| *weight == Weight::ZERO), "it never comes again");
}

#[tokio::test]
async fn the_traffic_goes_back_without_a_store_and_is_recorded_when_there_is_one() {
    let (world, id) = gone_back_without_a_store().await;
    assert_eq!(world.entries("traffic.returning").await, [0; 0], "nothing can be recorded");
    assert_eq!(world.control.store().rollout(&id).await.unwrap().unwrap().outcome, None);
    let forward = world.control.command(&shop(), Command::Pause, &By::once("user:bob")).await;
    assert!(forward.is_err(), "it is on its way back");
    world.mend_store().await;
    is_recorded_once(&world, &id).await;
    assert!(world.control.store().verify_journal().await.unwrap().is_ok());
}

#[tokio::test]
async fn what_is_done_without_a_store_is_done_for_whoever_drives_next() {
    let (world, id) = gone_back_without_a_store().await;
    // It ends before it has recorded anything.
    world.control.stop().await;
    world.mend_store().await;
    let world = world.restart().await;
    assert_eq!(world.end(&id).await, "rolled_back");
    assert_eq!(world.entries("traffic.returning").await.len(), 1, "recorded once");
    never_serves(&world, "1.1.0");
    let asked = world.journal().await.into_iter().any(|e| e.fact.actor == "user:bob");
    assert!(asked, "who asked is in the journal");
    let noted = async || world.control.store().noted::<serde_json::Value>(&shop()).await.unwrap();
    until("nothing is left to record", async || noted().await.is_none().then_some(())).await;
    let next = world.release("1.2.0").await;
    world.divided("1.2.0").await;
    let world = world.restart().await;
    assert_eq!(world.now().await.lane.open.as_ref().map(|open| open.id.clone()), Some(next), "nothing old comes up");
}

#[tokio::test]
async fn whoever_drives_next_takes_a_way_back_on_top_of_what_was_kept_although_its_answer_was_lost() {
    let (world, id) = gone_back_without_a_store().await;
    world.control.stop().await;
    // What bob went back from had been followed by a turn that was kept, and nobody had been told.
    world.sql("UPDATE lanes SET generation = generation + 1").await;
    world.mend_store().await;
    let world = world.restart().await;
    assert_eq!(world.end(&id).await, "rolled_back");
    never_serves(&world, "1.1.0");
    let asked = world.journal().await.into_iter().any(|e| e.fact.actor == "user:bob");
    assert!(asked, "who asked is in the journal");
}

#[tokio::test]
async fn a_note_that_cannot_be_read_is_no_reason_to_go_forward() {
    let (world, id) = gone_back_without_a_store().await;
    world.control.stop().await;
    world.mend_store().await;
    world.control.store().note(&shop(), &"nonsense").await.unwrap();
    let world = world.restart().await;
    assert_eq!(world.end(&id).await, "rolled_back");
    never_serves(&world, "1.1.0");
}

/// No table of this control plane has given the version anything.
fn never_serves(world: &World, version: &str) {
    assert!(world.gateway.shares(version).iter().all(|(weight, _)| *weight == Weight::ZERO), "it never comes again");
}

#[tokio::test]
async fn only_ways_back_are_taken_in_without_a_store() {
    let (world, id) = gone_back_without_a_store().await;
    let bob = By::once("user:bob");
    assert!(matches!(world.control.scale(&shop(), 3, &bob).await, Err(Error::Store(_))), "it cannot be recorded");
    assert_eq!(world.now().await.lane.scaled, None);
    let maintenance = Maintenance { hold: Millis(0), page: None, retry_after: Millis(1_000) };
    assert!(matches!(world.control.maintain(&shop(), Some(maintenance), &bob).await, Err(Error::Store(_))));
    world.mend_store().await;
    is_recorded_once(&world, &id).await;
    world.control.scale(&shop(), 3, &bob).await.unwrap();
}

#[tokio::test]
async fn a_way_back_is_taken_again_on_top_of_what_was_kept_although_its_answer_was_lost() {
    let (world, id) = gone_back_without_a_store().await;
    // What bob went back from had been followed by a turn that was kept, and nobody had been told.
    world.sql("UPDATE lanes SET generation = generation + 1").await;
    world.mend_store().await;
    is_recorded_once(&world, &id).await;
    let actors: Vec<_> = world.journal().await.into_iter().filter(|e| e.fact.actor == "user:bob").collect();
    assert!(!actors.is_empty(), "who asked is in the journal");
}

#[tokio::test]
async fn a_standby_serves_again_without_a_store() {
    let world = World::new().await;
    world.serving("1.0.0").await;
    world.promoted("1.1.0").await;
    world.break_store().await;
    let bob = By { actor: "user:bob".into(), key: Some("once".into()) };
    let id = world.control.rollback(&shop(), None, &bob).await.unwrap();
    until("the traffic is back", async || (world.gateway.share("1.0.0") == Weight::ALL).then_some(())).await;
    assert_eq!(world.entries("rollback.asked").await, [0; 0], "nothing can be recorded");
    world.mend_store().await;
    assert_eq!(world.end(&id).await, "succeeded");
    assert_eq!(world.entries("rollback.asked").await.len(), 1);
    let next = world.release("1.2.0").await;
    assert_ne!(next, id, "no number is given twice");
    assert!(world.control.store().verify_journal().await.unwrap().is_ok());
}

/// While the store can be neither written nor read, as when its server is away.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rollout_that_ends_without_a_store_is_found_all_the_time() {
    let world = World::new().await;
    world.serving("1.0.0").await;
    for n in 1..=4 {
        let id = world.release(&format!("1.{n}.0")).await;
        world.divided(&format!("1.{n}.0")).await;
        world.sql("ALTER TABLE rollouts RENAME TO gone").await;
        let lookers: Vec<_> = (0..4)
            .map(|_| {
                let (control, id) = (world.control.clone(), id.clone());
                tokio::spawn(async move {
                    loop {
                        match control.rollout(&id).await.expect("it needs no store").expect("it is known") {
                            RolloutNow::Ended(..) => break,
                            _ => tokio::task::yield_now().await,
                        }
                    }
                })
            })
            .collect();
        world.control.command(&shop(), Command::Abort, &By::once("user:bob")).await.unwrap();
        for looker in lookers {
            looker.await.expect("it is found until it has ended");
        }
        world.sql("ALTER TABLE gone RENAME TO rollouts").await;
        assert_eq!(world.end(&id).await, "rolled_back");
    }
}

#[tokio::test]
async fn what_waits_does_not_begin_before_it_can_be_recorded() {
    let world = World::new().await;
    world.serving("1.0.0").await;
    let id = world.release("1.1.0").await;
    world.divided("1.1.0").await;
    world.release("1.2.0").await;
    world.break_store().await;
    world.control.command(&shop(), Command::Abort, &By::once("user:bob")).await.unwrap();
    until("as far as anybody knows, it has ended", async || {
        matches!(world.control.rollout(&id).await, Ok(Some(RolloutNow::Ended(..)))).then_some(())
    })
    .await;
    let now = world.now().await;
    assert!(now.lane.open.is_none() && now.lane.queue.len() == 1, "the next one has begun: {:?}", now.lane.open);
    let why = now.unrecorded.expect("it says that it is not recorded").why;
    assert!(why.contains("the disk is gone"), "{why}");
    world.mend_store().await;
    world.divided("1.2.0").await;
    until("it says so no more", async || world.now().await.unrecorded.is_none().then_some(())).await;
}

//! Group releases whose members take their time, and whose answers get lost.

mod common;

use std::future::Future;
use std::task::{Context, Waker};
use std::time::Duration;

use common::{World, name, shop, until};
use slipway_control::{By, Command, GroupMemberRequest, GroupRequest};
use slipway_core::group::{GroupRun, GroupState};
use slipway_core::rollout::Outcome;
use slipway_core::units::Weight;

/// A group of the one service.
fn asked(version: &str) -> GroupRequest {
    let members = vec![GroupMemberRequest { request: common::request(version), after: Vec::new() }];
    GroupRequest { group: name("front"), environment: name("production"), members }
}

async fn newest(world: &World) -> GroupRun {
    world.control.group(&name("front"), &name("production")).await.unwrap()
}

/// Waits until the group has ended and says how.
async fn outcome(world: &World) -> Outcome {
    until("the group ends", async || match newest(world).await.state {
        GroupState::Ended { outcome, .. } => Some(outcome),
        _ => None,
    })
    .await
}

async fn go_back(world: &World) -> GroupRun {
    world.control.roll_group_back(&name("front"), &name("production"), &By::once("user:ann")).await.unwrap()
}

/// Releases a group and a person's word lets it through.
async fn succeeded(world: &World, version: &str) {
    world.control.release_group(asked(version), &By::once("user:ann")).await.unwrap();
    world.divided(version).await;
    world.control.command(&shop(), Command::Promote { step: None }, &By::once("user:ann")).await.unwrap();
    assert_eq!(outcome(world).await, Outcome::Succeeded);
}

/// Polls until a group release goes on in the store, and goes away then, as a client does: nobody hears the answer.
async fn goes_away<T>(world: &World, asking: impl Future<Output = T>) {
    let mut asking = Box::pin(asking);
    until("what is asked for is kept", async || {
        if !world.control.store().open_groups().await.unwrap().is_empty() {
            return Some(());
        }
        asking.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_rollback_while_a_member_is_being_asked_for_does_not_end_before_it() {
    let world = World::new().await;
    world.serving("1.0.0").await;
    world.shelf.hold();
    world.control.release_group(asked("2.0.0"), &By::once("user:ann")).await.unwrap();
    until("its release is under way", async || world.shelf.is_asked().then_some(())).await;
    go_back(&world).await;
    // A second driver would find no release yet, and end the group before it comes.
    let early = tokio::time::timeout(Duration::from_millis(500), outcome(&world)).await;
    assert!(early.is_err(), "it has ended although its release is under way: {early:?}");
    world.shelf.let_go();
    assert_eq!(outcome(&world).await, Outcome::RolledBack);
    let lane = world.now().await.lane;
    assert!(lane.open.is_none(), "{:?}", lane.open);
    assert_eq!((lane.stable_version(), world.gateway.share("2.0.0")), (Some(&name("1.0.0")), Weight::ZERO));
}

#[tokio::test]
async fn a_group_goes_on_where_nobody_hears_that_it_is_kept() {
    let world = World::new().await;
    world.serving("1.0.0").await;
    goes_away(&world, world.control.release_group(asked("2.0.0"), &By::once("user:ann"))).await;
    world.divided("2.0.0").await;
    world.control.command(&shop(), Command::Promote { step: None }, &By::once("user:ann")).await.unwrap();
    assert_eq!(outcome(&world).await, Outcome::Succeeded);
    let (front, production, ann) = (name("front"), name("production"), By::once("user:ann"));
    goes_away(&world, world.control.roll_group_back(&front, &production, &ann)).await;
    assert_eq!(outcome(&world).await, Outcome::RolledBack);
    assert_eq!(world.now().await.lane.stable_version(), Some(&name("1.0.0")));
}

#[tokio::test]
async fn a_way_back_that_is_kept_and_stands_still_goes_on_when_it_is_asked_for_again() {
    let world = World::new().await;
    world.serving("1.0.0").await;
    succeeded(&world, "2.0.0").await;
    // As a commit leaves it whose answer is lost.
    let kept = r#"UPDATE group_runs SET ended = 0, generation = generation + 1,
        doc = json_set(doc, '$.run.state', json('{"state":"returning","cause":"asked for","actor":"user:ann"}'))"#;
    world.sql(kept).await;
    go_back(&world).await;
    assert_eq!(outcome(&world).await, Outcome::RolledBack);
    assert_eq!(world.now().await.lane.stable_version(), Some(&name("1.0.0")));
}

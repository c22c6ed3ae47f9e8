//! What gateways tell comes to be known to people, with who told it.

mod common;

use common::{World, name, shop, until};
use slipway_control::By;
use slipway_control::ports::Router;
use slipway_core::traffic::link;
use slipway_core::units::Weight;

/// The gateway tells that it has ejected an instance of 1.0.0, and that is recorded.
async fn ejected(world: &World) -> link::Ejection {
    let instance = world.now().await.instances[0].id.clone();
    let why = "connection refused".to_string();
    let ejection = link::Ejection { lane: shop(), version: name("1.0.0"), instance, incarnation: 1, why };
    world.gateway.tell(link::Event::Ejected(ejection.clone()));
    until("it is recorded", async || (world.entries("instance.ejected").await.len() == 1).then_some(())).await;
    ejection
}

#[tokio::test]
async fn what_a_gateway_stops_using_is_in_the_journal() {
    let world = World::new().await;
    world.serving("1.0.0").await;
    let ejection = ejected(&world).await;
    let instance = ejection.instance.clone();
    world.gateway.tell(link::Event::Readmitted(ejection));
    until("the end of it as well", async || (world.entries("instance.readmitted").await.len() == 1).then_some(()))
        .await;
    let entry = world.journal().await.into_iter().find(|e| e.fact.kind == "instance.ejected").unwrap();
    assert_eq!(entry.fact.cause, format!("{instance} gets no requests: connection refused"));
}

#[tokio::test]
async fn a_release_that_one_gateway_cannot_reach_is_taken_back_and_the_reason_names_it() {
    let world = World::new().await;
    world.serving("1.0.0").await;
    let id = world.release("1.1.0").await;
    world.divided("1.1.0").await;
    let epoch = world.now().await.lane.routing.as_ref().map(|routing| routing.epoch).expect("it is divided");
    let (lane, version, why) = (shop(), name("1.1.0"), "connection refused".to_string());
    world.gateway.tell(link::Event::CandidateLost { lane, version, epoch, why });
    assert_eq!(world.end(&id).await, "rolled_back");
    assert_eq!(world.gateway.share("1.1.0"), Weight::ZERO);
    let said = "1.1.0 lost its last usable instance at the gateway g: connection refused";
    let causes: Vec<String> = world.journal().await.into_iter().map(|entry| entry.fact.cause).collect();
    assert!(causes.iter().any(|cause| cause.contains(said)), "{causes:#?}");
    let ended = world.state_kept(&id).await;
    assert!(ended.contains(said), "{ended}");
}

#[tokio::test]
async fn nobody_is_invited_without_it_being_recorded() {
    let world = World::new().await;
    let ann = By::once("user:ann");
    world.break_store().await;
    world.control.invite_gateway("edge-2", None, &ann).await.expect_err("it cannot be recorded");
    assert_eq!(world.gateway.invited(), [""; 0], "and an earlier invitation of the name holds");
    world.mend_store().await;
    world.control.invite_gateway("edge-2", None, &ann).await.unwrap();
    assert_eq!(world.gateway.invited(), ["edge-2"]);
    assert_eq!(world.entries("gateway.invited").await.len(), 1);
}

#[tokio::test]
async fn an_upgrade_of_a_gateway_is_recorded_once_whoever_drives_when_it_comes_about() {
    let world = World::new().await;
    world.serving("1.0.0").await;
    let follows = |boot: &str, pid| link::Follows { boot: boot.into(), pid, program: "0.1.0".into() };
    let recorded = async |world: &World, times: usize| {
        until("it is recorded", async || (world.entries("gateway.upgraded").await.len() == times).then_some(())).await
    };
    world.break_store().await;
    world.gateway.follow(follows("a", 7));
    world.mend_store().await;
    // Said until it is recorded, and after that.
    until("it is recorded", async || {
        world.gateway.follow(follows("a", 7));
        (world.entries("gateway.upgraded").await.len() == 1).then_some(())
    })
    .await;
    let world = world.restart().await;
    world.gateway.follow(follows("a", 7));
    // Whoever drives now has heard of it once the next word is recorded, and what is said later is recorded after that.
    ejected(&world).await;
    world.gateway.follow(follows("b", 7));
    recorded(&world, 2).await;
    let entries = world.journal().await.into_iter().filter(|entry| entry.fact.kind == "gateway.upgraded");
    let from: Vec<_> = entries.map(|entry| entry.fact.evidence["from"].clone()).collect();
    let of = |boot: &str| serde_json::json!({ "pid": 7, "version": "0.1.0", "boot": boot });
    assert_eq!(from, [of("a"), of("b")]);
}

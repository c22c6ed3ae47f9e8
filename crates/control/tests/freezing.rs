//! Freezes of a place whose clock changes, and of one that does not exist, as the control plane keeps them: by its own clock,
//! which a test sets.

mod common;

use common::{World, request, shop, until};
use slipway_control::{By, Error, ReleaseRequest};
use slipway_core::names::RolloutId;
use slipway_core::units::{Millis, Timestamp};

/// From 1 to 4 on Sundays by the clock of `place`: two hours in spring and four in autumn.
fn frozen(place: &str) -> String {
    format!(
        r#"
service: shop
run: {{ command: ["./shop"] }}
health: {{ http: /healthz }}
traffic: {{ host: shop.local, path: / }}
objectives: [{{ name: errors, bad: failed, at_most: 1% }}]
environments:
  production:
    instances: 1
    strategy: {{ blue-green: {{ verify: 1s, standby: 1h }} }}
    gates: {{ freeze: [{{ window: "Sun 01:00 to Sun 04:00 {place}" }}] }}
"#
    )
}

async fn ask(world: &World, version: &str, place: &str) -> Result<RolloutId, Error> {
    let request = ReleaseRequest { file: Some(frozen(place)), ..request(version) };
    world.control.release(request, &By::once("user:ann")).await
}

/// How a release that is asked for now comes out, and why.
async fn released(world: &World, version: &str) -> (String, String) {
    let id = ask(world, version, "Europe/Berlin").await.unwrap();
    let outcome = world.end(&id).await;
    (outcome, world.state_kept(&id).await)
}

/// The same control plane once it is `seconds` since 1970.
async fn at(world: World, seconds: u64) -> World {
    let newest = world.journal().await.last().map_or(Timestamp(0), |entry| entry.at);
    let world = world.restart_after(Timestamp(seconds * 1_000).since(newest)).await;
    assert!(world.control.now().since(Timestamp(seconds * 1_000)) < Millis::from_secs(60), "it is what it was set to");
    until("it looks after the lane", async || world.control.lane(&shop()).await.ok()?.map(|_| ())).await;
    world
}

#[tokio::test]
async fn a_freeze_ends_by_the_clock_of_its_place_when_that_is_put_forward_and_back() {
    let world = World::new().await;
    // Whether it is let in depends on the day on which the test runs; all that follows does not.
    let id = ask(&world, "0.9.0", "Europe/Berlin").await.unwrap();
    world.end(&id).await;
    // A Wednesday.
    let world = at(world, 2_215_944_000).await;
    assert_eq!(released(&world, "1.0.0").await.0, "succeeded");

    // 25 March 2040: two o'clock is skipped in Berlin, so four o'clock is two hours after one.
    let world = at(world, 2_216_253_540).await;
    let (outcome, why) = released(&world, "1.1.0").await;
    assert_eq!(outcome, "blocked", "{why}");
    assert!(why.contains("frozen until 2040-03-25T02:00:00"), "{why}");
    let world = at(world, 2_216_253_601).await;
    assert_eq!(released(&world, "1.1.0").await.0, "succeeded");

    // 28 October 2040: two o'clock comes twice, so four o'clock is four hours after one.
    let world = at(world, 2_235_005_940).await;
    let (outcome, why) = released(&world, "1.2.0").await;
    assert_eq!(outcome, "blocked", "{why}");
    assert!(why.contains("frozen until 2040-10-28T03:00:00"), "{why}");
    let world = at(world, 2_235_006_001).await;
    assert_eq!(released(&world, "1.2.0").await.0, "succeeded");
}

#[tokio::test]
async fn a_freeze_in_a_place_that_does_not_exist_is_refused_and_freezes_nothing() {
    let world = World::new().await;
    let refused = ask(&world, "1.0.0", "Europe/Berlni").await.expect_err("no such place");
    let said = format!("{refused:?}");
    assert!(said.contains("Europe/Berlni"), "{said}");
    assert!(world.entries("rollout.asked").await.is_empty(), "nothing was asked for");
    assert!(world.control.lane(&shop()).await.unwrap().is_none(), "nothing is kept");
    world.serving("1.0.0").await;
}

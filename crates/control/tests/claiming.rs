//! A host and path are whose release is recorded with them first, also where two ask at the same moment.

mod common;

use common::{World, name, request};
use slipway_control::{By, Error, ReleaseRequest};

/// The first release of a service that claims what the shop does.
fn first_of(service: &str) -> ReleaseRequest {
    let asked = request("1.0.0");
    let file = asked.file.map(|file| file.replace("service: shop", &format!("service: {service}")));
    ReleaseRequest { file, ..asked }
}

#[tokio::test]
async fn of_two_first_releases_that_claim_a_host_at_once_one_is_refused() {
    let (world, ann) = (World::new().await, By::once("user:ann"));
    let (one, other) =
        tokio::join!(world.control.release(first_of("shop"), &ann), world.control.release(first_of("cart"), &ann));
    let (let_in, refused, loser) = match (one, other) {
        (Ok(id), Err(refused)) => (id, refused, "cart"),
        (Err(refused), Ok(id)) => (id, refused, "shop"),
        both => panic!("{both:?}"),
    };
    let Error::Refused(refusal) = &refused else { panic!("{refused:?}") };
    assert!(refusal.code == "traffic_taken" && refusal.reason.contains("shop.local/ already belongs to"), "{refusal}");
    let store = world.control.store();
    assert_eq!(store.release(&name(loser), &name("1.0.0")).await.unwrap(), None, "no version is used up");
    assert_eq!(world.end(&let_in).await, "succeeded");
}

#[tokio::test]
async fn a_host_is_free_again_where_the_release_that_wanted_it_could_not_be_recorded() {
    let (world, ann) = (World::new().await, By::once("user:ann"));
    world.break_store().await;
    world.control.release(first_of("shop"), &ann).await.expect_err("it cannot be recorded");
    world.mend_store().await;
    let id = world.control.release(first_of("cart"), &ann).await.unwrap();
    assert_eq!(world.end(&id).await, "succeeded");
}

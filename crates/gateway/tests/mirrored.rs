//! Copies of requests: whom they reach, what they say, what they are counted for, and that nobody waits for them.

#[path = "common/mod.rs"]
mod common;

use std::sync::{Arc, Mutex};

use common::*;
use slipway_core::traffic::link::CountRow;
use slipway_core::traffic::{Endpoint, Mirror};
use slipway_core::units::{Millis, Weight};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn mirror() -> Mirror {
    Mirror {
        to: "c".parse().unwrap(),
        share: Weight::ALL,
        methods: vec!["GET".into(), "HEAD".into()],
        body_bytes: 16,
        timeout: Millis(5_000),
        at_once: 10,
    }
}

/// Everybody is at stable, and the candidate gets copies.
async fn serve(world: &World, generation: u64, s: &Instance, c: Endpoint, mirror: Mirror) {
    let mut all = table(generation, 0, &[s], &[]);
    (all.epoch, all.candidate, all.mirror) = (1, vec![c], Some(mirror));
    world.publish(all.build()).await;
}

/// An instance that keeps whole requests and answers by `status`; nothing where that is zero.
async fn keeper(status: u16) -> (Endpoint, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let kept = Arc::new(Mutex::new(Vec::new()));
    let seen = kept.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let seen = seen.clone();
            tokio::spawn(async move {
                let (mut text, mut piece) = (String::new(), [0; 4096]);
                while let Ok(size @ 1..) = stream.read(&mut piece).await {
                    text.push_str(&String::from_utf8_lossy(&piece[..size]));
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let length =
                        head.to_lowercase().lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok());
                    let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
                    if chunked && !body.ends_with("0\r\n\r\n") || length.is_some_and(|l: usize| body.len() < l) {
                        continue;
                    }
                    seen.lock().unwrap().push(std::mem::take(&mut text));
                    if status > 0 {
                        let answer = format!("HTTP/1.1 {status} Kept\r\ncontent-length: 4\r\n\r\nkept");
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                }
            });
        }
    });
    (Endpoint { instance: "c1".parse().unwrap(), incarnation: 1, address: address.into() }, kept)
}

async fn copies(world: &World, version: &str, enough: impl Fn(&CountRow) -> bool) -> CountRow {
    let of = |r: &CountRow| r.mirrored && r.version.as_str() == version && enough(r);
    until("copies are counted", || world.hub.counts().into_iter().find(of)).await
}

#[tokio::test]
async fn copies_reach_the_candidate_marked_and_are_counted_apart() {
    let s = Instance::start("s").await;
    let (c, kept) = keeper(503).await;
    let world = World::start().await;
    serve(&world, 1, &s, c, mirror()).await;
    let mut client = Client::to(world.address).await;
    for n in 0..5 {
        let answer = client.get(&format!("/{n}?q=1"), &[("cookie", "slipway=ann"), ("x-own", "1")]).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "s"), "users meet stable alone");
    }
    let ours = copies(&world, "c", |row| row.attempts == 5).await;
    assert_eq!((ours.failed, ours.objectives[0].bad, ours.assigned), (5, 3, 0), "under the cap for one user");
    let theirs = copies(&world, "s", |row| row.attempts == 5).await;
    assert_eq!((theirs.failed, theirs.objectives[0].n), (0, 5), "the same requests where they went");
    let plain = world.counts("s", "users", |row| !row.mirrored && row.attempts == 5).await;
    assert_eq!((plain.assigned, plain.failed), (5, 0));
    assert!(!world.hub.counts().iter().any(|r| r.version.as_str() == "c" && !r.mirrored && r.attempts > 0));
    let mut kept = kept.lock().unwrap().clone();
    kept.sort();
    assert_eq!(kept.len(), 5);
    let first = kept[0].to_lowercase();
    for line in ["get /0?q=1 http/1.1", "host: shop.local", "slipway-synthetic: mirror", "x-own: 1"] {
        assert!(first.lines().any(|there| there == line), "{line}: {first}");
    }
}

#[tokio::test]
async fn only_declared_methods_and_short_bodies_are_copied_whole() {
    let s = Instance::start("s").await;
    let (c, kept) = keeper(200).await;
    let world = World::start().await;
    serve(&world, 1, &s, c.clone(), mirror()).await;
    let mut client = Client::to(world.address).await;
    assert_eq!(client.call(request("POST", "/echo", &[], "short")).await.unwrap().body, "short");
    client.get("/", &[]).await;
    copies(&world, "c", |row| row.attempts == 1).await;
    let declared = Mirror { methods: vec!["POST".into()], ..mirror() };
    serve(&world, 2, &s, c, declared).await;
    let long = "longer than sixteen bytes by far";
    assert_eq!(client.call(request("POST", "/echo", &[], long)).await.unwrap().body, long);
    assert_eq!(client.call(request("POST", "/echo", &[], "short")).await.unwrap().body, "short");
    copies(&world, "c", |row| row.attempts == 2).await;
    let kept = kept.lock().unwrap().clone();
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(kept[0].starts_with("GET") && kept[1].starts_with("POST") && kept[1].contains("short"), "{kept:?}");
}

#[tokio::test]
async fn nobody_waits_for_a_copy_and_beyond_its_places_there_is_none() {
    let s = Instance::start("s").await;
    let (c, kept) = keeper(0).await;
    let world = World::start().await;
    serve(&world, 1, &s, c, Mirror { at_once: 2, timeout: Millis(60_000), ..mirror() }).await;
    let mut client = Client::to(world.address).await;
    for _ in 0..20 {
        assert_eq!(client.get("/", &[]).await.body, "s");
    }
    until("two copies wait", || (kept.lock().unwrap().len() == 2).then_some(())).await;
    let theirs = copies(&world, "s", |row| row.attempts >= 2).await;
    assert_eq!(theirs.attempts, 2, "what was not copied is no pair");
}

#[tokio::test]
async fn a_silent_candidate_has_failed_by_the_mirrors_own_limit() {
    let s = Instance::start("s").await;
    let (c, _) = keeper(0).await;
    let world = World::start().await;
    serve(&world, 1, &s, c, Mirror { timeout: Millis(100), ..mirror() }).await;
    assert_eq!(world.get("/").await.body, "s");
    let ours = copies(&world, "c", |row| row.attempts == 1).await;
    assert_eq!((ours.failed, ours.objectives[0].bad), (1, 1));
}

#[tokio::test]
async fn a_share_is_never_exceeded_and_a_lapsed_lease_copies_nothing() {
    let s = Instance::start("s").await;
    let (c, _) = keeper(200).await;
    let world = World::start().await;
    let quarter = Mirror { share: Weight::from_bp(2_500).unwrap(), at_once: 1_000, ..mirror() };
    serve(&world, 1, &s, c.clone(), quarter.clone()).await;
    let mut client = Client::to(world.address).await;
    for _ in 0..100 {
        client.get("/", &[]).await;
    }
    world.counts("s", "all", |row| !row.mirrored && row.attempts == 100).await;
    let ours = copies(&world, "c", |row| row.attempts >= 15).await.attempts;
    assert!(ours <= 25, "{ours} of 100");
    // As many as there will be: each was counted with what it is a copy of.
    let before = copies(&world, "s", |_| true).await.attempts;
    let mut leased = table(2, 0, &[&s], &[]);
    (leased.epoch, leased.candidate, leased.mirror) = (1, vec![c], Some(quarter));
    leased.lease = Some(Millis(100));
    world.publish(leased.build()).await;
    until("it has lapsed", || world.hub.gateways().first().is_some_and(|g| !g.lapsed.is_empty()).then_some(())).await;
    for _ in 0..100 {
        client.get("/", &[]).await;
    }
    world.counts("s", "all", |row| !row.mirrored && row.attempts == 200).await;
    assert_eq!(copies(&world, "s", |_| true).await.attempts, before);
}

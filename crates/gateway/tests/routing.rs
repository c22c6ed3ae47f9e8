//! Which requests reach which version, and that nothing slips past an acknowledgement.

mod common;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use std::time::Duration;

use common::*;
use slipway_core::traffic::{Epoch, Generation, Match, RoutingTable, Sticky};

#[tokio::test]
async fn a_table_pushed_over_the_link_routes_real_requests_and_they_are_counted() {
    let (stable, candidate) = (Instance::start("s1").await, Instance::start("c1").await);
    let world = World::start().await;
    assert_eq!(world.get("/").await.status, 503, "before the first table");
    world.publish(table(1, 5_000, &[&stable], &[&candidate]).build()).await;
    let mut client = Client::to(world.address).await;
    let mut answers = Vec::new();
    for _ in 0..200 {
        let reply = client.get("/", &[]).await;
        assert_eq!(reply.status, 200);
        answers.push(reply.body);
    }
    let seen = tally(answers);
    assert!(seen["s1"] > 50 && seen["c1"] > 50, "{seen:?}");
    for (version, name) in [("s", "s1"), ("c", "c1")] {
        let row = world.counts(version, "all are counted", |r| r.attempts == seen[name]).await;
        assert_eq!((row.assigned, row.users), (seen[name], seen[name]), "nobody comes back");
        assert_eq!((row.failed, row.failed_by_slipway), (0, 0));
        assert_eq!((row.objectives[0].n, row.objectives[0].bad), (seen[name], 0));
        assert_eq!(row.latency_us.iter().map(|(_, n)| n).sum::<u64>(), seen[name]);
    }
}

#[tokio::test]
async fn hosts_and_paths_find_their_service() {
    let (shop, cart, other) =
        (Instance::start("shop").await, Instance::start("cart").await, Instance::start("other").await);
    let world = World::start().await;
    let route = |service: &str, instance: &Instance, host: Option<&str>, path: &str| {
        let mut route = table(1, 0, &[instance], &[]).route();
        route.service = service.parse().unwrap();
        route.matches = vec![Match { host: host.map(str::to_string), path: path.into(), rank: 0 }];
        Arc::new(route)
    };
    let routes = vec![
        route("shop", &shop, Some("shop.local"), "/"),
        route("cart", &cart, Some("shop.local"), "/cart"),
        route("other", &other, None, "/open"),
    ];
    world.publish(RoutingTable { generation: Generation(1), routes }).await;
    let mut client = Client::to(world.address).await;
    for (host, path, expected) in [
        ("shop.local", "/", "shop"),
        ("SHOP.local:8080", "/cart?x=1", "cart"),
        ("shop.local", "/cartoon", "shop"),
        ("shop.local", "/cart*1", "shop"),
        ("elsewhere", "/open/x", "other"),
    ] {
        assert_eq!(client.get(path, &[("host", host)]).await.body, expected, "{host} {path}");
    }
    let lost = client.get("/nowhere", &[("host", "elsewhere")]).await;
    assert_eq!(lost.status, 404);
    assert!(lost.header("proxy-status").starts_with("slipway; error=destination_not_found"), "{lost:?}");
}

#[tokio::test]
async fn a_user_stays_on_the_candidate_while_weights_rise_and_leaves_at_zero() {
    let (stable, candidate) = (Instance::start("s1").await, Instance::start("c1").await);
    let world = World::start().await;
    let mut client = Client::to(world.address).await;
    let mut met: HashMap<String, String> = HashMap::new();
    for (generation, weight) in [(1, 500), (2, 2_500), (3, 5_000), (4, 9_900)] {
        world.publish(table(generation, weight, &[&stable], &[&candidate]).build()).await;
        for (cookie, version) in met.iter_mut() {
            let reply = client.get("/", &[("cookie", cookie)]).await;
            assert!(reply.cookie().is_none(), "a known user gets no new cookie");
            assert!(version != "c1" || reply.body == "c1", "moved back at {weight}");
            *version = reply.body;
        }
        for _ in 0..60 {
            let reply = client.get("/", &[]).await;
            met.insert(reply.cookie().expect("traffic is split, so the key is handed back"), reply.body);
        }
    }
    assert!(met.values().any(|v| v == "c1"));
    world.publish(table(5, 0, &[&stable], &[&candidate]).build()).await;
    for cookie in met.keys() {
        assert_eq!(client.get("/", &[("cookie", cookie)]).await.body, "s1", "0% overrides every pin");
    }
    assert!(client.get("/", &[]).await.cookie().is_none(), "no split, no cookie");
}

#[tokio::test]
async fn the_declared_cookie_and_header_are_the_key() {
    let (stable, candidate) = (Instance::start("s1").await, Instance::start("c1").await);
    let world = World::start().await;
    let mut split = table(1, 5_000, &[&stable], &[&candidate]);
    split.sticky = Sticky { cookie: Some("session".into()), header: Some("x-user".into()) };
    world.publish(split.build()).await;
    let mut client = Client::to(world.address).await;
    let mut versions = Vec::new();
    for user in 0..40 {
        let (cookie, name) = (format!("session={user}"), user.to_string());
        let first = client.get("/", &[("cookie", &cookie)]).await;
        assert!(first.cookie().is_none());
        for _ in 0..3 {
            assert_eq!(client.get("/", &[("cookie", &cookie)]).await.body, first.body);
            assert_eq!(client.get("/", &[("x-user", &name), ("cookie", "session=zz")]).await.body, first.body);
        }
        versions.push(first.body);
    }
    let users = tally(versions);
    assert_eq!(users.len(), 2, "both versions have users");
    for (version, name) in [("s", "s1"), ("c", "c1")] {
        let row = world.counts(version, "all are counted", |r| r.attempts == 7 * users[name]).await;
        assert_eq!((row.assigned, row.users), (7 * users[name], users[name]), "a user is met once");
    }
}

/// What is asserted: a request that a client starts after the acknowledgement of 0% never reaches the candidate.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_the_acknowledgement_of_zero_nothing_reaches_the_candidate() {
    let (stable, candidate) = (Instance::start("s1").await, Instance::start("c1").await);
    let world = World::start().await;
    let (stop, round) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    world.publish(table(1, 5_000, &[&stable], &[&candidate]).build()).await;
    let mut clients = Vec::new();
    for _ in 0..16 {
        let (stop, round, address) = (stop.clone(), round.clone(), world.address);
        clients.push(tokio::spawn(async move {
            let (mut answered, mut late) = (0u64, 0u64);
            let mut client = Client::to(address).await;
            while !stop.load(SeqCst) {
                // Odd rounds are those in which 0% was acknowledged.
                let before = round.load(SeqCst);
                let reply = client.get("/", &[]).await;
                assert_eq!(reply.status, 200);
                answered += 1;
                late += u64::from(before % 2 == 1 && round.load(SeqCst) == before && reply.body == "c1");
            }
            (answered, late)
        }));
    }
    for generation in (2..60).step_by(2) {
        world.publish(table(generation, 0, &[&stable], &[&candidate]).build()).await;
        round.fetch_add(1, SeqCst);
        let (s, c) = (stable.seen(), candidate.seen());
        until("traffic flows on stable", || (stable.seen() > s + 40).then_some(())).await;
        // Whatever was in flight when the acknowledgement came has long arrived.
        assert!(candidate.seen() <= c + 16, "{} more", candidate.seen() - c);
        round.fetch_add(1, SeqCst);
        world.publish(table(generation + 1, 5_000, &[&stable], &[&candidate]).build()).await;
        let c = candidate.seen();
        until("traffic flows on the candidate", || (candidate.seen() > c).then_some(())).await;
    }
    stop.store(true, SeqCst);
    let mut total = (0, 0);
    for client in clients {
        let (answered, late) = client.await.unwrap();
        total = (total.0 + answered, total.1 + late);
    }
    assert!(total.0 > 1_000, "{total:?}");
    assert_eq!(total.1, 0, "requests that started after the acknowledgement reached the candidate");
    assert_eq!(total.0, stable.seen() + candidate.seen());
}

#[tokio::test]
async fn old_and_repeated_tables_and_nonsense_are_ignored() {
    let (stable, candidate) = (Instance::start("s1").await, Instance::start("c1").await);
    let world = World::start().await;
    world.publish(table(10, 0, &[&stable], &[&candidate]).build()).await;
    // A second control plane that took over the file and speaks for an older generation.
    let old = world.another_hub("control.json").await;
    old.publish(table(9, 10_000, &[&stable], &[&candidate]).build());
    let mut world = world;
    world.hub = old;
    let hub = world.hub.clone();
    world.kill_gateway().await;
    world.start_gateway();
    until("the gateway calls the other one", || hub.gateways().iter().find(|g| g.connected).map(|_| ())).await;
    assert!(world.hub.wait_acked(Generation(9), PATIENCE).await);
    assert_eq!(world.hub.gateways()[0].acked, Generation(10), "what it serves is acknowledged, not what it was told");
    assert_eq!(world.get("/").await.body, "s1");
    let mut broken = table(11, 10_000, &[&stable], &[&candidate]).build();
    Arc::make_mut(&mut broken.routes[0]).versions.pop();
    world.hub.publish(broken);
    world.publish(table(12, 10_000, &[&stable], &[&candidate]).build()).await;
    assert_eq!(world.get("/").await.body, "c1");
}

/// The gateway has chosen the candidate and is still connecting to it when 0% is acknowledged.
#[tokio::test]
async fn a_request_that_is_still_connecting_when_zero_is_acknowledged_goes_to_stable() {
    let stable = Instance::start("s1").await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let candidate = socket.listen(1).unwrap();
    let address = candidate.local_addr().unwrap();
    // Fill its queue, so that the next connection has to wait until somebody accepts.
    let mut queue = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(address)).await
    {
        queue.push(stream);
    }
    let world = World::start_with(slipway_gateway::Tuning { connect_timeout: PATIENCE, ..quick() }).await;
    let endpoint =
        slipway_core::traffic::Endpoint { instance: "c1".parse().unwrap(), incarnation: 1, address: address.into() };
    let mut split = table(1, 10_000, &[&stable], &[]);
    split.candidate = vec![endpoint];
    world.publish(split.build()).await;
    let traffic = world.address;
    let waiting = tokio::spawn(async move { Client::to(traffic).await.get("/", &[]).await });
    until("the gateway is connecting", || is_connecting_to(address).then_some(())).await;

    (split.generation, split.epoch, split.weight_bp) = (2, 2, 0);
    world.publish(split.build()).await;
    drop(queue);
    let requests = Arc::new(AtomicU64::new(0));
    let counter = requests.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = candidate.accept().await {
            let counter = counter.clone();
            tokio::spawn(async move {
                use tokio::io::AsyncReadExt;
                let mut bytes = [0; 64];
                if stream.read(&mut bytes).await.unwrap_or(0) > 0 {
                    counter.fetch_add(1, SeqCst);
                }
            });
        }
    });
    assert_eq!(waiting.await.unwrap().body, "s1");
    assert_eq!(requests.load(SeqCst), 0);
    let row = world.counts("s", "it is counted where it went", |r| r.attempts == 1).await;
    assert_eq!((row.epoch.0, row.assigned, row.failed), (2, 1, 0));
}

/// Whether a connection to `address` of this machine is being opened (state SYN_SENT, 02, in the kernel's list).
fn is_connecting_to(address: std::net::SocketAddr) -> bool {
    let remote = format!(":{:04X} 02 ", address.port());
    std::fs::read_to_string("/proc/net/tcp").unwrap().contains(&remote)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_counted_is_what_clients_saw() {
    let (stable, candidate) = (Instance::start("s1").await, Instance::start("c1").await);
    let world = World::start().await;
    world.publish(table(1, 3_000, &[&stable], &[&candidate]).build()).await;
    let clients: Vec<_> = (0..8)
        .map(|client| {
            let address = world.address;
            tokio::spawn(async move {
                let (mut http, mut seen) = (Client::to(address).await, Vec::new());
                for n in 0..150 {
                    let path = if n % 7 == client % 7 { "/fail" } else { "/" };
                    let user = format!("slipway=user-{client}-{}", n % 50);
                    let reply = http.get(path, &[("cookie", &user)]).await;
                    seen.push(format!("{} {}", reply.header("x-version"), reply.status));
                }
                seen
            })
        })
        .collect();
    let mut seen = Vec::new();
    for client in clients {
        seen.extend(client.await.unwrap());
    }
    let seen = tally(seen);
    let of = |name: &str, status| seen.get(&format!("{name} {status}")).copied().unwrap_or_default();
    for (version, name) in [("s", "s1"), ("c", "c1")] {
        let (good, bad) = (of(name, 200), of(name, 500));
        assert!(good > 0 && bad > 0, "{seen:?}");
        let row = world.counts(version, "all are counted", |r| r.attempts == good + bad).await;
        assert_eq!((row.assigned, row.failed, row.failed_by_slipway), (good + bad, bad, 0));
        assert_eq!(row.latency_us.iter().map(|(_, n)| n).sum::<u64>(), good + bad);
    }
}

#[tokio::test]
async fn what_was_answered_before_a_table_is_told_before_that_is_acknowledged() {
    let stable = Instance::start("s1").await;
    let world = World::start().await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    let mut client = Client::to(world.address).await;
    for generation in 1..=10 {
        // Of one connection: when the second is answered, the first is counted.
        client.get("/", &[]).await;
        client.get("/", &[]).await;
        world.publish(table(generation + 1, 0, &[&stable], &[]).build()).await;
        let rows = world.hub.counts();
        assert!(rows.iter().any(|row| row.epoch == Epoch(generation) && row.attempts > 0), "{generation}: {rows:#?}");
    }
}

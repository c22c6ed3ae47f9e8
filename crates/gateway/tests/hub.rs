//! The control plane's end of the link against callers of every kind.

mod common;
#[path = "common/invited.rs"]
mod invited;
#[path = "common/rows.rs"]
mod rows;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::time::Duration;

use common::*;
use invited::settings;
use rows::row;
use slipway_core::names::LaneId;
use slipway_core::traffic::link::{Ejection, Event, FromGateway, Hello, LINE_LIMIT, Lapse, Machine, ToGateway};
use slipway_core::traffic::{Endpoint, Epoch, Generation, READS, RoutingTable, TableChange};
use slipway_core::units::Millis;
use slipway_gateway::hub::Hub;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A gateway by hand.
struct Caller {
    stream: BufReader<TcpStream>,
}

fn hello(name: &str, address: SocketAddr, token: &str) -> Hello {
    Hello {
        token: token.into(),
        gateway: name.into(),
        boot: "a".into(),
        pid: std::process::id(),
        traffic: address,
        serves: Generation(0),
        serves_part: Generation(0),
        lapsed: vec![],
        ejected: vec![],
        machine: None,
        takes_changes: true,
        reads: READS,
        more: false,
        program: None,
        draining: false,
        predecessors: vec![],
    }
}

impl Caller {
    async fn call(address: SocketAddr, token: &str, boot: &str) -> Caller {
        Caller::call_as("gw", address, token, boot).await
    }

    async fn call_as(name: &str, address: SocketAddr, token: &str, boot: &str) -> Caller {
        Caller::call_with(name, address, token, boot, false).await
    }

    async fn call_with(name: &str, address: SocketAddr, token: &str, boot: &str, takes_changes: bool) -> Caller {
        let mut caller = Caller { stream: BufReader::new(TcpStream::connect(address).await.unwrap()) };
        let hello = Hello { boot: boot.into(), takes_changes, ..hello(name, address, token) };
        caller.say(&FromGateway::Hello(hello)).await;
        caller
    }

    async fn say(&mut self, message: &FromGateway) {
        self.line(&serde_json::to_string(message).unwrap()).await;
    }

    async fn line(&mut self, line: &str) {
        // The other side may have hung up, which is what some tests are about.
        let _ = self.stream.get_mut().write_all(format!("{line}\n").as_bytes()).await;
    }

    /// The next message; `None` where the hub hung up.
    async fn heard(&mut self) -> Option<ToGateway> {
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, self.stream.read_line(&mut line)).await.expect("nothing was heard");
        if read.unwrap_or(0) == 0 { None } else { Some(serde_json::from_str(&line).unwrap()) }
    }

    async fn ack(&mut self, generation: u64) {
        self.say(&FromGateway::Ack { generation: Generation(generation) }).await;
    }
}

async fn hub() -> (tempfile::TempDir, Hub) {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::bind(dir.path().join("control.json"), "secret").await.unwrap();
    (dir, hub)
}

#[tokio::test]
async fn the_control_file_is_its_owners_alone_and_replaced_whole() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, hub) = hub().await;
    let file = dir.path().join("control.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let content: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(content, serde_json::json!({ "address": hub.address(), "start": 0, "token": "secret" }));
    let second = Hub::bind(file.clone(), "other").await.unwrap();
    let content: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(content["address"], second.address().to_string());
}

#[tokio::test]
async fn a_wrong_token_or_no_hello_hears_nothing() {
    let (_dir, hub) = hub().await;
    hub.publish(table(1, 0, &[], &[]).build());
    for token in ["", "secre", "secret2", "SECRET"] {
        assert_eq!(Caller::call(hub.address(), token, "a").await.heard().await, None, "{token:?}");
    }
    let mut rude = Caller { stream: BufReader::new(TcpStream::connect(hub.address()).await.unwrap()) };
    rude.line("GET / HTTP/1.1").await;
    assert_eq!(rude.heard().await, None);
    assert!(hub.gateways().is_empty());
    assert!(!hub.wait_acked(Generation(0), Duration::ZERO).await, "without a gateway nothing is confirmed");
}

/// A table of so many services, each route with so many bytes of salt.
fn crowd(generation: u64, services: usize, salt: usize) -> RoutingTable {
    let route = |service: usize| {
        let mut route = table(1, 0, &[], &[]).route();
        route.service = format!("service-{service:05}").parse().unwrap();
        route.matches[0].host = Some(format!("{}.local", route.service));
        route.salt = "s".repeat(salt);
        Arc::new(route)
    };
    RoutingTable { generation: Generation(generation), routes: (0..services).map(route).collect() }
}

/// What the change of one connection's table comes to.
async fn change(caller: &mut Caller) -> TableChange {
    let Some(ToGateway::Change(mut change)) = caller.heard().await else { panic!("it is a table") };
    while change.more {
        let Some(ToGateway::Change(part)) = caller.heard().await else { panic!("a part is missing") };
        assert!(change.join(part));
    }
    change
}

#[tokio::test]
async fn a_gateway_hears_of_a_later_table_only_what_differs() {
    let (_dir, hub) = hub().await;
    let first = crowd(1, 200, 0);
    hub.publish(first.clone());
    let mut caller = Caller::call_with("gw", hub.address(), "secret", "a", true).await;
    let whole = change(&mut caller).await;
    assert_eq!((whole.from, whole.apply(None).as_ref()), (None, Some(&first)));
    let mut second = RoutingTable { generation: Generation(2), ..first.clone() };
    second.routes.remove(7);
    Arc::make_mut(&mut second.routes[100]).epoch = Epoch(9);
    hub.publish(second.clone());
    let heard = change(&mut caller).await;
    assert_eq!((heard.from, heard.routes.len(), heard.gone.len()), (Some(Generation(1)), 1, 1));
    assert_eq!(heard.apply(Some(&first)).as_ref(), Some(&second));
    let mut again = Caller::call_with("gw", hub.address(), "secret", "b", true).await;
    assert_eq!(change(&mut again).await.apply(None), Some(second), "whoever calls anew gets the whole");
}

#[tokio::test]
async fn a_table_that_is_longer_than_any_line_is_served_and_so_is_what_follows() {
    let world = World::start().await;
    let instance = Instance::start("there").await;
    let mut large = crowd(1, 300, 64 << 10);
    assert!(serde_json::to_vec(&large).unwrap().len() > LINE_LIMIT);
    world.publish(large.clone()).await;
    for (generation, service) in [(2, 7), (3, 299)] {
        large.generation = Generation(generation);
        Arc::make_mut(&mut large.routes[service]).versions[0].endpoints = vec![instance.endpoint()];
        world.publish(large.clone()).await;
        let host = format!("service-{service:05}.local");
        let reply = Client::to(world.address).await.get("/", &[("host", &host)]).await;
        assert_eq!(reply.body, "there");
    }
}

#[tokio::test]
async fn a_caller_gets_the_newest_table_first_and_renewals_behind_it() {
    let (_dir, hub) = hub().await;
    hub.publish(table(1, 0, &[], &[]).build());
    hub.publish(table(3, 0, &[], &[]).build());
    hub.publish(table(2, 0, &[], &[]).build());
    let mut caller = Caller::call(hub.address(), "secret", "a").await;
    assert!(matches!(caller.heard().await, Some(ToGateway::Table(t)) if t.generation == Generation(3)));
    caller.ack(3).await;
    assert!(hub.wait_acked(Generation(3), PATIENCE).await);
    hub.publish(table(4, 0, &[], &[]).build());
    hub.renew(Generation(4), Millis(9));
    assert!(!hub.wait_acked(Generation(4), Duration::from_millis(1)).await);
    assert!(matches!(caller.heard().await, Some(ToGateway::Table(t)) if t.generation == Generation(4)));
    assert_eq!(caller.heard().await, Some(ToGateway::Renew { generation: Generation(4), term: Millis(9) }));
}

#[tokio::test]
async fn the_newer_start_of_a_name_wins_and_the_older_one_cannot_come_back() {
    let (_dir, hub) = hub().await;
    let mut old = Caller::call(hub.address(), "secret", "old").await;
    old.say(&FromGateway::Counts { rows: vec![row(5)] }).await;
    until("the old one has reported", || hub.counts().first().map(|_| ())).await;
    let mut new = Caller::call(hub.address(), "secret", "new").await;
    assert_eq!(old.heard().await, None, "the old one is hung up on");
    old.ack(99).await;
    new.say(&FromGateway::Counts { rows: vec![row(2)] }).await;
    new.say(&FromGateway::Counts { rows: vec![row(2)] }).await;
    until("both add up, the repeated report once", || (hub.counts()[0].attempts == 7).then_some(())).await;
    let mut again = Caller::call(hub.address(), "secret", "old").await;
    assert_eq!(again.heard().await, None);
    let known = hub.gateways();
    assert_eq!((known.len(), known[0].boot.as_str(), known[0].acked), (1, "new", Generation(0)));
    assert!(known[0].connected);
}

#[tokio::test]
async fn nonsense_is_passed_over_and_changes_are_nudged() {
    let (_dir, hub) = hub().await;
    let nudges = Arc::new(AtomicU64::new(0));
    let counter = nudges.clone();
    hub.on_change(Arc::new(move || _ = counter.fetch_add(1, SeqCst)));
    let mut caller = Caller::call(hub.address(), "secret", "a").await;
    caller.line("{\"type\":\"tea\"}").await;
    caller.line("nonsense").await;
    caller.ack(7).await;
    assert!(hub.wait_acked(Generation(7), PATIENCE).await);
    until("connection and acknowledgement", || (nudges.load(SeqCst) >= 2).then_some(())).await;
    let before = nudges.load(SeqCst);
    drop(caller);
    // Whatever else is told meanwhile.
    let is_over = || nudges.load(SeqCst) > before && !hub.gateways()[0].connected;
    until("the end of the link", || is_over().then_some(())).await;
    hub.forget("gw").unwrap();
    assert!(hub.gateways().is_empty());
}

#[tokio::test]
async fn a_table_is_confirmed_when_every_gateway_that_may_still_serve_has_confirmed_it() {
    let (_dir, hub) = hub().await;
    hub.publish(table(1, 0, &[], &[]).build());
    let mut one = Caller::call_as("one", hub.address(), "secret", "a").await;
    let two = Caller::call_as("two", hub.address(), "secret", "b").await;
    one.ack(1).await;
    until("one has confirmed", || (hub.gateways().first()?.acked == Generation(1)).then_some(())).await;
    until("two is known", || (hub.gateways().len() == 2).then_some(())).await;
    assert!(!hub.is_acked(Generation(1)));
    drop(two);
    until("two is away", || (!hub.gateways()[1].connected).then_some(())).await;
    assert!(!hub.is_acked(Generation(1)), "its process runs, so it may serve on without a link");
    let mut two = Caller::call_as("two", hub.address(), "secret", "b").await;
    two.ack(1).await;
    assert!(hub.wait_acked(Generation(1), PATIENCE).await);
}

#[tokio::test]
async fn one_that_runs_elsewhere_counts_until_the_grace_is_over_and_one_that_ended_here_does_not() {
    let dir = tempfile::tempdir().unwrap();
    // What is to be seen within it is seen on a slow machine too.
    let grace = Duration::from_secs(4);
    let settings = settings(dir.path(), grace);
    let hub = Hub::open(settings).await.unwrap();
    hub.publish(table(1, 0, &[], &[]).build());
    let mut one = Caller::call_as("one", hub.address(), "secret", "a").await;
    one.ack(1).await;
    // No process has this id: here it has ended, on another machine nobody can tell.
    let hello = |name: &str, machine: Option<Machine>| {
        let base = crate::hello(name, ([192, 0, 2, 1], 80).into(), "secret");
        FromGateway::Hello(Hello { boot: name.into(), pid: u32::MAX, machine, takes_changes: false, ..base })
    };
    let mut ended = Caller { stream: BufReader::new(TcpStream::connect(hub.address()).await.unwrap()) };
    ended.say(&hello("ended", None)).await;
    until("it is known", || (hub.gateways().len() == 2).then_some(())).await;
    assert!(!hub.wait_acked(Generation(1), Duration::from_millis(20)).await, "it is connected");
    drop(ended);
    assert!(hub.wait_acked(Generation(1), PATIENCE).await);
    assert!(hub.gateways()[0].ended && hub.gateways()[0].lost.is_none(), "at once, not after the grace");

    let mut far = Caller { stream: BufReader::new(TcpStream::connect(hub.address()).await.unwrap()) };
    far.say(&hello("far", Some(Machine("elsewhere".into())))).await;
    assert!(matches!(far.heard().await, Some(ToGateway::Welcome { .. })));
    until("it is known", || (hub.gateways().len() == 3).then_some(())).await;
    drop(far);
    let far = || hub.gateways().into_iter().find(|g| g.name == "far").unwrap();
    until("it is away", || (!far().connected).then_some(())).await;
    assert!(far().counts() && !hub.is_acked(Generation(1)), "it may serve the table of before");
    assert!(hub.wait_acked(Generation(1), PATIENCE).await);
    assert!(far().lost.is_some() && !far().ended);
    assert_eq!(far().sent, Some(Generation(1)), "it may have got this one, though it acknowledged none");
}

#[tokio::test]
async fn a_gateway_that_runs_beside_is_waited_for_before_it_has_called() {
    let (_dir, hub) = hub().await;
    hub.publish(table(1, 0, &[], &[]).build());
    hub.expect("local", std::process::id(), hub.address());
    let mut edge = Caller::call_as("edge", hub.address(), "secret", "a").await;
    edge.ack(1).await;
    until("edge has confirmed", || hub.gateways().iter().any(|g| g.acked == Generation(1)).then_some(())).await;
    assert!(!hub.is_acked(Generation(1)), "the other may serve the table of before");
    let mut local = Caller::call_as("local", hub.address(), "secret", "b").await;
    local.ack(1).await;
    assert!(hub.wait_acked(Generation(1), PATIENCE).await);
}

#[tokio::test]
async fn a_gateway_of_an_earlier_release_is_given_what_it_can_read_and_confirms_it() {
    let (_dir, hub) = hub().await;
    let mut both = crowd(1, 2, 0);
    let at = |address: &str| Endpoint {
        instance: "shop-production-1".parse().unwrap(),
        incarnation: 1,
        address: address.parse().unwrap(),
    };
    for (service, address) in ["127.0.0.1:9", "unix:/run/shop"].into_iter().enumerate() {
        Arc::make_mut(&mut both.routes[service]).versions[0].endpoints = vec![at(address)];
    }
    hub.publish(both.clone());
    for (boot, takes_changes) in [("a", false), ("b", true)] {
        let mut old = Caller { stream: BufReader::new(TcpStream::connect(hub.address()).await.unwrap()) };
        // It says nothing of what it can read.
        old.line(
            &format!(
                r#"{{"type":"hello","token":"secret","gateway":"old","boot":"{boot}","pid":1,"traffic":"192.0.2.1:80",
               "serves":0,"lapsed":[],"ejected":[],"takes_changes":{takes_changes}}}"#
            )
            .replace('\n', ""),
        )
        .await;
        let given = match old.heard().await {
            Some(ToGateway::Table(table)) => table,
            Some(ToGateway::Change(change)) => change.apply(None).unwrap(),
            other => panic!("{other:?}"),
        };
        let endpoints: Vec<usize> = given.routes.iter().map(|route| route.versions[0].endpoints.len()).collect();
        assert_eq!(endpoints, [1, 0], "both routes, and of the one that it cannot read nobody who listens");
        old.ack(1).await;
        assert!(hub.wait_acked(Generation(1), PATIENCE).await);
        assert_eq!(hub.gateways()[0].without, [both.routes[1].lane()]);
        let (lane, version) = (both.routes[1].lane(), both.routes[1].versions[0].version.clone());
        let lost = Event::CandidateLost { lane, version, epoch: Epoch(1), why: "it has no instance".into() };
        old.say(&FromGateway::Event(lost)).await;
        let told = until("the loss is told", || hub.drain_events().pop()).await;
        let (gateway, Event::CandidateLost { why, .. }) = told else { panic!("{told:?}") };
        assert!(gateway == "old" && why.contains("earlier release"), "{why}");
    }
    // The new program in its place has what the old one left behind, and knows that this is not all.
    let mut new = Caller { stream: BufReader::new(TcpStream::connect(hub.address()).await.unwrap()) };
    let hello = Hello { serves_part: Generation(1), boot: "c".into(), ..hello("old", hub.address(), "secret") };
    new.say(&FromGateway::Hello(hello)).await;
    assert_eq!(change(&mut new).await.apply(None), Some(both), "all of it");
    let known = hub.gateways().remove(0);
    assert!(known.without.is_empty());
    assert_eq!((known.acked, known.sent), (Generation(0), Some(Generation(1))), "it may use what it has");
}

#[tokio::test]
async fn a_beat_is_answered_behind_the_newest_table() {
    let (_dir, hub) = hub().await;
    let mut caller = Caller::call(hub.address(), "secret", "a").await;
    until("it is known", || hub.gateways().first().map(|_| ())).await;
    hub.publish(table(1, 0, &[], &[]).build());
    caller.say(&FromGateway::Here { beat: 7 }).await;
    assert!(matches!(caller.heard().await, Some(ToGateway::Table(t)) if t.generation == Generation(1)));
    assert_eq!(caller.heard().await, Some(ToGateway::Here { beat: 7 }));
}

#[tokio::test]
async fn a_gateway_that_has_much_to_say_says_it_in_parts_and_is_let_in() {
    let (_dir, hub) = hub().await;
    let long = "w".repeat(400);
    let ejected = |n: u32| Ejection {
        lane: table(1, 0, &[], &[]).route().lane(),
        version: "c".parse().unwrap(),
        instance: format!("shop-production-{n}").parse().unwrap(),
        incarnation: 1,
        why: long.clone(),
    };
    let lapsed = |n: u32| Lapse {
        lane: LaneId { service: format!("s-{n}").parse().unwrap(), environment: "production".parse().unwrap() },
        epoch: Epoch(1),
    };
    let (ejected, lapsed): (Vec<_>, Vec<_>) = ((0..6_000).map(ejected).collect(), (0..700).map(lapsed).collect());
    let (lapses, ejections) = (lapsed.clone(), ejected.clone());
    let hello = Hello { lapsed: lapses, ejected: ejections, ..hello("gw", hub.address(), "secret") };
    let parts = hello.parts();
    assert!(parts.len() > 1 && parts.iter().all(|part| serde_json::to_vec(part).unwrap().len() < 1 << 20));
    let mut caller = Caller { stream: BufReader::new(TcpStream::connect(hub.address()).await.unwrap()) };
    for part in parts {
        caller.say(&part).await;
    }
    let known = until("it is let in", || hub.gateways().pop()).await;
    let by_instance = |e: &Ejection| e.instance.clone();
    let sorted = |mut of: Vec<Ejection>| {
        of.sort_by_key(by_instance);
        of
    };
    assert_eq!(sorted(known.ejected), sorted(ejected));
    assert_eq!(known.lapsed.len(), 700);
    // What is no part.
    for line in [r#"{"type":"more","lapsed":[],"ejected":[]}"#, r#"{"type":"ack","generation":7}"#] {
        let mut caller = Caller { stream: BufReader::new(TcpStream::connect(hub.address()).await.unwrap()) };
        let hello = r#"{"type":"hello","token":"secret","gateway":"x","boot":"x","pid":1,"traffic":"192.0.2.1:80","serves":0,
            "lapsed":[],"ejected":[],"more":true}"#;
        caller.line(&hello.replace('\n', "")).await;
        caller.line(line).await;
        assert_eq!(caller.heard().await, None, "{line}");
    }
    assert_eq!(hub.gateways().len(), 1);
}

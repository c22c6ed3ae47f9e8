//! The control plane's end of the link while gateways are upgraded: who serves, who drains, and whom a shift waits for.

mod common;
#[path = "common/rows.rs"]
mod rows;

use std::net::SocketAddr;
use std::time::Duration;

use common::*;
use rows::row;
use slipway_core::traffic::link::{FromGateway, Hello, Machine, Predecessor};
use slipway_core::traffic::{Generation, READS};
use slipway_gateway::hub::{Hub, Invited, Settings};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A process of the gateway `gw`, by hand. It says that it runs elsewhere, so that nobody looks for its process.
struct Process {
    stream: BufReader<TcpStream>,
}

impl Process {
    async fn call(hub: &Hub, boot: &str, change: impl FnOnce(&mut Hello)) -> Process {
        let mut hello = Hello {
            token: "secret".into(),
            gateway: "gw".into(),
            boot: boot.into(),
            pid: pid(boot),
            traffic: SocketAddr::from(([127, 0, 0, 1], 1)),
            serves: Generation(0),
            serves_part: Generation(0),
            lapsed: vec![],
            ejected: vec![],
            machine: Some(Machine("elsewhere".into())),
            takes_changes: true,
            reads: READS,
            more: false,
            program: Some("1".into()),
            draining: false,
            predecessors: vec![],
        };
        change(&mut hello);
        let mut process = Process { stream: BufReader::new(TcpStream::connect(hub.address()).await.unwrap()) };
        process.say(&FromGateway::Hello(hello)).await;
        process
    }

    async fn say(&mut self, message: &FromGateway) {
        let line = format!("{}\n", serde_json::to_string(message).unwrap());
        // The other side may have hung up, which is what some tests are about.
        let _ = self.stream.get_mut().write_all(line.as_bytes()).await;
    }

    /// Whether it is hung up on, whatever it is told before that.
    async fn is_refused(&mut self) -> bool {
        let mut line = String::new();
        loop {
            line.clear();
            let read = self.stream.read_line(&mut line);
            match tokio::time::timeout(PATIENCE, read).await.expect("nothing was heard") {
                Ok(0) | Err(_) => return true,
                Ok(_) if line.contains("\"table\"") || line.contains("\"change\"") => return false,
                Ok(_) => {}
            }
        }
    }

    async fn counts(&mut self, attempts: u64) {
        self.say(&FromGateway::Counts { rows: vec![row(attempts)] }).await;
    }

    async fn ack(&mut self, generation: u64) {
        self.say(&FromGateway::Ack { generation: Generation(generation) }).await;
    }
}

/// `a` is process 1, `b` process 2.
fn pid(boot: &str) -> u32 {
    u32::from(boot.as_bytes()[0] - b'a') + 1
}

fn follows(boots: &[&str]) -> Vec<Predecessor> {
    boots.iter().map(|boot| Predecessor { boot: (*boot).into(), pid: pid(boot) }).collect()
}

async fn hub() -> (tempfile::TempDir, Hub) {
    let dir = tempfile::tempdir().unwrap();
    let invited = Some(Invited { listen: None, folder: dir.path().join("gateways") });
    let (control_file, grace) = (dir.path().join("control.json"), Duration::from_secs(20));
    let hub = Hub::open(Settings { control_file, token: "secret".into(), api: None, start: 0, grace, invited })
        .await
        .unwrap();
    hub.publish(table(1, 0, &[], &[]).build());
    (dir, hub)
}

/// Name, whether it is connected, whether it drains.
async fn are(hub: &Hub, expected: &[(&str, bool, bool)]) {
    let seen = || hub.gateways().into_iter().map(|g| (g.name, g.connected, g.draining)).collect::<Vec<_>>();
    let expected: Vec<_> = expected.iter().map(|(name, c, d)| (name.to_string(), *c, *d)).collect();
    until(&format!("{expected:?}"), || (seen() == expected).then_some(())).await;
}

fn attempts(hub: &Hub) -> u64 {
    hub.counts().iter().map(|row| row.attempts).sum()
}

#[tokio::test]
async fn one_that_gives_way_is_waited_for_and_counted_until_it_says_that_it_is_gone() {
    let (_dir, hub) = hub().await;
    let mut a = Process::call(&hub, "a", |_| {}).await;
    a.ack(1).await;
    are(&hub, &[("gw", true, false)]).await;
    assert!(hub.wait_acked(Generation(1), PATIENCE).await);
    let mut b = Process::call(&hub, "b", |hello| hello.predecessors = follows(&["a"])).await;
    are(&hub, &[("gw", true, false), ("gw.1", true, true)]).await;
    assert_eq!(hub.gateways()[1].acked, Generation(1), "what it has said goes on to count");
    hub.publish(table(2, 0, &[], &[]).build());
    b.ack(2).await;
    until("the newer has confirmed", || (hub.gateways()[0].acked == Generation(2)).then_some(())).await;
    assert!(!hub.is_acked(Generation(2)), "requests on its connections are still routed by it");
    a.ack(2).await;
    assert!(hub.wait_acked(Generation(2), PATIENCE).await);
    a.counts(3).await;
    b.counts(4).await;
    until("both are added up", || (attempts(&hub) == 7).then_some(())).await;
    a.counts(5).await;
    a.say(&FromGateway::Gone).await;
    are(&hub, &[("gw", true, false)]).await;
    assert_eq!(attempts(&hub), 9);
    let mut again = Process::call(&hub, "a", |hello| hello.draining = true).await;
    assert!(again.is_refused().await, "it is over");
}

#[tokio::test]
async fn one_that_is_away_while_it_gives_way_is_expected_and_not_longer_than_its_successor_sees_it() {
    let (_dir, hub) = hub().await;
    let mut c = Process::call(&hub, "c", |hello| hello.predecessors = follows(&["a", "b"])).await;
    c.ack(1).await;
    are(&hub, &[("gw", true, false), ("gw.1", false, true), ("gw.2", false, true)]).await;
    assert!(!hub.is_acked(Generation(1)), "they may serve what an earlier control plane said");
    let mut b = Process::call(&hub, "b", |hello| hello.draining = true).await;
    b.ack(1).await;
    are(&hub, &[("gw", true, false), ("gw.1", false, true), ("gw.2", true, true)]).await;
    c.say(&FromGateway::Predecessors { running: follows(&["b"]) }).await;
    are(&hub, &[("gw", true, false), ("gw.2", true, true)]).await;
    assert!(hub.wait_acked(Generation(1), PATIENCE).await);
    drop(b);
    are(&hub, &[("gw", true, false), ("gw.2", false, true)]).await;
    let fresh = Process::call(&hub, "d", |_| {}).await;
    are(&hub, &[("gw", true, false)]).await;
    assert_eq!(hub.gateways()[0].boot, "d", "whoever starts anew follows nobody that has ended");
    drop(fresh);
}

#[tokio::test]
async fn one_that_takes_its_place_back_has_it() {
    let (_dir, hub) = hub().await;
    let a = Process::call(&hub, "a", |_| {}).await;
    are(&hub, &[("gw", true, false)]).await;
    let b = Process::call(&hub, "b", |hello| hello.predecessors = follows(&["a"])).await;
    are(&hub, &[("gw", true, false), ("gw.1", true, true)]).await;
    drop((a, b));
    are(&hub, &[("gw", false, false), ("gw.1", false, true)]).await;
    let mut back = Process::call(&hub, "a", |_| {}).await;
    back.ack(1).await;
    are(&hub, &[("gw", true, false)]).await;
    assert_eq!(hub.gateways()[0].boot, "a");
    assert!(hub.wait_acked(Generation(1), PATIENCE).await);
    let mut late = Process::call(&hub, "b", |hello| hello.predecessors = follows(&["a"])).await;
    assert!(late.is_refused().await, "the one that did not come up stays away");
    are(&hub, &[("gw", true, false)]).await;
}

#[tokio::test]
async fn one_that_begins_to_drain_says_nothing_of_those_before_it() {
    let (_dir, hub) = hub().await;
    let mut c = Process::call(&hub, "c", |hello| hello.predecessors = follows(&["a", "b"])).await;
    let mut b = Process::call(&hub, "b", |hello| hello.draining = true).await;
    are(&hub, &[("gw", true, false), ("gw.1", false, true), ("gw.2", true, true)]).await;
    b.say(&FromGateway::Predecessors { running: vec![] }).await;
    b.ack(1).await;
    until("all of that was heard", || (hub.gateways()[2].acked == Generation(1)).then_some(())).await;
    are(&hub, &[("gw", true, false), ("gw.1", false, true), ("gw.2", true, true)]).await;
    let mut a = Process::call(&hub, "a", |hello| hello.draining = true).await;
    assert!(!a.is_refused().await, "it drains, and may say so");
    drop(a);
    are(&hub, &[("gw", true, false), ("gw.1", false, true), ("gw.2", true, true)]).await;
    c.say(&FromGateway::Predecessors { running: vec![] }).await;
    are(&hub, &[("gw", true, false), ("gw.2", true, true)]).await;
}

#[tokio::test]
async fn one_that_says_too_late_that_it_serves_does_not_take_the_place_of_its_successor() {
    let (_dir, hub) = hub().await;
    let mut b = Process::call(&hub, "b", |hello| hello.predecessors = follows(&["a"])).await;
    are(&hub, &[("gw", true, false), ("gw.1", false, true)]).await;
    let mut late = Process::call(&hub, "a", |_| {}).await;
    assert!(late.is_refused().await, "another one serves");
    b.ack(1).await;
    until("the one that serves is heard", || (hub.gateways()[0].acked == Generation(1)).then_some(())).await;
    let mut again = Process::call(&hub, "a", |hello| hello.draining = true).await;
    assert!(!again.is_refused().await, "now it knows");
    are(&hub, &[("gw", true, false), ("gw.1", true, true)]).await;
}

#[tokio::test]
async fn not_more_may_drain_than_anybody_upgrades() {
    let (_dir, hub) = hub().await;
    let mut all = Vec::new();
    for boot in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"] {
        let mut process = Process::call(&hub, boot, |hello| hello.draining = true).await;
        assert!(!process.is_refused().await, "{boot}");
        all.push(process);
    }
    assert!(Process::call(&hub, "q", |hello| hello.draining = true).await.is_refused().await);
    assert!(!Process::call(&hub, "a", |hello| hello.draining = true).await.is_refused().await, "it is known");
}

#[tokio::test]
async fn a_gateway_of_before_there_were_upgrades_is_understood() {
    let (_dir, hub) = hub().await;
    let mut old = Process { stream: BufReader::new(TcpStream::connect(hub.address()).await.unwrap()) };
    let hello = r#"{"type":"hello","token":"secret","gateway":"gw","boot":"a","pid":1,"traffic":"127.0.0.1:1","serves":0,"lapsed":[],"ejected":[]}"#;
    old.stream.get_mut().write_all(format!("{hello}\n").as_bytes()).await.unwrap();
    are(&hub, &[("gw", true, false)]).await;
    assert_eq!(hub.gateways()[0].program, None);
}

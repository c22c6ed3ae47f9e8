//! Life without a control plane: leases that run out, restarts from disk, and the end.

mod common;

use std::time::Duration;

use common::*;
use slipway_core::traffic::Generation;
use slipway_core::traffic::link::{Event, FromGateway, Machine, ToGateway};
use slipway_core::units::Millis;
use slipway_gateway::{Config, Control};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const LONG: Millis = Millis(3_600_000);
/// Longer than a machine is likely to stall.
const TERM: Millis = Millis(10_000);

/// The control plane dies: its socket is gone, its file stays.
async fn control_plane_dies(world: &mut World) {
    world.hub = world.another_hub("elsewhere.json").await;
}

async fn control_plane_returns(world: &mut World) {
    world.hub = world.another_hub("control.json").await;
    let hub = world.hub.clone();
    until("the gateway calls", || hub.gateways().iter().find(|g| g.connected).map(|_| ())).await;
}

#[tokio::test]
async fn a_lease_that_runs_out_sends_the_traffic_to_the_fallback_for_the_rest_of_the_epoch() {
    let (stable, candidate) = (Instance::start("s1").await, Instance::start("c1").await);
    let mut world = World::start().await;
    let mut split = table(1, 10_000, &[&stable], &[&candidate]);
    split.lease = Some(Millis(150));
    world.publish(split.build()).await;
    let address = world.address;
    let mut client = Client::to(address).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while client.get("/", &[]).await.body != "s1" {
        assert!(tokio::time::Instant::now() < deadline, "the lease never ran out");
    }
    let hub = world.hub.clone();
    let lapse = until("the lapse is told", || hub.gateways()[0].lapsed.first().cloned()).await;
    assert_eq!(lapse.epoch.0, 1);
    assert!(hub.drain_events().iter().any(|(name, e)| name == "gw" && *e == Event::Lapsed(lapse.clone())));

    world.hub.renew(Generation(1), LONG);
    let mut same_epoch = table(2, 10_000, &[&stable], &[&candidate]);
    (same_epoch.lease, same_epoch.epoch) = (Some(LONG), 1);
    world.publish(same_epoch.build()).await;
    assert_eq!(client.get("/", &[]).await.body, "s1", "the same epoch does not come back");

    drop(hub);
    world.kill_gateway().await;
    control_plane_dies(&mut world).await;
    world.start_gateway();
    assert_eq!(Client::to(address).await.get("/", &[]).await.body, "s1", "nor after a restart");
    control_plane_returns(&mut world).await;
    assert_eq!(world.hub.gateways()[0].lapsed, [lapse], "the returning control plane learns of it");

    let mut new_epoch = table(3, 10_000, &[&stable], &[&candidate]);
    new_epoch.lease = Some(LONG);
    world.publish(new_epoch.build()).await;
    assert_eq!(world.get("/").await.body, "c1", "a newer epoch is served");
    assert!(world.hub.gateways()[0].lapsed.is_empty());
}

#[tokio::test]
async fn a_renewed_lease_holds_and_survives_a_restart() {
    let (stable, candidate) = (Instance::start("s1").await, Instance::start("c1").await);
    let mut world = World::start().await;
    let mut split = table(1, 10_000, &[&stable], &[&candidate]);
    let term = Millis(3_000);
    split.lease = Some(term);
    // With the table, so that no stall comes between them.
    world.hub.publish(split.build());
    world.hub.renew(Generation(1), LONG);
    assert!(world.hub.wait_acked(Generation(1), PATIENCE).await);
    let acknowledged = tokio::time::Instant::now();
    let renewal = world.dir.path().join("gateway/renewal.json");
    until("the renewal is noted", || renewal.exists().then_some(())).await;
    world.kill_gateway().await;
    control_plane_dies(&mut world).await;
    // The first term has to be over; what is waited for is time itself.
    tokio::time::sleep_until(acknowledged + term.as_duration() + Duration::from_millis(100)).await;
    world.start_gateway();
    assert_eq!(world.get("/").await.body, "c1");
}

/// A control plane by hand, renewing a lease with every line that it hears.
struct ByHand {
    stream: BufReader<TcpStream>,
    beats: usize,
}

impl ByHand {
    async fn say(&mut self, message: &ToGateway) {
        let line = serde_json::to_string(message).unwrap();
        self.stream.get_mut().write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// What the gateway says next; where it says that it is there, it is answered if `answers`, and its lease renewed.
    async fn hear(&mut self, answers: bool) -> FromGateway {
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, self.stream.read_line(&mut line)).await.expect("nothing was heard");
        assert!(read.unwrap() > 0, "the gateway hung up");
        let heard = serde_json::from_str(&line).unwrap();
        if let FromGateway::Here { beat } = heard {
            self.beats += 1;
            if answers {
                self.say(&ToGateway::Here { beat }).await;
            }
            self.say(&ToGateway::Renew { generation: Generation(1), term: TERM }).await;
        }
        heard
    }
}

#[tokio::test]
async fn a_renewal_holds_from_what_the_control_plane_has_heard_of_the_gateway() {
    let (stable, candidate) = (Instance::start("s1").await, Instance::start("c1").await);
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let control = serde_json::json!({ "address": listener.local_addr().unwrap(), "token": "secret", "start": 1 });
    std::fs::write(dir.path().join("control.json"), control.to_string()).unwrap();
    let config = Config {
        listen: ([127, 0, 0, 1], 0).into(),
        state_dir: dir.path().join("gateway"),
        control: Control::Beside(dir.path().join("control.json")),
        name: "gw".into(),
        access_log: None,
        tls: None,
    };
    let gateway = tokio::spawn(slipway_gateway::run_with(config, quick()));
    let mut control = ByHand { stream: BufReader::new(listener.accept().await.unwrap().0), beats: 0 };
    assert!(matches!(control.hear(true).await, FromGateway::Hello(_)));
    control.say(&ToGateway::Welcome { machine: Machine("here".into()), takes_reports: false }).await;
    let mut split = table(1, 10_000, &[&stable], &[&candidate]);
    split.lease = Some(TERM);
    control.say(&ToGateway::Table(split.build())).await;
    // Longer than the lease, twice a second.
    while control.beats < 24 {
        let heard = control.hear(true).await;
        assert!(!matches!(heard, FromGateway::Event(Event::Lapsed(_))), "it is renewed");
    }
    // From now on the gateway's words do not arrive, and renewals do.
    while !matches!(control.hear(false).await, FromGateway::Event(Event::Lapsed(_))) {
        assert!(control.beats < 90, "renewals that answer nothing keep it going");
    }
    gateway.abort();
}

#[tokio::test]
async fn a_lease_that_ran_out_while_the_gateway_was_down_has_run_out() {
    let (stable, candidate) = (Instance::start("s1").await, Instance::start("c1").await);
    let mut world = World::start().await;
    let mut split = table(1, 10_000, &[&stable], &[&candidate]);
    split.lease = Some(Millis(300));
    world.publish(split.build()).await;
    world.kill_gateway().await;
    control_plane_dies(&mut world).await;
    tokio::time::sleep(Duration::from_millis(320)).await;
    world.start_gateway();
    assert_eq!(world.get("/").await.body, "s1");
    assert_eq!(candidate.seen(), 0);
}

#[tokio::test]
async fn a_gateway_comes_back_with_its_last_table_while_nobody_answers() {
    let (stable, candidate) = (Instance::start("s1").await, Instance::start("c1").await);
    let mut world = World::start().await;
    world.publish(table(1, 10_000, &[&stable], &[&candidate]).build()).await;
    world.publish(table(2, 0, &[&stable], &[&candidate]).build()).await;
    control_plane_dies(&mut world).await;
    assert_eq!(world.get("/").await.body, "s1", "it serves on without a control plane");
    world.kill_gateway().await;
    world.start_gateway();
    assert_eq!(world.get("/").await.body, "s1");
    assert_eq!(candidate.seen(), 0, "never an older table than the one it acknowledged");
    control_plane_returns(&mut world).await;
    assert_eq!(world.hub.gateways()[0].acked, Generation(2));
}

#[tokio::test]
async fn a_rollback_asked_for_while_the_gateway_was_down_is_not_undone_by_it() {
    let (stable, candidate) = (Instance::start("s1").await, Instance::start("c1").await);
    let mut world = World::start_with(slipway_gateway::Tuning { table_wait: PATIENCE, ..quick() }).await;
    world.publish(table(1, 10_000, &[&stable], &[&candidate]).build()).await;
    world.kill_gateway().await;
    world.hub.publish(table(2, 0, &[&stable], &[&candidate]).build());
    assert!(!world.hub.is_acked(Generation(2)), "a gateway that is away has confirmed nothing");
    world.start_gateway();
    assert_eq!(world.get("/").await.body, "s1");
    assert_eq!(candidate.seen(), 0);
    assert!(world.hub.wait_acked(Generation(2), PATIENCE).await);
}

#[tokio::test]
async fn instances_of_another_boot_of_the_machine_are_not_used() {
    let stable = Instance::start("s1").await;
    let mut world = World::start().await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    world.kill_gateway().await;
    control_plane_dies(&mut world).await;
    let file = world.dir.path().join("gateway/table.json");
    let mut kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    kept["boot_id"] = "another".into();
    std::fs::write(&file, kept.to_string()).unwrap();
    world.start_gateway();
    let reply = world.get("/").await;
    assert_eq!(reply.status, 503);
    assert!(reply.header("proxy-status").contains("destination_unavailable"));
    assert_eq!(stable.seen(), 0);
    // Its own control plane, which was there all the time, has nothing newer for it.
    control_plane_returns(&mut world).await;
    world.hub.publish(table(1, 0, &[&stable], &[]).build());
    until("it is told all of it", || world.hub.is_acked(Generation(1)).then_some(())).await;
    assert_eq!(world.get("/").await.body, "s1");
}

#[tokio::test]
async fn a_broken_file_is_no_table() {
    let stable = Instance::start("s1").await;
    let mut world = World::start_with(slipway_gateway::Tuning { table_wait: PATIENCE, ..quick() }).await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    world.kill_gateway().await;
    std::fs::write(world.dir.path().join("gateway/table.json"), "{\"boot").unwrap();
    world.start_gateway();
    assert_eq!(world.get("/").await.body, "s1", "the control plane tells it anew");
}

#[tokio::test]
async fn a_gateway_that_is_told_to_end_finishes_what_it_has_and_its_counts_are_complete() {
    let stable = Instance::start("s1").await;
    let mut world = World::start_logging().await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    let (mut idle, address) = (Client::to(world.address).await, world.address);
    assert_eq!(idle.get("/", &[]).await.status, 200);
    let mut upload = tokio::net::TcpStream::connect(address).await.unwrap();
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    upload.write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhe").await.unwrap();
    until("it is in flight", || (stable.seen() == 2).then_some(())).await;
    world.hub.shutdown(Millis::from_secs(20));
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        assert!(tokio::time::Instant::now() < deadline, "it still accepts");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    upload.write_all(b"llo").await.unwrap();
    let mut reply = String::new();
    upload.read_to_string(&mut reply).await.unwrap();
    assert!(reply.ends_with("hello"), "{reply}");
    world.gateway_ended().await.unwrap();
    let log = std::fs::read_to_string(world.dir.path().join("access.log")).unwrap();
    assert_eq!(log.lines().count(), 2, "{log}");
    let hub = world.hub.clone();
    until("its link is down", || (!hub.gateways()[0].connected).then_some(())).await;
    assert_eq!(world.hub.counts().iter().map(|r| r.attempts).sum::<u64>(), 2);
}

#[tokio::test]
async fn what_still_runs_when_the_drain_is_over_is_cut_and_told() {
    let stable = Instance::start("s1").await;
    let mut world = World::start().await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    let mut client = Client::to(world.address).await;
    let download = client.send(request("GET", "/download", &[], "")).await.unwrap();
    world.hub.shutdown(Millis(20));
    world.gateway_ended().await.unwrap();
    use http_body_util::BodyExt;
    assert!(download.into_body().collect().await.is_err(), "cut, and visibly so");
    let hub = world.hub.clone();
    until("its link is down", || (!hub.gateways()[0].connected).then_some(())).await;
    assert_eq!(world.hub.counts().iter().map(|r| (r.assigned, r.attempts)).collect::<Vec<_>>(), [(1, 1)]);
}

#[tokio::test]
async fn counts_add_up_over_restarts() {
    let stable = Instance::start("s1").await;
    let mut world = World::start().await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    world.get("/").await;
    world.counts("s", "the first is told", |r| r.attempts == 1).await;
    world.kill_gateway().await;
    world.start_gateway();
    world.get("/fail").await;
    let row = world.counts("s", "the second is added", |r| r.attempts == 2).await;
    assert_eq!((row.assigned, row.failed), (2, 1));
    world.hub = world.another_hub("control.json").await;
    let row = world.counts("s", "a new control plane is told all that this start counted", |r| r.attempts > 0).await;
    assert_eq!((row.attempts, row.failed), (1, 1));
}

#[tokio::test]
async fn a_port_that_is_taken_is_a_clear_error() {
    let holder = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = slipway_gateway::Config {
        listen: holder.local_addr().unwrap(),
        state_dir: dir.path().join("state"),
        control: slipway_gateway::Control::Beside(dir.path().join("control.json")),
        name: "gw".into(),
        access_log: None,
        tls: None,
    };
    let tuning = slipway_gateway::Tuning { port_wait: Duration::ZERO, ..quick() };
    let error = slipway_gateway::run_with(config, tuning).await.unwrap_err();
    assert!(error.to_string().contains("another program is using this port"), "{error}");
}

#[tokio::test]
async fn metrics_and_the_access_log_say_what_happened() {
    let stable = Instance::start("s1").await;
    let world = World::start_logging().await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    let mut client = Client::to(world.address).await;
    client.get("/fail", &[("traceparent", "t")]).await;
    assert_eq!(client.get("/a?b=c", &[]).await.status, 200);
    world.counts("s", "both are counted", |r| r.attempts == 2).await;

    let admin = std::fs::read_to_string(world.dir.path().join("gateway/admin.json")).unwrap();
    let admin: serde_json::Value = serde_json::from_str(&admin).unwrap();
    let mut admin = Client::to(admin["address"].as_str().unwrap().parse().unwrap()).await;
    assert_eq!(admin.get("/healthz", &[]).await.status, 200);
    let metrics = admin.get("/metrics", &[]).await.body;
    let version = "service=\"shop\",environment=\"production\",version=\"s\"";
    for line in [
        format!("slipway_requests_total{{{version}}} 2"),
        format!("slipway_attempts_failed_total{{{version}}} 1"),
        format!("slipway_instance_attempts_total{{{version},instance=\"s1\",attempt=\"first\"}} 2"),
        format!("slipway_response_seconds_count{{{version}}} 2"),
        "slipway_table_generation 1".to_string(),
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} is missing in\n{metrics}");
    }

    let log = world.dir.path().join("access.log");
    let lines = until("both lines are written", || {
        let text = std::fs::read_to_string(&log).ok()?;
        (text.lines().count() == 2).then_some(text)
    })
    .await;
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!((&first["status"], &first["version"], &first["instance"]), (&500.into(), &"s".into(), &"s1".into()));
    assert_eq!((&first["target"], &first["traceparent"]), (&"/fail".into(), &"t".into()));
}

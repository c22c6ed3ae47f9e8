//! The ordinary life of an instance: it starts, is healthy, writes, exits, comes back, and is stopped.

use std::fs;

use rustix::process::Signal;
use slipway_core::address::Address;
use slipway_core::instance::{Health, InstanceState, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

async fn get(address: &Address, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", address.port().unwrap())).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_string()
}

#[tokio::test]
async fn an_instance_starts_gets_healthy_and_is_stopped_without_a_trace() {
    let world = World::new();
    let spec = server("shop-1", &[]);
    world.start(&spec).await.unwrap();
    let status = world.healthy(&spec.id).await;
    assert_eq!((status.incarnation, status.last_exit), (1, None));
    assert_eq!(get(status.address.as_ref().unwrap(), "/pid").await, status.pid.unwrap().to_string());
    assert_eq!(fs::read_to_string(world.target().work_dir(&spec.id).join("readme")).unwrap(), "hello");

    world.target().stop(&spec.id).await.unwrap();
    assert_eq!(world.status(&spec.id), None);
    assert!(!runs(status.pid.unwrap()));
    assert_eq!(processes_in(world.home.path()), Vec::<u32>::new());
    assert_eq!(fs::read_dir(world.root()).unwrap().count(), 0);
    let logs = world.target().log_files(&spec.id);
    let port = status.address.unwrap().port().unwrap();
    assert_eq!(fs::read_to_string(&logs[0]).unwrap(), format!("serving on {port}\n"));

    world.target().stop(&spec.id).await.unwrap();
    let again = world.start(&spec).await.unwrap_err().to_string();
    assert_eq!(again, "shop-1 was stopped before and does not start again");
}

#[tokio::test]
async fn the_environment_is_what_was_declared_and_no_more() {
    let world = World::new();
    let spec = server("shop-1", &[]);
    world.start(&spec).await.unwrap();
    let address = world.healthy(&spec.id).await.address.unwrap();
    let env = get(&address, "/env").await;
    let mut names: Vec<&str> = env.lines().map(|l| l.split_once('=').unwrap().0).filter(|n| *n != "TZ").collect();
    names.sort_unstable();
    assert_eq!(names, ["COLOUR", "HOME", "INSTANCE", "LANG", "PATH", "PORT", "VERSION"]);
    for line in [
        format!("PORT={}", address.port().unwrap()),
        "VERSION=1.2.3".into(),
        "INSTANCE=shop-1".into(),
        "COLOUR=blue".into(),
    ] {
        assert!(env.lines().any(|l| l == line), "{line} is not in {env}");
    }
    world.target().stop_all().await.unwrap();
}

#[tokio::test]
async fn a_killed_instance_is_back_on_another_port() {
    let world = World::new();
    let spec = server("shop-1", &[]);
    world.start(&spec).await.unwrap();
    let first = world.healthy(&spec.id).await;
    kill(first.pid.unwrap(), Signal::KILL);
    // That it backs off is over soon, and may not be seen.
    world.until(&spec.id, |s| s.state == InstanceState::BackingOff || s.incarnation == 2).await;
    let second = world.until(&spec.id, |s| s.incarnation == 2 && s.health == Health::Healthy).await;
    assert_ne!(first.pid, second.pid);
    assert_ne!(first.address, second.address);
    let exit = second.last_exit.unwrap();
    assert_eq!((exit.incarnation, exit.code, exit.signal), (1, None, Some(9)));
    world.target().stop_all().await.unwrap();
}

#[tokio::test]
async fn health_follows_the_answers() {
    let world = World::new();
    let spec = server("shop-1", &[]);
    world.start(&spec).await.unwrap();
    world.healthy(&spec.id).await;
    let sick = world.target().work_dir(&spec.id).join("sick");
    fs::write(&sick, "").unwrap();
    let status = world.until(&spec.id, |s| matches!(s.health, Health::Unhealthy { .. })).await;
    assert_eq!((why(&status), status.incarnation), ("GET /healthz answered 503", 1));
    fs::remove_file(&sick).unwrap();
    world.healthy(&spec.id).await;
    world.target().stop_all().await.unwrap();
}

#[tokio::test]
async fn starting_twice_is_one_start() {
    let world = World::new();
    let spec = server("shop-1", &[]);
    let (one, two) = tokio::join!(world.start(&spec), world.start(&spec));
    assert_eq!((one, two), (Ok(()), Ok(())));
    let status = world.healthy(&spec.id).await;
    world.start(&spec).await.unwrap();
    assert_eq!(processes_in(&world.folder(&spec.id).join("work")), [status.pid.unwrap()]);
    world.target().stop_all().await.unwrap();
}

#[tokio::test]
async fn everything_that_it_forked_goes_with_it() {
    let world = World::new();
    let spec = server("shop-1", &["fork"]);
    world.start(&spec).await.unwrap();
    world.healthy(&spec.id).await;
    let children = fs::read_to_string(world.target().work_dir(&spec.id).join("children")).unwrap();
    let children: Vec<u32> = children.split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert!(children.iter().all(|pid| runs(*pid)));
    world.target().stop(&spec.id).await.unwrap();
    assert_eq!(children.iter().filter(|pid| runs(**pid)).count(), 0);
}

#[tokio::test]
async fn what_a_crash_leaves_behind_goes_before_the_next_start() {
    let world = World::new();
    let spec = server("shop-1", &["fork"]);
    world.start(&spec).await.unwrap();
    let first = world.healthy(&spec.id).await;
    let children = fs::read_to_string(world.target().work_dir(&spec.id).join("children")).unwrap();
    kill(first.pid.unwrap(), Signal::KILL);
    world.until(&spec.id, |s| s.incarnation == 2 && s.health == Health::Healthy).await;
    assert!(children.split(' ').all(|pid| !runs(pid.parse().unwrap())));
    world.target().stop_all().await.unwrap();
}

#[tokio::test]
async fn one_that_ignores_the_signal_is_killed_after_its_grace() {
    let world = World::new();
    let mut spec = server("shop-1", &["ignore-term"]);
    spec.stop_grace = slipway_core::units::Millis(200);
    world.start(&spec).await.unwrap();
    let pid = world.healthy(&spec.id).await.pid.unwrap();
    world.target().stop(&spec.id).await.unwrap();
    assert!(!runs(pid));
}

#[tokio::test]
async fn a_polite_program_has_its_grace() {
    let world = World::new();
    // It starts nothing once it is up: some shells lose a signal that comes while they start a program.
    let script = "#!/bin/sh\ntrap 'echo draining; sleep 0.3; echo drained; exit 0' TERM\nsleep 1000 &\necho up\nwait\n";
    let artifact = world.artifact(&[("run.sh", script)]);
    let spec = spec("shop-1", &["./run.sh"]);
    world.target().start(&spec, artifact).await.unwrap();
    let log = world.folder(&spec.id).join("logs/out.log");
    eventually("the trap is set", || fs::read_to_string(&log).is_ok_and(|text| text.contains("up"))).await;
    world.target().stop(&spec.id).await.unwrap();
    let text = fs::read_to_string(world.target().log_files(&spec.id).last().unwrap()).unwrap();
    assert!(text.ends_with("draining\ndrained\n"), "{text}");
}

#[tokio::test]
async fn a_hundred_megabytes_of_output_stay_bounded() {
    let world = World::new();
    let script = "#!/bin/sh\nhead -c 104857600 /dev/zero\necho the end\nexec sleep 1000\n";
    let artifact = world.artifact(&[("run.sh", script)]);
    let spec = spec("shop-1", &["./run.sh"]);
    world.target().start(&spec, artifact).await.unwrap();
    let size =
        || -> u64 { world.target().log_files(&spec.id).iter().filter_map(|f| Some(fs::metadata(f).ok()?.len())).sum() };
    let last = || world.target().log_files(&spec.id).last().and_then(|f| fs::read(f).ok()).unwrap_or_default();
    eventually("the last line is in the log", || {
        assert!(size() <= 31 << 20, "{}", size());
        last().ends_with(b"the end\n")
    })
    .await;
    assert!(size() > 10 << 20);
    world.target().stop_all().await.unwrap();
}

#[tokio::test]
async fn of_many_ended_instances_the_last_logs_are_kept() {
    let world = World::new();
    let logs = world.root().with_file_name("logs");
    for n in 0..60 {
        let folder = logs.join(format!("old-{n}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("ended"), "").unwrap();
    }
    fs::create_dir_all(logs.join("of-somebody-else")).unwrap();
    let spec = server("shop-1", &[]);
    world.start(&spec).await.unwrap();
    world.target().stop(&spec.id).await.unwrap();
    assert_eq!(fs::read_dir(&logs).unwrap().count(), 51);
    assert!(logs.join("shop-1/ended").exists() && logs.join("of-somebody-else").exists());
}

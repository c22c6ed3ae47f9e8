//! Instances that listen on a socket in the place of a port.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use slipway_core::instance::{Health, InstanceState, InstanceStatus, Target};
use slipway_core::spec::{Expect, HealthProbe, SmokeAction, SmokeTest};
use slipway_core::units::Millis;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

fn socket(status: &InstanceStatus) -> PathBuf {
    status.address.as_ref().and_then(|a| a.socket()).expect("it listens on a socket").into()
}

async fn get(socket: &Path, path: &str) -> String {
    let mut stream = tokio::net::UnixStream::connect(socket).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_string()
}

#[tokio::test]
async fn an_instance_on_a_socket_starts_comes_back_and_goes_without_a_trace() {
    let mut world = World::shallow();
    let spec = socket_server("shop-1");
    world.start(&spec).await.unwrap();
    let first = world.healthy(&spec.id).await;
    assert!(socket(&first).starts_with(world.folder(&spec.id)), "{first:?}");
    assert_eq!(get(&socket(&first), "/pid").await, first.pid.unwrap().to_string());
    let env = get(&socket(&first), "/env").await;
    assert!(env.lines().any(|l| l == format!("SOCKET={}", socket(&first).display())), "{env}");
    assert!(!env.contains("PORT="), "{env}");

    world.restart();
    assert_eq!(world.healthy(&spec.id).await, first, "a new control plane finds it again");

    kill(first.pid.unwrap(), Signal::KILL);
    let second = world.until(&spec.id, |s| s.incarnation == 2 && s.health == Health::Healthy).await;
    assert_ne!(socket(&first), socket(&second));
    assert!(!socket(&first).exists(), "what the first start left is cleared away");

    world.target().stop(&spec.id).await.unwrap();
    assert_eq!(processes_in(world.home.path()), Vec::<u32>::new());
    assert_eq!(fs::read_dir(world.root()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_folder_too_deep_for_sockets_has_them_elsewhere_for_as_long_as_the_instance_lives() {
    let world = World::new();
    let mut spec = spec("shop-1", &["./run.sh", HELPER]);
    spec.env.insert("LISTEN".into(), "{socket}".into());
    let run = "#!/bin/sh\n[ \"$LISTEN\" = \"$SOCKET\" ] && exec \"$1\" serve \"$LISTEN\"\n";
    world.target().start(&spec, world.artifact(&[("run.sh", run)])).await.unwrap();
    let status = world.healthy(&spec.id).await;
    let folder = socket(&status).parent().unwrap().to_path_buf();
    assert!(folder.starts_with("/tmp"), "{folder:?}");
    world.target().stop(&spec.id).await.unwrap();
    assert!(!folder.exists());
}

#[tokio::test]
async fn smoke_tests_go_over_the_socket() {
    let world = World::shallow();
    let spec = socket_server("shop-1");
    let script = "#!/bin/sh\n[ \"$1\" = http://localhost ] && [ \"$2\" = \"$SOCKET\" ] && [ -S \"$2\" ]\n";
    world.target().start(&spec, world.artifact(&[("check.sh", script)])).await.unwrap();
    world.healthy(&spec.id).await;
    let actions = [
        SmokeAction::Http {
            method: "GET".into(),
            path: "/healthz".into(),
            headers: BTreeMap::new(),
            json: None,
            expect: Expect { status: Some(200), body: Some("^well$".into()), ..Expect::default() },
        },
        SmokeAction::Tcp,
        SmokeAction::Command(["./check.sh", "{url}", "{socket}"].map(str::to_string).into()),
    ];
    let test = |(i, action)| SmokeTest {
        name: format!("test {i}"),
        action,
        timeout: Millis(20_000),
        capture: BTreeMap::new(),
    };
    let tests: Vec<SmokeTest> = actions.into_iter().enumerate().map(test).collect();
    let report = world.target().smoke(&spec.id, 1, &tests).await;
    assert_eq!((report.failure(), report.tests.len()), (None, 3));
    world.target().stop_all().await.unwrap();
}

#[tokio::test]
async fn a_strangers_answer_on_the_socket_does_not_count() {
    let world = World::shallow();
    let mut spec = spec("shop-1", &["sleep", "1000"]);
    spec.env.insert("LISTEN".into(), "{socket}".into());
    spec.health.probe = HealthProbe::Tcp;
    world.start(&spec).await.unwrap();
    let status = world.until(&spec.id, |s| s.state == InstanceState::Running && s.address.is_some()).await;
    let path = socket(&status);
    let nobody = format!("nothing listens on {}: does the command use {{socket}}?", path.display());
    world.complaint(&spec.id, &nobody).await;
    // Not of the instance's session.
    let _stranger = UnixListener::bind(&path).unwrap();
    world.complaint(&spec.id, &format!("{} is listened on by another process", path.display())).await;
    assert_ne!(world.status(&spec.id).unwrap().health, Health::Healthy);
    world.target().stop_all().await.unwrap();
}

#[tokio::test]
async fn a_stranger_who_puts_a_socket_in_its_place_is_found_out() {
    let world = World::shallow();
    let mut spec = socket_server("shop-1");
    spec.health.probe = HealthProbe::Tcp;
    world.start(&spec).await.unwrap();
    let path = socket(&world.healthy(&spec.id).await);
    fs::remove_file(&path).unwrap();
    let _stranger = UnixListener::bind(&path).unwrap();
    world.until(&spec.id, |s| matches!(s.health, Health::Unhealthy { .. })).await;
    world.complaint(&spec.id, "is listened on by another process").await;
    world.target().stop_all().await.unwrap();
}

//! Bad artifacts, bad commands, bad manners: each ends in a sentence that tells a person what to do.

use std::fs;
use std::net::TcpListener;

use slipway_core::instance::{Health, InstanceState, Target, TargetError};
use slipway_core::units::Millis;

use crate::support::*;

async fn hopeless(command: &[&str], files: &[(&str, &str)]) -> String {
    let world = World::new();
    let spec = spec("shop-1", command);
    let error = world.target().start(&spec, world.artifact(files)).await.unwrap_err();
    assert_eq!(fs::read_dir(world.root()).unwrap().count(), 0);
    assert_eq!(world.target().instances(), []);
    match error {
        TargetError::Hopeless(why) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_command_that_cannot_start_is_hopeless() {
    let files = [("plain", "text")];
    assert_eq!(hopeless(&["./nope"], &files).await, "command ./nope not found in the artifact");
    assert!(hopeless(&["./plain"], &files).await.starts_with("command ./plain is not executable"));
    assert!(hopeless(&["plain"], &files).await.ends_with("write ./plain for the artifact's own"));
}

#[tokio::test]
async fn an_interpreter_that_is_not_there_is_said_in_the_exit() {
    let world = World::new();
    let artifact = world.artifact(&[("run", "#!/no/such/interpreter\n")]);
    let spec = spec("shop-1", &["./run"]);
    world.target().start(&spec, artifact).await.unwrap();
    let status = world.until(&spec.id, |s| s.last_exit.is_some()).await;
    assert_eq!(
        status.last_exit.unwrap().tail,
        "cannot start ./run: the interpreter or loader that it names is not there"
    );
    world.target().stop_all().await.unwrap();
}

#[tokio::test]
async fn an_artifact_that_leaves_its_folder_is_hopeless() {
    let world = World::new();
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..7].copy_from_slice(b"../evil");
    header.set_size(1);
    header.set_mode(0o644);
    header.set_cksum();
    let mut tar = tar::Builder::new(Vec::new());
    tar.append(&header, &b"x"[..]).unwrap();
    let artifact = world.home.path().join("evil.tar");
    fs::write(&artifact, tar.into_inner().unwrap()).unwrap();
    let error = world.target().start(&server("shop-1", &[]), artifact).await.unwrap_err();
    let why = "the artifact cannot be unpacked: ../evil points outside of it";
    assert_eq!(error, TargetError::Hopeless(why.to_string()));
    assert_eq!(fs::read_dir(world.root()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_shim_that_cannot_run_is_said_and_nothing_is_left() {
    let world = World::new();
    let shim = std::path::PathBuf::from("/bin/false");
    let now = std::sync::Arc::new(|| slipway_core::units::Timestamp(1));
    let target = slipway_target::process::ProcessTarget::new(world.root(), shim, vec![], now).unwrap();
    let error = target.start(&server("shop-1", &[]), world.artifact(&[])).await.unwrap_err();
    assert_eq!(error, TargetError::Transient("the instance's shim ended at once: it said nothing".to_string()));
    assert_eq!(fs::read_dir(world.root()).unwrap().count(), 0);
}

#[tokio::test]
async fn one_that_exits_at_once_backs_off_with_its_last_words() {
    let world = World::new();
    let artifact = world.artifact(&[("run.sh", "#!/bin/sh\necho hello\necho cannot find my database >&2\nexit 3\n")]);
    let spec = spec("shop-1", &["./run.sh"]);
    world.target().start(&spec, artifact).await.unwrap();
    let status = world.until(&spec.id, |s| s.state == InstanceState::BackingOff && s.incarnation >= 3).await;
    let exit = status.last_exit.clone().unwrap();
    assert_eq!((exit.incarnation, exit.code, exit.signal), (status.incarnation, Some(3), None));
    assert_eq!(exit.tail, "hello\ncannot find my database");
    assert_eq!(why(&status), "it exited with code 3, saying: cannot find my database");
    world.target().stop(&spec.id).await.unwrap();
    assert_eq!(processes_in(world.home.path()), Vec::<u32>::new());
}

#[tokio::test]
async fn one_that_never_listens_is_unhealthy_after_its_time() {
    let world = World::new();
    let mut spec = spec("shop-1", &["sleep", "1000"]);
    spec.health.start_limit = Millis(2_000);
    world.start(&spec).await.unwrap();
    let status = world.until(&spec.id, |s| matches!(s.health, Health::Unhealthy { .. })).await;
    let port = status.address.as_ref().unwrap().port().unwrap();
    assert_eq!(why(&status), format!("nothing listens on port {port}: does the command use {{port}}?"));
    assert_eq!(status.state, InstanceState::Running);
    world.target().stop_all().await.unwrap();
}

#[tokio::test]
async fn one_that_ignores_its_port_is_told_so() {
    let world = World::new();
    let spec = spec("shop-1", &[HELPER, "serve", "0"]);
    world.start(&spec).await.unwrap();
    let log = world.folder(&spec.id).join("logs/out.log");
    let said = || fs::read_to_string(&log).unwrap_or_default();
    eventually("it says where it listens", || said().ends_with('\n')).await;
    let said = said();
    let other = said.trim_end().rsplit(' ').next().unwrap();
    let status = world.complaint(&spec.id, &format!("the program listens on {other}: does the command use")).await;
    assert!(why(&status).starts_with("nothing listens on port "));
    world.target().stop_all().await.unwrap();
}

#[tokio::test]
async fn a_strangers_answer_does_not_count() {
    let world = World::new();
    // Whatever port it gets, somebody who is not of the instance's session serves there instead.
    let script = "#!/bin/sh\necho $PORT > port\nexec sleep 1000\n";
    let artifact = world.artifact(&[("run.sh", script)]);
    let mut spec = spec("shop-1", &["./run.sh"]);
    spec.health.probe = slipway_core::spec::HealthProbe::Tcp;
    world.target().start(&spec, artifact).await.unwrap();
    let port = world.until(&spec.id, |s| s.address.is_some()).await.address.and_then(|a| a.port()).unwrap();
    let _stranger = TcpListener::bind(("127.0.0.1", port)).unwrap();
    world.complaint(&spec.id, &format!("port {port} is listened on by another process")).await;
    assert_ne!(world.status(&spec.id).unwrap().health, Health::Healthy);
    world.target().stop_all().await.unwrap();
}

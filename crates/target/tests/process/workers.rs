//! What workers need of the target: the declared signal to the program alone, word of whoever had to be killed, and health
//! without a port.

use std::fs;

use slipway_core::instance::{Stopped, Target};
use slipway_core::spec::{HealthProbe, StopSignal};
use slipway_core::units::Millis;

use crate::support::*;

/// Says what it does; a child does the job, in so many seconds. It starts nothing once it is up: some shells lose a signal that
/// comes while they start a program.
fn parent(seconds: &str) -> String {
    format!(
        "#!/bin/sh\ntrap 'wait $job; kill $idle 2>/dev/null; echo parent done; exit 0' TERM\n(sleep {seconds}; echo job done) &\njob=$!\n\
         sleep 1000 &\nidle=$!\necho up\nwait $idle\n"
    )
}

async fn stopped(script: &str, change: impl Fn(&mut slipway_core::instance::InstanceSpec)) -> (Stopped, String) {
    let world = World::new();
    let artifact = world.artifact(&[("run.sh", script)]);
    let mut spec = spec("mailer-1", &["./run.sh"]);
    change(&mut spec);
    world.target().start(&spec, artifact).await.unwrap();
    let log = world.folder(&spec.id).join("logs/out.log");
    eventually("it is up", || fs::read_to_string(&log).is_ok_and(|text| text.contains("up"))).await;
    let stopped = world.target().stop(&spec.id).await.unwrap();
    (stopped, fs::read_to_string(world.target().log_files(&spec.id).last().unwrap()).unwrap())
}

#[tokio::test]
async fn a_worker_is_asked_alone_so_that_the_child_which_does_the_job_is_not_cut() {
    let (alone, text) = stopped(&parent("1"), |spec| spec.stop_alone = true).await;
    // It may be slow to say that it is up.
    let done = text.replacen("up\n", "", 1);
    assert_eq!((alone, done.as_str()), (Stopped { killed: false }, "job done\nparent done\n"), "{text}");
    // It would still be at it long after it is asked.
    let (_, text) = stopped(&parent("1000"), |_| ()).await;
    assert!(
        !text.contains("job done") && text.ends_with("parent done\n"),
        "elsewhere the whole group is asked: {text}"
    );
}

#[tokio::test]
async fn it_is_asked_by_the_declared_signal() {
    let script = "#!/bin/sh\ntrap 'echo asked; kill $!; exit 0' INT\nsleep 1000 &\necho up\nwait\n";
    let by_int = |spec: &mut slipway_core::instance::InstanceSpec| {
        spec.stop_signal = StopSignal::Int;
        spec.stop_alone = true;
    };
    assert_eq!(stopped(script, by_int).await, (Stopped { killed: false }, "up\nasked\n".to_string()));
}

#[tokio::test]
async fn whoever_had_to_be_killed_is_told() {
    let script = "#!/bin/sh\ntrap '' TERM\necho up\nwhile :; do sleep 0.05; done\n";
    let impatient = |spec: &mut slipway_core::instance::InstanceSpec| spec.stop_grace = Millis(200);
    assert_eq!(stopped(script, impatient).await.0, Stopped { killed: true });
}

#[tokio::test]
async fn health_needs_no_port() {
    let world = World::new();
    let run = "#!/bin/sh\nexec sleep 1000\n";
    let artifact = world.artifact(&[("run.sh", run), ("healthy.sh", "#!/bin/sh\necho missing >&2\ntest -e ok\n")]);
    let mut asked = spec("mailer-1", &["./run.sh"]);
    asked.health.probe = HealthProbe::Command(vec!["./healthy.sh".to_string()]);
    asked.health.start_limit = Millis(60_000);
    world.target().start(&asked, artifact.clone()).await.unwrap();
    world.complaint(&asked.id, "missing").await;
    let ok = world.target().work_dir(&asked.id).join("ok");
    fs::write(&ok, "").unwrap();
    world.healthy(&asked.id).await;
    fs::remove_file(ok).unwrap();
    world.complaint(&asked.id, "expected ./healthy.sh to exit with 0").await;

    let mut timed = spec("mailer-2", &["./run.sh"]);
    timed.health.probe = HealthProbe::Running(Millis(3_000));
    world.target().start(&timed, artifact).await.unwrap();
    world.complaint(&timed.id, "has not run for 3s yet").await;
    world.healthy(&timed.id).await;
    world.target().stop_all().await.unwrap();
}

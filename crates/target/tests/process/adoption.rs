//! The control plane dies, the shim dies, a start is interrupted, the machine is restarted.

use std::fs;
use std::io::Write;
use std::time::Duration;

use rustix::process::Signal;
use slipway_core::instance::{Health, InstanceState, Target};

use crate::support::*;

#[tokio::test]
async fn a_new_control_plane_finds_the_same_program() {
    let mut world = World::new();
    let spec = server("shop-1", &[]);
    world.start(&spec).await.unwrap();
    let before = world.healthy(&spec.id).await;
    world.restart();
    let at_once = world.status(&spec.id).unwrap();
    assert_eq!((at_once.state, at_once.pid), (InstanceState::Running, before.pid));
    assert_eq!(world.healthy(&spec.id).await, before);
    world.start(&spec).await.unwrap();
    assert_eq!(processes_in(&world.folder(&spec.id).join("work")), [before.pid.unwrap()]);
    world.target().stop(&spec.id).await.unwrap();
    assert!(!runs(before.pid.unwrap()));
}

#[tokio::test]
async fn what_happened_meanwhile_is_known_afterwards() {
    let mut world = World::new();
    let spec = server("shop-1", &[]);
    world.start(&spec).await.unwrap();
    let before = world.healthy(&spec.id).await;
    world.down();
    kill(before.pid.unwrap(), Signal::KILL);
    eventually("the shim starts it again", || world.state_json(&spec.id)["incarnation"] == 2).await;
    world.restart();
    let after = world.healthy(&spec.id).await;
    assert_eq!((after.incarnation, after.last_exit.unwrap().signal), (2, Some(9)));
    world.target().stop_all().await.unwrap();
}

#[tokio::test]
async fn a_killed_shim_leaves_an_orphan_that_serves_writes_and_can_be_stopped() {
    let world = World::new();
    let spec = server("shop-1", &["talk", "fork"]);
    world.start(&spec).await.unwrap();
    let before = world.healthy(&spec.id).await;
    kill(world.shim_pid(&spec.id), Signal::KILL);
    let orphan = world.until(&spec.id, |s| s.state == InstanceState::Orphaned).await;
    assert_eq!((orphan.pid, orphan.incarnation, orphan.address), (before.pid, 1, before.address));

    // It wrote far more than a pipe holds since the shim died, and stands still for none of it.
    let log = world.folder(&spec.id).join("logs/out.log");
    let size = fs::metadata(&log).unwrap().len();
    eventually("its output is taken", || fs::metadata(&log).unwrap().len() > size + (200 << 10)).await;
    assert_eq!(world.status(&spec.id).unwrap().health, Health::Healthy);

    let children = fs::read_to_string(world.target().work_dir(&spec.id).join("children")).unwrap();
    world.target().stop(&spec.id).await.unwrap();
    assert!(!runs(before.pid.unwrap()));
    assert!(children.split(' ').all(|pid| !runs(pid.parse().unwrap())));
    assert_eq!(world.status(&spec.id), None);
}

#[tokio::test]
async fn an_orphan_is_found_by_a_new_control_plane_and_its_end_is_noticed() {
    let mut world = World::new();
    let spec = server("shop-1", &[]);
    world.start(&spec).await.unwrap();
    let before = world.healthy(&spec.id).await;
    world.down();
    kill(world.shim_pid(&spec.id), Signal::KILL);
    eventually("the shim is gone", || !runs(world.shim_pid(&spec.id))).await;
    world.restart();
    world.until(&spec.id, |s| s.state == InstanceState::Orphaned).await;
    kill(before.pid.unwrap(), Signal::KILL);
    let ended = world.until(&spec.id, |s| s.state == InstanceState::Ended).await;
    assert_eq!(ended.last_exit.unwrap().tail, "it ended after its shim had been killed");
    world.start(&spec).await.unwrap();
    assert_eq!(world.status(&spec.id).unwrap().state, InstanceState::Ended);
    world.target().stop(&spec.id).await.unwrap();
    assert_eq!(fs::read_dir(world.root()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_stuck_shim_does_not_keep_its_program_alive() {
    let world = World::new();
    let mut spec = server("shop-1", &[]);
    spec.stop_grace = slipway_core::units::Millis(0);
    world.start(&spec).await.unwrap();
    let status = world.healthy(&spec.id).await;
    let shim = world.shim_pid(&spec.id);
    kill(shim, Signal::STOP);
    world.target().stop(&spec.id).await.unwrap();
    assert!(!runs(status.pid.unwrap()) && !runs(shim));
}

/// Kills shim and program, and puts `change` into what the shim wrote.
async fn after(change: impl Fn(&mut serde_json::Value), kill_program: bool) -> (World, u32) {
    let mut world = World::new();
    let spec = server("shop-1", &[]);
    world.start(&spec).await.unwrap();
    let pid = world.healthy(&spec.id).await.pid.unwrap();
    world.down();
    kill(world.shim_pid(&spec.id), Signal::KILL);
    eventually("the shim is gone", || !runs(world.shim_pid(&spec.id))).await;
    if kill_program {
        kill(pid, Signal::KILL);
    }
    let mut state = world.state_json(&spec.id);
    change(&mut state);
    fs::write(world.folder(&spec.id).join("state.json"), state.to_string()).unwrap();
    world.restart();
    (world, pid)
}

#[tokio::test]
async fn after_a_restart_of_the_machine_nothing_is_believed_to_run() {
    let (world, _) = after(|state| state["boot_id"] = "of-yesterday".into(), true).await;
    let status = world.until(&id("shop-1"), |s| s.state == InstanceState::Ended).await;
    assert_eq!(status.pid, None);
    assert_eq!(status.last_exit.unwrap().tail, "the machine was restarted");
    world.target().stop(&id("shop-1")).await.unwrap();
}

#[tokio::test]
async fn a_process_number_alone_is_never_believed() {
    // The number belongs to a later process, the folder is a copy, the state is of another launch.
    let lies: [fn(&mut serde_json::Value); 3] = [
        |state| {
            let mine = std::process::id();
            state["program"] = serde_json::json!({ "pid": mine, "start": 1 });
            state["shim"] = serde_json::json!({ "pid": mine, "start": 1 });
        },
        |state| state["lock_inode"] = 1.into(),
        |state| state["token"] = "another".into(),
    ];
    for lie in lies {
        let (world, _) = after(lie, true).await;
        world.until(&id("shop-1"), |s| s.state == InstanceState::Ended).await;
        world.target().stop(&id("shop-1")).await.unwrap();
    }
}

#[tokio::test]
async fn a_program_that_never_got_on_record_is_ended_by_a_stop() {
    // Its shim died after it started the program and before it wrote that down.
    let (world, pid) = after(|state| state["program"] = serde_json::Value::Null, false).await;
    world.until(&id("shop-1"), |s| s.state == InstanceState::Ended).await;
    assert!(runs(pid));
    world.target().stop(&id("shop-1")).await.unwrap();
    assert!(!runs(pid));
}

#[tokio::test]
async fn a_shim_killed_at_any_time_leaves_nothing_after_a_stop() {
    for delay in [0, 1, 2, 4, 8, 16, 32] {
        let world = World::new();
        let spec = server("shop-1", &["fork"]);
        let start = world.start(&spec);
        let killer = async {
            let state = || fs::read_to_string(world.folder(&spec.id).join("state.json")).is_ok();
            eventually("the shim has begun", state).await;
            tokio::time::sleep(std::time::Duration::from_millis(delay)).await;
            kill(world.shim_pid(&spec.id), Signal::KILL);
        };
        let (started, ()) = tokio::join!(start, killer);
        assert_eq!(started, Ok(()));
        world.until(&spec.id, |s| matches!(s.state, InstanceState::Orphaned | InstanceState::Ended)).await;
        world.target().stop(&spec.id).await.unwrap();
        assert_eq!(processes_in(world.home.path()), Vec::<u32>::new(), "after {delay}ms");
        assert_eq!(world.target().instances(), []);
    }
}

#[tokio::test]
async fn a_state_that_cannot_be_written_is_told_all_the_same_and_written_later() {
    let world = World::new();
    let spec = server("shop-1", &[]);
    world.start(&spec).await.unwrap();
    let first = world.healthy(&spec.id).await;
    let obstacle = world.folder(&spec.id).join("state.part");
    fs::create_dir(&obstacle).unwrap();
    kill(first.pid.unwrap(), Signal::KILL);
    world.until(&spec.id, |s| s.incarnation == 2 && s.health == Health::Healthy).await;
    assert_eq!(world.state_json(&spec.id)["incarnation"], 1);
    fs::remove_dir(&obstacle).unwrap();
    eventually("it is written", || world.state_json(&spec.id)["incarnation"] == 2).await;
    world.target().stop_all().await.unwrap();
}

#[tokio::test]
async fn a_start_that_was_interrupted_anywhere_is_one_start_in_the_end() {
    let spec = server("shop-1", &[]);
    let donor = World::new();
    donor.start(&spec).await.unwrap();
    let launch = fs::read(donor.folder(&spec.id).join("launch.json")).unwrap();
    donor.target().stop_all().await.unwrap();

    // Each step leaves a little more; the last one is a shim that died before its first state.
    let steps: [(&str, &[u8]); 6] = [
        ("lock", b""),
        ("unpacking/half", b"ha"),
        ("work/readme", b"old"),
        ("launch.part", b"{"),
        ("launch.json", &launch),
        ("shim.log", b"killed"),
    ];
    for reached in 0..=steps.len() {
        for restarted in [true, false] {
            let mut world = World::new();
            let folder = world.folder(&spec.id);
            fs::create_dir_all(&folder).unwrap();
            for (name, content) in &steps[..reached] {
                let path = folder.join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::File::create(path).unwrap().write_all(content).unwrap();
            }
            if restarted {
                world.restart();
                assert_eq!(world.target().instances(), [], "after step {reached}");
                assert!(!folder.exists(), "after step {reached}");
            }
            world.start(&spec).await.unwrap();
            let pid = world.healthy(&spec.id).await.pid.unwrap();
            assert_eq!(processes_in(&folder.join("work")), [pid]);
            assert_eq!(fs::read_to_string(folder.join("work/readme")).unwrap(), "hello");
            assert!(!folder.join("unpacking").exists());
            world.target().stop_all().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_control_plane_that_dies_in_the_middle_of_a_start_leaves_at_most_one_program() {
    let spec = server("shop-1", &[]);
    for delay in [0, 1, 3, 10, 30, 60] {
        let mut world = World::new();
        let artifact = world.artifact(&[("readme", "hello")]);
        // Dropped after some polls: what it had begun goes on or is cut off, as it happens.
        let start = world.target().start(&spec, artifact);
        let _ = tokio::time::timeout(std::time::Duration::from_millis(delay), start).await;
        world.restart();
        // The old start lives in this very process and may go on after the restart has looked: only a look after its
        // end sees all that a dead control plane would have left.
        let folder = world.folder(&spec.id);
        eventually("the old start is out of the way or done", || {
            folder.join("state.json").exists() || !folder.join("launch.json").exists()
        })
        .await;
        world.restart();
        while world.start(&spec).await.is_err() {
            world.restart();
        }
        let pid = world.healthy(&spec.id).await.pid.unwrap();
        assert_eq!(processes_in(&world.folder(&spec.id).join("work")), [pid], "after {delay}ms");
        world.target().stop(&spec.id).await.unwrap();
        assert_eq!(processes_in(world.home.path()), Vec::<u32>::new());
    }
}

#[tokio::test]
async fn a_stop_that_was_interrupted_is_finished_by_the_next() {
    let mut world = World::new();
    let spec = server("shop-1", &["ignore-term"]);
    world.start(&spec).await.unwrap();
    let pid = world.healthy(&spec.id).await.pid.unwrap();
    drop(world.target().stop(&spec.id));
    world.until(&spec.id, |s| s.state == InstanceState::Stopping).await;
    world.restart();
    assert!(world.status(&spec.id).is_some());
    kill(pid, Signal::KILL);
    world.target().stop(&spec.id).await.unwrap();
    assert!(!world.folder(&spec.id).exists());
    assert_eq!(processes_in(world.home.path()), Vec::<u32>::new());
}

#[tokio::test]
async fn a_shim_whose_folder_is_gone_ends_its_program() {
    let world = World::new();
    let spec = server("shop-1", &[]);
    world.start(&spec).await.unwrap();
    let pid = world.healthy(&spec.id).await.pid.unwrap();
    let shim = world.shim_pid(&spec.id);
    fs::remove_dir_all(world.folder(&spec.id)).unwrap();
    eventually("both are gone", || !runs(pid) && !runs(shim)).await;
}

#[tokio::test]
async fn a_folder_that_another_control_plane_still_has_is_waited_for() {
    let (world, spec) = (World::new(), server("shop-1", &[]));
    fs::create_dir_all(world.folder(&spec.id)).unwrap();
    let lock = fs::File::create(world.folder(&spec.id).join("lock")).unwrap();
    lock.lock().unwrap();
    let mut starting = Box::pin(world.start(&spec));
    let early = tokio::time::timeout(Duration::from_millis(500), &mut starting).await;
    assert!(early.is_err(), "it waits: {early:?}");
    drop(lock);
    starting.await.unwrap();
    world.healthy(&spec.id).await;
    world.target().stop_all().await.unwrap();
}

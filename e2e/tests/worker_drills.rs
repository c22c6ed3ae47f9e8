//! Workers whose way back is practised, and workers whose control plane stays away: real couriers, real parcels.

mod common;

use std::time::{Duration, Instant};

use common::alone;
use common::post::{Post, ROLLING};
use serde_json::Value;
use slipway_e2e::{until, until_within};

/// How long gateways would wait for a control plane.
const LEASE: Duration = Duration::from_secs(15);

impl Post {
    async fn rollout(&self, id: &str) -> Value {
        self.slipway.get(&format!("/rollouts/{id}")).await.unwrap_or_default()
    }

    async fn at_step(&self, id: &str, name: &str) {
        let there = async || {
            let now = self.rollout(id).await;
            let steps = now["steps"].as_array().cloned().unwrap_or_default();
            steps.iter().any(|step| step["name"] == name && step["state"] == "waiting").then_some(())
        };
        until_within(Duration::from_secs(180), &format!("{id} is at {name}"), there).await.expect("it is");
    }

    async fn outcome(&self, id: &str) -> Value {
        until_within(Duration::from_secs(300), &format!("{id} ends"), async || {
            let now = self.rollout(id).await;
            now["outcome"].is_string().then_some(now)
        })
        .await
        .expect("an end")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_hands_the_parcels_to_the_predecessor_and_back_and_require_drill_counts_it() {
    let _alone = alone().await;
    let post = Post::open("", ROLLING).await;
    let none = post.say("slipway drill courier --env production").await;
    assert!(none.code == 12 && none.stderr.contains("nothing to go back to"), "{none}");
    let strict = "{ instances: 2, require_drill: 30d, strategy: { rolling: { verify: 2s } } }";
    post.declare(ROLLING, strict);
    let (second, code) = post.release("1.1.0", &[("JOB_MS", "40")], &[]).await;
    assert_eq!((code, &second["outcome"]), (0, &"succeeded".into()), "waived, as there was no way back: {second:#}");
    post.only("1.1.0", 2).await;
    let (blocked, code) = post.release("1.2.0", &[("JOB_MS", "50")], &[]).await;
    assert_eq!((code, &blocked["outcome"]), (12, &"blocked".into()), "{blocked:#}");

    let before = post.parcels.delivered();
    let drill = post.say("slipway drill courier --env production").await.expect(0).expect("it passes");
    assert!(drill.stdout.contains("1.0.0") && drill.stdout.contains("return"), "{drill}");
    post.only("1.1.0", 2).await;
    let after = post.parcels.delivered();
    assert!(after.get("1.0.0") > before.get("1.0.0"), "the predecessor delivered: {before:?} {after:?}");
    let lane = post.lane().await;
    let drilled = &lane["times"]["drill"];
    assert_eq!((&drilled["passed"], &drilled["cold"]), (&true.into(), &true.into()), "{lane:#}");
    assert!(drilled["back_ms"].as_u64() > Some(0) && drilled["forth_ms"].is_u64(), "{lane:#}");
    // 1.1.0 was really gone meanwhile: its first two instances ended.
    let stopped = post.journal("instance.stopped").await;
    let gone = stopped.iter().filter(|entry| entry["evidence"]["version"] == "1.1.0").count();
    assert!(gone >= 2 && stopped.iter().all(|entry| entry["evidence"]["killed"] == false), "{stopped:#?}");

    let status = post.say("slipway status").await.expect(0).expect("a status").stdout;
    assert!(status.contains("drilled"), "{status}");
    let (third, code) = post.release("1.2.0", &[("JOB_MS", "50")], &[]).await;
    assert_eq!((code, &third["outcome"]), (0, &"succeeded".into()), "the same release: {third:#}");
    post.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_whose_predecessor_exits_brings_the_version_back_that_served() {
    let _alone = alone().await;
    let post = Post::open("", "{ instances: 2, strategy: { rolling: { verify: 4s } } }").await;
    let dying = post.slipway.scratch().join("dying");
    let (mortal, code) = post.release("1.1.0", &[("EXIT_FILE", &dying.to_string_lossy())], &[]).await;
    assert_eq!(code, 0, "{mortal:#}");
    let (third, code) = post.release("1.2.0", &[("JOB_MS", "40")], &[]).await;
    assert_eq!(code, 0, "{third:#}");
    std::fs::write(&dying, "").expect("a file");
    let failed = post.slipway.cli(&["drill", "courier", "--env", "production"]).await.expect("it runs");
    assert_eq!(failed.code, 10, "{failed}");
    post.only("1.2.0", 2).await;
    assert_eq!(post.lane().await["times"]["drill"]["passed"], false);
    post.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_control_plane_stays_away_instances_go_on_and_the_bad_one_goes_back_afterwards() {
    let _alone = alone().await;
    let canary = "{ instances: 2, strategy: { canary: { steps: [1, 100%], step_limit: 10m, verify: 3s } } }";
    let mut post = Post::open("", canary).await;
    post.parcels.delivers("1.0.0", 10).await;
    // Slow enough at it that the judge does not see it before the control plane is killed.
    let (asked, code) = post.release("1.1.0", &[("LOSE_SHARE", "0.2"), ("JOB_MS", "500")], &["--detach"]).await;
    assert_eq!(code, 0, "{asked:#}");
    let id = asked["rollout"].as_str().expect("an id").to_string();
    post.at_step(&id, "1 of 2").await;
    post.slipway.kill_control_plane().await.expect("it is killed");
    let killed = Instant::now();
    // Longer than any gateway would wait: nobody can send jobs elsewhere, and nobody stops or starts anything.
    while killed.elapsed() < LEASE + Duration::from_secs(2) {
        post.parcels.delivers("1.0.0", 5).await;
        post.parcels.delivers("1.1.0", 1).await;
        assert_eq!(post.slipway.shims().len(), 3, "one beside two");
    }
    post.slipway.restart().await.expect("it is back");
    let ended = post.outcome(&id).await;
    assert_eq!(ended["outcome"], "rolled_back", "{ended:#}");
    assert!(ended["cause"].as_str().is_some_and(|cause| cause.starts_with("parcels:")), "{ended:#}");
    post.only("1.0.0", 2).await;

    // A drill in whose middle it stays away goes on where it was, and comes back. The way forth takes its time.
    post.declare("running_for: 1s", "running_for: 5s");
    let (good, code) = post.release("1.2.0", &[("JOB_MS", "40")], &[]).await;
    assert_eq!((code, &good["outcome"]), (0, &"succeeded".into()), "{good:#}");
    let drill = ["drill", "courier", "--env", "production", "--detach", "--json"];
    let drill = post.slipway.cli(&drill).await.expect("it runs").expect(0).expect("it begins").json().expect("an id");
    let id = drill["rollout"].as_str().expect("an id").to_string();
    until("1.2.0 is asked to end", async || {
        let steps = post.rollout(&id).await["steps"].as_array().cloned().unwrap_or_default();
        steps.iter().any(|step| step["name"] == "back" && step["state"] == "done").then_some(())
    })
    .await
    .expect("it is");
    post.slipway.kill_control_plane().await.expect("it is killed");
    post.parcels.delivers("1.0.0", 5).await;
    post.slipway.restart().await.expect("it is back");
    let ended = post.outcome(&id).await;
    assert_eq!(ended["outcome"], "succeeded", "{ended:#}");
    post.only("1.2.0", 2).await;
    post.close().await;
}

//! Workers: real processes that take parcels from a real queue are released, taken back, restarted and replaced, and no
//! parcel is cut.

mod common;

use std::time::Duration;

use common::alone;
use common::post::{Post, ROLLING};
use serde_json::Value;
use slipway_e2e::{kill, until, until_within};

#[tokio::test(flavor = "multi_thread")]
async fn versions_come_and_go_while_parcels_are_delivered_and_none_is_cut() {
    let _alone = alone().await;
    let post = Post::open("", ROLLING).await;
    post.parcels.delivers("1.0.0", 3).await;
    // A child does the job: it must not be ended by the signal that asks its parent.
    post.build("1.1.0", &[("JOB_IN_CHILD", "1"), ("JOB_MS", "400")]);
    let plan = post.say("slipway plan -f slipway.yaml --version 1.1.0 --path build-1.1.0 --env production").await;
    let plan = plan.expect(0).expect("a plan").stdout;
    assert!(plan.contains("by rolling") && plan.contains("both versions take jobs meanwhile"), "{plan}");
    let release = "slipway release -f slipway.yaml --version 1.1.0 --path build-1.1.0 --env production";
    post.say(release).await.expect(0).expect("1.1.0 takes over");
    post.only("1.1.0", 2).await;
    post.parcels.delivers("1.1.0", 3).await;
    let status = post.say("slipway status").await.expect(0).expect("a status").stdout;
    assert!(status.contains("100% of those that take jobs"), "{status}");

    // What is reported is what a canary would be judged by: enough of it comes in.
    let compare = ["plan", "--compare", "--env", "production", "--json"];
    until("enough is reported for a canary", async || {
        let told = post.slipway.cli(&compare).await.ok()?.json().ok()?;
        let canary = told["strategies"].as_array()?.iter().find(|way| way["strategy"] == "canary")?.clone();
        (canary["fits"] == true && canary["harm"]["failed"].as_u64() > Some(0)).then_some(())
    })
    .await
    .expect("a canary that fits");

    // By a canary of numbers of instances, judged by what is reported.
    post.declare(
        ROLLING,
        "{ instances: 3, strategy: { canary: { steps: [1, 2, 100%], step_limit: 10m, verify: 3s } } }",
    );
    let (good, code) = post.release("1.2.0", &[("JOB_MS", "60")], &[]).await;
    assert_eq!((code, &good["outcome"]), (0, &"succeeded".into()), "{good:#}");
    let steps: Vec<&str> = good["steps"].as_array().expect("steps").iter().filter_map(|s| s["name"].as_str()).collect();
    assert_eq!(steps, ["prepare", "1 of 3", "2 of 3", "verification"]);
    post.only("1.2.0", 3).await;

    // What serves is restarted, scaled, and gone back from.
    post.say("slipway restart courier --env production").await.expect(0).expect("it restarts");
    post.say("slipway rollback courier --env production").await.expect(0).expect("1.1.0 is back");
    post.only("1.1.0", 2).await;
    post.say("slipway scale courier --env production 3").await.expect(0).expect("it scales");
    post.only("1.1.0", 3).await;
    let refused = post.slipway.cli(&["maintenance", "on", "courier", "--env", "production"]).await.expect("it runs");
    assert!(refused.code != 0 && refused.stderr.contains("is a worker"), "{refused}");
    post.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_exits_is_taken_back_and_its_predecessor_is_whole_again() {
    let _alone = alone().await;
    let post = Post::open("", ROLLING).await;
    for (version, variables) in
        [("1.1.0", [("EXIT_AT_START", "1"), ("X", "1")]), ("1.2.0", [("EXIT_AFTER_MS", "1500"), ("JOB_MS", "50")])]
    {
        let (bad, code) = post.release(version, &variables, &[]).await;
        assert_eq!((code, &bad["outcome"]), (10, &"rolled_back".into()), "{bad:#}");
        let cause = bad["cause"].as_str().expect("a cause");
        assert!(cause.contains("ended unasked (exit code"), "{cause}");
        post.only("1.0.0", 2).await;
    }
    // A release that would be something else, or would come in a way that does not fit, is refused.
    let build = post.build("1.3.0", &[]);
    let refused = post.slipway.release("1.3.0", &build, "production", &["--strategy", "blue-green"]).await;
    let refused = refused.expect("it runs");
    assert!(refused.code != 0 && format!("{refused}").contains("a worker has none"), "{refused}");
    post.declare("kind: worker\n", "");
    post.declare("running_for: 1s", "tcp: true");
    let other = post.slipway.release("1.3.0", &build, "production", &[]).await.expect("it runs");
    assert!(other.code != 0 && format!("{other}").contains("give it a service name of its own"), "{other}");
    post.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_loses_parcels_is_taken_back_by_the_judge() {
    let _alone = alone().await;
    let canary = "{ instances: 2, strategy: { canary: { steps: [1, 100%], step_limit: 10m, verify: 3s } } }";
    let post = Post::open("", canary).await;
    post.parcels.delivers("1.0.0", 10).await;
    let (bad, code) = post.release("1.1.0", &[("LOSE_SHARE", "0.3"), ("JOB_MS", "60")], &[]).await;
    assert_eq!((code, &bad["outcome"]), (10, &"rolled_back".into()), "{bad:#}");
    let id = bad["rollout"].as_str().expect("an id");
    let told = post.page.run(&post.slipway, "slipway explain ro-N", Some(id)).await.expect(0).expect("told").stdout;
    assert!(told.contains("parcel_lost of") && told.contains("outcomes were reported of 1.1.0"), "{told}");
    assert!(bad["failed_requests"].as_u64() > Some(0), "{bad:#}");
    post.only("1.0.0", 2).await;
    // Silent reporters show nothing: rolling goes by health and exits, and says so.
    assert_eq!(post.journal("work.returned").await.len(), 1);
    assert!(post.journal("traffic.returned").await.is_empty());
    post.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exclusive_worker_never_runs_two_versions_at_once() {
    let _alone = alone().await;
    let mut post = Post::open("exclusive: true\n", "{ instances: 2, strategy: { replace: { verify: 6s } } }").await;
    post.build("1.1.0", &[("JOB_MS", "500")]);
    let plan = post.say("slipway plan -f slipway.yaml --version 1.1.0 --path build-1.1.0 --env production").await;
    assert!(plan.stdout.contains("there is a gap"), "{plan}");
    let (good, code) = post.release("1.1.0", &[("JOB_MS", "500")], &[]).await;
    assert_eq!((code, &good["outcome"]), (0, &"succeeded".into()), "{good:#}");
    let (bad, code) = post.release("1.2.0", &[("EXIT_AFTER_MS", "1500")], &[]).await;
    assert_eq!((code, &bad["outcome"]), (10, &"rolled_back".into()), "{bad:#}");
    post.only("1.1.0", 2).await;
    let refused = post.slipway.cli(&["drill", "courier", "--env", "production"]).await.expect("it runs");
    assert!(refused.code == 12 && refused.stderr.contains("must run alone"), "{refused}");

    // The control plane is killed in the middle, and whatever it does when it is back, it is never both.
    let (asked, code) = post.release("1.3.0", &[("JOB_MS", "100")], &["--detach"]).await;
    assert_eq!(code, 0, "{asked:#}");
    let id = asked["rollout"].as_str().expect("an id").to_string();
    until("1.1.0 is being stopped", async || {
        let now = post.slipway.get(&format!("/rollouts/{id}")).await.ok()?;
        let steps = now["steps"].as_array()?;
        steps.iter().any(|step| step["name"] == "replace" && step["state"] != "pending").then_some(())
    })
    .await
    .expect("it is");
    post.slipway.kill_control_plane().await.expect("it is killed");
    post.slipway.restart().await.expect("it is back");
    until_within(Duration::from_secs(300), "it goes on to its end", async || {
        let now = post.slipway.get(&format!("/rollouts/{id}")).await.unwrap_or_default();
        now["outcome"].is_string().then_some(())
    })
    .await
    .expect("an outcome");
    post.only("1.3.0", 2).await;
    post.say("slipway restart courier --env production").await.expect(0).expect("it restarts");

    // One whose keeper was killed still runs: it ends before another takes its place.
    let shim = post.slipway.shims().first().map(|shim| shim.pid).expect("a shim");
    kill(shim).await.expect("it is killed");
    post.only("1.3.0", 2).await;
    post.say("slipway rollback courier --env production").await.expect(0).expect("1.1.0 is back");
    post.only("1.1.0", 2).await;
    assert_eq!(post.parcels.overlaps(), "", "two versions met");
    post.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_heed_the_signal_is_killed_when_its_patience_is_over_and_that_is_told() {
    let _alone = alone().await;
    let post = Post::open("", "{ instances: 1, strategy: { rolling: { verify: 1s } } }").await;
    post.declare("stop_grace: 20s", "stop_grace: 2s");
    let (deaf, code) = post.release("1.1.0", &[("IGNORE_SIGTERM", "1"), ("JOB_MS", "20")], &[]).await;
    assert_eq!(code, 0, "{deaf:#}");
    let (next, code) = post.release("1.2.0", &[], &[]).await;
    assert_eq!(code, 0, "{next:#}");
    let told = until("it was killed, and that is told", async || {
        let stopped = post.journal("instance.stopped").await;
        let told = |entry: &&Value| entry["cause"].as_str().is_some_and(|cause| cause.contains("may have been cut"));
        stopped.iter().find(told).cloned()
    });
    let told = told.await.expect("it is told");
    assert_eq!(told["evidence"]["version"], "1.1.0", "{told:#}");
    post.only("1.2.0", 1).await;
    let killed = format!("@{}", told["evidence"]["instance"].as_str().expect("an instance"));
    assert!(
        post.parcels.names("taken").iter().filter(|name| name.ends_with(&killed)).count() <= 1,
        "what it had at hand"
    );
    post.slipway.down().await.expect("it goes down");
}

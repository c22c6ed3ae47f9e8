//! Environments as files: one comes up from its file, strangers' files are refused whole, drift is shown and healed, and
//! the file's policy binds what releases declare.

mod common;

use common::{Stage, alone, instances, nothing_failed_by_slipway};
use serde_json::Value;
use slipway_e2e::{Options, Output, Page, Slipway, build, kill, until};

const PAGE: &str = "docs/how-to/environments-as-files.md";
const QUICK: &str = "{ instances: 1, strategy: { blue-green: { verify: 1s, standby: 10m } } }";
const FILE: &str = "environment: production\nservices:\n  payments: { version: 2.1.0, instances: 1 }\n  shop:\n    \
                    version: 1.0.0\n    instances: 2\n    after: [\"payments >= 2.0\"]\n";

fn write(slipway: &Slipway, name: &str, text: &str) {
    std::fs::write(slipway.scratch().join(name), text).expect("a file");
}

/// Slipway with payments 2.1.0 and shop 1.0.0 in staging, both of which may go to production.
async fn staging() -> Slipway {
    let slipway = Slipway::start(Options::default()).await.expect("Slipway starts");
    slipway.declare(&format!("staging: {QUICK}\nproduction: {QUICK}")).expect("a declared file");
    let shop = std::fs::read_to_string(slipway.scratch().join("slipway.yaml")).expect("a file");
    write(
        &slipway,
        "payments.yaml",
        &shop.replace("service: shop", "service: payments").replace("shop.local", "payments.local"),
    );
    build(slipway.scratch(), "build", &[]).expect("a build");
    for (file, version) in [("payments.yaml", "2.1.0"), ("slipway.yaml", "1.0.0")] {
        let release = ["release", "-f", file, "--version", version, "--path", "build", "--env", "staging"];
        slipway.cli(&release).await.expect("it runs").expect(0).expect("it serves");
    }
    slipway
}

async fn cli(slipway: &Slipway, arguments: &[&str], code: i32) -> Output {
    slipway.cli(arguments).await.expect("it runs").expect(code).unwrap_or_else(|e| panic!("{e}"))
}

/// Entries of the journal of this kind in production, oldest first.
async fn entries(slipway: &Slipway, kind: &str) -> Vec<Value> {
    let all = slipway.get(&format!("/journal?limit=1000&kind={kind}")).await.expect("a journal");
    let mut all = all.as_array().expect("entries").clone();
    all.retain(|entry| entry["lane"].is_null() || entry["lane"]["environment"] == "production");
    all.reverse();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_comes_up_from_its_file_and_a_strangers_file_is_refused_whole() {
    let _alone = alone().await;
    let slipway = staging().await;
    let page = Page::open(PAGE);

    // From somebody else's cluster: everything that cannot be here at once, each in its place, and nothing done.
    let digest = format!("sha256:{}", "0".repeat(64));
    let strange = format!(
        "environment: production\ncluster: 0123456789abcdef\nservices:\n  payments: {{ version: 2.1.0, artifact: \"{digest}\" }}\n  \
         ledger: {{ version: 1.0.0 }}\n  shpo: {{ version: 1.0.0 }}\n  shop:\n    version: 9.9.9\n"
    );
    write(&slipway, "strange.yaml", &strange);
    let refused = cli(&slipway, &["env", "apply", "-f", "strange.yaml"], 2).await;
    for what in [
        "2:1: cluster: the file is for another Slipway",
        "4:31: services.payments.artifact: version 2.1.0 of payments has another one here",
        "5:3: services.ledger: no version of ledger was ever released here",
        "6:3: services.shpo: no version of shpo was ever released here (did you mean shop?)",
        "8:5: services.shop.version: version 9.9.9 of shop is not known here (did you mean 1.0.0?)",
    ] {
        assert!(refused.stderr.contains(what), "{what}: {refused}");
    }
    write(&slipway, "circle.yaml", &FILE.replace("instances: 1 }", "after: [shop] }"));
    let circle = cli(&slipway, &["env", "apply", "-f", "circle.yaml"], 2).await;
    assert!(circle.stderr.contains("circle"), "{circle}");
    write(&slipway, "nowhere.yaml", &FILE.replace("environment: production", "environment: nowhere"));
    let nowhere = cli(&slipway, &["env", "apply", "-f", "nowhere.yaml"], 2).await;
    assert!(nowhere.stderr.contains("environment nowhere is not declared"), "{nowhere}");
    write(&slipway, "typo.yaml", "environment: production\nservics: {}\n");
    let typo = cli(&slipway, &["env", "diff", "-f", "typo.yaml"], 2).await;
    assert!(typo.stderr.contains("typo.yaml:2:1: servics: unknown key \"servics\" (did you mean services?)"), "{typo}");
    assert_eq!(entries(&slipway, "environment").await, Vec::<Value>::new());
    assert!(slipway.lane("shop", "production").await.expect("a status").is_none(), "nothing was done");
    cli(&slipway, &["env", "diff", "production"], 2).await;

    // Who may not.
    let made = page.run(&slipway, "slipway token create deployer --may apply", None).await.expect(0).expect("a token");
    let deployer = made.stdout.trim();
    let looker = slipway.json(&["token", "create", "looker", "--may", "release,operate"]).await.expect("a token");
    let looker = looker["token"].as_str().expect("its text");
    write(&slipway, "production.yaml", FILE);
    let not_theirs = cli(&slipway, &["env", "apply", "-f", "production.yaml", "--token", looker], 2).await;
    assert!(not_theirs.stderr.contains("may not apply"), "{not_theirs}");

    // It comes up.
    let diff = page.run(&slipway, "slipway env diff -f production.yaml", None).await.expect(0).expect("differences");
    assert!(diff.stdout.contains("services.payments") && diff.stdout.contains("+ 2.1.0"), "{diff}");
    let differs = cli(&slipway, &["env", "diff", "-f", "production.yaml", "--exit-code"], 14).await;
    assert_eq!(differs.stdout, diff.stdout);
    cli(&slipway, &["env", "diff", "-f", "typo.yaml", "--exit-code"], 2).await;
    let apply = page.run(&slipway, "slipway env apply -f production.yaml", None).await;
    let apply = apply.expect(0).unwrap_or_else(|e| panic!("{e}"));
    assert!(apply.stdout.contains("shop 1.0.0: waiting: payments comes first"), "{apply}");
    assert!(apply.stdout.trim_end().ends_with("production is as its file says"), "{apply}");
    let asked = entries(&slipway, "rollout.asked").await;
    let services: Vec<&Value> = asked.iter().map(|entry| &entry["lane"]["service"]).collect();
    assert_eq!(services, ["payments", "shop"], "one for each, in order");
    let ended = entries(&slipway, "rollout.ended").await;
    assert!(ended[0]["seq"].as_u64() < asked[1]["seq"].as_u64(), "the second begins when the first has ended");
    assert!(asked.iter().all(|entry| entry["actor"] == "user:first"), "whoever applied it has asked: {asked:#?}");
    let shop = slipway.lane("shop", "production").await.expect("a status").expect("a lane");
    assert_eq!(shop["stable"]["desired"], 2, "the file's number, not the service's own: {shop:#}");
    let settled = entries(&slipway, "environment").await;
    let kinds: Vec<&str> = settled.iter().filter_map(|entry| entry["kind"].as_str()).collect();
    let expected = ["environment.applied", "environment.bringing", "environment.bringing", "environment.settled"];
    assert_eq!(kinds, expected);

    // What is written down changes nothing when it is applied, here, by somebody who may.
    let staging = page.run(&slipway, "slipway env export staging", None).await.expect(0).expect("a file");
    assert!(staging.stdout.contains("environment: staging") && staging.stdout.contains("cluster: "), "{staging}");
    let export = cli(&slipway, &["env", "export", "production"], 0).await.stdout;
    write(&slipway, "export.yaml", &export);
    let same = cli(&slipway, &["env", "diff", "-f", "export.yaml", "--json", "--exit-code"], 0)
        .await
        .json()
        .expect("differences");
    assert_eq!(same["differences"], Value::Array(Vec::new()), "{same:#}");
    cli(&slipway, &["env", "apply", "-f", "export.yaml", "--token", deployer], 0).await;
    assert_eq!(entries(&slipway, "rollout.asked").await.len(), 2, "nothing was asked for");
    assert_eq!(entries(&slipway, "lane.scaled").await.len(), 0);
    assert_eq!(cli(&slipway, &["env", "export", "production"], 0).await.stdout, export);
    let status = page.run(&slipway, "slipway status", None).await.expect(0).expect("a status");
    assert!(status.stdout.contains("production is as its file says (applied by user:deployer"), "{status}");
    slipway.down().await.expect("down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_that_is_killed_meanwhile_goes_on_and_asks_for_nothing_twice() {
    let _alone = alone().await;
    let mut slipway = staging().await;
    write(&slipway, "production.yaml", FILE);
    cli(&slipway, &["env", "apply", "-f", "production.yaml", "--detach"], 0).await;
    until("payments is on its way", async || slipway.lane("payments", "production").await.ok().flatten().map(|_| ()))
        .await
        .expect("it begins");
    slipway.kill_control_plane().await.expect("killed");
    slipway.restart().await.expect("it starts again");
    until("production is as its file says", async || {
        let now = slipway.get("/environments/production").await.ok()?;
        let services = now["services"].as_array()?;
        (now["coming"] == false && services.iter().all(|one| one["standing"] == "as_declared")).then_some(())
    })
    .await
    .expect("it comes up");
    let asked = entries(&slipway, "rollout.asked").await;
    let services: Vec<&Value> = asked.iter().map(|entry| &entry["lane"]["service"]).collect();
    assert_eq!(services, ["payments", "shop"], "{asked:#?}");
    slipway.down().await.expect("down");
}

/// Waits until production's shop is as the file says.
async fn healed(stage: &Stage, version: &str, instances: u64) {
    until("the shop is as the file says", async || {
        let lane = stage.lane().await;
        let stable = &lane["stable"];
        let there = stable["version"] == version && stable["ready"] == instances && lane["rollout"].is_null();
        (there && lane["drift"] == Value::Array(Vec::new())).then_some(())
    })
    .await
    .expect("it is healed");
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_shown_and_healed_where_declared_but_never_against_a_way_back() {
    let _alone = alone().await;
    let stage = Stage::set(QUICK).await;
    let (slipway, page) = (&stage.slipway, Page::open(PAGE));
    let export = cli(slipway, &["env", "export", "production"], 0).await.stdout;
    write(slipway, "production.yaml", &export);
    cli(slipway, &["env", "apply", "-f", "production.yaml"], 0).await;

    // By hand: another number, another version. It is shown, and left alone.
    stage.say("scale", &["2"]).await.expect(0).expect("it scales");
    let status = page.run(slipway, "slipway status", None).await.expect(0).expect("a status");
    assert!(status.stdout.contains("drift: instances: 2, and the file says 1"), "{status}");
    assert_eq!(stage.release("1.1.0", &[], &[]).await.1, 0);
    let diff = page.run(slipway, "slipway env diff production", None).await.expect(0).expect("differences");
    for what in ["services.shop.version", "- 1.1.0", "+ 1.0.0"] {
        assert!(diff.stdout.contains(what), "{what}: {diff}");
    }
    let differs = page.run(slipway, "slipway env diff production --exit-code", None).await;
    differs.expect(14).unwrap_or_else(|e| panic!("{e}"));
    assert!(!diff.stdout.contains("instances"), "the release has brought the file's number: {diff}");

    // The same file again, to be kept from now on: whoever applies it brings it back.
    write(slipway, "production.yaml", &format!("heal: true\n{export}"));
    cli(slipway, &["env", "apply", "-f", "production.yaml"], 0).await;
    assert_eq!(stage.stable().await, "1.0.0");
    assert_eq!(stage.release("1.2.0", &[], &[]).await.1, 0);
    healed(&stage, "1.0.0", 1).await;
    stage.say("scale", &["3"]).await.expect(0).expect("it scales");
    healed(&stage, "1.0.0", 1).await;
    let actors = |entries: Vec<Value>| -> Vec<String> {
        entries.iter().map(|entry| entry["actor"].as_str().unwrap_or_default().to_string()).collect()
    };
    let asked = actors(entries(slipway, "rollout.asked").await);
    assert_eq!(asked, ["user:first", "user:first", "user:first", "user:first", "slipway:heal"]);
    assert_eq!(actors(entries(slipway, "lane.scaled").await), ["user:first", "user:first", "slipway:heal"]);

    // A version that is taken back stays so, and is told; so does one that somebody goes back from. What it is taken back for
    // has time to be met.
    slipway
        .declare("production: { instances: 1, strategy: { blue-green: { verify: 10s, standby: 10m } } }")
        .expect("a declared file");
    build(slipway.scratch(), "bad", &[("FAIL_RATE", "0.5")]).expect("a build");
    let bad = ["release", "--version", "6.6.6", "--path", "bad", "--env", "production"];
    cli(slipway, &bad, 10).await;
    let of = |version: &str| {
        let lines: Vec<&str> = export.lines().filter(|line| !line.contains("sha256:")).collect();
        format!("heal: true\n{}\n", lines.join("\n").replace("version: 1.0.0", &format!("version: {version}")))
    };
    write(slipway, "bad.yaml", &of("6.6.6"));
    let taken_back = cli(slipway, &["env", "apply", "-f", "bad.yaml"], 10).await;
    assert!(taken_back.stdout.contains("shop 6.6.6: stopped"), "{taken_back}");
    assert_eq!(stage.stable().await, "1.0.0");
    let stopped = entries(slipway, "environment.stopped").await;
    assert_eq!(stopped.len(), 1, "{stopped:#?}");
    write(slipway, "good.yaml", &of("1.2.0"));
    cli(slipway, &["env", "apply", "-f", "good.yaml"], 0).await;
    stage.say("rollback", &[]).await.expect(0).expect("somebody goes back");
    assert_eq!(stage.stable().await, "1.0.0");
    let asked = entries(slipway, "rollout.asked").await.len();
    until("it is left where it went back to", async || {
        let now = slipway.get("/environments/production").await.ok()?;
        (now["services"][0]["standing"] == "stopped").then_some(())
    })
    .await
    .expect("it stays");
    assert_eq!(entries(slipway, "rollout.asked").await.len(), asked);
    let report = stage.strike().await;
    nothing_failed_by_slipway(&report);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_gone_is_shown_and_another_takes_its_place() {
    let _alone = alone().await;
    let stage = Stage::set("{ instances: 2, strategy: { blue-green: { verify: 1s, standby: 10m } } }").await;
    let slipway = &stage.slipway;
    let outage = slipway.scratch().join("outage");
    assert_eq!(stage.release("1.1.0", &[("OUTAGE_FILE", &outage.to_string_lossy())], &[]).await.1, 0);
    let export = cli(slipway, &["env", "export", "production"], 0).await.stdout;
    write(slipway, "production.yaml", &format!("heal: true\n{export}"));
    cli(slipway, &["env", "apply", "-f", "production.yaml"], 0).await;
    let asked = entries(slipway, "rollout.asked").await.len();

    // It is killed by hand with what watches over it, while nothing new passes its smoke tests.
    std::fs::write(&outage, "").expect("a file");
    let (gone, pid) = instances(&stage.lane().await, "stable")[0].clone();
    let shim = slipway.shims().into_iter().find(|shim| shim.command.ends_with(&format!("/{gone}"))).expect("its shim");
    kill(shim.pid).await.expect("its shim is killed");
    kill(u32::try_from(pid).expect("a process id")).await.expect("it is killed");
    until("it is shown", async || {
        let lane = stage.lane().await;
        lane["drift"].as_array()?.iter().any(|one| one.as_str().is_some_and(|one| one.contains("ready"))).then_some(())
    })
    .await
    .expect("drift");
    let diff = cli(slipway, &["env", "diff", "production", "--exit-code"], 14).await;
    for what in ["services.shop.ready", "- 1", "+ 2"] {
        assert!(diff.stdout.contains(what), "{what}: {diff}");
    }
    std::fs::remove_file(&outage).expect("it is there");
    healed(&stage, "1.1.0", 2).await;
    let now = instances(&stage.lane().await, "stable");
    assert!(now.iter().all(|(_, other)| *other != pid), "{pid} is gone: {now:?}");
    assert_eq!(entries(slipway, "rollout.asked").await.len(), asked, "no release was needed for it");
    cli(slipway, &["env", "diff", "production", "--exit-code"], 0).await;
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_policy_binds_releases_that_declare_less() {
    let _alone = alone().await;
    let stage = Stage::set(QUICK).await;
    let slipway = &stage.slipway;
    let export = cli(slipway, &["env", "export", "production"], 0).await.stdout;
    let gates = "gates: { approvals: { count: 1, from: [alice, bob] }, readiness: [owner] }\n";
    write(slipway, "production.yaml", &format!("{gates}{export}"));
    let diff = cli(slipway, &["env", "diff", "-f", "production.yaml"], 0).await;
    assert!(diff.stdout.contains("gates.approvals") && diff.stdout.contains("gates.readiness"), "{diff}");
    cli(slipway, &["env", "apply", "-f", "production.yaml"], 0).await;
    let (asked, _) = stage.release("1.1.0", &[], &["--detach"]).await;
    assert_eq!(asked["state"], "queued", "slipway.yaml declares no gate: {asked:#}");
    assert!(asked["waiting"]["on"].as_str().is_some_and(|on| on.contains("0 of 1 approvals")), "{asked:#}");
    let alice = slipway.json(&["token", "create", "alice", "--may", "approve"]).await.expect("a token");
    let id = asked["rollout"].as_str().expect("an id");
    cli(slipway, &["approve", id, "--token", alice["token"].as_str().expect("a text")], 0).await;
    assert_eq!(stage.outcome(id).await["outcome"], "succeeded");
    // A service that asks for people who may not by the environment's file could never be released.
    slipway
        .declare(
            "production: { instances: 1, strategy: { blue-green: { verify: 1s } }, gates: { approvals: { from: [eve] } } }",
        )
        .expect("a declared file");
    build(slipway.scratch(), "build", &[]).expect("a build");
    let never = ["release", "--version", "1.2.0", "--path", "build", "--env", "production"];
    let never = cli(slipway, &never, 12).await;
    assert!(never.stderr.contains("no release could ever begin"), "{never}");
    // The way back meets no gate, and the policy outlives the control plane.
    stage.say("rollback", &[]).await.expect(0).expect("nothing stands in the way back");
    let shown = cli(slipway, &["gates", "shop", "--env", "production"], 0).await;
    assert!(shown.stdout.contains("0 of 1 approvals") && shown.stdout.contains("readiness: owner"), "{shown}");
    nothing_failed_by_slipway(&stage.strike().await);
}

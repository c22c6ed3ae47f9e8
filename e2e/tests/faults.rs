//! Bad input and faults: a clear error with the right exit code, nothing lost, nothing half done.

mod common;

use common::{Stage, alone, nothing_failed_by_slipway};
use slipway_e2e::{Options, Output, Slipway, build, process, until};

const QUICK: &str = "{ instances: 1, strategy: { blue-green: { verify: 1s } } }";

async fn up() -> Slipway {
    Slipway::start(Options::default()).await.expect("Slipway starts")
}

/// Writes a declared file in which `old` stands as `new`.
fn declare_with(slipway: &Slipway, old: &str, new: &str) {
    slipway.declare(&format!("production: {QUICK}")).expect("a declared file");
    let path = slipway.scratch().join("slipway.yaml");
    let text = std::fs::read_to_string(&path).expect("the file");
    assert!(text.contains(old), "{old:?} is not in the declared file");
    std::fs::write(path, text.replacen(old, new, 1)).expect("the file");
}

fn refused(output: &Output, code: i32, words: &[&str]) {
    assert_eq!(output.code, code, "{output}");
    let said = format!("{}{}", output.stdout, output.stderr);
    for word in words {
        assert!(said.contains(word), "{word:?} is not said\n{output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_the_file_are_told_before_anything_happens() {
    let _alone = alone().await;
    let slipway = up().await;
    let good = build(slipway.scratch(), "good", &[]).expect("a build");
    let table = [
        ("owner:", "ownr:", ["slipway.yaml:2:1", "did you mean owner"]),
        ("at_most: 1%", "at_most: 101%", ["101%", "more than 100%"]),
        ("interval: 2s", "interval: soon", ["health.interval", "soon"]),
        ("health:", "helth:", ["health", "did you mean health"]),
        ("blue-green: { verify: 1s }", "canary: { steps: [50%, 5%, 100%] }", ["steps[1]", "5%"]),
    ];
    for (old, new, words) in table {
        declare_with(&slipway, old, new);
        refused(&slipway.cli(&["check"]).await.expect("it runs"), 2, &words);
        let output = slipway.release("1.0.0", &good, "production", &[]).await.expect("it runs");
        refused(&output, 2, &words);
    }
    assert_eq!(slipway.json(&["status"]).await.expect("a status"), serde_json::json!([]), "nothing happened");
    slipway.down().await.expect("everything ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_released_is_refused() {
    let _alone = alone().await;
    let slipway = up().await;
    slipway.declare(&format!("production: {QUICK}")).expect("a declared file");
    let folder = slipway.scratch().to_path_buf();
    let release = async |arguments: &[&str]| slipway.cli(&[&["release"], arguments].concat()).await.expect("it runs");
    let nowhere = ["--version", "1", "--env", "production", "--path", "nowhere"];
    refused(&release(&nowhere).await, 2, &["nowhere"]);
    std::fs::create_dir(folder.join("empty")).expect("a folder");
    refused(&release(&["--version", "1", "--env", "production", "--path", "empty"]).await, 2, &["empty"]);
    refused(&release(&["--version", "1", "--env", "production"]).await, 2, &["not known", "--path"]);
    let good = build(&folder, "good", &[]).expect("a build");
    let good = good.to_str().expect("a path");
    refused(&release(&["--version", "1", "--env", "prod", "--path", good]).await, 2, &["prod", "production"]);
    let strategy = ["--version", "1", "--env", "production", "--path", good, "--strategy", "yolo"];
    refused(&release(&strategy).await, 2, &["yolo", "canary"]);
    let rollback = slipway.cli(&["rollback", "shop", "--env", "production"]).await.expect("it runs");
    assert_ne!(rollback.code, 0, "there is nothing to go back to");

    // A version stands for one pair of digests, for ever.
    refused(&release(&["--version", "1", "--env", "production", "--path", good]).await, 0, &[]);
    let other = build(&folder, "other", &[("LOG_LEVEL", "debug")]).expect("a build");
    let other = other.to_str().expect("a path");
    refused(&release(&["--version", "1", "--env", "production", "--path", other]).await, 2, &["another artifact"]);
    declare_with(&slipway, "LOG_LEVEL: info", "LOG_LEVEL: debug");
    refused(&release(&["--version", "1", "--env", "production", "--path", good]).await, 2, &["another configuration"]);
    refused(
        &slipway.cli(&["rollback", "shop", "--env", "production"]).await.expect("it runs"),
        12,
        &["no predecessor"],
    );

    let mut stranger = slipway.command(&["status"]).expect("a command");
    let output = stranger.env("SLIPWAY_TOKEN", "wrong").output().await.expect("it runs");
    assert_eq!(output.status.code(), Some(2), "a wrong token");
    let mut nobody = slipway.command(&["status"]).expect("a command");
    let output = nobody.env("SLIPWAY_SERVER", "http://127.0.0.1:9").output().await.expect("it runs");
    assert_eq!(output.status.code(), Some(13), "nobody there");
    slipway.down().await.expect("everything ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_misbehave_never_meet_a_user() {
    let _alone = alone().await;
    let stage = Stage::set("{ instances: 1, strategy: { blue-green: { verify: 1s } } }").await;
    let path = stage.slipway.scratch().join("slipway.yaml");
    let text = std::fs::read_to_string(&path).expect("the file");
    // Time to end three times over, where that is what is wrong.
    let table = [
        ("2.0.0-exits", ("EXIT_AT_START", "1"), "60s", "ended unasked"),
        ("2.0.0-sick", ("NEVER_HEALTHY", "1"), "3s", "did not become healthy"),
        ("2.0.0-port", ("IGNORE_PORT", "1"), "3s", "port"),
        ("2.0.0-hangs", ("START_DELAY_MS", "600000"), "3s", "did not become healthy"),
    ];
    for (version, variable, limit, word) in table {
        let limited = text.replacen("interval: 2s", &format!("start_limit: {limit}, interval: 2s"), 1);
        std::fs::write(&path, limited).expect("the file");
        let (end, code) = stage.release(version, &[variable], &[]).await;
        assert_eq!((end["outcome"].as_str(), code), (Some("rolled_back"), 10), "{version}: {end:#}");
        assert!(end["cause"].as_str().unwrap_or_default().contains(word), "{version}: {end:#}");
        assert_eq!(end["exposed_requests"], 0, "{version}");
    }
    assert_eq!(stage.stable().await, "1.0.0");
    let report = stage.strike().await;
    nothing_failed_by_slipway(&report);
    assert_eq!(report.versions.keys().collect::<Vec<_>>(), ["1.0.0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_do_not_exist_and_tests_that_hang_end_by_themselves() {
    let _alone = alone().await;
    let stage = Stage::set(QUICK).await;
    let path = stage.slipway.scratch().join("slipway.yaml");
    let text = std::fs::read_to_string(&path).expect("the file");
    let ready = "http: { path: /ready, expect: { status: 200 } }";
    let table = [
        ("2.0.0-missing", r#"["./shop"]"#, r#"["./nothing"]"#, "./nothing"),
        ("2.0.0-unknown", r#"["./shop"]"#, r#"["no-such-program"]"#, "no-such-program"),
        ("2.0.0-text", r#"["./shop"]"#, r#"["./shop.env"]"#, "./shop.env"),
        ("2.0.0-waits", ready, "timeout: 1s\n    http: { path: /slow?ms=600000 }", "the database answers"),
        ("2.0.0-sleeps", ready, "timeout: 1s\n    command: [\"sleep\", \"600\"]", "the database answers"),
    ];
    for (version, old, new, word) in table {
        assert!(text.contains(old), "{old:?} is not in the declared file");
        std::fs::write(&path, text.replacen(old, new, 1)).expect("the file");
        let (end, code) = stage.release(version, &[], &[]).await;
        assert_eq!((end["outcome"].as_str(), code), (Some("rolled_back"), 10), "{version}: {end:#}");
        assert!(end["cause"].as_str().unwrap_or_default().contains(word), "{version}: {end:#}");
        assert_eq!(end["exposed_requests"], 0, "{version}");
    }
    until("what a test started has ended with it", async || {
        let mut left = stage.slipway.processes().into_iter();
        (!left.any(|process| process.command.contains("sleep"))).then_some(())
    })
    .await
    .expect("nothing of it is left");
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_logs_forks_and_does_not_listen_to_signals_is_still_managed() {
    let _alone = alone().await;
    let slipway = up().await;
    declare_with(&slipway, "command: [\"./shop\"]", "command: [\"./shop\"]\n  stop_grace: 1s");
    // It listens once it has said everything, which takes a slow machine its time.
    let path = slipway.scratch().join("slipway.yaml");
    let text = std::fs::read_to_string(&path).expect("the file");
    std::fs::write(&path, text.replacen("interval: 2s", "start_limit: 5m, interval: 2s", 1)).expect("the file");
    let variables = [("LOG_MB", "100"), ("FORK_CHILDREN", "3"), ("IGNORE_SIGTERM", "1")];
    let wild = build(slipway.scratch(), "wild", &variables).expect("a build");
    slipway.release("1.0.0", &wild, "production", &[]).await.expect("it runs").expect(0).expect("it serves");
    let logs: u64 = walk(&slipway.data).iter().filter(|(p, _)| p.contains("/logs/")).map(|(_, size)| size).sum();
    assert!(logs < 64 << 20, "{logs} bytes of logs are kept");
    let data = slipway.data.clone();
    slipway.down().await.expect("everything ends, children too");
    assert_eq!(process::belonging_to(&data), [], "something was left");
}

fn walk(folder: &std::path::Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(m) if m.is_dir() => found.extend(walk(&entry.path())),
            Ok(m) => found.push((entry.path().display().to_string(), m.len())),
            Err(_) => {}
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn two_releases_of_one_service_are_never_open_at_once() {
    let _alone = alone().await;
    let canary = |requests: u32| {
        format!(
            "{{ instances: 1, strategy: {{ canary: {{ steps: [20%, 100%], verify: 2s, min_requests: {requests} }} }} }}"
        )
    };
    // The first one waits for more requests than will ever come.
    let stage = Stage::set(&canary(100_000_000)).await;
    let folder = build(stage.slipway.scratch(), "good", &[]).expect("a build");
    let ask = async |version: &str, more: &[&str]| {
        let output = stage.slipway.release(version, &folder, "production", &[&["--detach"], more].concat()).await;
        let asked = output.expect("it runs").expect(0).expect("it is taken").json().expect("a rollout");
        asked["rollout"].as_str().expect("an id").to_string()
    };
    let (first, second) = (ask("1.1.0", &[]).await, ask("1.2.0", &[]).await);
    let waiting = stage.slipway.get(&format!("/rollouts/{second}")).await.expect("a rollout");
    assert_eq!(waiting["state"], "queued", "{waiting:#}");
    stage.slipway.declare(&format!("production: {}", canary(300))).expect("a declared file");
    let third = ask("1.3.0", &["--supersede"]).await;
    assert_eq!(stage.outcome(&first).await["outcome"], "superseded");
    assert_eq!(stage.outcome(&second).await["outcome"], "superseded");
    assert_eq!(stage.outcome(&third).await["outcome"], "succeeded");
    assert_eq!(stage.stable().await, "1.3.0");
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_version_with_too_few_users_is_held_for_a_person() {
    let _alone = alone().await;
    let stage = Stage::set_with(
        "{ instances: 1, strategy: { canary: { steps: [20%, 100%], step_limit: 6s, verify: 1s } } }",
        2.0,
    )
    .await;
    let (held, code) = stage.release("1.1.0", &[], &[]).await;
    assert_eq!((held["outcome"].as_str(), code), (Some("held"), 11), "{held:#}");
    assert!(held["cause"].as_str().unwrap_or_default().contains("inconclusive"), "{held:#}");
    let id = held["rollout"].as_str().expect("an id").to_string();
    stage
        .slipway
        .cli(&["promote", "shop", "--env", "production"])
        .await
        .expect("it runs")
        .expect(0)
        .expect("it goes on");
    until("it succeeds in a person's name", async || {
        let now = stage.slipway.get(&format!("/rollouts/{id}")).await.ok()?;
        (now["outcome"] == "succeeded").then_some(())
    })
    .await
    .expect("an end");
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_up_and_newer_data_are_refused() {
    let _alone = alone().await;
    let mut slipway = up().await;
    let pid = slipway.control_plane().expect("a process").to_string();
    let data = slipway.data.display().to_string();
    let second = slipway.cli(&["up", "--data", &data, "--api", "127.0.0.1:0", "--traffic", "127.0.0.1:0"]).await;
    refused(&second.expect("it runs"), 1, &["in use", &pid]);
    slipway.kill_control_plane().await.expect("it is killed");
    let database = slipway.data.join("slipway.db").display().to_string();
    let sql = |text: &str| {
        let done =
            std::process::Command::new("sqlite3").args([&database, text]).status().expect("sqlite3 is installed");
        assert!(done.success(), "{text}");
    };
    sql("INSERT INTO migrations (name) VALUES ('9999_future')");
    let newer = slipway.cli(&["up", "--data", &data, "--api", "127.0.0.1:0", "--traffic", "127.0.0.1:0"]).await;
    refused(&newer.expect("it runs"), 1, &["newer Slipway", "9999_future"]);
    sql("DELETE FROM migrations WHERE name = '9999_future'");
    slipway.restart().await.expect("it starts again");
    slipway.down().await.expect("everything ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_was_touched_is_found_and_keeps_nobody_from_starting() {
    let _alone = alone().await;
    let mut slipway = up().await;
    slipway.declare(&format!("production: {QUICK}")).expect("a declared file");
    let good = build(slipway.scratch(), "good", &[]).expect("a build");
    slipway.release("1.0.0", &good, "production", &[]).await.expect("it runs").expect(0).expect("it serves");
    let database = slipway.data.join("slipway.db").display().to_string();
    let table = [
        (
            "UPDATE journal SET body = replace(body, '1.0.0 is asked', '1.0.1 is asked') WHERE seq = 1",
            "entry 1 was changed",
        ),
        ("UPDATE journal SET actor = 'nobody' WHERE seq = 3", "entry 3 was changed"),
        ("DELETE FROM journal WHERE seq = 4", "entry 4 is missing"),
        ("DELETE FROM journal WHERE seq > 6", "are missing"),
    ];
    for (sql, word) in table {
        slipway.kill_control_plane().await.expect("it is killed");
        let kept = slipway.scratch().join("kept.db").display().to_string();
        let run = |text: &str| {
            let done =
                std::process::Command::new("sqlite3").args([&database, text]).status().expect("sqlite3 is installed");
            assert!(done.success(), "{text}");
        };
        run(&format!("VACUUM INTO '{kept}'"));
        run(sql);
        slipway.restart().await.expect("it starts all the same");
        let verified = slipway.cli(&["journal", "verify"]).await.expect("it runs");
        refused(&verified, 1, &[word]);
        slipway.kill_control_plane().await.expect("it is killed");
        for end in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{database}{end}"));
        }
        std::fs::rename(&kept, &database).expect("the database is put back");
        slipway.restart().await.expect("it starts again");
    }
    slipway.down().await.expect("everything ends");
}

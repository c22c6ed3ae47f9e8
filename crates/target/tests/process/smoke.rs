//! Smoke tests against a real instance.

use std::collections::BTreeMap;
use std::fs;

use rustix::process::Signal;
use serde_json::json;
use slipway_core::instance::Target;
use slipway_core::smoke::SmokeReport;
use slipway_core::spec::{Expect, SmokeAction, SmokeTest};
use slipway_core::units::{Millis, Timestamp};

use crate::support::*;

fn test(name: &str, action: SmokeAction) -> SmokeTest {
    SmokeTest { name: name.to_string(), action, timeout: Millis(20_000), capture: BTreeMap::new() }
}

fn http(method: &str, path: &str, expect: Expect) -> SmokeAction {
    SmokeAction::Http { method: method.into(), path: path.into(), headers: BTreeMap::new(), json: None, expect }
}

fn command(parts: &[&str]) -> SmokeAction {
    SmokeAction::Command(parts.iter().map(|p| p.to_string()).collect())
}

fn status(status: u16) -> Expect {
    Expect { status: Some(status), ..Expect::default() }
}

fn map(name: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(name.to_string(), value.to_string())])
}

async fn running() -> World {
    let world = World::new();
    let script = "#!/bin/sh\n[ \"$1\" = \"http://127.0.0.1:$PORT\" ] && [ \"$2\" = \"$PORT\" ] && [ -f check.sh ] && env > env.txt\n";
    let spec = server("shop-1", &[]);
    world.target().start(&spec, world.artifact(&[("check.sh", script)])).await.unwrap();
    world.healthy(&spec.id).await;
    world
}

async fn smoke(world: &World, tests: &[SmokeTest]) -> SmokeReport {
    world.target().smoke(&id("shop-1"), 1, tests).await
}

#[tokio::test]
async fn a_whole_suite_passes_and_hands_values_on() {
    let world = running().await;
    let mut login = test("login", http("POST", "/login", status(200)));
    login.capture = map("token", "/auth/token");
    if let SmokeAction::Http { json, expect, .. } = &mut login.action {
        *json = Some(json!({ "user": "smoke" }));
        expect.json = Some(json!({ "ok": true }));
        expect.headers = map("X-Test", "yes");
    }
    let mut me = test("me", http("GET", "/me", Expect { json: Some(json!({ "name": "smoke" })), ..status(200) }));
    if let SmokeAction::Http { headers, .. } = &mut me.action {
        *headers = map("authorization", "Bearer {token}");
    }
    let body = test("body", http("GET", "/pid", Expect { body: Some("^[0-9]+$".into()), ..Expect::default() }));
    let tests =
        [login, me, body, test("port", SmokeAction::Tcp), test("script", command(&["./check.sh", "{url}", "{port}"]))];
    let report = smoke(&world, &tests).await;
    assert_eq!(report.failure(), None);
    assert_eq!((report.tests.len(), report.incarnation, report.at), (5, 1, Timestamp(1_000)));
    let env = fs::read_to_string(world.target().work_dir(&id("shop-1")).join("env.txt")).unwrap();
    assert!(env.contains("INSTANCE=shop-1") && env.contains("COLOUR=blue") && !env.contains("CARGO"), "{env}");
    world.target().stop_all().await.unwrap();
}

#[tokio::test]
async fn each_failure_says_what_was_expected_and_what_came() {
    let world = running().await;
    let mut short = test("hangs", http("GET", "/hang", Expect::default()));
    short.timeout = Millis(200);
    let mut captures = test("captures", http("GET", "/healthz", Expect::default()));
    captures.capture = map("token", "/token");
    for (test, failure) in [
        (test("status", http("GET", "/nope", status(200))), "status: expected status 200, got 404 with nothing here"),
        (
            test("json", http("GET", "/healthz", Expect { json: Some(json!({})), ..Expect::default() })),
            "json: expected JSON, got well",
        ),
        (short, "hangs: expected an end within 200ms, got none"),
        (captures, "captures: expected JSON to capture from, got well"),
        (test("gone", command(&["./gone.sh"])), "gone: command ./gone.sh not found in the artifact"),
        (
            test("fails", command(&["sh", "-c", "echo out; echo no database >&2; exit 4"])),
            "fails: expected sh to exit with 0, got exit status: 4: no database",
        ),
        (test("method", http("B AD", "/", status(200))), "method: B AD / cannot be sent: invalid HTTP method"),
    ] {
        let report = smoke(&world, &[test, self::test("never run", SmokeAction::Tcp)]).await;
        assert_eq!(report.failure().as_deref(), Some(failure));
        assert_eq!(report.tests.len(), 1);
    }
    world.target().stop_all().await.unwrap();
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_what_it_started() {
    let world = running().await;
    let work = world.target().work_dir(&id("shop-1"));
    let mut hangs = test("hangs", command(&["sh", "-c", "sleep 1000 & echo $! > child; echo $$ > parent; wait"]));
    hangs.timeout = Millis(5_000);
    let report = smoke(&world, &[hangs]).await;
    assert_eq!(report.failure().as_deref(), Some("hangs: expected an end within 5s, got none"));
    for file in ["child", "parent"] {
        let pid = fs::read_to_string(work.join(file)).unwrap().trim().parse().unwrap();
        eventually("it is gone", || !runs(pid)).await;
    }
    world.target().stop_all().await.unwrap();
}

#[tokio::test]
async fn a_command_that_leaves_something_running_ends_all_the_same() {
    let world = running().await;
    let report = smoke(&world, &[test("leaves", command(&["sh", "-c", "sleep 1000 & echo $! > child"]))]).await;
    assert_eq!(report.failure(), None);
    let pid = fs::read_to_string(world.target().work_dir(&id("shop-1")).join("child")).unwrap().trim().parse().unwrap();
    eventually("it is gone", || !runs(pid)).await;
    world.target().stop_all().await.unwrap();
}

#[tokio::test]
async fn a_body_without_end_is_read_only_so_far() {
    let world = running().await;
    let big = Expect { body: Some("^x+$".into()), ..status(200) };
    assert_eq!(smoke(&world, &[test("big", http("GET", "/big", big))]).await.failure(), None);
    world.target().stop_all().await.unwrap();
}

#[tokio::test]
async fn an_incarnation_that_is_over_cannot_pass() {
    let world = running().await;
    let pid = world.status(&id("shop-1")).unwrap().pid.unwrap();
    kill(pid, Signal::KILL);
    world.until(&id("shop-1"), |s| s.incarnation == 2).await;
    let failure = smoke(&world, &[]).await.failure();
    assert_eq!(failure.as_deref(), Some("instance: start 1 of it ended: it is at start 2"));
    world.target().stop_all().await.unwrap();
    let failure = smoke(&world, &[test("port", SmokeAction::Tcp)]).await.failure();
    assert_eq!(failure.as_deref(), Some("instance: it is not there any more"));
}

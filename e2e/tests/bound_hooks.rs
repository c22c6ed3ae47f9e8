//! Hooks that an environment's file declares: no release drops or replaces them, and nobody asks them on the way back. And
//! hooks of releases: whom the next one no longer names hears how that one ends.

mod common;

use common::{Stage, alone, nothing_failed_by_slipway};
use slipway_e2e::{Hearer, Manner, until};

const QUICK: &str = "instances: 1, strategy: { blue-green: { verify: 1s } }";

fn ok() -> Manner {
    Manner::Status(200, "{\"answer\": \"go\"}".to_string())
}

/// How often the receiver was told of an event of this type.
fn heard(hearer: &Hearer, kind: &str) -> usize {
    let ids = hearer.received().into_iter().filter(|r| r.json()["type"] == kind);
    ids.map(|r| r.header("webhook-id").to_string()).collect::<std::collections::BTreeSet<_>>().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_declares_no_hooks_is_asked_for_by_those_of_the_environment() {
    let _alone = alone().await;
    let (board, impostor) = (Hearer::start(ok()).await.expect("one"), Hearer::start(ok()).await.expect("another"));
    let key = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(key.path(), "a key of nobody's").expect("it is written");
    let hook = |url: &str| {
        let key = key.path().display();
        format!(
            "{{ name: board, before: step, on: [rollout.ended], webhook: {{ url: \"{url}\", secret_file: {key} }} }}"
        )
    };
    let stage = Stage::set(&format!("{{ {QUICK} }}")).await;
    let slipway = &stage.slipway;
    let export = slipway.cli(&["env", "export", "production"]).await.expect("it runs").expect(0).expect("a file");
    let file = format!("hooks: [{}]\n{}", hook(&board.url()), export.stdout);
    std::fs::write(slipway.scratch().join("production.yaml"), &file).expect("a file");
    let apply = ["env", "apply", "-f", "production.yaml"];
    slipway.cli(&apply).await.expect("it runs").expect(0).unwrap_or_else(|e| panic!("{e}"));
    let export = slipway.cli(&["env", "export", "production"]).await.expect("it runs").expect(0).expect("a file");
    assert!(export.stdout.contains("\"name\":\"board\""), "{export}");

    assert_eq!(stage.release("1.1.0", &[], &[]).await.1, 0);
    assert_eq!(heard(&board, "slipway.ask.step"), 1, "{:?}", board.received());

    // One of the same name in the release takes nobody's place.
    slipway.declare(&format!("production: {{ {QUICK}, hooks: [{}] }}", hook(&impostor.url()))).expect("a file");
    board.answer(Manner::Status(200, "{\"answer\": \"stop\", \"reason\": \"not today\"}".to_string()));
    let (rollout, code) = stage.release("1.2.0", &[], &[]).await;
    assert_eq!((code, &rollout["outcome"]), (10, &"rolled_back".into()), "{rollout:#}");
    assert!(rollout.to_string().contains("not today"), "{rollout:#}");
    assert!(impostor.received().is_empty(), "{:?}", impostor.received());

    // The way back asks nobody.
    board.answer(Manner::Silent);
    let asked = heard(&board, "slipway.ask.step");
    stage.say("rollback", &["--to", "1.0.0"]).await.expect(0).expect("nothing stands in the way back");
    assert_eq!(stage.stable().await, "1.0.0");
    assert_eq!(heard(&board, "slipway.ask.step"), asked);
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_release_no_longer_names_hears_how_it_is_taken_back_and_is_told_on() {
    let _alone = alone().await;
    let audit = Hearer::start(ok()).await.expect("one");
    let key = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(key.path(), "a key of nobody's").expect("it is written");
    let key = key.path().display();
    let hook =
        format!("{{ name: audit, on: [rollout.ended], webhook: {{ url: \"{}\", secret_file: {key} }} }}", audit.url());
    let stage = Stage::set(&format!("{{ {QUICK}, hooks: [{hook}] }}")).await;
    stage.slipway.declare(&format!("production: {{ {QUICK} }}")).expect("a file");
    assert_ne!(stage.release("1.1.0", &[("SMOKE_FAIL", "1")], &[]).await.1, 0);
    until("it hears that the bad one was taken back", async || {
        (heard(&audit, "slipway.rollout.ended") == 2).then_some(())
    })
    .await
    .expect("it hears");
    assert_eq!(stage.release("1.2.0", &[], &[]).await.1, 0);
    until("it hears that the good one succeeded", async || (heard(&audit, "slipway.rollout.ended") == 3).then_some(()))
        .await
        .expect("it hears");
    let hooks = async || stage.say("hooks", &[]).await.expect(0).ok()?.json().ok();
    until("nobody is told any more", async || hooks().await?.as_array()?.is_empty().then_some(())).await.expect("none");
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_waits_for_nobody_but_does_not_begin_while_whoever_is_told_cannot_be_told() {
    let _alone = alone().await;
    let board = Hearer::start(ok()).await.expect("one");
    let key = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(key.path(), "a key of nobody's").expect("it is written");
    let stage = Stage::set(&format!("{{ {QUICK} }}")).await;
    let slipway = &stage.slipway;
    let webhook = format!("{{ url: \"{}\", secret_file: {} }}", board.url(), key.path().display());
    let hooks = format!("hooks: [{{ name: board, on: [rollout.ended, rollout.asked], webhook: {webhook} }}]");
    slipway.declare(&format!("production: {{ {QUICK}, gates: {{ readiness: [hooks] }}, {hooks} }}")).expect("a file");
    assert_eq!(stage.release("1.1.0", &[], &[]).await.1, 0, "it can be told");
    until("it was told how that ended", async || (heard(&board, "slipway.rollout.ended") == 1).then_some(()))
        .await
        .expect("it hears");
    board.answer(Manner::Status(500, "no".to_string()));
    assert_eq!(stage.release("1.2.0", &[], &[]).await.1, 0, "nobody knows yet that it cannot be told any more");
    let failing = async || {
        let hooks = slipway.get("/services/shop/environments/production/hooks").await.ok()?;
        hooks.to_string().contains("500").then_some(())
    };
    until("it is known that it cannot be told", failing).await.expect("a failure");
    let (blocked, code) = stage.release("1.3.0", &[], &[]).await;
    assert_eq!((code, &blocked["outcome"]), (12, &"blocked".into()), "{blocked:#}");
    let gates = slipway.cli(&["gates", "shop", "--env", "production"]).await.expect("it runs");
    for said in ["readiness: hooks", "hook board cannot be told", "slipway hooks shop --env production"] {
        assert!(gates.stdout.contains(said), "{said}: {gates}");
    }
    assert_eq!(stage.stable().await, "1.2.0");
    board.answer(ok());
    let told = async || {
        let gates = slipway.cli(&["gates", "shop", "--env", "production"]).await.ok()?;
        gates.stdout.contains("board can be told").then_some(())
    };
    until("it can be told again", told).await.expect("an answer");
    assert_eq!(stage.release("1.3.0", &[], &[]).await.1, 0);
    nothing_failed_by_slipway(&stage.strike().await);
}

/// Whoever is only asked gets a ping, which asks for nothing, where a gate wants to know whether it can be reached.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_does_not_begin_while_whoever_is_only_asked_cannot_be_reached() {
    let _alone = alone().await;
    let board = Hearer::start(ok()).await.expect("one");
    let key = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(key.path(), "a key of nobody's").expect("it is written");
    let stage = Stage::set(&format!("{{ {QUICK} }}")).await;
    let slipway = &stage.slipway;
    let declare = |readiness: &str| {
        let webhook = format!("{{ url: \"{}\", secret_file: {} }}", board.url(), key.path().display());
        let hooks = format!("hooks: [{{ name: board, before: promotion, timeout: 5s, webhook: {webhook} }}]");
        slipway.declare(&format!("production: {{ {QUICK}, {readiness}{hooks} }}")).expect("a file");
    };
    declare("");
    assert_eq!(stage.release("1.1.0", &[], &[]).await.1, 0, "no gate wants to know");
    assert_eq!((heard(&board, "slipway.hook.ping"), heard(&board, "slipway.ask.promotion")), (0, 1));

    declare("gates: { readiness: [hooks] }, ");
    board.answer(Manner::Status(503, "away".to_string()));
    let (blocked, code) = stage.release("1.2.0", &[], &[]).await;
    assert_eq!((code, &blocked["outcome"]), (12, &"blocked".into()), "{blocked:#}");
    let said = blocked.to_string();
    for part in ["readiness: hooks", "hook board cannot be asked", "503", "slipway gates shop --env production"] {
        assert!(said.contains(part), "{part}: {blocked:#}");
    }
    assert_eq!(heard(&board, "slipway.ask.promotion"), 1, "nothing is asked to find that out");
    let mut pings = board.received().into_iter().filter(|r| r.json()["type"] == "slipway.hook.ping");
    let ping = pings.next_back().expect("a ping");
    assert_eq!(ping.json()["data"]["hook"], "board", "{:#}", ping.json());
    assert_eq!((stage.stable().await, ping.json()["data"].get("question")), ("1.1.0".to_string(), None));

    // One that takes in nothing in time is no better; one that answers anything at all with 200 can be reached.
    board.answer(Manner::Silent);
    assert_eq!(stage.release("1.2.0", &[], &[]).await.1, 12, "it does not answer");
    board.answer(ok());
    assert_eq!(stage.release("1.2.0", &[], &[]).await.1, 0, "it can be asked");
    assert_eq!(heard(&board, "slipway.ask.promotion"), 2, "and was, once for each version");
    let gates = slipway.cli(&["gates", "shop", "--env", "production"]).await.expect("it runs");
    assert!(gates.stdout.contains("board can be asked"), "{gates}");

    // A plan of a file that was not let in sends nothing to anybody.
    let pinged = heard(&board, "slipway.hook.ping");
    let plan = ["plan", "--version", "1.3.0", "--path", "build-1.2.0", "--env", "production"];
    slipway.cli(&plan).await.expect("it runs").expect(0).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(heard(&board, "slipway.hook.ping"), pinged);

    // The way back asks nobody whether somebody can be asked.
    board.answer(Manner::Silent);
    stage.say("rollback", &["--to", "1.1.0"]).await.expect(0).expect("nothing stands in the way back");
    assert_eq!((stage.stable().await, heard(&board, "slipway.hook.ping")), ("1.1.0".to_string(), pinged));
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_is_told_over_tls_where_its_certificate_is_trusted_and_only_there() {
    let _alone = alone().await;
    let (board, certificate) = Hearer::start_with_tls(ok()).await.expect("one with TLS");
    let plain = Hearer::start(ok()).await.expect("one without");
    let keep = |text: &str| {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("it is written");
        file
    };
    let (key, trusted, other) = (keep("a key of nobody's"), keep(&certificate), keep("no certificate"));
    let hook = |name: &str, url: &str, more: String| {
        let key = key.path().display();
        format!("{{ name: {name}, on: [rollout.ended], webhook: {{ url: \"{url}\", secret_file: {key}{more} }} }}")
    };
    let ca = |file: &tempfile::NamedTempFile| format!(", ca_file: {}", file.path().display());
    let wrong_scheme = plain.url().replace("http:", "https:");
    let declared = [
        hook("board", &board.url(), ca(&trusted)).replace("on:", "before: step, on:"),
        hook("stranger", &board.url(), String::new()),
        hook("broken", &board.url(), ca(&other)),
        hook("plain", &wrong_scheme, ca(&trusted)).replace("on:", "timeout: 300ms, on:"),
    ];
    let stage = Stage::set(&format!("{{ {QUICK}, hooks: [{}] }}", declared.join(", "))).await;
    until("it hears that the first version serves", async || {
        (heard(&board, "slipway.rollout.ended") == 1).then_some(())
    })
    .await
    .expect("it hears");
    assert_eq!(stage.release("1.1.0", &[], &[]).await.1, 0, "it was asked");
    assert_eq!(heard(&board, "slipway.ask.step"), 2, "before the first version as well");
    let why = async |name: &str| {
        let hooks = stage.say("hooks", &[]).await.expect(0).ok()?.json().ok()?;
        let one = hooks.as_array()?.iter().find(|hook| hook["name"] == name)?.clone();
        one["why"].as_str().map(str::to_string)
    };
    for (name, part) in
        [("stranger", "is not trusted"), ("broken", "holds no certificate"), ("plain", "it took longer than 300ms")]
    {
        let failed = async || why(name).await.filter(|why| why.contains(part));
        until("it is known why it cannot be told", failed).await.unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    assert!(plain.received().is_empty(), "nothing is told without TLS where it is asked for");

    // The file is read for each request: mended, it needs no restart.
    std::fs::write(other.path(), &certificate).expect("it is written");
    until("it is told once its certificates are mended", async || why("broken").await.is_none().then_some(()))
        .await
        .expect("it is told");
    nothing_failed_by_slipway(&stage.strike().await);
}

//! Hooks, as their receivers meet them: told once and in order whatever is killed, signed so that others can tell, and asked
//! before users move. A receiver that is slow, down, redirecting or talks nonsense harms nobody.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{Stage, alone, nothing_failed_by_slipway};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use slipway_e2e::{Hearer, Manner, Options, Page, Received, Slipway, until};

const PAGE: &str = "docs/how-to/hooks.md";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The receivers' secret in a file.
fn secret() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    writeln!(file, "{SECRET}").expect("it is written");
    file
}

/// Production with these hooks.
fn production(hooks: &str) -> String {
    format!("{{ instances: 1, strategy: {{ blue-green: {{ verify: 1s }} }}, hooks: [{hooks}] }}")
}

/// A webhook to `url`, with `more` of its keys.
fn webhook(name: &str, url: &str, secret: &tempfile::NamedTempFile, more: &str) -> String {
    let secret = secret.path().display();
    format!("{{ name: {name}, {more}, webhook: {{ url: \"{url}\", secret_file: {secret} }} }}")
}

fn ok() -> Manner {
    Manner::Status(204, String::new())
}

/// Whether the signature is that of Standard Webhooks over exactly what came, and fresh.
fn is_signed(request: &Received) -> bool {
    let (id, at) = (request.header("webhook-id"), request.header("webhook-timestamp"));
    let key = STANDARD.decode(SECRET.trim_start_matches("whsec_")).expect("base64");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).expect("a key");
    mac.update(format!("{id}.{at}.{}", request.body).as_bytes());
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let fresh = at.parse::<u64>().is_ok_and(|at| now.abs_diff(at) < 300);
    !id.is_empty() && fresh && request.header("webhook-signature") == expected
}

/// The same, by a program with nothing of ours in it.
async fn python_agrees(request: &Received) {
    const PROGRAM: &str = "import base64, hashlib, hmac, sys\n\
        key, id, at, signature = base64.b64decode(sys.argv[1]), *sys.argv[2:5]\n\
        signed = hmac.new(key, f'{id}.{at}.'.encode() + sys.argv[5].encode(), hashlib.sha256).digest()\n\
        assert hmac.compare_digest(signature, 'v1,' + base64.b64encode(signed).decode())\n\
        print('signed')";
    let mut python = tokio::process::Command::new("python3");
    python.args(["-c", PROGRAM, SECRET.trim_start_matches("whsec_")]);
    for header in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        python.arg(request.header(header));
    }
    let Ok(output) = python.arg(&request.body).output().await else {
        println!("SKIPPED: there is no python3; no other program has checked the signature");
        return;
    };
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "signed", "{output:?}");
}

/// Entries about the shop that a hook may be told of, oldest first.
async fn recorded(stage: &Stage) -> Vec<u64> {
    let entries = stage.slipway.get("/journal?limit=10000&after=0&service=shop").await.expect("a journal");
    let told =
        entries.as_array().expect("entries").iter().filter(|e| !e["kind"].as_str().unwrap_or("").starts_with("hook."));
    told.filter_map(|entry| entry["seq"].as_u64()).collect()
}

/// What a receiver was told, by the number of the entry, each id once; in the order in which they first came.
fn told(hearer: &Hearer) -> Vec<u64> {
    let mut ids = BTreeMap::new();
    let mut order = Vec::new();
    for request in hearer.received() {
        let seq = request.json()["data"]["seq"].as_u64().expect("an entry's number");
        if let Some(before) = ids.insert(request.header("webhook-id").to_string(), seq) {
            assert_eq!(before, seq, "an id stands for one event");
        } else {
            order.push(seq);
        }
    }
    order
}

/// The hooks of the shop in production, by name.
async fn hooks(stage: &Stage) -> BTreeMap<String, Value> {
    let hooks = stage.say("hooks", &[]).await.expect(0).expect("hooks").json().expect("JSON");
    let hooks = hooks.as_array().expect("a list").clone();
    hooks.into_iter().map(|hook| (hook["name"].as_str().unwrap_or_default().to_string(), hook)).collect()
}

async fn told_everything(stage: &Stage, hearer: &Hearer) {
    until("the receiver was told everything", async || (told(hearer) == recorded(stage).await).then_some(()))
        .await
        .unwrap_or_else(|e| panic!("{e}: {:?}", told(hearer)));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_entry_is_told_in_order_and_signed_also_when_both_sides_were_away() {
    let _alone = alone().await;
    let (hearer, secret) = (Hearer::start(ok()).await.expect("a receiver"), secret());
    let mut stage = Stage::set(&production(&webhook("audit", &hearer.url(), &secret, "on: [\"*\"]"))).await;
    told_everything(&stage, &hearer).await;
    let received = hearer.received();
    let first = received[0].json();
    assert_eq!((&first["type"], &first["subject"]), (&"slipway.rollout.asked".into(), &"ro-1".into()), "{first:#}");
    assert_eq!((&first["specversion"], &first["source"]), (&"1.0".into(), &"/slipway/shop/production".into()));
    assert_eq!(first["id"], received[0].header("webhook-id"));
    assert!(received[0].header("content-type").starts_with("application/cloudevents+json"));
    for request in &received {
        assert!(is_signed(request), "{request:?}");
    }
    python_agrees(&received[0]).await;

    // The receiver is down during a release, and the control plane is killed before it is back.
    hearer.answer(Manner::Status(503, "closed".to_string()));
    let (rollout, code) = stage.release("1.1.0", &[], &[]).await;
    assert_eq!((code, &rollout["outcome"]), (0, &"succeeded".into()), "{rollout:#}");
    let page = Page::open(PAGE);
    until("it is shown that it cannot be told", async || {
        let shown = page.run(&stage.slipway, "slipway hooks shop --env production", None).await;
        let shown = shown.expect(0).expect("hooks").stdout;
        (shown.contains("failing since") && shown.contains("it answered 503")).then_some(())
    })
    .await
    .unwrap_or_else(|e| panic!("{e}: {:?}", hearer.received()));
    stage.slipway.kill_control_plane().await.expect("it is killed");
    hearer.answer(ok());
    stage.slipway.restart().await.expect("it starts again");
    told_everything(&stage, &hearer).await;
    until("it is recorded that it is back", async || {
        let entries = stage.slipway.get("/journal?limit=100&kind=hook.recovered").await.ok()?;
        (!entries.as_array()?.is_empty()).then_some(())
    })
    .await
    .expect("a record");
    let journal = page
        .run(&stage.slipway, "slipway journal --service shop --limit 500", None)
        .await
        .expect(0)
        .expect("a journal");
    assert!(journal.stdout.contains("cannot be told") && journal.stdout.contains("is back"), "{journal}");
    let everything = stage.slipway.cli(&["journal", "--limit", "1000", "--json"]).await.expect("it runs");
    assert!(!format!("{everything}{}", stage.slipway.said()).contains(&SECRET[6..]), "the secret is nowhere");
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_misbehaves_harms_nobody_but_itself() {
    let _alone = alone().await;
    let secret = secret();
    let good = Hearer::start(ok()).await.expect("a receiver");
    let elsewhere = Hearer::start(ok()).await.expect("a receiver");
    // Bound, so that nobody else gets it, and not listened at.
    let nobody = tokio::net::TcpSocket::new_v4().expect("a socket");
    nobody.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let nobody_url = format!("http://{}/hook", nobody.local_addr().expect("an address"));
    let mut hearers = Vec::new();
    let mut declared = vec![webhook("good", &good.url(), &secret, "on: [\"rollout.*\"]")];
    let bad = [
        ("silent", Manner::Silent, "it took longer than 300ms"),
        ("redirects", Manner::Redirect(elsewhere.url()), "it redirects (302 Found)"),
        ("garbage", Manner::Garbage, "it does not speak HTTP"),
        ("endless", Manner::Endless, "its answer is longer than 64 KiB"),
        ("refuses", Manner::Status(404, "<html>".to_string()), "it answered 404"),
    ];
    for (name, manner, _) in &bad {
        let hearer = Hearer::start(manner.clone()).await.expect("a receiver");
        // Whoever answers has time to do so on any machine.
        let timeout = if *name == "silent" { "300ms" } else { "30s" };
        declared.push(webhook(name, &hearer.url(), &secret, &format!("on: [\"rollout.*\"], timeout: {timeout}")));
        hearers.push(hearer);
    }
    declared.push(webhook("nobody", &nobody_url, &secret, "on: [\"rollout.*\"]"));
    let unknown = tempfile::NamedTempFile::new().expect("a file");
    declared.push(webhook("unsigned", &good.url(), &unknown, "on: [\"rollout.*\"]"));
    declared.push("{ name: missing, on: [\"rollout.*\"], command: [slipway-no-such-program] }".to_string());
    declared.push(
        "{ name: fails, on: [\"rollout.*\"], command: [sh, -c, \"echo the disk is full >&2; exit 3\"] }".to_string(),
    );
    declared.push(
        "{ name: hangs, on: [\"rollout.*\"], timeout: 300ms, command: [sh, -c, \"sleep 600 & sleep 600\"] }"
            .to_string(),
    );
    let stage = Stage::set(&production(&declared.join(", "))).await;
    let (rollout, code) = stage.release("1.1.0", &[], &[]).await;
    assert_eq!((code, &rollout["outcome"]), (0, &"succeeded".into()), "{rollout:#}");
    until("the good one was told of both ends", async || {
        let ends = good.received().into_iter().filter(|r| r.json()["type"] == "slipway.rollout.ended").count();
        (ends >= 2).then_some(())
    })
    .await
    .expect("it was told");
    let others = [
        ("nobody", "nobody answers there"),
        ("unsigned", "its secret is missing"),
        ("missing", "not found"),
        ("fails", "the disk is full"),
        ("hangs", "it took longer than 300ms"),
    ];
    for (name, why) in bad.iter().map(|(name, _, why)| (*name, *why)).chain(others) {
        let told = until(&format!("{name} fails"), async || {
            let hook = hooks(&stage).await.remove(name)?;
            hook["why"].as_str().map(str::to_string)
        })
        .await
        .expect("it fails");
        assert!(told.contains(why), "{name}: {told}");
    }
    assert!(elsewhere.received().is_empty(), "nobody follows a redirect");
    assert_eq!(hooks(&stage).await["good"]["failing_since"], Value::Null);
    // Between two attempts there is none: each ends with what it has started.
    let hanging = || stage.slipway.processes().into_iter().filter(|p| p.command.contains("sleep 600"));
    until("what hung is ended", async || (hanging().count() == 0).then_some(()))
        .await
        .unwrap_or_else(|e| panic!("{e}: {:#?}", hanging().collect::<Vec<_>>()));
    drop(nobody);
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_reads_the_event_from_its_standard_input() {
    let _alone = alone().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("told");
    let command =
        format!("{{ name: log, on: [rollout.ended], command: [sh, -c, \"cat >> {0}; echo >> {0}\"] }}", file.display());
    let stage = Stage::set(&production(&command)).await;
    let (rollout, code) = stage.release("1.1.0", &[("SMOKE_FAIL", "1")], &[]).await;
    assert_ne!(code, 0, "{rollout:#}");
    let lines = until("both ends are told", async || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (lines.len() == 2).then_some(lines)
    })
    .await
    .expect("two lines");
    let outcomes: Vec<&str> = lines.iter().filter_map(|l| l["data"]["evidence"]["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["succeeded", rollout["outcome"].as_str().unwrap_or_default()]);
    stage.strike().await;
}

fn says(answer: &str) -> Manner {
    Manner::Status(200, format!("{{\"answer\": \"{answer}\", \"reason\": \"the board met\"}}"))
}

/// How many requests asked something.
fn questions(hearer: &Hearer) -> Vec<Received> {
    hearer
        .received()
        .into_iter()
        .filter(|r| r.json()["type"].as_str().unwrap_or("").starts_with("slipway.ask."))
        .collect()
}

async fn waits(stage: &Stage, id: &str, on: &str) {
    until(&format!("{id} waits on {on}"), async || {
        let now = stage.rollout(id).await;
        now["waiting"]["on"].as_str().is_some_and(|text| text.contains(on)).then_some(())
    })
    .await
    .unwrap_or_else(|e| panic!("{e}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_is_asked_decides_whether_users_move() {
    let _alone = alone().await;
    let (board, secret) = (Hearer::start(says("go")).await.expect("a receiver"), secret());
    let hook = webhook("board", &board.url(), &secret, "before: promotion, timeout: 10m");
    let mut stage = Stage::set(&production(&hook)).await;
    let page = Page::open(PAGE);
    let asked = questions(&board);
    let ids: BTreeSet<&str> = asked.iter().map(|question| question.header("webhook-id")).collect();
    assert_eq!(ids.len(), 1, "{asked:?}");
    assert!(is_signed(&asked[0]));
    let question = asked[0].json();
    assert_eq!((&question["type"], &question["data"]["rollout"]), (&"slipway.ask.promotion".into(), &"ro-1".into()));
    assert_eq!((&question["data"]["version"], &question["data"]["weight_bp"]), (&"1.0.0".into(), &10_000.into()));

    // Hold asks a person, who has it asked again.
    board.answer(says("hold"));
    let id = stage.begin("1.1.0", &[], &[]).await;
    waits(&stage, &id, "hook board says hold: the board met").await;
    assert_eq!(stage.given("1.1.0"), 0, "no user has met it");
    board.answer(says("go"));
    page.run(&stage.slipway, "slipway resume shop --env production", None).await.expect(0).expect("it goes on");
    assert_eq!(stage.outcome(&id).await["outcome"], "succeeded");
    let told = stage.slipway.cli(&["explain", &id]).await.expect("it runs").expect(0).expect("an explanation");
    assert!(told.stdout.contains("hook board says hold: the board met"), "{told}");
    assert!(told.stdout.contains("hook board says go: the board met"), "{told}");

    // Stop takes it back before anybody has met it, in the hook's name.
    board.answer(says("stop"));
    let (rollout, code) = stage.release("1.2.0", &[], &[]).await;
    assert_eq!((code, &rollout["outcome"]), (10, &"rolled_back".into()), "{rollout:#}");
    assert_eq!(stage.given("1.2.0"), 0, "no user has met it");
    let journal = stage.slipway.get("/journal?limit=1000&kind=decided.undo").await.expect("a journal");
    assert_eq!(journal[0]["actor"], "hook:board");

    // Killed in the middle of the question, it is asked under the same id again and takes the answer.
    board.answer(Manner::Status(503, String::new()));
    let before = questions(&board).len();
    let id = stage.begin("1.3.0", &[], &[]).await;
    waits(&stage, &id, "an answer of board").await;
    until("it was asked", async || (questions(&board).len() > before).then_some(())).await.expect("a question");
    stage.slipway.kill_control_plane().await.expect("it is killed");
    board.answer(says("go"));
    stage.slipway.restart().await.expect("it starts again");
    assert_eq!(stage.outcome(&id).await["outcome"], "succeeded");
    let mut ids: Vec<String> = questions(&board)[before..].iter().map(|q| q.header("webhook-id").to_string()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1, "one question, however often it was asked");

    // Nobody is asked on the way back.
    let before = questions(&board).len();
    board.answer(says("stop"));
    stage.say("rollback", &[]).await.expect(0).expect("it goes back");
    assert_eq!(questions(&board).len(), before);
    assert_eq!(stage.stable().await, "1.1.0");
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_and_nonsense_mean_what_is_declared() {
    let _alone = alone().await;
    let secret = secret();
    let elsewhere = Hearer::start(says("go")).await.expect("a receiver");
    let hearer = Hearer::start(says("go")).await.expect("a receiver");
    let declared = |on_silence: &str, timeout: &str| {
        let more = format!("before: step, timeout: {timeout}, on_silence: {on_silence}");
        production(&webhook("board", &hearer.url(), &secret, &more))
    };
    let stage = Stage::set(&declared("hold", "30s")).await;
    let page = Page::open(PAGE);
    // Whoever answers, if with nonsense, is asked a fourth time after three and a half seconds, and has as long again to answer.
    for (version, manner, timeout, why) in [
        ("1.1.0", Manner::Silent, "700ms", "nothing came within 700ms"),
        ("1.1.1", Manner::Redirect(elsewhere.url()), "7s", "it redirects (302 Found)"),
        ("1.1.2", Manner::Status(200, "<html>go</html>".to_string()), "7s", "which is no"),
        ("1.1.3", Manner::Garbage, "7s", "it does not speak HTTP"),
    ] {
        stage.slipway.declare(&format!("production: {}", declared("hold", timeout))).expect("a declared file");
        hearer.answer(manner);
        let ask = async |version: &str| {
            let id = stage.begin(version, &[], &[]).await;
            waits(&stage, &id, "hook board does not answer, which means hold").await;
            let now = stage.rollout(&id).await;
            (id, now)
        };
        let (mut id, mut now) = ask(version).await;
        for again in 1..=4 {
            if !now["waiting"]["on"].as_str().is_some_and(|on| on.contains("nothing was heard of it")) {
                break;
            }
            // The machine stood still: who waits gave up before who asked could tell. Asked again, it is told.
            stage.say("abort", &[]).await.expect(0).expect("it is withdrawn");
            assert_eq!(stage.outcome(&id).await["outcome"], "rolled_back");
            (id, now) = ask(&format!("{version}-again-{again}")).await;
        }
        assert!(now["waiting"]["on"].as_str().is_some_and(|on| on.contains(why)), "{why}: {now:#}");
        assert_eq!(stage.given(version), 0, "no user has met it");
        page.run(&stage.slipway, "slipway abort shop --env production", None).await.expect(0).expect("it is withdrawn");
        assert_eq!(stage.outcome(&id).await["outcome"], "rolled_back");
    }
    assert!(elsewhere.received().is_empty(), "nobody follows a redirect");

    // A person answers in its place.
    stage.slipway.declare(&format!("production: {}", declared("hold", "700ms"))).expect("a declared file");
    hearer.answer(Manner::Silent);
    let id = stage.begin("1.2.0", &[], &[]).await;
    waits(&stage, &id, "which means hold").await;
    page.run(&stage.slipway, "slipway promote shop --env production", None).await.expect(0).expect("it goes on");
    assert_eq!(stage.outcome(&id).await["outcome"], "succeeded");

    stage.slipway.declare(&format!("production: {}", declared("go", "700ms"))).expect("a declared file");
    let (rollout, code) = stage.release("1.3.0", &[], &[]).await;
    assert_eq!((code, &rollout["outcome"]), (0, &"succeeded".into()), "{rollout:#}");
    stage.slipway.declare(&format!("production: {}", declared("stop", "700ms"))).expect("a declared file");
    let (rollout, code) = stage.release("1.4.0", &[], &[]).await;
    assert_eq!((code, &rollout["outcome"]), (10, &"rolled_back".into()), "{rollout:#}");
    assert!(rollout["cause"].as_str().is_some_and(|cause| cause.contains("which means stop")), "{rollout:#}");
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_no_service_is_told_to_the_hooks_of_environments() {
    let _alone = alone().await;
    let (audit, secret) = (Hearer::start(ok()).await.expect("a receiver"), secret());
    let mut slipway = Slipway::start(Options::default()).await.expect("Slipway starts");
    let apply = async |slipway: &Slipway, environment: &str, hooks: &str| {
        let text = format!("environment: {environment}\nhooks: [{hooks}]\nservices: {{}}\n");
        std::fs::write(slipway.scratch().join("env.yaml"), text).expect("a file");
        slipway.cli(&["env", "apply", "-f", "env.yaml"]).await.expect("it runs").expect(0).expect("it is applied");
    };
    let heard = || -> Vec<(String, Value, Value)> {
        let events = audit.received().into_iter().map(|request| (is_signed(&request), request.json()));
        let kept = events.map(|(signed, event)| {
            assert!(signed && event["source"] == "/slipway" && event["data"]["service"].is_null(), "{event:#}");
            let data = &event["data"];
            (data["kind"].as_str().unwrap_or_default().to_string(), data["environment"].clone(), data["actor"].clone())
        });
        kept.collect()
    };
    let hook = webhook("audit", &audit.url(), &secret, "on: [\"token.*\", \"environment.*\"]");
    apply(&slipway, "production", &hook).await;
    apply(&slipway, "staging", "").await;
    slipway.kill_control_plane().await.expect("it is killed");
    slipway.restart().await.expect("it starts again");
    slipway.cli(&["token", "create", "dave", "--may", "rollback"]).await.expect("it runs").expect(0).expect("a token");
    let shown = Page::open(PAGE).run(&slipway, "slipway hooks --env production", None).await.expect(0).expect("hooks");
    assert!(shown.stdout.contains("told of token.*, environment.*"), "{shown}");
    apply(&slipway, "production", "").await;
    // It may be told of something once more where the control plane was killed before it was noted.
    let once = || {
        let mut once = heard();
        once.dedup();
        once
    };
    until("it heard of everything, and last that it hears no more", async || (once().len() >= 3).then_some(()))
        .await
        .unwrap_or_else(|e| panic!("{e}: {:?}", heard()));
    let by = |kind: &str, environment: Value| (kind.to_string(), environment, Value::from("user:first"));
    let applied = || by("environment.applied", "production".into());
    assert_eq!(once(), [applied(), by("token.created", Value::Null), applied()], "nothing of staging's");
    let gone = async || {
        let hooks = slipway.get("/environments/production/hooks").await.ok()?;
        hooks.as_array()?.is_empty().then_some(())
    };
    until("it is forgotten", gone).await.expect("nobody is told");
}

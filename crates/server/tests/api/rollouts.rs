//! A service through the API: released, looked at, told what to do, rolled back; and what is streamed meanwhile.

use std::time::Duration;

use crate::common::{Api, PATIENCE, read};
use reqwest::Method;
use serde_json::{Value, json};

fn ended(rollout: &Value) -> bool {
    rollout["state"] == "ended"
}

#[tokio::test]
async fn a_release_and_the_way_back_from_start_to_end() {
    let api = Api::start().await;
    let (status, plan) = api.post("/plans", api.release("1.0.0", "quick").await).await;
    assert_eq!((status, plan["version"].as_str()), (200, Some("1.0.0")), "{plan}");
    assert_eq!(api.get("/services").await, json!([]), "a plan begins nothing");

    for (version, id) in [("1.0.0", "ro-1"), ("1.1.0", "ro-2")] {
        let (status, begun) = api.post("/releases", api.release(version, "quick").await).await;
        assert_eq!((status, begun["rollout"].as_str()), (201, Some(id)), "{begun}");
        let rollout = api.rollout_until(id, "it ended", ended).await;
        assert_eq!(rollout["outcome"], "succeeded", "{rollout}");
        for key in ["service", "environment", "strategy", "cause"] {
            assert!(rollout[key].is_string(), "{key}: {rollout}");
        }
        for key in ["deploy_ms", "exposed_requests", "failed_requests"] {
            assert!(rollout[key].is_u64(), "{key}: {rollout}");
        }
        assert!(rollout["steps"].as_array().unwrap().iter().all(|s| s["state"] == "done" && s["report"].is_string()));
    }

    let lanes = api.get("/services").await;
    let lane = &lanes[0];
    assert_eq!((lane["service"].as_str(), lane["environment"].as_str()), (Some("shop"), Some("quick")));
    assert_eq!(lane["stable"]["version"], "1.1.0");
    assert_eq!((&lane["stable"]["ready"], &lane["stable"]["desired"]), (&json!(1), &json!(1)));
    assert_eq!(lane["split"], json!([{ "version": "1.1.0", "weight_bp": 10_000, "measured_bp": null }]));
    assert_eq!((&lane["candidate"], &lane["rollout"]), (&Value::Null, &Value::Null));
    let instance = &lane["stable"]["instances"][0];
    assert!(instance["pid"].is_u64() && instance["address"].is_string() && instance["state"] == "ready", "{instance}");

    let (status, back) = api.post("/services/shop/environments/quick/rollback", json!({})).await;
    assert_eq!((status, back["kind"].as_str(), back["version"].as_str()), (200, Some("rollback"), Some("1.0.0")));
    let back = api.rollout_until("ro-3", "it ended", ended).await;
    assert_eq!(back["outcome"], "succeeded", "{back}");
    let (status, problem) = api.post("/services/shop/environments/quick/rollback", json!({})).await;
    assert_eq!((status, problem["code"].as_str()), (409, Some("no_rollback_of_a_rollback")), "{problem}");

    let history = api.get("/services/shop/history").await;
    let ids: Vec<&str> = history.as_array().unwrap().iter().filter_map(|r| r["rollout"].as_str()).collect();
    assert_eq!(ids, ["ro-3", "ro-2", "ro-1"]);
    assert!(history[1]["deploy_wall_ms"].as_u64() >= history[1]["deploy_ms"].as_u64(), "{history}");
    let samples = api.get("/rollouts/ro-2/samples").await;
    let (first, last) = (&samples[0], &samples.as_array().unwrap().last().unwrap());
    assert_eq!((&first["state"], &first["weight_bp"]), (&json!("running"), &json!(0)), "{samples}");
    assert_eq!((&last["state"], &last["weight_bp"]), (&json!("ended"), &json!(10_000)), "{samples}");
    let explained = api.get("/rollouts/ro-2/explanation").await;
    assert_eq!(explained["actor"], "user:tester");
    let judgements = explained["decisions"][0]["judgements"].as_array().unwrap();
    for key in ["objective", "verdict", "n", "bad", "lower", "upper", "stable", "sentence"] {
        assert!(judgements[0].get(key).is_some(), "{key}: {explained}");
    }
    let verified = api.post("/journal/verification", json!({})).await;
    assert_eq!((verified.0, &verified.1["ok"]), (200, &json!(true)), "{verified:?}");
}

#[tokio::test]
async fn people_pause_resume_and_abort_and_two_releases_never_run_at_once() {
    let api = Api::start().await;
    api.post("/releases", api.release("1.0.0", "careful").await).await;
    // The first release has nobody to compare with: it only has to be verified, which takes longer than a test should.
    let running = |r: &Value| r["steps"].as_array().unwrap().iter().any(|s| s["state"] == "waiting");
    api.rollout_until("ro-1", "it is being verified", running).await;
    let (_, second) = api.post("/releases", api.release("1.1.0", "careful").await).await;
    assert_eq!((second["state"].as_str(), second["outcome"].as_str()), (Some("queued"), None), "{second}");
    assert_eq!(second["waiting"]["on"], "ro-1 to end");
    assert_eq!(api.get("/services/shop").await[0]["queue"], json!(["ro-2"]));

    let tell = |word: &'static str| {
        let path = format!("/services/shop/environments/careful/{word}");
        let api = &api;
        async move { read(api.ask(Method::POST, &path).send().await.unwrap()).await }
    };
    let (status, paused) = tell("pause").await;
    assert_eq!((status, paused["rollout"].as_str(), paused["state"].as_str()), (200, Some("ro-1"), Some("paused")));
    assert_eq!(tell("pause").await.1["code"], "already_paused");
    assert_eq!(tell("resume").await.1["state"], "running");
    assert_eq!(tell("resume").await.1["code"], "not_paused");
    api.post("/releases", api.release("1.2.0", "careful").await).await;
    let (status, third) = tell("abort?rollout=ro-3").await;
    assert_eq!((status, third["rollout"].as_str(), third["outcome"].as_str()), (200, Some("ro-3"), Some("blocked")));
    assert_eq!(tell("abort?rollout=ro-3").await.1["code"], "not_waiting");
    assert_eq!(api.get("/services/shop").await[0]["queue"], json!(["ro-2"]), "what is not meant stays");
    assert_eq!(tell("abort").await.0, 200);
    let aborted = api.rollout_until("ro-1", "it ended", ended).await;
    assert_eq!(aborted["outcome"], "failed", "there was nothing to go back to: {aborted}");
    api.rollout_until("ro-2", "the second has begun", |r| r["state"] == "running").await;
}

#[tokio::test]
async fn the_same_key_is_one_release_however_often_and_however_soon_it_comes() {
    let api = Api::start().await;
    let body = api.release("1.0.0", "quick").await;
    let ask = |body: &Value| api.ask(Method::POST, "/releases").header("idempotency-key", "k1").json(body).send();
    let answers = futures_util::future::join_all((0..5).map(|_| ask(&body))).await;
    for answer in answers {
        let (status, rollout) = read(answer.unwrap()).await;
        assert_eq!((status, rollout["rollout"].as_str()), (201, Some("ro-1")), "{rollout}");
    }
    let again = ask(&body).await.unwrap();
    assert_eq!(again.headers()["idempotent-replayed"], "true");

    let other = api.release("1.1.0", "quick").await;
    let (status, problem) = read(ask(&other).await.unwrap()).await;
    assert_eq!((status, problem["code"].as_str()), (422, Some("idempotency_key_reused")));
    assert_eq!(asked(&api).await, 1);
}

#[tokio::test]
async fn an_act_whose_answer_was_never_noted_is_still_known_by_its_key() {
    let api = Api::start().await;
    let ask = |path: &'static str, key: &'static str| api.ask(Method::POST, path).header("idempotency-key", key);
    let body = api.release("1.0.0", "careful").await;
    assert_eq!(read(ask("/releases", "k1").json(&body).send().await.unwrap()).await.0, 201);
    // As if the control plane had been killed after the act and before the note: old answers are forgotten.
    let answer = slipway_store::Remembered { status: 200, body: String::new() };
    let later = slipway_core::units::Timestamp(u64::MAX >> 1);
    api.store.remember("another", "another", &answer, later).await.unwrap();
    let again = ask("/releases", "k1").json(&body).send().await.unwrap();
    assert!(again.headers().get("idempotent-replayed").is_none(), "it was not answered from memory");
    let (status, rollout) = read(again).await;
    assert_eq!((status, rollout["rollout"].as_str(), asked(&api).await), (201, Some("ro-1"), 1));
}

/// How many releases were ever asked for.
async fn asked(api: &Api) -> usize {
    api.get("/journal?kind=rollout.asked").await.as_array().unwrap().len()
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_half_remembered() {
    let api = Api::start().await;
    let body = api.release("1.0.0", "quick").await;
    let ask = || api.ask(Method::POST, "/releases").header("idempotency-key", "k1").json(&body);
    // However far the request got before its client went away, asking again must not make a second release.
    for micros in [200, 500, 1000, 2000, 5000, 10_000] {
        let _ = tokio::time::timeout(Duration::from_micros(micros), ask().send()).await;
    }
    let (status, rollout) = read(ask().send().await.unwrap()).await;
    assert_eq!((status, rollout["rollout"].as_str()), (201, Some("ro-1")));
    assert_eq!(asked(&api).await, 1);
}

#[tokio::test]
async fn events_go_on_where_a_client_left_off() {
    let api = Api::start().await;
    api.post("/releases", api.release("1.0.0", "quick").await).await;
    api.rollout_until("ro-1", "it ended", ended).await;
    let head = api.store.journal_head();
    let all = events(api.ask(Method::GET, "/events").header("last-event-id", "0"), head as usize).await;
    let seqs: Vec<u64> = all.iter().map(|(id, _)| *id).collect();
    assert_eq!(seqs, (1..=head).collect::<Vec<_>>(), "each once, in order");
    assert_eq!(all[0].1["seq"], 1);
    let rest = events(api.ask(Method::GET, "/events").header("last-event-id", "3"), 2).await;
    assert_eq!(rest.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [4, 5]);

    let mine = api.ask(Method::GET, "/events?service=shop&kind=rollout");
    let waiting = tokio::spawn(events(mine.header("last-event-id", head.to_string()), 1));
    api.post("/releases", api.release("1.1.0", "quick").await).await;
    assert_eq!(waiting.await.unwrap()[0].1["kind"], "rollout.asked", "what happens now comes by itself");

    let mut open = api.ask(Method::GET, "/events").send().await.unwrap();
    drop(api.farewells);
    let end = async { while open.chunk().await.is_ok_and(|chunk| chunk.is_some()) {} };
    tokio::time::timeout(PATIENCE, end).await.expect("the stream ends with the control plane");
}

/// The next so many events: number and entry.
async fn events(request: reqwest::RequestBuilder, wanted: usize) -> Vec<(u64, Value)> {
    let mut stream = request.send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let (mut text, mut found) = (String::new(), Vec::new());
    while found.len() < wanted {
        let chunk = tokio::time::timeout(PATIENCE, stream.chunk()).await.expect("an event comes");
        text += std::str::from_utf8(&chunk.unwrap().expect("the stream goes on")).unwrap();
        while let Some((event, rest)) = text.split_once("\n\n") {
            let field = |name: &str| event.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
            if let (Some(id), Some(data)) = (field("id:"), field("data:")) {
                found.push((id.parse().unwrap(), serde_json::from_str(data).unwrap()));
            }
            text = rest.to_string();
        }
    }
    found
}

#[tokio::test]
async fn down_is_passed_on_and_health_needs_nothing() {
    let mut api = Api::start().await;
    let health = api.http.get(format!("{}/healthz", api.url)).send().await.unwrap();
    assert_eq!(read(health).await, (200, json!({ "ok": true })));
    let (status, answer) = api.post("/down", json!({})).await;
    assert_eq!((status, answer["pid"].as_u64()), (202, Some(u64::from(std::process::id()))));
    assert_eq!(api.farewells.recv().await, Some(slipway_server::Farewell));
}

//! What is refused, and how: always a problem with a code, never plain text, never half done.

use crate::common::{Api, FILE, TOKEN, read};
use reqwest::Method;
use serde_json::{Value, json};

fn is_problem(answer: &reqwest::Response) -> bool {
    answer.headers().get("content-type").is_some_and(|v| v == "application/problem+json")
}

/// Sends it and gives status and problem.
async fn refused(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    assert!(is_problem(&answer), "{} is no problem: {:?}", answer.url(), answer.headers());
    let (status, problem) = read(answer).await;
    assert_eq!(problem["status"], status);
    assert_eq!(problem["type"], format!("urn:slipway:problem:{}", problem["code"].as_str().unwrap()));
    assert!(problem["title"].is_string() && problem["detail"].is_string());
    (status, problem)
}

#[tokio::test]
async fn nobody_gets_in_without_a_token() {
    let api = Api::start().await;
    for value in [None, Some("Bearer wrong"), Some("Basic YTpi"), Some("Bearer"), Some("")] {
        let mut request = api.http.get(format!("{}/services", api.url));
        if let Some(value) = value {
            request = request.header("authorization", value);
        }
        let (status, problem) = refused(request).await;
        assert_eq!((status, problem["code"].as_str()), (401, Some("unauthorized")), "{value:?}");
    }
    let lower = api.http.get(format!("{}/services", api.url)).header("authorization", format!("bearer {}", TOKEN));
    assert_eq!(lower.send().await.unwrap().status(), 200, "the scheme's name has no case");
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_taken_are_problems() {
    let api = Api::start().await;
    let cases = [
        (Method::GET, "/nonsense", 404, "not_found"),
        (Method::DELETE, "/services", 405, "method_not_allowed"),
        (Method::GET, "/services/unknown", 404, "not_found"),
        (Method::GET, "/rollouts/ro-99", 404, "not_found"),
        (Method::GET, "/rollouts/ro-99/explanation", 404, "not_found"),
        (Method::GET, "/rollouts/..%2F", 400, "bad_request"),
        (Method::GET, "/rollouts/%FF", 400, "bad_request"),
        (Method::GET, "/journal?nonsense=1", 400, "bad_query"),
        (Method::GET, "/logs?service=unknown", 404, "not_found"),
        (Method::POST, "/services/shop/environments/quick/pause", 404, "not_found"),
        (Method::POST, "/services/shop/environments/quick/abort?force=why", 404, "not_found"),
        (Method::POST, "/services/shop/environments/quick/abort?force=%20", 400, "bad_request"),
        (Method::POST, "/services/shop/environments/quick/abort?forced=why", 400, "bad_query"),
        (Method::POST, "/services/shop/environments/quick/abort?rollout=a%20b", 400, "bad_request"),
    ];
    for (method, path, status, code) in cases {
        let (found, problem) = refused(api.ask(method.clone(), path)).await;
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{method} {path}: {problem}");
    }
}

#[tokio::test]
async fn what_is_above_the_api_is_a_problem_too() {
    let api = Api::start().await;
    for path in ["/api", "/api/"] {
        let (status, problem) = refused(api.http.post(api.url.replace("/api/v1", path))).await;
        assert_eq!((status, problem["code"].as_str()), (404, Some("not_found")), "{path}: {problem}");
    }
}

#[tokio::test]
async fn bodies_are_read_strictly() {
    let api = Api::start().await;
    let mut body = api.release("1.0.0", "quick").await;
    body["supercede"] = json!(true);
    let (status, problem) = refused(api.ask(Method::POST, "/releases").json(&body)).await;
    assert_eq!((status, problem["code"].as_str()), (400, Some("bad_body")));
    assert!(problem["detail"].as_str().unwrap().contains("supercede"), "{problem}");

    let text = api.ask(Method::POST, "/releases").header("content-type", "application/json").body("{");
    assert_eq!(refused(text).await.0, 400);
    let plain = api.ask(Method::POST, "/releases").body("file");
    assert_eq!(refused(plain).await.0, 415);
    let large = api.ask(Method::POST, "/check").body(vec![b' '; 3 << 20]);
    assert_eq!(refused(large).await.0, 413);
    let binary = api.ask(Method::POST, "/check").body(vec![0xff, 0xfe]);
    assert_eq!(refused(binary).await.0, 400);
}

#[tokio::test]
async fn mistakes_of_a_file_come_all_at_once_with_their_places() {
    let api = Api::start().await;
    let bad = FILE.replace("health:", "heatlh:").replace("at_most: 1%", "at_most: 101%");
    let (status, problem) = refused(api.ask(Method::POST, "/check").body(bad.clone())).await;
    assert_eq!((status, problem["code"].as_str()), (422, Some("mistakes")));
    let mistakes = problem["mistakes"].as_array().unwrap();
    assert!(mistakes.len() >= 2, "{problem}");
    assert!(mistakes.iter().all(|m| m["line"].as_u64() > Some(0) && m["column"].as_u64() > Some(0)), "{problem}");

    let mut body = api.release("1.0.0", "quick").await;
    body["file"] = json!(bad);
    assert_eq!(refused(api.ask(Method::POST, "/releases").json(&body)).await.1["mistakes"], problem["mistakes"]);
    assert_eq!(api.get("/services").await, json!([]), "nothing was begun");
}

#[tokio::test]
async fn a_release_that_cannot_work_is_refused_before_anything_happens() {
    let api = Api::start().await;
    let good = api.release("1.0.0", "quick").await;
    let with = |key: &str, value: Value| {
        let mut body = good.clone();
        body[key] = value;
        body
    };
    let cases = [
        (with("environment", json!("moon")), 422, "unknown_environment"),
        (with("strategy", json!("yolo")), 422, "unknown_strategy"),
        (with("artifact", Value::Null), 422, "unknown_version"),
        (with("artifact", json!(format!("sha256:{}", "0".repeat(64)))), 422, "unknown_artifact"),
        (with("artifact", json!("sha256:short")), 400, "bad_body"),
        (with("version", json!("../1")), 400, "bad_body"),
        (with("file", Value::Null), 404, "not_found"),
    ];
    for (body, status, code) in cases {
        let (found, problem) = refused(api.ask(Method::POST, "/releases").json(&body)).await;
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{body}: {problem}");
    }
    assert_eq!(api.get("/services").await, json!([]));
}

#[tokio::test]
async fn an_upload_that_is_refused_at_once_is_told_why_all_the_same() {
    let api = Api::start().await;
    // Far more than fits into the buffers between the two: the server has refused it long before all of it is sent.
    let body = vec![0u8; 32 << 20];
    let answer = api.ask(Method::PUT, "/artifacts/sha256:short").body(body).send().await.expect("an answer");
    assert_eq!(read(answer).await.0, 400);
}

#[tokio::test]
async fn an_artifact_is_kept_only_if_it_is_what_was_announced() {
    let api = Api::start().await;
    let digest = slipway_core::names::Digest::of(b"the build").to_string();
    let path = format!("/artifacts/{digest}");
    let there = || async { api.ask(Method::HEAD, &path).send().await.unwrap().status().as_u16() };
    assert_eq!(there().await, 404);
    let (status, problem) = refused(api.ask(Method::PUT, &path).body("another build")).await;
    assert_eq!((status, problem["code"].as_str()), (422, Some("wrong_digest")));
    assert_eq!(there().await, 404, "nothing was kept");
    let put = || api.ask(Method::PUT, &path).body("the build").send();
    assert_eq!(read(put().await.unwrap()).await, (201, json!({ "digest": digest, "size": 9 })));
    assert_eq!(put().await.unwrap().status(), 200, "again is no harm");
    assert_eq!(there().await, 200);
    assert_eq!(refused(api.ask(Method::PUT, "/artifacts/nonsense").body("x")).await.0, 400);
}

#[tokio::test]
async fn what_is_wrong_with_one_outcome_costs_the_others_nothing() {
    let api = Api::start().await;
    api.post("/releases", api.release("1.0.0", "quick").await).await;
    api.rollout_until("ro-1", "it ended", |r| r["state"] == "ended").await;
    let good =
        json!({ "service": "shop", "environment": "quick", "kind": "order_failed", "version": "1.0.0", "id": "a" });
    let with = |field: &str, value: Value| {
        let mut bad = good.clone();
        bad[field] = value;
        bad
    };
    let bad = [with("at", json!(-5)), with("at", json!(1.5)), with("id", Value::Null), json!(7)];
    let batch = [vec![good.clone()], bad.to_vec()].concat();
    let (status, came) = api.post("/outcomes", json!({ "outcomes": batch })).await;
    assert_eq!((status, &came["taken"]), (200, &json!(1)), "{came}");
    let refused = came["refused"].as_array().unwrap();
    assert_eq!(refused.iter().map(|r| r["index"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(
        refused.iter().all(|r| r["code"] == "malformed" && r["why"].as_str().unwrap().contains("milliseconds")),
        "{came}"
    );
}

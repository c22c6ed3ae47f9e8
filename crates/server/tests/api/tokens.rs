//! Tokens: made, used, revoked; and what one may not do.

use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Api, ONLOOKER, read};

async fn with(api: &Api, token: &str, method: Method, path: &str, body: Value) -> (u16, Value) {
    let request = api.http.request(method, format!("{}{path}", api.url)).bearer_auth(token).json(&body);
    read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn a_token_may_do_what_it_was_made_for_until_it_is_revoked() {
    let api = Api::start().await;
    let (status, made) = api.post("/tokens", json!({ "name": "alice", "may": ["release"] })).await;
    assert_eq!((status, &made["may"]), (201, &json!(["release"])), "{made}");
    let token = made["token"].as_str().unwrap().to_string();
    let (status, problem) = api.post("/tokens", json!({ "name": "alice" })).await;
    assert_eq!((status, problem["code"].as_str()), (409, Some("token_exists")));

    let release = api.release("1.0.0", "quick").await;
    let (status, begun) = with(&api, &token, Method::POST, "/releases", release.clone()).await;
    assert_eq!(status, 201, "{begun}");
    let (status, problem) =
        with(&api, &token, Method::POST, "/services/shop/environments/quick/rollback", json!({})).await;
    assert_eq!((status, problem["code"].as_str()), (403, Some("forbidden")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("user:alice may not rollback: the token may release"));
    let mut overriding = release;
    overriding["override"] = json!("because");
    let (status, problem) = with(&api, &token, Method::POST, "/releases", overriding).await;
    assert_eq!(status, 403, "passing a gate is a right of its own: {problem}");

    let text = api.get("/tokens").await.to_string() + &api.get("/journal").await.to_string();
    assert!(text.contains("alice") && !text.contains(&token), "the text of a token is told once: {text}");
    let revoked = api.ask(Method::DELETE, "/tokens/alice").send().await.unwrap();
    assert_eq!(revoked.status().as_u16(), 200);
    assert_eq!(with(&api, &token, Method::GET, "/services", json!({})).await.0, 401);
    assert_eq!(api.ask(Method::DELETE, "/tokens/alice").send().await.unwrap().status().as_u16(), 404);
}

#[tokio::test]
async fn nobody_makes_tokens_without_the_right_nor_with_names_and_rights_that_are_none() {
    let api = Api::start().await;
    let (status, _) = with(&api, ONLOOKER, Method::POST, "/tokens", json!({ "name": "eve", "may": ["admin"] })).await;
    assert_eq!(status, 403);
    for bad in [json!({ "name": "" }), json!({ "name": "a b" }), json!({ "name": "a", "may": ["fly"] })] {
        let (status, problem) = api.post("/tokens", bad.clone()).await;
        assert_eq!(status, 400, "{bad}: {problem}");
    }
    let first = api.ask(Method::DELETE, "/tokens/first").send().await.unwrap();
    let (status, problem) = read(first).await;
    assert_eq!(status, 400, "it would be back at the next start: {problem}");
    assert!(problem["detail"].as_str().unwrap().contains("file `token`"), "{problem}");
    let (status, made) = api.post("/tokens", json!({ "name": "bob" })).await;
    assert_eq!((status, &made["may"]), (201, &json!(["release", "rollback", "operate", "approve"])), "the usual");
}

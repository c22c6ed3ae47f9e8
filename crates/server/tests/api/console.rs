//! The console as a browser without script meets it: who may see and press what, and what is refused.

use crate::browser::Browser;
use crate::common::{Api, ONLOOKER, PATIENCE, TOKEN};
use reqwest::Method;
use reqwest::header::{COOKIE, LOCATION};

/// What each page and button needs. In the order of the map.
const MAP: &str = include_str!("golden/console.txt");

#[tokio::test]
async fn every_page_and_button_needs_what_the_list_says() {
    let api = Api::start().await;
    let (nobody, onlooker) = (Browser::new(&api), Browser::signed_in(&api, ONLOOKER).await);
    let mut found = String::new();
    for (method, path, declared) in slipway_server::console_map() {
        let at = path.replace(['{', '}'], "");
        let without = match method {
            "GET" => nobody.get(&at).await,
            _ => nobody.post(&at, &[("token", "wrong")]).await,
        };
        let to_sign_in =
            without.headers().get(LOCATION).is_some_and(|to| to.to_str().unwrap().starts_with("/sign-in?"));
        let needs = match (without.status().as_u16(), to_sign_in, method) {
            (303, true, "GET") | (401, _, "POST") if path != "/sign-in" => match method {
                "POST" => {
                    let (status, text) = (onlooker.press(&at).await, "may not ");
                    match status.status().as_u16() {
                        403 => {
                            let page = status.text().await.unwrap();
                            let right = page.split(text).nth(1).and_then(|rest| rest.split(':').next()).unwrap();
                            format!("session that may {right}")
                        }
                        _ => "session".to_string(),
                    }
                }
                _ => "session".to_string(),
            },
            _ => "nothing".to_string(),
        };
        assert_eq!(needs, declared, "{method} {path}");
        found += &format!("{method} {path} needs {needs}\n");
    }
    assert_eq!(found, MAP, "the console has changed; if it should, change tests/api/golden/console.txt");
}

#[tokio::test]
async fn a_form_that_is_not_ours_does_nothing() {
    let api = Api::start().await;
    let browser = Browser::signed_in(&api, TOKEN).await;
    let (_, begun) = api.post("/releases", api.release("1.0.0", "careful").await).await;
    let id = begun["rollout"].as_str().unwrap();
    let pause = format!("/rollouts/{id}/pause");
    for fields in [vec![], vec![("csrf", "")], vec![("csrf", "0123")]] {
        let answer = browser.post(&pause, &fields).await;
        assert_eq!(answer.status().as_u16(), 403);
        assert!(answer.text().await.unwrap().contains("foreign_form"));
    }
    for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        let form = format!("csrf={}", browser.csrf);
        let request = browser.http.post(browser.url(&pause)).header(COOKIE, &browser.cookie).header(name, value);
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        assert_eq!(request.send().await.unwrap().status().as_u16(), 403, "{name}");
    }
    assert_ne!(api.get(&format!("/rollouts/{id}")).await["state"], "paused");
    let pressed = browser.press(&pause).await;
    assert_eq!(
        (pressed.status().as_u16(), pressed.headers()[LOCATION].to_str().unwrap()),
        (303, &*format!("/rollouts/{id}"))
    );
    assert_eq!(api.get(&format!("/rollouts/{id}")).await["state"], "paused");
    let entries = api.get("/journal?kind=rollout.paused").await;
    assert_eq!(entries[0]["actor"], "user:tester", "whoever pressed it is named: {entries}");
}

#[tokio::test]
async fn a_session_ends_with_its_token_and_by_signing_out() {
    let api = Api::start().await;
    let (leaving, revoked) = (Browser::signed_in(&api, TOKEN).await, Browser::signed_in(&api, ONLOOKER).await);
    assert_eq!(leaving.press("/sign-out").await.status().as_u16(), 303);
    assert_eq!(leaving.get("/").await.status().as_u16(), 303, "signed out");
    assert_eq!(revoked.get("/").await.status().as_u16(), 200);
    let mut stream = revoked.get("/live?topics=lanes").await;
    let hello = stream.chunk().await.unwrap().expect("it listens");
    assert!(hello.starts_with(b"event: listening"), "{hello:?}");
    assert!(api.ask(Method::DELETE, "/tokens/onlooker").send().await.unwrap().status().is_success());
    assert_eq!(revoked.get("/").await.status().as_u16(), 303, "its token is revoked");
    let ends = async { while let Ok(Some(_)) = stream.chunk().await {} };
    tokio::time::timeout(PATIENCE, ends).await.expect("nobody is told who may not look");
    let wrong = revoked.post("/sign-in", &[("token", "wrong")]).await;
    assert_eq!(wrong.status().as_u16(), 401);
    assert!(wrong.text().await.unwrap().contains("role=\"alert\""));
}

#[tokio::test]
async fn signing_in_again_ends_the_session_of_before() {
    let api = Api::start().await;
    let before = Browser::signed_in(&api, TOKEN).await;
    let again = before.post("/sign-in", &[("token", TOKEN)]).await;
    assert_eq!(again.status().as_u16(), 303);
    assert_eq!(before.get("/").await.status().as_u16(), 303, "its cookie is worth nothing any more");
}

#[tokio::test]
async fn what_cannot_be_shown_is_a_page_with_the_way_to_the_others() {
    let api = Api::start().await;
    let browser = Browser::signed_in(&api, TOKEN).await;
    let delete = browser.http.delete(browser.url("/journal")).header(COOKIE, &browser.cookie).send().await.unwrap();
    for (answer, status, said, framed) in [
        (browser.get("/nope").await, 404, "there is no page at /nope", true),
        (browser.get("/rollouts/%FF").await, 400, "bad_request", true),
        (delete, 405, "/journal does not take DELETE", false),
        (browser.post("/sign-in", &[("next", "/")]).await, 422, "the form was not understood", false),
        (Browser::new(&api).get("/nope").await, 404, "there is no page at /nope", false),
    ] {
        assert_eq!(answer.status().as_u16(), status, "{said}");
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/html"), "{said}");
        assert!(answer.headers().contains_key("content-security-policy"), "{said}");
        let text = answer.text().await.unwrap();
        assert!(text.contains(said), "{said:?} is not in {text}");
        assert_eq!(text.contains("Sign out"), framed, "{said}");
    }
    let elsewhere = api.ask(Method::GET, "/nope").send().await.unwrap();
    assert_eq!(elsewhere.status().as_u16(), 404);
    assert_eq!(elsewhere.headers()["content-type"], "application/problem+json", "the API answers in its own words");
}

#[tokio::test]
async fn a_session_listens_with_so_many_pages_and_no_more() {
    let api = Api::start().await;
    let (many, other) = (Browser::signed_in(&api, TOKEN).await, Browser::signed_in(&api, ONLOOKER).await);
    let mut open = Vec::new();
    let refused = loop {
        let answer = many.get("/live?topics=lanes").await;
        if answer.status().as_u16() != 200 {
            break answer;
        }
        open.push(answer);
        assert!(open.len() < 1_000, "there is no end of streams");
    };
    assert_eq!((refused.status().as_u16(), open.len()), (429, 256));
    assert_eq!(other.get("/live?topics=lanes").await.status().as_u16(), 200, "another session is not held up by it");
    drop(open);
    let freed = async { while many.get("/live?topics=lanes").await.status().as_u16() != 200 {} };
    tokio::time::timeout(PATIENCE, freed).await.expect("a stream that ended makes room");
}

#[tokio::test]
async fn a_page_tells_what_the_api_tells_and_its_living_part_only_when_it_changed() {
    let api = Api::start().await;
    let browser = Browser::signed_in(&api, TOKEN).await;
    assert!(browser.get("/").await.text().await.unwrap().contains("Nothing has been released yet"));
    api.post("/releases", api.release("1.0.0", "quick").await).await;
    api.rollout_until("ro-1", "it ended", |r| r["state"] == "ended").await;
    for (path, expected) in [
        ("/", "All calm"),
        ("/services/shop", "ro-1"),
        ("/rollouts/ro-1", "1.0.0 passed every step"),
        ("/rollouts/ro-1?moment=0", "back to now"),
        ("/rollouts/ro-1?moment=", "1.0.0 passed every step"),
        ("/environments", "quick"),
        ("/environments/quick", "Nothing waits"),
        ("/journal?kind=rollout", "rollout.ended"),
    ] {
        let page = browser.get(path).await;
        assert_eq!(page.status().as_u16(), 200, "{path}");
        let text = page.text().await.unwrap();
        assert!(text.contains(expected), "{path} does not say {expected:?}");
        let live = |tag: String| {
            let request = browser.http.get(browser.url(path)).header(COOKIE, &browser.cookie);
            request.header("x-live", "1").header("if-none-match", tag).send()
        };
        let part = live(String::new()).await.unwrap();
        let tag = part.headers()["etag"].to_str().unwrap().to_string();
        let body = part.text().await.unwrap();
        assert!(body.contains("id=\"live\"") && !body.contains("<html"), "{path}");
        assert_eq!(live(tag).await.unwrap().status().as_u16(), 304, "{path} has not changed");
    }
    let lines = browser.get("/journal/export?kind=rollout").await.text().await.unwrap();
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first["kind"], "rollout.ended");
}

//! What keeps the console safe, where it acts: guesses are limited, cookies are secure behind TLS, and what people wrote is
//! text on every page.

use reqwest::Response;
use reqwest::header::{COOKIE, SET_COOKIE};
use serde_json::json;

use crate::browser::Browser;
use crate::common::{Api, FILE, TOKEN};

/// What people may write wherever words are theirs to choose.
const EVIL: &str = "<script>alert('x')</script><img src=x onerror=alert(1)>";

/// What every page brings, whatever it says; its text.
async fn guarded(path: &str, page: Response) -> String {
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_string();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
    assert_eq!(page.headers()["x-content-type-options"], "nosniff", "{path}");
    assert_eq!(page.headers()["cache-control"], "no-store", "{path}");
    let text = page.text().await.unwrap();
    for foreign in ["<script>", "<img src=x", " style=", " onclick=", "javascript:"] {
        assert!(!text.contains(foreign), "{path} has {foreign}: {text}");
    }
    text
}

#[tokio::test]
async fn every_page_forbids_what_is_not_its_own_also_where_there_is_nothing() {
    let api = Api::start().await;
    let browser = Browser::signed_in(&api, TOKEN).await;
    let evil = "%3Cscript%3Ealert(1)%3C/script%3E";
    for path in ["/", "/environments", "/journal", "/sign-in", "/rollouts/ro-99"] {
        guarded(path, browser.get(path).await).await;
    }
    for path in ["/journal?actor=", "/sign-in?next=", "/services/shop/"] {
        let text = guarded(path, browser.get(&format!("{path}{evil}")).await).await;
        let said = ["&#60;script&#62;", "%3Cscript%3E"].iter().any(|escaped| text.contains(escaped));
        assert!(said, "{path} says what was asked for: {text}");
    }
}

#[tokio::test]
async fn what_people_wrote_is_text_on_every_page() {
    let api = Api::start().await;
    let browser = Browser::signed_in(&api, TOKEN).await;
    let quoted = serde_json::to_string(EVIL).unwrap();
    for version in ["1.0.0", "1.1.0"] {
        let evil = if version == "1.1.0" { &quoted } else { "plain" };
        let file = format!("{FILE}config: {{ values: {{ GREETING: {evil} }} }}\n");
        let file = file
            .replace("objectives:", &format!("smoke:\n  - {{ name: {quoted}, command: [\"./smoke\"] }}\nobjectives:"));
        let release = api.release(version, "quick").await;
        let release =
            json!({ "file": file, "version": version, "artifact": release["artifact"], "environment": "quick" });
        let (status, begun) = api.post("/releases", release).await;
        assert_eq!(status, 201, "{begun}");
        let id = begun["rollout"].as_str().unwrap().to_string();
        api.rollout_until(&id, "it ended", |r| r["state"] == "ended").await;
    }
    let fault = json!({ "abort": 503, "share_bp": 500, "for_ms": 3_600_000, "reason": EVIL });
    let (status, begun) = api.post("/services/shop/environments/quick/faults", fault).await;
    assert_eq!(status, 200, "{begun}");

    let compared = "/services/shop?from=1.0.0&to=1.1.0";
    for path in [
        "/",
        "/environments",
        "/environments/quick",
        "/services/shop",
        compared,
        "/rollouts/ro-2",
        "/journal",
        "/palette",
    ] {
        guarded(path, browser.get(path).await).await;
    }
    // It is there: a page that leaves it out would prove nothing.
    for path in [compared, "/journal"] {
        let text = browser.get(path).await.text().await.unwrap();
        assert!(text.contains("&#60;script&#62;alert(&#39;x&#39;)"), "{path}: {text}");
    }
    let live = browser.http.get(browser.url("/services/shop")).header(COOKIE, &browser.cookie).header("x-live", "1");
    guarded("the living part", live.send().await.unwrap()).await;
}

#[tokio::test]
async fn whoever_guesses_has_to_wait_also_with_the_right_token() {
    let api = Api::start().await;
    let browser = Browser::new(&api);
    let tries = async |token: &str| browser.post("/sign-in", &[("token", token)]).await;
    for n in 0..10 {
        assert_eq!(tries(&format!("wrong-{n}")).await.status().as_u16(), 401, "try {n}");
    }
    for token in ["wrong", TOKEN] {
        let refused = tries(token).await;
        assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &"60".parse().unwrap()));
        assert!(!refused.headers().contains_key(SET_COOKIE), "nobody is let in");
        let said = refused.text().await.unwrap();
        assert!(said.contains("too many wrong tokens from your address: wait a minute"), "{said}");
    }
}

#[tokio::test]
async fn the_cookie_is_secure_where_the_browser_speaks_tls() {
    let api = Api::start().await;
    let browser = Browser::new(&api);
    let cookie = async |forwarded: Option<&str>| {
        let request = browser.http.post(browser.url("/sign-in")).body(format!("token={TOKEN}"));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let request =
            forwarded.into_iter().fold(request, |request, scheme| request.header("x-forwarded-proto", scheme));
        request.send().await.unwrap().headers()[SET_COOKIE].to_str().unwrap().to_string()
    };
    for (scheme, secure) in [(Some("https"), true), (Some("http"), false), (None, false)] {
        let cookie = cookie(scheme).await;
        assert_eq!(cookie.contains("; Secure"), secure, "{scheme:?}: {cookie}");
        assert!(cookie.contains("; HttpOnly; SameSite=Lax"), "{cookie}");
    }
}

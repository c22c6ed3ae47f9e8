//! Buttons of the console as a browser without script presses them: each does what its route of the API does.

use reqwest::header::LOCATION;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::common::{Api, TOKEN};

/// Releases versions into `quick`, one after another.
async fn serves(api: &Api, versions: &[&str]) {
    for (n, version) in versions.iter().enumerate() {
        api.post("/releases", api.release(version, "quick").await).await;
        let ended = api.rollout_until(&format!("ro-{}", n + 1), "it ended", |r| r["state"] == "ended").await;
        assert_eq!(ended["outcome"], "succeeded", "{ended}");
    }
}

/// What a page's form for `action` would send, as the page has it.
async fn fields(browser: &Browser<'_>, page: &str, action: &str) -> Vec<(String, String)> {
    let text = browser.get(page).await.text().await.unwrap();
    let form = text.split(&format!("action=\"{action}\"")).nth(1).unwrap_or_else(|| panic!("no {action} on {text}"));
    let form = form.split("</form>").next().unwrap();
    let hidden = form.split("<input type=\"hidden\" name=\"").skip(1).map(|input| {
        let mut parts = input.split('"');
        (parts.next().unwrap().to_string(), parts.nth(1).unwrap().to_string())
    });
    hidden.collect()
}

/// Presses a page's button; where it leads.
async fn press(browser: &Browser<'_>, page: &str, action: &str) -> String {
    let fields = fields(browser, page, action).await;
    let pairs: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
    let answer = browser.post(action, &pairs).await;
    let (status, to) = (answer.status().as_u16(), answer.headers().get(LOCATION).cloned());
    assert_eq!(status, 303, "{action} with {fields:?}: {}", answer.text().await.unwrap());
    to.unwrap().to_str().unwrap().to_string()
}

/// Who did it, as the newest entry of a kind says.
async fn did(api: &Api, kind: &str) -> Value {
    api.get(&format!("/journal?kind={kind}")).await[0]["actor"].clone()
}

#[tokio::test]
async fn a_drill_and_then_a_rollback_are_pressed_and_a_page_of_before_is_refused() {
    let api = Api::start().await;
    let browser = Browser::signed_in(&api, TOKEN).await;
    serves(&api, &["1.0.0", "1.1.0"]).await;
    let at = |what: &str| format!("/services/shop/environments/quick/{what}");

    assert_eq!(press(&browser, "/services/shop", &at("drill")).await, "/rollouts/ro-3");
    let drill = api.rollout_until("ro-3", "it ended", |r| r["state"] == "ended").await;
    assert_eq!((&drill["kind"], &drill["outcome"]), (&json!("drill"), &json!("succeeded")), "{drill}");
    assert_eq!(api.get("/services/shop").await[0]["stable"]["version"], "1.1.0", "forth again");

    // The page of the rollout that succeeded has the same button as its service's.
    let before = fields(&browser, "/rollouts/ro-2", &at("rollback")).await;
    for page in ["/rollouts/ro-2", "/services/shop"] {
        let shown = fields(&browser, page, &at("rollback")).await;
        assert!(shown.contains(&("to".into(), "1.0.0".into())) && shown.contains(&("from".into(), "1.1.0".into())));
    }
    assert_eq!(press(&browser, "/services/shop", &at("rollback")).await, "/rollouts/ro-4");
    let back = api.rollout_until("ro-4", "it ended", |r| r["state"] == "ended").await;
    assert_eq!((&back["kind"], &back["outcome"]), (&json!("rollback"), &json!("succeeded")), "{back}");
    assert_eq!(api.get("/services/shop").await[0]["stable"]["version"], "1.0.0");

    // Somebody presses what they were shown before.
    let pairs: Vec<(&str, &str)> = before.iter().map(|(name, value)| (&**name, &**value)).collect();
    let late = browser.post(&at("rollback"), &pairs).await;
    assert_eq!(late.status().as_u16(), 409);
    let said = late.text().await.unwrap();
    assert!(said.contains("1.0.0 serves now, and not 1.1.0 as the page said: look again"), "{said}");
    assert!(said.contains("href=\"/services/shop\""), "the way back to the page: {said}");
    let entries = api.get("/services/shop/history").await;
    assert_eq!(entries.as_array().unwrap().len(), 4, "nothing was begun: {entries}");
    for id in ["ro-3", "ro-4"] {
        assert_eq!(api.get(&format!("/rollouts/{id}/explanation")).await["actor"], "user:tester", "{id}");
    }
}

#[tokio::test]
async fn a_step_is_answered_for_by_a_person_and_no_later_one_with_it() {
    let api = Api::start().await;
    let browser = Browser::signed_in(&api, TOKEN).await;
    let waits = |step: &'static str| {
        move |r: &Value| r["steps"].as_array().unwrap().iter().any(|s| s["name"] == step && s["state"] == "waiting")
    };
    // Nobody sends a request here: without a person's word the one would last a minute and the other for ever.
    api.post("/releases", api.release("1.0.0", "careful").await).await;
    api.rollout_until("ro-1", "it is being verified", waits("verification")).await;
    assert_eq!(press(&browser, "/rollouts/ro-1", "/rollouts/ro-1/promote").await, "/rollouts/ro-1");
    api.rollout_until("ro-1", "it ended", |r| r["outcome"] == "succeeded").await;

    api.post("/releases", api.release("1.1.0", "careful").await).await;
    api.rollout_until("ro-2", "a tenth of the users have it", waits("10%")).await;
    let shown = fields(&browser, "/rollouts/ro-2", "/rollouts/ro-2/promote").await;
    assert!(shown.contains(&("step".into(), "10%".into())), "{shown:?}");
    press(&browser, "/rollouts/ro-2", "/rollouts/ro-2/promote").await;
    api.rollout_until("ro-2", "it is being verified", waits("verification")).await;
    assert_eq!(did(&api, "rollout.promoted").await, "user:tester");

    let pairs: Vec<(&str, &str)> = shown.iter().map(|(name, value)| (&**name, &**value)).collect();
    let late = browser.post("/rollouts/ro-2/promote", &pairs).await;
    assert_eq!(late.status().as_u16(), 409);
    let said = late.text().await.unwrap();
    assert!(said.contains("step 10% is not at hand any more"), "{said}");
    assert_eq!(api.get("/rollouts/ro-2").await["outcome"], Value::Null, "its verification goes on");
}

#[tokio::test]
async fn injected_faults_are_ended_by_a_button() {
    let api = Api::start().await;
    let browser = Browser::signed_in(&api, TOKEN).await;
    serves(&api, &["1.0.0"]).await;
    let fault = json!({ "abort": 503, "share_bp": 500, "for_ms": 3_600_000, "reason": "a <b>game</b> day" });
    let (status, begun) = api.post("/services/shop/environments/quick/faults", fault).await;
    assert_eq!((status, begun["faults"].as_array().map(Vec::len)), (200, Some(1)), "{begun}");
    let to = press(&browser, "/services/shop", "/services/shop/environments/quick/faults/end").await;
    assert_eq!(to, "/services/shop");
    assert_eq!(api.get("/services/shop").await[0]["faults"], json!([]));
    assert_eq!(did(&api, "fault.ended").await, "user:tester");
    let page = browser.get("/services/shop").await.text().await.unwrap();
    assert!(!page.contains("End faults"), "there is nothing to end any more: {page}");
}

#[tokio::test]
async fn what_serves_is_scaled_and_closed_by_buttons_of_its_page() {
    let api = Api::start().await;
    let browser = Browser::signed_in(&api, TOKEN).await;
    api.post("/releases", api.release("1.0.0", "quick").await).await;
    api.rollout_until("ro-1", "it ended", |r| r["state"] == "ended").await;
    let at = |what: &str| format!("/services/shop/environments/quick/{what}");
    let press = async |what: &str, field: &str, value: &str| {
        browser.post(&at(what), &[("csrf", &browser.csrf), (field, value)]).await.status().as_u16()
    };
    for wrong in ["", "0", "many", "-1", "1001", "99999999999"] {
        assert_eq!(press("scale", "instances", wrong).await, 400, "{wrong:?}");
    }
    assert_eq!(press("scale", "instances", "4").await, 303);
    assert_eq!(api.get("/services/shop").await[0]["stable"]["desired"], 4);
    assert_eq!(press("maintenance/on", "hold", "61").await, 400);
    assert_eq!(press("maintenance/on", "hold", "3").await, 303);
    let page = browser.get("/services/shop").await.text().await.unwrap();
    assert!(page.contains("in maintenance") && page.contains("End maintenance"), "{page}");
    assert_eq!(press("maintenance/off", "", "").await, 303);
    assert_eq!(press("restart", "", "").await, 303);
    let entries = api.get("/journal?service=shop&limit=20").await;
    for kind in ["scaled", "maintenance.began", "maintenance.ended", "restart.asked"] {
        let found = entries.as_array().unwrap().iter().find(|e| e["kind"].as_str().unwrap().ends_with(kind));
        assert_eq!(found.map(|e| e["actor"].as_str().unwrap()), Some("user:tester"), "{kind}: {entries}");
    }
}

//! A browser without script.

use reqwest::Response;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};

use crate::common::Api;

/// A browser: it keeps its cookie and follows nothing by itself.
pub struct Browser<'a> {
    api: &'a Api,
    pub http: reqwest::Client,
    pub cookie: String,
    pub csrf: String,
}

impl Browser<'_> {
    pub fn new(api: &Api) -> Browser<'_> {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Browser { api, http, cookie: String::new(), csrf: String::new() }
    }

    pub async fn signed_in<'a>(api: &'a Api, token: &str) -> Browser<'a> {
        let mut browser = Browser::new(api);
        let answer = browser.post("/sign-in", &[("token", token), ("next", "/journal")]).await;
        assert_eq!((answer.status().as_u16(), &answer.headers()[LOCATION]), (303, &"/journal".parse().unwrap()));
        let cookie = answer.headers()[SET_COOKIE].to_str().unwrap();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
        browser.cookie = cookie.split(';').next().unwrap().to_string();
        let page = browser.get("/").await.text().await.unwrap();
        browser.csrf = page.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_string();
        browser
    }

    pub fn url(&self, path: &str) -> String {
        self.api.url.replace("/api/v1", "") + path
    }

    pub async fn get(&self, path: &str) -> Response {
        self.http.get(self.url(path)).header(COOKIE, &self.cookie).send().await.unwrap()
    }

    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        let request = self.http.post(self.url(path)).header(COOKIE, &self.cookie);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.body(pairs.join("&")).send().await.unwrap()
    }

    /// A button of one of the viewer's own pages.
    pub async fn press(&self, path: &str) -> Response {
        self.post(path, &[("csrf", &self.csrf), ("shown", "sha256:0")]).await
    }
}

/// A value as it stands in a form.
fn escaped(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    value.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

//! Receivers of hooks: signed requests and commands. Decides nothing of when and how often; that is the control plane's.
//!
//! Signatures are those of Standard Webhooks 1.0: HMAC-SHA256 over `id.timestamp.body`.

mod web;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::Request;
use http_body_util::Full;
use sha2::Sha256;
use slipway_control::ports::Receivers;
use slipway_core::hook::Message;
use slipway_core::instance::Pending;
use slipway_core::spec::{Hook, Receiver, Secret};
use slipway_target::{command, process};

use self::web::{ANSWER_LIMIT, Web};
use crate::folder::Folder;

/// How much of a secret's file is read.
const SECRET_LIMIT: u64 = 4 << 10;
/// What a secret in the notation of Standard Webhooks begins with; base64 follows.
const ENCODED: &str = "whsec_";

/// Receivers outside of this process.
pub(super) struct Outside {
    web: Web,
    /// Where commands run: a folder of nobody's.
    folder: PathBuf,
    env: BTreeMap<String, String>,
}

impl Outside {
    pub fn new(folder: &Folder) -> Result<Outside> {
        let folder = folder.path().join("hooks");
        std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(Outside { web: Web::default(), folder, env: process::base_env() })
    }

    async fn post(
        &self,
        url: &str,
        secret: &Secret,
        ca_file: Option<&str>,
        message: &Message,
    ) -> Result<Vec<u8>, String> {
        let key = key(secret)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let request = Request::post(url)
            .header("content-type", "application/cloudevents+json; charset=utf-8")
            .header("user-agent", concat!("slipway/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", now)
            .header("webhook-signature", signature(&key, &message.id, now, &message.body))
            .body(Full::new(Bytes::from(message.body.clone())))
            .map_err(|error| format!("nothing can be sent there: {error}"))?;
        self.web.send(request, ca_file).await
    }

    async fn run(&self, words: &[String], message: &Message) -> Result<Vec<u8>, String> {
        let answer = command::output(words, &self.folder, &self.env, message.body.as_bytes()).await?;
        match answer.len() > ANSWER_LIMIT {
            true => Err(format!("its answer is longer than {} KiB", ANSWER_LIMIT >> 10)),
            false => Ok(answer),
        }
    }
}

impl Receivers for Outside {
    fn deliver<'a>(&'a self, hook: &'a Hook, message: &'a Message) -> Pending<'a, Result<Vec<u8>, String>> {
        Box::pin(async move {
            match &hook.to {
                Receiver::Webhook { url, secret, ca_file } => self.post(url, secret, ca_file.as_deref(), message).await,
                Receiver::Command(words) => self.run(words, message).await,
            }
        })
    }
}

/// The key of a signature, read anew each time: a secret may be rotated while Slipway runs. No error repeats any of it.
fn key(secret: &Secret) -> Result<Vec<u8>, String> {
    let (text, place) = match secret {
        Secret::Env(name) => {
            let place = format!("the environment variable {name} of the control plane");
            (std::env::var(name).map_err(|_| format!("its secret is missing: {place} is not set"))?, place)
        }
        Secret::File(path) => {
            let place = format!("the file {path}");
            let bytes = crate::up::web::file(path.as_ref(), SECRET_LIMIT)
                .map_err(|error| format!("its secret is missing: {place}: {error}"))?;
            let no_text = |_| format!("its secret cannot be used: {place} is no text");
            (String::from_utf8(bytes).map_err(no_text)?, place)
        }
    };
    let text = text.trim();
    let key = match text.strip_prefix(ENCODED) {
        Some(encoded) => STANDARD
            .decode(encoded)
            .map_err(|_| format!("its secret cannot be used: what follows {ENCODED} in {place} is no base64"))?,
        None => text.as_bytes().to_vec(),
    };
    match key.is_empty() {
        true => Err(format!("its secret is missing: {place} is empty")),
        false => Ok(key),
    }
}

fn signature(key: &[u8], id: &str, at: u64, body: &str) -> String {
    // A key of any length makes an HMAC.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    mac.update(format!("{id}.{at}.").as_bytes());
    mac.update(body.as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> (tempfile::NamedTempFile, Secret) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let secret = Secret::File(file.path().display().to_string());
        (file, secret)
    }

    /// Computed with Python's `hmac`, over the example of the specification.
    #[test]
    fn the_signature_is_that_of_standard_webhooks() {
        let (_file, secret) = kept("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
        let signed =
            signature(&key(&secret).unwrap(), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_that_is_none_is_told_without_repeating_it() {
        for (text, why) in
            [("", "is empty"), (" \n", "is empty"), ("whsec_???hidden", "no base64"), ("whsec_", "is empty")]
        {
            let (_file, secret) = kept(text);
            let told = key(&secret).unwrap_err();
            assert!(told.contains(why) && !told.contains("hidden"), "{told}");
        }
        assert!(key(&Secret::File("/nowhere/at/all".to_string())).unwrap_err().contains("/nowhere/at/all"));
        assert!(key(&Secret::Env("SLIPWAY_TEST_NO_SUCH".to_string())).unwrap_err().contains("SLIPWAY_TEST_NO_SUCH"));
        let (_file, secret) = kept("plain text\n");
        assert_eq!(key(&secret).unwrap(), b"plain text");
    }
}

//! What became of orders, told in batches to whoever is to know. Nothing is thrown away while there is room: a batch that
//! is not taken is sent again.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::behaviour::Behaviour;

/// How often a batch is sent.
const PAUSE: Duration = Duration::from_millis(200);
/// Outcomes of one batch.
const BATCH: usize = 500;
/// Outcomes that wait at most; then further ones are lost, and that is said.
const ROOM: usize = 50_000;
/// How long one batch may take.
const LIMIT: Duration = Duration::from_secs(5);

/// A hold on the task that sends.
pub struct Reporter {
    sender: mpsc::Sender<Value>,
    behaviour: Behaviour,
}

impl Reporter {
    /// Starts to report, where the shop's behaviour says so.
    pub fn start(behaviour: &Behaviour) -> Option<Self> {
        let url = behaviour.outcomes_url.clone()?;
        let (sender, outcomes) = mpsc::channel(ROOM);
        tokio::spawn(send_all(url, behaviour.outcomes_token.clone(), outcomes));
        Some(Self { sender, behaviour: behaviour.clone() })
    }

    /// Reports what became of one order.
    pub fn order(&self, number: u64, user: Option<&str>, lost: bool) {
        let kinds = match lost {
            true => ["order_placed", "checkout_started", "order_failed"],
            false => ["order_placed", "checkout_started", "checkout_completed"],
        };
        for kind in kinds {
            let subject = format!("{}-{}-{number}", self.behaviour.instance, std::process::id());
            let mut outcome = json!({
                "service": "shop", "environment": self.behaviour.outcomes_environment, "kind": kind,
                "key": user, "id": format!("{subject}-{kind}"), "subject": subject,
            });
            if !self.behaviour.outcomes_by_key {
                outcome["version"] = json!(self.behaviour.version);
            }
            if self.sender.try_send(outcome).is_err() {
                eprintln!("shop has no room for another report");
            }
        }
    }
}

async fn send_all(url: String, token: String, mut outcomes: mpsc::Receiver<Value>) {
    let mut batch = Vec::new();
    while outcomes.recv_many(&mut batch, BATCH).await > 0 {
        let body = json!({ "outcomes": batch }).to_string();
        loop {
            let sent = tokio::time::timeout(LIMIT, post(&url, &token, &body)).await;
            tokio::time::sleep(PAUSE).await;
            match sent {
                Ok(Ok(status)) if status.contains(" 429 ") => {}
                Ok(Ok(status)) if status.contains(" 200 ") => break,
                Ok(Ok(status)) => {
                    eprintln!("shop's reports are refused: {status}");
                    break;
                }
                Ok(Err(error)) => eprintln!("shop cannot report: {error:#}"),
                Err(_) => eprintln!("shop cannot report: no answer"),
            }
        }
        batch.clear();
    }
}

/// One request on a connection of its own; the status line of its answer.
async fn post(url: &str, token: &str, body: &str) -> anyhow::Result<String> {
    let (host, path) =
        url.strip_prefix("http://").and_then(|u| u.split_once('/')).context("no URL like http://H:P/P")?;
    let mut stream = TcpStream::connect(host).await?;
    let head = format!(
        "POST /{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_string())
}

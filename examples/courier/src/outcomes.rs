//! What became of parcels, told in batches to whoever is to know. A batch that is not taken is sent again.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::behaviour::Behaviour;

/// How often a batch is sent.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the last batch may take.
const LAST: Duration = Duration::from_secs(2);

/// A hold on the task that sends.
pub struct Reporter {
    sender: mpsc::UnboundedSender<Value>,
    task: JoinHandle<()>,
    version: String,
    environment: String,
}

impl Reporter {
    /// Starts to report, where the courier's behaviour says so.
    pub fn start(behaviour: &Behaviour) -> Option<Self> {
        let url = behaviour.outcomes_url.clone()?;
        let (sender, outcomes) = mpsc::unbounded_channel();
        let task = tokio::spawn(send_all(url, behaviour.outcomes_token.clone(), outcomes));
        let (version, environment) = (behaviour.version.clone(), behaviour.outcomes_environment.clone());
        Some(Self { sender, task, version, environment })
    }

    /// Reports what became of one parcel.
    pub fn parcel(&self, parcel: &str, lost: bool) {
        let kinds = ["parcel_taken", "parcel_lost"].into_iter().take(1 + usize::from(lost));
        for kind in kinds {
            // Nobody listens any more only where this process is about to end.
            let _ = self.sender.send(json!({
                "service": "courier", "environment": self.environment, "version": self.version, "kind": kind,
                "subject": parcel, "id": format!("{parcel}-{kind}"),
            }));
        }
    }

    /// Sends what is left.
    pub async fn finish(self) {
        drop(self.sender);
        if tokio::time::timeout(LAST, self.task).await.is_err() {
            eprintln!("courier: the last reports did not get through");
        }
    }
}

async fn send_all(url: String, token: String, mut outcomes: mpsc::UnboundedReceiver<Value>) {
    let mut batch = Vec::new();
    while outcomes.recv_many(&mut batch, 500).await > 0 {
        let body = json!({ "outcomes": batch }).to_string();
        loop {
            match post(&url, &token, &body).await {
                Ok(status) if status.contains(" 200 ") => break,
                Ok(status) if !status.contains(" 429 ") => {
                    eprintln!("courier's reports are refused: {status}");
                    break;
                }
                Ok(_) => {}
                Err(error) => eprintln!("courier cannot report: {error:#}"),
            }
            tokio::time::sleep(PAUSE).await;
        }
        batch.clear();
        tokio::time::sleep(PAUSE).await;
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

//! Requests to webhooks, in plain text and over TLS. Knows addresses and certificates, nothing of events or signatures.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};

use crate::up::web::{Requests, Trust, client, deepest, said};

/// How much of an answer is read; what is longer is none.
pub(super) const ANSWER_LIMIT: usize = 64 << 10;

/// What names the certificates that are trusted.
const CA_FILE: &str = "ca_file";

type Body = Response<hyper::body::Incoming>;

/// A client of webhooks. It follows no redirect and asks no proxy: a signed event is for the address that is declared.
#[derive(Default)]
pub(super) struct Web {
    /// One for each trust, so that connections are used again.
    clients: Mutex<HashMap<Trust, Requests<Full<Bytes>>>>,
}

impl Web {
    /// Sends a request, with the certificates of `ca_file` trusted where one is named. The body of the answer, or why there
    /// is none, without the address: the path of a chat's webhook is often a secret of its own.
    pub async fn send(&self, request: Request<Full<Bytes>>, ca_file: Option<&str>) -> Result<Vec<u8>, String> {
        let trust = match (request.uri().scheme_str(), ca_file) {
            (Some("https"), Some(path)) => Trust::file(Path::new(path))?,
            (Some("https"), None) => Trust::Machine,
            _ => Trust::Nobody,
        };
        let answer = self.client(trust)?.request(request).await.map_err(|error| said(&error, CA_FILE))?;
        read(answer).await
    }

    fn client(&self, trust: Trust) -> Result<Requests<Full<Bytes>>, String> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&trust) {
            return Ok(client.clone());
        }
        // A file that was exchanged is another trust: what rested on the old one is closed with its client.
        clients.retain(|known, _| !matches!((known, &trust), (Trust::File(_), Trust::File(_))));
        let client = client(&trust, CA_FILE)?;
        clients.insert(trust, client.clone());
        Ok(client)
    }
}

async fn read(answer: Body) -> Result<Vec<u8>, String> {
    let status = answer.status();
    if status.is_redirection() {
        return Err(format!("it redirects ({status}), and nobody else is told: declare the other address"));
    }
    if !status.is_success() {
        return Err(format!("it answered {status}"));
    }
    let mut incoming = answer.into_body();
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| format!("its answer breaks off: {}", deepest(&error)))?;
        let Some(part) = frame.data_ref() else { continue };
        if body.len() + part.len() > ANSWER_LIMIT {
            return Err(format!("its answer is longer than {} KiB", ANSWER_LIMIT >> 10));
        }
        body.extend_from_slice(part);
    }
    Ok(body)
}

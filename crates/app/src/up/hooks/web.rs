//! Requests to webhooks, in plain text and over TLS. Knows addresses and certificates, nothing of events or signatures.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// How much of an answer is read; what is longer is none.
pub(super) const ANSWER_LIMIT: usize = 64 << 10;
/// How much of a file of certificates is read: more than any machine trusts.
const CERTIFICATES_LIMIT: u64 = 4 << 20;

type Requests = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;
type Body = Response<hyper::body::Incoming>;

/// Whose certificates are trusted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Trust {
    /// Nobody's: addresses without TLS.
    Nobody,
    /// Those that this machine trusts.
    Machine,
    /// Those in these bytes of a file.
    File(Vec<u8>),
}

/// A client of webhooks. It follows no redirect and asks no proxy: a signed event is for the address that is declared.
#[derive(Default)]
pub(super) struct Web {
    /// One for each trust, so that connections are used again.
    clients: Mutex<HashMap<Trust, Requests>>,
}

impl Web {
    /// Sends a request, with the certificates of `ca_file` trusted where one is named. The body of the answer, or why there
    /// is none, without the address: the path of a chat's webhook is often a secret of its own.
    pub async fn send(&self, request: Request<Full<Bytes>>, ca_file: Option<&str>) -> Result<Vec<u8>, String> {
        let trust = match (request.uri().scheme_str(), ca_file) {
            (Some("https"), Some(path)) => Trust::File(
                file(path, CERTIFICATES_LIMIT)
                    .map_err(|error| format!("whose certificate is trusted cannot be read: {path}: {error}"))?,
            ),
            (Some("https"), None) => Trust::Machine,
            _ => Trust::Nobody,
        };
        let answer = self.client(trust)?.request(request).await.map_err(|error| said(&error))?;
        read(answer).await
    }

    fn client(&self, trust: Trust) -> Result<Requests, String> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&trust) {
            return Ok(client.clone());
        }
        // A file that was exchanged is another trust: what rested on the old one is closed with its client.
        clients.retain(|known, _| !matches!((known, &trust), (Trust::File(_), Trust::File(_))));
        let client = client(&trust)?;
        clients.insert(trust, client.clone());
        Ok(client)
    }
}

fn client(trust: &Trust) -> Result<Requests, String> {
    let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be spoken: {error}"))?
        .with_root_certificates(roots(trust)?)
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

fn roots(trust: &Trust) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match trust {
        Trust::Nobody => return Ok(roots),
        Trust::Machine => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        Trust::File(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let wrong = |error: &dyn std::fmt::Display| format!("ca_file holds what is no certificate: {error}");
                roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
            }
        }
    }
    match (roots.is_empty(), trust) {
        (false, _) => Ok(roots),
        (true, Trust::File(_)) => Err("ca_file holds no certificate: it must be PEM".to_string()),
        (true, _) => {
            Err("this machine trusts nobody's certificates: install ca-certificates, or name them with ca_file"
                .to_string())
        }
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

/// What a file holds, up to a limit.
pub(super) fn file(path: &str, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What went wrong before there was an answer.
fn said(error: &legacy::Error) -> String {
    let why = deepest(error);
    match why.downcast_ref::<rustls::Error>() {
        Some(rustls::Error::InvalidCertificate(_)) => {
            format!(
                "its certificate is not trusted: {why}; ca_file names whom to trust instead of those that this machine does"
            )
        }
        Some(_) => format!("it does not speak TLS as it should: {why}"),
        None if error.is_connect() => format!("nobody answers there: {why}"),
        None => format!("it does not speak HTTP: {why}"),
    }
}

/// The first cause of an error.
fn deepest<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    let mut deepest = error;
    loop {
        // An error of input and output hides what it was made of from `source`.
        let within = deepest.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
        match within.map(|error| error as &(dyn std::error::Error + 'static)).or_else(|| deepest.source()) {
            Some(behind) => deepest = behind,
            None => return deepest,
        }
    }
}

//! A receiver of hooks: it answers as it is told to, and remembers every request with its headers, as it came.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;

/// How a receiver answers.
#[derive(Debug, Clone)]
pub enum Manner {
    /// With this status and body.
    Status(u16, String),
    /// With a redirect to this address.
    Redirect(String),
    /// Not at all, with the connection open.
    Silent,
    /// With bytes that are no HTTP.
    Garbage,
    /// With a body that never ends.
    Endless,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// By lower-case name.
    pub headers: BTreeMap<String, String>,
    /// To the byte.
    pub body: String,
}

impl Received {
    /// A header; empty where it did not come.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

#[derive(Debug)]
struct Shared {
    manner: Mutex<Manner>,
    received: Mutex<Vec<Received>>,
}

/// A receiver on a port of its own. It ends when it is dropped.
#[derive(Debug)]
pub struct Hearer {
    /// Where it listens.
    pub address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Hearer {
    /// Starts one.
    pub async fn start(manner: Manner) -> anyhow::Result<Hearer> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { manner: Mutex::new(manner), received: Mutex::default() });
        let own = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, own.clone()));
            }
        });
        Ok(Hearer { address, scheme: "http", shared, task })
    }

    /// Starts one that speaks TLS, with a certificate of its own making. The certificate as PEM comes with it: nobody else
    /// vouches for it.
    pub async fn start_with_tls(manner: Manner) -> anyhow::Result<(Hearer, String)> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_string()])?;
        let key = made.signing_key.serialize_der().try_into().map_err(anyhow::Error::msg)?;
        let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)?;
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { manner: Mutex::new(manner), received: Mutex::default() });
        let own = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (acceptor, own) = (acceptor.clone(), own.clone());
                tokio::spawn(async move {
                    if let Ok(connection) = acceptor.accept(connection).await {
                        serve(connection, own).await;
                    }
                });
            }
        });
        Ok((Hearer { address, scheme: "https", shared, task }, made.cert.pem()))
    }

    /// Its address, as hooks are declared.
    pub fn url(&self) -> String {
        format!("{}://{}/hook", self.scheme, self.address)
    }

    /// From now on it answers like this.
    pub fn answer(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner;
    }

    /// Every request so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Hearer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut connection: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let mut bytes = Vec::new();
    while let Some(request) = next(&mut connection, &mut bytes).await {
        let manner = shared.manner.lock().unwrap_or_else(PoisonError::into_inner).clone();
        shared.received.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        let whole = |text: String| (text, true);
        let (answer, goes_on) = match &manner {
            Manner::Status(status, body) => {
                whole(format!("HTTP/1.1 {status} As Told\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
            }
            Manner::Redirect(to) => whole(format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")),
            Manner::Silent => std::future::pending().await,
            Manner::Garbage => ("\u{1}\u{2} this is not the protocol\r\n\r\n".to_string(), false),
            Manner::Endless => ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_string(), false),
        };
        if connection.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        if matches!(manner, Manner::Endless) {
            let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
            while connection.write_all(chunk.as_bytes()).await.is_ok() {}
        }
        if !goes_on {
            return;
        }
    }
}

/// The next request of a connection; bytes beyond it stay in `bytes`.
async fn next(connection: &mut (impl AsyncRead + Unpin), bytes: &mut Vec<u8>) -> Option<Received> {
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let headers: BTreeMap<String, String> = head
                .lines()
                .skip(1)
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_string()))
                .collect();
            let length: usize = headers.get("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
            let whole = end + 4 + length;
            if bytes.len() >= whole {
                let body = String::from_utf8_lossy(&bytes[end + 4..whole]).into_owned();
                bytes.drain(..whole);
                return Some(Received { headers, body });
            }
        }
        if connection.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
}

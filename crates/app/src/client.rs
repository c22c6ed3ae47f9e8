//! Talking to the API.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::args::Common;
use crate::exit::Usage;
use crate::folder::Folder;
use crate::place::{Place, at};

/// How long a command that waits goes on trying to reach a server that it has reached before.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long an answer to a question may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Why the API did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// It said so.
    #[error("{}", told(.0))]
    Problem(Box<Problem>),
    /// It cannot be reached.
    #[error("no Slipway answers at {url}: {why}\nIs it running? Start it with: slipway up")]
    Unreachable {
        url: String,
        why: String,
        /// Somebody was there and took the request, or began to.
        broke_off: bool,
    },
    /// It answered with something else.
    #[error("{0}")]
    Odd(String),
    /// It was not asked: what was to be asked for cannot be.
    #[error(transparent)]
    Usage(#[from] Usage),
}

/// A problem as the API sends it.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Problem {
    pub status: u16,
    pub detail: String,
    pub code: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mistakes: Vec<slipway_core::spec::Mistake>,
}

fn told(problem: &Problem) -> String {
    if problem.mistakes.is_empty() {
        return problem.detail.clone();
    }
    let lines: Vec<String> = problem.mistakes.iter().map(|m| format!("  {m}")).collect();
    format!("the declared file has mistakes:\n{}", lines.join("\n"))
}

/// A connection to the API.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    server: Server,
    folder: Folder,
    token: Option<String>,
}

/// Where the API is.
#[derive(Debug, Clone)]
enum Server {
    /// Where somebody said.
    Said(Url),
    /// Where the data folder says, whenever it is asked: another control plane may have taken over.
    Written,
}

impl Client {
    /// Finds the server and the token.
    pub fn find(common: &Common) -> Result<Client> {
        let folder = Folder::find(common.data.as_deref())?;
        let server = common.server.as_deref().map(said).transpose()?.map_or(Server::Written, Server::Said);
        let token = common.token.as_ref().map(|token| token.trim().to_string());
        let http = reqwest::Client::builder().connect_timeout(Duration::from_secs(5)).no_proxy().build()?;
        Ok(Client { http, server, folder, token })
    }

    fn url(&self) -> Result<Url, Usage> {
        match &self.server {
            Server::Said(url) => Ok(url.clone()),
            Server::Written => said(&written(&self.folder)),
        }
    }

    fn token(&self, url: &Url) -> String {
        match &self.token {
            Some(token) => token.clone(),
            // The token of this machine's server is nobody else's business.
            None if !is_local(url) => String::new(),
            None => std::fs::read_to_string(self.folder.token()).map(|t| t.trim().to_string()).unwrap_or_default(),
        }
    }

    fn request(&self, method: Method, place: &Place) -> Result<RequestBuilder, Failure> {
        let server = self.url()?;
        Ok(self.http.request(method, place.of(&server)?).bearer_auth(self.token(&server)))
    }

    /// Sends a request once.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Err(unreachable(&error)),
        };
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, url) = (response.status(), shown(response.url()));
        let text = response.text().await.unwrap_or_default();
        match serde_json::from_str::<Problem>(&text) {
            Ok(problem) => Err(Failure::Problem(Box::new(problem))),
            Err(_) => {
                Err(Failure::Odd(format!("{url} answered {status}: {}", text.chars().take(200).collect::<String>())))
            }
        }
    }

    /// GET.
    pub async fn get<T: DeserializeOwned>(&self, place: &Place) -> Result<T> {
        self.read(self.send(self.request(Method::GET, place)?.timeout(ANSWER_LIMIT)).await?).await
    }

    /// GET, again and again for a minute where the server is away for a moment.
    pub async fn get_patiently<T: DeserializeOwned>(&self, place: &Place) -> Result<T> {
        let begun = Instant::now();
        loop {
            match self.send(self.request(Method::GET, place)?.timeout(ANSWER_LIMIT)).await {
                Ok(response) => return self.read(response).await,
                Err(Failure::Problem(p)) if p.status < 500 => return Err(Failure::Problem(p).into()),
                Err(failure) if begun.elapsed() > PATIENCE => return Err(failure.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// POST with a body, once for each key: repeated while the server is away, it is still done once.
    pub async fn post_once<T: DeserializeOwned>(&self, place: &Place, body: &Value) -> Result<T> {
        let key = slipway_server::secret();
        let begun = Instant::now();
        let mut reached = false;
        loop {
            let again = begun.elapsed() < PATIENCE;
            let request = self.request(Method::POST, place)?.header("idempotency-key", &key).json(body);
            match self.send(request).await {
                Ok(response) => return self.read(response).await,
                Err(Failure::Unreachable { .. }) if again && reached => {}
                // A server that was killed over the request comes back, and knows the key if it has done what it says.
                Err(Failure::Unreachable { broke_off, .. }) if again && (broke_off || self.answers().await) => {
                    reached = true;
                }
                // So does whoever takes over, asked through one that stands by.
                Err(Failure::Problem(problem)) if again && problem.code == "nobody_drives" => reached = true,
                Err(failure) => return Err(failure.into()),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Whether somebody is there at all.
    async fn answers(&self) -> bool {
        match self.request(Method::GET, &at(&["healthz"])) {
            Ok(request) => request.send().await.is_ok(),
            Err(_) => false,
        }
    }

    /// Whether the control plane can use its store.
    pub async fn health(&self) -> Result<(), Failure> {
        self.send(self.request(Method::GET, &at(&["healthz"]))?.timeout(ANSWER_LIMIT)).await.map(drop)
    }

    /// POST with a body.
    pub async fn post<T: DeserializeOwned>(&self, place: &Place, body: &Value) -> Result<T> {
        self.read(self.send(self.request(Method::POST, place)?.json(body)).await?).await
    }

    /// PUT with a body.
    pub async fn put<T: DeserializeOwned>(&self, place: &Place, body: &Value) -> Result<T> {
        self.read(self.send(self.request(Method::PUT, place)?.json(body).timeout(ANSWER_LIMIT)).await?).await
    }

    /// DELETE, with an answer.
    pub async fn delete<T: DeserializeOwned>(&self, place: &Place) -> Result<T> {
        self.read(self.send(self.request(Method::DELETE, place)?.timeout(ANSWER_LIMIT)).await?).await
    }

    /// A stream of bytes.
    pub async fn stream(&self, place: &Place, after: Option<u64>) -> Result<Response, Failure> {
        let mut request = self.request(Method::GET, place)?;
        if let Some(after) = after {
            request = request.header("last-event-id", after.to_string());
        }
        self.send(request).await
    }

    /// Uploads an artifact, unless the server has it.
    pub async fn upload(&self, digest: &str, file: PathBuf) -> Result<()> {
        let place = at(&["artifacts", digest]);
        let known = self.request(Method::HEAD, &place)?.send().await.map_err(|e| unreachable(&e))?;
        if known.status() == StatusCode::OK {
            return Ok(());
        }
        let file = tokio::fs::File::open(&file).await.with_context(|| format!("{} cannot be read", file.display()))?;
        let length = file.metadata().await?.len();
        let body = reqwest::Body::wrap_stream(tokio_util::io::ReaderStream::new(file));
        let request = self.request(Method::PUT, &place)?.header("content-length", length).body(body);
        self.send(request).await?;
        Ok(())
    }

    async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T> {
        let url = shown(response.url());
        let text = response.text().await.map_err(|e| unreachable(&e))?;
        Ok(serde_json::from_str(&text).map_err(|e| Failure::Odd(format!("an answer of {url} makes no sense: {e}")))?)
    }
}

fn unreachable(error: &reqwest::Error) -> Failure {
    let mut why = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(deeper) = source {
        why = deeper.to_string();
        source = deeper.source();
    }
    let url = error.url().map(shown).unwrap_or_default();
    Failure::Unreachable { url, why, broke_off: error.is_request() && !error.is_connect() }
}

/// A server's address, of something that was asked there.
fn shown(url: &Url) -> String {
    url.as_str().split("/api/v1/").next().unwrap_or_default().to_string()
}

/// Whether a URL leads to this machine.
fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|a| a.is_loopback())
}

/// The server at an address as people write it.
fn said(address: &str) -> Result<Url, Usage> {
    let whole = match address.contains("://") {
        true => address.to_string(),
        false => format!("http://{address}"),
    };
    let url = Url::parse(&whole).map_err(|why| Usage(format!("{address} is no address of a server: {why}")))?;
    match url.scheme() {
        "http" => Ok(url),
        "https" => Err(Usage(format!(
            "{address}: https is not spoken to the API; forward its port (ssh -L 7070:127.0.0.1:7070 HOST) and leave \
             --server out or name http://127.0.0.1:7070"
        ))),
        _ => Err(Usage(format!("{address} is no address of a server, such as http://127.0.0.1:7070"))),
    }
}

/// The server of the data folder, as it wrote itself down; otherwise where one listens by default.
fn written(folder: &Folder) -> String {
    let written = std::fs::read_to_string(folder.api()).ok();
    let address = written
        .and_then(|t| serde_json::from_str::<Value>(&t).ok())
        .and_then(|v| v["address"].as_str().map(str::to_string));
    address.unwrap_or_else(|| "127.0.0.1:7070".to_string())
}

//! The API's front: one listener for as long as the process lives, whoever drives. Where this control plane drives, its
//! own API answers; where another does, requests are passed on to it, so that any of them can be asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use serde_json::json;
use tokio::sync::watch;

/// How long a request waits until somebody drives: as long as taking over may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Headers that concern one connection only.
const HOP: [HeaderName; 4] = [header::CONNECTION, header::TRANSFER_ENCODING, header::TE, header::UPGRADE];
/// What a request carries that another control plane has passed on: it is not passed on once more, so that two that take
/// each other for the one that drives send nothing round in circles.
const PASSED: HeaderName = HeaderName::from_static("slipway-passed");
/// Who asks, for the one that drives: it believes those on its machine.
const ASKED_BY: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The front. Clones are the same one.
#[derive(Clone)]
pub(super) struct Front {
    phase: watch::Sender<Phase>,
    /// Whether it can be seen who drives.
    sees: Arc<AtomicBool>,
    http: reqwest::Client,
}

/// Who answers.
#[derive(Clone)]
enum Phase {
    /// Nobody yet.
    Waiting,
    /// This control plane.
    Own(Router),
    /// The one at this address.
    Passed(String),
}

impl Front {
    pub fn new() -> anyhow::Result<Front> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(2))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Front { phase: watch::Sender::new(Phase::Waiting), sees: Arc::new(true.into()), http })
    }

    /// What is served.
    pub fn router(&self) -> Router {
        Router::new().fallback(answer).with_state(self.clone())
    }

    /// This control plane's own API answers from now on.
    pub fn own(&self, router: Router) {
        self.phase.send_replace(Phase::Own(router));
    }

    /// The control plane at `address` answers from now on.
    pub fn pass_to(&self, address: &str) {
        self.phase.send_if_modified(|phase| {
            let other = !matches!(phase, Phase::Passed(known) if known == address);
            if other {
                *phase = Phase::Passed(address.to_string());
            }
            other
        });
    }

    /// Whether it can be seen who drives: nobody takes over while the database cannot be reached.
    pub fn see(&self, sees: bool) {
        self.sees.store(sees, Ordering::Relaxed);
    }

    /// What is said where nobody answers; something else where nobody can take over either.
    fn nobody(&self, detail: &str) -> Response {
        match self.sees.load(Ordering::Relaxed) {
            true => nobody(detail),
            false => nobody(
                "no control plane answers, and none can take over: the database cannot be reached. Gateways and instances go \
                 on; see that the database runs",
            ),
        }
    }

    /// Who answers, once that is known; nobody where it takes too long.
    async fn known(&self) -> Option<Phase> {
        let mut phases = self.phase.subscribe();
        let known = phases.wait_for(|phase| !matches!(phase, Phase::Waiting));
        let known = tokio::time::timeout(PATIENCE, known).await.ok()?.ok()?.clone();
        Some(known)
    }

    /// Returns when somebody else than the one at `address` is to be asked.
    async fn left(&self, address: String) {
        let mut phases = self.phase.subscribe();
        let other = phases.wait_for(|phase| !matches!(phase, Phase::Passed(known) if *known == address));
        // The sender is in `self`.
        let _ = other.await;
    }

    /// Nobody answers for now.
    pub fn wait(&self) {
        self.phase.send_replace(Phase::Waiting);
    }
}

async fn answer(State(front): State<Front>, request: Request) -> Response {
    match front.known().await {
        Some(Phase::Own(router)) => match tower::ServiceExt::oneshot(router, request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        Some(Phase::Passed(_)) if request.headers().contains_key(PASSED) => {
            nobody("it is being settled which control plane drives: ask again")
        }
        // One that stands still answers nothing: whoever waits for it must not wait for longer than it is followed.
        Some(Phase::Passed(address)) => tokio::select! {
            answer = pass(&front, &address, request) => answer,
            () = front.left(address.clone()) => nobody("another control plane has taken over meanwhile: ask again"),
        },
        Some(Phase::Waiting) | None => front.nobody("no control plane drives at present"),
    }
}

/// Passes a request on, and its answer back as it comes.
async fn pass(front: &Front, address: &str, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let url = format!("{address}{path}");
    for name in HOP {
        head.headers.remove(name);
    }
    head.headers.insert(PASSED, HeaderValue::from_static("1"));
    let peer = head.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    let asked_by = slipway_server::client(peer, &head.headers);
    head.headers.remove(ASKED_BY);
    if let Some(client) = asked_by.and_then(|client| HeaderValue::from_str(&client.to_string()).ok()) {
        head.headers.insert(ASKED_BY, client);
    }
    let passed = front.http.request(head.method, url).headers(head.headers);
    let answer = match passed.body(reqwest::Body::wrap_stream(body.into_data_stream())).send().await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::info!(%error, address, "a request could not be passed on");
            return front
                .nobody("the control plane that drives does not answer; another takes over within seconds: try again");
        }
    };
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    for name in HOP {
        headers.remove(name);
    }
    let (front, address) = (front.clone(), address.to_string());
    let left = Box::pin(async move { front.left(address).await });
    (status, headers, Body::from_stream(unless_left(answer.bytes_stream(), left))).into_response()
}

/// What comes, until it ends or `left` does. Then it breaks off: what ends early must not look whole.
fn unless_left<T>(
    parts: impl Stream<Item = reqwest::Result<T>> + Unpin,
    left: impl Future<Output = ()> + Unpin,
) -> impl Stream<Item = std::io::Result<T>> {
    stream::unfold(Some((parts, left)), async |going| {
        let (mut parts, mut left) = going?;
        let part = tokio::select! {
            part = parts.next() => part?.map_err(std::io::Error::other),
            () = &mut left => Err(std::io::Error::other("another control plane has taken over")),
        };
        let going = part.is_ok().then_some((parts, left));
        Some((part, going))
    })
}

/// Another will drive soon: whoever asks again under its key loses nothing.
fn nobody(detail: &str) -> Response {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let body = json!({ "status": status.as_u16(), "code": "nobody_drives", "detail": detail }).to_string();
    let headers = [(header::CONTENT_TYPE, "application/problem+json"), (header::RETRY_AFTER, "1")];
    (status, headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use axum::routing::get;

    use super::*;

    /// Serves at a port of its own, and says where.
    async fn served(router: Router) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, router).into_future());
        address
    }

    #[tokio::test]
    async fn a_request_that_comes_back_goes_round_no_further() {
        let front = Front::new().unwrap();
        let address = served(front.router()).await;
        front.pass_to(&address);
        let answer = front.http.get(format!("{address}/api/v1/services")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        let said = answer.text().await.unwrap();
        assert!(said.contains("which control plane drives") && said.contains("\"nobody_drives\""), "{said}");
    }

    #[tokio::test]
    async fn nobody_is_promised_to_take_over_while_the_database_is_away() {
        let front = Front::new().unwrap();
        // Nobody listens there, and nobody else gets it.
        let held = tokio::net::TcpSocket::new_v4().unwrap();
        held.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let gone = held.local_addr().unwrap();
        front.pass_to(&format!("http://{gone}"));
        let address = served(front.router()).await;
        for (sees, said) in [(true, "within seconds"), (false, "database cannot be reached"), (true, "within seconds")]
        {
            front.see(sees);
            let answer = front.http.get(&address).send().await.unwrap().text().await.unwrap();
            assert!(answer.contains(said) && answer.contains("nobody_drives"), "{answer}");
        }
    }

    #[tokio::test]
    async fn who_asks_is_told_to_the_one_that_drives_and_not_what_they_say_of_themselves() {
        let driver = Router::new().fallback(async |request: Request| {
            let told: Vec<_> = request.headers().get_all(ASKED_BY).iter().map(|v| v.to_str().unwrap()).collect();
            told.join(" and ")
        });
        let front = Front::new().unwrap();
        front.pass_to(&served(driver).await);
        let ask = |peer: &str| {
            let mut request = Request::new(Body::empty());
            request.headers_mut().insert(ASKED_BY, HeaderValue::from_static("203.0.113.9, 198.51.100.7"));
            request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer.parse().unwrap()));
            let front = front.clone();
            async move {
                let answer = answer(State(front), request).await;
                let body = axum::body::to_bytes(answer.into_body(), 1_000).await.unwrap();
                String::from_utf8(body.to_vec()).unwrap()
            }
        };
        assert_eq!(ask("192.0.2.1:4000").await, "192.0.2.1");
        assert_eq!(ask("127.0.0.1:4000").await, "198.51.100.7", "a proxy on this machine is believed");
    }

    #[tokio::test]
    async fn what_a_takeover_cuts_off_does_not_end_as_if_it_were_whole() {
        let line = || stream::iter([Ok::<_, std::io::Error>("line")]);
        let driver = Router::new()
            .route("/whole", get(async move || Body::from_stream(line())))
            .route("/export", get(async move || Body::from_stream(line().chain(stream::pending()))));
        let front = Front::new().unwrap();
        front.pass_to(&served(driver).await);
        let address = served(front.router()).await;
        let whole = front.http.get(format!("{address}/whole")).send().await.unwrap();
        assert_eq!(whole.text().await.unwrap(), "line");
        let mut export = front.http.get(format!("{address}/export")).send().await.unwrap();
        assert_eq!(export.chunk().await.unwrap().unwrap(), "line");
        front.wait();
        export.chunk().await.expect_err("the rest did not come");
    }
}

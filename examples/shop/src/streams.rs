//! Answers that take their time: a download at a steady pace, server-sent events, a WebSocket that echoes.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role};

use crate::service::{Body, json_answer};

const CHUNK: usize = 64 << 10;
const EVENT_EVERY: Duration = Duration::from_millis(100);

/// `mb` MiB spread over `seconds`. It is never cut short: whoever asked for it gets all of it.
pub fn download(mb: u64, seconds: u64) -> Response<Body> {
    let chunks = mb * ((1 << 20) / CHUNK as u64);
    let (start, whole) = (Instant::now(), Duration::from_secs(seconds));
    let chunk = Bytes::from(vec![b'.'; CHUNK]);
    let content = stream::unfold(0, move |sent| {
        let chunk = chunk.clone();
        async move {
            if sent == chunks {
                return None;
            }
            sleep_until(start + whole.mul_f64((sent + 1) as f64 / chunks as f64)).await;
            Some((chunk, sent + 1))
        }
    });
    streaming("application/octet-stream", content)
}

/// An event each 100 ms, until the client goes or the shop is asked to stop.
pub fn events(version: String, closing: watch::Receiver<bool>) -> Response<Body> {
    let mut ticks = interval(EVENT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let events = stream::unfold((0u64, ticks, closing), move |(n, mut ticks, mut closing)| {
        let version = version.clone();
        async move {
            tokio::select! {
                biased;
                () = closes(&mut closing) => return None,
                _ = ticks.tick() => {}
            }
            let data = json!({"n": n, "version": version});
            Some((Bytes::from(format!("id: {n}\nevent: tick\ndata: {data}\n\n")), (n + 1, ticks, closing)))
        }
    });
    let mut response = streaming("text/event-stream", events);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Says back what it is told; says goodbye when the shop is asked to stop.
pub fn web_socket(mut request: Request<Incoming>, closing: watch::Receiver<bool>) -> Response<Body> {
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()))
    else {
        return json_answer(StatusCode::BAD_REQUEST, &json!({"error": "this page speaks WebSocket only"}));
    };
    let Ok(accept) = HeaderValue::from_str(&key) else {
        return json_answer(StatusCode::BAD_REQUEST, &json!({"error": "bad Sec-WebSocket-Key"}));
    };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(connection) = upgrade.await {
            echo(WebSocketStream::from_raw_socket(TokioIo::new(connection), Role::Server, None).await, closing).await;
        }
    });
    let mut response =
        json_answer(StatusCode::SWITCHING_PROTOCOLS, &json!(null)).map(|_| http_body_util::Empty::new().boxed());
    let headers = response.headers_mut();
    headers.clear();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response
}

async fn echo<S, E>(mut socket: S, mut closing: watch::Receiver<bool>)
where
    S: Stream<Item = Result<Message, E>> + Sink<Message> + Unpin,
{
    loop {
        let message = tokio::select! {
            message = socket.next() => message,
            () = closes(&mut closing) => {
                let goodbye = CloseFrame { code: CloseCode::Away, reason: "the shop closes".into() };
                let _ = socket.send(Message::Close(Some(goodbye))).await;
                return;
            }
        };
        match message {
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                if socket.send(message).await.is_err() {
                    return;
                }
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return,
        }
    }
}

async fn closes(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

fn streaming(kind: &'static str, chunks: impl Stream<Item = Bytes> + Send + Sync + 'static) -> Response<Body> {
    let frames = chunks.map(|chunk| Ok::<_, Infallible>(Frame::data(chunk)));
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(frames)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

//! Clients of every kind, that count what goes wrong.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use slipway_e2e::until;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Requests one after the other until it is stopped.
pub struct Steady {
    answers: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Steady {
    /// Each on a connection of its own.
    pub fn anew(at: SocketAddr) -> Steady {
        Steady::begin(at, false)
    }

    /// On one connection of HTTP/2 for as long as that takes requests.
    pub fn two(at: SocketAddr) -> Steady {
        Steady::begin(at, true)
    }

    fn begin(at: SocketAddr, two: bool) -> Steady {
        let (answers, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped) = (answers.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let mut kept = None;
            while !stopped.load(Relaxed) {
                match two {
                    true => ask_by_two(at, &mut kept).await?,
                    false => {
                        let answer = Connection::open(at).await?.ask("connection: close\r\n").await?;
                        anyhow::ensure!(answer.status == 200, "{answer:?}");
                    }
                }
                counted.fetch_add(1, Relaxed);
            }
            Ok(())
        });
        Steady { answers, stop, task }
    }

    /// Waits until it has got some more answers.
    pub async fn goes_on(&self) {
        let wanted = self.answers.load(Relaxed) + 20;
        until("more answers", async || (self.task.is_finished() || self.answers.load(Relaxed) >= wanted).then_some(()))
            .await
            .expect("answers come");
    }

    /// Stops it; not one request may have failed.
    pub async fn stop(self) {
        self.stop.store(true, Relaxed);
        self.task.await.expect("it ends").expect("every request is answered");
    }
}

async fn ask_by_two(at: SocketAddr, kept: &mut Option<SendRequest<Empty<Bytes>>>) -> anyhow::Result<()> {
    let mut next = Some(Request::get("http://shop.local/").body(Empty::new())?);
    while let Some(request) = next.take() {
        let mut sender = match kept.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => {
                let (sender, connection) =
                    handshake(TokioExecutor::new(), TokioIo::new(TcpStream::connect(at).await?)).await?;
                tokio::spawn(connection);
                sender
            }
        };
        match sender.try_send_request(request).await {
            Ok(answer) => {
                let status = answer.status();
                answer.into_body().collect().await?;
                anyhow::ensure!(status == 200, "it is answered with {status}");
                *kept = Some(sender);
            }
            // One that never left is sent on the next connection, as every client does.
            Err(mut error) => match error.take_message() {
                Some(unsent) => next = Some(unsent),
                None => return Err(error.into_error().into()),
            },
        }
    }
    Ok(())
}

/// An answer to a request for `/`.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub version: String,
    /// Whether the connection ends with it.
    pub close: bool,
}

/// A connection of HTTP/1.1 that does what it is told.
pub struct Connection<S = TcpStream>(BufReader<S>);

impl Connection {
    pub async fn open(at: SocketAddr) -> anyhow::Result<Connection> {
        Ok(Connection(BufReader::new(TcpStream::connect(at).await?)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub fn over(stream: S) -> Connection<S> {
        Connection(BufReader::new(stream))
    }

    /// Says some of a request.
    pub async fn say(&mut self, text: &str) -> anyhow::Result<()> {
        Ok(self.0.write_all(text.as_bytes()).await?)
    }

    /// Asks for `/`, with further header lines.
    pub async fn ask(&mut self, further: &str) -> anyhow::Result<Answer> {
        self.say(&format!("GET / HTTP/1.1\r\nhost: shop.local\r\n{further}\r\n")).await?;
        self.answer().await
    }

    /// The next answer.
    pub async fn answer(&mut self) -> anyhow::Result<Answer> {
        let (mut lines, mut length) = (Vec::new(), 0);
        loop {
            let mut line = String::new();
            anyhow::ensure!(self.0.read_line(&mut line).await? > 0, "it is closed after {lines:?}");
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            lines.push(line);
        }
        self.0.read_exact(&mut vec![0; length]).await?;
        let field = |name: &str| lines.iter().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
        let status = lines[0].split(' ').nth(1).unwrap_or_default().parse()?;
        Ok(Answer { status, version: field("x-version:").to_string(), close: field("connection:") == "close" })
    }
}

/// A WebSocket to the shop.
pub struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    pub async fn open(at: SocketAddr) -> Socket {
        let request = "ws://shop.local/ws".into_client_request().expect("a request");
        let connection = TcpStream::connect(at).await.expect("a connection");
        Socket(client_async(request, connection).await.expect("an upgrade").0)
    }

    /// It says back what it is told.
    pub async fn lives(&mut self) {
        self.0.send(Message::text("hello")).await.expect("it is sent");
        let back = until("it is said back", async || self.0.next().await).await.expect("an answer");
        assert_eq!(back.expect("a message"), Message::text("hello"));
    }

    /// Waits until it is cut.
    pub async fn ends_by_being_cut(mut self) {
        let end = until("it is cut", async || Some(self.0.next().await)).await.expect("it ends");
        assert!(!matches!(end, Some(Ok(Message::Text(_)))), "{end:?}");
    }
}

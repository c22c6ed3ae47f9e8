//! One HTTP/1.1 request on a connection of its own, for health checks and smoke tests. Not a client library.

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::http::response::Parts;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use slipway_core::address::Address;
use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;
use tokio_util::task::AbortOnDropHandle;

/// From one attempt to the next where a socket's queue of connections is full: nobody says when it has room.
const NO_ROOM: Duration = Duration::from_millis(5);

/// The connection, which must live as long as the answer is read.
type Connection = AbortOnDropHandle<()>;

/// The head of the answer; its body is not waited for.
pub(crate) async fn head<B>(address: &Address, request: Request<B>) -> Result<Parts, String>
where
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let (response, _connection) = send(address, request).await?;
    Ok(response.into_parts().0)
}

/// The whole answer, of its body at most `limit` bytes.
pub(crate) async fn whole<B>(address: &Address, request: Request<B>, limit: usize) -> Result<(Parts, Bytes), String>
where
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let (response, _connection) = send(address, request).await?;
    let (head, mut body) = response.into_parts();
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| format!("the answer broke off: {}", plain(&e)))?;
        if let Some(data) = frame.data_ref() {
            read.extend_from_slice(&data[..data.len().min(limit - read.len())]);
        }
        if read.len() == limit {
            break;
        }
    }
    Ok((head, read.freeze()))
}

/// A connection. It waits for as long as its caller has patience where a socket has no room for one more.
pub(crate) async fn connect(address: &Address) -> io::Result<Either<TcpStream, UnixStream>> {
    let socket = match address {
        Address::Tcp(address) => return TcpStream::connect(address).await.map(Either::Left),
        Address::Unix(socket) => socket,
    };
    loop {
        match UnixStream::connect(&**socket).await {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(NO_ROOM).await,
            connected => return connected.map(Either::Right),
        }
    }
}

async fn send<B>(address: &Address, request: Request<B>) -> Result<(Response<Incoming>, Connection), String>
where
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let stream = connect(address).await.map_err(|e| plain(&e))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| plain(&e))?;
    let connection = AbortOnDropHandle::new(tokio::spawn(async move {
        // What goes wrong on the connection is said to who waits for the answer.
        let _ = connection.await;
    }));
    let response = sender.send_request(request).await.map_err(|e| plain(&e))?;
    Ok((response, connection))
}

/// An error in words that need no knowledge of libraries.
pub(crate) fn plain(e: &(dyn Error + 'static)) -> String {
    let mut cause: Option<&(dyn Error + 'static)> = Some(e);
    while let Some(e) = cause {
        if let Some(e) = e.downcast_ref::<io::Error>() {
            match e.kind() {
                io::ErrorKind::ConnectionRefused => return "connection refused".to_string(),
                io::ErrorKind::ConnectionReset => return "the connection was reset".to_string(),
                _ => {}
            }
        }
        cause = e.source();
    }
    if let Some(e) = e.downcast_ref::<hyper::Error>() {
        if e.is_incomplete_message() {
            return "the connection was closed before an answer".to_string();
        }
        if e.is_parse() {
            return "the answer is not HTTP/1.1".to_string();
        }
    }
    e.to_string()
}

//! Questions that the gateway passes on to the control plane's API while it answers a client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::gateway::{Gateway, lock};
use crate::invitation::Invitation;

/// Questions that are on their way at once.
const MOST: usize = 32;

/// What kept a question from being answered.
pub(crate) type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// Questions on their way.
#[derive(Debug, Default)]
pub(crate) struct Passing(AtomicUsize);

/// One of the places of those that are on their way, until it is dropped.
pub(crate) struct Place<'a>(&'a Passing);

impl Passing {
    /// A place; `None` where all are taken.
    pub(crate) fn place(&self) -> Option<Place<'_>> {
        let taken = self.0.fetch_add(1, Relaxed);
        let place = Place(self);
        (taken < MOST).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// How questions get to the API.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// It is on this machine, and listens here.
    Api(SocketAddr),
    /// The hub of the control plane that has invited this gateway asks it. Reports alone get there by it.
    Hub(Arc<Invitation>),
}

/// How questions get to the API, once the control plane has said so.
pub(crate) fn way(gateway: &Gateway) -> Option<Way> {
    lock(&gateway.api).clone()
}

/// Where the API listens, once the control plane has said so.
pub(crate) fn address(gateway: &Gateway) -> Option<SocketAddr> {
    match way(gateway)? {
        Way::Api(address) => Some(address),
        Way::Hub(_) => None,
    }
}

/// Asks the API; an answer has at most `limit` bytes.
pub(crate) async fn ask(
    api: SocketAddr,
    mut request: Request<Full<Bytes>>,
    limit: usize,
) -> Result<Response<Bytes>, Trouble> {
    let stream = TcpStream::connect(api).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    request.headers_mut().insert(HOST, HeaderValue::try_from(api.to_string())?);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, limit).collect().await?.to_bytes();
    connection.abort();
    Ok(Response::from_parts(head, body))
}

//! The short way through the gateway: plain HTTP/1.1 requests over raw sockets, without a library in between.
//!
//! It takes a request only if it knows everything about it: a head that `head` understands to the last field, a body that
//! has come with it, a route that is neither in maintenance nor has faults injected or requests copied and whose instances speak HTTP/1.1. With the first request that
//! is anything else the connection goes to the long way (`connection`, on hyper, behind the guard) with the bytes that
//! were read and not used, and stays there: HTTP/2, gRPC, upgrades, `Expect`, chunked and long request bodies, HTTP/1.0,
//! absolute targets, everything malformed, and every refusal of a request. It routes, counts, retries and rewrites by the
//! same modules and rules as the long way; `course` is what both share. What is absent: TLS, the access log.

mod answer;
mod chunks;
mod exchange;
mod head;
mod link;
mod pool;
mod rewrite;
mod session;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::net::TcpStream;

use crate::gateway::Gateway;

pub(crate) use head::{Seen, parse, room};
pub(crate) use link::Raw;
pub(crate) use pool::Pool;

/// What is handed to the long way.
#[derive(Debug)]
pub(crate) struct Rest {
    /// The client's connection.
    pub(crate) stream: TcpStream,
    /// What was read of it and not used, from a request's first byte on.
    pub(crate) before: BytesMut,
    /// Whether it is a connection of HTTP/2.
    pub(crate) two: bool,
}

/// Serves a client's connection until it ends, or until a request comes that the long way has to answer: then what is
/// left of it.
pub(crate) async fn serve(gateway: &Arc<Gateway>, client: TcpStream, address: SocketAddr) -> Option<Rest> {
    let mut session = session::Session::new(gateway, client, address);
    let (before, two) = session.run().await?;
    Some(Rest { stream: session.into_client(), before, two })
}

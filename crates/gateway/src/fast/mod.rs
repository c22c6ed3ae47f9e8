//! The short way through the gateway: plain HTTP/1.1 requests over raw sockets, without a library in between.
//!
//! It takes a request only if it knows everything about it: a head that `head` understands to the last field, a body that
//! has come with it, a route that is not in maintenance. With the first request that is anything else the connection
//! goes to the long way (`proxy`, on hyper) with the bytes that were read and not used, and stays there: upgrades,
//! `Expect`, chunked and long request bodies, HTTP/1.0, absolute targets, everything malformed, and every refusal of a
//! request. It routes, counts, retries and rewrites by the same modules and rules as the long way; `course` is what both
//! share. What is absent: TLS, HTTP/2, upgrades, the access log.

mod answer;
mod chunks;
mod exchange;
mod head;
mod link;
mod pool;
mod replay;
mod rewrite;
mod session;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::net::TcpStream;

use crate::gateway::Gateway;

pub(crate) use link::{Link, Raw};
pub(crate) use pool::Pool;
pub(crate) use replay::Replay;

/// Serves a client's connection until it ends, or until a request comes that the long way has to answer: then the
/// connection, with what was read of that request and after it.
pub(crate) async fn serve(gateway: &Arc<Gateway>, client: TcpStream, address: SocketAddr) -> Option<Replay<TcpStream>> {
    let mut session = session::Session::new(gateway, client, address);
    let rest: Option<BytesMut> = session.run().await;
    rest.map(|rest| Replay::new(session.into_client(), rest))
}

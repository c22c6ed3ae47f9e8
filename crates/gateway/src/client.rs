//! Who is at the other end of a client connection, and what is known of the connection as such.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use http::Request;

use crate::fault::Fault;
use crate::guard::Verdict;

/// The client of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// Its address.
    pub(crate) address: SocketAddr,
    /// `http` or `https`.
    pub(crate) proto: &'static str,
    /// What the guard of an HTTP/1 connection found out.
    pub(crate) verdict: Option<Arc<Verdict>>,
    /// Set to have the connection reset when it ends.
    pub(crate) reset: Arc<AtomicBool>,
}

impl Client {
    /// Why this request stands for one that is refused.
    pub(crate) fn refusal<B>(&self, request: &Request<B>) -> Option<Fault> {
        self.verdict.as_ref()?.refusal(request)
    }

    /// The connection carries another protocol from now on.
    pub(crate) fn switch(&self) {
        self.verdict.iter().for_each(|verdict| verdict.switch());
    }

    /// Whether the connection's bytes are not looked at any more.
    pub(crate) fn is_opaque(&self) -> bool {
        self.verdict.as_ref().is_some_and(|verdict| verdict.is_opaque())
    }
}

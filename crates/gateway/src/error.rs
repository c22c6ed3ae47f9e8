//! Why a gateway could not start or go on. What a client is told when a request fails is in `fault`.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else listens there.
    #[error(
        "cannot listen on {address}: another program is using this port. End it, or choose another with --traffic, or --tls"
    )]
    PortTaken {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The address cannot be listened on for another reason.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The folder for the gateway's state cannot be used.
    #[error("cannot use {path} for the gateway's state: {source}")]
    State {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The process that runs cannot be followed.
    #[error("the gateway that runs cannot be followed: {0}")]
    Succession(io::Error),
    /// The access log cannot be written.
    #[error("cannot open the access log {path}: {source}")]
    AccessLog {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

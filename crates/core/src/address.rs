//! Where an instance listens: on a port of TCP, or on a Unix socket.
//!
//! Written as `127.0.0.1:4001` or `unix:/run/slipway/1`, in tables, documents and for people alike.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What the kernel takes as the path of a socket, in bytes: the last of 108 ends it (unix(7)).
pub const SOCKET_PATH_LIMIT: usize = 107;
/// What the text of a socket's address begins with.
const UNIX: &str = "unix:";

/// Where an instance listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Address {
    /// On a port.
    Tcp(SocketAddr),
    /// On the socket with this absolute path.
    Unix(Arc<str>),
}

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither of the two.
    #[error("{0:?} is neither an address with a port nor unix: and a path")]
    Unknown(String),
    /// A path that no socket can have.
    #[error("{0:?} cannot be a socket: the path must be absolute and of at most {SOCKET_PATH_LIMIT} bytes")]
    Path(String),
}

impl Address {
    /// The socket with this path.
    pub fn unix(path: &str) -> Result<Address, AddressError> {
        let fits = path.starts_with('/') && path.len() <= SOCKET_PATH_LIMIT && !path.contains('\0');
        if fits { Ok(Address::Unix(path.into())) } else { Err(AddressError::Path(path.to_string())) }
    }

    /// The port, where it is one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Address::Tcp(address) => Some(address.port()),
            Address::Unix(_) => None,
        }
    }

    /// The socket's path, where it is one.
    pub fn socket(&self) -> Option<&str> {
        match self {
            Address::Tcp(_) => None,
            Address::Unix(path) => Some(path),
        }
    }

    /// What a request to it says as `Host`, where nothing else is asked for.
    pub fn host(&self) -> String {
        match self {
            Address::Tcp(address) => address.to_string(),
            Address::Unix(_) => "localhost".to_string(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "{UNIX}{path}"),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Address, AddressError> {
        match text.strip_prefix(UNIX) {
            Some(path) => Address::unix(path),
            None => text.parse().map(Address::Tcp).map_err(|_| AddressError::Unknown(text.to_string())),
        }
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Address, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> String {
        address.to_string()
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Tcp(address)
    }
}

impl From<([u8; 4], u16)> for Address {
    fn from(address: ([u8; 4], u16)) -> Address {
        Address::Tcp(address.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_before_there_were_sockets_is_read() {
        let kept: Address = serde_json::from_str(r#""127.0.0.1:4001""#).unwrap();
        assert_eq!((kept.port(), kept.socket(), kept.host().as_str()), (Some(4001), None, "127.0.0.1:4001"));
        assert_eq!(serde_json::to_string(&kept).unwrap(), r#""127.0.0.1:4001""#);
    }

    #[test]
    fn a_socket_is_a_path_that_the_kernel_takes() {
        let address: Address = "unix:/run/slipway/1".parse().unwrap();
        assert_eq!(
            (address.port(), address.socket(), address.host().as_str()),
            (None, Some("/run/slipway/1"), "localhost")
        );
        assert_eq!(address.to_string(), "unix:/run/slipway/1");
        let longest = format!("/{}", "x".repeat(SOCKET_PATH_LIMIT - 1));
        assert!(Address::unix(&longest).is_ok());
        for wrong in [format!("{longest}x"), "run/1".to_string(), "/run/\0".to_string(), String::new()] {
            assert_eq!(Address::unix(&wrong), Err(AddressError::Path(wrong.clone())));
        }
        for wrong in ["", "4001", "127.0.0.1", "localhost:80", "/run/1"] {
            assert_eq!(wrong.parse::<Address>(), Err(AddressError::Unknown(wrong.to_string())));
        }
    }
}

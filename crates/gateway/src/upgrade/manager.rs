//! What a service manager is told that asked for it by `NOTIFY_SOCKET` (sd_notify(3)): without a word it would take the
//! end of the process that it started for the end of the service, and end the one that has followed it.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Tells it, where there is one.
pub(crate) fn tell(what: &str) {
    let Some(to) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let told = || -> io::Result<()> {
        let address = match to.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            path => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
        };
        UnixDatagram::unbound()?.send_to_addr(what.as_bytes(), &address)?;
        Ok(())
    };
    if let Err(error) = told() {
        tracing::warn!(%error, what, "the service manager cannot be told");
    }
}

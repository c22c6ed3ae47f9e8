//! Ports for programs that have to be told theirs before they listen.

use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{Mutex, PoisonError};

/// Ports that nobody is given by chance: the kernel gives higher ones to connections and to who asks for any, as it is set up by
/// default, and Slipway those from 10,000 to its instances. Lower ones are not all opened by browsers.
const RANGE: std::ops::Range<u16> = 7_000..10_000;

/// A port of 127.0.0.1 on which nobody listens, neither by TCP nor by UDP. No other test is given it for as long as this
/// program runs.
///
/// # Panics
/// Where none is free.
pub fn free_port() -> u16 {
    // The name of an abstract socket belongs to whoever bound it first, and is given up when that program ends.
    static OURS: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    let begin = (std::process::id() % u32::from(RANGE.end - RANGE.start)) as u16;
    for n in 0..RANGE.end - RANGE.start {
        let port = RANGE.start + (begin + n) % (RANGE.end - RANGE.start);
        let name = SocketAddr::from_abstract_name(format!("slipway-e2e-port-{port}")).expect("a short name");
        let Ok(claim) = UnixListener::bind_addr(&name) else { continue };
        OURS.lock().unwrap_or_else(PoisonError::into_inner).push(claim);
        let address = ("127.0.0.1", port);
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return port;
        }
    }
    panic!("no port from {} to {} is free", RANGE.start, RANGE.end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once_and_to_no_connection() {
        let ports: std::collections::BTreeSet<u16> = (0..50).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 50, "{ports:?}");
        let kernels = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("it is Linux");
        let first = kernels.split_whitespace().next().and_then(|text| text.parse::<u16>().ok()).expect("a range");
        // Where somebody has set it up otherwise, there is nothing better.
        assert!(first <= RANGE.start || ports.iter().all(|port| *port < first), "{kernels}: {ports:?}");
    }
}

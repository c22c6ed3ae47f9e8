//! Who holds the sockets that a connection to a port reaches.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use super::{Proof, processes};
use crate::process::Subject;
use crate::procfs;

/// The descriptors by which the instance's processes hold what connections to its port reach.
pub(super) fn prove(subject: &Subject, port: u16) -> Result<Proof, String> {
    let listening = listening();
    let own: Vec<(u64, PathBuf)> = processes(subject).into_iter().flat_map(procfs::sockets).collect();
    let reached = reached(&listening, port);
    if reached.is_empty() {
        return Err(nothing_listens(&listening, &own, port));
    }
    reached
        .into_iter()
        .map(|inode| own.iter().find(|(i, _)| *i == inode).map(|(_, path)| (path.clone(), inode)))
        .collect::<Option<Vec<_>>>()
        .map(Proof::Port)
        .ok_or_else(|| format!("port {port} is listened on by another process"))
}

fn nothing_listens(listening: &[Listener], own: &[(u64, PathBuf)], port: u16) -> String {
    let instead = listening.iter().find(|l| own.iter().any(|(inode, _)| *inode == l.inode));
    match instead {
        Some(l) if l.port == port => {
            format!("the program listens on port {port} of {} only, not of 127.0.0.1", l.address)
        }
        Some(l) => {
            format!(
                "nothing listens on port {port}, but the program listens on {}: does the command use {{port}}?",
                l.port
            )
        }
        None => format!("nothing listens on port {port}: does the command use {{port}}?"),
    }
}

/// A listening TCP socket.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listener {
    address: IpAddr,
    port: u16,
    inode: u64,
}

/// The sockets that a connection to 127.0.0.1 on `port` may reach: the most exact address wins, and sockets may share it.
fn reached(listening: &[Listener], port: u16) -> Vec<u64> {
    let exactness = |address: &IpAddr| match address {
        IpAddr::V4(Ipv4Addr::LOCALHOST) => Some(2),
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Some(1),
        IpAddr::V6(v6) if v6.to_ipv4_mapped() == Some(Ipv4Addr::LOCALHOST) => Some(2),
        IpAddr::V6(v6) if v6.to_ipv4_mapped() == Some(Ipv4Addr::UNSPECIFIED) => Some(1),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Some(0),
        _ => None,
    };
    let fitting: Vec<(i32, u64)> =
        listening.iter().filter(|l| l.port == port).filter_map(|l| Some((exactness(&l.address)?, l.inode))).collect();
    let best = fitting.iter().map(|(e, _)| *e).max();
    fitting.into_iter().filter(|(e, _)| Some(*e) == best).map(|(_, inode)| inode).collect()
}

fn listening() -> Vec<Listener> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| table.lines().filter_map(parse_listener).collect::<Vec<_>>())
        .collect()
}

/// One line of `/proc/net/tcp` or `tcp6`, if it is of a listening socket.
fn parse_listener(line: &str) -> Option<Listener> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    if *fields.get(3)? != "0A" {
        return None;
    }
    let (address, port) = fields.get(1)?.split_once(':')?;
    Some(Listener {
        address: parse_address(address)?,
        port: u16::from_str_radix(port, 16).ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// The kernel prints an address as words in the machine's own byte order.
fn parse_address(hex: &str) -> Option<IpAddr> {
    let word = |i: usize| Some(u32::from_str_radix(hex.get(i * 8..i * 8 + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(IpAddr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (i, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(i)?);
            }
            Some(IpAddr::from(bytes))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_kernels_table_shows_a_listener_of_this_process() {
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
            let Ok(socket) = TcpListener::bind(address) else { continue };
            let port = socket.local_addr().unwrap().port();
            let reached = reached(&listening(), port);
            let own = procfs::sockets(std::process::id());
            assert_eq!(reached.len(), 1, "{address}");
            assert!(own.iter().any(|(inode, _)| *inode == reached[0]), "{address}");
        }
    }

    #[test]
    fn the_most_exact_address_is_reached() {
        let l = |address: &str, inode| Listener { address: address.parse().unwrap(), port: 80, inode };
        let all = [l("::", 1), l("0.0.0.0", 2), l("127.0.0.1", 3), l("127.0.0.1", 4), l("::1", 5), l("10.0.0.1", 6)];
        assert_eq!(reached(&all, 80), [3, 4]);
        assert_eq!(reached(&all[..2], 80), [2]);
        assert_eq!(reached(&all[..1], 80), [1]);
        assert_eq!(reached(&all[4..], 80), [] as [u64; 0]);
        assert_eq!(reached(&all, 81), [] as [u64; 0]);
    }

    #[test]
    fn a_line_of_the_table_is_read() {
        let line =
            "   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000 0 4711 1 0 100 0 0 10 0";
        if cfg!(target_endian = "little") {
            let expected = Listener { address: "127.0.0.1".parse().unwrap(), port: 8080, inode: 4711 };
            assert_eq!(parse_listener(line), Some(expected));
        }
        assert_eq!(parse_listener(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(parse_listener("  sl  local_address rem_address   st"), None);
    }
}

//! Places at the door where invited gateways call, for those of whom nobody knows yet who they are. There are few, and whoever
//! comes while all are taken is let in all the same: in the place of the one who has stood there longest, among those of
//! the network that takes the most. So a crowd turns out itself, and nobody else.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::hello::HELLO_LIMIT;
use crate::gateway::lock;

/// Callers at once, until their hello.
const PLACES: usize = 64;

/// Who stands at the door, those who came first before the others.
#[derive(Debug, Default)]
pub(super) struct Door {
    callers: Mutex<Vec<Caller>>,
}

#[derive(Debug)]
struct Caller {
    network: Network,
    turned_out: CancellationToken,
}

/// What one owner usually has all of: an address of IPv4, or 64 bits of one of IPv6.
type Network = [u8; 8];

fn network(address: IpAddr) -> Network {
    let mut network = [0; 8];
    match address.to_canonical() {
        IpAddr::V4(address) => network[..4].copy_from_slice(&address.octets()),
        IpAddr::V6(address) => network.copy_from_slice(&address.octets()[..8]),
    }
    network
}

/// A place at the door, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    door: Arc<Door>,
    /// Cancelled when somebody else gets it.
    turned_out: CancellationToken,
    /// When it has to be known who it is.
    until: Instant,
}

impl Door {
    /// Lets somebody in, and turns out somebody else where there is no place left.
    pub(super) fn enter(self: &Arc<Door>, from: IpAddr) -> Place {
        let turned_out = CancellationToken::new();
        let mut callers = lock(&self.callers);
        if callers.len() >= PLACES {
            let leaves = longest_of_the_most(&callers);
            callers.remove(leaves).turned_out.cancel();
        }
        callers.push(Caller { network: network(from), turned_out: turned_out.clone() });
        Place { door: self.clone(), turned_out, until: Instant::now() + HELLO_LIMIT }
    }
}

impl Place {
    /// What the one who stands here does next, while it may stand here.
    pub(super) async fn wait<T>(&self, does: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let out = || io::Error::other("too many are at the door, and this one has stood there longest");
        tokio::select! {
            () = self.turned_out.cancelled() => Err(out()),
            () = tokio::time::sleep_until(self.until) => Err(io::ErrorKind::TimedOut.into()),
            done = does => done,
        }
    }
}

/// Who came first of the network that has the most.
fn longest_of_the_most(callers: &[Caller]) -> usize {
    let mut of: HashMap<Network, usize> = HashMap::new();
    callers.iter().for_each(|caller| *of.entry(caller.network).or_default() += 1);
    let most = of.values().max();
    callers.iter().position(|caller| of.get(&caller.network) == most).unwrap_or(0)
}

impl Drop for Place {
    fn drop(&mut self) {
        // One who was turned out is not there any more.
        self.turned_out.cancel();
        lock(&self.door.callers).retain(|caller| !caller.turned_out.is_cancelled());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    #[test]
    fn a_crowd_turns_out_itself_and_nobody_else() {
        let door = Arc::new(Door::default());
        let first = door.enter(from("192.0.2.1"));
        let crowd: Vec<Place> = (0..PLACES * 3).map(|_| door.enter(from("198.51.100.7"))).collect();
        let last = door.enter(from("192.0.2.2"));
        assert!(!first.turned_out.is_cancelled() && !last.turned_out.is_cancelled());
        let left = crowd.iter().filter(|place| !place.turned_out.is_cancelled()).count();
        assert_eq!((left, lock(&door.callers).len()), (PLACES - 2, PLACES));
        assert!(crowd[0].turned_out.is_cancelled(), "who came first goes first");
        drop((crowd, first, last));
        assert!(lock(&door.callers).is_empty(), "places are given back");
    }

    #[test]
    fn who_owns_a_network_is_one_crowd() {
        assert_eq!(network(from("2001:db8::1")), network(from("2001:db8::ffff:1")));
        assert_ne!(network(from("2001:db8::1")), network(from("2001:db8:0:1::1")));
        assert_eq!(network(from("::ffff:192.0.2.1")), network(from("192.0.2.1")));
    }
}

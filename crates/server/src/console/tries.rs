//! Wrong tokens: an address that tried too many has to wait.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use slipway_core::units::{Millis, Timestamp};

/// Wrong tokens that one address may try within [`WINDOW`].
const TRIES: usize = 10;
/// How long a wrong token counts.
pub(super) const WINDOW: Millis = Millis::from_secs(60);
/// Addresses that are told apart; all beyond share one count.
const ADDRESSES: usize = 10_000;

/// The wrong tokens of late, by whence they came. Cheap to clone; clones share one count.
#[derive(Clone, Default)]
pub(super) struct Tries(Arc<Mutex<HashMap<From, Vec<Timestamp>>>>);

/// Whence a try came, as far as it is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum From {
    /// An address; of version 6 its first 64 bits, since whoever has one of those has them all.
    Address(IpAddr),
    /// One that is not known, or one too many.
    Any,
}

impl Tries {
    /// Whether whoever is there tried too many.
    pub fn too_many(&self, address: Option<IpAddr>, now: Timestamp) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = place(&all, from(address));
        let Some(tries) = all.get_mut(&from) else { return false };
        tries.retain(|at| now.since(*at) < WINDOW);
        tries.len() >= TRIES
    }

    /// Counts a wrong one.
    pub fn wrong(&self, address: Option<IpAddr>, now: Timestamp) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= ADDRESSES {
            all.retain(|_, tries| tries.last().is_some_and(|at| now.since(*at) < WINDOW));
        }
        let from = place(&all, from(address));
        let tries = all.entry(from).or_default();
        // More than enough are not remembered.
        if tries.len() < TRIES {
            tries.push(now);
        }
    }
}

fn from(address: Option<IpAddr>) -> From {
    match address {
        Some(IpAddr::V6(v6)) => From::Address(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into()),
        Some(v4) => From::Address(v4),
        None => From::Any,
    }
}

/// Where it is counted: by itself while there is room.
fn place(all: &HashMap<From, Vec<Timestamp>>, from: From) -> From {
    if all.contains_key(&from) || all.len() < ADDRESSES { from } else { From::Any }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn an_address_that_guesses_has_to_wait_and_others_do_not() {
        let tries = Tries::default();
        for i in 0..TRIES as u64 {
            assert!(!tries.too_many(at("192.0.2.7"), Timestamp(i)));
            tries.wrong(at("192.0.2.7"), Timestamp(i));
        }
        assert!(
            tries.too_many(at("192.0.2.7"), Timestamp(1_000)) && !tries.too_many(at("192.0.2.8"), Timestamp(1_000))
        );
        assert!(!tries.too_many(at("192.0.2.7"), Timestamp(61_000)), "a minute later it may try again");
    }

    #[test]
    fn whoever_has_a_network_of_version_6_guesses_as_one() {
        let tries = Tries::default();
        for i in 0..TRIES {
            tries.wrong(at(&format!("2001:db8::{i:x}")), Timestamp(0));
        }
        assert!(
            tries.too_many(at("2001:db8::ffff"), Timestamp(1)) && !tries.too_many(at("2001:db8:0:1::1"), Timestamp(1))
        );
    }

    #[test]
    fn addresses_without_end_are_counted_together() {
        let tries = Tries::default();
        for i in 0..(ADDRESSES + TRIES) as u32 {
            tries.wrong(Some(IpAddr::V4(i.into())), Timestamp(0));
        }
        assert!(tries.too_many(at("192.0.2.7"), Timestamp(1)), "one that was never seen, in the flood");
        tries.wrong(at("192.0.2.7"), Timestamp(70_000));
        assert!(!tries.too_many(at("192.0.2.9"), Timestamp(70_000)), "the flood is over");
    }
}

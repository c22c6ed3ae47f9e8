//! Hosts and paths that releases are about to claim. Whether one is free is looked at and recorded by one service at a time, so
//! that of two that are asked for at the same moment the second finds the first. In memory: one control plane drives, and
//! whatever another one still lets in the store does not take.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slipway_core::names::ServiceName;
use slipway_core::traffic::Match;
use tokio::sync::Notify;

use crate::places::in_common;

/// What is about to be claimed. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Claims(Arc<Shared>);

#[derive(Default)]
struct Shared {
    held: Mutex<Held>,
    let_go: Notify,
}

#[derive(Default)]
struct Held {
    count: u64,
    by: Vec<(u64, ServiceName, Vec<Match>)>,
}

/// The right to look whether some places are free, and to record that they are taken; until it is dropped.
pub(crate) struct Claim {
    claims: Claims,
    number: u64,
}

impl Claims {
    /// Waits until no other service is about to claim any of these.
    pub async fn hold(&self, service: &ServiceName, wanted: &[Match]) -> Claim {
        loop {
            let let_go = self.0.let_go.notified();
            tokio::pin!(let_go);
            let_go.as_mut().enable();
            if let Some(number) = self.held().take(service, wanted) {
                return Claim { claims: self.clone(), number };
            }
            let_go.await;
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn take(&mut self, service: &ServiceName, wanted: &[Match]) -> Option<u64> {
        let in_the_way = |(_, other, places): &(u64, ServiceName, Vec<Match>)| {
            other != service && in_common(wanted, places).is_some()
        };
        if self.by.iter().any(in_the_way) {
            return None;
        }
        self.count += 1;
        self.by.push((self.count, service.clone(), wanted.to_vec()));
        Some(self.count)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.held().by.retain(|(number, ..)| *number != self.number);
        self.claims.0.let_go.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_wants_the_same_waits_and_nobody_else() {
        let (claims, shop) = (Claims::default(), "shop".parse().expect("a service"));
        let place = |path: &str| vec![Match { host: Some("a.local".into()), path: path.into(), rank: 0 }];
        let first = claims.hold(&shop, &place("/")).await;
        let again = claims.hold(&shop, &place("/")).await;
        let cart = "cart".parse().expect("a service");
        drop(claims.hold(&cart, &place("/cart")).await);
        let wanted = place("/");
        let mut waits = std::pin::pin!(claims.hold(&cart, &wanted));
        for held in [first, again] {
            let waited = futures_util::poll!(&mut waits);
            assert!(waited.is_pending());
            drop(held);
        }
        drop(waits.await);
        assert!(claims.held().by.is_empty());
    }
}

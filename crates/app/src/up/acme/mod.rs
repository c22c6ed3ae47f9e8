//! Certificates that are obtained from an ACME server (RFC 8555) and renewed by themselves: which are due, and what came
//! of it. Whoever drives does this; gateways only see files that change.

mod issuer;
mod shelf;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use slipway_control::Clock;
use slipway_core::journal::Fact;
use slipway_core::units::{Millis, Timestamp};
use slipway_gateway::tls::Validity;
use slipway_server::Challenges;
use slipway_store::Store;

use self::issuer::Issuer;
use self::shelf::Shelf;
use crate::args::Acme;
use crate::folder::Folder;

/// How long one certificate may take in all.
const LIMIT: Duration = Duration::from_secs(180);
/// How long after a first failure it is tried again, in seconds; twice as long after each further one. Issuers allow a
/// handful of failures in an hour.
const FIRST_PAUSE: u64 = 60;
/// Longest pause, in seconds.
const LONGEST_PAUSE: u64 = 6 * 3600;
/// Longest sleep: the clock may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(600);
/// Certificates that hold for less than this many seconds are renewed at half of their time, others at two thirds.
const SHORT_LIVED: i64 = 10 * 24 * 3600;

/// What obtains and renews.
pub(super) struct Keeper {
    issuer: Issuer,
    shelf: Shelf,
    hosts: Vec<Host>,
    store: Store,
    clock: Clock,
}

/// A host, and when its certificate is next due.
struct Host {
    name: String,
    due: Timestamp,
    failures: u32,
}

impl Keeper {
    /// For the hosts that `acme` names; `None` where it names no server. `certificates` is the folder that gateways read.
    pub fn new(
        folder: &Folder,
        acme: &Acme,
        certificates: &Path,
        challenges: Challenges,
        (store, clock): (Store, Clock),
    ) -> Result<Option<Keeper>> {
        let Some(directory) = &acme.directory else { return Ok(None) };
        let shelf = Shelf::new(certificates)?;
        let account = folder.acme();
        let issuer = Issuer::new(directory, acme.contact.clone(), acme.ca.as_deref(), account, challenges)
            .context("certificates cannot be obtained")?;
        let mut hosts = Vec::new();
        for name in acme.hosts.iter().collect::<BTreeSet<_>>() {
            let due = shelf.held(name)?.map_or(Timestamp(0), due);
            hosts.push(Host { name: name.clone(), due, failures: 0 });
        }
        Ok(Some(Keeper { issuer, shelf, hosts, store, clock }))
    }

    /// Never returns.
    pub async fn keep(mut self) {
        loop {
            for place in 0..self.hosts.len() {
                if self.hosts[place].due <= self.clock.now() {
                    self.renew(place).await;
                }
            }
            let next = self.hosts.iter().map(|host| host.due).min().unwrap_or(Timestamp(u64::MAX));
            let wait = Duration::from_millis(next.0.saturating_sub(self.clock.now().0));
            tokio::time::sleep(wait.min(LONGEST_SLEEP)).await;
        }
    }

    async fn renew(&mut self, place: usize) {
        let name = self.hosts[place].name.clone();
        let obtained = tokio::time::timeout(LIMIT, self.issuer.obtain(&name)).await;
        let obtained = obtained.unwrap_or_else(|_| Err(format!("it took longer than {} s", LIMIT.as_secs())));
        let kept = obtained.and_then(|pair| self.shelf.put(&name, &pair).map_err(|error| format!("{error:#}")));
        let (now, host) = (self.clock.now(), &mut self.hosts[place]);
        let fact = match kept {
            Ok(validity) => {
                // However odd what came is, or the clock: an issuer is not asked again and again.
                let due = due(validity);
                (host.due, host.failures) = (if due > now { due } else { now.plus(pause(0)) }, 0);
                let until = Timestamp(seconds(validity.not_after));
                let evidence = json!({ "host": name, "until": until, "renewed_at": host.due });
                fact("certificate.obtained", format!("a certificate for {name} that holds until {until}"), evidence)
            }
            Err(why) => {
                host.due = now.plus(pause(host.failures));
                host.failures += 1;
                let evidence = json!({ "host": name, "again_at": host.due });
                fact("certificate.refused", format!("no certificate for {name}: {why}"), evidence)
            }
        };
        tracing::info!(kind = fact.kind, "{}", fact.cause);
        if let Err(error) = self.store.append(vec![fact], now).await {
            tracing::warn!(%error, "what came of a certificate could not be recorded");
        }
    }
}

fn fact(kind: &str, cause: String, evidence: serde_json::Value) -> Fact {
    Fact { kind: kind.into(), lane: None, rollout: None, actor: "slipway".into(), cause, evidence }
}

fn seconds(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000)
}

/// When a certificate is renewed: while there is still time for many failures.
fn due(held: Validity) -> Timestamp {
    let length = (held.not_after - held.not_before).max(0);
    let left = if length < SHORT_LIVED { length / 2 } else { length / 3 };
    Timestamp(seconds(held.not_after - left))
}

/// How long to wait after so many failures before.
fn pause(before: u32) -> Millis {
    Millis::from_secs(FIRST_PAUSE.saturating_mul(1 << before.min(20)).min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_while_there_is_time_for_failures() {
        const DAY: i64 = 24 * 3600;
        let due = |days: i64| due(Validity { not_before: 100 * DAY, not_after: (100 + days) * DAY }).0;
        assert_eq!(due(90), seconds(160 * DAY), "at two thirds");
        assert_eq!(due(6), seconds(103 * DAY), "at half");
        assert_eq!(due(-1), seconds(99 * DAY), "one that never holds is due at once");
    }

    #[test]
    fn an_issuer_that_refuses_is_asked_less_and_less_often() {
        let pauses: Vec<u64> = [0, 1, 2, 8, 9, 40].map(|before| pause(before).0 / 1_000).into();
        assert_eq!(pauses, [60, 120, 240, 15_360, 21_600, 21_600]);
    }
}

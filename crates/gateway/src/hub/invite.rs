//! Inviting gateways, and forgetting them.

use std::collections::HashMap;
use std::io;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use slipway_core::traffic::Generation;
use slipway_core::traffic::link::Machine;
use slipway_core::units::Timestamp;

use super::authority::hash;
use super::draining::is_of;
use super::roster::{Member, Roster, Start};
use super::{GatewayState, Hub, Known};
use crate::access_log::now;
use crate::invitation::Invitation;
use crate::machine;

impl Hub {
    /// Where gateways that are invited call; absent where none can be.
    pub fn invited_at(&self) -> Option<std::net::SocketAddr> {
        self.shared.invited.as_ref().map(|(address, _)| *address)
    }

    /// Invites a gateway of this name, which calls `control`. What was made for the name before is worth nothing from
    /// then on: whoever calls with it is refused, and hung up on where it is connected. `None` where none can be invited.
    pub fn invite(&self, name: &str, control: String) -> io::Result<Option<Invitation>> {
        let Some((_, authority)) = &self.shared.invited else { return Ok(None) };
        let issued = authority.issue(name)?;
        let token = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
        let mut state = self.shared.state();
        let before = state.roster.get(name).cloned();
        let (last, lost) = before.map_or((None, None), |member| (member.last, member.lost));
        let member = Member { certificate: issued.fingerprint, token: hash(token.as_bytes()), last, lost };
        state.roster.put(name, member)?;
        state.gateways.iter().filter(|(entry, _)| is_of(entry, name)).for_each(|(_, known)| known.replaced.cancel());
        drop(state);
        let (certificate, key) = (issued.certificate, issued.key);
        let (name, authority) = (name.to_string(), authority.certificate.clone());
        Ok(Some(Invitation { name, control, token, authority, certificate, key }))
    }

    /// Names of those that were invited.
    pub fn invited(&self) -> Vec<String> {
        self.shared.state().roster.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Forgets a gateway, so that nobody waits for it and nothing is kept for it. An invited one cannot call again; where
    /// it is connected it is hung up on, and serves what it has until it is stopped.
    pub fn forget(&self, name: &str) -> io::Result<()> {
        let mut state = self.shared.state();
        state.roster.remove(name)?;
        state.reports.remove(name);
        // Its counts stay open: one that calls again says them again, from its start on.
        state.gateways.extract_if(|entry, _| is_of(entry, name)).for_each(|(_, known)| known.replaced.cancel());
        drop(state);
        self.shared.note_change();
        Ok(())
    }
}

impl Hub {
    /// A gateway of this data folder runs already, as this process: it may still serve what an earlier control plane said,
    /// and is waited for. Nothing where it has called.
    pub fn expect(&self, name: &str, pid: u32, traffic: std::net::SocketAddr) {
        let mut state = self.shared.state();
        let last = Start { boot: String::new(), pid, traffic, machine: Some(self.shared.machine.clone()) };
        state.gateways.entry(name.to_string()).or_insert_with(|| away(name, last, None, &self.shared.machine));
    }
}

/// Those that were there before this control plane: they may still serve, and are waited for.
pub(super) fn expected(roster: &Roster) -> HashMap<String, Known> {
    let known = roster.iter().filter_map(|(name, member)| {
        let last = member.last.clone()?;
        Some((name.clone(), away(name, last, member.lost, &machine::here())))
    });
    known.collect()
}

/// One that has not called this control plane.
pub(super) fn away(name: &str, last: Start, lost: Option<Timestamp>, here: &Machine) -> Known {
    let state = GatewayState {
        name: name.to_string(),
        boot: last.boot,
        pid: last.pid,
        traffic: last.traffic,
        connected: false,
        here: last.machine.is_some_and(|machine| machine == *here),
        draining: false,
        program: None,
        follows: None,
        ended: false,
        lost,
        acked: Generation(0),
        sent: None,
        lapsed: Vec::new(),
        ejected: Vec::new(),
        leaving: None,
        without: Vec::new(),
        trouble: None,
        last_seen: now(),
    };
    let (outbox, _) = mpsc::unbounded_channel();
    let (heard, replaced) = (Instant::now(), CancellationToken::new());
    Known { state, heard, beats: true, connection: 0, outbox, replaced }
}

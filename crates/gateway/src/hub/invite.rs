//! Inviting gateways, and forgetting them.

use std::collections::HashMap;
use std::io;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use slipway_core::traffic::Generation;

use super::authority::hash;
use super::roster::{Member, Roster};
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
        if let Some(known) = state.gateways.get(name) {
            known.replaced.cancel();
        }
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
        if let Some(known) = state.gateways.remove(name) {
            known.replaced.cancel();
            state.tally.close(&known.state.boot);
        }
        drop(state);
        self.shared.note_change();
        Ok(())
    }
}

/// Those that were there before this control plane: they may still serve, and are waited for.
pub(super) fn expected(roster: &Roster) -> HashMap<String, Known> {
    let here = machine::here();
    let known = roster.iter().filter_map(|(name, member)| {
        let last = member.last.clone()?;
        let state = GatewayState {
            name: name.clone(),
            boot: last.boot,
            pid: last.pid,
            traffic: last.traffic,
            connected: false,
            here: last.machine.is_some_and(|machine| machine == here),
            ended: false,
            lost: member.lost,
            acked: Generation(0),
            sent: None,
            lapsed: Vec::new(),
            ejected: Vec::new(),
            leaving: None,
            last_seen: now(),
        };
        let (outbox, _) = mpsc::unbounded_channel();
        let (heard, replaced) = (Instant::now(), CancellationToken::new());
        Some((name.clone(), Known { state, heard, beats: true, connection: 0, outbox, replaced }))
    });
    known.collect()
}

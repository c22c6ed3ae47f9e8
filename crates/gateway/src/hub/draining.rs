//! Gateways that were upgraded: the process that has given way is an entry of its own, which counts for as long as it may
//! serve anybody, and goes without a word when it has ended.

use slipway_core::traffic::link::{Hello, Machine, Predecessor};

use super::invite::away;
use super::roster::Start;
use super::{Known, State};
use crate::machine;

/// Processes of one name that may drain at once; more than a gateway allows itself.
const MOST: usize = 16;

/// The name of the process `pid` of a gateway while it drains. No gateway is invited by such a name.
pub(super) fn name(gateway: &str, pid: u32) -> String {
    format!("{gateway}.{pid}")
}

/// Whether an entry is a gateway's own, or that of a process of it that drains.
pub(super) fn is_of(entry: &str, gateway: &str) -> bool {
    entry.strip_prefix(gateway).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

impl Known {
    /// Whether a process is at the other end of its connection.
    pub fn speaks(&self) -> bool {
        self.state.connected && (!self.state.here || machine::runs(self.state.pid))
    }
}

impl State {
    /// The entry that a connection speaks for.
    pub fn spoken_for(&mut self, connection: u64) -> Option<&mut Known> {
        self.gateways.values_mut().find(|known| known.connection == connection)
    }

    /// Whether one more process of this name may drain.
    pub fn may_drain(&self, hello: &Hello) -> bool {
        let drains = |(entry, known): &(&String, &Known)| {
            known.state.draining && is_of(entry, &hello.gateway) && known.state.boot != hello.boot
        };
        self.gateways.iter().filter(drains).count() < MOST
    }

    /// Whether the caller says that it serves although another process does, which follows it: it said so before that was
    /// settled. The next time it knows.
    pub fn is_late(&self, hello: &Hello) -> bool {
        let drains = |known: &Known| known.state.draining && known.state.boot == hello.boot;
        let serves = |known: &Known| known.state.boot != hello.boot && known.speaks();
        !hello.draining
            && self.gateways.get(&name(&hello.gateway, hello.pid)).is_some_and(drains)
            && self.gateways.get(&hello.gateway).is_some_and(serves)
    }

    /// Those that the caller has followed are entries of their own, and expected where they have not called; of those that
    /// it does not name, only the connected are still there.
    pub fn follow(&mut self, hello: &Hello, here: &Machine) {
        let is_it = |known: &Known, p: &Predecessor| match known.state.boot.as_str() {
            "" => known.state.pid == p.pid,
            boot => boot == p.boot,
        };
        let predecessors = &hello.predecessors[..hello.predecessors.len().min(MOST)];
        for predecessor in predecessors {
            let entry = name(&hello.gateway, predecessor.pid);
            let before = self.gateways.get(&hello.gateway).is_some_and(|known| is_it(known, predecessor));
            let mut known = match before.then(|| self.gateways.remove(&hello.gateway)).flatten() {
                Some(known) => known,
                None if self.gateways.contains_key(&entry) => continue,
                None => {
                    let Predecessor { boot, pid } = predecessor.clone();
                    let machine = hello.machine.clone();
                    away(&entry, Start { boot, pid, traffic: hello.traffic, machine }, None, here)
                }
            };
            known.state.name.clone_from(&entry);
            known.state.draining = true;
            self.gateways.insert(entry, known);
        }
        self.keep_running(&hello.gateway, predecessors);
    }

    /// Does [`State::keep_running`] where it is the process that serves which says so: one that drains follows nobody any more.
    pub fn hear(&mut self, connection: u64, gateway: &str, running: &[Predecessor]) {
        if self.spoken_for(connection).is_some_and(|known| !known.state.draining) {
            self.keep_running(gateway, running);
        }
    }

    /// Of a gateway's processes that drain these alone still run, and those that are connected.
    pub fn keep_running(&mut self, gateway: &str, running: &[Predecessor]) {
        self.remove(|entry, known| {
            let named = running.iter().any(|p| p.boot == known.state.boot || name(gateway, p.pid) == entry);
            is_of(entry, gateway) && !known.state.connected && !named
        });
    }

    /// Takes out those of the draining that have ended; whether there were any.
    pub fn remove(&mut self, has_ended: impl Fn(&str, &Known) -> bool) -> bool {
        let ended = self.gateways.extract_if(|entry, known| known.state.draining && has_ended(entry, known));
        let ended: Vec<Known> = ended.map(|(_, known)| known).collect();
        for known in &ended {
            known.replaced.cancel();
            self.tally.close(&known.state.boot);
            self.fenced.insert(known.state.boot.clone());
        }
        !ended.is_empty()
    }
}

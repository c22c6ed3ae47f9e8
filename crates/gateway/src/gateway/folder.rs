//! Whose the gateway's folder is, and what is found there: at a start, and when one process follows another.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;
use std::time::{Duration, Instant};

use slipway_core::traffic::Generation;
use slipway_core::traffic::link::{Event, Predecessor};

use super::{Control, Gateway};
use crate::inject::Terms;
use crate::lease::Leases;
use crate::lock::is_named;
use crate::metrics::Admin;
use crate::table_store::Found;
use crate::upgrade;

/// How often it is tried to write what could not be written.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

impl Control {
    /// As it was found.
    pub(super) fn restore(&mut self, found: Found) {
        let now = Instant::now();
        let mut leases = Leases::remembering(found.kept.lapses);
        leases.start(&found.kept.table, |term| {
            now + found.renewed_for.unwrap_or_default().max(term.saturating_sub(found.age))
        });
        self.is_whole = found.is_whole;
        self.said_ms = found.kept.at_ms;
        self.table = Some(Arc::new(found.kept.table));
        self.leases = leases;
        self.terms = Terms::remembering(found.faults, now);
    }
}

impl Gateway {
    /// The folder is another process's from now on: nothing more is written there.
    pub(crate) fn leave_folder(&self) {
        self.store.rest();
    }

    /// The folder is this process's from now on, with what the one before has left there, if that is newer.
    pub(crate) async fn keep_folder(&self) {
        let newest = self.store.read().map_or(Generation(0), |found| found.kept.table.generation);
        let mut tables = self.tables();
        let comes = async { while self.served().generation() < newest && tables.changed().await.is_ok() {} };
        // It is on its way here as well, unless nobody can be asked.
        let _ = tokio::time::timeout(self.tuning.table_wait, comes).await;
        let mut control = self.control.lock().await;
        self.store.wake();
        let served = self.served().generation();
        match self.store.read() {
            // Of the same number, the other may have known less of it: it may be of an earlier release.
            Some(found)
                if found.kept.table.generation > served
                    || (control.table.as_deref() == Some(&found.kept.table) && found.is_whole >= control.is_whole) =>
            {
                let before = control.leases.lapses();
                control.restore(found);
                self.swap(&control);
                let new = control.leases.lapses().into_iter().filter(|lapse| !before.contains(lapse));
                new.for_each(|lapse| self.events.push(Event::Lapsed(lapse)));
                self.leases_changed.notify_one();
                // Written anew it would be of this moment, and its leases with it, which nobody has renewed.
            }
            _ => {
                let written = self.write(&control);
                drop(control);
                written.done().await;
            }
        }
    }

    /// Writes what could not be written, once it can be: the routing table, where `/metrics` are, and whose the lock is. Until the gateway ends, or
    /// another process has the folder.
    pub(crate) async fn write_later(&self, mut admin: Option<Admin>, mut lock: Option<PathBuf>) {
        loop {
            tokio::select! {
                () = self.stopped.cancelled() => return,
                () = self.draining.cancelled() => return,
                () = tokio::time::sleep(WRITE_AGAIN) => {}
            }
            if *self.handing_over.borrow() {
                continue;
            }
            admin = admin.filter(|admin| admin.write().is_err());
            lock = lock.filter(|lock| !is_named(lock));
            if self.unwritten.load(Acquire) {
                let written = self.write(&*self.control.lock().await);
                written.done().await;
            }
        }
    }

    /// Processes that have given way to this one, or are about to, and still run.
    pub(crate) fn predecessors(&self) -> Vec<Predecessor> {
        if self.draining.is_cancelled() { Vec::new() } else { upgrade::draining::others(self.store.folder()) }
    }
}

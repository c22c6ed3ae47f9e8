//! The last good routing table and the lapses, on disk, for a gateway that starts while nobody answers.
//!
//! Written before a table is acknowledged, so that a gateway that is killed never comes back with an older table than the
//! one it confirmed: the whole of it to a temporary file that is renamed, and what has changed since at the end of a
//! second file, until that is as long as the first. So a change costs what it changes, however many services there are.
//! The sync to the disk follows the acknowledgement:
//! after a power failure the file only tells which routes there were, since the instances are gone with the boot.
//! Where the file cannot be written (disk full) it is removed, because no table is better than one that was taken back.

mod renewal;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use slipway_core::traffic::link::Lapse;
use slipway_core::traffic::{READS, RoutingTable, TableChange};

use crate::clock::since_boot_ms;
use crate::gateway::lock;
use crate::inject::FaultId;
use crate::wire;
use renewal::{Renewal, Renewed};

/// Changes may always be so long in bytes, however short the table is.
const CHANGES: u64 = 64 << 10;

/// Where the table is kept.
#[derive(Debug, Clone)]
pub(crate) struct TableStore {
    folder: PathBuf,
    /// Whether the folder is another process's at present: nothing is written. Held while something is.
    rests: Arc<Mutex<bool>>,
    written: Arc<Mutex<Option<Written>>>,
    turns: Arc<Turns>,
    sync: Arc<Sync>,
    renewal: Arc<Renewal>,
}

/// The order of what is to be written: a write that nobody waits for any more may come after a later one.
#[derive(Debug, Default)]
struct Turns {
    given: AtomicU64,
    taken: AtomicU64,
}

/// What is kept beside the table.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    /// Which write it is; see [`TableStore::turn`].
    pub(crate) turn: u64,
    /// When the table was said, in milliseconds since the machine's boot: from then on its leases run.
    pub(crate) said_ms: u64,
    /// Whether the table is all of that number.
    pub(crate) is_whole: bool,
    /// Epochs whose lease ran out.
    pub(crate) lapses: Vec<Lapse>,
    /// What is left of each injected fault.
    pub(crate) faults: Vec<(FaultId, Duration)>,
}

/// What this process has written.
#[derive(Debug)]
struct Written {
    series: u64,
    is_whole: bool,
    table: Arc<RoutingTable>,
    /// Bytes of the whole table, and of what came after it.
    whole: u64,
    changes: u64,
}

/// One sync at a time, and never more than one that waits.
#[derive(Debug, Default)]
struct Sync {
    going: Mutex<()>,
    wanted: AtomicBool,
}

/// What is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The machine's boot in which it was written; its instances are gone after another.
    boot_id: String,
    /// When it was said, in milliseconds since that boot, suspended time included.
    pub(crate) at_ms: u64,
    /// The table, with its fall-backs. By another name than before there were changes after it: an earlier release, which does not
    /// look for them, must not take it for the last one.
    #[serde(rename = "whole", alias = "table")]
    pub(crate) table: RoutingTable,
    /// Epochs whose lease ran out.
    pub(crate) lapses: Vec<Lapse>,
    /// When each injected fault ends, in milliseconds since that boot.
    #[serde(default)]
    faults: Vec<(FaultId, u64)>,
    /// What the changes that follow this table are known by.
    #[serde(default)]
    series: u64,
    /// What whoever wrote it could read of a table; see [`READS`]. Nothing where it had only a part of it.
    #[serde(default)]
    reads: u32,
}

/// A change since then, and the rest as it is from then on.
#[derive(Debug, Serialize, Deserialize)]
struct Later {
    series: u64,
    at_ms: u64,
    change: TableChange,
    lapses: Vec<Lapse>,
    faults: Vec<(FaultId, u64)>,
}

/// What a change belongs to.
#[derive(Deserialize)]
struct Of {
    series: u64,
}

/// What a start finds.
#[derive(Debug)]
pub(crate) struct Found {
    /// Table and lapses.
    pub(crate) kept: Kept,
    /// Whether the table is all of that number: not where an earlier release could not read some, or its endpoints are gone.
    pub(crate) is_whole: bool,
    /// How long ago the table was said.
    pub(crate) age: Duration,
    /// What is left of the last renewal of its leases, where there was one.
    pub(crate) renewed_for: Option<Duration>,
    /// What is left of each injected fault: nothing of one that is over, or whose end is not known.
    pub(crate) faults: Vec<(FaultId, Duration)>,
}

impl TableStore {
    /// Keeps the table in `folder`, which is made where it is missing.
    pub(crate) fn open(folder: &Path) -> io::Result<TableStore> {
        fs::create_dir_all(folder)?;
        let (rests, written, turns) = (Arc::default(), Arc::default(), Arc::default());
        let (sync, renewal) = (Arc::default(), Arc::default());
        Ok(TableStore { folder: folder.to_path_buf(), rests, written, turns, sync, renewal })
    }

    /// For a process that follows another one: nothing is written before the folder is its own. `authority`: of the control
    /// plane, where it was invited; what another one said cannot be followed.
    pub(crate) fn open_later(folder: &Path, authority: Option<&str>) -> io::Result<TableStore> {
        let (store, before) = (TableStore::open(folder)?, fs::read_to_string(folder.join("authority")).ok());
        store.rest();
        match authority.map(|authority| crate::hub::hash(authority.as_bytes())) {
            Some(now) if before.as_ref().is_some_and(|before| *before != now) => Err(io::Error::other(
                "the invitation is another control plane's than that of the gateway which runs: end it and start anew",
            )),
            _ => Ok(store),
        }
    }

    /// Writes nothing from now on, once what is being written is.
    pub(crate) fn rest(&self) {
        *lock(&self.rests) = true;
    }

    /// Writes again.
    pub(crate) fn wake(&self) {
        let mut rests = lock(&self.rests);
        // Another process may have written since.
        *lock(&self.written) = None;
        *rests = false;
    }

    /// The gateway's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps it for the control plane of this authority: what another one said is thrown away.
    pub(crate) fn open_for(folder: &Path, authority: &str) -> io::Result<TableStore> {
        let store = TableStore::open(folder)?;
        let (file, authority) = (folder.join("authority"), crate::hub::hash(authority.as_bytes()));
        let before = fs::read_to_string(&file).ok();
        if before.as_ref().is_some_and(|before| *before != authority) {
            tracing::warn!("the routing table on disk is of another control plane and is thrown away");
            for of_another in [store.table_file(), store.changes_file(), store.renewal_file()] {
                match fs::remove_file(of_another) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        if before.as_ref() != Some(&authority) {
            replace(&file, authority.as_bytes())?;
        }
        Ok(store)
    }

    fn table_file(&self) -> PathBuf {
        self.folder.join("table.json")
    }

    fn changes_file(&self) -> PathBuf {
        self.folder.join("changes.json")
    }

    fn renewal_file(&self) -> PathBuf {
        self.folder.join("renewal.json")
    }

    /// The next write's place among all: given where what it is to write is looked at.
    pub(crate) fn turn(&self) -> u64 {
        self.turns.given.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Writes table and lapses where a killed gateway finds them, unless something later has been. Blocks, but not for the
    /// disk.
    pub(crate) fn write(&self, table: &Arc<RoutingTable>, rest: Rest) -> io::Result<()> {
        let rests = lock(&self.rests);
        if *rests || self.turns.taken.fetch_max(rest.turn, Ordering::AcqRel) > rest.turn {
            return Ok(());
        }
        let Rest { said_ms: at_ms, is_whole, lapses, faults, .. } = rest;
        let now_ms = since_boot_ms();
        let until = |left: Duration| now_ms.saturating_add(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        let faults: Vec<_> = faults.into_iter().map(|(id, left)| (id, until(left))).collect();
        let mut before = lock(&self.written);
        if let Some(written) = before.take()
            && written.is_whole == is_whole
            && let Some(change) = written.change(table)
        {
            let later = Later { series: written.series, at_ms, change, lapses: lapses.clone(), faults: faults.clone() };
            // Where it cannot be added, it may be possible to write all of it.
            if let Ok(Some(now)) = self.add(written, table, &later) {
                *before = Some(now);
                return Ok(());
            }
        }
        let series = rand::random();
        let (boot_id, reads) = (boot_id(), if is_whole { READS } else { 0 });
        let kept = Kept { boot_id, at_ms, table: RoutingTable::clone(table), lapses, faults, series, reads };
        let written = serde_json::to_vec(&kept).map_err(io::Error::from).and_then(|bytes| {
            replace(&self.table_file(), &bytes)?;
            Ok(bytes.len() as u64)
        });
        match written {
            Ok(whole) => *before = Some(Written { series, is_whole, table: table.clone(), whole, changes: 0 }),
            Err(_) => drop(fs::remove_file(self.table_file())),
        }
        written.map(|_| ())
    }

    /// Adds a change to what is written; nothing where there are so many that the whole is better written anew.
    fn add(&self, written: Written, table: &Arc<RoutingTable>, later: &Later) -> io::Result<Option<Written>> {
        let line = wire::line(later)?;
        let changes = written.changes + line.len() as u64;
        if changes > written.whole.max(CHANGES) {
            return Ok(None);
        }
        // What is there already belongs to another table.
        let mut file = match written.changes {
            0 => private(&self.changes_file())?,
            _ => fs::OpenOptions::new().append(true).open(self.changes_file())?,
        };
        file.write_all(&line)?;
        Ok(Some(Written { table: table.clone(), changes, ..written }))
    }

    /// Waits until what was written is on the disk, or leaves that to whoever waits for it already.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.sync.wanted.store(true, Ordering::Release);
        while self.sync.wanted.load(Ordering::Acquire) {
            let Ok(_one) = self.sync.going.try_lock() else { return Ok(()) };
            while self.sync.wanted.swap(false, Ordering::AcqRel) {
                File::open(self.table_file())?.sync_all()?;
                match File::open(self.changes_file()) {
                    Ok(changes) => changes.sync_all()?,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
                File::open(&self.folder)?.sync_all()?;
            }
        }
        Ok(())
    }

    /// Takes in what changed after the table was written, up to the last line that is whole: that one alone may be torn.
    fn follow(&self, kept: &mut Kept) -> io::Result<()> {
        let lines = match fs::read(self.changes_file()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            lines => lines?,
        };
        let whole = lines.iter().rposition(|byte| *byte == b'\n').map_or(&[][..], |end| &lines[..end]);
        for line in whole.split(|byte| *byte == b'\n').filter(|_| !whole.is_empty()) {
            // What belongs to another table need not make sense.
            if serde_json::from_slice::<Of>(line)?.series != kept.series {
                return Ok(());
            }
            let later: Later = serde_json::from_slice(line)?;
            let table = later.change.apply(Some(&kept.table)).ok_or_else(|| io::Error::other("a change is missing"))?;
            (kept.table, kept.at_ms, kept.lapses, kept.faults) = (table, later.at_ms, later.lapses, later.faults);
        }
        Ok(())
    }

    /// What was written last; endpoints of another boot are left out. `None` where there is nothing usable.
    pub(crate) fn read(&self) -> Option<Found> {
        let bytes = fs::read(self.table_file()).ok()?;
        let mut kept: Kept = match serde_json::from_slice(&bytes) {
            Ok(kept) => kept,
            Err(error) => {
                tracing::warn!(%error, "the routing table on disk cannot be read and is ignored");
                return None;
            }
        };
        if let Err(error) = self.follow(&mut kept) {
            tracing::warn!(%error, "what follows the routing table on disk cannot be read: both are ignored, since the table is an earlier one");
            return None;
        }
        if let Err(error) = kept.table.check() {
            tracing::warn!(%error, "the routing table on disk does not hold together and is ignored");
            return None;
        }
        let now = since_boot_ms();
        if kept.boot_id != boot_id() {
            kept.table.routes.iter_mut().flat_map(|r| &mut Arc::make_mut(r).versions).for_each(|v| v.endpoints.clear());
            // It keeps its number, below which none is taken.
            kept.at_ms = 0;
            let faults = std::mem::take(&mut kept.faults).into_iter().map(|(id, _)| (id, Duration::ZERO)).collect();
            return Some(Found { kept, is_whole: false, age: Duration::MAX, renewed_for: None, faults });
        }
        let age = Duration::from_millis(now.saturating_sub(kept.at_ms));
        let renewed = fs::read(self.renewal_file()).ok().and_then(|b| serde_json::from_slice::<Renewed>(&b).ok());
        let renewed = renewed.filter(|r| r.generation == kept.table.generation);
        let renewed_for = renewed.map(|r| Duration::from_millis(r.until_ms.saturating_sub(now)));
        let left = |until: u64| Duration::from_millis(until.saturating_sub(now));
        let faults = std::mem::take(&mut kept.faults).into_iter().map(|(id, until)| (id, left(until))).collect();
        let is_whole = kept.reads >= READS;
        Some(Found { kept, is_whole, age, renewed_for, faults })
    }
}

impl Written {
    /// What makes the table of the one that was written last, where a change says that.
    fn change(&self, table: &RoutingTable) -> Option<TableChange> {
        let change = TableChange::between(Some(&self.table), table);
        (change.clone().apply(Some(&self.table)).as_ref() == Some(table)).then_some(change)
    }
}

/// Puts `bytes` in the place of the file, whole or not at all.
pub(crate) fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = file.with_extension("tmp");
    let mut out = private(&temporary)?;
    out.write_all(bytes)?;
    fs::rename(&temporary, file)
}

/// A new file that only its owner may read.
fn private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let _ = fs::remove_file(path);
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// New at every boot of the machine.
fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_string()
}

#[cfg(test)]
mod tests;

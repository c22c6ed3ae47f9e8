//! The last good routing table and the lapses, on disk, for a gateway that starts while nobody answers.
//!
//! Written to a temporary file and renamed before a table is acknowledged, so that a gateway that is killed never
//! comes back with an older table than the one it confirmed. The sync to the disk follows the acknowledgement:
//! after a power failure the file only tells which routes there were, since the instances are gone with the boot.
//! Where the file cannot be written (disk full) it is removed, because no table is better than one that was taken back.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use slipway_core::traffic::link::Lapse;
use slipway_core::traffic::{Generation, RoutingTable};

use crate::inject::FaultId;

/// Where the table is kept.
#[derive(Debug, Clone)]
pub(crate) struct TableStore {
    folder: PathBuf,
}

/// What is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The machine's boot in which it was written; its instances are gone after another.
    boot_id: String,
    /// When, in milliseconds since that boot, suspended time included.
    at_ms: u64,
    /// The table, with its fall-backs.
    pub(crate) table: RoutingTable,
    /// Epochs whose lease ran out.
    pub(crate) lapses: Vec<Lapse>,
    /// When each injected fault ends, in milliseconds since that boot.
    #[serde(default)]
    faults: Vec<(FaultId, u64)>,
}

/// The last renewal of the leases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Renewed {
    generation: Generation,
    until_ms: u64,
}

/// What a start finds.
#[derive(Debug)]
pub(crate) struct Found {
    /// Table and lapses.
    pub(crate) kept: Kept,
    /// How long ago the table was written.
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
        Ok(TableStore { folder: folder.to_path_buf() })
    }

    /// Keeps it for the control plane of this authority: what another one said is thrown away.
    pub(crate) fn open_for(folder: &Path, authority: &str) -> io::Result<TableStore> {
        let store = TableStore::open(folder)?;
        let (file, authority) = (folder.join("authority"), crate::hub::hash(authority.as_bytes()));
        let before = fs::read_to_string(&file).ok();
        if before.as_ref().is_some_and(|before| *before != authority) {
            tracing::warn!("the routing table on disk is of another control plane and is thrown away");
            for of_another in [store.table_file(), store.renewal_file()] {
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

    fn renewal_file(&self) -> PathBuf {
        self.folder.join("renewal.json")
    }

    /// Writes table and lapses where a killed gateway finds them. Blocks, but not for the disk.
    pub(crate) fn write(
        &self,
        table: &RoutingTable,
        lapses: Vec<Lapse>,
        faults: Vec<(FaultId, Duration)>,
    ) -> io::Result<()> {
        let at_ms = since_boot_ms();
        let until = |left: Duration| at_ms.saturating_add(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        let faults = faults.into_iter().map(|(id, left)| (id, until(left))).collect();
        let kept = Kept { boot_id: boot_id(), at_ms, table: table.clone(), lapses, faults };
        let written = serde_json::to_vec(&kept).map_err(io::Error::from).and_then(|b| replace(&self.table_file(), &b));
        if written.is_err() {
            let _ = fs::remove_file(self.table_file());
        }
        written
    }

    /// Waits until what was written is on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        File::open(self.table_file())?.sync_all()?;
        File::open(&self.folder)?.sync_all()
    }

    /// Notes that the leases hold for another `term`.
    pub(crate) fn renew(&self, generation: Generation, term: Duration) -> io::Result<()> {
        let until_ms = since_boot_ms().saturating_add(u64::try_from(term.as_millis()).unwrap_or(u64::MAX));
        replace(&self.renewal_file(), &serde_json::to_vec(&Renewed { generation, until_ms })?)
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
        if let Err(error) = kept.table.check() {
            tracing::warn!(%error, "the routing table on disk does not hold together and is ignored");
            return None;
        }
        let now = since_boot_ms();
        if kept.boot_id != boot_id() {
            kept.table.routes.iter_mut().flat_map(|r| &mut Arc::make_mut(r).versions).for_each(|v| v.endpoints.clear());
            let faults = std::mem::take(&mut kept.faults).into_iter().map(|(id, _)| (id, Duration::ZERO)).collect();
            return Some(Found { kept, age: Duration::MAX, renewed_for: None, faults });
        }
        let age = Duration::from_millis(now.saturating_sub(kept.at_ms));
        let renewed = fs::read(self.renewal_file()).ok().and_then(|b| serde_json::from_slice::<Renewed>(&b).ok());
        let renewed = renewed.filter(|r| r.generation == kept.table.generation);
        let renewed_for = renewed.map(|r| Duration::from_millis(r.until_ms.saturating_sub(now)));
        // Where the system does not say how long it has been up, nobody knows what is left.
        let left =
            |until: u64| if now == 0 { Duration::ZERO } else { Duration::from_millis(until.saturating_sub(now)) };
        let faults = std::mem::take(&mut kept.faults).into_iter().map(|(id, until)| (id, left(until))).collect();
        Some(Found { kept, age, renewed_for, faults })
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

/// Milliseconds since the machine's boot, suspended time included; zero where the system does not say.
fn since_boot_ms() -> u64 {
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds: Option<f64> = uptime.split_whitespace().next().and_then(|s| s.parse().ok());
    seconds.map_or(0, |s| (s * 1000.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_table_cannot_be_written_the_older_one_does_not_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = TableStore::open(folder.path()).unwrap();
        let table = RoutingTable { generation: Generation(1), routes: vec![] };
        store.write(&table, vec![], vec![]).unwrap();
        store.sync().unwrap();
        assert_eq!(store.read().unwrap().kept.table, table);
        // A folder in the place of the temporary file fails as a full disk does.
        fs::create_dir_all(folder.path().join("table.tmp/x")).unwrap();
        store.write(&RoutingTable { generation: Generation(2), routes: vec![] }, vec![], vec![]).unwrap_err();
        assert!(store.read().is_none());
    }

    #[test]
    fn a_table_of_another_control_plane_is_thrown_away() {
        let folder = tempfile::tempdir().unwrap();
        let store = TableStore::open_for(folder.path(), "one").unwrap();
        store.write(&RoutingTable { generation: Generation(9), routes: vec![] }, vec![], vec![]).unwrap();
        assert!(TableStore::open_for(folder.path(), "one").unwrap().read().is_some());
        assert!(TableStore::open_for(folder.path(), "two").unwrap().read().is_none());
    }

    #[test]
    fn a_renewal_counts_for_its_own_table_only() {
        let folder = tempfile::tempdir().unwrap();
        let store = TableStore::open(folder.path()).unwrap();
        store.write(&RoutingTable { generation: Generation(2), routes: vec![] }, vec![], vec![]).unwrap();
        store.renew(Generation(1), Duration::from_secs(60)).unwrap();
        assert_eq!(store.read().unwrap().renewed_for, None);
        store.renew(Generation(2), Duration::from_secs(60)).unwrap();
        assert!(store.read().unwrap().renewed_for.is_some_and(|left| left > Duration::from_secs(1)));
    }
}

use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::mpsc::{RecvTimeoutError, channel};

use super::*;
use crate::clock::since_boot_ms;

#[test]
fn a_table_is_not_acknowledged_while_a_request_is_being_dispatched_by_an_older_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = TableStore::open(folder.path()).unwrap();
    let gateway = Arc::new(Gateway::start("gw".into(), Tuning::default(), store, None));
    gateway.pulse.beats_for_an_hour();
    let seen = gateway.served();
    let dispatching = gateway.dispatch(&seen).expect("nothing has changed yet");
    let (acknowledge, acknowledged) = channel();
    let applying = gateway.clone();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let table = RoutingTable { generation: Generation(7), routes: vec![] };
        acknowledge.send(runtime.block_on(applying.apply(table, since_boot_ms()))).unwrap();
    });
    assert_eq!(acknowledged.recv_timeout(Duration::from_millis(100)), Err(RecvTimeoutError::Timeout));
    drop(dispatching);
    assert_eq!(acknowledged.recv(), Ok(Some(Generation(7))));
    thread.join().unwrap();
    assert!(gateway.dispatch(&seen).is_none(), "what was seen before has to be routed again");
}

#[tokio::test]
async fn a_table_of_the_same_number_is_served_where_it_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let store = TableStore::open(folder.path()).unwrap();
    let gateway = Gateway::start("gw".into(), Tuning::default(), store, None);
    let mut served = Vec::new();
    for epoch in [1, 2, 2] {
        assert_eq!(gateway.apply(table(epoch), since_boot_ms()).await, Some(Generation(7)));
        served.push((gateway.served().routes[0].route.epoch.0, gateway.served().sequence));
    }
    assert_eq!((served[0].0, served[1].0), (1, 2));
    assert_eq!(served[1], served[2], "nothing new");
}

#[tokio::test]
async fn a_table_that_is_handed_over_is_no_younger_than_before() {
    let folder = tempfile::tempdir().unwrap();
    let before = Gateway::start("gw".into(), Tuning::default(), TableStore::open(folder.path()).unwrap(), None);
    before.apply(table(1), since_boot_ms()).await;
    let heir =
        Gateway::start("gw".into(), Tuning::default(), TableStore::open_later(folder.path(), None).unwrap(), None);
    before.leave_folder();
    let file = folder.path().join("table.json");
    let written = std::fs::read(&file).unwrap();
    heir.keep_folder().await;
    assert!(std::fs::read(&file).unwrap() == written, "its leases would be renewed, and nobody has");
    heir.apply(RoutingTable { generation: Generation(8), ..table(2) }, since_boot_ms()).await;
    assert!(std::fs::read(&file).unwrap() != written, "it writes what is new");
}

fn table(epoch: u64) -> RoutingTable {
    serde_json::from_value(serde_json::json!({ "generation": 7, "routes": [{
            "service": "shop", "environment": "production", "matches": [], "epoch": epoch, "salt": "", "objectives": [],
            "split": [{ "version": "s", "weight": 10_000 }], "fallback": null, "lease": null,
            "sticky": { "cookie": null, "header": null },
            "versions": [{ "version": "s", "role": "stable", "endpoints": [] }],
            "limits": { "response": 1_000, "drain": 1_000, "drain_long": 1_000, "body_bytes": 1_000 },
        }] }))
    .unwrap()
}

/// With an instance and a lease.
fn leased(generation: u64, lease_ms: u64) -> RoutingTable {
    serde_json::from_value(serde_json::json!({ "generation": generation, "routes": [{
        "service": "shop", "environment": "production", "matches": [], "epoch": 1, "salt": "", "objectives": [],
        "split": [{ "version": "c", "weight": 10_000 }], "fallback": [{ "version": "s", "weight": 10_000 }],
        "lease": lease_ms, "sticky": { "cookie": null, "header": null },
        "versions": [
            { "version": "s", "role": "stable", "endpoints": [
                { "instance": "shop-production-1", "incarnation": 1, "address": "127.0.0.1:1" },
            ] },
            { "version": "c", "role": "candidate", "endpoints": [] },
        ],
        "limits": { "response": 1_000, "drain": 1_000, "drain_long": 1_000, "body_bytes": 1_000 },
    }] }))
    .unwrap()
}

#[tokio::test]
async fn what_there_is_only_a_part_of_is_not_said_to_be_served_and_no_older_one_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let store = TableStore::open(folder.path()).unwrap();
    store.write(&Arc::new(leased(7, 60_000)), Rest { said_ms: since_boot_ms(), ..Rest::default() }).unwrap();
    let gateway = Gateway::start("gw".into(), Tuning::default(), store, None);
    assert_eq!(gateway.served().generation(), Generation(7));
    assert_eq!(gateway.serves().await, (Generation(0), Generation(7)));
    let nothing_new = TableChange::between(Some(&leased(7, 60_000)), &leased(7, 60_000));
    assert_eq!(gateway.changed(nothing_new).await, None, "it calls anew and is given all of it");
    assert_eq!(gateway.apply(leased(6, 60_000), since_boot_ms()).await, None);
    assert_eq!(gateway.served().generation(), Generation(7));
    let all = TableChange::between(None, &leased(7, 60_000));
    let all = gateway.changed(all).await.unwrap();
    assert_eq!(gateway.apply(all, since_boot_ms()).await, Some(Generation(7)));
    assert_eq!(gateway.serves().await, (Generation(7), Generation(0)));
    let again = TableStore::open(folder.path()).unwrap();
    assert!(again.read().unwrap().is_whole);
}

#[tokio::test]
async fn the_lease_of_a_table_whose_taking_in_was_cancelled_is_watched() {
    let folder = tempfile::tempdir().unwrap();
    let store = TableStore::open(folder.path()).unwrap();
    let gateway = Arc::new(Gateway::start("gw".into(), Tuning::default(), store, None));
    let watching = tokio::spawn({
        let gateway = gateway.clone();
        async move { gateway.watch_leases().await }
    });
    tokio::task::yield_now().await;
    {
        let taking_in = gateway.apply(leased(1, 50), since_boot_ms());
        tokio::pin!(taking_in);
        // Polled once: it waits for the disk.
        let _ = one_look(taking_in.as_mut()).await;
    }
    let lapsed = async {
        while gateway.lapses().await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), lapsed).await.expect("nobody watches it");
    watching.abort();
}

/// One look at a future.
async fn one_look<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        std::task::Poll::Ready(out) => std::task::Poll::Ready(Some(out)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

#[tokio::test]
async fn a_renewal_that_answers_what_was_said_before_a_suspension_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = TableStore::open(folder.path()).unwrap();
    let gateway = Gateway::start("gw".into(), Tuning::default(), store, None);
    let said = since_boot_ms().saturating_sub(60_000);
    gateway.apply(leased(1, 30_000), said).await.unwrap();
    gateway.renew(Generation(1), Duration::from_secs(30), said).await;
    assert_eq!(gateway.lapses().await.len(), 1, "by the clock that went on meanwhile");
}

#[tokio::test]
async fn a_disk_that_is_stuck_holds_up_neither_a_lapse_nor_what_the_control_plane_asks() {
    let folder = tempfile::tempdir().unwrap();
    let store = TableStore::open(folder.path()).unwrap();
    let gateway = Arc::new(Gateway::start("gw".into(), Tuning::default(), store, None));
    for generation in 1..=2 {
        gateway.apply(leased(generation, 60_000), since_boot_ms()).await.unwrap();
    }
    // A pipe that is full: whoever writes to it waits until somebody has read.
    let changes = folder.path().join("changes.json");
    std::fs::remove_file(&changes).unwrap();
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR);
    rustix::fs::mknodat(rustix::fs::CWD, &changes, kind, mode, 0).unwrap();
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let mut disk = std::fs::OpenOptions::new().read(true).write(true).custom_flags(flags).open(changes).unwrap();
    while disk.write(&[0]).is_ok() {}
    let held = gateway.clone();
    let watching = tokio::spawn(async move { held.watch_leases().await });
    let held = gateway.clone();
    let taking_in = tokio::spawn(async move { held.apply(leased(3, 300), since_boot_ms()).await });
    let goes_on = async {
        while gateway.served().generation() < Generation(3) {
            tokio::task::yield_now().await;
        }
        // More often than there are threads that could wait for the disk.
        for _ in 0..1_000 {
            gateway.renew(Generation(3), Duration::from_millis(300), since_boot_ms()).await;
        }
        gateway.notice_suspension();
        while gateway.lapses().await.is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(gateway.serves().await, (Generation(3), Generation(0)));
    };
    let went_on = tokio::time::timeout(Duration::from_secs(20), goes_on).await;
    let was_acknowledged = taking_in.is_finished();
    watching.abort();
    // So that all threads which wait for the disk end, also where this has failed; it stays open for those that come later.
    while disk.read(&mut [0; 4096]).is_ok() {}
    taking_in.await.unwrap();
    std::mem::forget(disk);
    went_on.expect("nobody waits for the disk");
    assert!(!was_acknowledged, "it was not written");
}

use std::sync::mpsc::{RecvTimeoutError, channel};

use super::*;

#[test]
fn a_table_is_not_acknowledged_while_a_request_is_being_dispatched_by_an_older_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = TableStore::open(folder.path()).unwrap();
    let gateway = Arc::new(Gateway::start("gw".into(), Tuning::default(), store, None));
    let seen = gateway.served();
    let dispatching = gateway.dispatch(&seen).expect("nothing has changed yet");
    let (acknowledge, acknowledged) = channel();
    let applying = gateway.clone();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let table = RoutingTable { generation: Generation(7), routes: vec![] };
        acknowledge.send(runtime.block_on(applying.apply(table, Instant::now()))).unwrap();
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
        assert_eq!(gateway.apply(table(epoch), Instant::now()).await, Some(Generation(7)));
        served.push((gateway.served().routes[0].route.epoch.0, gateway.served().sequence));
    }
    assert_eq!((served[0].0, served[1].0), (1, 2));
    assert_eq!(served[1], served[2], "nothing new");
}

#[tokio::test]
async fn a_table_that_is_handed_over_is_no_younger_than_before() {
    let folder = tempfile::tempdir().unwrap();
    let before = Gateway::start("gw".into(), Tuning::default(), TableStore::open(folder.path()).unwrap(), None);
    before.apply(table(1), Instant::now()).await;
    let heir =
        Gateway::start("gw".into(), Tuning::default(), TableStore::open_later(folder.path(), None).unwrap(), None);
    before.leave_folder();
    let file = folder.path().join("table.json");
    let written = std::fs::read(&file).unwrap();
    heir.keep_folder().await;
    assert!(std::fs::read(&file).unwrap() == written, "its leases would be renewed, and nobody has");
    heir.apply(RoutingTable { generation: Generation(8), ..table(2) }, Instant::now()).await;
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

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

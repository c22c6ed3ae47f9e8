use super::*;
use slipway_core::traffic::{Epoch, Generation, Limits, Match, Route, Split, Sticky};

fn table(generation: u64) -> Arc<RoutingTable> {
    Arc::new(RoutingTable { generation: Generation(generation), routes: vec![] })
}

fn whole() -> Rest {
    Rest { is_whole: true, said_ms: since_boot_ms(), ..Rest::default() }
}

fn lapsed(lapse: &Lapse) -> Rest {
    Rest { lapses: vec![lapse.clone()], ..whole() }
}

fn route(service: usize, epoch: u64) -> Arc<Route> {
    let version: slipway_core::names::VersionName = "1".parse().unwrap();
    Arc::new(Route {
        service: format!("service-{service:05}").parse().unwrap(),
        environment: "production".parse().unwrap(),
        matches: vec![Match { host: None, path: "/".into(), rank: 0 }],
        epoch: Epoch(epoch),
        split: Split::all(version.clone()),
        fallback: None,
        lease: None,
        salt: String::new(),
        sticky: Sticky::default(),
        versions: vec![slipway_core::traffic::VersionRoute {
            version,
            role: slipway_core::traffic::Role::Stable,
            endpoints: vec![],
            protocol: Default::default(),
            health: None,
        }],
        cohorts: vec![],
        maintenance: None,
        faults: vec![],
        mirror: None,
        objectives: vec![],
        limits: Limits::default(),
    })
}

/// One after another, each with another route than the one before it.
fn tables(services: usize, changes: u64) -> Vec<Arc<RoutingTable>> {
    let mut routes: Vec<_> = (0..services).map(|service| route(service, 1)).collect();
    let mut one = |generation: u64| {
        let service = generation as usize * 7 % services;
        routes[service] = route(service, generation);
        Arc::new(RoutingTable { generation: Generation(generation), routes: routes.clone() })
    };
    (1..=changes).map(&mut one).collect()
}

#[test]
fn a_change_costs_what_it_changes_and_is_found_like_a_whole_table() {
    let folder = tempfile::tempdir().unwrap();
    let store = TableStore::open(folder.path()).unwrap();
    let length = |name: &str| fs::metadata(folder.path().join(name)).map_or(0, |file| file.len());
    let tables = tables(2_000, 400);
    let lapse = Lapse { lane: tables[0].routes[0].lane(), epoch: Epoch(1) };
    let (mut bytes, mut before) = (0, (0, 0));
    for table in &tables {
        store.write(table, lapsed(&lapse)).unwrap();
        let now = (length("table.json"), length("changes.json"));
        bytes += if now.1 > before.1 { now.1 - before.1 } else { now.0 };
        before = now;
        if table.generation.0 % 50 == 0 {
            let found = TableStore::open(folder.path()).unwrap().read().unwrap();
            assert_eq!((&found.kept.table, &found.kept.lapses), (&**table, &vec![lapse.clone()]));
        }
    }
    assert!(bytes < 2 * length("table.json"), "{bytes} bytes for 400 changes of {before:?}");
}

#[test]
fn changes_end_with_the_last_whole_line_and_belong_to_one_table() {
    let folder = tempfile::tempdir().unwrap();
    let store = TableStore::open(folder.path()).unwrap();
    let tables = tables(10, 1_000);
    let read = || TableStore::open(folder.path()).unwrap().read().unwrap().kept.table;
    tables[..3].iter().for_each(|table| store.write(table, whole()).unwrap());
    let changes = folder.path().join("changes.json");
    let written = fs::read(&changes).unwrap();
    // Killed in the middle of the last.
    fs::write(&changes, &written[..written.len() - 9]).unwrap();
    assert_eq!(read(), *tables[1]);
    // What another whole table left there changes nothing.
    let again = TableStore::open(folder.path()).unwrap();
    again.write(&tables[5], whole()).unwrap();
    assert_eq!(read(), *tables[5]);
    for table in &tables[6..] {
        again.write(table, whole()).unwrap();
    }
    assert_eq!(read(), *tables[999], "many times as long as the table");
    assert!(fs::metadata(&changes).unwrap().len() <= CHANGES);
    // A lapse of the same table.
    let lapse = Lapse { lane: tables[0].routes[0].lane(), epoch: Epoch(1) };
    again.write(&tables[999], lapsed(&lapse)).unwrap();
    assert_eq!(TableStore::open(folder.path()).unwrap().read().unwrap().kept.lapses, [lapse]);
}

#[test]
fn where_a_table_cannot_be_written_the_older_one_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = TableStore::open(folder.path()).unwrap();
    store.write(&table(1), whole()).unwrap();
    store.sync().unwrap();
    assert_eq!(store.read().unwrap().kept.table, *table(1));
    // A folder in the place of a file fails as a full disk does.
    fs::create_dir_all(folder.path().join("table.tmp/x")).unwrap();
    fs::create_dir_all(folder.path().join("changes.json/x")).unwrap();
    store.write(&table(2), whole()).unwrap_err();
    assert!(store.read().is_none());
}

#[test]
fn a_table_of_another_control_plane_is_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    let store = TableStore::open_for(folder.path(), "one").unwrap();
    store.write(&table(9), whole()).unwrap();
    assert!(TableStore::open_for(folder.path(), "one").unwrap().read().is_some());
    assert!(TableStore::open_for(folder.path(), "two").unwrap().read().is_none());
}

#[test]
fn a_renewal_counts_for_its_own_table_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = TableStore::open(folder.path()).unwrap();
    store.write(&table(2), whole()).unwrap();
    store.renew(Generation(1), Duration::from_secs(60));
    store.write_renewal().unwrap();
    assert_eq!(store.read().unwrap().renewed_for, None);
    store.renew(Generation(2), Duration::from_secs(60));
    store.write_renewal().unwrap();
    assert!(store.read().unwrap().renewed_for.is_some_and(|left| left > Duration::from_secs(1)));
}

#[test]
fn what_an_earlier_release_left_is_read_and_what_this_one_leaves_is_nothing_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = TableStore::open(folder.path()).unwrap();
    store.write(&table(7), whole()).unwrap();
    let file = folder.path().join("table.json");
    let mut kept: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let fields = kept.as_object_mut().unwrap();
    assert!(!fields.contains_key("table"), "it would serve this although it has acknowledged a later one");
    let whole = fields.remove("whole").unwrap();
    fields.insert("table".into(), whole);
    fields.remove("series");
    fs::write(&file, kept.to_string()).unwrap();
    assert_eq!(store.read().unwrap().kept.table, *table(7));
}

#[test]
fn a_folder_that_is_anothers_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (elder, heir) =
        (TableStore::open(folder.path()).unwrap(), TableStore::open_later(folder.path(), None).unwrap());
    let table = |generation| Arc::new(RoutingTable { generation: Generation(generation), routes: vec![] });
    elder.write(&table(2), whole()).unwrap();
    heir.write(&table(1), whole()).unwrap();
    assert_eq!(elder.read().unwrap().kept.table, *table(2));
    elder.rest();
    heir.wake();
    heir.write(&table(3), whole()).unwrap();
    elder.write(&table(2), whole()).unwrap();
    elder.renew(Generation(3), Duration::from_secs(60));
    elder.write_renewal().unwrap();
    let found = heir.read().unwrap();
    assert_eq!((found.kept.table, found.renewed_for), (RoutingTable::clone(&table(3)), None));
    heir.rest();
    elder.wake();
    elder.write(&table(4), whole()).unwrap();
    assert_eq!(elder.read().unwrap().kept.table, *table(4), "no change of what another has replaced");
}

#[test]
fn nobody_follows_a_gateway_of_another_control_plane() {
    let folder = tempfile::tempdir().unwrap();
    TableStore::open_for(folder.path(), "one").unwrap();
    TableStore::open_later(folder.path(), Some("one")).unwrap();
    TableStore::open_later(folder.path(), Some("two")).unwrap_err();
    assert!(TableStore::open_for(folder.path(), "one").is_ok(), "it is still the first one's");
}

#[test]
fn a_write_that_nobody_waits_for_any_more_does_not_undo_a_later_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = TableStore::open(folder.path()).unwrap();
    let (first, second) = (store.turn(), store.turn());
    store.write(&table(2), Rest { turn: second, ..whole() }).unwrap();
    store.write(&table(1), Rest { turn: first, ..whole() }).unwrap();
    assert_eq!(store.read().unwrap().kept.table, *table(2));
}

#[test]
fn after_a_whole_line_that_cannot_be_read_there_is_no_table() {
    let folder = tempfile::tempdir().unwrap();
    let store = TableStore::open(folder.path()).unwrap();
    let tables = tables(10, 4);
    tables[..3].iter().for_each(|table| store.write(table, whole()).unwrap());
    let changes = folder.path().join("changes.json");
    let written = fs::read_to_string(&changes).unwrap();
    let read = |lines: &str| {
        fs::write(&changes, lines).unwrap();
        TableStore::open(folder.path()).unwrap().read().map(|found| found.kept.table)
    };
    assert_eq!(read(&written), Some(RoutingTable::clone(&tables[2])));
    assert_eq!(read(&format!("{written}{{\"series\":")), Some(RoutingTable::clone(&tables[2])), "torn");
    assert_eq!(read(&format!("{written}{{\"series\":1}}\n")), Some(RoutingTable::clone(&tables[2])), "another table's");
    assert_eq!(read(&written.replacen("\"change\"", "\"changes\"", 1)), None);
    assert_eq!(read(&format!("{written}\n")), None);
    let second = written.lines().nth(1).unwrap();
    assert_eq!(read(&format!("{second}\n")), None, "the one before it is missing");
}

#[test]
fn a_lease_is_no_longer_on_disk_than_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let store = TableStore::open(folder.path()).unwrap();
    let said_ms = since_boot_ms().saturating_sub(9_000);
    store.write(&table(1), Rest { said_ms, ..whole() }).unwrap();
    store.write(&table(2), Rest { said_ms, ..whole() }).unwrap();
    assert!(store.read().unwrap().age >= Duration::from_secs(9));
}

#[test]
fn a_table_of_an_earlier_release_or_boot_is_a_part_of_it_and_keeps_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let store = TableStore::open(folder.path()).unwrap();
    let write = |is_whole| {
        store.write(&table(7), Rest { is_whole, ..whole() }).unwrap();
        store.read().unwrap().is_whole
    };
    assert!(write(true) && !write(false) && write(true));
    let file = folder.path().join("table.json");
    let kept: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    for (field, other) in [("reads", serde_json::Value::Null), ("boot_id", "another".into())] {
        let mut other_kept = kept.clone();
        match other {
            serde_json::Value::Null => _ = other_kept.as_object_mut().unwrap().remove(field),
            other => other_kept[field] = other,
        }
        fs::write(&file, other_kept.to_string()).unwrap();
        let found = store.read().unwrap();
        assert_eq!((found.is_whole, found.kept.table.generation), (false, Generation(7)), "{field}");
    }
}

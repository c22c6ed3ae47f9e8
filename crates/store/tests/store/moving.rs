//! A store that is moved is there whole or not at all, and drives from one place only.

use serde_json::Value;
use slipway_core::units::Timestamp;
use slipway_store::{Error, Filter, Store, move_store};

use crate::common::{Ground, database, fact, journal_of, lane, open, server, turn};

/// A file with something of everything that is awkward.
async fn full() -> Ground {
    let ground = Ground::file();
    let store = ground.open().await.unwrap();
    // More than a page.
    store.append((1..=250).map(|n| fact(&format!("fact.number-{n}"))).collect(), Timestamp(1)).await.unwrap();
    for service in ["shop", "cart", "a-b", "ab"] {
        for from in 0..3 {
            turn(&store, &lane(service), from, vec![]).await.unwrap();
        }
    }
    store.insert_token("\u{e9}mile", "secret", Timestamp(1)).await.unwrap();
    store.close().await;
    ground
}

#[tokio::test]
async fn everything_is_moved_and_the_file_drives_no_more() {
    let ground = full().await;
    let to = database();
    let moved = move_store(ground.path(), &to.parse().unwrap()).await.unwrap();
    let rows = |table: &str| moved.rows.iter().find(|(name, _)| name == table).map(|(_, rows)| *rows);
    assert_eq!(
        (rows("journal"), rows("lanes"), rows("tokens"), rows("outbox")),
        (Some(262), Some(4), Some(1), Some(12))
    );
    assert_eq!((moved.head, moved.before), (262, false));
    match Store::open(ground.path()).await {
        Err(Error::Moved { to: said }) => assert_eq!(said, to),
        other => panic!("{other:?}"),
    }
    assert!(matches!(move_store(ground.path(), &to.parse().unwrap()).await, Err(Error::Moved { .. })));
    let store = open(ground.path(), Some(&to)).await.unwrap();
    assert_eq!(store.start_number(), 2, "starts are counted on");
    assert_eq!(store.verify_journal().await.unwrap().unwrap().head, moved.hash);
    assert_eq!(store.load_lane::<Value>(&lane("shop")).await.unwrap().unwrap().generation, 3);
    assert_eq!(store.token("secret").await.unwrap().unwrap().name, "\u{e9}mile");
    store.append(vec![fact("later")], Timestamp(9)).await.unwrap();
    assert_eq!(store.entries(&Filter::default()).await.unwrap()[0].seq, 263);
}

#[tokio::test]
async fn a_move_that_is_cut_off_leaves_nothing_and_can_be_done_again() {
    let ground = full().await;
    let name = "cut_off";
    let to = server().database(name).unwrap();
    // The copy fails in its middle: the server is told to end every session that writes the hundredth entry.
    let trap = "CREATE SCHEMA trap; CREATE FUNCTION trap.spring() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity = 'public.leases') THEN \
         PERFORM pg_terminate_backend(pg_backend_pid()); END IF; END $$; \
         CREATE EVENT TRIGGER trap ON ddl_command_end EXECUTE FUNCTION trap.spring()";
    server().query_in(name, trap).unwrap();
    let error = move_store(ground.path(), &to.parse().unwrap()).await.expect_err("its session was ended");
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
    assert_eq!(server().query_in(name, tables).unwrap(), ["0"], "nothing half done");
    let store = ground.open().await.expect("the file drives as before");
    store.append(vec![fact("meanwhile")], Timestamp(5)).await.unwrap();
    store.close().await;
    drop(store);

    server().query_in(name, "DROP EVENT TRIGGER trap").unwrap();
    let moved = move_store(ground.path(), &to.parse().unwrap()).await.unwrap();
    assert_eq!(moved.head, 263);
    // Cut off before the file was marked: found again, and marked.
    ground.meddle("DELETE FROM identity WHERE name = 'moved'").await;
    let again = move_store(ground.path(), &to.parse().unwrap()).await.unwrap();
    assert_eq!((again.before, again.head, &again.hash), (true, 263, &moved.hash));
    // Driven on from the file instead: two histories are never joined.
    ground.meddle("DELETE FROM identity WHERE name = 'moved'").await;
    journal_of(&ground, 1).await;
    assert!(matches!(move_store(ground.path(), &to.parse().unwrap()).await, Err(Error::Unfit(_))));
}

#[tokio::test]
async fn a_database_with_anything_in_it_is_refused_and_left_alone() {
    let ground = full().await;
    let name = "somebodys";
    let to = server().database(name).unwrap();
    server().query_in(name, "CREATE TABLE diary (day TEXT PRIMARY KEY)").unwrap();
    let error = move_store(ground.path(), &to.parse().unwrap()).await.expect_err("it is not empty");
    assert!(matches!(&error, Error::Unfit(why) if why.contains("not empty")), "{error:?}");
    let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'";
    assert_eq!(server().query_in(name, tables).unwrap(), ["diary"]);
    assert!(ground.open().await.is_ok());
}

#[tokio::test]
async fn a_journal_that_somebody_touched_is_not_moved() {
    let ground = full().await;
    ground.meddle("UPDATE journal SET actor = 'user:eve' WHERE seq = 7").await;
    let to = database();
    match move_store(ground.path(), &to.parse().unwrap()).await {
        Err(Error::Damaged(why)) => assert!(why.starts_with("entry 7 was changed"), "{why}"),
        other => panic!("{other:?}"),
    }
}

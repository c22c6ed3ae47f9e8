//! A store that is moved is there whole or not at all, and drives from one place only.

use serde_json::{Value, json};
use slipway_core::names::{Digest, LaneId, RolloutId};
use slipway_core::units::Timestamp;
use slipway_store::{Commit, Error, Filter, ReleaseRecord, Remembered, SampleRecord, Store, move_store};

use crate::common::{Ground, database, fact, journal_of, lane, on_server, open, rollout, sample, server, turn};
use crate::groups::keep;

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

/// A file with rows in every table, and with more than a page where a key has several columns, so that one page ends in the
/// middle of what they share; its newest entry.
async fn full_to_the_last_table() -> (Ground, u64) {
    let ground = full().await;
    let store = ground.open().await.unwrap();
    let at = Timestamp(5);
    for n in 0..160 {
        let id = LaneId {
            service: format!("s-{}", n / 40).parse().unwrap(),
            environment: format!("e-{}", n % 40).parse().unwrap(),
        };
        let doc = json!({ "n": n });
        let (facts, effects, consumed) = (vec![], vec![], vec![]);
        let record = rollout(RolloutId::numbered(n + 1), "shop", Some("succeeded"));
        // The samples of two rollouts, each more than a page.
        let of =
            |n: u64| (1..=130).map(move |at| SampleRecord { rollout: RolloutId::numbered(n + 1), sample: sample(at) });
        let samples = if n < 2 { of(n).collect() } else { vec![] };
        let (lane, rollouts, expected_generation) = (&id, vec![record], 0);
        let commit = Commit { lane, expected_generation, doc: &doc, facts, effects, consumed, rollouts, samples, at };
        store.commit(commit).await.unwrap();
        let release = ReleaseRecord {
            service: id.service.clone(),
            version: format!("1.0.{n}").parse().unwrap(),
            artifact: Digest::of(format!("{n}").as_bytes()),
            config: Digest::of(b"config"),
            file: "service: s\n".to_string(),
            created_at: at,
            actor: "user:ada".to_string(),
        };
        store.insert_release(&release).await.unwrap();
        let answer = Remembered { status: 201, body: format!("{n}") };
        store.remember(&format!("key {n}"), "asked", &answer, at).await.unwrap();
    }
    for service in ["shop", "cart"] {
        let hooks = (0..70).map(|n| (format!("hook-{n}"), json!({ "n": n }))).collect();
        store.declare_hooks(&lane(service), hooks, None).await.unwrap();
    }
    assert!(keep(&store, ("web", 1), 0, false).await);
    store.keep_environment(&"production".parse().unwrap(), &json!({ "n": 1 }), None, vec![], at).await.unwrap();
    store.begin_session("a session", "secret", at, Timestamp(u64::MAX >> 2)).await.unwrap();
    let head = store.journal_head();
    store.close().await;
    (ground, head)
}

#[tokio::test]
async fn everything_is_moved_and_the_file_drives_no_more() {
    on_server(|| async {
        let (ground, head) = full_to_the_last_table().await;
        let to = database();
        let moved = move_store(ground.path(), &to.parse().unwrap()).await.unwrap();
        let mut file = ground.raw().await;
        for (table, rows) in &moved.rows {
            let there = file.texts(&format!("SELECT CAST(COUNT(*) AS TEXT) FROM {table}")).await;
            // Where it was moved to stands in the file alone.
            let marked = u64::from(table == "identity");
            assert_eq!(there, [(rows + marked).to_string()], "{table}");
            // A file has no lease: whoever holds it drives.
            assert!(*rows > 0 || table == "leases", "{table} is empty: this shows nothing of it");
            let composite = ["lanes", "releases", "hooks", "samples"].contains(&table.as_str());
            assert!(!composite || *rows > 100, "{table} has only {rows} rows, all on one page");
        }
        file.close().await;
        let keys = "SELECT COUNT(*) FROM information_schema.key_column_usage \
                    WHERE table_schema = 'public' AND ordinal_position = 2";
        let name = to.rsplit('/').next().unwrap();
        assert_eq!(
            server().query_in(name, keys).unwrap(),
            ["4"],
            "there is another table with a key of several columns"
        );
        assert_eq!((moved.head, moved.before), (head, false));
        match Store::open(ground.path()).await {
            Err(Error::Moved { to: said }) => assert_eq!(said, to),
            other => panic!("{other:?}"),
        }
        assert!(matches!(move_store(ground.path(), &to.parse().unwrap()).await, Err(Error::Moved { .. })));
        let store = open(ground.path(), Some(&to)).await.unwrap();
        assert_eq!(store.start_number(), 3, "starts are counted on");
        assert_eq!(store.verify_journal().await.unwrap().unwrap().head, moved.hash);
        assert_eq!(store.load_lane::<Value>(&lane("shop")).await.unwrap().unwrap().generation, 3);
        assert_eq!(store.token("secret").await.unwrap().unwrap().name, "\u{e9}mile");
        assert_eq!(store.session("a session", Timestamp(9)).await.unwrap().unwrap().name, "\u{e9}mile");
        assert_eq!(store.samples(&RolloutId::numbered(2)).await.unwrap().len(), 130);
        assert_eq!(store.group_run::<Value>("gr-1").await.unwrap().unwrap().doc, json!({ "n": 1 }));
        store.append(vec![fact("later")], Timestamp(9)).await.unwrap();
        assert_eq!(store.entries(&Filter::default()).await.unwrap()[0].seq, head + 1);
    })
    .await
}

#[tokio::test]
async fn a_move_that_is_cut_off_leaves_nothing_and_can_be_done_again() {
    on_server(|| async {
        let ground = full().await;
        let to = database();
        let name = to.rsplit('/').next().unwrap();
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
    })
    .await
}

#[tokio::test]
async fn a_database_with_anything_in_it_is_refused_and_left_alone() {
    on_server(|| async {
        let ground = full().await;
        let to = database();
        let name = to.rsplit('/').next().unwrap();
        server().query_in(name, "CREATE TABLE diary (day TEXT PRIMARY KEY)").unwrap();
        let error = move_store(ground.path(), &to.parse().unwrap()).await.expect_err("it is not empty");
        assert!(matches!(&error, Error::Unfit(why) if why.contains("not empty")), "{error:?}");
        let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'";
        assert_eq!(server().query_in(name, tables).unwrap(), ["diary"]);
        assert!(ground.open().await.is_ok());
    })
    .await
}

#[tokio::test]
async fn a_journal_that_somebody_touched_is_not_moved() {
    on_server(|| async {
        let ground = full().await;
        ground.meddle("UPDATE journal SET actor = 'user:eve' WHERE seq = 7").await;
        let to = database();
        match move_store(ground.path(), &to.parse().unwrap()).await {
            Err(Error::Damaged(why)) => assert!(why.starts_with("entry 7 was changed"), "{why}"),
            other => panic!("{other:?}"),
        }
    })
    .await
}

//! Killed at any instant, the store holds whole turns and nothing else.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;
use slipway_store::Filter;

use crate::common::{Ground, lane, on_both, open, turn};

/// Names the folder in which the child takes its turns.
const FOLDER: &str = "SLIPWAY_STORE_TEST_FOLDER";
/// Names the database, where it is on a server.
const DATABASE: &str = "SLIPWAY_STORE_TEST_DATABASE";

/// Takes turns until it is killed; does nothing where no parent asks for it.
#[tokio::test]
#[ignore = "is started by the test below"]
async fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let database = std::env::var(DATABASE).ok();
    let store = open(folder.as_ref(), database.as_deref()).await.unwrap();
    let shop = lane("shop");
    let mut generation = store.load_lane::<Value>(&shop).await.unwrap().map_or(0, |kept| kept.generation);
    loop {
        let consumed = store.pending_effects().await.unwrap().iter().map(|effect| effect.id).collect();
        generation = turn(&store, &shop, generation, consumed).await.unwrap().generation;
        println!("turn {generation}");
    }
}

async fn whoever_is_killed_while_committing_leaves_whole_turns(ground: Ground) {
    let mut known = 0;
    // Whoever was killed has its lease for a while: rounds take longer on a server.
    let rounds = if ground.database.is_some() { 3 } else { 12 };
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::child", "--ignored", "--nocapture"])
            .env(FOLDER, ground.path())
            .envs(ground.database.iter().map(|database| (DATABASE, database)))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut turns = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("turn ")?.parse::<u64>().ok());
        let promised = turns.nth(round * 3).expect("the child takes turns");
        child.kill().unwrap();
        child.wait().unwrap();
        let promised = turns.last().unwrap_or(promised);

        let store = ground.open().await.unwrap();
        let kept = store.load_lane::<Value>(&lane("shop")).await.unwrap().unwrap();
        assert!(kept.generation >= promised && kept.generation > known, "what was promised is there");
        known = kept.generation;
        assert_eq!(kept.doc["n"], kept.generation);
        let effects = store.pending_effects().await.unwrap();
        assert_eq!(effects.iter().map(|e| e.key.clone()).collect::<Vec<_>>(), [format!("shop/{}", kept.generation)]);
        let verified = store.verify_journal().await.unwrap().expect("the chain is whole");
        let kind = Some("turn.taken".to_string());
        let entries = store.entries(&Filter { kind, limit: Some(10_000), ..Filter::default() }).await.unwrap();
        assert_eq!(entries.len() as u64, kept.generation);
        assert!(verified.entries >= kept.generation);
        store.close().await;
    }
}

on_both!(whoever_is_killed_while_committing_leaves_whole_turns,);

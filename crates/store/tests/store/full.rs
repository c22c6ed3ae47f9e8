//! A disk on which nothing more can be written: turns are refused whole, reading goes on, and so does writing later.
//!
//! The disk is played by the kernel's limit on the size of a file, in a process of its own.

use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use slipway_store::{Error, Store};

use crate::common::{folder, lane, turn};

const FOLDER: &str = "SLIPWAY_STORE_TEST_FULL";

fn limit_files_to(bytes: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: bytes.or(maximum), maximum }).unwrap();
}

#[tokio::test]
#[ignore = "is started by the test below"]
async fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = Store::open(folder.as_ref()).await.unwrap();
    let shop = lane("shop");
    for round in 1..=3 {
        let mut generation = store.load_lane::<Value>(&shop).await.unwrap().map_or(0, |kept| kept.generation);
        let wal = std::path::Path::new(&folder).join("slipway.db-wal").metadata().unwrap().len();
        limit_files_to(Some(wal + 100_000));
        let error = loop {
            match turn(&store, &shop, generation, vec![]).await {
                Ok(committed) => generation = committed.generation,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::Unavailable(_)), "{error}");
        let again = turn(&store, &shop, generation, vec![]).await.expect_err("the disk is still full");
        assert!(matches!(again, Error::Unavailable(_)), "{again}");
        let kept = store.load_lane::<Value>(&shop).await.unwrap().unwrap();
        assert_eq!((kept.generation, &kept.doc["n"]), (generation, &generation.into()), "nothing half done");
        assert_eq!(store.pending_effects().await.unwrap().len() as u64, generation);

        limit_files_to(None);
        let committed = turn(&store, &shop, generation, vec![]).await.expect("there is room again");
        assert_eq!(committed.generation, generation + 1);
        assert_eq!(store.verify_journal().await.unwrap().unwrap().entries, generation + 1);
        println!("round {round} passed");
    }
}

#[test]
fn a_full_disk_refuses_turns_whole_and_is_over_when_there_is_room_again() {
    let folder = folder();
    let me = std::env::current_exe().unwrap();
    let run = Command::new("sh")
        // Without the trap the kernel would end the process instead of failing the write.
        .args(["-c", r#"trap "" XFSZ; exec "$0" --exact full::child --ignored --nocapture"#])
        .arg(me)
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("round 3 passed"), "{said}");
}

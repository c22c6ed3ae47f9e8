//! Who may open a data folder, and which.

use std::future::poll_fn;
use std::os::unix::fs::PermissionsExt;
use std::task::Poll;

use slipway_store::{Error, Store};

use crate::common::{Ground, folder};

#[tokio::test]
async fn a_second_start_on_the_same_folder_is_refused_with_the_process_that_has_it() {
    let folder = folder();
    let store = Store::open(folder.path()).await.unwrap();
    match Store::open(folder.path()).await {
        Err(Error::InUse { pid, .. }) => assert_eq!(pid, std::process::id().to_string()),
        other => panic!("{other:?}"),
    }
    store.close().await;
    drop(store);
    assert!(Store::open(folder.path()).await.is_ok(), "a folder that was left is free");
}

#[tokio::test]
async fn a_lock_that_is_just_being_let_go_is_waited_for() {
    let folder = folder();
    let lock = std::fs::File::create(folder.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let mut opening = Box::pin(Store::open(folder.path()));
    // Its one look and the letting go have nothing between them that could take long.
    let waits = poll_fn(|cx| Poll::Ready(opening.as_mut().poll(cx).is_pending())).await;
    assert!(waits, "it is not refused at once");
    drop(lock);
    assert!(opening.await.is_ok());
}

#[tokio::test]
async fn data_of_a_newer_slipway_is_refused_and_left_alone() {
    let folder = Ground::file();
    folder.open().await.unwrap().close().await;
    folder.meddle("INSERT INTO migrations (name) VALUES ('0999_future')").await;
    let before = std::fs::read(folder.path().join("slipway.db")).unwrap();
    match Store::open(folder.path()).await {
        Err(Error::Newer { found, .. }) => assert_eq!(found, "0999_future"),
        other => panic!("{other:?}"),
    }
    assert_eq!(std::fs::read(folder.path().join("slipway.db")).unwrap(), before);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_called_so() {
    let folder = folder();
    std::fs::write(folder.path().join("slipway.db"), "somebody's diary\n".repeat(1000)).unwrap();
    match Store::open(folder.path()).await {
        Err(Error::Damaged(why)) => assert!(why.contains("not a database"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let folder = folder();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    match Store::open(&file.join("data")).await {
        Err(Error::Unavailable(why)) => assert!(why.contains("file/data"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_kept_is_nobody_elses_to_read() {
    let folder = folder();
    let data = folder.path().join("new/data");
    let store = Store::open(&data).await.unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for file in ["slipway.db", "slipway.db-wal", "slipway.db-shm"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
    store.close().await;
}

#[tokio::test]
async fn a_folder_whose_store_is_on_a_server_gets_no_second_one() {
    let ground = Ground::server();
    ground.open().await.unwrap().close().await;
    match Store::open(ground.path()).await {
        Err(Error::OnServer { folder }) => assert_eq!(folder, ground.path().display().to_string()),
        other => panic!("{other:?}"),
    }
    assert!(!ground.path().join("slipway.db").exists(), "it is refused before there is one");
    assert!(ground.open().await.is_ok(), "its own is there as before");
}

//! What is written down beside the database while it is away.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use slipway_store::{Error, Store};

use crate::common::{folder, lane};

#[tokio::test]
async fn a_note_is_there_for_whoever_opens_the_store_next_until_it_is_forgotten() {
    let folder = folder();
    let (shop, other) = (lane("shop"), lane("other"));
    let store = Store::open(folder.path()).await.unwrap();
    assert_eq!(store.noted::<Value>(&shop).await.unwrap(), None);
    for n in [1, 2] {
        store.note(&shop, &json!({ "n": n })).await.unwrap();
    }
    drop(store);
    let store = Store::open(folder.path()).await.unwrap();
    assert_eq!(store.noted::<Value>(&shop).await.unwrap(), Some(json!({ "n": 2 })));
    assert_eq!(store.noted::<Value>(&other).await.unwrap(), None);
    store.forget_noted(&shop).await.unwrap();
    store.forget_noted(&shop).await.expect("also where there is none");
    assert_eq!(store.noted::<Value>(&shop).await.unwrap(), None);
}

#[tokio::test]
async fn notes_are_the_users_own_and_one_that_makes_no_sense_is_named() {
    let folder = folder();
    let shop = lane("shop");
    let store = Store::open(folder.path()).await.unwrap();
    store.note(&shop, &json!({})).await.unwrap();
    let notes: Vec<_> =
        std::fs::read_dir(folder.path().join("unrecorded")).unwrap().map(|e| e.unwrap().path()).collect();
    let [note] = &notes[..] else { panic!("{notes:?}") };
    assert_eq!(note.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::write(note, "{").unwrap();
    let error = store.noted::<Value>(&shop).await.unwrap_err();
    assert!(matches!(&error, Error::Damaged(why) if why.contains(note.to_str().unwrap())), "{error}");
}

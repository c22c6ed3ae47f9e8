//! A blob is complete under its own name, or absent.

use std::fs;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use slipway_core::names::Digest;
use slipway_registry::{BlobError, Blobs, Stored};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

fn files_under(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    entries.map(|path| if path.is_dir() { files_under(&path) } else { 1 }).sum()
}

#[tokio::test]
async fn what_is_put_is_found_verified_and_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path().join("artifacts")).unwrap();
    let content = vec![7u8; 1_000_000];
    let digest = Digest::of(&content);
    assert!(!blobs.contains(&digest) && blobs.path(&digest).is_none());
    assert!(matches!(blobs.verify(&digest).await, Err(BlobError::Missing(_))));

    assert_eq!(blobs.put(&content[..], &digest).await.unwrap(), Stored { size: 1_000_000, new: true });
    assert_eq!(blobs.put(&content[..], &digest).await.unwrap(), Stored { size: 1_000_000, new: false });

    let blobs = Blobs::open(dir.path().join("artifacts")).unwrap();
    let path = blobs.path(&digest).unwrap();
    assert_eq!(path, dir.path().join("artifacts/sha256").join(&digest.hex()[..2]).join(digest.hex()));
    assert_eq!(fs::read(path).unwrap(), content);
    blobs.verify(&digest).await.unwrap();
    assert_eq!(files_under(dir.path()), 1);
}

#[tokio::test]
async fn the_wrong_bytes_are_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let error = blobs.put(&b"other"[..], &Digest::of(b"these")).await.unwrap_err();
    assert!(matches!(&error, BlobError::WrongDigest { found, .. } if *found == Digest::of(b"other")), "{error}");
    assert_eq!(files_under(dir.path()), 0);
}

#[tokio::test]
async fn too_many_bytes_are_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open_within(dir.path(), 4).unwrap();
    assert!(matches!(blobs.put(&b"12345"[..], &Digest::of(b"12345")).await, Err(BlobError::TooLarge { limit: 4 })));
    assert_eq!(files_under(dir.path()), 0);
    assert!(blobs.put(&b"1234"[..], &Digest::of(b"1234")).await.is_ok());
}

/// Gives some bytes, then fails.
struct Breaks(bool);

impl AsyncRead for Breaks {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        buffer.put_slice(b"half");
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_sender_that_breaks_off_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let error = blobs.put(Breaks(false), &Digest::of(b"half of it")).await.unwrap_err();
    assert!(matches!(error, BlobError::BrokenOff { received: 4, .. }), "{error}");
    assert_eq!(files_under(dir.path()), 0);
}

#[tokio::test]
async fn a_put_that_is_given_up_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let (mut sender, receiver) = tokio::io::duplex(64);
    let digest = Digest::of(b"never all of it");
    {
        let put = blobs.put(receiver, &digest);
        tokio::pin!(put);
        tokio::select! {
            biased;
            _ = &mut put => panic!("the sender is not done"),
            sent = sender.write_all(b"never") => sent.unwrap(),
        }
        assert_eq!(files_under(dir.path()), 1, "on its way");
    }
    assert_eq!(files_under(dir.path()), 0);
}

#[tokio::test]
async fn leftovers_of_a_crash_are_removed_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    blobs.put(&b"kept"[..], &Digest::of(b"kept")).await.unwrap();
    fs::write(dir.path().join("tmp/.tmpLeft"), "half").unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    assert_eq!(files_under(dir.path()), 1);
    assert!(blobs.contains(&Digest::of(b"kept")));
}

#[tokio::test]
async fn damage_is_noticed_and_mended_by_storing_again() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let digest = Digest::of(b"right");
    blobs.put(&b"right"[..], &digest).await.unwrap();
    fs::write(blobs.path(&digest).unwrap(), "wrong").unwrap();
    let error = blobs.verify(&digest).await.unwrap_err();
    assert!(matches!(&error, BlobError::Damaged { found, .. } if *found == Digest::of(b"wrong")), "{error}");
    blobs.put(&b"right"[..], &digest).await.unwrap();
    blobs.verify(&digest).await.unwrap();
}

#[tokio::test]
async fn the_same_blob_stored_many_times_at_once_is_one_blob() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let digest = Digest::of(b"same");
    let mut puts = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (blobs, digest) = (blobs.clone(), digest.clone());
        puts.spawn(async move { blobs.put(&b"same"[..], &digest).await });
    }
    while let Some(put) = puts.join_next().await {
        put.unwrap().unwrap();
    }
    assert_eq!(files_under(dir.path()), 1);
    blobs.verify(&digest).await.unwrap();
}

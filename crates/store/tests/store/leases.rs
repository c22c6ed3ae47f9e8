//! Leases where the server hiccups: who drives keeps its lease past a connection that hangs, and what was taken down stays
//! so though it could not be said at once.

use std::time::Duration;

use slipway_store::{Place, Standby};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::common::{Ground, LIMIT, on_server, open};

/// A way to the server on which connections can be made to hang.
struct Way {
    url: String,
    hang: watch::Sender<()>,
}

impl Way {
    async fn to(url: &str) -> Way {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (_, place) = url.split_once('@').unwrap();
        let server = place.split('/').next().unwrap().to_string();
        let url = url.replace(&server, &listener.local_addr().unwrap().to_string());
        let hang = watch::Sender::new(());
        let hangs = hang.subscribe();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (mut hangs, server) = (hangs.clone(), server.clone());
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(server).await.unwrap();
                    hangs.mark_unchanged();
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        // Both ends stay open, and nothing passes any more.
                        _ = hangs.changed() => std::future::pending().await,
                    }
                });
            }
        });
        Way { url, hang }
    }

    /// Those that there are now hang; later ones do not.
    fn hang(&self) {
        self.hang.send_replace(());
    }
}

/// Waits until the lease has been renewed so often.
async fn renewed(ground: &Ground, times: u32) {
    let mut raw = ground.raw().await;
    let sql = "SELECT CAST(expires_at AS TEXT) FROM leases";
    for _ in 0..times {
        let before = raw.texts(sql).await;
        let later = async {
            while raw.texts(sql).await == before {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LIMIT, later).await.expect("it is renewed");
    }
}

#[tokio::test]
async fn a_renewal_that_hangs_is_followed_by_one_on_another_connection() {
    on_server(|| async {
        let ground = Ground::server();
        let way = Way::to(ground.database.as_deref().unwrap()).await;
        let store = open(ground.path(), Some(&way.url)).await.unwrap();
        let holding = tokio::spawn(async move { store.hold().await });
        renewed(&ground, 2).await;
        way.hang();
        // One may have been on its way.
        renewed(&ground, 2).await;
        holding.abort();
    })
    .await
}

#[tokio::test]
async fn what_was_taken_down_stays_down_though_the_database_was_away_when_it_was_said() {
    on_server(|| async {
        let ground = Ground::server();
        let store = ground.open().await.unwrap();
        ground.meddle("ALTER TABLE leases RENAME TO elsewhere").await;
        assert!(!store.is_taken_down());
        store.take_down().await.expect_err("it cannot be said");
        assert!(store.is_taken_down());
        ground.meddle("ALTER TABLE elsewhere RENAME TO leases").await;
        store.close().await;
        let standby = Standby::join(ground.path(), &ground.database.clone().unwrap().parse().unwrap()).await.unwrap();
        assert_eq!(standby.look().await.unwrap(), Place::TakenDown { start: 1 });
    })
    .await
}

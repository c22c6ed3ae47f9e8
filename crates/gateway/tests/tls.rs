//! TLS to clients: certificates by name, read anew without a connection noticing, and what is told of bad ones.

mod common;
#[path = "common/secure.rs"]
mod secure;

use std::path::Path;

use common::*;
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::KeyPair;
use secure::{address, put, put_from, secure, shake};
use slipway_gateway::tls::{Tls, mistakes};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

async fn metrics(world: &World) -> String {
    let admin = std::fs::read(world.dir.path().join("gateway/admin.json")).unwrap();
    let admin: serde_json::Value = serde_json::from_slice(&admin).unwrap();
    Client::to(admin["address"].as_str().unwrap().parse().unwrap()).await.get("/metrics", &[]).await.body
}

async fn shaken(world: &World, name: &str) -> TlsStream<TcpStream> {
    shake(world, name, &["http/1.1"], rustls::ALL_VERSIONS).await
}

/// The certificate that is served for a name.
async fn served(world: &World, name: &str) -> Vec<u8> {
    shaken(world, name).await.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

async fn ask(sender: &mut hyper::client::conn::http1::SendRequest<Body>, path: &str) -> String {
    sender.ready().await.unwrap();
    let answer = sender.send_request(request("GET", path, &[], "")).await.unwrap();
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn certificates_are_chosen_by_name_and_the_request_says_that_it_came_by_tls() {
    let folder = tempfile::tempdir().unwrap();
    let default = put(folder.path(), "default", &["any.example"], 30);
    let shop = put(folder.path(), "shop", &["shop.example", "www.shop.example"], 30);
    let wild = put(folder.path(), "wild", &["*.shop.example"], 90);
    let stable = Instance::start("s1").await;
    let world = secure(folder.path()).await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    for (name, expected) in [
        ("shop.example", &shop),
        ("SHOP.example", &shop),
        ("www.shop.example", &shop),
        ("api.shop.example", &wild),
        ("a.b.shop.example", &default),
        ("elsewhere.example", &default),
        ("127.0.0.1", &default),
    ] {
        assert_eq!(&served(&world, name).await, expected, "{name}");
    }
    let stream = shake(&world, "shop.example", &["http/1.1"], &[&rustls::version::TLS12]).await;
    assert_eq!(stream.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let seen = ask(&mut sender, "/headers").await;
    assert!(seen.contains("x-forwarded-proto: https") && seen.contains("proto=https"), "{seen}");
}

#[tokio::test]
async fn http_2_is_spoken_where_the_client_offers_it() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "tls", &["shop.example"], 30);
    let stable = Instance::start("s1").await;
    let world = secure(folder.path()).await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    let stream = shake(&world, "shop.example", &["h2", "http/1.1"], rustls::ALL_VERSIONS).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let made = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = made.unwrap();
    tokio::spawn(connection);
    let asked = http::Request::get("https://shop.example/headers").body(full("")).unwrap();
    let seen = sender.send_request(asked).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    let seen = String::from_utf8(seen.to_vec()).unwrap();
    assert!(seen.contains("host: shop.example") && seen.contains("x-forwarded-proto: https"), "{seen}");
}

#[tokio::test]
async fn newer_certificates_are_served_and_no_connection_notices() {
    let folder = tempfile::tempdir().unwrap();
    let first = put(folder.path(), "tls", &["shop.example"], 30);
    let stable = Instance::start("s1").await;
    let world = secure(folder.path()).await;
    world.publish(table(1, 0, &[&stable], &[]).build()).await;
    let stream = shaken(&world, "shop.example").await;
    let (mut open, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    assert_eq!(ask(&mut open, "/").await, "s1");

    let second = put(folder.path(), "tls", &["shop.example"], 60);
    await_served(&world, &second).await;
    assert_eq!(ask(&mut open, "/").await, "s1", "the connection goes on");

    // A key of somebody else's.
    std::fs::write(folder.path().join("tls.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    await_mistakes(&world, 1).await;
    assert_eq!(served(&world, "shop.example").await, second, "what was served before stays");
    // One whose time is over.
    put(folder.path(), "tls", &["shop.example"], -1);
    std::fs::write(folder.path().join("junk.crt"), "no certificate").unwrap();
    await_mistakes(&world, 2).await;
    assert_eq!(served(&world, "shop.example").await, second);
    // None at all.
    std::fs::remove_file(folder.path().join("junk.crt")).unwrap();
    std::fs::rename(folder.path().join("tls.crt"), folder.path().join("gone")).unwrap();
    assert_eq!(served(&world, "shop.example").await, second);

    let third = put(folder.path(), "tls", &["shop.example"], 61);
    await_served(&world, &third).await;
    await_mistakes(&world, 0).await;
    assert_eq!(ask(&mut open, "/").await, "s1", "the connection goes on");
    assert_ne!(first, third);
    let shown = metrics(&world).await;
    let line = shown
        .lines()
        .find(|l| l.starts_with("slipway_certificate_expires_seconds{certificate=\"tls\",host=\"shop.example\"}"));
    let expires: f64 = line.unwrap_or_else(|| panic!("{shown}")).rsplit(' ').next().unwrap().parse().unwrap();
    let days = (expires - time::OffsetDateTime::now_utc().unix_timestamp() as f64) / 86_400.0;
    assert!((60.0..=61.0).contains(&days), "{days}");
}

#[tokio::test]
async fn a_certificate_that_does_not_hold_yet_replaces_none_that_does() {
    let folder = tempfile::tempdir().unwrap();
    let first = put(folder.path(), "tls", &["shop.example"], 30);
    let world = secure(folder.path()).await;
    // Under the same name, and under another one.
    let tomorrow = put_from(folder.path(), "tls", &["shop.example"], time::Duration::days(1), 90);
    await_mistakes(&world, 1).await;
    assert_eq!(served(&world, "shop.example").await, first, "what holds stays");
    put_from(folder.path(), "tls2", &["shop.example", "new.example"], time::Duration::days(1), 90);
    await_mistakes(&world, 2).await;
    assert_eq!(served(&world, "shop.example").await, first, "what holds goes first");
    assert_ne!(served(&world, "new.example").await, first, "the last resort");

    // After a start there is none before it.
    std::fs::remove_file(folder.path().join("tls2.crt")).unwrap();
    let world = secure(folder.path()).await;
    await_mistakes(&world, 1).await;
    assert_eq!(served(&world, "shop.example").await, tomorrow, "the last resort");
    put(folder.path(), "tls", &["shop.example"], -1);
    let second = put(folder.path(), "other", &["shop.example"], 30);
    await_served(&world, &second).await;
}

#[tokio::test]
async fn a_certificate_is_served_as_soon_as_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "tls", &["shop.example"], 30);
    let world = secure(folder.path()).await;
    let soon = put_from(folder.path(), "tls", &["shop.example"], time::Duration::seconds(2), 90);
    await_served(&world, &soon).await;
    await_mistakes(&world, 0).await;
}

async fn await_served(world: &World, expected: &[u8]) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while served(world, "shop.example").await != expected {
        assert!(tokio::time::Instant::now() < deadline, "the newer certificate is not served");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

async fn await_mistakes(world: &World, expected: u64) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let line = format!("\nslipway_certificate_mistakes {expected}\n");
    while !metrics(world).await.contains(&line) {
        assert!(tokio::time::Instant::now() < deadline, "no {expected} mistakes");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[test]
fn what_is_wrong_with_a_folder_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let of = |folder: &Path, obtained: bool| {
        let certificates = folder.to_path_buf();
        let found = mistakes(&Tls { listen: ([127, 0, 0, 1], 0).into(), certificates, obtained });
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let said = || of(at, false);
    assert!(of(&at.join("nowhere"), true).contains("cannot be read"));
    assert!(said().contains("holds no certificate; put NAME.crt"), "{}", said());
    assert_eq!(of(at, true), "", "they are to come");
    put(at, "good", &["good.example"], 30);
    assert_eq!(said(), "");
    put(at, "old", &["old.example"], -2);
    assert!(said().contains("old.crt is not valid any more since second "), "{}", said());
    assert_eq!(of(at, true), "", "another comes in its place");
    std::fs::remove_file(at.join("old.crt")).unwrap();
    put(at, "mixed", &["mixed.example"], 30);
    std::fs::write(at.join("mixed.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert!(said().contains("mixed.key does not fit the certificate"), "{}", said());
    std::fs::write(at.join("mixed.key"), "no key").unwrap();
    assert!(said().contains("mixed.key holds no private key in PEM"), "{}", said());
    std::fs::remove_file(at.join("mixed.key")).unwrap();
    assert!(said().contains("mixed.key cannot be read"), "{}", said());
    std::fs::write(at.join("mixed.crt"), "no certificate").unwrap();
    assert!(said().contains("mixed.crt holds no certificate in PEM"), "{}", said());
}

#[tokio::test]
async fn without_a_certificate_that_can_be_used_plain_goes_on_and_tls_waits_for_one() {
    let stable = Instance::start("s1").await;
    for content in [None, Some("-----BEGIN CERTIFICATE-----\nMIIB")] {
        let folder = tempfile::tempdir().unwrap();
        if let Some(content) = content {
            std::fs::write(folder.path().join("shop.crt"), content).unwrap();
            std::fs::write(folder.path().join("shop.key"), "").unwrap();
        }
        let world = secure(folder.path()).await;
        world.publish(table(1, 0, &[&stable], &[]).build()).await;
        assert_eq!(world.get("/").await.body, "s1");
        let hub = world.hub.clone();
        let trouble = || hub.gateways()[0].trouble.clone();
        let told = until("it is told", trouble).await;
        assert!(told.starts_with("TLS cannot be spoken") && told.contains(&*folder.path().to_string_lossy()), "{told}");
        assert!(metrics(&world).await.contains("slipway_certificate_mistakes 1\n"));
        let mut refused = TcpStream::connect(address(&world)).await.unwrap();
        // A ClientHello that asks for nothing in particular is refused as any is, by an alert or by hanging up.
        tokio::io::AsyncWriteExt::write_all(&mut refused, b"\x16\x03\x01\x00\x05hello").await.unwrap();
        let mut said = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, tokio::io::AsyncReadExt::read_to_end(&mut refused, &mut said))
            .await
            .unwrap();

        let certificate = put(folder.path(), "shop", &["shop.local"], 30);
        until("it can be used", || trouble().is_none().then_some(())).await;
        await_served(&world, &certificate).await;
        assert!(!metrics(&world).await.contains("slipway_certificate_mistakes 1\n"));
    }
}

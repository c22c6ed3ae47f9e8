//! The page on TLS as it is read: a folder of certificates, a start, a renewal, and what a start says that cannot be.

mod common;

use std::path::Path;

use common::alone;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use slipway_e2e::{Options, Page, Slipway, ask_over_tls, build, connect_over_tls, process, until, words};
use tokio_rustls::rustls::pki_types::CertificateDer;

const PAGE: &str = "docs/how-to/tls.md";
const UP: &str = "slipway up --tls 127.0.0.1:8443 --certificates certs";
const HOST: &str = "shop.local";

/// A certificate for the shop, which a client may trust.
fn put(folder: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([HOST.to_string()]).expect("a certificate");
    std::fs::write(folder.join("shop.key"), signing_key.serialize_pem()).expect("a key");
    std::fs::write(folder.join("shop.crt"), cert.pem()).expect("a certificate");
    cert.der().clone()
}

/// The page's start, on this folder and a free port.
fn options(folder: &Path) -> Options {
    assert!(Page::open(PAGE).commands().any(|command| command == UP), "{PAGE} does not say: {UP}");
    let folder = folder.to_string_lossy();
    let further = words(UP).into_iter().skip(2).map(|word| match word.as_str() {
        "127.0.0.1:8443" => "127.0.0.1:0".to_string(),
        "certs" => folder.to_string(),
        _ => word,
    });
    Options { further: further.collect(), ..Options::default() }
}

/// What the shop answers to a client that trusts this certificate alone.
async fn ask(slipway: &Slipway, trusted: &CertificateDer<'static>) -> anyhow::Result<String> {
    let stream = connect_over_tls(slipway.tls.expect("it speaks TLS"), HOST, trusted).await?;
    ask_over_tls(stream, HOST).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_on_tls_is_true() {
    let _alone = alone().await;
    let certificates = tempfile::tempdir().expect("a folder");
    let refused = Slipway::start(options(certificates.path())).await.err().expect("there is no certificate yet");
    assert!(format!("{refused:#}").contains("holds no certificate; put NAME.crt and NAME.key there"), "{refused:#}");

    let first = put(certificates.path());
    let slipway = Slipway::start(options(certificates.path())).await.expect("Slipway starts");
    slipway.declare("production: { instances: 1 }").expect("a declared file");
    let built = build(slipway.scratch(), "build-1.0.0", &[]).expect("a build");
    slipway.release("1.0.0", &built, "production", &[]).await.expect("it runs").expect(0).expect("1.0.0 serves");
    let answer = ask(&slipway, &first).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    let second = put(certificates.path());
    process::signal(slipway.gateway().expect("a gateway"), process::Signal::HUP).expect("it is told");
    until("the newer certificate is served", async || ask(&slipway, &second).await.ok()).await.expect("a renewal");
    assert!(ask(&slipway, &first).await.is_err(), "the older one is not");
    slipway.down().await.expect("nothing is left");
}

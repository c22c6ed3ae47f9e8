//! Certificates from a real ACME server: obtained for a host that answers, refused for another, renewed while connections
//! go on, and none asked for again after a restart.

mod common;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use common::alone;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use slipway_e2e::{
    Options, Page, Slipway, ask_on, ask_over_tls, build, client, connect_over_tls, free_port, until, words,
};
use tokio::process::{Child, Command};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

const PAGE: &str = "docs/how-to/obtain-certificates.md";
const UP: &str = "slipway up --traffic 0.0.0.0:80 --tls 0.0.0.0:443 --acme https://acme-v02.api.letsencrypt.org/directory \
                  --acme-host shop.example.org";
const HOST: &str = "shop.local";
/// The server issues nothing for this one.
const BLOCKED: &str = "blocked.local";
/// How long its certificates hold, in seconds: renewed at half of it.
const LENGTH: u64 = 30;

/// A program that `scripts/setup` has built.
fn tool(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/bin").join(name);
    assert!(path.is_file(), "there is no {}: run scripts/setup --tools", path.display());
    path
}

fn started(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().expect("it starts")
}

/// The server, and the name server that has every host at 127.0.0.1. Both end when this is dropped.
struct Issuer {
    directory: String,
    /// Whom to trust there.
    ca: PathBuf,
    _folder: tempfile::TempDir,
    _processes: [Child; 2],
}

impl Issuer {
    /// One that looks for proofs at port `traffic`.
    async fn start(traffic: u16) -> Issuer {
        let folder = tempfile::tempdir().expect("a folder");
        let (port, names, management) = (free_port(), free_port(), free_port());
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".into()]).expect("a pair");
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("cert.pem"), cert.pem()).expect("a certificate");
        std::fs::write(at("key.pem"), signing_key.serialize_pem()).expect("a key");
        let config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"), "httpPort": traffic, "tlsPort": free_port(),
            "certificate": at("cert.pem"), "privateKey": at("key.pem"),
            "domainBlocklist": [BLOCKED], "certificateValidityPeriod": LENGTH,
        }});
        std::fs::write(at("pebble.json"), config.to_string()).expect("its configuration");
        let naming = started(Command::new(tool("pebble-challtestsrv")).args(["-http01", "", "-https01", ""]).args([
            "-tlsalpn01",
            "",
            "-dns01",
            &format!("127.0.0.1:{names}"),
            "-management",
            &format!("127.0.0.1:{management}"),
            "-defaultIPv6",
            "",
        ]));
        let issuing = started(
            Command::new(tool("pebble"))
                .arg("-config")
                .arg(at("pebble.json"))
                .args(["-strict", "-dnsserver", &format!("127.0.0.1:{names}")])
                .env("PEBBLE_VA_NOSLEEP", "1")
                // It turns down one request in twenty, to try its clients. Three in a row are a refusal, and end an order.
                .env("PEBBLE_WFE_NONCEREJECT", "0"),
        );
        for port in [port, management] {
            let reached = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok();
            until("it listens", reached).await.expect("it starts");
        }
        let (directory, ca) = (format!("https://127.0.0.1:{port}/dir"), at("cert.pem"));
        Issuer { directory, ca, _folder: folder, _processes: [naming, issuing] }
    }

    /// The page's start for this server, free ports of this machine, the shop, and one host more.
    fn options(&self, traffic: SocketAddr) -> Options {
        assert!(Page::open(PAGE).commands().any(|command| command == UP), "{PAGE} does not say: {UP}");
        let said = words(UP).into_iter().skip(2).filter(|word| word != "--traffic" && word != "0.0.0.0:80");
        let said = said.map(|word| match word.as_str() {
            "0.0.0.0:443" => "127.0.0.1:0".to_string(),
            "shop.example.org" => HOST.to_string(),
            url if url.starts_with("https://") => self.directory.clone(),
            _ => word,
        });
        let ca = self.ca.display().to_string();
        let further = said.chain(["--acme-ca", &ca, "--acme-host", BLOCKED].map(str::to_string)).collect();
        Options { traffic, further, ..Options::default() }
    }
}

/// The certificate that was obtained and the one that it rests on.
fn obtained(slipway: &Slipway) -> Option<[CertificateDer<'static>; 2]> {
    let chain = std::fs::read(slipway.data.join("certificates").join(HOST).join("fullchain.pem")).ok()?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&chain).collect();
    chain.ok()?.try_into().ok()
}

async fn journal(slipway: &Slipway, kind: &str) -> Vec<Value> {
    let entries = slipway.get(&format!("/journal?kind={kind}&limit=100")).await.expect("the journal");
    entries.as_array().expect("entries").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_come_and_are_renewed_by_themselves() {
    let _alone = alone().await;
    let traffic = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let issuer = Issuer::start(traffic.port()).await;
    let mut slipway = Slipway::start(issuer.options(traffic)).await.expect("it starts");
    slipway.declare("production: { instances: 1 }").expect("a declared file");
    let built = build(slipway.scratch(), "build-1.0.0", &[]).expect("a build");
    slipway.release("1.0.0", &built, "production", &[]).await.expect("it runs").expect(0).expect("1.0.0 serves");

    // The host that answers has its certificate; the other one's refusal harms nobody and says why.
    let address = slipway.tls.expect("it speaks TLS");
    let reached = async |slipway: &Slipway| {
        let [own, issuer] = obtained(slipway)?;
        let stream = connect_over_tls(address, HOST, &issuer).await.ok()?;
        let served = stream.get_ref().1.peer_certificates()?.first()?.clone();
        (served == own).then_some((stream, served))
    };
    let (mut kept, first) = until("it is served", async || reached(&slipway).await).await.expect("a certificate");
    let entry =
        until("it is recorded", async || journal(&slipway, "certificate.obtained").await.pop()).await.expect("it");
    assert_eq!((&entry["evidence"]["host"], &entry["actor"]), (&json!(HOST), &json!("slipway")), "{entry:#}");
    let refused =
        until("the other is refused", async || journal(&slipway, "certificate.refused").await.first().cloned());
    let refused = refused.await.expect("a refusal");
    assert!(refused["cause"].as_str().is_some_and(|why| why.contains(BLOCKED) && why.contains("block")), "{refused:#}");
    // One that asks nothing for half a minute is closed: it is used from time to time.
    ask_on(&mut kept, HOST).await.expect("an answer");

    // Nothing secret is readable by others, and a service still answers for itself below the same path.
    use std::os::unix::fs::PermissionsExt;
    let mode = |name: &str| std::fs::metadata(slipway.data.join(name)).expect(name).permissions().mode() & 0o077;
    assert_eq!((mode("acme.json"), mode(&format!("certificates/{HOST}/privkey.pem"))), (0, 0));
    let own = format!("http://{traffic}/.well-known/acme-challenge/another");
    let answer = client().get(own).header("host", HOST).send().await.expect("an answer");
    assert!(answer.headers().contains_key("x-version"), "the service was asked: {answer:?}");

    // A restart keeps the account.
    let account = std::fs::read(slipway.data.join("acme.json")).expect("an account");
    slipway.kill_control_plane().await.expect("it is killed");
    slipway.restart().await.expect("it starts again");
    assert_eq!(std::fs::read(slipway.data.join("acme.json")).expect("an account"), account);

    // Renewed at half of its time, and the connection of before goes on.
    let renewed = until("another one is served", async || {
        ask_on(&mut kept, HOST).await.expect("the connection of before is served");
        reached(&slipway).await.filter(|(_, now)| *now != first)
    });
    let (fresh, _) = renewed.await.expect("a renewal");
    for stream in [kept, fresh] {
        let answer = ask_over_tls(stream, HOST).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    // Nothing was asked for before it was due, the restart included. It is recorded a moment after it serves.
    let recorded = until("it is recorded", async || {
        Some(journal(&slipway, "certificate.obtained").await).filter(|obtained| obtained.len() >= 2)
    });
    let mut obtained = recorded.await.expect("two");
    obtained.sort_by_key(|entry| entry["seq"].as_u64());
    for two in obtained.windows(2) {
        assert!(two[1]["at"].as_u64() >= two[0]["evidence"]["renewed_at"].as_u64(), "{two:#?}");
    }
    slipway.down().await.expect("nothing is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_obtained_is_said_at_the_start() {
    let _alone = alone().await;
    let start = async |words: &[&str]| {
        let further = words.iter().map(ToString::to_string).collect();
        let refused = Slipway::start(Options { further, ..Options::default() }).await.err().expect("it is refused");
        format!("{refused:#}")
    };
    let url = "https://127.0.0.1:1/dir";
    for (words, said) in [
        (&["--tls", "127.0.0.1:0"][..], "--certificates"),
        (&["--acme", url, "--acme-host", HOST], "--tls"),
        (&["--tls", "127.0.0.1:0", "--acme", url], "--acme-host"),
        (&["--tls", "127.0.0.1:0", "--acme", url, "--acme-host", "*.local"], "wildcard"),
        (&["--tls", "127.0.0.1:0", "--acme", "http://127.0.0.1:1/dir", "--acme-host", HOST], "https://"),
        (&["--tls", "127.0.0.1:0", "--acme", url, "--acme-host", HOST, "--acme-ca", "/nowhere"], "/nowhere"),
    ] {
        let answer = start(words).await;
        assert!(answer.contains(said), "{words:?}: {answer}");
    }
}

//! A gateway that joined, with TLS, under a service manager.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::Value;
use slipway_e2e::process::{self, Signal};
use slipway_e2e::{Slipway, connect_over_tls, until, until_within};
use tokio::process::{Child, Command};

use crate::clients::{Connection, Socket, Steady};
use crate::common::{Stage, alone, nothing_failed_by_slipway};
use crate::{BLUE_GREEN, Installed, are, serves};

/// A gateway that joined, with TLS. Killed when dropped, whatever its process is by then.
struct Edge {
    _child: Child,
    state: PathBuf,
    traffic: SocketAddr,
    tls: SocketAddr,
}

impl Drop for Edge {
    fn drop(&mut self) {
        for left in process::belonging_to(&self.state) {
            let _ = process::signal(left.pid, Signal::KILL);
        }
    }
}

/// Starts one by an invitation; what it says is in a file beside its folder.
fn join(slipway: &Slipway, installed: &Installed, name: &str, further: &[&str]) -> (Child, PathBuf) {
    let (invitation, state) = (slipway.scratch().join("edge-2.json"), slipway.scratch().join(format!("state-{name}")));
    let mut command = Command::new(installed.path());
    command.arg("gateway").arg("--join").arg(&invitation).args(["--traffic", "127.0.0.1:0", "--state"]).arg(&state);
    command.args(further).env("NOTIFY_SOCKET", slipway.scratch().join("notify")).env("SLIPWAY_LOG", "info");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(std::fs::File::create(state.with_extension("log")).expect("a log"));
    (command.kill_on_drop(true).spawn().expect("a gateway"), state)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_joined_is_upgraded_by_its_service_manager_with_its_tls() {
    let _alone = alone().await;
    let installed = Installed::new();
    let stage = Stage::set_on(installed.slipway(&["--gateways-listen", "127.0.0.1:0"]).await, BLUE_GREEN, 20.0).await;
    let slipway = &stage.slipway;
    let manager = tokio::net::UnixDatagram::bind(slipway.scratch().join("notify")).expect("a socket");
    let told = async || {
        let mut word = [0; 64];
        let size = tokio::time::timeout(Duration::from_secs(60), manager.recv(&mut word)).await.expect("a word");
        String::from_utf8_lossy(&word[..size.expect("it is read")]).into_owned()
    };
    let certificates = tempfile::tempdir().expect("a folder");
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["shop.local".to_string()]).expect("a certificate");
    std::fs::write(certificates.path().join("shop.key"), signing_key.serialize_pem()).expect("a key");
    std::fs::write(certificates.path().join("shop.crt"), cert.pem()).expect("a certificate");
    let out = slipway.scratch().join("edge-2.json");
    let invite = ["gateway", "invite", "edge-2", "--out", &out.to_string_lossy()];
    slipway.cli(&invite).await.expect("it runs").expect(0).expect("an invitation");
    let certificates = certificates.path().to_string_lossy();
    let (child, state) =
        join(slipway, &installed, "edge-2", &["--tls", "127.0.0.1:0", "--certificates", &certificates]);
    assert_eq!(told().await, "READY=1");
    are(slipway, &[("edge-2", "connected"), ("local", "connected")]).await;
    let address = |text: &Value| text.as_str().expect("an address").parse().expect("one");
    let admin: Value = serde_json::from_slice(&std::fs::read(state.join("admin.json")).expect("a file")).expect("JSON");
    let all = slipway.get("/gateways").await.expect("a list");
    let edge = Edge { _child: child, state, traffic: address(&all[0]["traffic"]), tls: address(&admin["tls"]) };

    let trusted = cert.der().clone();
    let secure = async || Connection::over(connect_over_tls(edge.tls, "shop.local", &trusted).await.expect("TLS"));
    let mut before = secure().await;
    assert_eq!(before.ask("").await.expect("an answer").status, 200);
    let (anew, two, mut socket) =
        (Steady::anew(edge.traffic), Steady::two(edge.traffic), Socket::open(edge.traffic).await);
    tokio::join!(anew.goes_on(), two.goes_on());
    let old = serves(&edge.state);
    installed.renew();
    process::signal(old, Signal::USR2).expect("it is told");
    let main = told().await;
    let new = serves(&edge.state);
    assert_eq!(main, format!("MAINPID={new}"));
    assert_ne!(new, old);
    let draining = format!("edge-2.{old}");
    are(slipway, &[("edge-2", "connected"), (&draining, "draining"), ("local", "connected")]).await;
    let answer = before.ask("").await.expect("an answer");
    assert!(answer.status == 200 && answer.close, "{answer:?}");
    assert_eq!(secure().await.ask("").await.expect("an answer").status, 200);

    // Whoever else has the invitation is turned away as before.
    let (mut third, its) = join(slipway, &installed, "third", &[]);
    until_within(Duration::from_secs(60), "the third is refused", async || {
        slipway.said().contains("whose name another process has").then_some(())
    })
    .await
    .expect("it is turned away");
    third.kill().await.expect("it ends");
    drop(its);
    are(slipway, &[("edge-2", "connected"), (&draining, "draining"), ("local", "connected")]).await;
    let (released, code) = stage.release("1.1.0", &[], &[]).await;
    assert_eq!(code, 0, "{released:#}");
    socket.lives().await;
    drop(socket);
    are(slipway, &[("edge-2", "connected"), ("local", "connected")]).await;
    tokio::join!(anew.goes_on(), two.goes_on());
    anew.stop().await;
    two.stop().await;
    nothing_failed_by_slipway(&stage.strike().await);
    // It is not the control plane's to end.
    process::signal(new, Signal::TERM).expect("it is told");
    until("it ends", async || (!process::runs(new)).then_some(())).await.expect("it ends");
}

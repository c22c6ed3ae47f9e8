//! What is longer than a request: a user's stay on a version, a WebSocket, a download.

mod common;

use common::{Stage, alone, instances, nothing_failed_by_slipway};
use futures_util::{SinkExt, StreamExt};
use slipway_e2e::{process, until};
use slipway_load::{Cookies, Load, Options};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Each step waits for a person: there are never so many requests.
const CANARY: &str =
    "{ instances: 1, strategy: { canary: { steps: [5%, 25%, 50%, 100%], verify: 3s, min_requests: 1000000 } } }";
const BLUE_GREEN: &str = "blue-green: { verify: 3s }";
const ROLLING: &str = "rolling: { batch: 1, verify: 3s }";
const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_user_stays_on_the_version_that_was_met_while_weights_rise() {
    let _alone = alone().await;
    let stage = Stage::set(CANARY).await;
    // The first users have a cookie of their own, these keep what the gateway gives them. One request at a time, so
    // that nobody is given two cookies at once.
    let kept = Options {
        host: Some("shop.local".into()),
        rate: 60.0,
        users: 60,
        cookies: Cookies::Kept,
        connections: 1,
        ..Options::new(stage.slipway.traffic_url())
    };
    let browsers = Load::start(kept).expect("the load starts");
    let id = stage.begin("1.1.0", &[], &[]).await;
    // What the weights are worth is a matter for the judge; here they only have to rise, with everybody seen at each.
    for (step, answers) in [("5%", 40), ("25%", 300), ("50%", 600)] {
        stage.at_step(&id, step).await;
        stage.gives("1.1.0", answers).await;
        stage.say("promote", &[]).await.expect(0).expect("on to the next one");
    }
    assert_eq!(stage.outcome(&id).await["outcome"], "succeeded");
    stage.gives("1.1.0", 600).await;
    let browsers = browsers.stop().await;
    let own = stage.strike().await;
    for report in [own, browsers] {
        nothing_failed_by_slipway(&report);
        assert!(report.switches.get("1.0.0 -> 1.1.0").is_some_and(|n| *n > 20), "{:?}", report.switches);
        assert_eq!(report.switches.get("1.1.0 -> 1.0.0"), None, "somebody was moved back");
        assert_eq!(report.max_switches_of_a_user, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_and_a_download_survive_a_blue_green_switch() {
    survive(BLUE_GREEN, "switch").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_and_a_download_survive_the_end_of_their_instance_in_rolling() {
    survive(ROLLING, "batch 1 of 1").await;
}

/// Both begin on the first version, go on while the second serves everybody else, which it does after this `step`, and end
/// where they began.
async fn survive(strategy: &str, step: &str) {
    let _alone = alone().await;
    // Users move when the test says so: what takes a slow machine its time comes before the download.
    let folder = tempfile::tempdir().expect("a folder");
    let go = folder.path().join("go");
    std::fs::write(&go, "").expect("a file");
    let waits = format!("until [ -e {} ]; do sleep 0.1; done; echo '{{\\\"answer\\\": \\\"go\\\"}}'", go.display());
    let hook = format!("{{ name: board, before: step, timeout: 10m, command: [sh, -c, \"{waits}\"] }}");
    let stage =
        Stage::set_with(&format!("{{ instances: 1, hooks: [{hook}], strategy: {{ {strategy} }} }}"), 100.0).await;
    std::fs::remove_file(&go).expect("it is there");
    let old = instances(&stage.lane().await, "stable");
    let id = stage.begin("1.1.0", &[], &[]).await;
    until("nothing but a word is missing", async || {
        let now = stage.rollout(&id).await;
        now["waiting"]["on"].as_str().is_some_and(|on| on.contains("an answer of board")).then_some(())
    })
    .await
    .expect("a question");
    let (mut socket, met) = web_socket(&stage).await;
    assert_eq!(met, "1.0.0");
    echoed(&mut socket, "before").await;
    let download = download(&stage, 4, 25).await;

    std::fs::write(&go, "").expect("a file");
    stage.gives("1.1.0", 50).await;
    until("the step is done", async || {
        let now = stage.rollout(&id).await;
        now["steps"].as_array()?.iter().any(|one| one["name"] == step && one["state"] == "done").then_some(())
    })
    .await
    .expect("it is");
    assert!(!download.is_finished(), "the switch was in the middle of it");
    echoed(&mut socket, "after").await;
    let (_, now) = web_socket(&stage).await;
    assert_eq!(now, "1.1.0", "whoever comes later meets the new version");
    assert_eq!(stage.outcome(&id).await["outcome"], "succeeded");
    assert_eq!(download.await.expect("it ends"), 4 * MIB, "not a byte is missing");
    echoed(&mut socket, "long after").await;
    assert!(old.iter().all(|(_, pid)| process::runs(*pid as u32)), "its instance waits for it");
    socket.close(None).await.expect("a farewell");
    nothing_failed_by_slipway(&stage.strike().await);
}

/// A WebSocket to the shop, and the version that answered.
async fn web_socket(stage: &Stage) -> (WebSocketStream<TcpStream>, String) {
    let mut request = "ws://shop.local/ws".into_client_request().expect("a request");
    request.headers_mut().insert("cookie", "session=alice".parse().expect("a cookie"));
    let connection = TcpStream::connect(stage.slipway.traffic).await.expect("a connection");
    let (socket, answer) = client_async(request, connection).await.expect("an upgrade");
    let version = answer.headers()["x-version"].to_str().expect("text").to_string();
    (socket, version)
}

async fn echoed(socket: &mut WebSocketStream<TcpStream>, word: &str) {
    socket.send(Message::text(word)).await.expect("it is sent");
    let back = until("it is said back", async || socket.next().await).await.expect("an answer");
    assert_eq!(back.expect("a message"), Message::text(word));
}

/// Begins a download from the first version; comes to the number of bytes that arrived.
async fn download(stage: &Stage, mb: usize, seconds: usize) -> JoinHandle<usize> {
    let url = format!("{}download?mb={mb}&seconds={seconds}", stage.slipway.traffic_url());
    let answer = reqwest::Client::new().get(url).header("host", "shop.local").send().await.expect("an answer");
    assert_eq!(answer.headers()["x-version"], "1.0.0");
    tokio::spawn(async move { answer.bytes().await.map(|bytes| bytes.len()).unwrap_or(0) })
}

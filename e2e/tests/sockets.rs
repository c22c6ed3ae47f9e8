//! Instances on Unix sockets: a service moves from ports to sockets by a release like any other, and back.

mod common;

use common::{Stage, alone, nothing_failed_by_slipway};
use slipway_e2e::build;

const PRODUCTION: &str = "{ instances: 2, strategy: { canary: { steps: [50%, 100%], verify: 2s, min_requests: 50 } } }";
const PORT: &str = r#"["./shop"]"#;
const SOCKET: &str = r#"["./shop", "--socket", "{socket}"]"#;
const BOTH: &str = r#"["./shop", "--port", "{port}", "--socket", "{socket}"]"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_service_moves_to_sockets_under_load_and_a_bad_version_there_is_taken_back() {
    let _alone = alone().await;
    let stage = Stage::set(PRODUCTION).await;
    let slipway = &stage.slipway;
    let file = slipway.scratch().join("slipway.yaml");
    let declared = std::fs::read_to_string(&file).expect("the declared file");
    assert!(declared.contains(PORT), "{declared}");
    std::fs::write(&file, declared.replacen(PORT, BOTH, 1)).expect("a file");
    let refused = slipway.cli(&["check"]).await.expect("it runs").expect(2).expect("refused");
    assert!(format!("{}{}", refused.stdout, refused.stderr).contains("leave one of them out"), "{refused}");

    std::fs::write(&file, declared.replacen(PORT, SOCKET, 1)).expect("a file");
    let good = build(slipway.scratch(), "good", &[]).expect("a build");
    slipway.release("1.1.0", &good, "production", &[]).await.expect("it runs").expect(0).expect("it goes through");
    assert_eq!(stage.stable().await, "1.1.0");
    let bad = build(slipway.scratch(), "bad", &[("FAIL_RATE", "0.5")]).expect("a build");
    slipway.release("1.2.0", &bad, "production", &[]).await.expect("it runs").expect(10).expect("taken back");
    assert_eq!(stage.stable().await, "1.1.0");
    let told = slipway.json(&["status"]).await.expect("a status").to_string();
    assert!(told.contains("\"address\":\"unix:/"), "{told}");
    nothing_failed_by_slipway(&stage.strike().await);
}

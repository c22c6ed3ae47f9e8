//! Values and files that belong to a version: they reach the program, an environment's own win, and a bad one is taken
//! back by the judge like bad code.

mod common;

use common::{Stage, alone, nothing_failed_by_slipway};
use slipway_e2e::{build, declaration};

const PRODUCTION: &str =
    "production:\n  instances: 1\n  strategy: { canary: { steps: [50%, 100%], verify: 2s, min_requests: 50 } }\n";

/// The shop's file with a configuration beside the artifact, and what production says differently.
fn declared(config: &str, production: &str) -> String {
    let text = declaration(&format!("{PRODUCTION}{production}"));
    text.replacen("health:", &format!("config:\n{config}health:"), 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_value_is_taken_back_like_bad_code_and_a_good_file_goes_through() {
    let _alone = alone().await;
    let stage = Stage::set("{ instances: 1, strategy: { canary: { steps: [50%, 100%], verify: 2s } } }").await;
    let slipway = &stage.slipway;
    let bare = slipway.scratch().join("bare");
    build(slipway.scratch(), "bare", &[]).expect("a build");
    // Without a file of its own the shop goes by its variables.
    std::fs::remove_file(bare.join("shop.env")).expect("the build's own settings");
    let file = slipway.scratch().join("slipway.yaml");

    std::fs::write(&file, declared("  values: { FAIL_RATE: \"0.5\" }\n", "")).expect("a file");
    let bad =
        slipway.release("1.1.0", &bare, "production", &[]).await.expect("it runs").expect(10).expect("taken back");
    let bad = bad.json().expect("an outcome");
    assert!(bad["cause"].as_str().is_some_and(|cause| cause.contains("errors")), "{bad:#}");
    assert_eq!(stage.stable().await, "1.0.0");
    let same = slipway.release("1.1.0", &bare, "production", &[]).await.expect("it runs");
    assert_ne!(same.code, 2, "the same configuration is the same version: {same}");

    // The environment's own file wins over the service's, and that over the artifact's.
    let config = "  files:\n    shop.env: |\n      FAIL_RATE=0.5\n";
    let production = "  config: { files: { shop.env: \"FAIL_RATE=0\" } }\n";
    std::fs::write(&file, declared(config, production)).expect("a file");
    let changed = slipway.release("1.1.0", &bare, "production", &[]).await.expect("it runs");
    assert_eq!(changed.code, 2, "another configuration is another version: {changed}");
    let good = slipway.release("1.2.0", &bare, "production", &[]).await.expect("it runs");
    good.expect(0).expect("it goes through");
    assert_eq!(stage.stable().await, "1.2.0");

    let outside = declared("  files: { ../up: x }\n", "");
    std::fs::write(&file, outside).expect("a file");
    let refused = slipway.cli(&["check"]).await.expect("it runs").expect(2).expect("refused");
    let told = format!("{}{}", refused.stdout, refused.stderr);
    assert!(told.contains("without . and .."), "{refused}");
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_beside_the_declared_one_are_part_of_the_version() {
    let _alone = alone().await;
    let stage = Stage::set("{ instances: 1, strategy: { canary: { steps: [50%, 100%], verify: 2s } } }").await;
    let slipway = &stage.slipway;
    let bare = slipway.scratch().join("bare");
    build(slipway.scratch(), "bare", &[]).expect("a build");
    std::fs::remove_file(bare.join("shop.env")).expect("the build's own settings");
    let file = slipway.scratch().join("slipway.yaml");
    let conf = slipway.scratch().join("conf");
    std::fs::create_dir(&conf).expect("a folder");
    let named = declared(
        "  files:\n    shop.env: { from: conf/shop.env }\n",
        "  config:\n    files:\n      shop.env:\n        from: conf/production.env\n",
    );
    std::fs::write(&file, named).expect("a file");
    let write = |name: &str, text: &str| std::fs::write(conf.join(name), text).expect("a file");
    write("shop.env", "FAIL_RATE=0.5\n");

    // What is missing or leads out is told with its place, and nothing is released.
    let refused = async |why: &str| {
        let said =
            slipway.release("1.1.0", &bare, "production", &[]).await.expect("it runs").expect(2).expect("refused");
        let told = said.to_string();
        assert!(told.contains("slipway.yaml:") && told.contains(why), "{told}");
    };
    refused("conf/production.env cannot be read").await;
    let outside = tempfile::NamedTempFile::new().expect("a file");
    std::os::unix::fs::symlink(outside.path(), conf.join("production.env")).expect("a link");
    refused("leads out of the declared file's folder").await;
    std::fs::remove_file(conf.join("production.env")).expect("the link");

    // The environment's own file wins, and its text belongs to the version.
    write("production.env", "# told apart\nFAIL_RATE=0\n");
    slipway.release("1.1.0", &bare, "production", &[]).await.expect("it runs").expect(0).expect("it goes through");
    assert_eq!(stage.stable().await, "1.1.0");
    write("production.env", "# told apart\nFAIL_RATE=0.5\n");
    let changed = slipway.release("1.1.0", &bare, "production", &[]).await.expect("it runs");
    assert_eq!(changed.code, 2, "another text is another version: {changed}");
    let bad = slipway.release("1.2.0", &bare, "production", &[]).await.expect("it runs");
    bad.expect(10).expect("taken back like bad code");
    assert_eq!(stage.stable().await, "1.1.0");

    // Both versions are known without anybody's file.
    std::fs::remove_dir_all(&conf).expect("the files");
    let diff = slipway.cli(&["diff", "shop", "1.1.0", "1.2.0"]).await.expect("it runs").expect(0).expect("a text");
    let lines = "  @@ -1,2 +1,2 @@\n   # told apart\n  -FAIL_RATE=0\n  +FAIL_RATE=0.5\n";
    assert!(diff.stdout.contains(&format!("environments.production.config.files.shop.env:\n{lines}")), "{diff}");
    slipway.cli(&["diff", "shop", "1.1.0", "1.2.0", "--json"]).await.expect("it runs").expect(0).expect("JSON");
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_from_a_file_outside_reach_the_program_and_nothing_else() {
    let _alone = alone().await;
    let stage = Stage::set("{ instances: 1, strategy: { canary: { steps: [50%, 100%], verify: 2s } } }").await;
    let slipway = &stage.slipway;
    let bare = slipway.scratch().join("bare");
    build(slipway.scratch(), "bare", &[]).expect("a build");
    std::fs::remove_file(bare.join("shop.env")).expect("the build's own settings");
    let outside = slipway.scratch().join("production.env");
    let file = slipway.scratch().join("slipway.yaml");
    let production = format!("  config: {{ env_file: {} }}\n", outside.display());
    std::fs::write(&file, declared("  values: { LATENCY: \"0\" }\n", &production)).expect("a file");

    // Where it is missing nothing starts, and the release says which file.
    let missing = slipway.release("1.1.0", &bare, "production", &[]).await.expect("it runs");
    assert_eq!(missing.code, 10, "{missing}");
    assert!(missing.stdout.contains("production.env: No such file"), "{missing}");

    // What stands in it counts, and belongs to no version: the same one goes through once it is mended.
    std::fs::write(&outside, "# of this machine\nexport FAIL_RATE=0.5\nPASSWORD='a-word-that-nobody-may-see'\n")
        .expect("a file");
    let bad = slipway.release("1.1.0", &bare, "production", &[]).await.expect("it runs");
    assert_eq!(bad.code, 10, "{bad}");
    assert!(bad.json().expect("JSON")["cause"].as_str().is_some_and(|cause| cause.contains("errors")), "{bad}");
    std::fs::write(&outside, "FAIL_RATE=0\nPASSWORD='a-word-that-nobody-may-see'\nodd line\n").expect("a file");
    let odd = slipway.release("1.1.0", &bare, "production", &[]).await.expect("it runs");
    assert!(odd.stdout.contains("production.env: line 3 is not KEY=VALUE"), "{odd}");
    std::fs::write(&outside, "FAIL_RATE=0\nPASSWORD='a-word-that-nobody-may-see'\n").expect("a file");
    slipway.release("1.1.0", &bare, "production", &[]).await.expect("it runs").expect(0).expect("it goes through");
    assert_eq!(stage.stable().await, "1.1.0");

    // No journal, no answer, no database has it.
    let journal = slipway.cli(&["journal", "--json"]).await.expect("it runs");
    assert!(journal.stdout.contains("rollout.ended") && !journal.stdout.contains("nobody-may-see"), "{journal}");
    for entry in std::fs::read_dir(&slipway.data).expect("the data folder").flatten() {
        let kept = entry.path().is_file().then(|| std::fs::read(entry.path()).ok()).flatten().unwrap_or_default();
        let word = b"nobody-may-see";
        assert!(!kept.windows(word.len()).any(|part| part == word), "{} has it", entry.path().display());
    }
    nothing_failed_by_slipway(&stage.strike().await);
}

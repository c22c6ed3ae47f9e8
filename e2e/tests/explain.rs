//! What is told afterwards: `explain` gives reasons and numbers to a stranger, and the journal shows any hand laid
//! on it.

mod common;

use std::path::Path;

use common::{Stage, alone, nothing_failed_by_slipway, weight};
use serde_json::Value;
use slipway_e2e::until;
use slipway_load::{Load, Options};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Row};

/// Its step may take as long as its proof does.
const CANARY: &str = "{ instances: 2, strategy: { canary: { steps: [25%, 100%], step_limit: 10m, verify: 4s } } }";
/// One whose step is over before so few users have proved anything.
const IMPATIENT: &str = "{ instances: 2, strategy: { canary: { steps: [25%, 100%], step_limit: 20s, verify: 4s } } }";

#[tokio::test(flavor = "multi_thread")]
async fn every_end_is_explained_with_numbers() {
    let _alone = alone().await;
    let mut stage = Stage::set(CANARY).await;

    let (text, told) = explained(&stage, "1.1.0", &[], 0).await;
    assert_eq!(told["outcome"], "succeeded");
    let passed = decision(&told, "advance");
    for judgement in passed["judgements"].as_array().expect("judgements") {
        assert_eq!(judgement["verdict"], "pass", "{judgement:#}");
        numbers(judgement, &text);
        assert!(judgement["n"].as_u64() >= Some(50), "{judgement:#}");
        assert!(judgement["stable"]["n"].as_u64() > Some(0), "{judgement:#}");
    }
    decision(&told, "succeed");
    says(&text, &["1.1.0", "in the place of 1.0.0", "Way back", "25%", "Outcome: succeeded", "not rolled back"]);

    let (text, told) = explained(&stage, "1.2.0", &[("FAIL_RATE", "0.5")], 10).await;
    assert_eq!(told["outcome"], "rolled_back");
    let judgements = decision(&told, "undo")["judgements"].as_array().expect("judgements").clone();
    let failed = judgements.iter().find(|judgement| judgement["verdict"] == "fail").expect("a failed objective");
    assert_eq!(failed["objective"], "errors");
    numbers(failed, &text);
    assert!(failed["bad"].as_u64() >= Some(3) && failed["lower"].as_f64() > Some(0.005), "{failed:#}");
    says(&text, &["requests failed", "Outcome: rolled back", "rolled back in", "0 failed by Slipway"]);

    let (text, told) = explained(&stage, "1.3.0", &[("SMOKE_FAIL", "1")], 10).await;
    let sentence = decision(&told, "undo")["sentence"].as_str().expect("a sentence").to_string();
    assert!(sentence.contains("a user can log in") && sentence.contains("500"), "{sentence}");
    assert_eq!(told["exposed_requests"], 0);
    says(&text, &[&sentence, "0 requests met 1.3.0", "Outcome: rolled back"]);

    // Five requests per second prove nothing in twenty seconds, and that is no reason to take anything back. (With one per
    // second it happens that the candidate gets none, of which another sentence tells.)
    let light = Options {
        host: Some("shop.local".into()),
        rate: 5.0,
        users: 2_000,
        ..Options::new(stage.slipway.traffic_url())
    };
    let heavy = std::mem::replace(&mut stage.load, Load::start(light).expect("the load starts"));
    nothing_failed_by_slipway(&heavy.stop().await);
    stage.slipway.declare(&format!("production: {IMPATIENT}")).expect("a declared file");
    let (text, told) = explained(&stage, "1.4.0", &[], 11).await;
    assert_eq!((&told["outcome"], &told["rollback_ms"]), (&"held".into(), &Value::Null));
    assert_eq!(weight(&stage.lane().await, "1.4.0"), 2_500, "held where it is");
    let held = decision(&told, "hold");
    let sentence = held["sentence"].as_str().expect("a sentence");
    assert!(sentence.contains("inconclusive after 20s") && sentence.contains("more requests are needed"), "{sentence}");
    let judgements = held["judgements"].as_array().expect("judgements");
    assert!(judgements.iter().all(|judgement| judgement["verdict"] == "inconclusive"), "{judgements:#?}");
    judgements.iter().for_each(|judgement| numbers(judgement, &text));
    says(&text, &[sentence, "Outcome: held"]);
    stage.say("abort", &[]).await.expect(0).expect("a person may end it");
    stage.outcome(told["rollout"].as_str().expect("an id")).await;
    nothing_failed_by_slipway(&stage.strike().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_touches_the_journal_is_found_out_and_slipway_starts_all_the_same() {
    let _alone = alone().await;
    let mut stage = Stage::set_with(CANARY, 100.0).await;
    assert_eq!(stage.release("1.1.0", &[("SMOKE_FAIL", "1")], &[]).await.1, 10);
    let whole = stage.slipway.json(&["journal", "verify"]).await.expect("it is whole");
    let last = whole["entries"].as_i64().expect("a number");
    assert!(last > 20, "{whole}");
    until("nothing is left to be recorded of it", async || {
        let count = async |kind: &str| {
            let entries = stage.slipway.get(&format!("/journal?limit=1000&kind={kind}")).await.ok()?;
            entries.as_array().map(Vec::len)
        };
        let all = count("instance.starting").await? == count("instance.stopped").await? + 2;
        (all && stage.slipway.shims().len() == 2).then_some(())
    })
    .await
    .expect("its instances have ended");

    stage.slipway.kill_control_plane().await.expect("it is killed");
    let last = newest(&stage.slipway.data).await;
    let kept = keep(&stage.slipway.data);
    let mut touches = Vec::new();
    for seq in [1, last / 2, last] {
        touches.push((
            format!("UPDATE journal SET body = replace(body, 'slipway', 'slipwaz') || ' ' WHERE seq = {seq}"),
            seq,
        ));
        touches
            .push((format!("UPDATE journal SET hash = replace(hash, substr(hash, 1, 1), 'x') WHERE seq = {seq}"), seq));
        touches.push((format!("UPDATE journal SET actor = actor || 'x' WHERE seq = {seq}"), seq));
    }
    for seq in [1, last / 2] {
        touches.push((format!("DELETE FROM journal WHERE seq = {seq}"), seq));
    }
    touches.push((format!("DELETE FROM journal WHERE seq = {last}"), last));
    touches.push((format!("DELETE FROM journal WHERE seq > {}", last - 5), last));
    for (touch, seq) in touches {
        execute(&stage.slipway.data, &touch).await;
        found_out(&mut stage, &touch, seq).await;
        restore(&stage.slipway.data, &kept);
    }
    // A single byte, whichever: the last digit of a time somewhere in the middle.
    flip(&stage.slipway.data, last / 3).await;
    found_out(&mut stage, "one byte", last / 3).await;
    // Swapped neighbours are two entries out of their places.
    restore(&stage.slipway.data, &kept);
    let (one, two) = (last / 2, last / 2 + 1);
    for (from, to) in [(one, -1), (two, one), (-1, two)] {
        execute(&stage.slipway.data, &format!("UPDATE journal SET seq = {to} WHERE seq = {from}")).await;
    }
    found_out(&mut stage, "swapped", one).await;

    // What is recorded after a cut does not grow over it.
    restore(&stage.slipway.data, &kept);
    execute(&stage.slipway.data, &format!("DELETE FROM journal WHERE seq > {}", last - 2)).await;
    stage.slipway.restart().await.expect("it starts");
    assert_eq!(stage.release("1.2.0", &[("SMOKE_FAIL", "1")], &[]).await.1, 10, "it works");
    names(&stage, "a cut that was written over", last).await;
    stage.slipway.kill_control_plane().await.expect("it is killed");

    restore(&stage.slipway.data, &kept);
    stage.slipway.restart().await.expect("it starts");
    nothing_failed_by_slipway(&stage.strike().await);
}

/// Starts Slipway, which says what was touched; kills it again.
async fn found_out(stage: &mut Stage, touch: &str, seq: i64) {
    stage.slipway.restart().await.unwrap_or_else(|error| panic!("{touch}: {error}"));
    names(stage, touch, seq).await;
    stage.slipway.kill_control_plane().await.expect("it is killed");
}

/// `journal verify` fails and names the entry.
async fn names(stage: &Stage, touch: &str, seq: i64) {
    let verified = stage.slipway.cli(&["journal", "verify"]).await.expect("it runs");
    assert_eq!(verified.code, 1, "{touch}: {verified}");
    let mut numbers = verified.stdout.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<i64>().ok());
    assert!(numbers.any(|n| n == seq), "{touch}: {verified}");
}

/// `release` to its end, with this exit code; then `explain` as text and as JSON.
async fn explained(stage: &Stage, version: &str, variables: &[(&str, &str)], code: i32) -> (String, Value) {
    let (end, came) = stage.release(version, variables, &[]).await;
    assert_eq!(came, code, "{end:#}");
    let id = end["rollout"].as_str().expect("an id");
    let told = stage.slipway.json(&["explain", id]).await.expect("an explanation");
    let text = stage.slipway.cli(&["explain", id]).await.expect("it runs").expect(0).expect("an explanation");
    for field in ["rollout", "version", "outcome", "cause"] {
        assert_eq!(told[field], end[field], "{field}");
    }
    // Users go on meeting what is held.
    let exposed = |of: &Value| of["exposed_requests"].as_u64().expect("a number");
    assert!(exposed(&told) == exposed(&end) || (code == 11 && exposed(&told) > exposed(&end)), "{told:#}, {end:#}");
    (text.stdout, told)
}

fn decision<'a>(told: &'a Value, what: &str) -> &'a Value {
    let decisions = told["decisions"].as_array().expect("decisions");
    decisions.iter().find(|decision| decision["what"] == what).unwrap_or_else(|| panic!("no {what} in {told:#}"))
}

/// A judgement has all of its numbers, and the text has them too.
fn numbers(judgement: &Value, text: &str) {
    let (n, bad) = (judgement["n"].as_u64().expect("n"), judgement["bad"].as_u64().expect("bad"));
    let (lower, upper) = (judgement["lower"].as_f64().expect("lower"), judgement["upper"].as_f64().expect("upper"));
    assert!(bad <= n && 0.0 <= lower && lower <= upper && upper <= 1.0, "{judgement:#}");
    assert!(judgement["stable"]["upper"].is_f64(), "{judgement:#}");
    let sentence = judgement["sentence"].as_str().expect("a sentence");
    assert!(sentence.replace(',', "").contains(&format!("{bad} of {n} ")), "{sentence}");
    says(
        text,
        &[
            sentence,
            &format!(
                "{} {}: candidate",
                judgement["objective"].as_str().expect("a name"),
                judgement["verdict"].as_str().expect("a verdict")
            ),
        ],
    );
}

fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
}

/// The database and the anchor beside it, as they stand.
fn keep(data: &Path) -> Vec<(String, Vec<u8>)> {
    let names = ["slipway.db", "slipway.db-wal", "slipway.db-shm", "journal.anchor"];
    names.iter().filter_map(|name| Some((name.to_string(), std::fs::read(data.join(name)).ok()?))).collect()
}

fn restore(data: &Path, kept: &[(String, Vec<u8>)]) {
    for name in ["slipway.db-wal", "slipway.db-shm"] {
        let _ = std::fs::remove_file(data.join(name));
    }
    for (name, bytes) in kept {
        std::fs::write(data.join(name), bytes).expect("it is written");
    }
}

async fn open(data: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(data.join("slipway.db")).connect().await.expect("a database")
}

async fn execute(data: &Path, sql: &str) {
    let mut database = open(data).await;
    let touched = sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut database).await.expect("it is done");
    assert!(touched.rows_affected() > 0, "{sql} touches something");
    database.close().await.expect("it is closed");
}

/// The number of the newest entry.
async fn newest(data: &Path) -> i64 {
    let mut database = open(data).await;
    let row = sqlx::query("SELECT max(seq) FROM journal").fetch_one(&mut database).await;
    let newest = row.expect("a number").get::<i64, _>(0);
    database.close().await.expect("it is closed");
    newest
}

/// Changes one byte of an entry.
async fn flip(data: &Path, seq: i64) {
    let mut database = open(data).await;
    let row = sqlx::query("SELECT body FROM journal WHERE seq = $1").bind(seq).fetch_one(&mut database).await;
    let mut body: Vec<u8> = row.expect("the entry").get::<String, _>(0).into_bytes();
    let place = body.iter().rposition(u8::is_ascii_alphabetic).expect("a letter");
    body[place] ^= 0x20;
    let update = sqlx::query("UPDATE journal SET body = $1 WHERE seq = $2");
    let body = String::from_utf8(body).expect("text");
    update.bind(body).bind(seq).execute(&mut database).await.expect("it is done");
    database.close().await.expect("it is closed");
}

//! Schema changes against a real PostgreSQL: expanded before the first instance, taken back with a bad version,
//! contracted after approval; every command once, whatever is killed; and a person asked where nobody knows.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use common::{Stage, alone, nothing_failed_by_slipway};
use serde_json::Value;
use slipway_e2e::process::signal;
use slipway_e2e::{Options, Output, Page, Postgres, Slipway, build, until};
use slipway_load::{Load, Method};

const CANARY: &str =
    "{ instances: 1, strategy: { canary: { steps: [50%, 100%], step_limit: 10m, verify: 3s, standby: 2s } } }";
const BLUE_GREEN: &str = "{ instances: 1, strategy: { blue-green: { verify: 1s, standby: 1m } } }";
const PAGE: &str = "docs/how-to/change-the-schema.md";
const APPLIED: &str = "slipway migration shop --env production --settle applied";
const NOT_APPLIED: &str = "slipway migration shop --env production --settle not-applied";
const ORDERS: &str = "  - { name: orders, bad: outcome order_failed, of: order_placed, at_most: 2% }\n";
const MIGRATE: &str = "migrate:\n  expand: [\"./migrate.sh\", \"expand\"]\n  revert: [\"./migrate.sh\", \"revert\"]\n  contract: [\"./migrate.sh\", \"contract\"]\n";
const SCRIPT: &str = r#"#!/bin/sh
set -e
echo "$1 of schema $SCHEMA for $VERSION in $ENVIRONMENT"
psql "$DATABASE_URL" -X -q -v ON_ERROR_STOP=1 -v act="$1" -v version="$VERSION" <<'SQL'
INSERT INTO commands (act, version) VALUES (:'act', :'version');
SQL
exec psql "$DATABASE_URL" -X -q -v ON_ERROR_STOP=1 -f "$1.sql"
"#;
const EXPAND: &str = "ALTER TABLE orders ADD COLUMN customer_name text; UPDATE orders SET customer_name = customer;";
const REVERT: &str = "ALTER TABLE orders DROP COLUMN IF EXISTS customer_name;";
const CONTRACT: &str = "ALTER TABLE orders DROP COLUMN customer;";

/// A shop with a database, and builds of it that migrate.
struct Shop {
    slipway: Slipway,
    database: Postgres,
    production: &'static str,
    variables: Vec<(String, String)>,
}

impl Shop {
    /// With schema 1 and version 1.0.0, which needs it.
    async fn open(production: &'static str) -> Shop {
        let database = Postgres::start().expect("PostgreSQL starts");
        let tables = "CREATE TABLE commands (at timestamptz DEFAULT now(), act text, version text);
            CREATE TABLE orders (id serial PRIMARY KEY, customer text); INSERT INTO orders (customer) VALUES ('ann')";
        database.query(tables).expect("tables");
        let slipway = Slipway::start(Options::default()).await.expect("Slipway starts");
        let made = slipway.cli(&["token", "create", "shop-reports", "--may", "report"]).await.expect("it runs");
        let token = made.expect(0).expect("a token").stdout.trim().to_string();
        let url = format!("http://{}/api/v1/outcomes", slipway.api);
        let variables = vec![("OUTCOMES_URL".to_string(), url), ("OUTCOMES_TOKEN".to_string(), token)];
        let shop = Shop { slipway, database, production, variables };
        shop.declare(1, "", "customer");
        shop.release("1.0.0", "customer", &[], &[]).await.expect(0).expect("1.0.0 serves");
        shop
    }

    /// Declares what the next release needs: a schema, commands, and a column that its smoke test reads.
    fn declare(&self, schema: u64, migrate: &str, column: &str) {
        let slipway = &self.slipway;
        slipway.declare(&format!("production: {}", self.production)).expect("a declared file");
        let file = slipway.scratch().join("slipway.yaml");
        let text = fs::read_to_string(&file).expect("it is there");
        let url = self.database.url();
        let text = text
            .replace("env: { LOG_LEVEL: info }", &format!("env: {{ DATABASE_URL: \"{url}\" }}"))
            .replace("health:", &format!("needs_schema: {schema}\n{migrate}health:"))
            .replace(
                "traffic:",
                &format!("  - {{ name: orders can be read, command: [\"./look.sh\", {column}] }}\ntraffic:"),
            )
            .replace("environments:", &format!("{ORDERS}environments:"));
        fs::write(&file, text).expect("it is written");
    }

    /// A build that reads `column` and brings scripts; `scripts` take the place of those that work.
    fn build(&self, version: &str, column: &str, variables: &[(&str, &str)], scripts: &[(&str, &str)]) -> PathBuf {
        let own = self.variables.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        let all: Vec<(&str, &str)> = own.chain([("COLUMN", column)]).chain(variables.iter().copied()).collect();
        let build = build(self.slipway.scratch(), &format!("build-{version}"), &all).expect("a build");
        let look = "#!/bin/sh\nexec psql \"$DATABASE_URL\" -X -q -c \"SELECT $1 FROM orders LIMIT 1\"\n";
        let works = [
            ("migrate.sh", SCRIPT),
            ("look.sh", look),
            ("expand.sql", EXPAND),
            ("revert.sql", REVERT),
            ("contract.sql", CONTRACT),
        ];
        for (name, text) in works.iter().chain(scripts) {
            let file = build.join(name);
            fs::write(&file, text).expect("it is written");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("it can be run");
        }
        build
    }

    async fn release(
        &self,
        version: &str,
        column: &str,
        variables: &[(&str, &str)],
        scripts: &[(&str, &str)],
    ) -> Output {
        let build = self.build(version, column, variables, scripts);
        self.slipway.release(version, &build, "production", &[]).await.expect("it runs")
    }

    /// Asks for a release and does not wait; the rollout's id.
    async fn begin(&self, version: &str, column: &str, scripts: &[(&str, &str)]) -> String {
        let build = self.build(version, column, &[], scripts);
        let output = self.slipway.release(version, &build, "production", &["--detach"]).await.expect("it runs");
        let asked = output.json().expect("JSON");
        asked["rollout"].as_str().unwrap_or_else(|| panic!("{asked:#}")).to_string()
    }

    /// Commands that were run, in order: `expand 1.1.0`.
    async fn commands(&self) -> Vec<String> {
        let rows = self.database.query("SELECT act || ' ' || version FROM commands ORDER BY at");
        rows.expect("the commands")
    }

    async fn columns(&self) -> Vec<String> {
        let names = "SELECT column_name FROM information_schema.columns WHERE table_name = 'orders' ORDER BY 1";
        self.database.query(names).expect("the columns")
    }

    async fn journal(&self, kind: &str) -> Vec<Value> {
        let entries = self.slipway.get(&format!("/journal?limit=1000&kind={kind}")).await.expect("a journal");
        entries.as_array().expect("entries").clone()
    }

    async fn outcome(&self, id: &str, wanted: &str) -> Value {
        until(&format!("{id} is {wanted}"), async || {
            let now = self.slipway.get(&format!("/rollouts/{id}")).await.ok()?;
            (now["outcome"] == wanted).then_some(now)
        })
        .await
        .expect("an outcome")
    }

    async fn settle(&self, command: &str) -> Output {
        Page::open(PAGE).run(&self.slipway, command, None).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_change_with_a_bad_version_in_the_middle_is_fixed_and_contracted_after_approval() {
    let _alone = alone().await;
    let page = Page::open(PAGE);
    let shop = Shop::open(CANARY).await;
    let options = slipway_load::Options {
        host: Some("shop.local".into()),
        users: 2_000,
        paths: vec!["/checkout".into()],
        method: Method::POST,
        ..slipway_load::Options::new(shop.slipway.traffic_url())
    };
    let load = Load::start(options).expect("the load starts");
    until("answers come", async || (load.snapshot().requests > 50).then_some(())).await.expect("answers");

    // A bad version, found out by nothing but lost orders: users go back, and then the schema.
    shop.declare(2, MIGRATE, "customer_name");
    let bad = shop.release("1.1.0", "customer_name", &[("LOSE_ORDERS", "0.3")], &[]).await;
    assert_eq!(bad.code, 10, "{bad}");
    let bad = bad.json().expect("JSON");
    assert!(bad["cause"].as_str().expect("a cause").contains("order_failed"), "{bad:#}");
    until("the schema is taken back", async || (shop.commands().await.len() == 2).then_some(())).await.expect("revert");
    until("the journal says so", async || shop.journal("schema.reverted").await.pop()).await.expect("an entry");
    assert_eq!(shop.commands().await, ["expand 1.1.0", "revert 1.1.0"]);
    assert_eq!(shop.columns().await, ["customer", "id"]);

    // Fixed, planned, released.
    shop.build("1.2.0", "customer_name", &[], &[]);
    let planned =
        page.run(&shop.slipway, "slipway plan --version 1.2.0 --path ./build-1.2.0 --env production", None).await;
    assert!(planned.stdout.contains("bring the database to schema 2"), "{planned}");
    assert!(planned.stdout.contains("contract of schema 2 follows as a rollout of its own"), "{planned}");
    let good = shop.release("1.2.0", "customer_name", &[], &[]).await.expect(0).expect("1.2.0 serves");
    assert_eq!(good.json().expect("JSON")["outcome"], "succeeded");
    assert_eq!(
        shop.columns().await,
        ["customer", "customer_name", "id"],
        "both versions fit while the old one stands by"
    );
    let told = page.run(&shop.slipway, "slipway migration shop --env production", None).await;
    assert!(told.stdout.contains("schema 2") && told.stdout.contains("contract of schema 2 is to come"), "{told}");

    // After standby the contract asks for a word, and for nobody in particular.
    let waiting = until("the contract waits", async || {
        let lane = shop.slipway.lane("shop", "production").await.ok()??;
        lane["queue"][0].as_str().map(str::to_string)
    });
    let waiting = waiting.await.expect("a contract");
    assert!(shop.slipway.lane("shop", "production").await.expect("a status").expect("a lane")["standby"].is_null());
    let gates = page.run(&shop.slipway, "slipway gates shop --env production", None).await;
    assert!(gates.stdout.contains("step contract cannot be undone"), "{gates}");
    assert_eq!(shop.columns().await, ["customer", "customer_name", "id"], "nothing without a word");
    page.run(&shop.slipway, "slipway approve ro-N", Some(&waiting)).await.expect(0).expect("approved");
    shop.outcome(&waiting, "succeeded").await;
    assert_eq!(shop.columns().await, ["customer_name", "id"]);
    assert_eq!(shop.commands().await, ["expand 1.1.0", "revert 1.1.0", "expand 1.2.0", "contract 1.2.0"]);

    // There is no way back any more, and it is said beforehand.
    let back = shop.slipway.cli(&["rollback", "shop", "--env", "production", "--to", "1.0.0"]).await.expect("it runs");
    assert_eq!(back.code, 12, "{back}");
    assert!(back.stderr.contains("needs schema 1 of the database, and that is gone"), "{back}");

    // `explain` and the journal tell the story.
    let told = shop.slipway.cli(&["explain", bad["rollout"].as_str().expect("an id")]).await.expect("it runs");
    for words in ["order_failed", "expand of schema 2", "revert of schema 2 is done"] {
        assert!(told.stdout.contains(words), "{words} in {told}");
    }
    let told = shop.slipway.cli(&["explain", &waiting]).await.expect("it runs");
    for words in ["contract", "contracted to schema 2", "no way back to 1.0.0 any more"] {
        assert!(told.stdout.contains(words), "{words} in {told}");
    }
    let told = shop.slipway.cli(&["journal", "--service", "shop"]).await.expect("it runs");
    for kind in ["schema.expanded", "schema.reverted", "schema.contract_owed", "rollout.approved", "schema.contracted"]
    {
        assert!(told.stdout.contains(kind), "{kind} in {told}");
    }
    let Shop { slipway, database, .. } = shop;
    let report = Stage { slipway, load }.strike().await;
    nothing_failed_by_slipway(&report);
    drop(database);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_is_run_once_even_if_the_control_plane_is_killed_in_its_middle() {
    let _alone = alone().await;
    let mut shop = Shop::open(BLUE_GREEN).await;
    shop.declare(2, MIGRATE, "customer_name");
    // It waits for a row that the test writes.
    let waits = format!(
        "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM commands WHERE act = 'go') LOOP PERFORM pg_sleep(0.05); END LOOP; END $$; {EXPAND}"
    );
    let id = shop.begin("1.1.0", "customer_name", &[("expand.sql", &waits)]).await;
    until("it is at work", async || (shop.commands().await.len() == 1).then_some(())).await.expect("expand");
    shop.slipway.kill_control_plane().await.expect("it is killed");
    shop.slipway.restart().await.expect("it starts again");
    let lane = shop.slipway.lane("shop", "production").await.expect("a status").expect("a lane");
    assert_eq!(lane["schema"]["running"]["act"], "expand", "{lane:#}");
    shop.database.query("INSERT INTO commands (act, version) VALUES ('go', '-')").expect("a row");
    shop.outcome(&id, "succeeded").await;
    assert_eq!(shop.commands().await, ["expand 1.1.0", "go -"], "once");
    assert_eq!(shop.columns().await, ["customer", "customer_name", "id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_knows_what_a_migration_did_a_person_says_so() {
    let _alone = alone().await;
    let shop = Shop::open(BLUE_GREEN).await;

    // Half of it is there when it fails: revert is for that.
    shop.declare(2, MIGRATE, "customer_name");
    let half = format!("{EXPAND} SELECT 1/0;");
    let failed = shop.release("1.1.0", "customer_name", &[], &[("expand.sql", &half)]).await;
    assert_eq!(failed.code, 10, "{failed}");
    assert!(failed.stdout.contains("division by zero"), "the database's own words: {failed}");
    until("it is taken back", async || (shop.columns().await == ["customer", "id"]).then_some(()))
        .await
        .expect("revert");
    assert!(shop.journal("instance.starting").await.len() == 1, "no instance was started for it");

    // One that hangs is killed, and its rollout held. What it does before that has time to be done.
    let hangs = format!("{EXPAND} SELECT pg_sleep(600);");
    shop.declare(2, &format!("{MIGRATE}  timeout: 15s\n"), "customer_name");
    let id = shop.begin("1.2.0", "customer_name", &[("expand.sql", &hangs)]).await;
    let held = shop.outcome(&id, "held").await;
    assert!(held["cause"].as_str().expect("a cause").contains("--settle applied|not-applied"), "{held:#}");
    let settled = shop.settle(APPLIED).await;
    assert_eq!(settled.code, 0, "{settled}");
    shop.outcome(&id, "succeeded").await;
    let again = shop.settle(APPLIED).await;
    assert_eq!(again.code, 12, "nothing is unclear: {again}");

    // One whose runner is killed with it has no end, and a release after it waits for a person's word.
    shop.declare(
        3,
        "migrate: { expand: [\"./migrate.sh\", \"expand\"], revert: [\"./migrate.sh\", \"revert\"] }\n",
        "customer_name",
    );
    let waits = "SELECT pg_sleep(600);";
    let id = shop.begin("1.3.0", "customer_name", &[("expand.sql", waits)]).await;
    until("it is at work", async || shop.commands().await.iter().any(|c| c == "expand 1.3.0").then_some(()))
        .await
        .expect("expand");
    let of_job: Vec<_> = shop.slipway.processes().into_iter().filter(|p| p.command.contains("jobs")).collect();
    assert_eq!(of_job.len(), 1, "{of_job:?}");
    signal(of_job[0].pid, rustix::process::Signal::KILL).expect("it is killed");
    shop.outcome(&id, "held").await;
    let settled = shop.settle(NOT_APPLIED).await;
    assert_eq!(settled.code, 0, "{settled}");
    shop.outcome(&id, "rolled_back").await;
    let lane = shop.slipway.lane("shop", "production").await.expect("a status").expect("a lane");
    assert_eq!((&lane["schema"]["at"], &lane["stable"]["version"]), (&2.into(), &"1.2.0".into()), "{lane:#}");

    // A version that needs what nobody brings is refused before anything is done.
    shop.declare(9, "", "customer_name");
    let refused = shop.release("1.4.0", "customer_name", &[], &[]).await;
    assert_eq!(refused.code, 12, "{refused}");
    assert!(refused.stdout.contains("declares no migrate to bring it"), "{refused}");
}

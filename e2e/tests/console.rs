//! The console in a real browser, on real rollouts: watched live, pressed, replayed, without script, by keyboard.

mod common;

use common::{Stage, alone, crowd, nothing_failed_by_slipway};
use slipway_e2e::{At, Browser, Sight, Slipway, Tab, build, until};

const CANARY: &str = "{ instances: 2, strategy: { canary: { steps: [10%, 50%, 100%], verify: 3s, standby: 10m } } }";
/// One that stays at its first step until somebody takes it away.
const WAITING: &str =
    "{ instances: 2, strategy: { canary: { steps: [50%, 100%], min_requests: 100000000, step_limit: 1d } } }";
const GATED: &str = "{ instances: 1, strategy: { blue-green: { verify: 1s } }, gates: { approvals: { count: 1 } } }";
/// Every page, by the name of its picture.
const PAGES: [(&str, &str); 7] = [
    ("services", "/"),
    ("rollout", "/rollouts/ro-2"),
    ("rollout-back", "/rollouts/ro-3"),
    ("service", "/services/shop?from=1.0.0&to=1.1.0"),
    ("environments", "/environments"),
    ("environment", "/environments/production"),
    ("journal", "/journal?kind=rollout"),
];

/// Opens what can be opened on a page.
const OPEN_ALL: &str = "document.querySelectorAll('details').forEach((one) => { one.open = true; })";

fn base(slipway: &Slipway) -> String {
    format!("http://{}", slipway.api)
}

/// Waits until it is brought to a page whose address ends like this.
async fn arrives(tab: &Tab<'_>, end: &str) -> anyhow::Result<()> {
    until(&format!("it is at {end}"), async || tab.url().await.ok()?.ends_with(end).then_some(())).await
}

/// Signs in with a token; ends on the services.
async fn sign_in(tab: &Tab<'_>, token: &str) -> anyhow::Result<()> {
    tab.goto("/sign-in").await?;
    tab.fill(At::label("Token"), token).await?;
    tab.click(At::role("button", "Sign in")).await?;
    tab.until(At::css("h1"), "Services").await.map(drop)
}

/// Nothing that a visitor should not meet: errors of scripts or requests, a policy that was broken, a page that scrolls
/// sideways, or what axe has against it.
async fn is_clean(tab: &Tab<'_>, what: &str) -> anyhow::Result<()> {
    assert_eq!(tab.troubles().await?, Vec::<String>::new(), "{what}");
    assert_eq!(tab.axe().await?, Vec::<String>::new(), "{what}");
    let over = tab.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth").await?;
    assert_eq!(over, 0, "{what} scrolls sideways");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_canary_is_watched_to_its_end_and_a_bad_one_on_its_way_back() -> anyhow::Result<()> {
    let _alone = alone().await;
    // So few users that the first step takes minutes, in which everything on its page is looked at.
    let stage = Stage::set_with(CANARY, 20.0).await;
    let (browser, token) = (Browser::start().await?, stage.slipway.token()?);
    let tab = browser.tab(&Sight::wide(base(&stage.slipway))).await?;
    // Whoever wanted to go somewhere is brought there after signing in.
    tab.goto("/rollouts/ro-1").await?;
    tab.fill(At::label("Token"), token.trim()).await?;
    tab.press("Enter").await?;
    tab.until(At::css("h1"), r"1\.0\.0").await?;
    arrives(&tab, "/rollouts/ro-1").await?;

    let good = stage.begin("1.1.0", &[], &[]).await;
    tab.goto("/").await?;
    tab.until(At::css("#live"), "changing").await?;
    tab.goto(&format!("/rollouts/{good}")).await?;
    tab.until(At::css(".split"), "10% of the users").await?;
    tab.until(At::css(".band"), r"\d of \d+ bad; between").await?;
    is_clean(&tab, "a canary at its first step").await?;
    let many = crowd(&stage.slipway, 150.0);
    tab.until(At::css(".rail li[aria-current=step]"), "50%|verification").await?;
    tab.until(At::css(".split"), "99% of the users|100% of the users").await?;
    tab.shoot("rollout-live").await?;
    tab.until(At::css("h1"), "succeeded").await?;
    assert_eq!(tab.count(".rail li.done").await?, tab.count(".rail li").await?, "nobody reloaded");

    let bad = stage.begin("1.2.0", &[("FAIL_RATE", "0.3")], &[]).await;
    tab.goto(&format!("/rollouts/{bad}")).await?;
    tab.until(At::css("h1"), "rolled back").await?;
    let page = tab.text(At::css("#live")).await?;
    for said in ["requests failed", "Going back took", "undo"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    // Which of its bounds is crossed first is chance.
    assert!(page.contains("more than stable, where") || page.contains("1% is acceptable"), "{page}");
    assert!(tab.count(".band .fail").await? > 0, "the band shows what it crossed");

    nothing_failed_by_slipway(&many.stop().await);

    // Played again: the address says which moment is shown, and the script is not needed for it.
    tab.eval("(() => { const m = document.getElementById('moment'); m.value = 1; m.dispatchEvent(new Event('input', { bubbles: true })); })()").await?;
    tab.until(At::css("h1"), "on its way").await?;
    arrives(&tab, "moment=1").await?;
    tab.click(At::role("link", "back to now")).await?;
    tab.until(At::css("h1"), "rolled back").await?;

    // Whoever opens the first page now sees that it was taken back, and why.
    tab.goto("/").await?;
    tab.until(At::css("section[aria-labelledby=lately]"), r"1\.2\.0 ↩ 1\.1\.0[\s\S]*requests failed").await?;
    let status = stage.slipway.cli(&["status"]).await?.expect(0)?.stdout;
    assert!(status.contains("1.2.0 was taken back") && status.contains(&bad), "{status}");

    for (sight, size) in [("wide", (1280, 900)), ("narrow", (360, 780))] {
        for dark in [false, true] {
            let tab = browser.tab(&Sight { size, dark, ..Sight::wide(base(&stage.slipway)) }).await?;
            let theme = if dark { "dark" } else { "light" };
            tab.goto("/sign-in").await?;
            is_clean(&tab, "signing in").await?;
            tab.shoot(&format!("sign-in-{sight}-{theme}")).await?;
            sign_in(&tab, token.trim()).await?;
            for (name, path) in PAGES {
                assert_eq!(tab.goto(path).await?, 200, "{path}");
                is_clean(&tab, &format!("{path}, {sight}, {theme}")).await?;
                tab.shoot(&format!("{name}-{sight}-{theme}")).await?;
                tab.eval(OPEN_ALL).await?;
                is_clean(&tab, &format!("{path}, {sight}, {theme}, everything opened")).await?;
                tab.shoot(&format!("{name}-opened-{sight}-{theme}")).await?;
            }
            tab.goto("/").await?;
            tab.press("/").await?;
            tab.until(At::css("#palette"), "production").await?;
            is_clean(&tab, &format!("the palette, {sight}, {theme}")).await?;
            tab.shoot(&format!("palette-{sight}-{theme}")).await?;
            tab.close().await?;
        }
    }
    browser.end().await?;
    nothing_failed_by_slipway(&stage.strike().await);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_is_pressed_by_keyboard_and_by_a_browser_without_script() -> anyhow::Result<()> {
    let _alone = alone().await;
    let stage = Stage::set(WAITING).await;
    let (browser, token) = (Browser::start().await?, stage.slipway.token()?);
    let tab = browser.tab(&Sight::wide(base(&stage.slipway))).await?;
    // No hand on the mouse: Tab leads to the field, the palette to the rollout, and Tab to the button, whose meaning is
    // read before it is pressed.
    tab.goto("/sign-in").await?;
    to(&tab, "input token").await?;
    tab.type_in(token.trim()).await?;
    tab.press("Enter").await?;
    tab.until(At::css("h1"), "Services").await?;
    let id = stage.begin("1.1.0", &[], &[]).await;
    stage.at_step(&id, "50%").await;
    tab.press("/").await?;
    tab.until(At::css("#palette"), "shop 1.1.0 to production").await?;
    tab.type_in("1.1.0 prod").await?;
    tab.until(At::css("#palette-places li:not([hidden])"), "shop 1.1.0 to production").await?;
    tab.press("Enter").await?;
    tab.until(At::css("h1"), r"1\.1\.0").await?;
    to(&tab, "Take it back…").await?;
    tab.press("Enter").await?;
    tab.until(At::css("details[open]"), r"Everybody gets 1\.0\.0 again").await?;
    is_clean(&tab, "what pressing it means").await?;
    to(&tab, "button Take it back").await?;
    tab.press("Enter").await?;
    tab.until(At::css("h1"), "rolled back").await?;
    assert_eq!(stage.outcome(&id).await["outcome"], "rolled_back");
    stage.gives("1.0.0", 100).await;
    assert_eq!(stage.stable().await, "1.0.0");

    let plain = browser.tab(&Sight { script: false, ..Sight::wide(base(&stage.slipway)) }).await?;
    sign_in(&plain, token.trim()).await?;
    let id = stage.begin("1.3.0", &[], &[]).await;
    stage.at_step(&id, "50%").await;
    plain.goto(&format!("/rollouts/{id}")).await?;
    for (summary, state) in
        [("Pause…", "paused"), ("Resume…", "on its way"), ("Take it back…", "going back|rolled back")]
    {
        plain.click(At::css(&format!("summary:has-text('{summary}')"))).await?;
        plain.click(At::css("details[open] button")).await?;
        plain.until(At::css("h1"), state).await?;
        arrives(&plain, &format!("/rollouts/{id}")).await?;
    }
    assert_eq!(stage.outcome(&id).await["outcome"], "rolled_back");
    let entries = stage.slipway.get(&format!("/journal?rollout={id}&kind=rollout.paused")).await?;
    assert_eq!(entries[0]["actor"], "user:first", "whoever pressed it is named");
    browser.end().await?;
    nothing_failed_by_slipway(&stage.strike().await);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_succeeded_is_drilled_and_then_rolled_back_from_the_page_of_its_service() -> anyhow::Result<()> {
    let _alone = alone().await;
    let stage = Stage::set(CANARY).await;
    let (browser, token) = (Browser::start().await?, stage.slipway.token()?);
    let tab = browser.tab(&Sight::wide(base(&stage.slipway))).await?;
    let late = browser.tab(&Sight { script: false, ..Sight::wide(base(&stage.slipway)) }).await?;
    sign_in(&tab, token.trim()).await?;
    sign_in(&late, token.trim()).await?;
    let good = stage.begin("1.1.0", &[], &[]).await;
    assert_eq!(stage.outcome(&good).await["outcome"], "succeeded");
    for tab in [&tab, &late] {
        tab.goto("/services/shop").await?;
        tab.until(At::css(".lanes"), r"1\.1\.0[\s\S]*1\.0\.0 stands by").await?;
    }

    tab.click(At::css("summary:has-text('Drill…')")).await?;
    tab.until(At::css("details[open]"), "taken on purpose, and the way forth again").await?;
    tab.click(At::css("details[open] button")).await?;
    tab.until(At::css("h1"), "succeeded").await?;
    tab.until(At::css(".foot"), "drill, asked for by user:first").await?;
    assert_eq!(stage.stable().await, "1.1.0", "forth again");

    tab.goto("/services/shop").await?;
    tab.until(At::css(".lanes"), "drilled .* ago").await?;
    tab.click(At::css("summary:has-text('Roll back to 1.0.0…')")).await?;
    tab.until(At::css("details[open]"), r"Everybody gets 1\.0\.0 again in production").await?;
    is_clean(&tab, "what rolling back means").await?;
    tab.click(At::css("details[open] button")).await?;
    tab.until(At::css("h1"), r"1\.1\.0 → 1\.0\.0").await?;
    stage.gives("1.0.0", 100).await;
    tab.until(At::css("h1"), "succeeded").await?;
    assert_eq!(stage.stable().await, "1.0.0");
    // What was on its way to 1.1.0 before has been answered by then.
    stage.gives("1.0.0", 100).await;
    let left = stage.given("1.1.0");
    stage.gives("1.0.0", 300).await;
    assert_eq!(stage.given("1.1.0"), left, "nobody gets it any more");

    // Who still has the page of before would take something else back than they read.
    late.click(At::css("summary:has-text('Roll back to 1.0.0…')")).await?;
    late.click(At::css("details[open] button")).await?;
    late.until(At::css("main"), r"1\.0\.0 serves now, and not 1\.1\.0 as the page said: look again").await?;
    late.click(At::role("link", "Back to shop")).await?;
    late.until(At::css(".lanes"), r"1\.0\.0").await?;
    browser.end().await?;
    nothing_failed_by_slipway(&stage.strike().await);
    Ok(())
}

/// Presses Tab until the focus is on what is wanted.
async fn to(tab: &Tab<'_>, wanted: &str) -> anyhow::Result<()> {
    let mut met = Vec::new();
    for _ in 0..60 {
        tab.press("Tab").await?;
        let on = tab.focused().await?;
        if on.contains(wanted) {
            return Ok(());
        }
        met.push(on);
    }
    panic!("Tab never leads to {wanted:?}, only to {met:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_waits_until_another_person_approves_what_the_page_shows() -> anyhow::Result<()> {
    let _alone = alone().await;
    let stage = Stage::set(CANARY).await;
    let slipway = &stage.slipway;
    let token = async |name: &str, may: &str| -> anyhow::Result<String> {
        let made = slipway.json(&["token", "create", name, "--may", may]).await?;
        Ok(made["token"].as_str().unwrap_or_default().to_string())
    };
    let (alice, eve) = (token("alice", "approve").await?, token("eve", "operate").await?);
    slipway.declare(&format!("production: {GATED}"))?;
    build(slipway.scratch(), "build-1.1.0", &[])?;
    let id = stage.begin("1.1.0", &[], &[]).await;
    let browser = Browser::start().await?;
    let sight = Sight::wide(base(slipway));
    let (author, onlooker, approver) =
        (browser.tab(&sight).await?, browser.tab(&sight).await?, browser.tab(&sight).await?);
    sign_in(&author, slipway.token()?.trim()).await?;
    sign_in(&onlooker, &eve).await?;
    sign_in(&approver, &alice).await?;
    for tab in [&author, &onlooker, &approver] {
        tab.goto("/environments/production").await?;
        let page = tab.text(At::css("#live")).await?;
        for said in ["1.1.0", "way back", "approvals", "blue-green"] {
            assert!(page.contains(said), "{said}: {page}");
        }
    }
    author.until(At::css("#live"), "somebody else has to approve it").await?;
    onlooker.until(At::css("#live"), "needs one that may approve").await?;
    is_clean(&approver, "what waits for somebody's word").await?;
    approver.shoot("environment-approving").await?;
    // A browser without script approves what it shows, as well as any other.
    let plain = browser.tab(&Sight { script: false, ..Sight::wide(base(slipway)) }).await?;
    sign_in(&plain, &alice).await?;
    plain.goto("/environments/production").await?;
    plain.click(At::css("summary:has-text('Approve…')")).await?;
    plain.click(At::css("details[open] button")).await?;
    arrives(&plain, &format!("/rollouts/{id}")).await?;
    approver.until(At::css("#live"), "Nothing waits for anybody's word").await?;
    // The others see it without reloading.
    author.until(At::css("#live"), "Nothing waits for anybody's word").await?;
    assert_eq!(stage.outcome(&id).await["outcome"], "succeeded");
    let entries = slipway.get(&format!("/journal?rollout={id}&kind=rollout.approved")).await?;
    assert_eq!(entries[0]["actor"], "user:alice");

    // The same browser looks for it in the journal, and compares the versions.
    plain.goto("/journal").await?;
    plain.fill(At::label("Kind"), "rollout.approved").await?;
    plain.click(At::role("button", "Filter")).await?;
    plain.until(At::css(".entries"), "rollout.approved by user:alice").await?;
    assert_eq!(plain.count(".entries > li").await?, 1);
    plain.goto("/services/shop").await?;
    plain.choose(At::css("#from"), "1.0.0").await?;
    plain.choose(At::css("#to"), "1.1.0").await?;
    plain.click(At::role("button", "Compare")).await?;
    plain.until(At::css("section[aria-labelledby=diff]"), r"1\.0\.0 → 1\.1\.0: .*bytes").await?;

    // A session is worth what its token is worth.
    slipway.cli(&["token", "revoke", "alice"]).await?.expect(0)?;
    approver.goto("/").await?;
    approver.until(At::css("h1"), "Sign in").await?;
    browser.end().await
}

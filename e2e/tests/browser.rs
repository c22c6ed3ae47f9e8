//! The browser harness itself, on a small page of the test's own: what it says must be so.

use slipway_e2e::{At, Browser, Sight, Tab, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const PAGE: &str = r#"<!doctype html><html lang="en"><head><title>A page</title></head><body><main><h1>A page</h1>
<p id="said" role="status">nothing yet</p>
<button onclick="setTimeout(() => { said.textContent = 'pressed 1 time' }, 150)">Press</button>
<noscript><p id="without">without script</p></noscript>
PLACE</main></body></html>"#;

/// Serves the page for ever, with something in its place; the address.
async fn serve(inside: &'static str, policy: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let body = PAGE.replace("PLACE", inside);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n{policy}content-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn it_presses_waits_looks_and_tells() -> anyhow::Result<()> {
    let browser = Browser::start().await?;
    let good = browser.tab(&Sight::wide(serve("", "").await)).await?;
    assert_eq!(good.goto("/").await?, 200);
    good.press("Tab").await?;
    assert_eq!(good.focused().await?, "button Press");
    good.press("Enter").await?;
    assert_eq!(good.until(At::css("#said"), r"pressed \d time").await?, "pressed 1 time");
    assert_eq!(good.axe().await?, Vec::<String>::new());
    let picture = good.shoot("harness").await?;
    assert!(std::fs::metadata(picture)?.len() > 2_000);
    assert!(good.until_within(At::css("#said"), "never", std::time::Duration::from_millis(200)).await.is_err());

    let bad = browser.tab(&Sight::wide(serve("<img src='/x'><script>boom()</script>", "").await)).await?;
    bad.goto("/").await?;
    let against = bad.axe().await?;
    assert!(against.iter().any(|v| v.starts_with("image-alt")), "{against:?}");
    let told = async |tab: &Tab<'_>, what: &str| {
        let said = async || tab.troubles().await.ok()?.iter().any(|trouble| trouble.contains(what)).then_some(());
        until(&format!("{what} is told"), said).await
    };
    told(&bad, "boom").await?;

    let forbidden = serve("<script>boom()</script>", "content-security-policy: script-src 'none'\r\n").await;
    let guarded = browser.tab(&Sight::wide(forbidden)).await?;
    guarded.goto("/").await?;
    told(&guarded, "Content Security Policy").await?;

    let without = browser.tab(&Sight { script: false, ..Sight::wide(serve("", "").await) }).await?;
    without.goto("/").await?;
    assert_eq!(without.text(At::css("#without")).await?, "without script");
    browser.end().await
}

//! Waiting for a condition, in place of sleeping.

use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep};

/// How often a condition is looked at.
const EVERY: Duration = Duration::from_millis(20);
/// How long a condition may take where nobody says otherwise. Only a test that fails waits for so long, so it is ample for a
/// machine that is slow or busy.
const LIMIT: Duration = Duration::from_secs(180);

/// Waits until `look` finds something, for at most three minutes; `what` completes "waited in vain until …".
pub async fn until<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> anyhow::Result<T> {
    until_within(LIMIT, what, look).await
}

/// As [`until`], with a limit of the caller's choice.
pub async fn until_within<T>(
    limit: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look().await {
            return Ok(found);
        }
        if Instant::now() >= end {
            bail!("waited {limit:?} in vain until {what}");
        }
        sleep(EVERY).await;
    }
}

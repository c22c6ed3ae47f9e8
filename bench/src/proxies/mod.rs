//! The gateway beside nginx and HAProxy: processor time per request, latency, memory, in interleaved rounds.
//!
//! One worker each, pinned to one processor; the client and two cheap instances on another. Keep-alive on both sides, no
//! access log. The gateway is the real program with a real control link: it counts, splits between two versions and keeps
//! users by cookie; the others send requests round robin. nginx and the gateway are measured over Unix sockets to the
//! instances as well. Only what stands within one round is compared, since a shared
//! machine is noisy: the ratios are medians of the ratios of the rounds. Nothing here fails because something is slow.

mod client;
pub mod origin;
mod proxy;
mod table;

use anyhow::Context;
use tempfile::TempDir;

use crate::proxies::client::{Client, Shape};
use crate::proxies::origin::Origins;
use crate::proxies::proxy::{Busy, Kind, Proxy};
use crate::proxies::table::{Measured, Round};

/// Rounds in which every proxy is measured once in every shape of load.
const ROUNDS: usize = 10;
/// How the client asks.
const SHAPES: [Shape; 3] = [
    Shape { connections: 32, paced: false },
    Shape { connections: 128, paced: false },
    Shape { connections: 32, paced: true },
];

/// Measures for some six minutes at ten rounds; the table.
pub async fn measure(rounds: Option<usize>) -> anyhow::Result<String> {
    let rounds = rounds.unwrap_or(ROUNDS).max(1);
    let folder = TempDir::new()?;
    let origins = Origins::start(folder.path()).await?;
    let client = Client::new(folder.path())?;
    let mut proxies = Vec::new();
    for kind in Kind::ALL {
        proxies.push(Proxy::start(kind, folder.path(), &origins).await.with_context(|| format!("{kind:?}"))?);
    }
    println!("proxies: {rounds} rounds of {} proxies in {} shapes of load", proxies.len(), SHAPES.len());
    for proxy in &proxies {
        client.run(proxy.address, SHAPES[0]).await.with_context(|| format!("{:?} does not work", proxy.kind))?;
    }
    let mut measured = Vec::new();
    for round in 0..rounds {
        for shape in SHAPES {
            // Another order in each round: nobody always follows the same one.
            for place in 0..proxies.len() {
                let proxy = &proxies[(place + round) % proxies.len()];
                let (before, peers) = (proxy.cpu_ns()?, Busy::now()?);
                let load = client.run(proxy.address, shape).await?;
                let cpu_us = (proxy.cpu_ns()? - before) as f64 / 1_000.0 / load.requests as f64;
                let (memory, others) = (proxy.megabytes()?, peers.share_since()?);
                measured.push(Round {
                    round,
                    kind: proxy.kind,
                    shape,
                    seen: Measured { cpu_us, load, memory, others },
                });
            }
        }
    }
    Ok(table::render(&measured))
}

//! The client: wrk on the processor beside the proxy, as 64 users in turn.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use tokio::process::Command;

use crate::proxies::proxy::pinned;

/// How long one measurement takes.
pub const SECONDS: u32 = 2;
const USERS: &str = "local users, turn = {}, 0
init = function()
  for user = 1, 64 do
    users[user] = wrk.format('GET', '/articles/17?from=bench', { ['Host'] = 'shop.local', ['User-Agent'] = 'bench',
      ['Accept'] = '*/*', ['Cookie'] = 'slipway=user-' .. user })
  end
end
request = function()
  turn = turn % 64 + 1
  return users[turn]
end
";
/// The same with a pause of each connection between an answer and its next request, of half a millisecond on average.
const PAUSES: &str = "delay = function() return math.random(0, 1) end\n";

/// How the client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape {
    /// On so many connections.
    pub connections: u32,
    /// With pauses, so that no processor is busy all the time.
    pub paced: bool,
}

/// What the client saw.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Requests that were answered.
    pub requests: u64,
    /// Median latency in microseconds.
    pub p50: f64,
    /// The 99th percentile in microseconds.
    pub p99: f64,
}

/// The client.
pub struct Client {
    script: PathBuf,
    paced: PathBuf,
}

impl Client {
    /// Writes its scripts.
    pub fn new(folder: &Path) -> anyhow::Result<Client> {
        let (script, paced) = (folder.join("users.lua"), folder.join("paced.lua"));
        std::fs::write(&script, USERS)?;
        std::fs::write(&paced, format!("{USERS}{PAUSES}"))?;
        Ok(Client { script, paced })
    }

    /// Asks as fast as answers come, or with pauses. An answer that is no 2xx is an error.
    pub async fn run(&self, address: SocketAddr, shape: Shape) -> anyhow::Result<Load> {
        let mut command = Command::from(pinned(1, "wrk"));
        command.args(["-t1", &format!("-c{}", shape.connections), &format!("-d{SECONDS}s"), "--latency", "-s"]);
        command
            .arg(if shape.paced { &self.paced } else { &self.script })
            .arg(format!("http://{address}/"))
            .kill_on_drop(true);
        let output = command.output().await.context("wrk cannot be started")?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success() && !text.contains("Non-2xx"),
            "wrk: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        parse(&text).with_context(|| format!("wrk said something else: {text}"))
    }
}

fn parse(text: &str) -> Option<Load> {
    let after = |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name));
    let requests = text.lines().find(|line| line.contains(" requests in "))?.split_whitespace().next()?.parse().ok()?;
    Some(Load { requests, p50: micros(after("50%")?)?, p99: micros(after("99%")?)? })
}

fn micros(text: &str) -> Option<f64> {
    let text = text.trim();
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => return None,
    };
    Some(number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_says_is_understood() {
        let said = "  Latency Distribution\n     50%  398.00us\n     75%    1.00ms\n     99%    1.19ms\n  138248 requests in 2.00s, 40MB read\n";
        let load = parse(said).unwrap();
        assert_eq!((load.requests, load.p50, load.p99), (138_248, 398.0, 1_190.0));
        assert!(parse("unable to connect").is_none());
    }
}

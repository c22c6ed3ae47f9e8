//! Runs a command to its end, within its caller's time: nothing of it is left when the caller is gone. Knows nothing of what
//! it is for. Called by smoke tests and, for hooks, by the binary.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, Command};

use crate::shim::resolve;

/// How much of a command's output is kept.
const READ_LIMIT: usize = 1 << 20;

/// Runs a command in `folder` with `env` as its whole environment and `input` on its standard input; returns what it wrote
/// to its standard output, if it exits with 0. Dropping this kills it with its whole group.
pub async fn output(
    command: &[String],
    folder: &Path,
    env: &BTreeMap<String, String>,
    input: &[u8],
) -> Result<Vec<u8>, String> {
    let (name, arguments) = command.split_first().ok_or("the command is empty")?;
    let path = env.get("PATH").map_or("", String::as_str);
    let mut child = Command::new(resolve(name, folder, path)?)
        .args(arguments)
        .arg0(name)
        .env_clear()
        .envs(env)
        .current_dir(folder)
        .process_group(0)
        .kill_on_drop(true)
        .stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot start {name}: {e}"))?;
    let group = Group(child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)));
    let (to, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let read = async {
        let (out, err, ()) = tokio::join!(read(out), read(err), write(to, input));
        (out, err)
    };
    tokio::pin!(read);
    // What it left running may hold its output open for ever: once it has ended, only what is there counts.
    let (status, read) = tokio::select! {
        read = &mut read => (child.wait().await, read),
        status = child.wait() => {
            drop(group);
            (status, read.await)
        }
    };
    let status = status.map_err(|e| format!("cannot wait for {name}: {e}"))?;
    let (out, err) = (read.0.unwrap_or_default(), read.1.unwrap_or_default());
    if status.success() {
        return Ok(out);
    }
    let said = if err.trim_ascii().is_empty() { &out } else { &err };
    let tail = String::from_utf8_lossy(&said[said.len().saturating_sub(350)..]).trim().to_string();
    Err(format!("expected {name} to exit with 0, got {status}: {tail}"))
}

/// A process group that is killed when it is not needed any more.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Writes all of it; a program that does not read its input need not.
async fn write(to: Option<ChildStdin>, input: &[u8]) {
    if let Some(mut to) = to {
        let _ = to.write_all(input).await;
    }
}

/// Reads to the end and keeps the beginning.
async fn read(from: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let Some(mut from) = from else { return Ok(Vec::new()) };
    let mut kept = Vec::new();
    (&mut from).take(READ_LIMIT as u64).read_to_end(&mut kept).await?;
    tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    Ok(kept)
}

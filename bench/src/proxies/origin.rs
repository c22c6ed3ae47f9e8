//! Instances that cost next to nothing: a loop that answers every head with the same bytes. Knows as much of HTTP as the
//! proxies that are measured send.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener};
use tokio::process::{Child, Command};

use crate::proxies::proxy::pinned;

/// As long as a small answer of an API.
const BODY: &str = "{\"article\":\"a chair\",\"price\":\"129.00\",\"stock\":17,\"text\":\"beech, oiled, for indoors and for the balcony, made to last\"}\n";

/// Two instances, each a process of its own, that listen on a port and on a socket.
pub struct Origins {
    /// Their ports.
    pub addresses: [SocketAddr; 2],
    /// Their sockets.
    pub sockets: [PathBuf; 2],
    _processes: Vec<Child>,
}

impl Origins {
    /// Starts both, with their sockets in `folder`.
    pub async fn start(folder: &Path) -> anyhow::Result<Origins> {
        let (mut addresses, mut processes) = (Vec::new(), Vec::new());
        let sockets = [folder.join("one"), folder.join("two")];
        for socket in &sockets {
            let mut command = Command::from(pinned(1, std::env::current_exe()?));
            command.arg("--origin").arg(socket).stdout(Stdio::piped()).kill_on_drop(true);
            let mut process = command.spawn().context("an instance cannot be started")?;
            let mut lines = BufReader::new(process.stdout.take().context("no pipe")?).lines();
            addresses.push(lines.next_line().await?.context("an instance did not come")?.parse()?);
            processes.push(process);
        }
        Ok(Origins { addresses: [addresses[0], addresses[1]], sockets, _processes: processes })
    }
}

/// The process of one of them: listens on this socket and on a port of its own, which it says.
pub fn serve(socket: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (port, socket) = (TcpListener::bind("127.0.0.1:0").await?, UnixListener::bind(socket)?);
        println!("{}", port.local_addr()?);
        loop {
            tokio::select! {
                accepted = port.accept() => {
                    let (stream, _) = accepted?;
                    stream.set_nodelay(true)?;
                    tokio::spawn(answer(stream));
                }
                accepted = socket.accept() => drop(tokio::spawn(answer(accepted?.0))),
            }
        }
    })
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let answer =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{BODY}", BODY.len());
    let (mut buffer, mut filled) = ([0; 8192], 0);
    loop {
        match stream.read(&mut buffer[filled..]).await {
            Ok(read) if read > 0 => filled += read,
            _ => return,
        }
        if buffer[..filled].ends_with(b"\r\n\r\n") {
            filled = 0;
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        } else if filled == buffer.len() {
            return;
        }
    }
}

//! `shop`: a small real HTTP service to release with Slipway, and to break on purpose.
//!
//! It sells nothing. It answers as a web shop would, keeps long connections open, and misbehaves exactly as its
//! environment says. It knows nothing of Slipway: `PORT` or `SOCKET`, `VERSION` and `INSTANCE` are all that it is told, unless it is
//! to report what becomes of its orders.

mod behaviour;
mod outcomes;
mod service;
mod streams;

use std::io::Write;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::either::Either;

use crate::behaviour::{Behaviour, Listen};
use crate::service::Shop;

/// How long requests that are under way may go on after SIGTERM. Who started the shop may be less patient.
const GRACE: Duration = Duration::from_secs(600);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|a| a == "--help" || a == "-h") {
        print!("{}", behaviour::HELP);
        return ExitCode::SUCCESS;
    }
    match Behaviour::read(&arguments).and_then(start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shop: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(behaviour: Behaviour) -> anyhow::Result<()> {
    anyhow::ensure!(!behaviour.exit_at_start, "EXIT_AT_START is set");
    for _ in 0..behaviour.fork_children {
        Command::new("sleep").arg("3600").spawn().context("cannot start a child")?;
    }
    chatter(behaviour.log_mb).context("cannot write the log")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(behaviour))
}

/// Writes `mb` MiB of lines to standard output before the shop listens: a reader that does not keep up is noticed.
fn chatter(mb: u64) -> std::io::Result<()> {
    let line = format!("{:-<1023}\n", "the shop has a lot to say ");
    let mut out = std::io::stdout().lock();
    for _ in 0..mb * 1024 {
        out.write_all(line.as_bytes())?;
    }
    out.flush()
}

async fn serve(behaviour: Behaviour) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let ignore_sigterm = behaviour.ignore_sigterm;
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(behaviour.start_delay_ms)) => {}
        () = asked_to_stop(&mut terminate, &mut interrupt, ignore_sigterm) => return Ok(()),
    }

    let (listener, place) = listen(&behaviour).await?;
    say(&format!("shop {} {} listens on {place}", behaviour.version, behaviour.instance));

    let (closing, closed) = watch::channel(false);
    let shop = Arc::new(Shop::new(behaviour, closed));
    let connections = GracefulShutdown::new();
    tokio::select! {
        error = accept(&listener, &shop, &connections) => return Err(error),
        () = asked_to_stop(&mut terminate, &mut interrupt, ignore_sigterm) => {}
    }

    drop((listener, shop));
    closing.send_replace(true);
    say("shop finishes what is under way");
    // Whoever still answers holds a copy of the receiver.
    let under_way = async {
        connections.shutdown().await;
        closing.closed().await;
    };
    if tokio::time::timeout(GRACE, under_way).await.is_err() {
        say("shop gives up on what is still under way");
    }
    Ok(())
}

/// Where customers come in.
enum Door {
    Port(TcpListener),
    Socket(UnixListener),
}

/// Opens the door; where it is, for people.
async fn listen(behaviour: &Behaviour) -> anyhow::Result<(Door, String)> {
    let port = match &behaviour.listen {
        _ if behaviour.ignore_port => 0,
        Listen::Port(port) => *port,
        Listen::Socket(path) => {
            let place = path.display().to_string();
            let listener = UnixListener::bind(path).with_context(|| format!("cannot listen on {place}"))?;
            return Ok((Door::Socket(listener), place));
        }
    };
    let listener = TcpListener::bind(("127.0.0.1", port)).await;
    let listener = listener.with_context(|| format!("cannot listen on port {port}"))?;
    let place = listener.local_addr()?.to_string();
    Ok((Door::Port(listener), place))
}

impl Door {
    async fn accept(&self) -> std::io::Result<Either<TcpStream, UnixStream>> {
        match self {
            Door::Port(listener) => {
                let (stream, _) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                Ok(Either::Left(stream))
            }
            Door::Socket(listener) => Ok(Either::Right(listener.accept().await?.0)),
        }
    }
}

/// Takes connections for ever; comes back with an error only.
async fn accept(listener: &Door, shop: &Arc<Shop>, connections: &GracefulShutdown) -> anyhow::Error {
    let http = auto::Builder::new(TokioExecutor::new()).http1_only();
    loop {
        let stream = match listener.accept().await {
            Ok(stream) => stream,
            Err(error) => return anyhow::Error::new(error).context("cannot take connections any more"),
        };
        let shop = shop.clone();
        let service = hyper::service::service_fn(move |request| service::answer(shop.clone(), request));
        let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            // A client that went away is no business of ours.
            let _ = connection.await;
        });
    }
}

async fn asked_to_stop(terminate: &mut Signal, interrupt: &mut Signal, ignore_sigterm: bool) {
    loop {
        tokio::select! {
            _ = terminate.recv() => if !ignore_sigterm { return },
            _ = interrupt.recv() => return,
        }
        say("shop ignores SIGTERM");
    }
}

/// One line on standard output; that nobody reads it is no reason to die.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

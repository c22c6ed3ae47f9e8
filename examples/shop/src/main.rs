//! `shop`: a small real HTTP service to release with Slipway, and to break on purpose.
//!
//! It sells nothing. It answers as a web shop would, keeps long connections open, and misbehaves exactly as its
//! environment says. It knows nothing of Slipway: `PORT`, `VERSION` and `INSTANCE` are all that it is told, unless it is
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
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::behaviour::Behaviour;
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

    let port = if behaviour.ignore_port { 0 } else { behaviour.port };
    let listener =
        TcpListener::bind(("127.0.0.1", port)).await.with_context(|| format!("cannot listen on port {port}"))?;
    say(&format!("shop {} {} listens on {}", behaviour.version, behaviour.instance, listener.local_addr()?));

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

/// Takes connections for ever; comes back with an error only.
async fn accept(listener: &TcpListener, shop: &Arc<Shop>, connections: &GracefulShutdown) -> anyhow::Error {
    let http = auto::Builder::new(TokioExecutor::new()).http1_only();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => return anyhow::Error::new(error).context("cannot take connections any more"),
        };
        let _ = stream.set_nodelay(true);
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

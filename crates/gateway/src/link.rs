//! The gateway's end of the control link: it calls, says what it serves, takes tables and renewals, reports counts.
//!
//! The data plane never waits for it. When the control plane is away it is called again ten times a second, for ever. Each
//! side says that it is there; one that is not heard of is hung up on.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Release;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use slipway_core::names::{InstanceId, LaneId};
use slipway_core::traffic::link::{CountRow, FromGateway, LINE_LIMIT, ToGateway};
use slipway_core::traffic::{RoutingTable, TableChange};

use crate::api::Way;
use crate::beside::Beside;
use crate::clock::since_boot_ms;
use crate::gateway::{Gateway, lock};
use crate::greeting;
use crate::heard::Heard;
use crate::hub::{SILENCE, WRITE_LIMIT};
use crate::invitation::Invitation;
use crate::machine;
use crate::news::News;
use crate::parts::whole;
use crate::reach::reach;
use crate::report::{ROWS_IN_A_PART, Reporter, leaving_parts};
use crate::unconnected::Told;
use crate::wire::{self, LineReader};

/// Pause between two calls.
const RETRY: Duration = Duration::from_millis(100);
/// The same where whoever was invited is not let in: it grows to this.
const REFUSED_RETRY: Duration = Duration::from_secs(5);
/// How often it says that it is there.
const BEAT: Duration = Duration::from_millis(500);
/// How long a call may take until both sides know each other.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// How the control plane is found.
#[derive(Debug, Clone)]
pub enum Control {
    /// By the file that it wrote for the gateways of its data folder.
    Beside(PathBuf),
    /// By an invitation.
    Invited(Box<Invitation>),
}

type Reading = Box<dyn AsyncRead + Send + Unpin>;
type Writing = Box<dyn AsyncWrite + Send + Unpin>;

/// A call that was answered.
struct Called<'a> {
    token: String,
    /// The invitation that it was made by, if any.
    invitation: Option<&'a Invitation>,
    read: Reading,
    write: Writing,
    /// Under which address the other side was reached.
    at: IpAddr,
}

/// Keeps the link up until the gateway ends.
pub(crate) async fn run(gateway: Arc<Gateway>, control: &Control, traffic: SocketAddr) {
    let (mut told, mut newest, mut pause) = (Told::default(), 0, RETRY);
    loop {
        // Until it is clear which process serves, the control plane would take the wrong one for the gateway.
        let mut over = gateway.handing_over.subscribe();
        tokio::select! {
            () = gateway.ended.cancelled() => return,
            _ = over.wait_for(|on| !on) => {}
        }
        let stops = gateway.pulse.stops();
        let mut welcomed = false;
        let ended = tokio::select! {
            () = gateway.ended.cancelled() => return,
            ended = call(&gateway, control, traffic, &mut newest, &mut welcomed) => ended,
        };
        gateway.connected.store(false, Release);
        // Where nobody listens, the control plane is away, and costs nobody anything to be called.
        let is_away = ended.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        let is_refused = matches!(control, Control::Invited(_)) && !welcomed && !is_away;
        pause = pause_after(pause, is_refused);
        told.tell(control, ended.err(), welcomed);
        if gateway.pulse.stops() > stops {
            // Requests wait for what it has to say.
            continue;
        }
        let jitter = Duration::from_millis(rand::random_range(0..20));
        tokio::select! {
            () = gateway.ended.cancelled() => return,
            () = tokio::time::sleep(pause + jitter) => {}
        }
    }
}

/// From one call to the next: longer each time for one that is not let in.
fn pause_after(pause: Duration, is_refused: bool) -> Duration {
    if is_refused { (pause * 2).min(REFUSED_RETRY) } else { RETRY }
}

async fn call(
    gateway: &Arc<Gateway>,
    control: &Control,
    traffic: SocketAddr,
    newest: &mut u64,
    welcomed: &mut bool,
) -> io::Result<()> {
    match control {
        Control::Invited(invitation) => {
            let stream = tokio::time::timeout(CALL_LIMIT, invitation.connect()).await??;
            let at = stream.get_ref().0.peer_addr()?.ip();
            let (read, write) = tokio::io::split(stream);
            let token = invitation.token.clone();
            let (read, write) = (Box::new(read), Box::new(write));
            talk(gateway, Called { token, invitation: Some(invitation), read, write, at }, traffic, welcomed).await
        }
        Control::Beside(file) => {
            let beside = Beside::read(file).await?;
            if beside.start < *newest {
                // Written by one that stood still while another took over.
                return Err(io::Error::other(format!("it is of start {}; {newest} has driven since", beside.start)));
            }
            *newest = beside.start;
            *lock(&gateway.api) = beside.api.map(Way::Api);
            let stream = TcpStream::connect(beside.address).await?;
            stream.set_nodelay(true)?;
            let (read, write) = stream.into_split();
            let (token, at) = (beside.token, beside.address.ip());
            let called = Called { token, invitation: None, read: Box::new(read), write: Box::new(write), at };
            tokio::select! {
                ended = talk(gateway, called, traffic, welcomed) => ended,
                () = Beside::overtaken(file, beside.start) => Err(io::Error::other("another control plane has taken over")),
            }
        }
    }
}

async fn talk(gateway: &Arc<Gateway>, called: Called<'_>, traffic: SocketAddr, welcomed: &mut bool) -> io::Result<()> {
    let Called { token, invitation, read, mut write, at } = called;
    let (since, called_at) = (gateway.pulse.stops(), since_boot_ms());
    let hello = greeting::hello(gateway, token, traffic).await;
    let news = News::after(&hello);
    for part in hello.parts() {
        send(&mut write, &part).await?;
    }
    for event in greeting::losses(gateway) {
        send(&mut write, &FromGateway::Event(event)).await?;
    }
    let mut reporter = Reporter::new();
    for part in leaving_parts(&reporter.note_leaving(gateway.leaving())) {
        send(&mut write, &part).await?;
    }
    let talk = Talk {
        gateway,
        write,
        reporter,
        invitation,
        at,
        away: false,
        welcomed,
        since,
        beat: 0,
        heard: Heard::since(called_at),
        news,
        parts: None,
        catching_up: None,
    };
    talk.run(read).await
}

/// A conversation.
struct Talk<'a> {
    gateway: &'a Arc<Gateway>,
    write: Writing,
    reporter: Reporter,
    /// The invitation that it was called by, if any.
    invitation: Option<&'a Invitation>,
    /// Where the control plane is.
    at: IpAddr,
    /// Whether that is another machine.
    away: bool,
    /// Set once it has let this gateway in.
    welcomed: &'a mut bool,
    /// How often this process had stood still when it called.
    since: u64,
    beat: u64,
    /// What the control plane has heard of it.
    heard: Heard,
    /// What it was told of this process.
    news: News,
    /// What has come of a table in parts.
    parts: Option<TableChange>,
    /// The beat whose answer means that everything which was said while this process stood still has been heard.
    catching_up: Option<u64>,
}

impl Talk<'_> {
    async fn run(mut self, read: Reading) -> io::Result<()> {
        let mut lines = LineReader::new(read, LINE_LIMIT);
        let (mut beats, mut heard) = (tokio::time::interval(BEAT), Instant::now());
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let gateway = self.gateway;
        loop {
            tokio::select! {
                biased;
                line = lines.next() => match line? {
                    Some(line) => {
                        heard = Instant::now();
                        self.take(&line).await?;
                    }
                    None => return Ok(()),
                },
                () = gateway.pulse.stopped(self.since), if self.catching_up.is_none() => {
                    self.beat().await?;
                    self.catching_up = Some(self.beat);
                }
                () = gateway.events.more() => {
                    for event in gateway.events.take() {
                        send(&mut self.write, &FromGateway::Event(event)).await?;
                    }
                }
                () = self.reporter.due(&gateway.counts) => self.report().await?,
                _ = beats.tick() => {
                    self.beat().await?;
                    for message in self.news.of(gateway) {
                        send(&mut self.write, &message).await?;
                    }
                }
                () = gateway.call_anew.notified() => return Ok(()),
                () = tokio::time::sleep_until(heard + SILENCE) => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "it says nothing any more"));
                }
                () = gateway.running.wait() => {
                    // Everything has ended: what is counted now is final.
                    self.report().await?;
                    if gateway.draining.is_cancelled() {
                        send(&mut self.write, &FromGateway::Gone).await?;
                    }
                    self.write.shutdown().await?;
                    gateway.told_all.cancel();
                    return Ok(());
                }
            }
        }
    }

    async fn beat(&mut self) -> io::Result<()> {
        self.beat += 1;
        self.heard.ask(self.beat, since_boot_ms());
        send(&mut self.write, &FromGateway::Here { beat: self.beat }).await
    }

    async fn report(&mut self) -> io::Result<()> {
        if let Some(in_flight) = self.reporter.leaving(self.gateway.leaving()) {
            self.tell_leaving(&in_flight).await?;
        }
        let rows = self.reporter.rows(&self.gateway.counts);
        self.tell_counts(&rows).await
    }

    async fn tell_counts(&mut self, rows: &[CountRow]) -> io::Result<()> {
        for rows in rows.chunks(ROWS_IN_A_PART) {
            send(&mut self.write, &FromGateway::Counts { rows: rows.to_vec() }).await?;
        }
        Ok(())
    }

    async fn tell_leaving(&mut self, in_flight: &[(InstanceId, u64)]) -> io::Result<()> {
        for part in leaving_parts(in_flight) {
            send(&mut self.write, &part).await?;
        }
        Ok(())
    }

    /// Serves a table, and says so. Where they are known, these lanes alone are other in it than before.
    async fn serve(&mut self, table: RoutingTable, lanes: Option<Vec<LaneId>>) -> io::Result<()> {
        let gateway = self.gateway;
        // What was said while this process stood still may be long over.
        let stood_still = gateway.is_behind() || gateway.pulse.stops() > self.since;
        let said = self.heard.when().filter(|_| stood_still).unwrap_or_else(since_boot_ms);
        if let Some(generation) = gateway.apply(table, said).await {
            // In this order: whoever hears the acknowledgement knows what is still running, and what has come of the rest.
            let in_flight = self.reporter.note_leaving(gateway.leaving());
            self.tell_leaving(&in_flight).await?;
            let rows = match &lanes {
                Some(lanes) => self.reporter.rows_of(&gateway.counts, lanes),
                None => self.reporter.rows(&gateway.counts),
            };
            self.tell_counts(&rows).await?;
            send(&mut self.write, &FromGateway::Ack { generation }).await?;
            // One that was said while this process stood still need not be the newest.
            gateway.note_in_step(self.since);
        }
        Ok(())
    }

    /// Does what a line says. One that makes no sense is passed over: it may come from a newer control plane.
    async fn take(&mut self, line: &[u8]) -> io::Result<()> {
        let gateway = self.gateway;
        match serde_json::from_slice(line) {
            Ok(ToGateway::Welcome { machine, takes_reports }) => {
                *self.welcomed = true;
                self.heard.welcome();
                tracing::info!(target: crate::SAYS, "connected to the control plane at {}", self.at);
                gateway.connected.store(true, Release);
                self.away = machine != machine::here();
                if let Some(invitation) = self.invitation {
                    *lock(&gateway.api) = takes_reports.then(|| Way::Hub(Arc::new(invitation.clone())));
                }
            }
            Ok(ToGateway::Table(mut table)) => {
                if self.away {
                    reach(&mut table.routes, self.at);
                }
                self.serve(table, None).await?;
            }
            Ok(ToGateway::Change(change)) => {
                if let Some(mut change) = whole(&mut self.parts, change)? {
                    if self.away {
                        reach(&mut change.routes, self.at);
                    }
                    let lanes = change.from.is_some().then(|| change.lanes());
                    let Some(table) = gateway.changed(change).await else {
                        return Err(io::Error::other("it changes a routing table that is not served here"));
                    };
                    self.serve(table, lanes).await?;
                }
            }
            Ok(ToGateway::Here { beat }) => {
                self.heard.answer(beat);
                if self.catching_up.is_some_and(|asked| beat >= asked) {
                    self.catching_up = None;
                    self.since += 1;
                    gateway.note_in_step(self.since);
                }
            }
            Ok(ToGateway::Renew { generation, term }) => {
                let said = self.heard.when().unwrap_or_else(since_boot_ms);
                gateway.renew(generation, term.as_duration(), said).await;
            }
            Ok(ToGateway::Shutdown { drain }) => gateway.close(drain.as_duration()),
            // Those are said on a connection of their own.
            Ok(ToGateway::Answered(_) | ToGateway::NotPassedOn { .. }) => {}
            Ok(ToGateway::Refused { why }) => return Err(io::Error::new(io::ErrorKind::PermissionDenied, why)),
            Err(error) => tracing::warn!(%error, "a line of the control plane makes no sense: passed over"),
        }
        Ok(())
    }
}

async fn send(write: &mut Writing, message: &FromGateway) -> io::Result<()> {
    let line = wire::line(message)?;
    tokio::time::timeout(WRITE_LIMIT, write.write_all(&line)).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_not_let_in_calls_ever_less_often_and_at_once_again_after_that() {
        let mut pause = RETRY;
        let pauses: Vec<Duration> = std::iter::repeat_with(|| {
            pause = pause_after(pause, true);
            pause
        })
        .take(9)
        .collect();
        assert!(pauses.is_sorted() && pauses[0] > RETRY);
        assert_eq!(pauses[8], REFUSED_RETRY);
        assert_eq!(pause_after(REFUSED_RETRY, false), RETRY);
    }
}

//! Callers that are not let in: why, and how they are told.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use slipway_core::traffic::link::ToGateway;

use super::authority::hash;
use super::{Shared, State};
use crate::wire::{self, LineReader};

/// Refusals that are remembered, and said, at most.
const REFUSALS_KEPT: usize = 1024;
/// How long one that is turned away may take to hear why.
const HEARD_WITHIN: Duration = Duration::from_secs(1);
const NOT_INVITED: &str = "was not invited, or is forgotten";
const NOT_ITS_CERTIFICATE: &str = "has a certificate that is not, or no longer, its name's";
const WRONG_TOKEN: &str = "has a wrong token";
pub(super) const GAVE_WAY: &str = "that gave way to a newer start";
pub(super) const TOO_MANY: &str = "of which too many processes drain";
pub(super) const NAME_TAKEN: &str = "whose name another process has, which is connected,";

/// How a caller got here, and what it has shown.
pub(super) enum Way {
    /// On this machine, where whoever can read the control file may call.
    Beside,
    /// By TLS, with a certificate of this fingerprint.
    Invited(String),
}

/// Says that a caller is refused, once for every reason until somebody of its name is let in: it will call again.
pub(super) fn refuse(shared: &Shared, gateway: String, why: &'static str) -> io::Error {
    let mut state = shared.state();
    // Names come from outside.
    if state.refused.len() < REFUSALS_KEPT && state.refused.insert((gateway.clone(), why)) {
        tracing::warn!(gateway, "a caller {why} was refused");
    }
    io::Error::new(io::ErrorKind::PermissionDenied, format!("the caller {why}"))
}

/// The same for the caller, and what to do about it.
pub(super) fn told_as(why: &'static str, way: &Way) -> String {
    match (why, way) {
        (NAME_TAKEN, _) => {
            "another process with the same invitation is connected: end one of the two, or invite this one by a name of its own".into()
        }
        (GAVE_WAY, _) => "a newer process has taken its place: end this one".into(),
        (TOO_MANY, _) => "too many of its processes drain: end some of them".into(),
        (why, Way::Invited(_)) => format!("it {why}: join with a new invitation, of slipway gateway invite"),
        (why, Way::Beside) => format!("it {why}: look whether both have the same data folder"),
    }
}

/// Says why somebody is not let in.
pub(super) async fn turn_away<S: AsyncRead + AsyncWrite>(
    lines: LineReader<ReadHalf<S>>,
    write: WriteHalf<S>,
    why: String,
) {
    say_last(lines, write, &ToGateway::Refused { why }, HEARD_WITHIN).await;
}

/// Says this, and hangs up once that was heard, or has had its time.
pub(super) async fn say_last<S: AsyncRead + AsyncWrite>(
    mut lines: LineReader<ReadHalf<S>>,
    mut write: WriteHalf<S>,
    said: &ToGateway,
    within: Duration,
) {
    let told = async {
        write.write_all(&wire::line(said)?).await?;
        write.shutdown().await?;
        // With something unread, hanging up would take back what was said.
        while lines.next().await?.is_some() {}
        io::Result::Ok(())
    };
    // Whoever does not listen need not hear it.
    let _ = tokio::time::timeout(within, told).await;
}

/// Whether a caller is the gateway that it says, by the token that it says; otherwise what is wrong with it.
pub(super) fn admit(state: &State, token: &str, (gateway, said): (&str, &str), way: &Way) -> Result<(), &'static str> {
    match way {
        Way::Beside if same(said, token) => Ok(()),
        Way::Beside => Err(WRONG_TOKEN),
        Way::Invited(certificate) => {
            let Some(member) = state.roster.get(gateway) else { return Err(NOT_INVITED) };
            if !same(certificate, &member.certificate) {
                return Err(NOT_ITS_CERTIFICATE);
            }
            if same(&hash(said.as_bytes()), &member.token) { Ok(()) } else { Err(WRONG_TOKEN) }
        }
    }
}

/// Compares without telling by the time taken where the difference is.
fn same(given: &str, wanted: &str) -> bool {
    let differs = given.bytes().zip(wanted.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b));
    given.len() == wanted.len() && differs == 0
}

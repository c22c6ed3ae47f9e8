//! Who is still there: a gateway that says nothing is hung up on, one that is not heard of for longer is taken out of the
//! count, and one whose process has ended does not count at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Known, Shared, State};
use crate::access_log::now;
use crate::machine;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(100);
/// How often it is tried to write what could not be written, or what somebody else has written over.
const WRITE: Duration = Duration::from_secs(1);
/// A look that comes so late was not one of many: this process stood still, and heard nobody meanwhile.
const STOOD_STILL: Duration = Duration::from_secs(2);
/// A gateway says twice a second that it is there; after so long without a word it is hung up on, and its leases are no
/// longer renewed.
pub const SILENCE: Duration = Duration::from_secs(4);
/// A line that is not taken in this time ends the link; less than the silence, so that the other side does not end it first.
pub const WRITE_LIMIT: Duration = Duration::from_secs(3);
/// The same as the silence where the grace is short; a few beats at the least.
const SHORT_SILENCE: Duration = Duration::from_secs(2);

/// How long a gateway may say nothing, so that a lease still fits into the grace, with a second to spare.
fn silence(grace: Duration) -> Duration {
    (grace / 5).clamp(SHORT_SILENCE, SILENCE)
}

/// Looks until the hub ends.
pub(super) async fn watch(shared: Arc<Shared>) {
    let mut last = Instant::now();
    let mut write = last;
    loop {
        tokio::select! {
            () = shared.stopped.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let at = Instant::now();
        if at >= write {
            shared.state().roster.retry();
            shared.control_file.insist();
            write = at + WRITE;
        }
        let slept = at - last > STOOD_STILL;
        last = at;
        if look(&mut shared.state(), shared.grace, at, slept) {
            shared.note_change();
        }
    }
}

/// Whether anything is other than it was.
fn look(state: &mut State, grace: Duration, at: Instant, slept: bool) -> bool {
    let State { gateways, roster, .. } = state;
    let mut changed = false;
    for (name, known) in gateways {
        if slept {
            known.heard = at;
        }
        changed |= look_at(known, grace, at);
        roster.note(name, |member| member.lost = known.state.lost);
    }
    state.remove(|_, known| !known.state.connected && known.state.ended) || changed
}

fn look_at(known: &mut Known, grace: Duration, at: Instant) -> bool {
    let silent = at.saturating_duration_since(known.heard);
    let state = &mut known.state;
    if state.connected {
        if known.beats && silent >= silence(grace) {
            tracing::warn!(gateway = state.name, "a gateway has said nothing for too long: its link is cut");
            known.replaced.cancel();
            state.connected = false;
            return true;
        }
        return false;
    }
    let before = (state.ended, state.lost);
    state.ended = state.here && !machine::runs(state.pid);
    if state.lost.is_none() && silent >= grace {
        state.lost = Some(now());
    }
    before != (state.ended, state.lost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::GatewayState;
    use slipway_core::traffic::Generation;
    use tokio_util::sync::CancellationToken;

    const GRACE: Duration = Duration::from_secs(20);

    fn known(heard: Instant) -> Known {
        let state = GatewayState {
            name: "gw".into(),
            boot: "b".into(),
            pid: std::process::id(),
            traffic: ([127, 0, 0, 1], 1).into(),
            connected: true,
            here: true,
            draining: false,
            program: None,
            follows: None,
            ended: false,
            lost: None,
            acked: Generation(1),
            sent: Some(Generation(1)),
            lapsed: vec![],
            ejected: vec![],
            leaving: None,
            without: vec![],
            trouble: None,
            last_seen: now(),
        };
        let (outbox, _) = tokio::sync::mpsc::unbounded_channel();
        Known { state, heard, beats: true, connection: 1, outbox, replaced: CancellationToken::new() }
    }

    #[test]
    fn one_that_is_silent_is_hung_up_on_and_later_taken_out_of_the_count() {
        let start = Instant::now();
        let mut gateway = known(start);
        assert!(!look_at(&mut gateway, GRACE, start + SILENCE - LOOK));
        assert!(look_at(&mut gateway, GRACE, start + SILENCE));
        assert!(!gateway.state.connected && gateway.replaced.is_cancelled() && gateway.state.counts());
        assert!(!look_at(&mut gateway, GRACE, start + GRACE - LOOK));
        assert!(look_at(&mut gateway, GRACE, start + GRACE));
        assert!(gateway.state.lost.is_some() && !gateway.state.counts());
        assert!(!look_at(&mut gateway, GRACE, start + GRACE * 2), "that is noted once");
    }

    #[test]
    fn one_that_never_says_that_it_is_there_is_not_expected_to() {
        let start = Instant::now();
        let mut gateway = Known { beats: false, ..known(start) };
        assert!(!look_at(&mut gateway, GRACE, start + GRACE * 9));
        assert!(gateway.state.connected);
    }

    #[test]
    fn a_hub_that_stood_still_blames_nobody_for_it() {
        let start = Instant::now();
        let mut state = State::default();
        state.gateways.insert("gw".into(), known(start));
        assert!(!look(&mut state, GRACE, start + GRACE * 9, true));
        assert!(state.gateways["gw"].state.connected);
        assert!(look(&mut state, GRACE, start + GRACE * 9 + SILENCE, false));
    }
}

//! When the control plane has heard of this gateway, as far as it has answered. Its grace runs from there on, and so do the
//! leases that it renews: whatever was on its way for long, or waited to be read, renews nothing for longer than the gateway
//! counts. Pure; `link` asks it.

use std::collections::VecDeque;

use tokio::time::Instant;

/// Beats that are remembered until they are answered; an earlier control plane answers none.
const UNANSWERED: usize = 64;

/// What the control plane has heard.
#[derive(Debug)]
pub(crate) struct Heard {
    called_at: Instant,
    /// When what it has answered last was said; absent where it answers nothing, as earlier ones.
    answered: Option<Instant>,
    /// When beats were sent that it has not answered.
    beats: VecDeque<(u64, Instant)>,
}

impl Heard {
    /// Of a gateway that called then, and was not answered yet.
    pub(crate) fn since(called_at: Instant) -> Heard {
        Heard { called_at, answered: None, beats: VecDeque::new() }
    }

    /// It was let in.
    pub(crate) fn welcome(&mut self) {
        self.answered = Some(self.called_at);
    }

    /// It says that it is there.
    pub(crate) fn ask(&mut self, beat: u64, at: Instant) {
        self.beats.push_back((beat, at));
        if self.beats.len() > UNANSWERED {
            self.beats.pop_front();
        }
    }

    /// That was heard, and whatever was said before.
    pub(crate) fn answer(&mut self, beat: u64) {
        while let Some((_, at)) = self.beats.pop_front_if(|(sent, _)| *sent <= beat) {
            self.answered = Some(at);
        }
    }

    /// Since when a renewal counts that is read now.
    pub(crate) fn when(&self) -> Instant {
        self.answered.unwrap_or_else(Instant::now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_read_counts_from_the_last_word_that_was_answered() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut heard = Heard::since(start);
        assert!(heard.when() >= start, "an earlier control plane answers nothing");
        heard.welcome();
        (1..=3).for_each(|beat| heard.ask(beat, at(beat)));
        assert_eq!(heard.when(), start);
        heard.answer(2);
        assert_eq!(heard.when(), at(2));
        heard.answer(1);
        assert_eq!(heard.when(), at(2), "said again, late");
        (4..1_000).for_each(|beat| heard.ask(beat, at(beat)));
        assert!(heard.beats.len() <= UNANSWERED);
        heard.answer(999);
        assert_eq!((heard.when(), heard.beats.len()), (at(999), 0));
    }
}

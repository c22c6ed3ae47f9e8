//! When the control plane has heard of this gateway, as far as it has answered. Its grace runs from there on, and so do the
//! leases that it renews: whatever was on its way for long, or waited to be read, renews nothing for longer than the gateway
//! counts. By the clock that goes on while the machine is suspended. Pure; `link` asks it.

use std::collections::VecDeque;

/// Beats that are remembered until they are answered; an earlier control plane answers none.
const UNANSWERED: usize = 64;

/// What the control plane has heard; times in milliseconds since the machine's boot.
#[derive(Debug)]
pub(crate) struct Heard {
    called_at: u64,
    /// When what it has answered last was said; absent where it answers nothing, as earlier ones.
    answered: Option<u64>,
    /// When beats were sent that it has not answered.
    beats: VecDeque<(u64, u64)>,
}

impl Heard {
    /// Of a gateway that called then, and was not answered yet.
    pub(crate) fn since(called_at: u64) -> Heard {
        Heard { called_at, answered: None, beats: VecDeque::new() }
    }

    /// It was let in.
    pub(crate) fn welcome(&mut self) {
        self.answered = Some(self.called_at);
    }

    /// It says that it is there.
    pub(crate) fn ask(&mut self, beat: u64, at: u64) {
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

    /// Since when a renewal counts that is read now; absent where one that answers nothing has said it.
    pub(crate) fn when(&self) -> Option<u64> {
        self.answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_counts_from_the_last_word_that_was_answered() {
        let at = |beat| 1_000 + beat;
        let mut heard = Heard::since(1_000);
        assert_eq!(heard.when(), None, "an earlier control plane answers nothing");
        heard.welcome();
        (1..=3).for_each(|beat| heard.ask(beat, at(beat)));
        assert_eq!(heard.when(), Some(1_000));
        heard.answer(2);
        assert_eq!(heard.when(), Some(at(2)));
        heard.answer(1);
        assert_eq!(heard.when(), Some(at(2)), "said again, late");
        (4..1_000).for_each(|beat| heard.ask(beat, at(beat)));
        assert!(heard.beats.len() <= UNANSWERED);
        heard.answer(999);
        assert_eq!((heard.when(), heard.beats.len()), (Some(at(999)), 0));
    }
}

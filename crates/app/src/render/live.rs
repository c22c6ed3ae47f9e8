//! The picture on a terminal, drawn over itself.

use std::io::{IsTerminal, Write};

use slipway_server::wire::WireRollout;

use super::rail::picture;

/// A picture that changes in place.
#[derive(Debug)]
pub(crate) struct Live {
    possible: bool,
    colours: bool,
    drawn: usize,
}

impl Live {
    /// On standard output, if that is a terminal.
    pub fn new() -> Live {
        let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        let colours = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Live { possible: std::io::stdout().is_terminal() && !dumb, colours, drawn: 0 }
    }

    /// Whether there is a terminal to draw on.
    pub fn possible(&self) -> bool {
        self.possible
    }

    /// Draws the rollout over what was drawn before.
    pub fn show(&mut self, rollout: &WireRollout) {
        let (width, height) = size();
        let frame = frame(rollout, width, height, self.colours);
        let mut out = String::new();
        if self.drawn > 0 {
            out.push_str(&format!("\x1b[{}A\x1b[J", self.drawn));
        }
        out.push_str(&frame.join("\n"));
        out.push('\n');
        self.drawn = frame.len();
        let mut stdout = std::io::stdout();
        // Nobody reads any more where this fails; the rollout is none the worse for it.
        let _ = stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush());
    }
}

/// As many lines as fit: what has left the screen cannot be drawn over. The rail loses its gaps first.
fn frame(rollout: &WireRollout, width: usize, height: usize, colours: bool) -> Vec<String> {
    let mut lines = picture(rollout);
    if lines.len() >= height {
        lines.retain(|line| line.paint(width, false).trim() != "│");
    }
    lines.truncate(height.saturating_sub(1).max(1));
    lines.iter().map(|line| line.paint(width, colours)).collect()
}

/// Columns and rows.
fn size() -> (usize, usize) {
    rustix::termios::tcgetwinsize(std::io::stdout())
        .ok()
        .filter(|size| size.ws_col > 0 && size.ws_row > 0)
        .map_or((100, 50), |size| (usize::from(size.ws_col), usize::from(size.ws_row)))
}

#[cfg(test)]
mod tests {
    use super::super::examples;
    use super::*;

    #[test]
    fn a_frame_never_leaves_the_screen() {
        let all = frame(&examples::canary(), 120, 100, false);
        let short = frame(&examples::canary(), 40, all.len() - 1, false);
        assert!(short.len() < all.len() && short.iter().all(|l| l.chars().count() <= 40), "{short:#?}");
        assert!(short.iter().any(|l| l.contains("verification")), "steps go last: {short:#?}");
        assert_eq!(frame(&examples::canary(), 40, 5, false).len(), 4);
    }
}

//! Lines of coloured pieces: cut to a width first and painted afterwards, so that colour never counts as text.

use std::fmt::Write;

/// How a piece looks on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Plain,
    Strong,
    Faint,
    Good,
    Bad,
    Busy,
}

impl Look {
    fn code(self) -> &'static str {
        match self {
            Look::Plain => "",
            Look::Strong => "1",
            Look::Faint => "2",
            Look::Good => "32",
            Look::Bad => "31",
            Look::Busy => "36",
        }
    }
}

/// A line.
#[derive(Debug, Clone, Default)]
pub(super) struct Line(Vec<(Look, String)>);

impl Line {
    /// An empty line.
    pub fn new() -> Line {
        Line::default()
    }

    /// With another piece at its end.
    pub fn with(mut self, look: Look, text: impl Into<String>) -> Line {
        self.0.push((look, text.into()));
        self
    }

    /// As text of at most `width` characters, with colours or without.
    pub fn paint(&self, width: usize, colours: bool) -> String {
        let (mut text, mut room) = (String::new(), width);
        let length: usize = self.0.iter().map(|(_, piece)| piece.chars().count()).sum();
        for (look, piece) in &self.0 {
            let cut: String = piece.chars().filter(|c| !c.is_control()).take(room).collect();
            room -= cut.chars().count();
            match look.code() {
                "" => text.push_str(&cut),
                code if colours && !cut.is_empty() => {
                    let _ = write!(text, "\x1b[{code}m{cut}\x1b[0m");
                }
                _ => text.push_str(&cut),
            }
        }
        if length > width && !colours && text.pop().is_some() {
            text.push('…');
        }
        text.trim_end().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_no_text_and_what_is_too_long_is_cut() {
        let line = Line::new().with(Look::Good, "✓").with(Look::Plain, " fine\x1b[2J and long");
        assert_eq!(line.paint(7, true), "\x1b[32m✓\x1b[0m fine[", "control characters are not passed on");
        assert_eq!(line.paint(6, false), "✓ fin…");
        assert_eq!(line.paint(80, false), "✓ fine[2J and long");
    }
}

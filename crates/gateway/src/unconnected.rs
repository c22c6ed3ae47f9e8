//! What a gateway says of a control plane that it is not connected to: where that is, why as far as it is known, and what to
//! do. Each reason once, until it was connected again.

use std::collections::HashSet;
use std::fmt;
use std::io;

use crate::link::Control;

/// Reasons that are remembered, and said, at most.
const MOST: usize = 32;
/// Longest that is said of what comes from outside.
const CHARS: usize = 300;

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Control::Beside(file) => write!(f, "{}", file.display()),
            Control::Invited(invitation) => write!(f, "{}", invitation.control),
        }
    }
}

/// What was said since it was last connected.
#[derive(Debug, Default)]
pub(crate) struct Told(HashSet<String>);

impl Told {
    /// A call has ended, by an error or in order; `welcomed`: after it was let in.
    pub(crate) fn tell(&mut self, control: &Control, ended: Option<io::Error>, welcomed: bool) {
        if welcomed {
            self.0.clear();
            let why = ended.map_or_else(|| "it closed the link".to_string(), |error| error.to_string());
            tracing::info!(why, "not connected to the control plane any more; serving on");
            return;
        }
        let why = sentence(control, ended.as_ref());
        if self.0.len() < MOST && self.0.insert(why.clone()) {
            tracing::warn!("{why}");
        }
    }
}

fn sentence(control: &Control, ended: Option<&io::Error>) -> String {
    use io::ErrorKind as K;
    let invited = matches!(control, Control::Invited(_));
    let at = control.to_string();
    let (what, advice) = match ended {
        None => ("it hangs up without a word".to_string(), "Look at what it logs"),
        Some(error) => {
            let said: String = error.to_string().chars().filter(|c| !c.is_control()).take(CHARS).collect();
            match error.kind() {
                K::PermissionDenied => (format!("this gateway is turned away, since {said}"), ""),
                K::InvalidData | K::UnexpectedEof if invited => (
                    format!(
                        "it is not the one that has invited this gateway, or does not take its certificate ({said})"
                    ),
                    "Join with a new invitation, of slipway gateway invite",
                ),
                _ if invited => (
                    format!("it cannot be reached ({said})"),
                    "Look whether slipway up runs there with --gateways-listen, whether this is the right address, and whether the way \
                     there is open",
                ),
                _ => (format!("it cannot be reached ({said})"), "Look whether slipway up runs on this data folder"),
            }
        }
    };
    let advice = if advice.is_empty() { String::new() } else { format!(" {advice}.") };
    format!("not connected to the control plane at {at}: {what}. It is called on, and what is there is served.{advice}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn each_reason_says_where_why_and_what_to_do_and_once() {
        let beside = Control::Beside(PathBuf::from("/data/gateway/control.json"));
        let refused = || Some(io::Error::new(io::ErrorKind::PermissionDenied, "it has a wrong token: do\u{7} this"));
        assert_eq!(
            sentence(&beside, refused().as_ref()),
            "not connected to the control plane at /data/gateway/control.json: this gateway is turned away, since it has a wrong \
             token: do this. It is called on, and what is there is served."
        );
        let away = sentence(&beside, Some(&io::ErrorKind::ConnectionRefused.into()));
        assert!(
            away.contains("cannot be reached") && away.ends_with("Look whether slipway up runs on this data folder.")
        );
        let mut told = Told::default();
        for _ in 0..3 {
            told.tell(&beside, refused(), false);
            told.tell(&beside, None, false);
        }
        assert_eq!(told.0.len(), 2);
        told.tell(&beside, None, true);
        assert!(told.0.is_empty(), "what happens after it was connected is said again");
    }
}

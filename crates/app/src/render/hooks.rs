//! Hooks as text.

use slipway_core::units::Timestamp;
use slipway_server::wire::WireHook;

use super::flat;

/// Each hook with what it is told and asked, and how it does.
pub(crate) fn hooks(hooks: &[WireHook]) -> String {
    if hooks.is_empty() {
        return "no hooks: nobody is told and nobody is asked\n".to_string();
    }
    hooks.iter().map(hook).collect()
}

fn hook(hook: &WireHook) -> String {
    let mut text = format!("{}  {}\n", hook.name, flat(&hook.to));
    if !hook.on.is_empty() {
        text += &format!("  told of {}\n", hook.on.join(", "));
    }
    if let (Some(before), Some(silence)) = (&hook.before, &hook.on_silence) {
        text += &format!("  asked before each {before}; silence means {silence}\n");
    }
    if hook.withdrawn {
        text += "  declared no more; told of what is left\n";
    }
    let last = match hook.last_at {
        Some(at) => format!("took an event in at {}", Timestamp(at)),
        None => "has taken nothing in yet".to_string(),
    };
    match (hook.failing_since, &hook.why) {
        (Some(since), Some(why)) => {
            let (since, attempts) = (Timestamp(since), hook.attempts);
            text + &format!(
                "  ✗ failing since {since}, {attempts} attempts at entry after {}: {}\n    {last}\n",
                hook.told,
                flat(why)
            )
        }
        _ => text + &format!("  {last}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_told_and_who_fails() {
        let chat = WireHook {
            name: "chat".to_string(),
            on: vec!["rollout.ended".to_string(), "incident.*".to_string()],
            before: None,
            on_silence: None,
            to: "http://127.0.0.1:9000/".to_string(),
            told: 12,
            withdrawn: false,
            attempts: 3,
            failing_since: Some(1_800_000_000_000),
            why: Some("it answered 500\n Internal Server Error".to_string()),
            last_at: None,
        };
        let board = WireHook {
            name: "board".to_string(),
            on: Vec::new(),
            before: Some("promotion".to_string()),
            on_silence: Some("hold".to_string()),
            to: "/usr/bin/board --ask".to_string(),
            attempts: 0,
            failing_since: None,
            why: None,
            last_at: Some(1_800_000_000_000),
            ..chat.clone()
        };
        assert_eq!(
            hooks(&[board, chat]),
            "board  /usr/bin/board --ask\n  asked before each promotion; silence means hold\n  \
             took an event in at 2027-01-15T08:00:00.000Z\n\
             chat  http://127.0.0.1:9000/\n  told of rollout.ended, incident.*\n  \
             ✗ failing since 2027-01-15T08:00:00.000Z, 3 attempts at entry after 12: it answered 500 Internal Server Error\n    \
             has taken nothing in yet\n"
        );
        assert!(hooks(&[]).contains("no hooks"));
    }
}

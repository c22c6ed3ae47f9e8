//! `hooks`: who is told of what happens, and who is asked before it does.

use std::collections::BTreeSet;

use super::super::hooks::{Before, Hook, OnSilence, Pattern, Receiver, Secret};
use super::super::mistake::{Wrong, nearest, quoted};
use super::super::reader::{Fields, Keys, Reader};
use super::{command, label, time};
use crate::journal::kinds::{OF_NO_SERVICE, OF_SERVICES};
use crate::units::Millis;

const KEYS: Keys = Keys {
    known: &["name", "on", "before", "on_silence", "timeout", "webhook", "command"],
    later: &["retries", "headers", "slack", "mail"],
};
const WEBHOOK_KEYS: Keys = Keys { known: &["url", "secret_env", "secret_file", "ca_file"], later: &["headers"] };
const EXAMPLE: &str =
    "for example - { name: chat, on: [rollout.ended], webhook: { url: \"http://127.0.0.1:9000/\", secret_env: CHAT } }";
const SECRET_EXAMPLE: &str =
    "secret_env: CHAT_SECRET, a variable of the control plane, or secret_file: /etc/chat-secret";
/// Hooks of one service in one environment, and patterns of one hook.
const MOST: usize = 50;
/// How long anybody may be waited for.
const LONGEST: Millis = Millis::from_secs(3600);

/// Whose hooks are read.
#[derive(Clone, Copy)]
enum Of {
    Service,
    Environment,
}

impl Of {
    /// The kinds of entries that they may be told of.
    fn kinds(self) -> Vec<&'static str> {
        match self {
            Of::Service => OF_SERVICES.to_vec(),
            Of::Environment => OF_SERVICES.into_iter().chain(OF_NO_SERVICE).collect(),
        }
    }
}

/// Those of a service.
pub(in crate::spec) fn hooks(reader: &Reader) -> Option<Vec<Hook>> {
    list(reader, Of::Service)
}

/// Those of an environment's file.
pub(in crate::spec) fn environment_hooks(reader: &Reader) -> Option<Vec<Hook>> {
    list(reader, Of::Environment)
}

fn list(reader: &Reader, of: Of) -> Option<Vec<Hook>> {
    let items = reader.items(MOST, EXAMPLE)?;
    let hooks: Vec<(&Reader, Option<Hook>)> = items.iter().map(|item| (item, hook(item, of))).collect();
    let mut names = BTreeSet::new();
    for (item, hook) in hooks.iter().filter_map(|(item, hook)| Some((item, hook.as_ref()?))) {
        if !names.insert(hook.name.as_str()) {
            item.mistake(Wrong::new(format!("a second hook is called {}", quoted(&hook.name))).hint("name it anew"));
        }
    }
    hooks.into_iter().map(|(_, hook)| hook).collect()
}

fn hook(reader: &Reader, of: Of) -> Option<Hook> {
    let fields = reader.fields(&KEYS, EXAMPLE)?;
    let name = fields.required("name", "a hook needs a name", "for example name: chat");
    let name = name.and_then(|r| r.typed("a name", "for example chat", label));
    let on = fields.or("on", Vec::new(), |reader| patterns(reader, of));
    let before = fields.get("before").and_then(before);
    let on_silence = fields.or("on_silence", OnSilence::Hold, on_silence);
    let timeout = fields.or("timeout", Millis::from_secs(10), timeout);
    if let (Some(declared), None) = (fields.get("on_silence"), fields.get("before")) {
        let wrong = Wrong::new("nothing is asked, so there is no silence to be answered");
        declared.mistake(wrong.hint("add before: step or before: promotion, or leave it out"));
    }
    if fields.get("before").is_none() && fields.get("on").is_none_or(|r| on.is_empty() && r.is_list()) {
        let wrong = Wrong::new("the hook is told nothing and asked nothing");
        reader.mistake(wrong.hint("on: [rollout.ended, \"incident.*\"], or before: promotion"));
    }
    Some(Hook { name: name?, on, before, on_silence, timeout, to: receiver(&fields)? })
}

fn receiver(fields: &Fields) -> Option<Receiver> {
    match fields.one_of(&["webhook", "command"]).first() {
        Some(("webhook", declared)) => webhook(declared),
        Some((_, declared)) => {
            let words = command(declared)?;
            if words.first().is_some_and(|program| program.contains('/') && !program.starts_with('/')) {
                let wrong = Wrong::new("a hook's command is not part of the artifact and has no folder of its own");
                declared
                    .mistake(wrong.hint("name a program on the control plane's PATH, or a path that begins with /"));
                return None;
            }
            Some(Receiver::Command(words))
        }
        None => {
            let wrong = Wrong::new("says nothing of who is told: webhook or command is missing");
            fields.section().mistake(wrong.hint(EXAMPLE));
            None
        }
    }
}

fn webhook(reader: &Reader) -> Option<Receiver> {
    let fields = reader.fields(&WEBHOOK_KEYS, EXAMPLE)?;
    let url = fields.required("url", "the webhook does not say where", "url: http://127.0.0.1:9000/slipway");
    let url = url.and_then(|r| r.typed("an address", "for example http://127.0.0.1:9000/slipway", url_of));
    let secret = match fields.one_of(&["secret_env", "secret_file"]).first() {
        Some(("secret_env", declared)) => {
            declared.typed("the name of a variable", "for example CHAT_SECRET", variable).map(Secret::Env)
        }
        Some((_, declared)) => declared.typed("a path", "for example /etc/chat-secret", file).map(Secret::File),
        None => {
            let wrong = Wrong::new("an unsigned event could come from anybody: the webhook names no secret");
            fields.section().mistake(wrong.hint(SECRET_EXAMPLE));
            None
        }
    };
    let ca_file = fields.get("ca_file").and_then(|r| r.typed("a path", "for example /etc/slipway/ca.pem", file));
    if let (Some(declared), Some(url)) = (fields.get("ca_file"), &url)
        && !url.starts_with("https://")
    {
        let wrong = Wrong::new("nobody's certificate is looked at where the address begins with http://");
        declared.mistake(wrong.hint("leave it out, or write https://"));
    }
    Some(Receiver::Webhook { url: url?, secret: secret?, ca_file })
}

fn url_of(text: &str) -> Result<String, Wrong> {
    let wrong = |why: &str| Wrong::new(format!("the address {} {why}", quoted(text)));
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return Err(wrong("is no address").hint("for example http://127.0.0.1:9000/slipway"));
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    match () {
        // Not repeated: it would stand in logs as well.
        () if authority.contains('@') => {
            Err(Wrong::new("the address holds a name and a password, which everybody could read here")
                .hint("receivers know Slipway by its signature"))
        }
        () if host.is_empty() => Err(wrong("names no host").hint("for example http://127.0.0.1:9000/slipway")),
        () if text.len() > 2048 => Err(wrong("is too long")),
        () if !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains('#') => {
            Err(wrong("must be visible ASCII without a #").hint("write other characters as %XX"))
        }
        () if authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_err() && !port.ends_with(']')) =>
        {
            Err(wrong("has a port that is none").hint("for example http://127.0.0.1:9000/slipway"))
        }
        () => Ok(text.to_string()),
    }
}

fn variable(text: &str) -> Result<String, Wrong> {
    let fits = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.len() <= 200
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match fits {
        true => Ok(text.to_string()),
        // What stands here may be the secret itself: it is not repeated.
        false => Err(Wrong::new("this names no environment variable")
            .hint("write the variable's name, not the secret: CHAT_SECRET")),
    }
}

fn file(text: &str) -> Result<String, Wrong> {
    match text.starts_with('/') && !text.chars().any(char::is_control) && text.len() <= 4096 {
        true => Ok(text.to_string()),
        false => {
            Err(Wrong::new("this names no file")
                .hint("write the path of a file on the control plane's machine, from / on"))
        }
    }
}

fn patterns(reader: &Reader, of: Of) -> Option<Vec<Pattern>> {
    let items = reader.items(MOST, "write [rollout.ended, \"incident.*\"]")?;
    let all: Vec<Option<Pattern>> = items.iter().map(|item| pattern(item, of)).collect();
    all.into_iter().collect()
}

fn pattern(reader: &Reader, of: Of) -> Option<Pattern> {
    const EXAMPLES: &str = "for example rollout.ended, \"incident.*\" or \"*\"";
    let pattern = reader.typed("a kind of entry", EXAMPLES, |text| {
        let body = text.strip_suffix(".*").unwrap_or(text);
        let word = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        match text == "*" || text.len() <= 100 && body.split('.').all(word) {
            true => Ok(Pattern(text.to_string())),
            false => Err(Wrong::new(format!("{} is no kind of entry", quoted(text))).hint(EXAMPLES)),
        }
    })?;
    if family(&pattern.0) == "hook" {
        reader.mistake(Wrong::new("a hook is never told of hooks: it would be told of its own failure for ever"));
    } else if let Some(doubt) = doubt(&pattern, of) {
        reader.warn(doubt);
    }
    Some(pattern)
}

fn family(kind: &str) -> &str {
    kind.split('.').next().unwrap_or_default()
}

/// Why nothing will ever be told that fits a pattern.
fn doubt(pattern: &Pattern, of: Of) -> Option<Wrong> {
    let told = of.kinds();
    if pattern.0 == "*" || told.iter().any(|kind| pattern.matches(kind)) {
        return None;
    }
    if OF_NO_SERVICE.iter().any(|kind| pattern.matches(kind)) {
        let wrong =
            Wrong::new(format!("{} belongs to no service, and hooks of one are not told of it", quoted(&pattern.0)));
        return Some(wrong.hint("declare the hook in the environment's file: slipway env apply"));
    }
    let families: BTreeSet<&str> = told.iter().map(|kind| family(kind)).collect();
    let own = family(&pattern.0);
    let (near, all) = match families.contains(own) {
        true => {
            let kinds: Vec<&str> = told.iter().copied().filter(|kind| family(kind) == own).collect();
            (nearest(&pattern.0, told.iter().copied()), format!("{} and {own}.*", kinds.join(", ")))
        }
        false => (nearest(own, families.iter().copied()), families.iter().copied().collect::<Vec<_>>().join(", ")),
    };
    let hint = near.map_or_else(|| format!("there are {all}"), |near| format!("did you mean {near}?"));
    Some(Wrong::new(format!("nothing that this version records is called {}", quoted(&pattern.0))).hint(hint))
}

fn before(reader: &Reader) -> Option<Before> {
    match reader.scalar() {
        Some(("step", _)) => Some(Before::Step),
        Some(("promotion", _)) => Some(Before::Promotion),
        _ => reader.expected("step or promotion", "step is every larger share, promotion the largest"),
    }
}

fn on_silence(reader: &Reader) -> Option<OnSilence> {
    match reader.scalar() {
        Some(("hold", _)) => Some(OnSilence::Hold),
        Some(("go", _)) => Some(OnSilence::Go),
        Some(("stop", _)) => Some(OnSilence::Stop),
        _ => reader.expected("hold, go or stop", "hold asks a person, go goes on, stop takes the release back"),
    }
}

fn timeout(reader: &Reader) -> Option<Millis> {
    let timeout = time(reader)?;
    if timeout > LONGEST {
        reader.mistake(Wrong::new(format!("nobody is waited for longer than {LONGEST}")).hint("write 30s"));
        return None;
    }
    Some(timeout)
}

//! A file of environment variables that lies beside the instances, outside version control: `KEY=VALUE` lines.
//!
//! What stands in it is read when an instance starts and belongs to no version: it is in no digest, journal or log.
//! Pure: whoever runs instances reads the file.

use std::collections::BTreeMap;

use super::mistake::quoted;

/// Its variables. Lines are `KEY=VALUE`, with `export ` before it or not; blank lines and those that begin with `#` say
/// nothing; a value may stand in single or double quotes, which are taken off, and nothing in it is replaced.
///
/// # Errors
/// Line by line what is wrong, never with a value.
pub fn parse_env_file(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut env = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").map_or(line, str::trim_start);
        let Some((key, value)) = line.split_once('=') else {
            return Err(format!("line {number} is not KEY=VALUE"));
        };
        let key = key.trim();
        let named = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !named || key.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(format!("line {number}: {} cannot name an environment variable", quoted(key)));
        }
        if ["PORT", "VERSION", "INSTANCE"].contains(&key) {
            return Err(format!("line {number}: {key} is set by Slipway for each instance"));
        }
        let value = unquoted(value.trim()).ok_or_else(|| format!("line {number}: the quotes of {key} do not close"))?;
        if value.contains('\0') {
            return Err(format!("line {number}: {key} holds a NUL character"));
        }
        if env.insert(key.to_string(), value.to_string()).is_some() {
            return Err(format!("line {number}: {key} stands twice"));
        }
    }
    Ok(env)
}

fn unquoted(value: &str) -> Option<&str> {
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    match quote {
        None => Some(value),
        Some(quote) => value.strip_prefix(quote)?.strip_suffix(quote),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_variables_as_they_are_written() {
        let text = "# where\nexport URL=postgres://a:b=c@d/e?f#g\n\nGREETING=\"hello  $USER\"\nEMPTY=\nQUOTED=' x '\n";
        let env = parse_env_file(text).expect("variables");
        assert_eq!(env["URL"], "postgres://a:b=c@d/e?f#g");
        assert_eq!(
            (env["GREETING"].as_str(), env["EMPTY"].as_str(), env["QUOTED"].as_str()),
            ("hello  $USER", "", " x ")
        );
    }

    #[test]
    fn mistakes_name_the_line_and_never_a_value() {
        for (text, said) in [
            ("A=1\nsecret\n", "line 2 is not KEY=VALUE"),
            ("1A=secret", "line 1: \"1A\" cannot name an environment variable"),
            ("PORT=1", "line 1: PORT is set by Slipway for each instance"),
            ("A=\"secret", "line 1: the quotes of A do not close"),
            ("A=\"", "line 1: the quotes of A do not close"),
            ("A=secret\nA=secret", "line 2: A stands twice"),
        ] {
            assert_eq!(parse_env_file(text), Err(said.to_string()), "{text}");
        }
    }
}

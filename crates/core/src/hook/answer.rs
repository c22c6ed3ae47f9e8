//! Answers of hooks that were asked: `{"answer": "go" | "hold" | "stop", "reason": "…"}`.

use serde::{Deserialize, Serialize};

/// A hook's word on a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Go on.
    Go,
    /// Wait, and ask a person.
    Hold,
    /// Take it back.
    Stop,
}

impl Word {
    /// As it is written in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Word::Go => "go",
            Word::Hold => "hold",
            Word::Stop => "stop",
        }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The word.
    #[serde(rename = "answer")]
    pub word: Word,
    /// Why, in the hook's words.
    #[serde(default)]
    pub reason: Option<String>,
}

/// How long a reason may be, in characters.
const REASON_LIMIT: usize = 300;

/// Reads an answer. What is none is no answer, and the error says what it was: nothing is guessed.
pub fn read(body: &[u8]) -> Result<Answer, String> {
    // An object only: a list of the fields in their order would be taken as well.
    let fields = serde_json::from_slice::<serde_json::Map<_, _>>(body);
    let mut answer: Answer = fields.and_then(|fields| serde_json::from_value(fields.into())).map_err(|_| {
        let said = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        format!("it answered {said:?}, which is no {{\"answer\": \"go\" | \"hold\" | \"stop\"}}")
    })?;
    answer.reason = answer.reason.map(|reason| {
        let line = reason.chars().map(|c| if c.is_control() { ' ' } else { c });
        line.take(REASON_LIMIT).collect()
    });
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_is_an_answer() {
        let stop = Answer { word: Word::Stop, reason: Some("the  board".to_string()) };
        assert_eq!(read(b"{\"answer\": \"stop\", \"reason\": \"the\\n board\", \"more\": 1}"), Ok(stop));
        assert_eq!(read(b"{\"answer\": \"go\"}\n"), Ok(Answer { word: Word::Go, reason: None }));
        for garbage in [
            &b""[..],
            b"go",
            b"{}",
            b"{\"answer\": \"GO\"}",
            b"{\"answer\": true}",
            b"<html>",
            b"\xff\xfe",
            b"[\"go\"]",
        ] {
            assert!(read(garbage).is_err_and(|why| why.contains("which is no")), "{garbage:?}");
        }
        let long = format!("{{\"answer\": \"hold\", \"reason\": {:?}}}", "x".repeat(10_000));
        assert_eq!(read(long.as_bytes()).unwrap().reason.unwrap().len(), REASON_LIMIT);
    }
}

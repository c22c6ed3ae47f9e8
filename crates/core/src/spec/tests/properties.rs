//! Whatever is written, reading it ends in an answer.

use proptest::prelude::*;

use super::{EXAMPLE, parse};

/// What is true of every answer: sorted mistakes with places inside of the text, or a file without them.
fn answers(text: &str) -> Result<(), TestCaseError> {
    let Err(mistakes) = parse(text) else { return Ok(()) };
    prop_assert!(!mistakes.is_empty());
    prop_assert!(mistakes.is_sorted_by_key(|m| (m.line, m.column)));
    let lines = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count() as u32;
    for mistake in &mistakes {
        prop_assert!(mistake.line >= 1 && mistake.line <= lines + 1, "{mistake} of {lines} lines");
        prop_assert!(mistake.column >= 1 && !mistake.message.is_empty());
        prop_assert!(mistake.to_string().len() < 4_000, "{mistake}");
    }
    Ok(())
}

/// Pieces that are likely to mean something to a YAML reader, or to this one.
fn piece() -> impl Strategy<Value = String> {
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ": ",
        "- ",
        ",",
        "\n",
        "\n  ",
        "\t",
        "#",
        "&a ",
        "*a",
        "!!str ",
        "|\n",
        ">",
        "'",
        "\"",
        "? ",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "<<",
        "~",
        "1%",
        "0.5",
        "10m",
        "true",
        "\u{feff}",
        "\u{85}",
        "é",
        "\0",
        "service",
        "environments",
        "strategy",
        "canary",
        "smoke",
        "http",
        "{port}",
        "\\",
        "@",
        "`",
    ];
    prop_oneof![proptest::sample::select(pieces.map(String::from).to_vec()), ".{0,3}"]
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "(.|\n){0,300}") {
        answers(&text)?;
    }

    #[test]
    fn any_heap_of_pieces_is_answered(pieces in proptest::collection::vec(piece(), 0..60)) {
        answers(&pieces.concat())?;
    }

    #[test]
    fn any_change_to_the_example_is_answered(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), 0usize..12, piece()), 1..6)
    ) {
        let mut characters: Vec<char> = EXAMPLE.chars().collect();
        for (at, removed, inserted) in changes {
            let at = at.index(characters.len());
            let end = (at + removed).min(characters.len() - 1).max(at);
            characters.splice(at..end, inserted.chars());
        }
        answers(&characters.into_iter().collect::<String>())?;
    }
}

#[test]
fn a_billion_laughs_are_refused() {
    let mut text = String::from("a: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..9 {
        text.push_str(&format!("b{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(", ")));
    }
    let mistakes = parse(&text).unwrap_err();
    assert!(mistakes.iter().any(|m| m.message == "aliases stand for more than 10000 values"), "{mistakes:#?}");
}

#[test]
fn depth_and_size_are_bounded() {
    let said = |text: &str| parse(text).unwrap_err().iter().map(|m| m.message.clone()).collect::<Vec<_>>().join("; ");
    assert!(said(&"[".repeat(10_000)).contains("nested more than 32 deep"));
    assert!(said(&"- ".repeat(10_000)).contains("nested more than 32 deep"));
    let chained: String = (1..40).map(|i| format!("a{i}: &n{i} [*n{}]\n", i - 1)).collect();
    assert!(said(&format!("a0: &n0 x\n{chained}")).contains("nested more than 32 deep"));
    assert_eq!(said(&format!("#{}", "x".repeat(1 << 20))), "the file is larger than 1 MiB");
    let flood: String = (0..50_000).map(|i| format!("k{i}: x\n")).collect();
    assert_eq!(parse(&flood).unwrap_err().len(), 201);
}

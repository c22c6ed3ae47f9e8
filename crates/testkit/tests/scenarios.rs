//! Every story under `scenarios/` comes out as it is written there. `UPDATE_SCENARIOS=1` writes them anew; read the
//! difference before you keep it.

use std::path::Path;

#[test]
fn every_story_comes_out_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let mut stories: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder of the stories")
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "txt"))
        .collect();
    stories.sort();
    assert!(stories.len() >= 10, "stories are missing: {stories:?}");
    let mut wrong = Vec::new();
    for path in stories {
        let text = std::fs::read_to_string(&path).expect("a story");
        let (begin, expected) = text.split_once("\n---\n").unwrap_or((&text, ""));
        let story = slipway_testkit::play(begin, &folder).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        if std::env::var_os("UPDATE_SCENARIOS").is_some() {
            std::fs::write(&path, format!("{}\n---\n{story}", begin.trim_end())).expect("the story is written");
        } else if story != expected {
            wrong.push(format!("{}:\n{}", path.display(), difference(expected, &story)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn difference(expected: &str, story: &str) -> String {
    let at = expected.lines().zip(story.lines()).position(|(a, b)| a != b);
    let at = at.unwrap_or_else(|| expected.lines().count().min(story.lines().count()));
    let line = |text: &str| text.lines().nth(at).unwrap_or("(the end)").to_string();
    format!("  line {} after ---\n  - {}\n  + {}", at + 1, line(expected), line(story))
}

//! Every story under `scenarios/` comes out as it is written there. `UPDATE_SCENARIOS=1` writes them anew; read the
//! difference before you keep it. `STORIES=peer-` plays those alone whose names begin so.

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
    let only = std::env::var("STORIES").unwrap_or_default();
    let told = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&only));
    for path in stories.into_iter().filter(|path| told(path)) {
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

#[test]
fn all_fifteen_failures_of_others_have_their_story_and_their_row() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/explanation/fifteen-failures.md")).expect("the page");
    let mut stories: Vec<String> = std::fs::read_dir(root.join("scenarios"))
        .expect("the folder of the stories")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("peer-"))
        .collect();
    stories.sort();
    assert_eq!(stories.len(), 15);
    for (at, name) in stories.iter().enumerate() {
        let number = at + 1;
        assert!(name.starts_with(&format!("peer-{number:02}-")), "{name} is not number {number}");
        let row = page.lines().find(|line| line.starts_with(&format!("| {number} |"))).expect("a row");
        assert!(row.contains(&format!("`{name}`")), "row {number} does not name {name}");
        let story = std::fs::read_to_string(root.join("scenarios").join(name)).expect("a story");
        let head: String = story.lines().take_while(|line| line.starts_with('#')).collect::<Vec<_>>().join(" ");
        let issues = row.split(['#', ',', ' ', '|']).filter(|word| word.len() > 2 && word.parse::<u32>().is_ok());
        for issue in issues {
            assert!(head.contains(&format!("#{issue}")), "{name} does not say that it is about #{issue}");
        }
    }
}

//! Looks up the files that a declared file names beside it.
//!
//! Reads; decides nothing about what they mean. Called by the commands that read a declared file; what they send holds
//! the texts, so that no server ever opens a path that somebody wrote.

use std::io::Read;
use std::path::{Path, PathBuf};

use slipway_core::spec::{self, Declared, Mistake};

/// Largest named file in bytes, as for one that is written out.
const LIMIT: u64 = 256 << 10;
/// Largest declared file in bytes, named files included: what a server takes.
const WHOLE_LIMIT: usize = 1 << 20;
const OWN: &str = "put it into the artifact";

/// What the declared file `file` with this `text` declares, and the text with the files that it names in it.
pub(crate) fn whole(file: &Path, text: &str) -> Result<(Declared, String), Vec<Mistake>> {
    let (declared, named) = spec::parse_naming(text)?;
    let Some(first) = named.first() else { return Ok((declared, text.to_string())) };
    let beside = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (mut files, mut mistakes) = (Vec::new(), Vec::new());
    for named in &named {
        match read(beside, &named.from) {
            Ok(content) => files.push((named.clone(), content)),
            Err((what, hint)) => mistakes.push(named.mistake(&what, hint)),
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let whole = spec::inlined(text, &files);
    if whole.len() > WHOLE_LIMIT {
        let what = format!("the declared file has {} bytes with the files that it names: more than 1 MiB", whole.len());
        return Err(vec![first.mistake(&what, "put the largest into the artifact")]);
    }
    spec::parse(&whole).map(|declared| (declared, whole))
}

/// The text of a file below a folder, or what is wrong with it and what to do.
fn read(beside: &Path, from: &str) -> Result<String, (String, &'static str)> {
    let unread =
        |e: std::io::Error| (format!("{from} cannot be read: {e}"), "it is looked up beside the declared file");
    let folder = std::fs::canonicalize(beside).map_err(unread)?;
    let path: PathBuf = std::fs::canonicalize(folder.join(from)).map_err(unread)?;
    if !path.starts_with(&folder) {
        let what = format!("{from} leads out of the declared file's folder by a symbolic link");
        return Err((what, "copy the file into the folder"));
    }
    // Before it is opened: opening a pipe would wait for its other end.
    if !std::fs::metadata(&path).map_err(unread)?.is_file() {
        return Err((format!("{from} is no file"), "name one file for each path"));
    }
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(&path);
    opened.and_then(|file| file.take(LIMIT + 1).read_to_end(&mut bytes)).map_err(unread)?;
    if bytes.len() as u64 > LIMIT {
        return Err((format!("{from} has more than {LIMIT} bytes"), OWN));
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err((format!("{from} is not UTF-8 text"), OWN)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder of its own with a declared file that names `from`; the text that is sent, or what is wrong.
    fn naming(from: &str, fill: impl FnOnce(&Path)) -> Result<String, String> {
        let place = tempfile::tempdir().expect("a folder");
        let folder = place.path().join("service");
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::write(place.path().join("outside"), "secret").expect("a file");
        fill(&folder);
        let text = format!(
            "service: shop\nrun: {{ command: [./shop] }}\nhealth: {{ http: / }}\n\
             config: {{ files: {{ app.conf: {{ from: {from} }} }} }}\nenvironments: {{ production: {{}} }}\n"
        );
        whole(&folder.join("slipway.yaml"), &text)
            .map(|(declared, _)| declared.spec.config.files["app.conf"].clone())
            .map_err(|mistakes| mistakes.iter().map(Mistake::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn a_file_beside_the_declared_one_is_read_and_its_links_may_not_leave() {
        let write =
            |name: &'static str, what: Vec<u8>| move |f: &Path| std::fs::write(f.join(name), what).expect("a file");
        assert_eq!(naming("a", write("a", b"x: \"1\"\r\n".to_vec())).expect("it is read"), "x: \"1\"\r\n");
        let within = |folder: &Path| {
            std::fs::write(folder.join("b"), "in").expect("a file");
            symlink("b", folder.join("a")).expect("a link");
        };
        assert_eq!(naming("a", within).expect("it is read"), "in");
        assert_eq!(naming("a", write("a", vec![b'x'; 256 << 10])).expect("it is read").len(), 256 << 10);

        let refused = |from: &str, fill: &dyn Fn(&Path), why: &str| {
            let said = naming(from, fill).expect_err(why);
            assert!(said.starts_with("4:") && said.contains("config.files") && said.contains(why), "{said}");
        };
        refused("a", &|f| symlink("../outside", f.join("a")).expect("a link"), "leads out");
        refused("a/outside", &|f| symlink("..", f.join("a")).expect("a link"), "leads out");
        refused("a", &|f| symlink("a", f.join("a")).expect("a link"), "cannot be read");
        refused("../outside", &|_| (), "without . and ..");
        refused("a", &|_| (), "cannot be read: No such file");
        refused("a", &|f| std::fs::create_dir(f.join("a")).expect("a folder"), "is no file");
        refused(
            "a",
            &|f| std::fs::write(f.join("a"), vec![b'x'; (256 << 10) + 1]).expect("a file"),
            "more than 262144",
        );
        refused("a", &|f| std::fs::write(f.join("a"), b"\xff\xfe").expect("a file"), "not UTF-8");
        refused("a", &|f| std::fs::write(f.join("a"), b"ELF\0").expect("a file"), "not UTF-8");
    }

    #[test]
    fn all_of_them_together_are_what_a_server_takes() {
        let place = tempfile::tempdir().expect("a folder");
        std::fs::write(place.path().join("a"), vec![b'x'; 250 << 10]).expect("a file");
        let files: String = (0..5).map(|n| format!("a{n}: {{ from: a }}, ")).collect();
        let text = format!(
            "service: shop\nrun: {{ command: [./shop] }}\nhealth: {{ http: / }}\nconfig: {{ files: {{ {files} }} }}\nenvironments: {{ p: {{}} }}\n"
        );
        let mistakes = whole(&place.path().join("slipway.yaml"), &text).expect_err("too large");
        assert!(mistakes[0].message.contains("more than 1 MiB"), "{mistakes:?}");
    }
}

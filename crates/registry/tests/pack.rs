//! What an artifact's digest depends on and what it does not, on real folders.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use slipway_core::names::Digest;
use slipway_registry::{Limits, PackError, Packed, pack, pack_within};
use tempfile::TempDir;

struct Fixture {
    dir: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("in")).unwrap();
        Self { dir }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join("in").join(name)
    }

    fn file(self, name: &str, content: &str) -> Self {
        fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        fs::write(self.at(name), content).unwrap();
        self
    }

    fn mode(self, name: &str, mode: u32) -> Self {
        fs::set_permissions(self.at(name), Permissions::from_mode(mode)).unwrap();
        self
    }

    fn link(self, name: &str, to: &str) -> Self {
        symlink(to, self.at(name)).unwrap();
        self
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out.tar")
    }

    fn pack(&self) -> Result<Packed, PackError> {
        pack(&self.at(""), &self.out())
    }

    fn refused(&self) -> String {
        let error = self.pack().unwrap_err().to_string();
        assert!(!self.out().exists(), "nothing is left at the output");
        error.replace(&self.dir.path().display().to_string(), "")
    }
}

fn names(tar: &Path) -> Vec<String> {
    let mut archive = tar::Archive::new(File::open(tar).unwrap());
    archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().display().to_string()).collect()
}

fn shop() -> Fixture {
    Fixture::new()
        .file("shop", "#!/bin/sh\n")
        .mode("shop", 0o700)
        .file(".hidden", "h")
        .file("a/b/deep", "d")
        .file("a-b", "")
}

#[test]
fn order_times_and_masks_leave_no_trace() {
    let one = shop();
    let other = Fixture::new().file("a-b", "").mode("a-b", 0o600).file("a/b/deep", "d").file(".hidden", "h");
    let other = other.mode("a", 0o711).file("shop", "#!/bin/sh\n").mode("shop", 0o4755);
    for name in ["shop", "a/b/deep"] {
        let file = File::options().write(true).open(other.at(name)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(77)).unwrap();
    }
    assert_eq!(one.pack().unwrap(), other.pack().unwrap());
    assert_eq!(fs::read(one.out()).unwrap(), fs::read(other.out()).unwrap());
}

#[test]
fn the_digest_is_that_of_the_bytes_and_stays_the_same_over_the_years() {
    let fixture = shop();
    let packed = fixture.pack().unwrap();
    let bytes = fs::read(fixture.out()).unwrap();
    assert_eq!(packed.digest, Digest::of(&bytes));
    assert_eq!(packed.size, bytes.len() as u64);
    assert_eq!(packed.files, 4);
    // Pinned: a change of it would make every version that users have released look like another one.
    assert_eq!(packed.digest.as_str(), "sha256:8bdc1741efe71a4eea9da0dbe80fb0b7b4487c1279542bc34238afb0d8f91f0c");
}

#[test]
fn content_names_and_the_executable_bit_matter() {
    let digest = |f: Fixture| f.pack().unwrap().digest;
    let all = [
        digest(shop()),
        digest(shop().mode("shop", 0o600)),
        digest(shop().file(".hidden", "other")),
        digest(shop().file("more", "")),
        digest(shop().link("more", "shop")),
        digest(shop().link("more", "a-b")),
    ];
    for (i, digest) in all.iter().enumerate() {
        assert!(!all[..i].contains(digest), "{i}");
    }
}

#[test]
fn what_is_unpacked_is_what_was_packed() {
    let long = "n".repeat(120);
    let fixture = shop().file(&format!("{long}/{long}"), "long").link("link", "a/b/../b/deep").link("to-folder", "a");
    fs::create_dir(fixture.at("empty")).unwrap();
    fixture.pack().unwrap();
    assert_eq!(
        names(&fixture.out()),
        [
            ".hidden",
            "a",
            "a-b",
            "a/b",
            "a/b/deep",
            "empty",
            "link",
            &long,
            &format!("{long}/{long}"),
            "shop",
            "to-folder"
        ]
    );
    let to = fixture.dir.path().join("to");
    tar::Archive::new(File::open(fixture.out()).unwrap()).unpack(&to).unwrap();
    assert_eq!(fs::read_to_string(to.join("link")).unwrap(), "d");
    assert_eq!(fs::read_to_string(to.join("to-folder/b/deep")).unwrap(), "d");
    assert_eq!(fs::read_to_string(to.join(&long).join(&long)).unwrap(), "long");
    assert!(to.join("empty").is_dir());
    assert_eq!(fs::metadata(to.join("shop")).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(pack(&to, &fixture.dir.path().join("again.tar")).unwrap(), fixture.pack().unwrap());
}

#[test]
fn a_single_file_is_packed_under_its_own_name() {
    let fixture = shop();
    let packed = pack(&fixture.at("shop"), &fixture.out()).unwrap();
    assert_eq!((packed.files, names(&fixture.out())), (1, vec!["shop".to_string()]));
    let alone = Fixture::new().file("shop", "#!/bin/sh\n").mode("shop", 0o755);
    assert_eq!(alone.pack().unwrap().digest, packed.digest, "as a folder that holds it alone");
}

#[test]
fn what_is_not_there_or_empty_is_refused() {
    let fixture = Fixture::new();
    let missing = pack(&fixture.at("nothing"), &fixture.out()).unwrap_err();
    assert!(matches!(missing, PackError::Missing(_)), "{missing}");
    assert_eq!(fixture.refused(), "/in/ is empty: there is no file in it to release");
    fs::create_dir_all(fixture.at("only/folders")).unwrap();
    assert_eq!(fixture.refused(), "/in/ is empty: there is no file in it to release");
}

#[test]
fn what_an_artifact_cannot_hold_is_named() {
    let fixture = shop();
    let _listener = UnixListener::bind(fixture.at("a/sock")).unwrap();
    assert_eq!(fixture.refused(), "/in/a/sock cannot be packed: it is a socket");
    let device = pack(Path::new("/dev/null"), &fixture.out()).unwrap_err();
    assert_eq!(device.to_string(), "/dev/null cannot be packed: it is a device");
}

#[test]
fn links_must_stay_inside_wherever_they_are_unpacked() {
    let refused = |f: Fixture| f.refused();
    let outside = "/in/x cannot be packed: the symbolic link leads out of what is packed";
    assert_eq!(refused(shop().link("x", "/etc/passwd")), outside);
    assert_eq!(refused(shop().link("x", "../in/shop")), outside, "inside by its present name only");
    assert_eq!(refused(shop().link("here", ".").link("x", "here/../shop")), outside, "by way of another link");
    assert_eq!(refused(shop().link("x", "gone")), "/in/x cannot be packed: the symbolic link leads to nothing");
    assert_eq!(refused(shop().link("x", "shop/inside")), "/in/x cannot be packed: the symbolic link leads to nothing");
    assert_eq!(refused(shop().link("x", "x")), "/in/x cannot be packed: the symbolic link leads in a circle");
    assert!(shop().link("a/up", "../shop").link("via", "a/up").pack().is_ok());
}

#[test]
fn limits_hold() {
    let fixture = shop().file("big", &"x".repeat(10_000));
    let within = |limits| pack_within(&fixture.at(""), &fixture.out(), &limits);
    let size = fixture.pack().unwrap().size;
    fs::remove_file(fixture.out()).unwrap();
    assert!(matches!(within(Limits { size: 9_999, ..Limits::default() }), Err(PackError::TooLarge { .. })));
    assert!(matches!(within(Limits { size: size - 1, ..Limits::default() }), Err(PackError::TooLarge { .. })));
    assert!(matches!(within(Limits { files: 6, ..Limits::default() }), Err(PackError::TooManyFiles { .. })));
    assert!(!fixture.out().exists());
    assert!(within(Limits { size, files: 7 }).is_ok());
}

#[test]
fn the_output_may_not_lie_in_the_input() {
    let fixture = shop();
    for out in ["out.tar", "a/out.tar", "shop"] {
        let error = pack(&fixture.at(""), &fixture.at(out)).unwrap_err();
        assert!(matches!(error, PackError::OutputInside(_)), "{error}");
    }
    let error = pack(&fixture.at("shop"), &fixture.at("shop")).unwrap_err();
    assert!(matches!(error, PackError::OutputInside(_)), "{error}");
    assert_eq!(fs::read_to_string(fixture.at("shop")).unwrap(), "#!/bin/sh\n");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_folder_comes_back_whole(files in prop::collection::btree_map("[a-c._ -]{1,3}x", prop::collection::vec(any::<u8>(), 0..1500), 1..8)) {
        let (forward, backward) = (Fixture::new(), Fixture::new());
        for (name, content) in &files {
            fs::write(forward.at(name), content).unwrap();
        }
        for (name, content) in files.iter().rev() {
            fs::write(backward.at(name), content).unwrap();
        }
        prop_assert_eq!(forward.pack().unwrap(), backward.pack().unwrap());
        let mut found = BTreeMap::new();
        for entry in tar::Archive::new(File::open(forward.out()).unwrap()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            found.insert(entry.path().unwrap().display().to_string(), content);
        }
        prop_assert_eq!(found, files);
    }
}

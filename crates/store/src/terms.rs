//! The highest number of a start that drove a data folder, in the folder itself: there it does not grow less when an older
//! database is put back, and a process that stood still meets it when it wakes up.
//!
//! A number is the name of an empty file, so that no late writer can lower it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

fn folder(data: &Path) -> PathBuf {
    data.join("terms")
}

fn numbers(data: &Path) -> impl Iterator<Item = u64> {
    let names = fs::read_dir(folder(data)).into_iter().flatten().flatten();
    names.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The highest number of a start that drove a data folder; 0 where none has.
pub fn highest(data: &Path) -> u64 {
    numbers(data).max().unwrap_or(0)
}

/// Writes down that the `own`th start drives a data folder; earlier ones are forgotten.
///
/// # Errors
/// Where the folder cannot be written.
pub fn raise(data: &Path, own: u64) -> io::Result<()> {
    let named = |number: u64| folder(data).join(number.to_string());
    fs::create_dir_all(folder(data))?;
    File::create(named(own)).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", named(own).display())))?;
    for earlier in numbers(data).filter(|number| *number < own) {
        // Two may tidy up at once.
        let _ = fs::remove_file(named(earlier));
    }
    Ok(())
}

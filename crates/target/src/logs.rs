//! An instance's log: raw bytes as the program wrote them, in a few files of bounded size.
//!
//! Never fails its caller: a program must not stand still because a disk is full. What could not be written is counted
//! and said in the log once there is room again. Called by the shim, and for orphans by the process target.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// How much one file may hold.
const FILE_LIMIT: u64 = 10 << 20;
/// How many files are kept, the one being written included.
const FILES: usize = 3;
/// How much of the end is kept at hand.
const TAIL: usize = 2 << 10;

/// The log files of `folder` that exist, oldest first.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    (0..FILES).rev().map(|n| numbered(folder, n)).filter(|path| path.exists()).collect()
}

fn numbered(folder: &Path, n: usize) -> PathBuf {
    folder.join(if n == 0 { "out.log".to_string() } else { format!("out.log.{n}") })
}

/// The log that is being written.
#[derive(Debug)]
pub(crate) struct Log {
    folder: PathBuf,
    file: Option<File>,
    size: u64,
    tail: Vec<u8>,
    lost: u64,
}

impl Log {
    /// Goes on with the log in `folder`.
    pub(crate) fn open(folder: PathBuf) -> Log {
        Log { folder, file: None, size: 0, tail: Vec::new(), lost: 0 }
    }

    /// Adds what the program wrote.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.remember(bytes);
        if self.lost > 0 {
            let note = format!("\n[slipway: {} bytes of output were lost: the log could not be written]\n", self.lost);
            if self.write(note.as_bytes()).is_ok() {
                self.lost = 0;
            }
        }
        if self.write(bytes).is_err() {
            self.lost += bytes.len() as u64;
            self.file = None;
        }
    }

    /// The last lines since [`Log::forget_tail`], at most 2 KiB.
    pub(crate) fn tail(&self) -> String {
        String::from_utf8_lossy(&self.tail).trim_end().to_string()
    }

    /// A new incarnation begins: what the one before it wrote says nothing about it.
    pub(crate) fn forget_tail(&mut self) {
        self.tail.clear();
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.size >= FILE_LIMIT {
            self.rotate()?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = OpenOptions::new().create(true).append(true).open(numbered(&self.folder, 0))?;
                self.size = file.metadata()?.len();
                self.file.insert(file)
            }
        };
        file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        for n in (1..FILES).rev() {
            match fs::rename(numbered(&self.folder, n - 1), numbered(&self.folder, n)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        self.size = 0;
        Ok(())
    }

    fn remember(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL)..]);
        if self.tail.len() > TAIL {
            let cut = self.tail.len() - TAIL;
            // From the next line on, unless that leaves nothing of one endless line.
            let line = self.tail[cut..self.tail.len() - 1].iter().position(|b| *b == b'\n').map_or(0, |at| at + 1);
            self.tail.drain(..cut + line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_output_stays_within_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path().to_path_buf());
        let block = [b'x'; 64 << 10];
        for _ in 0..100 * 16 {
            log.append(&block);
        }
        log.append(b"the end\n");
        let files = files(folder.path());
        let total: u64 = files.iter().map(|f| fs::metadata(f).unwrap().len()).sum();
        assert_eq!(files.len(), FILES);
        assert!(total <= FILES as u64 * (FILE_LIMIT + block.len() as u64), "{total}");
        assert!(fs::read(files.last().unwrap()).unwrap().ends_with(b"the end\n"));
    }

    #[test]
    fn a_log_goes_on_where_it_was_left() {
        let folder = tempfile::tempdir().unwrap();
        Log::open(folder.path().to_path_buf()).append(b"one\n");
        Log::open(folder.path().to_path_buf()).append(b"two\n");
        assert_eq!(fs::read(folder.path().join("out.log")).unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn the_tail_is_whole_lines_where_it_can_be() {
        let mut log = Log::open(PathBuf::from("/nonexistent"));
        for n in 0..1000 {
            log.append(format!("line {n}\n").as_bytes());
        }
        assert!(log.tail().len() <= TAIL);
        assert!(log.tail().starts_with("line ") && log.tail().ends_with("line 999"));
        log.append(&[b'y'; 3 * TAIL]);
        assert_eq!(log.tail().len(), TAIL);
        log.forget_tail();
        assert_eq!(log.tail(), "");
    }

    #[test]
    fn what_was_lost_is_said_once_there_is_room_again() {
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path().join("logs");
        let mut log = Log::open(logs.clone());
        log.append(b"nobody reads this");
        fs::create_dir(&logs).unwrap();
        log.append(b"but this\n");
        let text = fs::read_to_string(logs.join("out.log")).unwrap();
        assert_eq!(text, "\n[slipway: 17 bytes of output were lost: the log could not be written]\nbut this\n");
    }
}

//! A writer that hashes and counts what passes through it. Used while packing.

use std::io::{self, Write};

use sha2::{Digest as _, Sha256};
use slipway_core::names::Digest;

/// Hashes and counts everything on its way to `inner`, and refuses to go past `limit` bytes.
pub(crate) struct Hashing<W> {
    inner: W,
    hash: Sha256,
    written: u64,
    limit: u64,
}

impl<W: Write> Hashing<W> {
    pub(crate) fn new(inner: W, limit: u64) -> Self {
        Self { inner, hash: Sha256::new(), written: 0, limit }
    }

    /// The digest and the number of bytes that passed, and the writer underneath.
    pub(crate) fn finish(self) -> (Digest, u64, W) {
        (Digest::from_hash(&self.hash.finalize()), self.written, self.inner)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.written + bytes.len() as u64 > self.limit {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        let n = self.inner.write(bytes)?;
        self.hash.update(&bytes[..n]);
        self.written += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

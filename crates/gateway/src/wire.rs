//! Lines of JSON over a socket, as both ends of the control link read and write them. Knows no message.

use std::io;

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Reads lines; a call that is dropped halfway loses nothing.
#[derive(Debug)]
pub(crate) struct LineReader<R> {
    stream: R,
    buffer: Vec<u8>,
    /// How much of the buffer is known to hold no line end.
    searched: usize,
    limit: usize,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// Lines of at most `limit` bytes.
    pub(crate) fn new(stream: R, limit: usize) -> LineReader<R> {
        LineReader { stream, buffer: Vec::new(), searched: 0, limit }
    }

    /// Allows longer or only shorter lines from now on.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The next line without its end; `None` when the other side has closed. A line that is too long is an error.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|b| *b == b'\n') {
                let rest = self.buffer.split_off(self.searched + at + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                line.pop();
                self.searched = 0;
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > self.limit {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is longer than the link allows"));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// So many bytes that follow the lines which were read.
    pub(crate) async fn take(&mut self, bytes: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < bytes {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.searched = 0;
        let rest = self.buffer.split_off(bytes);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }
}

/// A message as a line with its end.
pub(crate) fn line(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_whole_and_long_ones_are_refused() {
        let mut reader = LineReader::new(&b"one\n\ntwo\nrest"[..], 100);
        assert_eq!(reader.next().await.unwrap().unwrap(), b"one");
        assert_eq!(reader.next().await.unwrap().unwrap(), b"");
        assert_eq!(reader.next().await.unwrap().unwrap(), b"two");
        assert_eq!(reader.next().await.unwrap(), None);
        assert!(LineReader::new(&[b'x'; 200][..], 100).next().await.is_err());
    }

    #[tokio::test]
    async fn bytes_that_follow_a_line_are_taken_as_they_are() {
        let mut reader = LineReader::new(&b"one\nt\no\nthree\nrest"[..], 100);
        assert_eq!(reader.next().await.unwrap().unwrap(), b"one");
        assert_eq!(reader.take(4).await.unwrap(), b"t\no\n");
        assert_eq!(reader.next().await.unwrap().unwrap(), b"three");
        assert!(reader.take(5).await.is_err(), "they end before that");
    }
}

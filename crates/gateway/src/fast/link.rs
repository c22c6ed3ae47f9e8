//! A raw connection to an instance, and its place among those that wait for the next request.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::BytesMut;
use tokio::io::AsyncWrite;
use tokio_util::either::Either;
use tokio_util::io::poll_read_buf;

use crate::socket::Stream;
use crate::upstream::Connection;

/// Read from an instance at once, to begin with and at the most.
const PIECE: (usize, usize) = (4 << 10, 64 << 10);

/// A connection to an instance.
#[derive(Debug)]
pub(crate) struct Raw {
    stream: Stream,
    /// By which it can be cut.
    pub(crate) connection: Arc<Connection>,
    /// What the instance has sent and nobody has used.
    pub(crate) answer: BytesMut,
    /// When it was last put back.
    pub(crate) since: Instant,
    /// Read at once: more after it was too little.
    piece: usize,
}

impl Raw {
    /// A new one.
    pub(crate) fn new(stream: Stream, connection: Arc<Connection>) -> Raw {
        Raw { stream, connection, answer: BytesMut::new(), since: Instant::now(), piece: PIECE.0 }
    }

    /// Sends what goes at once, without waiting.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.stream {
            Either::Left(stream) => stream.try_write(bytes),
            Either::Right(stream) => stream.try_write(bytes),
        }
    }

    /// Sends some.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    /// Reads some; zero at the end.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.answer.reserve(self.piece);
        let read = poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.answer);
        if self.answer.len() >= self.piece {
            self.piece = (self.piece * 2).min(PIECE.1);
        }
        read
    }

    /// Makes it ready to wait for the next request.
    pub(crate) fn rest(&mut self, now: Instant) {
        self.since = now;
        if self.piece > PIECE.0 {
            (self.piece, self.answer) = (PIECE.0, BytesMut::new());
        }
    }

    /// Whether it can still be used: an instance that has closed, or speaks unasked, is of no use. Costs no call into
    /// the kernel unless something has happened on it.
    pub(crate) fn is_usable(&self) -> bool {
        let mut byte = [0; 1];
        let read = match &self.stream {
            Either::Left(stream) => stream.try_read(&mut byte),
            Either::Right(stream) => stream.try_read(&mut byte),
        };
        !self.connection.is_cut_off() && read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

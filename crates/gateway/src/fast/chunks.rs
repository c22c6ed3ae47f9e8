//! Reads a body in chunks (RFC 9112, section 7.1), however the bytes are cut. Lines end with CR and LF, nothing less;
//! extensions and trailers are read and dropped, as on the long way towards a client that did not ask for them. Only
//! answers are read here: space after a size, which some servers pad it with, is taken from them and from no client.

/// Longest line of a size with its extensions.
const MOST_LINE: usize = 4 << 10;
/// All trailers together.
const MOST_TRAILERS: usize = 16 << 10;

/// How far a body has been read.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    state: State,
    /// The size so far, or what is left of the chunk.
    left: u64,
    /// Bytes of the line, or of the trailers.
    line: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    SizeFirst,
    Size,
    Space,
    Extension,
    SizeEnd,
    Data,
    DataEnd,
    DataEnded,
    TrailerStart,
    Trailer,
    TrailerEnd,
    LastEnd,
    Done,
}

/// The bytes are no chunks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Chunks {
    /// Whether the last chunk has come.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Reads `bytes`, and appends the data to `out`; how many were used. Fewer than all only where the body has ended.
    pub(crate) fn read(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, Malformed> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Done {
            if self.state == State::Data {
                let rest = bytes.len() - at;
                let size = usize::try_from(self.left).map_or(rest, |left| left.min(rest));
                out.extend_from_slice(&bytes[at..at + size]);
                self.left -= size as u64;
                at += size;
                if self.left == 0 {
                    self.state = State::DataEnd;
                }
            } else {
                self.state = self.step(bytes[at])?;
                at += 1;
            }
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<State, Malformed> {
        use State as S;
        self.line += 1;
        if self.line > if self.state >= S::TrailerStart { MOST_TRAILERS } else { MOST_LINE } {
            return Err(Malformed);
        }
        Ok(match (self.state, byte) {
            (S::SizeFirst | S::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).ok_or(Malformed)?;
                self.left = self.left.checked_mul(16).and_then(|l| l.checked_add(u64::from(digit))).ok_or(Malformed)?;
                S::Size
            }
            (S::Size | S::Space, b' ' | b'\t') => S::Space,
            (S::Size | S::Space, b';') => S::Extension,
            (S::Size | S::Space | S::Extension, b'\r') => S::SizeEnd,
            (S::Extension, b'\t' | 0x20..=0x7e | 0x80..) => S::Extension,
            (S::SizeEnd, b'\n') => {
                self.line = 0;
                if self.left == 0 { S::TrailerStart } else { S::Data }
            }
            (S::DataEnd, b'\r') => S::DataEnded,
            (S::DataEnded, b'\n') => {
                self.line = 0;
                S::SizeFirst
            }
            (S::TrailerStart, b'\r') => S::LastEnd,
            (S::TrailerStart | S::Trailer, b'\t' | 0x20..=0x7e | 0x80..) => S::Trailer,
            (S::Trailer, b'\r') => S::TrailerEnd,
            (S::TrailerEnd, b'\n') => S::TrailerStart,
            (S::LastEnd, b'\n') => S::Done,
            _ => return Err(Malformed),
        })
    }
}

impl PartialOrd for State {
    fn partial_cmp(&self, other: &State) -> Option<std::cmp::Ordering> {
        (*self as u8).partial_cmp(&(*other as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], piece: usize) -> Result<(Vec<u8>, usize, bool), Malformed> {
        let (mut chunks, mut out, mut used) = (Chunks::default(), Vec::new(), 0);
        for piece in bytes.chunks(piece) {
            used += chunks.read(piece, &mut out)?;
        }
        Ok((out, used, chunks.is_done()))
    }

    #[test]
    fn a_body_is_the_same_however_it_is_cut() {
        let body = b"5 ;a=\"b\"\r\nhello\r\n0000B \t\r\n, and world\r\n0\r\nx-sum: 1\r\n\r\n";
        for piece in 1..body.len() {
            assert_eq!(read(body, piece), Ok((b"hello, and world".to_vec(), body.len(), true)), "{piece}");
        }
        let more = [&body[..], b"HTTP/1.1 200"].concat();
        assert_eq!(read(&more, more.len()).unwrap().1, body.len(), "what follows is left alone");
        for end in 0..body.len() {
            assert!(!read(&body[..end], 7).unwrap().2, "{end}");
        }
    }

    #[test]
    fn what_others_may_read_differently_is_refused() {
        for bytes in [
            "5\nhello",
            "\r\n",
            "5 5\r\n",
            "5 \n",
            " 5\r\n",
            "0x5\r\n",
            "+5\r\n",
            "-1\r\n",
            "5\r\nhelloX",
            "5\r\nhello\n",
            "5\r\r\n",
            "5;a\nb\r\n",
            "fffffffffffffffff\r\n",
            "0\r\nx: 1\n\r\n",
            "0\r\n\n",
            "g\r\n",
        ] {
            assert_eq!(read(bytes.as_bytes(), 3), Err(Malformed), "{bytes:?}");
        }
        assert_eq!(read(format!("5;{}", "a".repeat(5_000)).as_bytes(), 100), Err(Malformed));
        assert_eq!(read(format!("0\r\n{}", "a: b\r\n".repeat(5_000)).as_bytes(), 100), Err(Malformed));
    }
}

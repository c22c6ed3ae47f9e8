//! A chunked body, byte by byte: sizes in hexadecimal digits alone, extensions of printable characters, CR LF at every
//! end, trailers that are headers.

use super::head::field;
use crate::fault::Fault;

/// Digits that a size may have.
const MOST_DIGITS: u8 = 15;
/// Bytes that the extensions of one chunk may have.
const MOST_EXTENSION: usize = 256;
/// Bytes that the extensions of a body may have in all.
const MOST_EXTENSIONS: usize = 16 << 10;

/// How far a chunked body has come.
#[derive(Debug)]
pub(super) struct Chunks {
    at: At,
    digits: u8,
    size: u64,
    extension: usize,
    extensions: usize,
    trailer: Vec<u8>,
    trailer_bytes: usize,
    most_trailer_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
enum At {
    Size,
    Extension,
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    Trailer,
    TrailerEnd,
}

impl Chunks {
    /// Before the first size; trailers may have so many bytes.
    pub(super) fn new(most_trailer_bytes: usize) -> Chunks {
        Chunks {
            at: At::Size,
            digits: 0,
            size: 0,
            extension: 0,
            extensions: 0,
            trailer: Vec::new(),
            trailer_bytes: 0,
            most_trailer_bytes,
        }
    }

    /// How many of `bytes` belong to the body, and whether it has ended; or how many did before it went wrong.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<(usize, bool), (usize, Fault)> {
        let mut taken = 0;
        while taken < bytes.len() {
            if let At::Data = self.at {
                let data = usize::try_from(self.size).unwrap_or(usize::MAX).min(bytes.len() - taken);
                taken += data;
                self.size -= data as u64;
                if self.size == 0 {
                    self.at = At::DataCr;
                }
                continue;
            }
            let ended = self.byte(bytes[taken]).map_err(|fault| (taken, fault))?;
            taken += 1;
            if ended {
                return Ok((taken, true));
            }
        }
        Ok((taken, false))
    }

    fn byte(&mut self, byte: u8) -> Result<bool, Fault> {
        const SIZE: Fault = Fault::Malformed("a chunk's size is not a number in hexadecimal digits");
        const LINE: Fault = Fault::Malformed("a chunk does not end in CR LF");
        self.at = match (self.at, byte) {
            (At::Size, _) if byte.is_ascii_hexdigit() => {
                self.digits += 1;
                if self.digits > MOST_DIGITS {
                    return Err(SIZE);
                }
                self.size = self.size << 4 | u64::from((byte as char).to_digit(16).unwrap_or_default());
                At::Size
            }
            (At::Size, b';') if self.digits > 0 => At::Extension,
            (At::Size, b'\r') if self.digits > 0 => At::SizeEnd,
            (At::Size, _) => return Err(SIZE),
            (At::Extension, b'\r') => At::SizeEnd,
            (At::Extension, b'\t' | b' '..=b'~') => {
                self.extension += 1;
                self.extensions += 1;
                if self.extension > MOST_EXTENSION || self.extensions > MOST_EXTENSIONS {
                    return Err(Fault::Malformed("a chunk's extension is too long"));
                }
                At::Extension
            }
            (At::Extension, _) => return Err(Fault::Malformed("a chunk's extension holds a control character")),
            (At::SizeEnd, b'\n') => {
                (self.digits, self.extension) = (0, 0);
                if self.size == 0 { At::Trailer } else { At::Data }
            }
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => At::Size,
            (At::Trailer, b'\r') => At::TrailerEnd,
            (At::Trailer, b'\t' | b' '..=b'~' | 0x80..) => {
                self.trailer.push(byte);
                self.trailer_bytes += 1;
                if self.trailer_bytes > self.most_trailer_bytes {
                    return Err(Fault::HeadersTooLarge);
                }
                At::Trailer
            }
            (At::Trailer, _) => return Err(Fault::Malformed("a trailer holds a control character")),
            (At::TrailerEnd, b'\n') if self.trailer.is_empty() => return Ok(true),
            (At::TrailerEnd, b'\n') => {
                field(&std::mem::take(&mut self.trailer))?;
                At::Trailer
            }
            _ => return Err(LINE),
        };
        Ok(false)
    }
}

//! The framing of an instance's answer, after it was parsed: two lengths, or a length beside chunks, are two answers in
//! one. Line ends and the like need no look: what goes to the client is written anew.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Response, Version};

/// Whether the answer can be read in one way only.
pub(crate) fn is_sound<B>(response: &Response<B>) -> bool {
    let headers = response.headers();
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    let digits = length.is_none_or(|v| !v.is_empty() && v.as_bytes().iter().all(u8::is_ascii_digit));
    if !digits || lengths.next().is_some() {
        return false;
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => {
            let chunked = coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
            chunked && length.is_none() && response.version() == Version::HTTP_11
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_one_length_or_chunks_and_not_both() {
        for (fields, sound) in [
            (&[][..], true),
            (&[("content-length", "3")], true),
            (&[("transfer-encoding", "Chunked")], true),
            (&[("content-length", "3"), ("content-length", "3")], false),
            (&[("content-length", "3, 3")], false),
            (&[("content-length", "+3")], false),
            (&[("content-length", "3"), ("transfer-encoding", "chunked")], false),
            (&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], false),
            (&[("transfer-encoding", "gzip, chunked")], false),
            (&[("transfer-encoding", "identity")], false),
        ] {
            let mut response = Response::builder();
            for (name, value) in fields {
                response = response.header(*name, *value);
            }
            assert_eq!(is_sound(&response.body(()).unwrap()), sound, "{fields:?}");
        }
    }
}

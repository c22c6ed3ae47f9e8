//! HTTP/1 requests as another parser reads them: heads by httparse, bodies by what the heads say. It is lenient where
//! the gateway is strict, and shares nothing with it.

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// Its method.
    pub(crate) method: String,
    /// Its target, as it stands in the request line.
    pub(crate) target: String,
    /// The minor version of HTTP/1.
    pub(crate) minor: u8,
    /// Names in lower case, and values.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// Its body, out of its chunks.
    pub(crate) body: Vec<u8>,
    /// Where it ends, in bytes from the start.
    pub(crate) end: usize,
}

impl Request {
    /// The values of a header.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_slice())
    }
}

/// How reading went on after the last whole request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing is left.
    Nothing,
    /// The beginning of a request.
    Begun,
    /// Something that is none.
    Broken,
}

/// The whole requests at the start of `bytes`, and what comes after them.
pub(crate) fn requests(bytes: &[u8]) -> (Vec<Request>, Rest) {
    let (mut found, mut at) = (Vec::new(), 0);
    loop {
        match one(&bytes[at..]) {
            Ok(Some(mut request)) => {
                request.end += at;
                at = request.end;
                found.push(request);
            }
            Ok(None) if at == bytes.len() => return (found, Rest::Nothing),
            Ok(None) => return (found, Rest::Begun),
            Err(()) => return (found, Rest::Broken),
        }
    }
}

fn one(bytes: &[u8]) -> Result<Option<Request>, ()> {
    let mut room = [httparse::EMPTY_HEADER; 128];
    let mut head = httparse::Request::new(&mut room);
    let httparse::Status::Complete(length) = head.parse(bytes).map_err(drop)? else { return Ok(None) };
    let headers: Vec<(String, Vec<u8>)> =
        head.headers.iter().map(|h| (h.name.to_ascii_lowercase(), h.value.to_vec())).collect();
    let mut request = Request {
        method: head.method.unwrap_or_default().to_string(),
        target: head.path.unwrap_or_default().to_string(),
        minor: head.version.unwrap_or_default(),
        headers,
        body: Vec::new(),
        end: length,
    };
    let chunked = request.values("transfer-encoding").next().is_some();
    let said = request.values("content-length").next().map(|v| String::from_utf8_lossy(v).trim().parse::<usize>());
    let rest = &bytes[length..];
    let (body, taken) = if chunked {
        match chunks(rest)? {
            Some(whole) => whole,
            None => return Ok(None),
        }
    } else {
        let wanted = said.transpose().map_err(drop)?.unwrap_or(0);
        if rest.len() < wanted {
            return Ok(None);
        }
        (rest[..wanted].to_vec(), wanted)
    };
    request.body = body;
    request.end += taken;
    Ok(Some(request))
}

/// A chunked body and what it takes up, trailers included.
fn chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, ()> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let httparse::Status::Complete((line, size)) = httparse::parse_chunk_size(&bytes[at..]).map_err(drop)? else {
            return Ok(None);
        };
        at += line;
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).map_err(drop)?;
        let Some(data) = at.checked_add(size).and_then(|end| bytes.get(at..end)) else { return Ok(None) };
        body.extend_from_slice(data);
        at += size;
        match bytes.get(at..at + 2) {
            Some(b"\r\n") => at += 2,
            Some(_) => return Err(()),
            None if bytes[at..] == b"\r"[..bytes.len() - at] => return Ok(None),
            None => return Err(()),
        }
    }
    let mut room = [httparse::EMPTY_HEADER; 128];
    match httparse::parse_headers(&bytes[at..], &mut room).map_err(drop)? {
        httparse::Status::Complete((length, _)) => Ok(Some((body, at + length))),
        httparse::Status::Partial => Ok(None),
    }
}

//! A line of JSON and open files over a Unix socket (unix(7), `SCM_RIGHTS`).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::LINE_BYTES;

/// Files that go with one line, at most.
const FILES: usize = 8;

/// Says a line, and hands over files with it. A line is short enough to go at once into a socket that is empty.
pub(super) fn send(to: impl AsFd, said: &impl Serialize, files: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut line = serde_json::to_vec(said)?;
    line.push(b'\n');
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(io::Error::other("more files than can be handed over"));
    }
    let sent = sendmsg(to, &[IoSlice::new(&line)], &mut control, SendFlags::NOSIGNAL)?;
    if sent == line.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Takes what [`send`] said, as the first on this socket.
pub(super) fn receive<T: DeserializeOwned>(from: &UnixStream) -> io::Result<(T, Vec<OwnedFd>)> {
    let mut line = vec![0; LINE_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    // For this process alone: what it starts must not hold sockets open.
    let received = recvmsg(from, &mut [IoSliceMut::new(&mut line)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut files = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            files.extend(rights);
        }
    }
    Ok((serde_json::from_slice(&line[..received.bytes])?, files))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_file_that_is_handed_over_is_the_same_open_file() {
        let (one, other) = UnixStream::pair().unwrap();
        let (mut pipe_read, pipe_write) = io::pipe().unwrap();
        send(&one, &"take this", &[pipe_write.as_fd()]).unwrap();
        drop(pipe_write);
        let (said, mut files): (String, _) = receive(&other).unwrap();
        assert_eq!((said.as_str(), files.len()), ("take this", 1));
        File::from(files.remove(0)).write_all(b"here").unwrap();
        let mut came = String::new();
        pipe_read.read_to_string(&mut came).unwrap();
        assert_eq!(came, "here");
    }

    #[test]
    fn what_makes_no_sense_is_an_error() {
        let (mut one, other) = UnixStream::pair().unwrap();
        one.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        receive::<String>(&other).unwrap_err();
        drop(one);
        receive::<String>(&other).unwrap_err();
    }
}

//! Sockets: how they are listened on, dialled and told to look after the other side. Knows nothing of what is said on them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixStream};
use tokio_util::either::Either;

use slipway_core::address::Address;

use crate::upstream::ConnectError;

/// How long a connection may be silent before the other machine is asked whether it is there.
const ASK_AFTER: Duration = Duration::from_secs(30);
/// How long after that it is asked again.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// Questions without an answer after which the connection is over.
const ASK_TIMES: u32 = 3;
/// From one attempt to the next where a socket's queue of connections is full: nobody says when it has room.
const NO_ROOM: Duration = Duration::from_millis(2);

/// Listens. Connections that are taken from it are kept alive, since they inherit that (tcp(7)).
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    keep_alive(&socket)?;
    socket.bind(address)?;
    socket.listen(4096)
}

/// A connection to an instance.
pub(crate) type Stream = Either<TcpStream, UnixStream>;

/// Opens a connection to an instance.
pub(crate) async fn dial(address: &Address, time_limit: Duration) -> Result<Stream, ConnectError> {
    let dialled = match address {
        Address::Tcp(address) => tokio::time::timeout(time_limit, dial_port(*address)).await,
        Address::Unix(path) => tokio::time::timeout(time_limit, dial_socket(path)).await,
    };
    dialled.unwrap_or(Err(ConnectError::TimedOut))
}

async fn dial_port(address: SocketAddr) -> Result<Stream, ConnectError> {
    let stream = TcpStream::connect(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => ConnectError::TimedOut,
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => ConnectError::Refused(error.to_string()),
        _ => ConnectError::Own(error),
    })?;
    // Small answers must not wait for the acknowledgement of the one before.
    stream.set_nodelay(true).map_err(ConnectError::Own)?;
    keep_alive(&stream).map_err(ConnectError::Own)?;
    // On loopback a port that nobody listens on may be given to the caller itself, which then talks to itself.
    if stream.local_addr().ok() == Some(address) {
        return Err(ConnectError::Refused("nobody listens there".into()));
    }
    Ok(Either::Left(stream))
}

async fn dial_socket(path: &str) -> Result<Stream, ConnectError> {
    loop {
        let error = match UnixStream::connect(path).await {
            Ok(stream) => return Ok(Either::Right(stream)),
            Err(error) => error,
        };
        match error.kind() {
            io::ErrorKind::WouldBlock => tokio::time::sleep(NO_ROOM).await,
            // Whatever is wrong with the file is the instance's doing.
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::PermissionDenied => return Err(ConnectError::Refused(error.to_string())),
            _ => return Err(ConnectError::Own(error)),
        }
    }
}

/// A machine that vanishes says no farewell: without questions a tunnel, an event stream or a body would hold its place
/// for ever.
fn keep_alive(socket: &impl AsFd) -> io::Result<()> {
    sockopt::set_tcp_keepidle(socket, ASK_AFTER)?;
    sockopt::set_tcp_keepintvl(socket, ASK_EVERY)?;
    sockopt::set_tcp_keepcnt(socket, ASK_TIMES)?;
    Ok(sockopt::set_socket_keepalive(socket, true)?)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use tokio::net::UnixSocket;

    use super::*;

    #[tokio::test]
    async fn a_socket_whose_queue_is_full_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let socket = UnixSocket::new_stream().unwrap();
        socket.bind(&path).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = Address::unix(path.to_str().unwrap()).unwrap();
        let limit = Duration::from_secs(20);
        let _first = dial(&address, limit).await.unwrap();
        let mut second = Box::pin(dial(&address, limit));
        let at_once = poll_fn(|cx| Poll::Ready(second.as_mut().poll(cx))).await;
        assert!(at_once.is_pending(), "there is no room: {at_once:?}");
        listener.accept().await.unwrap();
        second.await.unwrap();
    }

    #[tokio::test]
    async fn a_socket_that_is_not_there_or_that_nobody_listens_on_refuses() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let address = Address::unix(path.to_str().unwrap()).unwrap();
        for _ in 0..2 {
            let refused = dial(&address, Duration::from_secs(20)).await;
            assert!(matches!(refused, Err(ConnectError::Refused(_))), "{refused:?}");
            // What a program leaves that has died.
            let _ = std::os::unix::net::UnixListener::bind(&path);
        }
    }

    #[tokio::test]
    async fn both_sides_are_asked_whether_they_are_there() {
        let listener = listen(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap().into();
        let Ok(Either::Left(dialled)) = dial(&address, Duration::from_secs(20)).await else { panic!("no connection") };
        let (accepted, _) = listener.accept().await.unwrap();
        for socket in [&dialled, &accepted] {
            assert!(sockopt::socket_keepalive(socket).unwrap());
            assert_eq!(sockopt::tcp_keepidle(socket).unwrap(), ASK_AFTER);
            assert_eq!(sockopt::tcp_keepintvl(socket).unwrap(), ASK_EVERY);
            assert_eq!(sockopt::tcp_keepcnt(socket).unwrap(), ASK_TIMES);
        }
    }
}

//! Reports of outcomes that gateways took which do not know where the API is. Whoever proves to be an invited gateway may hand
//! one in, on a connection of its own; it goes to the API and nowhere else, and who may report is decided there.

use std::io;

use http::{HeaderValue, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};

use slipway_core::traffic::link::{Answer, Report, ToGateway};

use super::Shared;
use super::door::Place;
use super::refusal::{Way, admit, refuse, say_last, told_as, turn_away};
use crate::outcomes::{BODY_LIMIT, BROKEN_OFF, LATE, LIMIT, Refused, Reports, TOO_LARGE, to_api};
use crate::wire::LineReader;

/// What one takes of its gateway's room at the least, so that there are not many however little they bring.
const LEAST: usize = 64 << 10;

/// Takes a report where its gateway is let in, and says what came of it.
pub(super) async fn take<S: AsyncRead + AsyncWrite>(
    shared: &Shared,
    report: Report,
    way: Way,
    place: Option<Place>,
    mut lines: LineReader<ReadHalf<S>>,
    write: WriteHalf<S>,
) -> io::Result<()> {
    let admitted = admit(&shared.state(), &shared.token, (&report.gateway, &report.token), &way);
    drop(place);
    if let Err(why) = admitted {
        turn_away(lines, write, told_as(why, &way)).await;
        return Err(refuse(shared, report.gateway, why));
    }
    let reports = shared.state().reports.entry(report.gateway.clone()).or_default().clone();
    let said = match pass_on(shared, &reports, report, &mut lines).await {
        Ok(answer) => ToGateway::Answered(answer),
        Err((status, why)) => ToGateway::NotPassedOn { status: status.as_u16(), why: why.into_owned() },
    };
    lines.set_limit(BODY_LIMIT);
    say_last(lines, write, &said, LIMIT).await;
    Ok(())
}

async fn pass_on(
    shared: &Shared,
    reports: &Reports,
    report: Report,
    lines: &mut LineReader<impl AsyncRead + Unpin>,
) -> Result<Answer, Refused> {
    let away = (StatusCode::SERVICE_UNAVAILABLE, "the control plane passes no reports on".into());
    let api = shared.api.ok_or(away)?;
    let size = usize::try_from(report.size).ok().filter(|size| *size <= BODY_LIMIT).ok_or(TOO_LARGE)?;
    let _room = reports.room(size.max(LEAST))?;
    let batch = tokio::time::timeout(LIMIT, lines.take(size)).await.map_err(|_| LATE)?.map_err(|_| BROKEN_OFF)?;
    let _place = reports.place()?;
    let authorization = report.authorization.and_then(|value| HeaderValue::try_from(value).ok());
    to_api(api, authorization.as_ref(), batch).await
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::time::Duration;

    use slipway_core::traffic::link::{FromGateway, LINE_LIMIT};
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::client::TlsStream;

    use super::*;
    use crate::Invitation;
    use crate::hub::{Hub, Invited, Settings};
    use crate::wire;

    /// Long enough for a machine that has much else to do.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// An API that takes whatever it is sent, and how often it was asked.
    async fn api() -> (SocketAddr, Arc<AtomicUsize>) {
        let (listener, asked) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Arc::new(AtomicUsize::new(0)));
        let (at, count) = (listener.local_addr().unwrap(), asked.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, SeqCst);
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\ntaken").await.unwrap();
                // Until the other side has heard it.
                tokio::spawn(async move { tokio::io::copy(&mut stream, &mut tokio::io::sink()).await });
            }
        });
        (at, asked)
    }

    async fn hub(folder: &std::path::Path, api: Option<SocketAddr>) -> (Hub, Invitation) {
        let invited = Some(Invited { listen: Some(([127, 0, 0, 1], 0).into()), folder: folder.join("gateways") });
        let (control_file, token) = (folder.join("control.json"), "secret".to_string());
        let settings = Settings { control_file, token, api, start: 0, grace: crate::hub::GRACE, invited };
        let hub = Hub::open(settings).await.unwrap();
        let invitation = invite(&hub, "edge-2");
        (hub, invitation)
    }

    fn invite(hub: &Hub, name: &str) -> Invitation {
        hub.invite(name, hub.invited_at().unwrap().to_string()).unwrap().unwrap()
    }

    /// Brings a report as a gateway does, of which these many bytes come.
    async fn bring(invitation: &Invitation, size: u32, come: usize) -> TlsStream<TcpStream> {
        let mut stream = invitation.connect().await.unwrap();
        let (token, gateway, authorization) = (invitation.token.clone(), invitation.name.clone(), None);
        let report = FromGateway::Report(Report { token, gateway, authorization, size });
        stream.write_all(&wire::line(&report).unwrap()).await.unwrap();
        stream.write_all(&vec![b' '; come]).await.unwrap();
        stream.flush().await.unwrap();
        stream
    }

    async fn said(stream: TlsStream<TcpStream>) -> ToGateway {
        let mut lines = LineReader::new(stream, LINE_LIMIT);
        let line = tokio::time::timeout(PATIENCE, lines.next()).await.expect("an answer").unwrap().expect("one");
        serde_json::from_slice(&line).unwrap()
    }

    fn status(said: &ToGateway) -> u16 {
        match said {
            ToGateway::Answered(answer) => answer.status,
            ToGateway::NotPassedOn { status, .. } => *status,
            other => panic!("{other:?} answers no report"),
        }
    }

    #[tokio::test]
    async fn strangers_hand_nothing_in() {
        let (dir, (api, asked)) = (tempfile::tempdir().unwrap(), api().await);
        let (hub, edge) = hub(dir.path(), Some(api)).await;
        let other = invite(&hub, "edge-3");
        let mut wrong_token = edge.clone();
        wrong_token.token.push('x');
        let in_the_name_of_another =
            Invitation { name: other.name.clone(), token: other.token.clone(), ..edge.clone() };
        let forgotten = invite(&hub, "edge-4");
        hub.forget("edge-4").unwrap();
        for stranger in [wrong_token, in_the_name_of_another, forgotten] {
            let refused = said(bring(&stranger, 2, 2).await).await;
            assert!(matches!(refused, ToGateway::Refused { .. }), "{}: {refused:?}", stranger.name);
        }
        assert_eq!(asked.load(SeqCst), 0);
        for known in [edge, other] {
            let ToGateway::Answered(answer) = said(bring(&known, 2, 2).await).await else { panic!("it may") };
            assert_eq!((answer.status, answer.body.as_str()), (200, "taken"));
        }
        assert_eq!(asked.load(SeqCst), 2);
        assert!(hub.gateways().is_empty(), "a report makes nobody a gateway that serves");
    }

    #[tokio::test]
    async fn each_gateway_has_so_much_room_and_takes_none_of_another() {
        let (dir, (api, asked)) = (tempfile::tempdir().unwrap(), api().await);
        let (hub, edge) = hub(dir.path(), Some(api)).await;
        let too_large = u32::try_from(BODY_LIMIT).unwrap() + 1;
        assert_eq!(status(&said(bring(&edge, too_large, 1 << 20).await).await), 413);
        let mut slow = Vec::new();
        for _ in 0..16 {
            slow.push(bring(&edge, 2 << 20, 1).await);
        }
        let full = async || status(&said(bring(&edge, 2, 2).await).await) == 429;
        tokio::time::timeout(PATIENCE, async { while !full().await {} }).await.expect("all of its room is taken");
        assert_eq!(status(&said(bring(&invite(&hub, "edge-3"), 2, 2).await).await), 200);
        drop(slow);
        tokio::time::timeout(PATIENCE, async { while full().await {} }).await.expect("room is given back");
        assert!(asked.load(SeqCst) > 1);
    }

    #[tokio::test]
    async fn without_an_api_or_with_one_that_is_away_it_is_said() {
        let dir = tempfile::tempdir().unwrap();
        // Nobody else gets it meanwhile, and nobody listens there.
        let held = tokio::net::TcpSocket::new_v4().unwrap();
        held.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let gone = held.local_addr().unwrap();
        for (folder, api) in [("one", None), ("two", Some(gone))] {
            let (_hub, edge) = hub(&dir.path().join(folder), api).await;
            assert_eq!(status(&said(bring(&edge, 2, 2).await).await), 503, "{folder}");
        }
    }
}

//! What no request shows: which connections are taken, and what a drain cuts.

use super::*;
use slipway_core::units::Millis;

async fn upstream() -> (Arc<Upstream>, tokio::net::TcpListener) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let endpoint = Endpoint { instance: "s1".parse().unwrap(), incarnation: 1, address: address.into() };
    let lane = LaneId { service: "shop".parse().unwrap(), environment: "production".parse().unwrap() };
    let stopped = CancellationToken::new();
    (Arc::new(Upstream::new(lane, "s".parse().unwrap(), endpoint, Protocol::Http1, &stopped)), listener)
}

#[tokio::test]
async fn where_only_a_new_connection_will_do_no_pooled_one_is_taken() {
    let (upstream, _listener) = upstream().await;
    let raw = upstream.open_raw(&Places::new(1), Duration::from_secs(20), &mut Instant::now()).await.unwrap();
    let since = raw.since;
    upstream.put_back_raw(raw);
    assert!(upstream.raw.take(Duration::ZERO, since).is_none(), "not even one that was put back just now");
    assert!(upstream.raw.take(Duration::from_nanos(1), since).is_some());
}

#[tokio::test]
async fn what_was_opened_after_a_drain_was_over_is_cut_by_the_next() {
    let (upstream, _listener) = upstream().await;
    let limits = Limits { drain: Millis(0), drain_long: Millis(0), ..Limits::default() };
    let (first, second) = (upstream.new_connection(None), upstream.new_connection(None));
    second.make_long();
    upstream.drain(&limits);
    first.cut().await;
    second.cut().await;
    let is_over = || lock(&upstream.draining).as_ref().is_some_and(AbortHandle::is_finished);
    while !is_over() {
        tokio::task::yield_now().await;
    }
    let third = upstream.new_connection(None);
    upstream.retire(&limits);
    let cut = tokio::time::timeout(Duration::from_secs(20), third.cut()).await;
    cut.expect("it is drained once more");
}

#[tokio::test]
async fn a_drain_cuts_what_a_tunnel_holds_after_http_has_let_go_of_it() {
    let (upstream, _listener) = upstream().await;
    let by_http = upstream.new_connection(None);
    let by_tunnel = by_http.clone();
    by_tunnel.make_long();
    drop(by_http);
    let limits = Limits { drain: Millis(0), drain_long: Millis(0), ..Limits::default() };
    upstream.drain(&limits);
    let cut = tokio::time::timeout(Duration::from_secs(20), by_tunnel.cut()).await;
    cut.expect("it is cut");
    assert_eq!(lock(&upstream.connections).len(), 1);
    drop(by_tunnel);
    assert_eq!(lock(&upstream.connections).len(), 0, "what nobody holds is forgotten");
}

//! `/metrics` in Prometheus' text format and `/healthz`, on a loopback port of their own, so that they need no route
//! and no client reaches them. The address is in the state folder's `admin.json`.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use slipway_core::traffic::link::CountRow;

use crate::gateway::Gateway;
use crate::table_store::replace;
use crate::upgrade;

/// Upper bounds of the latency histogram in seconds.
const BOUNDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// What is written down of a gateway for others on its machine.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    file: PathBuf,
    text: String,
}

impl Admin {
    /// Writes it into the gateway's folder.
    pub(crate) fn write(&self) -> io::Result<()> {
        replace(&self.file, self.text.as_bytes())
    }
}

/// Listens on a free loopback port; what there is to write down: which it is, where TLS is spoken, whether its certificates
/// are obtained, and whether the process gives way to a new program when it is told to.
pub(crate) async fn bind(
    state_dir: &Path,
    tls: Option<(SocketAddr, bool)>,
    gives_way: bool,
) -> io::Result<(TcpListener, Admin)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let (pid, version) = (std::process::id(), upgrade::VERSION);
    let mut told = serde_json::json!({
        "address": listener.local_addr()?, "pid": pid, "version": version, "gives_way": gives_way,
    });
    if let Some((tls, obtained)) = tls {
        told["tls"] = tls.to_string().into();
        told["obtained"] = obtained.into();
    }
    Ok((listener, Admin { file: state_dir.join("admin.json"), text: format!("{told}\n") }))
}

/// Answers until the gateway ends.
pub(crate) async fn serve(gateway: Arc<Gateway>, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            () = gateway.stopped.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        let held = gateway.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let answer = answer(&held, &request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            let connection = server.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                _ = connection => {}
                () = held.stopped.cancelled() => {}
            }
        });
    }
}

fn answer(gateway: &Gateway, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (status, text) = match request.uri().path() {
        "/metrics" => (StatusCode::OK, render(gateway)),
        "/healthz" if gateway.served().table.is_some() => (StatusCode::OK, "serving\n".into()),
        "/healthz" => (StatusCode::SERVICE_UNAVAILABLE, "no routing table yet\n".into()),
        _ => (StatusCode::NOT_FOUND, "there are /metrics and /healthz\n".into()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn render(gateway: &Gateway) -> String {
    let mut out = String::new();
    let served = gateway.served();
    let rows: Vec<CountRow> = gateway.counts.lifetimes().iter().map(|c| c.row()).collect();
    let labels =
        |r: &CountRow| format!("service=\"{}\",environment=\"{}\",version=\"{}\"", r.service, r.environment, r.version);
    let mut family = |name: &str, kind: &str, help: &str, samples: Vec<(String, f64)>| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(out, "{name}{labels} {value}");
        }
    };
    let per_version = |value: fn(&CountRow) -> u64| -> Vec<(String, f64)> {
        rows.iter().map(|r| (format!("{{{}}}", labels(r)), value(r) as f64)).collect()
    };
    family("slipway_requests_total", "counter", "Requests assigned to a version.", per_version(|r| r.assigned));
    family("slipway_attempts_total", "counter", "Attempts that ended, retries included.", per_version(|r| r.attempts));
    family("slipway_attempts_failed_total", "counter", "Attempts that failed.", per_version(|r| r.failed));
    let by_us = per_version(|r| r.failed_by_slipway);
    family("slipway_failed_by_slipway_total", "counter", "Requests failed by no instance's doing.", by_us);
    let injected = per_version(|r| r.injected);
    family("slipway_injected_total", "counter", "Requests into which a fault was injected on purpose.", injected);

    let mut instances = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for u in served.upstreams() {
        let labels = format!(
            "service=\"{}\",environment=\"{}\",version=\"{}\",instance=\"{}\"",
            u.lane.service, u.lane.environment, u.version, u.endpoint.instance
        );
        instances.0.push((format!("{{{labels},attempt=\"first\"}}"), u.tallies.first.load(Relaxed) as f64));
        instances.0.push((format!("{{{labels},attempt=\"retry\"}}"), u.tallies.retries.load(Relaxed) as f64));
        instances.1.push((format!("{{{labels}}}"), u.tallies.failed.load(Relaxed) as f64));
        instances.2.push((format!("{{{labels}}}"), f64::from(u8::from(u.is_out()))));
        instances.3.push((format!("{{{labels}}}"), u.in_flight() as f64));
    }
    family("slipway_instance_attempts_total", "counter", "Attempts begun, by instance.", instances.0);
    family("slipway_instance_failed_total", "counter", "Attempts that failed, by instance.", instances.1);
    family("slipway_instance_ejected", "gauge", "1 while connections to the instance fail.", instances.2);
    family("slipway_instance_in_flight", "gauge", "Requests that are being answered.", instances.3);
    let short = vec![(String::new(), gateway.short_way.load(Relaxed) as f64)];
    family("slipway_short_way_requests_total", "counter", "Requests that took the short way.", short);
    let generation = vec![(String::new(), served.generation().0 as f64)];
    family("slipway_table_generation", "gauge", "The routing table that is served.", generation);
    let lapsed = served.routes.iter().map(|r| {
        let labels = format!("{{service=\"{}\",environment=\"{}\"}}", r.lane.service, r.lane.environment);
        (labels, f64::from(u8::from(r.lapsed)))
    });
    family("slipway_lease_lapsed", "gauge", "1 while the fall-back is served.", lapsed.collect());
    let mut copies = (Vec::new(), Vec::new());
    for route in &served.routes {
        let Some(mirror) = &route.mirror else { continue };
        let (lane, to) = (&route.lane, &mirror.rule.to);
        let labels = format!("{{service=\"{}\",environment=\"{}\",version=\"{to}\"}}", lane.service, lane.environment);
        let made = mirror.counts.get(mirror.to).map_or(0, |counts| counts.row().attempts);
        copies.0.push((labels.clone(), made as f64));
        copies.1.push((labels, mirror.dropped.load(Relaxed) as f64));
    }
    family("slipway_mirrored_total", "counter", "Copies of requests that ended, in the step at hand.", copies.0);
    family("slipway_mirror_dropped_total", "counter", "Copies that were not made, over a limit.", copies.1);
    let faults = served.routes.iter().flat_map(|r| r.faults.iter().filter(|f| f.goes_on()).map(move |f| (r, f)));
    let faults = faults.map(|(r, f)| {
        let (lane, fault) = (&r.lane, &f.fault);
        let labels = format!(
            "{{service=\"{}\",environment=\"{}\",version=\"{}\",fault=\"{}\",number=\"{}\"}}",
            lane.service,
            lane.environment,
            fault.version,
            fault.what.word(),
            fault.number
        );
        (labels, fault.share.share())
    });
    family("slipway_fault_share", "gauge", "Share of requests that a fault is injected into now.", faults.collect());
    if let Some(certificates) = gateway.certificates.get() {
        let expiries = certificates.expiries().into_iter().map(|c| {
            (format!("{{certificate=\"{}\",host=\"{}\"}}", c.name.escape_default(), c.host), c.not_after as f64)
        });
        let help = "When a certificate stops to hold, in seconds since 1970.";
        family("slipway_certificate_expires_seconds", "gauge", help, expiries.collect());
        let mistakes = vec![(String::new(), certificates.mistakes() as f64)];
        family("slipway_certificate_mistakes", "gauge", "Certificates that cannot be used as they are.", mistakes);
    }
    latencies(&mut out, &rows, labels);
    out
}

fn latencies(out: &mut String, rows: &[CountRow], labels: impl Fn(&CountRow) -> String) {
    let name = "slipway_response_seconds";
    let _ = writeln!(out, "# HELP {name} Time to the response head.\n# TYPE {name} histogram");
    for row in rows {
        let labels = labels(row);
        let within = |bound: f64| -> u64 {
            row.latency_us.iter().filter(|(upper, _)| *upper as f64 <= bound * 1e6).map(|(_, n)| n).sum()
        };
        for bound in BOUNDS {
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {}", within(bound));
        }
        let count: u64 = row.latency_us.iter().map(|(_, n)| n).sum();
        // From the buckets' upper bounds, so at most 6.25% too much.
        let sum: f64 = row.latency_us.iter().map(|(upper, n)| *upper as f64 * *n as f64 / 1e6).sum();
        let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
        let _ = writeln!(out, "{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {count}");
    }
}

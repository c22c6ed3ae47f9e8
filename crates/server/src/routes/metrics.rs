//! What the control plane itself counts, in Prometheus' text format: probes, and nothing that a gateway counts.

use std::fmt::Write;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use slipway_core::traffic::link::CountRow;

use crate::state::App;

/// Probes by service, environment and version, all of them labelled synthetic. Requests of users are counted by gateways.
#[utoipa::path(get, path = "/api/v1/metrics", tag = "system", responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn read(State(app): State<App>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text(&app.control.probes()))
}

/// What a metric takes of a row.
type Value = fn(&CountRow) -> u64;

fn text(rows: &[CountRow]) -> String {
    let mut out = String::new();
    let metrics: [(&str, &str, Value); 2] = [
        ("slipway_probes_total", "Probes that Slipway sent and that ended; no request of a user.", |row| row.attempts),
        ("slipway_probes_failed_total", "Those that failed.", |row| row.failed),
    ];
    for (name, help, value) in metrics {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter");
        for row in rows {
            let (service, environment, version, epoch) = (&row.service, &row.environment, &row.version, row.epoch.0);
            let _ = writeln!(
                out,
                "{name}{{service=\"{service}\",environment=\"{environment}\",version=\"{version}\",epoch=\"{epoch}\",synthetic=\"true\"}} {}",
                value(row)
            );
        }
    }
    out
}

//! What people read: pure functions from wire types to text.

mod comparison;
mod environment;
#[cfg(test)]
mod examples;
mod explanation;
mod gates;
mod gateways;
mod group;
mod history;
mod hooks;
mod live;
mod paint;
mod plan;
mod progress;
mod rail;
mod schema;
mod status;
mod table;
mod times;
mod versions;

pub(crate) use comparison::comparison;
pub(crate) use environment::{environment, environment_diff, environments, in_file};
pub(crate) use explanation::{entry, explanation};
pub(crate) use gates::{gates, tokens};
pub(crate) use gateways::{gateways, gateways_in_trouble};
pub(crate) use group::{group_member, group_plan, group_run};
pub(crate) use history::history;
pub(crate) use hooks::hooks;
pub(crate) use live::Live;
pub(crate) use plan::plan;
pub(crate) use progress::{Lines, conclusion};
pub(crate) use schema::schema;
pub(crate) use status::status;
pub(crate) use times::times;
pub(crate) use versions::versions;

use slipway_server::wire::WireStepRecord;
use slipway_server::wire::words::{count, met, share, time};

/// What an instance or a test said, on one line and without what would move a terminal's cursor.
pub(crate) fn flat(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// The sign of a step.
fn mark(step: &WireStepRecord) -> &'static str {
    match step.state.as_str() {
        "done" => "✓",
        "failed" => "✗",
        "acting" | "waiting" => "●",
        "skipped" => "·",
        _ => "○",
    }
}

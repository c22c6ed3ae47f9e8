//! `slipway fault`.

use anyhow::Result;
use serde_json::json;
use slipway_core::spec;
use slipway_server::wire::{LaneStatus, NewFault};

use super::operating::show;
use crate::args::{Common, Fault};
use crate::client::Client;
use crate::exit::Usage;
use crate::place::at_lane;

/// Injects a fault, or ends all of them.
pub(crate) async fn run(common: &Common, fault: Fault) -> Result<u8> {
    let client = Client::find(common)?;
    let status: LaneStatus = match fault.end {
        true => client.post(&at_lane(&fault.lane, &["faults", "end"]), &json!({ "reason": fault.reason })).await?,
        false => {
            let place = at_lane(&fault.lane, &["faults"]);
            client.post_once(&place, &serde_json::to_value(wanted(fault)?)?).await?
        }
    };
    show(common, &status)
}

fn wanted(fault: Fault) -> Result<NewFault> {
    let wrong = |option: &'static str| move |why: String| Usage(format!("{option}: {why}"));
    let latency = fault.latency.map(|text| spec::duration(&text).map_err(wrong("--latency"))).transpose()?;
    let rate = |text: String| match text.strip_suffix("/s") {
        Some(size) => spec::size(size).map_err(wrong("--slow-body")),
        None => Err(Usage(format!("--slow-body: {text:?} is not a rate; write 1KB/s"))),
    };
    Ok(NewFault {
        latency_ms: latency.map(|delay| delay.0),
        abort: fault.abort,
        reset: fault.reset,
        slow_body: fault.slow_body.map(rate).transpose()?,
        version: fault.version,
        cohort: fault.cohort,
        share_bp: spec::weight(&fault.share.unwrap_or_default()).map_err(wrong("--share"))?.bp(),
        for_ms: spec::duration(&fault.length).map_err(wrong("--for"))?.0,
        reason: fault.reason,
    })
}

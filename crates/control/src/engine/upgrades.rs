//! Upgrades of gateways' programs: each is recorded once, whoever drove when it came about. A process says for as long as it runs
//! whose place it has taken, and the journal tells whether that is known.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use slipway_core::journal::Fact;
use slipway_core::traffic::link::Follows;
use slipway_core::units::Timestamp;
use slipway_store::{Filter, Store};

use super::Engine;
use super::gateways::of_gateway;
use crate::error::Error;
use crate::ports::GatewayView;

const KIND: &str = "gateway.upgraded";
/// Upgrades that are remembered, and looked for in the journal: many more than gateways' processes that run.
const KEPT: usize = 1_000;

/// Starts of processes that gave way, where that is recorded or about to be, oldest first.
#[derive(Clone, Default)]
pub(super) struct Upgraded(Arc<Mutex<VecDeque<String>>>);

impl Upgraded {
    /// Whether that is new.
    fn note(&self, boot: &str) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.iter().any(|noted| noted == boot) {
            return false;
        }
        if known.len() >= KEPT {
            known.pop_front();
        }
        known.push_back(boot.to_string());
        true
    }

    fn forget(&self, boot: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|noted| noted != boot);
    }
}

impl Engine {
    /// Records which gateways have taken another's place, where nobody has.
    pub(super) fn note_upgrades(&self, gateways: &[GatewayView], now: Timestamp) {
        for (gateway, follows) in gateways.iter().filter_map(|gateway| Some((gateway, gateway.follows.as_ref()?))) {
            if !self.upgraded.note(&follows.boot) {
                continue;
            }
            let (store, upgraded) = (self.store.clone(), self.upgraded.clone());
            let (boot, fact) = (follows.boot.clone(), fact(gateway, follows));
            tokio::spawn(async move {
                if let Err(error) = record(&store, &boot, fact, now).await {
                    tracing::warn!(%error, "that a gateway was upgraded could not be recorded; it is tried again");
                    upgraded.forget(&boot);
                }
            });
        }
    }
}

async fn record(store: &Store, boot: &str, fact: Fact, now: Timestamp) -> Result<(), Error> {
    let filter = Filter { kind: Some(KIND.to_string()), limit: Some(KEPT as u32), ..Filter::default() };
    let known = store.entries(&filter).await?;
    if known.iter().any(|entry| entry.fact.evidence["from"]["boot"] == boot) {
        return Ok(());
    }
    tracing::info!("{}", fact.cause);
    Ok(store.append(vec![fact], now).await?)
}

fn fact(gateway: &GatewayView, follows: &Follows) -> Fact {
    let (name, pid) = (gateway.gateway(), gateway.pid);
    let version = gateway.program.as_deref().unwrap_or("unknown");
    let cause = format!(
        "the program of the gateway {name} was replaced, as somebody asked on its machine: process {pid} of version {version} \
         serves in the place of process {} of version {}",
        follows.pid, follows.program
    );
    let from = json!({ "pid": follows.pid, "version": follows.program, "boot": follows.boot });
    let to = json!({ "pid": pid, "version": version });
    of_gateway(KIND, cause, json!({ "gateway": name, "traffic": gateway.traffic, "from": from, "to": to }))
}

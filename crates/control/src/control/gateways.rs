//! Gateways on this machine and on others: how they are, who may join, who is not waited for any more.

use serde_json::{Value, json};
use slipway_core::journal::Fact;
use slipway_core::rollout::Refusal;

use super::Control;
use crate::by::By;
use crate::engine::gateways::KEEP;
use crate::error::Error;
use crate::ports::GatewayView;

/// A gateway, or an invitation that nobody has used yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Gateway {
    /// Its name.
    pub name: String,
    /// As it is; absent where it has never called.
    pub known: Option<GatewayView>,
    /// Whether it was invited; otherwise it belongs to the data folder.
    pub invited: bool,
    /// Whether it serves the newest table.
    pub newest: bool,
    /// Instances that are kept because it may use them and cannot be asked.
    pub kept: usize,
    /// Until when at the most they are kept, in milliseconds since 1970; absent while it is waited for.
    pub kept_until: Option<u64>,
}

/// The name of the gateway that is started beside a control plane.
pub const OWN_GATEWAY: &str = "local";

impl Control {
    /// Every gateway, by name.
    pub fn gateways(&self) -> Vec<Gateway> {
        let (known, invited, now) = (self.engine.router.gateways(), self.engine.router.invited(), self.now());
        let unused = invited.iter().filter(|name| !known.iter().any(|g| g.name == **name)).map(|name| Gateway {
            name: name.clone(),
            known: None,
            invited: true,
            newest: false,
            kept: 0,
            kept_until: None,
        });
        let mut all: Vec<Gateway> = unused.collect();
        all.extend(known.into_iter().map(|view| Gateway {
            name: view.name.clone(),
            invited: invited.iter().any(|name| name == view.gateway()),
            newest: view.connected && self.engine.tables.is_newest(view.acked),
            kept: self.engine.kept_for(&view.name, now),
            kept_until: view.lost.map(|lost| lost.plus(KEEP).0),
            known: Some(view),
        }));
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Invites a gateway of this name; what it needs to call. An earlier invitation of the name is worth nothing from then
    /// on.
    pub async fn invite_gateway(&self, name: &str, address: Option<&str>, by: &By) -> Result<Value, Error> {
        if name == OWN_GATEWAY || self.gateways().iter().any(|g| g.name == name && !g.invited) {
            let reason = format!("{name} is the data folder's own gateway: take another name");
            return Err(Error::Refused(Refusal { code: "gateway_taken", reason }));
        }
        let refused = |reason| Error::Refused(Refusal { code: "no_invitation", reason });
        let address = self.engine.router.called_at(address).map_err(refused)?;
        // Before the earlier invitation is void.
        self.record("gateway.invited", name, format!("a gateway may join as {name}"), by).await?;
        self.engine.router.invite(name, &address).map_err(refused)
    }

    /// Forgets a gateway and its invitation: nobody waits for it, nothing is kept for it, and it cannot call again.
    pub async fn forget_gateway(&self, name: &str, by: &By) -> Result<Gateway, Error> {
        let Some(gateway) = self.gateways().into_iter().find(|g| g.name == name) else {
            return Err(Error::NotFound(format!("no gateway is called {name}; see slipway gateway list")));
        };
        if !gateway.invited && gateway.known.as_ref().is_some_and(|known| known.connected) {
            let reason = format!("{name} is the data folder's own gateway and would call again at once");
            return Err(Error::Refused(Refusal { code: "gateway_taken", reason }));
        }
        self.record("gateway.forgotten", name, format!("the gateway {name} is forgotten"), by).await?;
        self.engine.router.forget(name).map_err(Error::Unavailable)?;
        Ok(gateway)
    }

    async fn record(&self, kind: &str, gateway: &str, cause: String, by: &By) -> Result<(), Error> {
        let (actor, evidence) = (by.actor.clone(), json!({ "gateway": gateway }));
        let fact = Fact { kind: kind.to_string(), lane: None, rollout: None, actor, cause, evidence };
        Ok(self.engine.store.append(vec![fact], self.now()).await?)
    }
}

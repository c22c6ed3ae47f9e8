//! What the control plane is told of a gateway's process where it changes: whom it has followed, who of those still runs, what
//! is to be mended. Each connection begins anew.

use slipway_core::traffic::link::{FromGateway, Hello, Predecessor};

use crate::gateway::Gateway;

/// What the control plane was told on one connection.
pub(crate) struct News {
    /// Those that this process has followed and that still run.
    predecessors: Vec<Predecessor>,
    /// Whether it was told that this process has taken a place.
    follows: bool,
    /// What is to be mended.
    trouble: Option<String>,
}

impl News {
    /// It was told this first.
    pub(crate) fn after(hello: &Hello) -> News {
        News { predecessors: hello.predecessors.clone(), follows: false, trouble: None }
    }

    /// What it is to be told now.
    pub(crate) fn of(&mut self, gateway: &Gateway) -> Vec<FromGateway> {
        let mut news = Vec::new();
        // None comes but by an upgrade, which calls anew. While this process drains they are its successor's.
        if !self.predecessors.is_empty() && !gateway.draining.is_cancelled() {
            let running = gateway.predecessors();
            if running != self.predecessors {
                self.predecessors.clone_from(&running);
                news.push(FromGateway::Predecessors { running });
            }
        }
        if let Some(follows) = gateway.follows.get().filter(|_| !self.follows) {
            self.follows = true;
            news.push(FromGateway::Follows(follows.clone()));
        }
        let trouble = gateway.certificates.get().and_then(|certificates| certificates.trouble());
        if trouble != self.trouble {
            self.trouble.clone_from(&trouble);
            news.push(FromGateway::Trouble { trouble });
        }
        news
    }
}

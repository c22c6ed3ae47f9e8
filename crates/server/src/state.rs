//! What every handler may use.

use slipway_control::Control;
use slipway_registry::Blobs;
use tokio::sync::mpsc;

use crate::auth::Known;
use crate::challenges::Challenges;

/// What every handler may use. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The control plane.
    pub control: Control,
    /// Tokens as they were looked up before.
    pub known: Known,
    /// What proves to issuers of certificates that hosts are served here.
    pub challenges: Challenges,
    /// Where artifacts are kept.
    pub blobs: Blobs,
    /// Where a request to end goes. When the other end is gone, so is the control plane soon: streams end.
    pub farewell: mpsc::Sender<Farewell>,
}

/// A request to end everything: gateway, instances and control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Farewell;

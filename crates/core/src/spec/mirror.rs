//! Mirroring, as the declared file asks for it: copies of users' requests that a candidate gets before any user meets it.

use serde::{Deserialize, Serialize};

use crate::units::{Millis, Weight};

/// Which requests are copied, and how much of that a candidate gets at the most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    /// How many of the requests to stable.
    pub share: Weight,
    /// Of these methods only, in capitals. Default GET and HEAD.
    pub methods: Vec<String>,
    /// Largest body that is copied, in bytes; a request with a larger one is not. Default 64 KiB.
    pub body: u64,
    /// How long an answer may take. Default 5s.
    pub timeout: Millis,
    /// Copies that one gateway has under way at once; beyond them none is made. Default 10.
    pub at_once: u32,
}

//! slipway-e2e

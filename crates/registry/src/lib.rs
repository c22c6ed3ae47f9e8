//! slipway-registry

//! slipway-target

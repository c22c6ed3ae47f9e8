//! slipway-control

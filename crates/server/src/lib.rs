//! slipway-server

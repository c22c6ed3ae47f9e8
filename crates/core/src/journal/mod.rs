//! The journal's hash chain.

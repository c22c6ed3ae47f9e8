//! The declared file, `slipway.yaml`: reading it, checking it, and what it means.

mod model;

pub use model::{
    Amount, Bad, EnvironmentSpec, Expect, HealthCheck, HealthProbe, Objective, OnInconclusive, Run, ServiceSpec,
    SmokeAction, SmokeTest, Strategy, StrategyKind, Tolerate, Traffic, TrafficOverlay,
};

//! A hub that invites, and gateways that are invited.
#![allow(dead_code)] // each test file uses its own part

use std::path::{Path, PathBuf};
use std::time::Duration;

use slipway_gateway::hub::{Invited, Settings};
use slipway_gateway::{Config, Control, Invitation};

pub fn settings(dir: &Path, grace: Duration) -> Settings {
    let invited = Some(Invited { listen: Some(([127, 0, 0, 1], 0).into()), folder: dir.join("gateways") });
    let control_file = dir.join("control.json");
    Settings { control_file, token: "secret".into(), api: None, start: 0, grace, invited }
}

pub fn edge(invitation: Invitation, state_dir: PathBuf) -> Config {
    Config {
        listen: ([127, 0, 0, 1], 0).into(),
        state_dir,
        name: invitation.name.clone(),
        control: Control::Invited(Box::new(invitation)),
        access_log: None,
        tls: None,
    }
}

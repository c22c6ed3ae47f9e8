//! Gateways as text.

use slipway_core::names::some_of;
use slipway_core::units::Timestamp;
use slipway_server::wire::WireGateway;

use super::flat;
use super::table::columns;

/// Each gateway and how it is.
pub(crate) fn gateways(gateways: &[WireGateway]) -> String {
    let mut rows = vec![["name", "state", "traffic", "table", ""].map(str::to_string).to_vec()];
    for gateway in gateways {
        let table = match (gateway.state.as_str(), gateway.newest) {
            ("connected" | "draining", true) => "newest",
            ("connected" | "draining", false) => "older",
            ("invited", _) => "none",
            _ => "not known",
        };
        let traffic = gateway.traffic.clone().unwrap_or_else(|| "not yet".to_string());
        let cells = [gateway.name.clone(), gateway.state.clone(), flat(&traffic), table.to_string(), trouble(gateway)];
        rows.push(cells.to_vec());
    }
    columns(&rows)
}

/// Gateways that a person should know of beside what serves; nothing where all is well.
pub(crate) fn gateways_in_trouble(gateways: &[WireGateway]) -> String {
    let is_troubled = |g: &&WireGateway| match g.state.as_str() {
        "connected" => g.other_program || g.trouble.is_some() || !g.without.is_empty(),
        state => !matches!(state, "invited" | "draining"),
    };
    let troubled = gateways.iter().filter(is_troubled);
    troubled.map(|g| format!("⚠ gateway {} is {}: {}\n", g.name, g.state, trouble(g))).collect()
}

fn trouble(gateway: &WireGateway) -> String {
    let name = &gateway.name;
    let pid = gateway.pid.unwrap_or_default();
    match (gateway.lost_since, gateway.kept_until) {
        // Not of a process that drains, which nobody looks after.
        (Some(since), _) if !gateway.invited && !name.contains('.') => {
            format!("since {}; slipway up ends its process, {pid}, and starts another", Timestamp(since))
        }
        (Some(since), Some(until)) => format!(
            "since {}; {} instances are kept for it until {}, or until slipway gateway forget {name}",
            Timestamp(since),
            gateway.kept,
            Timestamp(until)
        ),
        _ if gateway.state == "draining" => format!("process {pid} was upgraded; it ends with its last connection"),
        _ if gateway.trouble.is_some() => flat(gateway.trouble.as_deref().unwrap_or_default()),
        _ if gateway.state == "ended" && gateway.invited => "its process is gone; start it again".to_string(),
        _ if gateway.state == "ended" => "its process is gone; slipway up starts it again".to_string(),
        _ if gateway.state == "away" => "a shift waits for it".to_string(),
        _ if !gateway.without.is_empty() => {
            let lanes = some_of(&gateway.without);
            format!("of an earlier release, it cannot reach {lanes} on Unix sockets; upgrade it")
        }
        _ if gateway.state == "connected" && gateway.other_program => {
            let program = gateway.program.as_deref().unwrap_or("an earlier release");
            let mend = match (gateway.invited, gateway.program.is_some()) {
                (_, false) => "end it, and it is started anew".to_string(),
                (true, true) => format!("on its machine, slipway gateway upgrade {name}"),
                (false, true) => "slipway gateway upgrade".to_string(),
            };
            format!("it runs {}, not what the control plane does: {mend}", flat(program))
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_lost_says_since_when_and_what_to_do() {
        let connected = WireGateway {
            name: "local".to_string(),
            state: "connected".to_string(),
            pid: Some(4711),
            program: Some("0.1.0".to_string()),
            other_program: false,
            traffic: Some("127.0.0.1:8080".to_string()),
            invited: false,
            here: true,
            newest: true,
            lost_since: None,
            kept: 0,
            kept_until: None,
            without: vec![],
            trouble: None,
        };
        let lost = WireGateway {
            name: "edge-2".to_string(),
            state: "lost".to_string(),
            invited: true,
            here: false,
            newest: false,
            lost_since: Some(1_800_000_000_000),
            kept: 4,
            kept_until: Some(1_800_086_400_000),
            ..connected.clone()
        };
        let invited = WireGateway {
            name: "edge-3".to_string(),
            state: "invited".to_string(),
            pid: None,
            program: None,
            traffic: None,
            lost_since: None,
            kept_until: None,
            ..lost.clone()
        };
        let old = WireGateway {
            name: "edge-1".to_string(),
            without: vec!["shop in production".to_string()],
            ..connected.clone()
        };
        let draining = WireGateway {
            name: "local.99".to_string(),
            state: "draining".to_string(),
            pid: Some(99),
            ..connected.clone()
        };
        let older = WireGateway {
            name: "edge-4".to_string(),
            program: Some("0.0.9".to_string()),
            other_program: true,
            invited: true,
            ..connected.clone()
        };
        let hangs = WireGateway { name: "local".to_string(), invited: false, here: true, ..lost.clone() };
        let plain = WireGateway {
            name: "edge-5".to_string(),
            trouble: Some("TLS cannot be spoken".to_string()),
            ..connected.clone()
        };
        let ended = WireGateway { state: "ended".to_string(), newest: false, ..connected.clone() };
        let died = WireGateway { trouble: Some("it ended at once: no space left".to_string()), ..ended.clone() };
        let all = [old, lost, invited, older, plain, connected, draining, hangs, ended, died];
        insta::assert_snapshot!(gateways(&all), @"
        name      state      traffic         table
        edge-1    connected  127.0.0.1:8080  newest     of an earlier release, it cannot reach shop in production on Unix sockets; upgrade it
        edge-2    lost       127.0.0.1:8080  not known  since 2027-01-15T08:00:00.000Z; 4 instances are kept for it until 2027-01-16T08:00:00.000Z, or until slipway gateway forget edge-2
        edge-3    invited    not yet         none
        edge-4    connected  127.0.0.1:8080  newest     it runs 0.0.9, not what the control plane does: on its machine, slipway gateway upgrade edge-4
        edge-5    connected  127.0.0.1:8080  newest     TLS cannot be spoken
        local     connected  127.0.0.1:8080  newest
        local.99  draining   127.0.0.1:8080  newest     process 99 was upgraded; it ends with its last connection
        local     lost       127.0.0.1:8080  not known  since 2027-01-15T08:00:00.000Z; slipway up ends its process, 4711, and starts another
        local     ended      127.0.0.1:8080  not known  its process is gone; slipway up starts it again
        local     ended      127.0.0.1:8080  not known  it ended at once: no space left
        ");
        insta::assert_snapshot!(gateways_in_trouble(&all), @"
        ⚠ gateway edge-1 is connected: of an earlier release, it cannot reach shop in production on Unix sockets; upgrade it
        ⚠ gateway edge-2 is lost: since 2027-01-15T08:00:00.000Z; 4 instances are kept for it until 2027-01-16T08:00:00.000Z, or until slipway gateway forget edge-2
        ⚠ gateway edge-4 is connected: it runs 0.0.9, not what the control plane does: on its machine, slipway gateway upgrade edge-4
        ⚠ gateway edge-5 is connected: TLS cannot be spoken
        ⚠ gateway local is lost: since 2027-01-15T08:00:00.000Z; slipway up ends its process, 4711, and starts another
        ⚠ gateway local is ended: its process is gone; slipway up starts it again
        ⚠ gateway local is ended: it ended at once: no space left
        ");
    }
}

//! What is sent: CloudEvents 1.0 in the structured mode of their JSON format.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::journal::Entry;
use crate::names::LaneId;
use crate::units::Timestamp;

/// Something that is sent. Sent again it is the same, to the byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Unique for ever: whoever has seen it need not look at it again.
    pub id: String,
    /// The event as JSON.
    pub body: String,
}

/// The event that tells of an entry of the journal; `hash` is the entry's place in the chain.
pub fn event(entry: &Entry, hash: &str) -> Message {
    let fact = &entry.fact;
    let environment = fact.environment();
    let data = json!({
        "seq": entry.seq,
        "kind": fact.kind,
        "service": fact.lane.as_ref().map(|lane| &lane.service),
        "environment": environment,
        "rollout": fact.rollout,
        "actor": fact.actor,
        "cause": fact.cause,
        "evidence": fact.evidence,
    });
    message(hash, &fact.kind, fact.lane.as_ref(), fact.rollout.as_ref().map(|r| r.as_str()), entry.at, data)
}

/// A CloudEvent of type `slipway.` and `kind`.
pub(crate) fn message(
    id: &str,
    kind: &str,
    lane: Option<&LaneId>,
    subject: Option<&str>,
    at: Timestamp,
    data: Value,
) -> Message {
    let mut event = json!({
        "specversion": "1.0",
        "id": id,
        "source": lane.map_or("/slipway".to_string(), |lane| format!("/slipway/{}/{}", lane.service, lane.environment)),
        "type": format!("slipway.{kind}"),
        "time": at.to_string(),
        "datacontenttype": "application/json",
        "data": data,
    });
    if let Some(subject) = subject {
        event["subject"] = json!(subject);
    }
    Message { id: id.to_string(), body: event.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Fact;

    #[test]
    fn an_entry_is_told_as_a_cloud_event_and_always_the_same() {
        let lane: LaneId = LaneId { service: "shop".parse().unwrap(), environment: "production".parse().unwrap() };
        let fact = Fact {
            kind: "rollout.ended".to_string(),
            lane: Some(lane.clone()),
            rollout: Some("ro-7".parse().unwrap()),
            actor: "slipway".to_string(),
            cause: "rolled back".to_string(),
            evidence: json!({ "outcome": "rolled_back" }),
        };
        let entry = Entry { seq: 9, at: Timestamp(1_800_000_000_000), fact };
        let message = event(&entry, "abc");
        assert_eq!(message, event(&entry, "abc"));
        let body: Value = serde_json::from_str(&message.body).unwrap();
        let expected = json!({
            "specversion": "1.0", "id": "abc", "source": "/slipway/shop/production", "type": "slipway.rollout.ended",
            "subject": "ro-7", "time": "2027-01-15T08:00:00.000Z", "datacontenttype": "application/json",
            "data": {
                "seq": 9, "kind": "rollout.ended", "service": "shop", "environment": "production", "rollout": "ro-7",
                "actor": "slipway", "cause": "rolled back", "evidence": { "outcome": "rolled_back" }
            }
        });
        assert_eq!(body, expected);
    }
}

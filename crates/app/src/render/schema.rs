//! What is known of a service's database, as text.

use slipway_server::wire::WireSchema;

use super::flat;

/// A line for each thing that is known.
pub(crate) fn schema(schema: &WireSchema) -> String {
    let mut text = match (schema.at, schema.since) {
        (None, _) => "no version has said which schema it needs\n".to_string(),
        (Some(at), None) => format!("schema {at}; versions that need less fit as well\n"),
        (Some(at), Some(since)) if since >= at => format!("schema {at}; versions that need less are gone for ever\n"),
        (Some(at), Some(since)) => format!("schema {at}; versions that need {since} or more fit\n"),
    };
    if let Some(running) = &schema.running {
        let (act, number, rollout) = (&running.act, running.schema, &running.rollout);
        text.push_str(&match &running.unclear {
            Some(why) => format!("  {act} of schema {number} ({rollout}) is unclear: {}\n", flat(why)),
            None => format!("  {act} of schema {number} ({rollout}) is at work\n"),
        });
    }
    for owed in &schema.owed {
        text.push_str(&format!("  contract of schema {owed} is to come, once somebody has approved it\n"));
    }
    text
}

//! A world's journal as text, for golden files: a reviewer reads the story and the difference.

use crate::world::World;

/// The story of a world: time since its beginning, kind and cause of every entry, without instance chatter,
/// and at the end how well each version could carry what it was given.
pub fn tell(world: &World) -> String {
    let mut story = String::new();
    for (at, fact) in &world.journal {
        if !world.shows_instances && fact.kind.starts_with("instance.") && !fact.kind.ends_with("smoked") {
            continue;
        }
        let since = at.0 - 1_000_000;
        let who = if fact.actor == slipway_core::rollout::ENGINE { "" } else { &fact.actor };
        story.push_str(&format!(
            "{:>8.1}s  {:<22} {}{}{}\n",
            since as f64 / 1000.0,
            fact.kind,
            who,
            if who.is_empty() { "" } else { ": " },
            fact.cause
        ));
    }
    let whole = world.carried.values().all(|least| *least >= 1.0);
    if whole && world.carried.len() > 5 {
        story.push_str("every version could always carry 100% of its share\n");
        return story;
    }
    for (version, least) in &world.carried {
        story.push_str(&format!("{version} could always carry {:.0}% of its share\n", least * 100.0));
    }
    story
}

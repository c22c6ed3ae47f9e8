//! Every state that a small rollout can come to, breadth first, over the real planner: whatever people ask, instances do,
//! gateways miss and the judge sees, at every moment. Random stories (`sim`) go far; this goes everywhere near.
//!
//! One service, one gateway, few instances and steps; time passes in strides that are longer than every limit but the way
//! back's, so that each limit either has run out or has not. States that differ in names, numbers and the past alone are one
//! ([`canon`]). Of every state it is shown that no invariant is broken on any way out of it, that it ends once faults stop,
//! and that aborting from it ends with stable at 100% ([`ends`]).

mod acts;
mod canon;
mod ends;
mod people;
mod state;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

pub use acts::Act;
use ends::Ends;
use state::State;

use crate::checks::Broken;
use crate::sim::Sabotage;

/// What is explored, and how far.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// The declared strategy.
    pub strategy: &'static str,
    /// Declared instances.
    pub instances: u32,
    /// Begins before the first version was released, otherwise after it.
    pub first: bool,
    /// Faults within one rollout: an instance dies, a smoke test fails, an effect comes twice, the control plane
    /// dies with a way back that is not kept.
    pub faults: u8,
    /// Effects are carried out as soon as they are kept, whatever was started becomes healthy at one time, every limit has run
    /// out or none, and people wait: with a release until the last one is over and its standby gone, and with that and a
    /// rollback until nothing is left of a version that is over. There are so few states then that all are visited.
    pub prompt: bool,
    /// States after which it stops, if there are so many.
    pub states: usize,
    /// Time after which it stops.
    pub time: Duration,
    /// What is broken on purpose.
    pub sabotage: Option<Sabotage>,
}

impl Bounds {
    /// A canary of two steps over one instance.
    pub fn canary() -> Bounds {
        Bounds {
            strategy: "canary: { steps: [50%, 100%], step_limit: 30s, verify: 5s, standby: 30s }",
            instances: 1,
            first: false,
            faults: 1,
            prompt: false,
            states: usize::MAX,
            time: Duration::MAX,
            sabotage: None,
        }
    }

    /// A blue-green switch over one instance.
    pub fn blue_green() -> Bounds {
        Bounds { strategy: "blue-green: { verify: 5s, standby: 30s }", ..Bounds::canary() }
    }

    /// Two batches of one.
    pub fn rolling() -> Bounds {
        Bounds { strategy: "rolling: { batch: 1, verify: 5s }", instances: 2, ..Bounds::canary() }
    }
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Explored {
    /// Different states.
    pub states: usize,
    /// Ways from one to another that were tried.
    pub steps: usize,
    /// The longest shortest way to a state.
    pub depth: usize,
    /// There are no more.
    pub whole: bool,
    /// How many states have their rollout in which state of it.
    pub standing: BTreeMap<&'static str, usize>,
    /// The first invariant that did not hold, and what led there.
    pub broken: Option<(Broken, Vec<Act>)>,
}

struct Found {
    from: usize,
    by: Act,
}

/// Explores.
pub fn explore(bounds: &Bounds) -> Explored {
    let began = Instant::now();
    let mut explored = Explored::default();
    let start = match State::start(bounds) {
        Ok(start) => start,
        Err(broken) => return Explored { broken: Some((broken, Vec::new())), ..explored },
    };
    let (mut ways, mut ends) = (vec![Found { from: 0, by: Act::Look }], Ends::default());
    let mut known: HashSet<u64> = HashSet::from([canon::of(&start)]);
    let mut waiting = VecDeque::from([(start, 0, 0)]);
    while let Some((state, place, depth)) = waiting.pop_front() {
        explored.states += 1;
        explored.depth = explored.depth.max(depth);
        *explored.standing.entry(state.standing()).or_default() += 1;
        if let Err(broken) = ends.look(&state) {
            explored.broken = Some((broken, way(&ways, place, None)));
            return explored;
        }
        for act in state.acts() {
            explored.steps += 1;
            match state.after(act) {
                Err(broken) => {
                    explored.broken = Some((broken, way(&ways, place, Some(act))));
                    return explored;
                }
                Ok(Some(next)) if known.insert(canon::of(&next)) => {
                    ways.push(Found { from: place, by: act });
                    waiting.push_back((next, ways.len() - 1, depth + 1));
                }
                Ok(_) => {}
            }
        }
        if explored.states >= bounds.states || began.elapsed() >= bounds.time {
            return explored;
        }
    }
    explored.whole = true;
    explored
}

/// The acts that led to a state, and one more.
fn way(ways: &[Found], mut place: usize, last: Option<Act>) -> Vec<Act> {
    let mut acts: Vec<Act> = last.into_iter().collect();
    while place > 0 {
        acts.push(ways[place].by);
        place = ways[place].from;
    }
    acts.reverse();
    acts
}

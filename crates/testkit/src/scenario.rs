//! Golden stories: what happens, line by line, and what the planner made of it.
//!
//! A scenario file has the story's title as comment lines, then one line for each thing that happens, then `---`, then
//! the journal as it must come out. Lines: `file PATH`, `environment NAME`, `seed N`, `rate N`, `users N`,
//! `heavy SHARE retries N`, `errors VERSION SHARE`, `slow VERSION SHARE`, `hates VERSION USER`,
//! `outage FROM_S TO_S SHARE`, `smoke-fails VERSION`, `misroutes VERSION SHARE`,
//! `instances VERSION NUMBER`, `slower-than VERSION MS`, `needs VERSION SCHEMA`, `migration-fails VERSION COMMAND`, and then `release VERSION`, `rollback [VERSION]`, `pause`, `resume`,
//! `promote`, `abort`, `drill [cold]`, `refused` and any of these, `worsens VERSION SHARE`, `says HOOK go|hold|stop|nothing`, `restart`, `scale N`,
//! `cohort NAME RATE`, `takes VERSION MS` (latency) and `anew` (the control plane starts anew),
//! `worsens-for COHORT VERSION SHARE`, `settled applied|not-applied` (what a migration has done), `look` (at what waits), `approve WHO`, `serves SERVICE ENVIRONMENT VERSION`, `silent` (the gateway takes no table), `heard` (it does again), `crash VERSION`,
//! `mislaid VERSION` (its artifact is not here any more), `hangs VERSION` (its instances never become healthy; later on, those that are started from then on), `show instances` (what becomes of each) or `nothing` (but notes), `served` (requests since the
//! last such line), `users` (who met what), `weigh` (what is kept), `many FROM TO` (releases, one after the other),
//! `away SECONDS` (of the control plane), `run SECONDS`, `settle SECONDS`.

use std::path::Path;

use slipway_core::hook::Word;
use slipway_core::names::LaneId;
use slipway_core::rollout::{Refusal, Serving, commands, schema};
use slipway_core::units::Millis;

use crate::story::tell;
use crate::world::{SimulatedService, World};

/// Plays the part of a scenario before `---`. `folder` is where its `file` is looked for.
///
/// # Errors
/// A sentence that names the line that makes no sense.
pub fn play(text: &str, folder: &Path) -> Result<String, String> {
    let mut service = SimulatedService::new(String::new());
    let mut world: Option<World> = None;
    for (number, line) in text.lines().enumerate().take_while(|(_, l)| l.trim() != "---") {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.is_empty() || words[0].starts_with('#') {
            continue;
        }
        let wrong = |why: String| format!("line {}: {line:?}: {why}", number + 1);
        if world.is_none() && set(&mut service, &words, folder).map_err(wrong)? {
            continue;
        }
        let world = world.get_or_insert_with(|| World::new(service.clone()));
        happen(world, &words).map_err(wrong)?;
    }
    world.map(|w| tell(&w)).ok_or_else(|| "nothing happens".to_string())
}

fn number<T: std::str::FromStr>(word: Option<&&str>) -> Result<T, String> {
    word.and_then(|w| w.parse().ok()).ok_or_else(|| "a number is missing".to_string())
}

/// Takes a line that describes the world; `false` if it is something that happens.
fn set(service: &mut SimulatedService, words: &[&str], folder: &Path) -> Result<bool, String> {
    let version = || words.get(1).and_then(|w| w.parse().ok()).ok_or("a version is missing");
    match words[0] {
        "file" => {
            let path = folder.join(words.get(1).ok_or("a path is missing")?);
            service.file = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        }
        "environment" => service.environment = words.get(1).ok_or("a name is missing")?.to_string(),
        "seed" => service.seed = number(words.get(1))?,
        "rate" => service.users.rate = number(words.get(1))?,
        "users" => service.users.count = number(words.get(1))?,
        "heavy" => {
            service.users.heavy = number(words.get(1))?;
            service.users.retries = number(words.get(3))?;
        }
        "errors" => drop(service.behaviour.errors.insert(version()?, number(words.get(2))?)),
        "slow" => drop(service.behaviour.slow.insert(version()?, number(words.get(2))?)),
        "hates" => drop(service.behaviour.hates.insert(version()?, number(words.get(2))?)),
        "takes" => drop(service.behaviour.latency_ms.insert(version()?, number(words.get(2))?)),
        "cohort" => {
            let name = words.get(1).ok_or("a name is missing")?.to_string();
            service.cohorts.insert(name, number(words.get(2))?);
        }
        "hangs" => drop(service.hangs.insert(version()?)),
        "smoke-fails" => drop(service.fails_smoke.insert(version()?)),
        "migration-fails" => drop(service.fails_migration.insert((version()?, words[2..].join(" ")))),
        "needs" => drop(service.needs.insert(version()?, number(words.get(2))?)),
        "misroutes" => service.misrouted = Some((version()?, number(words.get(2))?)),
        "instances" => drop(service.instances.insert(version()?, number(words.get(2))?)),
        "slower-than" => drop(service.slower_than.insert(version()?, Millis(number(words.get(2))?))),
        "outage" => {
            let at = |i| Ok::<Millis, String>(Millis::from_secs(number(words.get(i))?));
            service.behaviour.outage = Some((at(1)?, at(2)?, number(words.get(3))?));
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn happen(world: &mut World, words: &[&str]) -> Result<(), String> {
    let refused = |r: Refusal| format!("refused: {r}");
    let who = "user:test";
    match words[0] {
        "release" => world.release(words.get(1).ok_or("a version is missing")?).map_err(refused),
        "rollback" => world.rollback(words.get(1).copied()).map_err(refused),
        "drill" => world.drill(words.get(1) == Some(&"cold")).map_err(refused),
        "approve" => world.approve(words.get(1).ok_or("a name is missing")?).map_err(refused),
        "look" => {
            world.look();
            Ok(())
        }
        "serves" => {
            let name = |i: usize| words.get(i).copied().ok_or("a name is missing");
            let lane = LaneId {
                service: name(1)?.parse().map_err(|_| "no service")?,
                environment: name(2)?.parse().map_err(|_| "no environment")?,
            };
            let version = name(3)?.parse().map_err(|_| "no version")?;
            world.serving.insert(lane, Serving { version, since: None });
            Ok(())
        }
        "refused" => match happen(world, &words[1..]) {
            Err(why) => {
                world.note(&why);
                Ok(())
            }
            Ok(()) => Err("it was not refused".to_string()),
        },
        "worsens" => {
            let version = words.get(1).and_then(|w| w.parse().ok()).ok_or("a version is missing")?;
            world.worsen(version, number(words.get(2))?);
            Ok(())
        }
        "worsens-for" => {
            let cohort = words.get(1).ok_or("a name is missing")?.to_string();
            let version = words.get(2).and_then(|w| w.parse().ok()).ok_or("a version is missing")?;
            world.service.behaviour.cohort_errors.insert((cohort, version), number(words.get(3))?);
            Ok(())
        }
        "hangs" => {
            let version = words.get(1).and_then(|w| w.parse().ok()).ok_or("a version is missing")?;
            world.service.hangs.insert(version);
            Ok(())
        }
        "anew" => {
            world.start_anew();
            Ok(())
        }
        "says" => {
            let word = match words.get(2) {
                Some(&"go") => Some(Word::Go),
                Some(&"hold") => Some(Word::Hold),
                Some(&"stop") => Some(Word::Stop),
                Some(&"nothing") => None,
                _ => return Err("a word is missing".to_string()),
            };
            world.says(words.get(1).ok_or("a name is missing")?, word);
            Ok(())
        }
        "restart" => world.command(|t, now| commands::restart(t, who, now)).map_err(refused),
        "scale" => {
            let instances = number(words.get(1))?;
            world.command(|t, _| commands::scale(t, instances, who)).map_err(refused)
        }
        "settled" => {
            let applied = words.get(1) == Some(&"applied");
            world.command(|t, now| schema::settle(t, applied, who, now)).map_err(refused)
        }
        "pause" => world.command(|t, now| commands::pause(t, who, now)).map_err(refused),
        "resume" => world.command(|t, now| commands::resume(t, who, now)).map_err(refused),
        "promote" => world.command(|t, now| commands::promote(t, None, who, now)).map_err(refused),
        "abort" => world.command(|t, now| commands::abort(t, who, now)).map_err(refused),
        "crash" => {
            world.crash(&words.get(1).and_then(|w| w.parse().ok()).ok_or("a version is missing")?);
            Ok(())
        }
        "mislaid" => {
            world.mislay(words.get(1).ok_or("a version is missing")?);
            Ok(())
        }
        "show" => {
            world.shows_instances = words.get(1) == Some(&"instances");
            world.shows_nothing = words.get(1) == Some(&"nothing");
            Ok(())
        }
        "served" => {
            world.note_served();
            Ok(())
        }
        "users" => {
            world.note_users();
            Ok(())
        }
        "weigh" => {
            world.note_weight();
            Ok(())
        }
        "many" => {
            let (from, to) = (number::<u32>(words.get(1))?, number::<u32>(words.get(2))?);
            world.many(from..=to).map_err(refused)
        }
        "away" => {
            world.away(Millis::from_secs(number(words.get(1))?));
            Ok(())
        }
        "silent" | "heard" => {
            world.silent = words[0] == "silent";
            Ok(())
        }
        "run" => {
            let seconds: f64 = number(words.get(1))?;
            world.run_until(Millis((seconds * 1_000.0).round() as u64), |_| false);
            Ok(())
        }
        "settle" => match world.settle(Millis::from_secs(number(words.get(1))?)) {
            true => Ok(()),
            false => Err("the world did not settle".to_string()),
        },
        _ => Err("no such line".to_string()),
    }
}

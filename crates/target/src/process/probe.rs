//! Asking an instance for its health. A good answer counts only if the instance itself gave it.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use slipway_core::address::Address;
use slipway_core::instance::{Health, InstanceState};
use slipway_core::names::InstanceId;
use slipway_core::spec::{HealthCheck, HealthProbe};
use slipway_core::units::Millis;
use tokio::sync::watch;
use tokio::time::Instant;

use super::owner::Owner;
use super::{Shared, Subject};
use crate::{http, smoke};

/// Until an incarnation is first healthy it is asked this often.
const EAGER: Duration = Duration::from_millis(100);

/// Asks one incarnation after the other.
pub(super) async fn ask_for_ever(
    shared: &Shared,
    id: &InstanceId,
    check: &HealthCheck,
    mut subject: watch::Receiver<Subject>,
) {
    loop {
        let asked = subject.borrow_and_update().clone();
        tokio::select! {
            changed = subject.changed() => if changed.is_err() { return },
            () = ask(shared, id, check, &asked), if asked.incarnation > 0 => {}
        }
    }
}

/// Asks one incarnation, until it is dropped.
async fn ask(shared: &Shared, id: &InstanceId, check: &HealthCheck, subject: &Subject) {
    let mut tally = Tally::new(check);
    let mut owner = Owner::new(subject.clone());
    let begun = Instant::now();
    loop {
        let asked_at = Instant::now();
        let answer = answer(shared, id, check, subject, &mut owner, begun.elapsed()).await;
        let health = tally.count(answer, begun.elapsed());
        shared.update(id, |status| {
            let asked_for = status.incarnation == subject.incarnation
                && matches!(status.state, InstanceState::Running | InstanceState::Orphaned);
            if asked_for {
                status.health = health;
            }
        });
        tokio::time::sleep_until(asked_at + tally.pause()).await;
    }
}

async fn answer(
    shared: &Shared,
    id: &InstanceId,
    check: &HealthCheck,
    subject: &Subject,
    owner: &mut Owner,
    age: Duration,
) -> Result<(), String> {
    let address = &subject.address;
    let asked = tokio::time::timeout(check.timeout.as_duration(), async {
        match &check.probe {
            HealthProbe::Running(length) => ran_for(*length, age),
            HealthProbe::Command(command) => match shared.place(id, subject.incarnation) {
                Some(place) => smoke::succeeds(command, &place).await,
                None => Err("it is not there any more".to_string()),
            },
            HealthProbe::Tcp => http::connect(address).await.map(drop).map_err(|e| http::plain(&e)),
            HealthProbe::Http(path) => get(address, path).await,
        }
    });
    let answer = asked.await.unwrap_or_else(|_| Err(format!("no answer within {}", check.timeout)));
    // A command and a clock answer for themselves.
    if matches!(check.probe, HealthProbe::Command(_) | HealthProbe::Running(_)) {
        return answer;
    }
    // Who listens decides: a stranger's answer is nothing, and the lack of one is best explained by who does.
    match owner.check(answer.is_ok()).await {
        Ok(()) => answer,
        Err(why) => Err(why),
    }
}

fn ran_for(length: Millis, age: Duration) -> Result<(), String> {
    match age >= length.as_duration() {
        true => Ok(()),
        false => Err(format!("has not run for {length} yet")),
    }
}

async fn get(address: &Address, path: &str) -> Result<(), String> {
    let request = Request::get(path)
        .header("host", address.host())
        .header("user-agent", "slipway-health")
        .body(Empty::<Bytes>::new())
        .map_err(|e| e.to_string())?;
    let (status, _) =
        http::head(address, request).await.map(|head| (head.status, ())).map_err(|e| format!("GET {path}: {e}"))?;
    if (200..400).contains(&status.as_u16()) { Ok(()) } else { Err(format!("GET {path} answered {}", status.as_u16())) }
}

/// Answers in a row, and what they add up to.
struct Tally<'a> {
    check: &'a HealthCheck,
    good: u32,
    bad: u32,
    was_healthy: bool,
    health: Health,
}

impl<'a> Tally<'a> {
    fn new(check: &'a HealthCheck) -> Tally<'a> {
        Tally { check, good: 0, bad: 0, was_healthy: false, health: Health::Unknown { why: None } }
    }

    /// Counts an answer that came so long after the program's start.
    fn count(&mut self, answer: Result<(), String>, age: Duration) -> Health {
        match answer {
            Ok(()) => {
                (self.good, self.bad) = (self.good.saturating_add(1), 0);
                if self.good >= self.check.healthy_after {
                    self.was_healthy = true;
                    self.health = Health::Healthy;
                }
            }
            Err(why) => {
                (self.good, self.bad) = (0, self.bad.saturating_add(1));
                let late = age >= self.check.start_limit.as_duration();
                self.health = match &self.health {
                    Health::Healthy if self.bad < self.check.unhealthy_after => Health::Healthy,
                    Health::Unknown { .. } if !late => Health::Unknown { why: Some(why) },
                    _ => Health::Unhealthy { why },
                };
            }
        }
        self.health.clone()
    }

    fn pause(&self) -> Duration {
        let interval = self.check.interval.as_duration();
        if self.was_healthy { interval } else { interval.min(EAGER) }
    }
}

#[cfg(test)]
mod tests {
    use slipway_core::units::Millis;

    use super::*;

    fn check() -> HealthCheck {
        HealthCheck {
            probe: HealthProbe::Tcp,
            interval: Millis(2000),
            timeout: Millis(1000),
            healthy_after: 2,
            unhealthy_after: 3,
            start_limit: Millis(60_000),
        }
    }

    fn bad() -> Result<(), String> {
        Err("no".to_string())
    }

    #[test]
    fn answers_count_in_a_row() {
        let check = check();
        let mut tally = Tally::new(&check);
        let mut count = |good: bool| tally.count(if good { Ok(()) } else { bad() }, Duration::ZERO);
        assert_eq!(count(false), Health::Unknown { why: Some("no".into()) });
        assert!(matches!(count(true), Health::Unknown { .. }));
        assert!(matches!(count(false), Health::Unknown { .. }));
        count(true);
        assert_eq!(count(true), Health::Healthy);
        assert_eq!([count(false), count(false)], [Health::Healthy, Health::Healthy]);
        count(true);
        assert_eq!([count(false), count(false)], [Health::Healthy, Health::Healthy]);
        assert_eq!(count(false), Health::Unhealthy { why: "no".into() });
        assert_eq!(count(true), Health::Unhealthy { why: "no".into() });
        assert_eq!(count(true), Health::Healthy);
    }

    #[test]
    fn it_is_asked_often_until_it_was_healthy_once() {
        let check = check();
        let mut tally = Tally::new(&check);
        tally.count(Ok(()), Duration::ZERO);
        assert_eq!(tally.pause(), EAGER);
        tally.count(Ok(()), Duration::ZERO);
        assert_eq!(tally.pause(), Duration::from_secs(2));
    }

    #[test]
    fn one_that_never_gets_healthy_is_unhealthy_after_its_time() {
        let check = check();
        let mut tally = Tally::new(&check);
        assert!(matches!(tally.count(bad(), Duration::from_secs(59)), Health::Unknown { .. }));
        assert_eq!(tally.count(bad(), Duration::from_secs(60)), Health::Unhealthy { why: "no".into() });
    }
}

//! The judge beside other tools' rules, in small: what `make bench ARGS=judge` measures at length, with bars that leave
//! room. One seed, so it comes out the same each time.

use slipway_testkit::measured::{End, Sizes, Tool, WALD_BAR, measure, summary};

#[test]
fn the_judge_keeps_what_it_declares_and_finds_bad_candidates_sooner_than_who_keeps_as_much() {
    let report = measure(&Sizes { healthy: 8, bad: 3, peers: 9, hunts: 200 }, 1, "", |_| {});
    for row in &report.healthy {
        assert_eq!(row.cells[0].ended(End::RolledBack), 0, "{}", row.scenario.name());
    }
    let hasty = report.healthy.iter().flat_map(|row| &row.cells).filter(|cell| cell.tool == Tool::HastyFlagger);
    assert!(hasty.map(|cell| cell.ended(End::RolledBack)).sum::<u64>() > 50, "haste costs something");
    for row in report.worse() {
        assert_eq!(row.cells[0].ended(End::Finished), 0, "{}", row.scenario.name());
    }
    let broken = report.bad.iter().filter(|row| row.scenario.name().ends_with("fails always"));
    for row in broken {
        let (ours, flagger) = (row.cells[0].harmed(), row.cells[1].harmed());
        assert!(ours < 12.0 && ours * 5.0 < flagger, "{}: {ours}, {flagger}", row.scenario.name());
    }
    for (hunt, found) in &report.hunts {
        assert_eq!(found.missed, 0, "{hunt:?}");
    }
    assert!(report.worst_ratio() <= WALD_BAR, "{:.2} times Wald's bound", report.worst_ratio());
    let line = summary(&report);
    assert!(line.starts_with("judge seed=1 rollouts=") && line.contains(" bars_missed="), "{line}");
}

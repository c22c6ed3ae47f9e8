//! Times of the week or of the year at which something may happen, or may not: `Tue-Thu 10:00-16:00 Europe/Berlin`.
//!
//! A window is written in the clock of a place and is judged by that clock, so a change to summer time moves it with
//! the people who meant it. The zones are those of the IANA database as it was when this program was built: nothing is
//! read from the machine. Used for drills and for freezes.

use std::fmt;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Span, ToSpan};
use serde::{Deserialize, Serialize};

use crate::units::Timestamp;

/// What a window looks like, for error messages.
pub const EXAMPLES: &str = "write \"Tue-Thu 10:00-16:00 Europe/Berlin\", \"Fri 15:00 to Mon 08:00 Europe/Berlin\" or \
                            \"2026-12-20 18:00 to 2027-01-04 08:00 Europe/Berlin\"";

/// Stretches of time in the clock of one place.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Window {
    text: String,
    shape: Shape,
    zone: TimeZone,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    /// On each of these days from one time to another; past midnight where the second is not later.
    Daily { days: Vec<Weekday>, from: Time, to: Time },
    /// Once a week, from a time on one day to a time on another.
    Weekly { from: (Weekday, Time), to: (Weekday, Time) },
    /// Once.
    Once { from: DateTime, to: DateTime },
}

/// Why a text is no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(String);

fn invalid<T>(why: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid(why.into()))
}

impl Window {
    /// Reads a window.
    pub fn parse(text: &str) -> Result<Window, Invalid> {
        let text = text.trim();
        if text.len() > 200 {
            return invalid("is longer than any window needs");
        }
        let Some((when, zone_name)) = text.rsplit_once(' ') else {
            return invalid("names no time zone");
        };
        let zone = zone(zone_name)?;
        let when = when.trim();
        let shape = match when.split_once(" to ") {
            Some((from, to)) => stretch(from.trim(), to.trim())?,
            None => daily(when)?,
        };
        Ok(Window { text: text.to_string(), shape, zone })
    }

    /// Whether `now` is inside.
    pub fn contains(&self, now: Timestamp) -> bool {
        self.ends(now).is_some()
    }

    /// When the stretch that `now` is in ends; `None` outside.
    pub fn ends(&self, now: Timestamp) -> Option<Timestamp> {
        self.stretches(now).into_iter().filter(|(from, to)| *from <= now && now < *to).map(|(_, to)| to).max()
    }

    /// When the next stretch begins; `None` where there is none any more.
    pub fn begins(&self, now: Timestamp) -> Option<Timestamp> {
        self.stretches(now).into_iter().map(|(from, _)| from).filter(|from| *from > now).min()
    }

    /// Whether it comes round again, week by week.
    pub fn recurs(&self) -> bool {
        !matches!(self.shape, Shape::Once { .. })
    }

    /// The stretches around `now`: for what recurs, those that begin within eight days of it.
    fn stretches(&self, now: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let Some(today) = self.date(now) else { return Vec::new() };
        let around = (-8..=8).filter_map(|days: i64| today.checked_add(days.days()).ok());
        let pairs: Vec<(DateTime, DateTime)> = match &self.shape {
            Shape::Once { from, to } => vec![(*from, *to)],
            Shape::Daily { days, from, to } => {
                let span = if to > from { Span::new() } else { 1.days() };
                let ends = |date: Date| date.checked_add(span).ok();
                around
                    .filter(|date| days.contains(&date.weekday()))
                    .filter_map(|date| Some((date.to_datetime(*from), ends(date)?.to_datetime(*to))))
                    .collect()
            }
            Shape::Weekly { from, to } => {
                let mut days = i64::from(from.0.until(to.0));
                if days == 0 && to.1 <= from.1 {
                    days = 7;
                }
                around
                    .filter(|date| date.weekday() == from.0)
                    .filter_map(|date| {
                        Some((date.to_datetime(from.1), date.checked_add(days.days()).ok()?.to_datetime(to.1)))
                    })
                    .collect()
            }
        };
        pairs.into_iter().filter_map(|(from, to)| Some((self.instant(from)?, self.instant(to)?))).collect()
    }

    fn date(&self, now: Timestamp) -> Option<Date> {
        let at = jiff::Timestamp::from_millisecond(i64::try_from(now.0).ok()?).ok()?;
        Some(at.to_zoned(self.zone.clone()).date())
    }

    /// A time that the clock skips is the moment after the gap; one that comes twice is the first.
    fn instant(&self, at: DateTime) -> Option<Timestamp> {
        let zoned = self.zone.to_ambiguous_zoned(at).compatible().ok()?;
        u64::try_from(zoned.timestamp().as_millisecond()).ok().map(Timestamp)
    }
}

fn zone(name: &str) -> Result<TimeZone, Invalid> {
    if name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    // A zone is a place. Offsets and abbreviations do not say when the clocks change.
    let known = name.contains('/').then(|| TimeZoneDatabase::bundled().get(name).ok()).flatten();
    match known {
        Some(zone) => Ok(zone),
        None => invalid(format!(
            "names no time zone: {name:?} is neither UTC nor a place of the IANA database such as Europe/Berlin"
        )),
    }
}

fn stretch(from: &str, to: &str) -> Result<Shape, Invalid> {
    if from.starts_with(|c: char| c.is_ascii_digit()) {
        let (from, to) = (moment(from)?, moment(to)?);
        if to <= from {
            return invalid("ends before it begins");
        }
        return Ok(Shape::Once { from, to });
    }
    let day_and_time = |text: &str| match text.split_once(' ') {
        Some((day, at)) if is_end_of_day(at) => Ok((weekday(day)?.next(), Time::midnight())),
        Some((day, at)) => Ok((weekday(day)?, time(at.trim())?)),
        None => invalid(format!("{text:?} is no day and time such as Fri 15:00")),
    };
    Ok(Shape::Weekly { from: day_and_time(from)?, to: day_and_time(to)? })
}

fn daily(text: &str) -> Result<Shape, Invalid> {
    let (days, times) = match text.split_once(' ') {
        Some((days, times)) => (self::days(days)?, times.trim()),
        None => (every_day(), text),
    };
    let Some((from, to)) = times.split_once('-') else {
        return invalid(format!("{times:?} is no stretch of time such as 10:00-16:00"));
    };
    let (from, to) = (time(from.trim())?, time(to.trim())?);
    if from == to && from != Time::midnight() {
        return invalid("begins and ends at the same time");
    }
    Ok(Shape::Daily { days, from, to })
}

fn every_day() -> Vec<Weekday> {
    Weekday::Monday.cycle_forward().take(7).collect()
}

fn days(text: &str) -> Result<Vec<Weekday>, Invalid> {
    if text.eq_ignore_ascii_case("daily") {
        return Ok(every_day());
    }
    let mut days = Vec::new();
    for part in text.split(',') {
        match part.split_once('-') {
            None => days.push(weekday(part)?),
            Some((first, last)) => {
                let (first, last) = (weekday(first)?, weekday(last)?);
                days.extend(first.cycle_forward().take(first.until(last) as usize + 1));
            }
        }
    }
    Ok(days)
}

fn weekday(text: &str) -> Result<Weekday, Invalid> {
    const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let lower = text.trim().to_ascii_lowercase();
    match NAMES.iter().zip(Weekday::Monday.cycle_forward()).find(|(name, _)| **name == lower) {
        Some((_, day)) => Ok(day),
        None => invalid(format!("{text:?} is no day: there are Mon, Tue, Wed, Thu, Fri, Sat, Sun")),
    }
}

/// The midnight after a day, which is the next day's.
fn is_end_of_day(time: &str) -> bool {
    time.trim() == "24:00"
}

fn time(text: &str) -> Result<Time, Invalid> {
    let wrong = || Invalid(format!("{text:?} is no time such as 08:30"));
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let two = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
    if !two(hour) || !two(minute) {
        return Err(wrong());
    }
    if is_end_of_day(text) {
        return Ok(Time::midnight());
    }
    Time::new(hour.parse().map_err(|_| wrong())?, minute.parse().map_err(|_| wrong())?, 0, 0).map_err(|_| wrong())
}

fn moment(text: &str) -> Result<DateTime, Invalid> {
    let wrong = || Invalid(format!("{text:?} is no moment such as 2026-12-20 18:00"));
    let (date, at) = text.split_once([' ', 'T']).ok_or_else(wrong)?;
    let date: Date = date.parse().map_err(|_| wrong())?;
    let date = if is_end_of_day(at) { date.tomorrow().map_err(|_| wrong())? } else { date };
    Ok(date.to_datetime(time(at.trim())?))
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Window({:?})", self.text)
    }
}

impl TryFrom<String> for Window {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Window, Invalid> {
        Window::parse(&text)
    }
}

impl From<Window> for String {
    fn from(window: Window) -> String {
        window.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond() as u64)
    }

    fn window(text: &str) -> Window {
        Window::parse(text).unwrap()
    }

    #[test]
    fn days_and_hours_by_the_clock_of_a_place() {
        let window = window("Tue-Thu 10:00-16:00 Europe/Berlin");
        // A Tuesday in winter: one hour ahead of UTC.
        assert!(!window.contains(at("2026-11-24T08:59:59Z")));
        assert!(window.contains(at("2026-11-24T09:00:00Z")));
        assert!(!window.contains(at("2026-11-24T15:00:00Z")));
        // A Tuesday in summer: two.
        assert!(window.contains(at("2026-07-07T08:00:00Z")));
        assert!(!window.contains(at("2026-11-27T10:00:00Z")), "a Friday");
        assert_eq!(window.begins(at("2026-11-27T10:00:00Z")), Some(at("2026-12-01T09:00:00Z")));
        assert_eq!(window.ends(at("2026-11-24T12:00:00Z")), Some(at("2026-11-24T15:00:00Z")));
    }

    #[test]
    fn over_midnight_and_over_the_weekend() {
        let night = window("daily 22:00-04:00 UTC");
        assert!(night.contains(at("2026-11-24T23:00:00Z")) && night.contains(at("2026-11-25T03:59:00Z")));
        assert!(!night.contains(at("2026-11-25T04:00:00Z")));
        let weekend = window("Fri 15:00 to Mon 08:00 UTC");
        assert!(weekend.contains(at("2026-11-27T15:00:00Z")) && weekend.contains(at("2026-11-30T07:59:00Z")));
        assert!(!weekend.contains(at("2026-11-30T08:00:00Z")));
        let all = window("Mon 00:00 to Mon 00:00 UTC");
        assert!(all.contains(at("2026-11-25T00:00:00Z")));
    }

    #[test]
    fn a_stretch_that_ends_at_24_lasts_to_the_end_of_that_day() {
        let dated = window("2026-12-20 18:00 to 2026-12-31 24:00 Europe/Berlin");
        assert_eq!(dated.ends(at("2026-12-31T12:00:00Z")), Some(at("2026-12-31T23:00:00Z")));
        let weekend = window("Fri 15:00 to Sun 24:00 UTC");
        assert_eq!(weekend.ends(at("2026-11-29T12:00:00Z")), Some(at("2026-11-30T00:00:00Z")));
        assert!(!weekend.contains(at("2026-11-30T00:00:00Z")));
        let day = window("2026-12-24 00:00 to 2026-12-24 24:00 UTC");
        assert!(day.contains(at("2026-12-24T23:59:59Z")) && !day.contains(at("2026-12-25T00:00:00Z")));
        let week = window("Mon 00:00 to Sun 24:00 UTC");
        assert!(week.contains(at("2026-11-29T23:59:59Z")) && week.contains(at("2026-11-30T00:00:00Z")));
        let nightly = window("daily 22:00-24:00 UTC");
        assert_eq!(nightly.ends(at("2026-11-24T23:00:00Z")), Some(at("2026-11-25T00:00:00Z")));
    }

    #[test]
    fn across_a_change_of_the_clock() {
        // In Berlin the clock goes from 02:00 to 03:00 on 2027-03-28, and from 03:00 back to 02:00 on 2026-10-25.
        let spring = window("Sun 02:30-04:00 Europe/Berlin");
        assert!(!spring.contains(at("2027-03-28T01:00:00Z")), "03:00 local: the skipped half hour is over at 03:30");
        assert!(spring.contains(at("2027-03-28T01:30:00Z")));
        assert!(!spring.contains(at("2027-03-28T02:00:00Z")));
        let autumn = window("Sun 02:30-04:00 Europe/Berlin");
        assert_eq!(autumn.ends(at("2026-10-25T00:30:00Z")), Some(at("2026-10-25T03:00:00Z")));
        let over = window("2026-10-24 12:00 to 2026-10-25 12:00 Europe/Berlin");
        assert!(over.contains(at("2026-10-25T10:59:00Z")) && !over.contains(at("2026-10-25T11:00:00Z")));
        assert_eq!(over.begins(at("2026-10-26T00:00:00Z")), None);
    }

    #[test]
    fn what_is_no_window_says_why() {
        let said = |text: &str| Window::parse(text).unwrap_err().to_string();
        assert!(said("Tue-Thu 10:00-16:00").contains("names no time zone"));
        assert!(said("Tue-Thu 10:00-16:00 Europe/Atlantis").contains("Europe/Atlantis"));
        assert!(said("Tue-Thu 10:00-16:00 CET").contains("names no time zone"));
        assert!(said("Tue-Foo 10:00-16:00 UTC").contains("no day"));
        assert!(said("Tue 10:00-25:00 UTC").contains("25:00"));
        assert!(said("Tue 10-16 UTC").contains("no time"));
        assert!(said("Tue 10:00-10:00 UTC").contains("same time"));
        assert!(said("2027-01-04 08:00 to 2026-12-20 18:00 UTC").contains("ends before"));
        assert!(said("2026-02-30 08:00 to 2026-12-20 18:00 UTC").contains("2026-02-30"));
        assert!(said("").contains("time zone"));
    }

    #[test]
    fn written_as_it_was_read() {
        let window = window("Tue-Thu 10:00-16:00 Europe/Berlin");
        let json = serde_json::to_string(&window).unwrap();
        assert_eq!(json, "\"Tue-Thu 10:00-16:00 Europe/Berlin\"");
        assert_eq!(serde_json::from_str::<Window>(&json).unwrap(), window);
    }
}

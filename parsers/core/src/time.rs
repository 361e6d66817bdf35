//! Recorder time: local civil time without a zone.
//!
//! A recorder stores what its own clock showed. No zone, no daylight-saving flag and no offset to UTC is on the
//! medium, so none is invented (T-2): this type cannot be turned into an instant and prints without a zone.

use std::{fmt, str::FromStr};

use jiff::civil::DateTime;

/// A date and time of the recorder's clock, in nanoseconds since 1970-01-01 00:00:00 *of that clock*.
///
/// Printed as ISO 8601 with milliseconds and no zone: `2020-04-14T22:02:57.000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CivilTime {
    nanoseconds: i64,
}

/// Text that is not a civil time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a recorder time; write it without a zone, as 2024-12-07, 2024-12-07T20:00 or 2024-12-07T20:00:00.250"
)]
pub struct TimeParseError {
    text: String,
}

const NANOS_PER_MILLI: i64 = 1_000_000;
const NANOS_PER_SECOND: i64 = 1_000_000_000;

impl CivilTime {
    /// A time from its calendar parts, or `None` when they are not a date and time that exists.
    pub fn from_parts(
        year: i16,
        month: u8,
        day: u8,
        hour: u8,
        minute: u8,
        second: u8,
    ) -> Option<Self> {
        let part = |value: u8| i8::try_from(value).ok();
        let civil = DateTime::new(
            year,
            part(month)?,
            part(day)?,
            part(hour)?,
            part(minute)?,
            part(second)?,
            0,
        )
        .ok()?;
        Self::from_civil(civil)
    }

    /// A time from milliseconds since 1970-01-01 00:00:00 of the recorder's clock, clamped to what fits.
    pub const fn from_millis(milliseconds: i64) -> Self {
        Self { nanoseconds: milliseconds.saturating_mul(NANOS_PER_MILLI) }
    }

    /// Milliseconds since 1970-01-01 00:00:00 of the recorder's clock, rounded down.
    pub const fn millis(self) -> i64 {
        self.nanoseconds.div_euclid(NANOS_PER_MILLI)
    }

    /// Nanoseconds since 1970-01-01 00:00:00 of the recorder's clock.
    pub const fn nanoseconds(self) -> i64 {
        self.nanoseconds
    }

    /// This time plus a number of milliseconds, clamped to what fits.
    pub const fn plus_millis(self, milliseconds: i64) -> Self {
        let nanoseconds = milliseconds.saturating_mul(NANOS_PER_MILLI);
        Self { nanoseconds: self.nanoseconds.saturating_add(nanoseconds) }
    }

    /// This time with its part below the second taken off.
    pub const fn whole_second(self) -> Self {
        let part = self.nanoseconds.rem_euclid(NANOS_PER_SECOND);
        Self { nanoseconds: self.nanoseconds.saturating_sub(part) }
    }

    fn from_civil(civil: DateTime) -> Option<Self> {
        let since = civil.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
        Some(Self { nanoseconds: i64::try_from(since.as_nanos()).ok()? })
    }

    fn civil(self) -> Option<DateTime> {
        let since = jiff::SignedDuration::from_nanos(self.nanoseconds);
        DateTime::constant(1970, 1, 1, 0, 0, 0, 0).checked_add(since).ok()
    }

    /// `2020-04-14 22:02:57`, for tables read by people.
    pub fn to_seconds_text(self) -> String {
        self.civil().map_or_else(
            || self.to_string(),
            |civil| civil.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        )
    }
}

impl fmt::Display for CivilTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.millis().rem_euclid(1000);
        match self.civil() {
            Some(c) => write!(
                f,
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{milliseconds:03}",
                c.year(),
                c.month(),
                c.day(),
                c.hour(),
                c.minute(),
                c.second()
            ),
            // Not reachable: every i64 of nanoseconds lies between the years 1677 and 2262.
            None => write!(f, "{} ns", self.nanoseconds),
        }
    }
}

impl FromStr for CivilTime {
    type Err = TimeParseError;

    /// ISO 8601 date, or date and time, without a zone. A zone is refused, not ignored.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || TimeParseError { text: text.to_owned() };
        let time = text.split_once(['T', 't', ' ']).map_or("", |(_, time)| time);
        if time.contains(['Z', 'z', '+', '-', '[']) {
            return Err(error());
        }
        text.parse::<DateTime>().ok().and_then(Self::from_civil).ok_or_else(error)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prints_without_a_zone() {
        let time = CivilTime::from_parts(2020, 4, 14, 22, 2, 57).unwrap();
        assert_eq!(time.to_string(), "2020-04-14T22:02:57.000");
        assert_eq!(time.plus_millis(-58_001).to_string(), "2020-04-14T22:01:58.999");
        assert_eq!(time.to_seconds_text(), "2020-04-14 22:02:57");
    }

    /// T-2: a zone in the input is refused rather than dropped.
    #[test]
    fn refuses_zones_and_nonsense() {
        for text in [
            "2024-12-07T20:00Z",
            "2024-12-07T20:00+02:00",
            "2024-12-07 20:00-03",
            "20:00",
            "",
            "2024-13-01",
            "2024-12-07T20:00[Asia/Damascus]",
        ] {
            assert!(text.parse::<CivilTime>().is_err(), "{text}");
        }
        assert_eq!(
            "2024-12-07".parse::<CivilTime>().unwrap().to_string(),
            "2024-12-07T00:00:00.000"
        );
        assert_eq!(
            "2024-12-07T20:00".parse::<CivilTime>().unwrap().to_string(),
            "2024-12-07T20:00:00.000"
        );
    }

    #[test]
    fn impossible_dates_are_none() {
        assert_eq!(CivilTime::from_parts(2023, 2, 29, 0, 0, 0), None);
        assert_eq!(CivilTime::from_parts(2024, 1, 1, 24, 0, 0), None);
        assert_eq!(CivilTime::from_parts(2024, 0, 1, 0, 0, 0), None);
    }

    proptest! {
        #[test]
        fn print_then_parse_is_the_same_millisecond(ms in -9_000_000_000_000i64..9_000_000_000_000) {
            let time = CivilTime::from_millis(ms);
            prop_assert_eq!(time.to_string().parse::<CivilTime>().unwrap(), time);
        }
    }
}

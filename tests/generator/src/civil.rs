//! Civil time as a recorder keeps it: local wall clock, no zone, no daylight-saving flag.
//!
//! Facts: `docs/formats/dahua.md`, section 4 (the 32-bit packed date) and section 3.1 (the date of a
//! frame is the whole second, the finer part is only in the millisecond counter).

use std::fmt;

const MS_PER_SECOND: i64 = 1000;
const MS_PER_DAY: i64 = 86_400 * MS_PER_SECOND;
const SECONDS_1970_TO_2000: i64 = 946_684_800;
/// Days from 0000-03-01 to 2000-01-01 in the proleptic Gregorian calendar.
const DAYS_TO_2000: i64 = 730_425;

/// A reading of a recorder's clock, in milliseconds since 2000-01-01 00:00:00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(i64);

/// The fields of a [`Moment`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields {
    /// Year, for example 2020.
    pub year: i64,
    /// Month, 1 to 12.
    pub month: u32,
    /// Day of the month, 1 to 31.
    pub day: u32,
    /// Hour, 0 to 23.
    pub hour: u32,
    /// Minute, 0 to 59.
    pub minute: u32,
    /// Second, 0 to 59.
    pub second: u32,
    /// Millisecond, 0 to 999.
    pub millisecond: u32,
}

impl Moment {
    /// A moment from its date and its time of day.
    pub const fn at(date: (i64, i64, i64), time: (i64, i64, i64)) -> Self {
        let days = days_from_2000(date.0, date.1, date.2);
        Moment(days * MS_PER_DAY + ((time.0 * 60 + time.1) * 60 + time.2) * MS_PER_SECOND)
    }

    /// Milliseconds since 2000-01-01 00:00:00.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Seconds since 1970-01-01 00:00:00, as if the clock showed UTC; the milliseconds are dropped.
    pub const fn unix_seconds(self) -> u32 {
        (self.0.div_euclid(MS_PER_SECOND) + SECONDS_1970_TO_2000) as u32
    }

    /// This moment moved by `ms` milliseconds, back when negative.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Moment(self.0 + ms)
    }

    /// The calendar and clock fields.
    pub fn fields(self) -> Fields {
        let (days, ms) = (self.0.div_euclid(MS_PER_DAY), self.0.rem_euclid(MS_PER_DAY));
        let (year, month, day) = civil_from_2000(days);
        let second = ms / MS_PER_SECOND;
        Fields {
            year,
            month: month as u32,
            day: day as u32,
            hour: (second / 3600) as u32,
            minute: (second / 60 % 60) as u32,
            second: (second % 60) as u32,
            millisecond: (ms % MS_PER_SECOND) as u32,
        }
    }

    /// The packed date of DHFS and DHAV: year-2000 (6 bits), month (4), day (5), hour (5),
    /// minute (6), second (6). The milliseconds are dropped, not rounded.
    pub fn packed(self) -> u32 {
        let f = self.fields();
        let year = (f.year - 2000) as u32;
        year << 26 | f.month << 22 | f.day << 17 | f.hour << 12 | f.minute << 6 | f.second
    }

    /// ISO 8601 to the second, without a zone.
    pub fn second_text(self) -> String {
        let f = self.fields();
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            f.year, f.month, f.day, f.hour, f.minute, f.second
        )
    }
}

/// ISO 8601 to the millisecond, without a zone.
impl fmt::Display for Moment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{:03}", self.second_text(), self.fields().millisecond)
    }
}

/// Days since 2000-01-01; years are counted from March so that the leap day comes last.
const fn days_from_2000(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, in_era) = (year.div_euclid(400), year.rem_euclid(400));
    let in_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - DAYS_TO_2000
}

const fn civil_from_2000(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_TO_2000;
    let (era, in_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * in_year + 2) / 153;
    let day = in_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_seconds_match_the_published_initialisation_time() {
        // 0x54772237, `docs/formats/hikvision.md`, section 2.
        assert_eq!(Moment::at((2014, 11, 27), (13, 8, 7)).unix_seconds(), 0x5477_2237);
    }

    #[test]
    fn packed_dates_match_the_check_values_of_the_specification() {
        assert_eq!(Moment::at((2020, 4, 14), (22, 2, 57)).packed(), 0x511D_60B9);
        assert_eq!(Moment::at((2020, 4, 12), (10, 13, 54)).packed(), 0x5118_A376);
    }

    #[test]
    fn the_epoch_and_a_leap_day_print_as_iso_8601() {
        assert_eq!(Moment::at((2000, 1, 1), (0, 0, 0)).millis(), 0);
        let leap = Moment::at((2024, 2, 28), (23, 59, 59)).plus_ms(1999);
        assert_eq!(leap.to_string(), "2024-02-29T00:00:00.999");
        assert_eq!(leap.second_text(), "2024-02-29T00:00:00");
    }

    #[test]
    fn every_day_of_the_range_goes_there_and_back() {
        let mut previous = Moment::at((2000, 1, 1), (0, 0, 0)).packed();
        for day in 1..days_from_2000(2063, 12, 31) {
            let fields = Moment(day * MS_PER_DAY).fields();
            let date = (fields.year, i64::from(fields.month), i64::from(fields.day));
            assert_eq!(Moment::at(date, (0, 0, 0)).0, day * MS_PER_DAY);
            let packed = Moment(day * MS_PER_DAY).packed();
            assert!(packed > previous, "packed dates grow with time");
            previous = packed;
        }
    }
}

//! FAT's time (section "Date and Time Formats").

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds of a day.
const DAY: u64 = 86_400;
/// Days from 1970 to 1980, where FAT's time begins.
const BEGINNING: u64 = 3652;
/// Days from 1980 to the end of 2107, where it ends.
const DAYS: u64 = 46_751;

/// A date and a time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DosTime {
    pub(super) date: u16,
    pub(super) time: u16,
}

impl Default for DosTime {
    /// The first of January 1980.
    fn default() -> Self {
        Self { date: 1 << 5 | 1, time: 0 }
    }
}

impl From<SystemTime> for DosTime {
    /// In UTC; before 1980 its first second, after 2107 its last.
    fn from(time: SystemTime) -> Self {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let seconds = seconds.saturating_sub(BEGINNING * DAY).min(DAYS * DAY - 1);
        let (mut day, of_day) = (seconds / DAY, seconds % DAY);
        let mut year = 0;
        while day >= 365 + leap(year) {
            day -= 365 + leap(year);
            year += 1;
        }
        let mut month = 1;
        for days in [31, 28 + leap(year), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
            if day < days {
                break;
            }
            day -= days;
            month += 1;
        }
        let time = (of_day / 3600) << 11 | (of_day / 60 % 60) << 5 | (of_day % 60 / 2);
        Self { date: (year << 9 | month << 5 | (day + 1)) as u16, time: time as u16 }
    }
}

/// Whether the year, counted from 1980, has one day more; 2100 is the one exception until 2107.
fn leap(year: u64) -> u64 {
    u64::from(year.is_multiple_of(4) && year != 120)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // Seconds since 1970, by `date -u -d ... +%s`.
        let cases = [
            (0, (1980, 1, 1, 0, 0, 0)),
            (315_532_800, (1980, 1, 1, 0, 0, 0)),
            (320_716_799, (1980, 2, 29, 23, 59, 58)),
            (1_709_210_096, (2024, 2, 29, 12, 34, 56)),
            (1_735_689_599, (2024, 12, 31, 23, 59, 58)),
            (1_735_689_600, (2025, 1, 1, 0, 0, 0)),
            (4_107_542_400, (2100, 3, 1, 0, 0, 0)),
            (4_354_819_199, (2107, 12, 31, 23, 59, 58)),
            (u64::MAX >> 2, (2107, 12, 31, 23, 59, 58)),
        ];
        for (seconds, (year, month, day, hour, minute, second)) in cases {
            let found = DosTime::from(UNIX_EPOCH + Duration::from_secs(seconds));
            let date = (year - 1980) << 9 | month << 5 | day;
            assert_eq!(found, DosTime { date, time: hour << 11 | minute << 5 | (second / 2) }, "{seconds}");
        }
    }
}

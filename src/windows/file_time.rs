//! Windows' time: intervals of 100 ns since the beginning of 1601, in UTC.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Intervals in a second.
const SECOND: u64 = 10_000_000;
/// Seconds from 1601 to 1970.
const TO_1970: u64 = 11_644_473_600;
const DAY: u64 = 86_400;
/// Days of 400 years, after which the calendar begins again, and of 100, 4 and 1 of them.
const DAYS: [u64; 4] = [146_097, 36_524, 1461, 365];

/// A moment, as NTFS and the registry keep it.
///
/// ```
/// use diskport::windows::FileTime;
///
/// assert_eq!(FileTime(132_000_000_000_000_000).to_string(), "2019-04-17T18:40:00Z");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FileTime(
    /// Intervals of 100 ns since the beginning of 1601.
    pub u64,
);

impl From<FileTime> for SystemTime {
    fn from(time: FileTime) -> Self {
        let since_1601 = Duration::from_secs(time.0 / SECOND)
            + Duration::from_nanos(time.0 % SECOND * (1_000_000_000 / SECOND));
        let to_1970 = Duration::from_secs(TO_1970);
        match since_1601.checked_sub(to_1970) {
            Some(since_1970) => UNIX_EPOCH + since_1970,
            None => UNIX_EPOCH - (to_1970 - since_1601),
        }
    }
}

impl From<SystemTime> for FileTime {
    /// Before 1601 its beginning.
    fn from(time: SystemTime) -> Self {
        let to_1970 = Duration::from_secs(TO_1970);
        let since_1601 = match time.duration_since(UNIX_EPOCH) {
            Ok(since_1970) => since_1970.saturating_add(to_1970),
            Err(before) => to_1970.saturating_sub(before.duration()),
        };
        Self(u64::try_from(since_1601.as_nanos() / 100).unwrap_or(u64::MAX))
    }
}

/// As ISO 8601 has it, to the second.
impl fmt::Display for FileTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / SECOND;
        let (mut day, of_day) = (seconds / DAY, seconds % DAY);
        let mut year = 1601;
        for (days, (years, most)) in DAYS.into_iter().zip([(400, u64::MAX), (100, 3), (4, 24), (1, 3)]) {
            // The last day of a leap year is no year of its own.
            let whole = (day / days).min(most);
            day -= whole * days;
            year += whole * years;
        }
        let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let mut month = 1;
        for days in [31, 28 + u64::from(is_leap), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
            if day < days {
                break;
            }
            day -= days;
            month += 1;
        }
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        write!(f, "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", day + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By GNU date, with seconds since 1970.
    #[test]
    fn moments_are_shown_as_others_show_them() {
        for (seconds, shown) in [
            (-11_644_473_600, "1601-01-01T00:00:00Z"),
            (-11_612_937_601, "1601-12-31T23:59:59Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (978_307_199, "2000-12-31T23:59:59Z"),
            (1_709_210_096, "2024-02-29T12:34:56Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (13_574_563_199, "2400-02-28T23:59:59Z"),
        ] {
            let time = FileTime((seconds + TO_1970 as i64) as u64 * SECOND);
            assert_eq!(time.to_string(), shown);
            let system = SystemTime::from(time);
            assert_eq!(FileTime::from(system), time);
            let expected = match seconds >= 0 {
                true => UNIX_EPOCH + Duration::from_secs(seconds as u64),
                false => UNIX_EPOCH - Duration::from_secs(-seconds as u64),
            };
            assert_eq!(system, expected);
        }
        assert!(FileTime(u64::MAX).to_string().starts_with("60056-"));
    }
}

//! Numbers and sizes on the command line.

use std::str::FromStr;

use crate::failure::Failure;

/// A size that is asked for: so many bytes, or more or fewer than there are now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewSize {
    /// This size.
    Exactly(u64),
    /// As much larger.
    More(u64),
    /// As much smaller.
    Less(u64),
}

impl NewSize {
    /// The size in bytes, of what has `present` now.
    pub fn of(self, present: u64) -> Result<u64, Failure> {
        match self {
            NewSize::Exactly(size) => Ok(size),
            NewSize::More(by) => present
                .checked_add(by)
                .ok_or_else(|| Failure::Usage(format!("{by} bytes more than {present} are too many"))),
            NewSize::Less(by) => present.checked_sub(by).filter(|&size| size > 0).ok_or_else(|| {
                Failure::Usage(format!("{by} bytes fewer leave nothing: there are {present} now"))
            }),
        }
    }
}

/// Parses a whole number: digits, and nothing else.
pub fn number<T: FromStr>(text: &str) -> Result<T, String> {
    if text.is_empty() || !text.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err("expected a whole number".to_owned());
    }
    text.parse().map_err(|_| "too large".to_owned())
}

/// Parses a size: a number of bytes, or one with a unit of powers of 1024.
pub fn parse(text: &str) -> Result<u64, String> {
    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit);
    let shift = match unit {
        "" => 0,
        "K" | "k" | "KiB" => 10,
        "M" | "m" | "MiB" => 20,
        "G" | "g" | "GiB" => 30,
        "T" | "t" | "TiB" => 40,
        _ => return Err(EXPECTED.to_owned()),
    };
    let number: u64 =
        number(digits).map_err(|why| if digits.is_empty() { EXPECTED.to_owned() } else { why })?;
    number.checked_mul(1 << shift).ok_or_else(|| "too large".to_owned())
}

const EXPECTED: &str =
    "expected a whole number of bytes, or one with K, M, G, T, KiB, MiB, GiB or TiB behind it";

/// Parses a size that is not 0.
pub fn parse_positive(text: &str) -> Result<u64, String> {
    parse(text).and_then(|size| if size == 0 { Err("expected more than 0".to_owned()) } else { Ok(size) })
}

/// Parses a size, or with a sign before it how much larger or smaller it is to be.
pub fn parse_new(text: &str) -> Result<NewSize, String> {
    if let Some(by) = text.strip_prefix('+') {
        return parse(by).map(NewSize::More);
    }
    match text.strip_prefix('-') {
        Some(by) => parse(by).map(NewSize::Less),
        None => parse(text).map(NewSize::Exactly),
    }
}

/// Bytes, and in the largest unit that keeps the number readable.
pub fn show(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = None;
    for next in units {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = Some(next);
    }
    match unit {
        None => format!("{bytes} bytes"),
        Some(unit) => format!("{value:.3} {unit} ({bytes} bytes)"),
    }
}

#[cfg(test)]
mod tests {
    use super::{NewSize, number, parse, parse_new};

    #[test]
    fn units_are_powers_of_1024() {
        assert_eq!(parse("512"), Ok(512));
        assert_eq!(parse("3k"), Ok(3072));
        assert_eq!(parse("2T"), Ok(2 << 40));
        for (unit, shift) in [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)] {
            assert_eq!(parse(&format!("5{unit}")), Ok(5 << shift), "{unit}");
        }
        assert_eq!(parse("18446744073709551615"), Ok(u64::MAX));
        for wrong in [
            "",
            "K",
            "KiB",
            "1.5G",
            "-1",
            "+1",
            "+1M",
            "1KB",
            "1kib",
            "1Ki",
            "1iB",
            "1B",
            "1 M",
            " 1",
            "1M ",
            "0x10",
            "1_000",
            "1e3",
            "99999999T",
            "18446744073709551616",
            "16777216TiB",
            "M1",
            "1MM",
            "1é",
            "٣",
            "１",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn signs_are_relative() {
        assert_eq!(parse_new("10M"), Ok(NewSize::Exactly(10 << 20)));
        assert_eq!(parse_new("+10MiB"), Ok(NewSize::More(10 << 20)));
        assert_eq!(parse_new("-512"), Ok(NewSize::Less(512)));
        for wrong in ["", "+", "-", "++1", "+-1", "--1", "- 1", "1+", "-M", "+99999999T"] {
            assert!(parse_new(wrong).is_err(), "{wrong}");
        }
        assert_eq!(NewSize::More(2).of(40).ok(), Some(42));
        assert_eq!(NewSize::Less(2).of(40).ok(), Some(38));
        assert_eq!(NewSize::Exactly(2).of(40).ok(), Some(2));
        assert!(NewSize::More(u64::MAX).of(1).is_err());
        assert!(NewSize::Less(40).of(40).is_err());
        assert!(NewSize::Less(41).of(40).is_err());
    }

    #[test]
    fn numbers_are_digits() {
        assert_eq!(number::<u32>("12"), Ok(12));
        for wrong in ["", "+12", "-12", "12K", "4294967296", " 12"] {
            assert!(number::<u32>(wrong).is_err(), "{wrong}");
        }
    }
}

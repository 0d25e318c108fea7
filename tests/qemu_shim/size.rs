//! Sizes, as qemu reads and writes them.

use diskport::{GIB, KIB, MIB};

const TIB: u64 = 1 << 40;

/// Reads a number of bytes: decimal or hexadecimal, with a unit of 1024 to some power.
pub fn parse(text: &str) -> Result<u64, String> {
    let refused =
        || format!("Parsing error: non-numeric argument, or extraneous/unrecognized suffix -- {text}");
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).map_err(|_| refused());
    }
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let shift = match &*text[number.len()..].to_ascii_lowercase() {
        "" | "b" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(refused()),
    };
    let number: u64 = number.parse().map_err(|_| refused())?;
    number.checked_mul(1 << shift).ok_or_else(refused)
}

/// The largest unit that gives at least 1, three decimals unless they are zeros: what qemu-io prints.
pub fn rounded(bytes: u64) -> String {
    let (shift, unit) = match bytes {
        0..KIB => return format!("{bytes} bytes"),
        KIB..MIB => (10, "KiB"),
        MIB..GIB => (20, "MiB"),
        GIB..TIB => (30, "GiB"),
        TIB.. => (40, "TiB"),
    };
    let number = format!("{:.3}", bytes as f64 / (1_u64 << shift) as f64);
    format!("{} {unit}", number.strip_suffix(".000").unwrap_or(&number))
}

/// Three significant digits, and the next unit from 1000 on: what qemu-img prints.
pub fn significant(bytes: u64) -> String {
    let mut number = bytes as f64;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"].iter();
    let mut unit = units.next().copied().unwrap_or_default();
    while number >= 1000.0
        && let Some(next) = units.next()
    {
        number /= 1024.0;
        unit = next;
    }
    let decimals = match number {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    let mut number = format!("{number:.decimals$}");
    if number.contains('.') {
        number = number.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    format!("{number} {unit}")
}

//! Sizes on the command line: bytes, or with K, M, G, T.

/// Parses a size: a number of bytes, or one with a suffix of powers of 1024.
pub fn parse(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 10),
        Some((at, 'm' | 'M')) => (&text[..at], 20),
        Some((at, 'g' | 'G')) => (&text[..at], 30),
        Some((at, 't' | 'T')) => (&text[..at], 40),
        _ => (text, 0),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| "expected a number of bytes, or one with K, M, G or T behind it".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "too large".to_owned())
}

/// Parses a size that is not 0.
pub fn parse_positive(text: &str) -> Result<u64, String> {
    parse(text).and_then(|size| if size == 0 { Err("expected more than 0".to_owned()) } else { Ok(size) })
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
    use super::parse;

    #[test]
    fn suffixes_are_powers_of_1024() {
        assert_eq!(parse("512"), Ok(512));
        assert_eq!(parse("3k"), Ok(3072));
        assert_eq!(parse("2T"), Ok(2 << 40));
        for wrong in ["", "K", "1.5G", "-1", "1KB", "99999999T", "M1", "1é"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}

//! Numbers and identities as text, strictly: `str::parse` takes `+5`, and `Uuid::try_parse` four spellings.

use std::str::FromStr;

use uuid::Uuid;

/// A number in decimal digits, and nothing else.
pub(crate) fn decimal<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|digit| digit.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A number in hexadecimal digits, and nothing else.
pub(crate) fn hexadecimal(text: &str) -> Option<u32> {
    let is_number = text.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_number.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

/// A GUID in five groups, with braces around it or without.
pub(crate) fn guid(text: &str) -> Option<Uuid> {
    let inner = text.strip_prefix('{').map_or(Some(text), |text| text.strip_suffix('}'))?;
    // Of this length only the spelling with hyphens is.
    (inner.len() == 36).then(|| Uuid::try_parse(inner).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_alone() {
        assert_eq!(decimal::<u32>("4294967295"), Some(u32::MAX));
        assert_eq!(decimal::<u64>("007"), Some(7));
        for wrong in ["", "+5", "-0", " 5", "5 ", "4294967296", "0x5", "5_0", "５"] {
            assert_eq!(decimal::<u32>(wrong), None, "{wrong:?}");
        }
        assert_eq!(hexadecimal("FFfffffe"), Some(0xffff_fffe));
        for wrong in ["", "+1", "-1", "0x1", "100000000", "g"] {
            assert_eq!(hexadecimal(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn guids_are_in_groups() {
        let text = "0fc63daf-8483-4772-8e79-3d69d8477de4";
        let expected = Uuid::try_parse(text).ok();
        assert_eq!((guid(text), guid(&format!("{{{text}}}"))), (expected, expected));
        let simple = text.replace('-', "");
        for wrong in [
            "",
            "{}",
            &simple,
            &format!("urn:uuid:{text}"),
            &format!("{{{text}"),
            &format!("{text}}}"),
            &format!("{{{simple}}}"),
            &format!("({text})"),
        ] {
            assert_eq!(guid(wrong), None, "{wrong:?}");
        }
    }
}

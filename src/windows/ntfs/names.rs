//! Names of files: those that Windows forbids, and the short names of DOS that stand beside long ones.

use super::file_name::{FileName, space};
use super::flaw::refused;
use super::upcase::Upcase;
use crate::error::Result;

/// Units of a name.
const MAX_NAME: usize = 255;
/// Units of a short name, and of what follows its dot.
const MAX_SHORT: usize = 8;
const MAX_EXTENSION: usize = 3;
/// Names of devices, with any extension.
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// Refuses a name that Windows could not open, or not everywhere.
///
/// # Errors
///
/// [`crate::Error::Layout`] with the reason.
pub(super) fn check(name: &[u16]) -> Result<()> {
    let refuse = |reason: &str| {
        let name = String::from_utf16_lossy(name);
        Err(refused(&format!("{name:?} is no name for a file on Windows: {reason}")))
    };
    let last = name.last().copied().unwrap_or_default();
    if name.is_empty() {
        refuse("it is empty")
    } else if name.len() > MAX_NAME {
        refuse(&format!("it has {} characters, and {MAX_NAME} are allowed", name.len()))
    } else if name.iter().any(|&unit| unit < 0x20 || is_any(unit, r#"\/:*?"<>|"#)) {
        refuse(r#"it has a control character or one of \ / : * ? " < > |"#)
    } else if is_any(last, ". ") {
        refuse("it ends with a dot or a space")
    } else if is_device(name) {
        refuse("it is the name of a device")
    } else {
        Ok(())
    }
}

fn is_any(unit: u16, set: &str) -> bool {
    set.encode_utf16().any(|one| one == unit)
}

/// Whether Windows takes a name for that of a device: `NUL`, `com1.txt`, `LPT² .x`.
fn is_device(name: &[u16]) -> bool {
    let base = name.split(|&unit| unit == u16::from(b'.')).next().unwrap_or_default();
    let base = String::from_utf16_lossy(base).trim_end_matches(' ').to_ascii_uppercase();
    let port = base.strip_prefix("COM").or_else(|| base.strip_prefix("LPT"));
    DEVICES.contains(&base.as_str())
        || port
            .is_some_and(|port| ["1", "2", "3", "4", "5", "6", "7", "8", "9", "¹", "²", "³"].contains(&port))
}

/// Whether a name is short as it stands, in whatever case: then it needs no other.
pub(super) fn is_short(name: &[u16]) -> bool {
    let mut parts = name.split(|&unit| unit == u16::from(b'.'));
    let (base, extension, rest) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    let fits =
        |part: &[u16], most| (1..=most).contains(&part.len()) && part.iter().all(|&unit| is_plain(unit));
    fits(base, MAX_SHORT) && extension.is_none_or(|part| fits(part, MAX_EXTENSION)) && rest.is_none()
}

/// Whether a unit may stand in a short name as it is. What is not ASCII may in some code page, and in others not.
fn is_plain(unit: u16) -> bool {
    (0x21..0x7f).contains(&unit) && !is_any(unit, r#"\/:*?"<>|.;+=[],"#)
}

/// The first short name for a long one that is not `taken`, as Windows makes them: `LONGNA~1.TXT` to `LONGNA~4.TXT`, then
/// `LO1A2B~1.TXT` with a hash of the long name.
///
/// # Errors
///
/// Those of `taken`; [`crate::Error::Layout`] when a million are taken.
pub(super) fn short(
    long: &[u16],
    upcase: &Upcase,
    taken: &mut dyn FnMut(&[u16]) -> Result<bool>,
) -> Result<Vec<u16>> {
    let dot = long.iter().rposition(|&unit| unit == u16::from(b'.'));
    // A dot at the beginning begins no extension.
    let dot = dot.filter(|&dot| long[..dot].iter().any(|&unit| !is_any(unit, " .")));
    let (base, extension) = long.split_at(dot.unwrap_or(long.len()));
    let mut base = plain(base, upcase);
    let mut extension = plain(extension, upcase);
    extension.truncate(MAX_EXTENSION);
    let hashed = base.len() <= 2;
    base.truncate(MAX_SHORT - 2);
    let plain_names = if hashed { 0 } else { 4 };
    let hash: Vec<u16> = hash(long).encode_utf16().collect();
    let with_hash = [base.get(..2).unwrap_or(&base), &hash].concat();
    let names = (1..=plain_names).map(|number| (&base, number));
    for (stem, number) in names.chain((1..1_000_000).map(|number| (&with_hash, number))) {
        let number: Vec<u16> = format!("~{number}").encode_utf16().collect();
        let mut name = stem.get(..MAX_SHORT - number.len()).unwrap_or(stem).to_vec();
        name.extend(number);
        if !extension.is_empty() {
            name.push(b'.'.into());
            name.extend(&extension);
        }
        if !taken(&name)? {
            return Ok(name);
        }
    }
    Err(refused(&format!("no short name is free for {:?}", String::from_utf16_lossy(long))))
}

/// What a part of a name is in a short one: in upper case, without what cannot be there, `_` for what only DOS forbids.
fn plain(part: &[u16], upcase: &Upcase) -> Vec<u16> {
    let kept = part.iter().filter(|&&unit| (0x21..0x7f).contains(&unit) && unit != u16::from(b'.'));
    kept.map(|&unit| if is_plain(unit) { upcase.upper(unit) } else { b'_'.into() }).collect()
}

/// Windows' hash of a long name, in four hexadecimal digits, the last one first.
fn hash(long: &[u16]) -> String {
    let sum = long.iter().fold(0u16, |sum, &unit| sum.wrapping_mul(37).wrapping_add(unit));
    let spread = i32::from(sum).wrapping_mul(314_159_269).unsigned_abs() % 1_000_000_007;
    format!("{:04X}", spread & 0xffff).chars().rev().collect()
}

/// How the long names of a directory are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// With a short name beside each.
    Pair,
    /// Alone, in this name space.
    Single(u8),
}

/// How long names are kept among these: with short ones if there is a short one. `None` where all names are short as they stand.
pub(super) fn style(names: impl IntoIterator<Item = FileName>) -> Option<Style> {
    let mut single = None;
    for name in names {
        match name.space {
            space::DOS => return Some(Style::Pair),
            alone if single.is_none() && !is_short(&name.name) => single = Some(Style::Single(alone)),
            _ => {}
        }
    }
    single
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::windows::ntfs::file_name::Duplicate;
    use crate::windows::ntfs::record::Reference;

    fn units(name: &str) -> Vec<u16> {
        name.encode_utf16().collect()
    }

    /// The short name when the first `taken` ones are not free.
    fn short_name(long: &str, mut taken: usize) -> String {
        let mut is_taken = |_: &[u16]| {
            taken = taken.wrapping_sub(1);
            Ok(taken != usize::MAX)
        };
        String::from_utf16(&short(&units(long), &Upcase::default(), &mut is_taken).unwrap()).unwrap()
    }

    /// As published of Windows: one by T. Galvin, four in a question on Stack Overflow (31526206).
    #[test]
    fn hashes_are_those_of_windows() {
        let published = [
            ("SomeStuff.aspx", "SOBC84~1.ASP"),
            ("Rammstein & Tatu - Moscow.mp3", "RA8E17~1.MP3"),
            ("Rammstein - Asche zu Asche.mp3", "RA23A6~1.MP3"),
            ("Rammstein - Du Hast.mp3", "RA0CAE~1.MP3"),
            ("Rammstein - Haifisch.mp3", "RA6BAA~1.MP3"),
        ];
        for (long, short) in published {
            assert_eq!(short_name(long, 4), short);
        }
    }

    #[test]
    fn short_names_are_made_as_windows_makes_them() {
        for (long, taken, short) in [
            ("Program Files", 0, "PROGRA~1"),
            ("Program Files (x86)", 1, "PROGRA~2"),
            ("5+6 June Report.doc", 0, "5_6JUN~1.DOC"),
            ("a.testing.file.bat", 0, "ATESTI~1.BAT"),
            ("ver +1.2.text", 0, "VER_12~1.TEX"),
            ("SomeStuff.aspx", 3, "SOMEST~4.ASP"),
            (".profile", 0, "PROFIL~1"),
            ("..two.dots", 0, "TWO~1.DOT"),
            ("SomeStuff.aspx", 12, "SOBC84~9.ASP"),
            ("SomeStuff.aspx", 13, "SOBC8~10.ASP"),
        ] {
            assert_eq!(short_name(long, taken), short, "{long}");
        }
        // Of two characters or less, and of none that DOS has.
        for (long, first, last) in [("a b", "AB", "~1"), ("日本", "", "~1"), ("x.html", "X", "~1.HTM")] {
            let short = short_name(long, 0);
            assert!(short.starts_with(first) && short.ends_with(last), "{short}");
            assert_eq!(short.len(), first.len() + 4 + last.len());
            assert!(is_short(&units(&short)));
        }
    }

    #[test]
    fn names_that_are_short_as_they_stand() {
        for name in ["a", "README.TXT", "ntldr", "Abcdefgh.ijk", "$MFT", "A~1.B"] {
            assert!(is_short(&units(name)), "{name}");
        }
        for name in ["", ".a", "a.", "abcdefghi", "a.html", "a b", "a.b.c", "ä.txt", "a+b", "a.[]", "x,y"] {
            assert!(!is_short(&units(name)), "{name}");
        }
    }

    #[test]
    fn what_windows_forbids_is_refused() {
        let long = "x".repeat(256);
        for name in [
            "", "a:b", "a\\b", "a/b", "a*", "?", "\"", "<", ">", "|", "a\u{1f}", "a.", "a ", ".", "..",
            "CON", "nul.txt", "Aux.a.b", "prn .x", "COM1", "com9.log", "LPT³", "conin$", &long,
        ] {
            assert!(check(&units(name)).is_err(), "{name:?}");
        }
        for name in
            ["a", ".a", " a", "COM0", "COM10", "console", "LPT", "nully", "µ", "a;b+c=[d],e", &long[1..]]
        {
            check(&units(name)).unwrap();
        }
    }

    #[test]
    fn short_names_are_made_where_siblings_have_them() {
        let named = |name: &str, space| FileName {
            parent: Reference(5),
            info: Duplicate::default(),
            space,
            name: units(name),
        };
        assert_eq!(style([]), None);
        assert_eq!(style([named("a.txt", space::BOTH), named("b", space::POSIX)]), None);
        assert_eq!(style([named("long name", space::POSIX)]), Some(Style::Single(space::POSIX)));
        let pair = [named("long name", space::WIN32), named("a", space::BOTH), named("LONGNA~1", space::DOS)];
        assert_eq!(style(pair), Some(Style::Pair));
    }
}

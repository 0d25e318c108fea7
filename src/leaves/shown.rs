//! How paths are written in messages.

use std::fmt::Write as _;
use std::path::Path;

/// A path as messages have it.
pub trait Shown {
    /// The path as it is. One that is not in UTF-8, or holds what a terminal would not print, as shells take it, with those bytes
    /// escaped, so that no two are written alike: `$'B\xfcro.vhdx'`.
    fn shown(&self) -> String;
}

impl Shown for Path {
    fn shown(&self) -> String {
        if let Some(text) = self.to_str().filter(|text| !text.contains(char::is_control)) {
            return text.to_owned();
        }
        let mut shown = "$'".to_owned();
        let escape = |shown: &mut String, byte: u8| {
            // Writing into a string does not fail.
            let _ = write!(shown, "\\x{byte:02x}");
        };
        for chunk in self.as_os_str().as_encoded_bytes().utf8_chunks() {
            for letter in chunk.valid().chars() {
                match letter {
                    '\'' | '\\' => shown.extend(['\\', letter]),
                    _ if letter.is_control() => {
                        letter.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| escape(&mut shown, byte));
                    }
                    _ => shown.push(letter),
                }
            }
            chunk.invalid().iter().for_each(|&byte| escape(&mut shown, byte));
        }
        shown.push('\'');
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_utf8_is_shown_as_it_is() {
        for name in ["", "a b.vhd", "gr\u{f6}\u{df}e\\x", "$'x'"] {
            assert_eq!(Path::new(name).shown(), name);
        }
    }

    #[cfg(unix)]
    #[test]
    fn other_bytes_are_escaped_each_in_its_own_way() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let shown = |name: &[u8]| Path::new(OsStr::from_bytes(name)).shown();
        assert_eq!(shown(b"B\xfcro.vhdx"), "$'B\\xfcro.vhdx'");
        assert_eq!(shown(b"it's\\\xff"), "$'it\\'s\\\\\\xff'");
        assert_eq!(shown("\u{fc}".as_bytes()), "\u{fc}");
        assert_ne!(shown(b"\xfc"), shown(b"\xfd"));
        assert_eq!(shown(b"a\nb\x1b[0m"), "$'a\\x0ab\\x1b[0m'");
    }
}

//! A `.reg` file written, as regedit writes one of version 5.

use std::io::Write;

use roaring::RoaringBitmap;

use super::VERSION_5;
use crate::error::{Error, Result};
use crate::windows::registry::bins::MIN_CELL;
use crate::windows::registry::key::{Key, MAX_DEPTH};
use crate::windows::registry::kind;
use crate::windows::registry::value::Value;

/// Columns of a line of bytes.
const WIDTH: usize = 77;

/// Writes a key with all that is below it, under the path that it has in Windows.
///
/// # Errors
///
/// [`Error::Damaged`] when a key cannot be read, or is there twice; [`Error::Io`] of `out`.
pub fn export(key: &Key<'_>, path: &str, out: &mut dyn Write) -> Result<()> {
    let mut export = Export { out, seen: RoaringBitmap::new() };
    export.put("\u{feff}")?;
    export.line(VERSION_5)?;
    export.line("")?;
    export.key(key, path, 0)
}

struct Export<'o> {
    out: &'o mut dyn Write,
    /// Where the keys lie that were written, by eights: in a damaged hive they may be a loop.
    seen: RoaringBitmap,
}

impl Export<'_> {
    fn key(&mut self, key: &Key<'_>, path: &str, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH || !self.seen.insert(key.offset / MIN_CELL) {
            return Err(key.damage("a key of its own", "one that is there twice"));
        }
        self.line(&format!("[{path}]"))?;
        for value in key.values()? {
            self.value(&value?)?;
        }
        self.line("")?;
        for subkey in key.subkeys()? {
            let subkey = subkey?;
            self.key(&subkey, &format!("{path}\\{}", subkey.name()), depth + 1)?;
        }
        Ok(())
    }

    fn value(&mut self, value: &Value<'_>) -> Result<()> {
        let name = if value.name().is_empty() { "@".to_owned() } else { quoted(value.name()) };
        let data = value.data()?;
        let kind = value.kind();
        if kind == kind::SZ
            && let Some(text) = plain_text(&data)
        {
            return self.line(&format!("{name}={}", quoted(&text)));
        }
        if kind == kind::DWORD
            && let Ok(number) = data.as_slice().try_into()
        {
            return self.line(&format!("{name}=dword:{:08x}", u32::from_le_bytes(number)));
        }
        let mut line = match kind {
            kind::BINARY => format!("{name}=hex:"),
            kind => format!("{name}=hex({kind:x}):"),
        };
        let mut column = line.chars().count();
        for (index, byte) in data.iter().enumerate() {
            line.push_str(&format!("{byte:02x}"));
            column += 3;
            if index + 1 < data.len() {
                line.push(',');
                if column >= WIDTH {
                    line.push_str("\\\r\n  ");
                    column = 2;
                }
            }
        }
        self.line(&line)
    }

    fn line(&mut self, line: &str) -> Result<()> {
        self.put(line)?;
        self.put("\r\n")
    }

    fn put(&mut self, text: &str) -> Result<()> {
        let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        self.out.write_all(&bytes).map_err(|e| Error::io("write", "registry file", e))
    }
}

/// The text of a string with one NUL at its end, and none before.
fn plain_text(data: &[u8]) -> Option<String> {
    let (units, []) = data.as_chunks::<2>() else { return None };
    let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    let text = String::from_utf16(units.strip_suffix(&[0])?).ok()?;
    // Another line end would become one of the file.
    (!text.contains(['\0', '\r', '\n'])).then_some(text)
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

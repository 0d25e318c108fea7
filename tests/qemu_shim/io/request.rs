//! Reading and writing: `read`, `write`, their vectored and their asynchronous forms.

use std::fmt::Write;
use std::ops::Range;

use diskport::{Error, WritableDisk};

use super::device::Device;
use crate::failure;
use crate::options::Options;
use crate::size;

/// What a write writes where no pattern is named, and what lies in memory before a read.
const DEFAULT_PATTERN: u8 = 0xcd;

/// One reading or writing.
pub struct Request {
    /// The command's name, for messages.
    name: String,
    action: Action,
    offset: u64,
    len: u64,
    quiet: bool,
}

enum Action {
    Read { dump: bool, verify: Option<Verify> },
    Write { pattern: u8 },
    WriteZeroes,
    Discard,
}

/// Which bytes of those read must be what.
struct Verify {
    pattern: u8,
    range: Range<u64>,
}

impl Request {
    /// Takes the command `name` and its arguments; the error is what is printed of it.
    pub fn parse(name: &str, args: &[String]) -> Result<Self, String> {
        let kind = name.strip_prefix("aio_").unwrap_or(name);
        // `-p` and `-u` leave the outcome as it is: how qemu passes the request on, and that space may be given back.
        let letters = match kind {
            "read" | "readv" => "pqvP:s:l:",
            "write" | "writev" => "pquzP:",
            _ => "q",
        };
        let options = Options::parse(args, letters, &[])?;
        let pattern = options.value('P').map(parse_pattern).transpose()?;
        let (offset, lengths) = options.operands.split_first().ok_or("missing offset and length")?;
        let offset = size::parse(offset)?;
        let lengths: Vec<u64> = lengths.iter().map(|len| size::parse(len)).collect::<Result<_, _>>()?;
        if lengths.is_empty() || lengths.len() > 1 && !kind.ends_with('v') && name == kind {
            return Err(format!("{name} does not take {} lengths", lengths.len()));
        }
        let len = lengths.iter().sum();
        let action = match kind {
            "read" | "readv" => {
                let verify = match pattern {
                    Some(pattern) => Some(Verify { pattern, range: verified(&options, len)? }),
                    None => None,
                };
                Action::Read { dump: options.has('v'), verify }
            }
            "discard" => Action::Discard,
            _ if options.has('z') => Action::WriteZeroes,
            _ => Action::Write { pattern: pattern.unwrap_or(DEFAULT_PATTERN) },
        };
        Ok(Self { name: name.to_owned(), action, offset, len, quiet: options.has('q') })
    }

    /// Does it, and says what is to be printed of it and whether it went well.
    pub fn perform(&self, device: &Device) -> (String, bool) {
        let mut text = String::new();
        let verified = match self.attempt(device, &mut text) {
            Ok(verified) => verified,
            Err(e) => return (format!("{} failed: {}\n", self.name, failure::of(&e)), false),
        };
        let done = match self.action {
            Action::Read { .. } => "read",
            Action::Write { .. } | Action::WriteZeroes => "wrote",
            Action::Discard => "discard",
        };
        if !self.quiet {
            let (len, offset) = (self.len, self.offset);
            // Writing into a string does not fail.
            let _ = writeln!(text, "{done} {len}/{len} bytes at offset {offset}");
            let len = size::rounded(len);
            let _ = writeln!(text, "{len}, 1 ops; 00.01 sec ({len}/sec and 1.0000 ops/sec)");
        }
        (text, verified)
    }

    /// Does it; whether what was read is what it must be.
    fn attempt(&self, device: &Device, text: &mut String) -> Result<bool, Error> {
        let (offset, len) = (self.offset, self.len);
        if offset.checked_add(len).is_none_or(|end| end > device.size()) {
            return Err(Error::OutOfRange { offset, len, size: device.size() });
        }
        let Action::Read { dump, verify } = &self.action else {
            return self.change(device.writable()?).map(|()| true);
        };
        let mut bytes = vec![DEFAULT_PATTERN; len as usize];
        device.read(&mut bytes, offset)?;
        let wrong = verify.as_ref().filter(|verify| {
            let range = verify.range.start as usize..verify.range.end as usize;
            bytes[range].iter().any(|&byte| byte != verify.pattern)
        });
        if let Some(Verify { range, .. }) = wrong {
            let (at, len) = (offset + range.start, range.end - range.start);
            *text += &format!("Pattern verification failed at offset {at}, {len} bytes\n");
        }
        if *dump {
            *text += &hexadecimal(&bytes, offset);
        }
        Ok(wrong.is_none())
    }

    fn change(&self, disk: &WritableDisk) -> Result<(), Error> {
        let (offset, len) = (self.offset, self.len);
        match self.action {
            Action::Write { pattern } => disk.write_at(&vec![pattern; len as usize], offset),
            Action::WriteZeroes => disk.write_zeroes(offset, len),
            Action::Discard => disk.discard(offset, len),
            Action::Read { .. } => Ok(()),
        }
    }
}

/// The part of the `len` bytes read that `-s` and `-l` choose.
fn verified(options: &Options, len: u64) -> Result<Range<u64>, String> {
    let start = options.value('s').map_or(Ok(0), size::parse)?;
    let count = options.value('l').map_or(Ok(len.saturating_sub(start)), size::parse)?;
    let end = start.checked_add(count).filter(|&end| end <= len);
    end.map(|end| start..end).ok_or_else(|| "pattern verification range exceeds end of read data".to_owned())
}

fn parse_pattern(text: &str) -> Result<u8, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u8::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("{text} is not a valid pattern byte"))
}

fn hexadecimal(bytes: &[u8], offset: u64) -> String {
    let mut text = String::new();
    for (index, row) in bytes.chunks(16).enumerate() {
        let _ = write!(text, "{:08x}:  ", offset + index as u64 * 16);
        for byte in row {
            let _ = write!(text, "{byte:02x} ");
        }
        let shown = |&byte: &u8| if byte.is_ascii_alphanumeric() { byte as char } else { '.' };
        let _ = writeln!(text, " {}", row.iter().map(shown).collect::<String>());
    }
    text
}

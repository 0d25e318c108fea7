//! The text descriptor: a file of its own, or a part of a hosted sparse extent.
//!
//! "Virtual Disk Format 5.0", section "The Descriptor File". It is parsed line by line: a reader that searches for
//! keys anywhere in the text, as qemu does for the CID, can be fooled by a comment.

use encoding_rs::{BIG5, Encoding, GBK, SHIFT_JIS, UTF_8, WINDOWS_1252};

use super::ddb::Ddb;
use super::extent_line::{Access, ExtentLine};
use crate::disk::{Warning, WarningKind};
use crate::error::{Defect, Error, Problem, Result};
use crate::leaves::Format;
use crate::storage::ImageFile;
use crate::strict;

/// Bytes of a descriptor at most.
pub(super) const MAX_BYTES: u64 = 1 << 20;
/// Bytes of a line at most.
const MAX_LINE: usize = 64 << 10;
/// Extents at most.
pub(super) const MAX_EXTENTS: usize = 65_536;
/// Bytes in which the signature must stand, behind whatever comments and blank lines come before it.
pub(super) const PROBE_BYTES: u64 = 4096;
/// The `parentCID` of a disk without a parent.
pub(super) const NO_PARENT: u32 = u32::MAX;

const STRUCTURE: &str = "descriptor";
const BOM: &[u8] = b"\xef\xbb\xbf";
const SIGNATURE: &str = "diskdescriptorfile";

/// The values of `createType` in their canonical spelling. Compared without regard to case.
const CREATE_TYPES: [&str; 16] = [
    "monolithicSparse",
    "monolithicFlat",
    "twoGbMaxExtentSparse",
    "twoGbMaxExtentFlat",
    "streamOptimized",
    "vmfs",
    "vmfsThin",
    "vmfsThick",
    "vmfsPreallocated",
    "vmfsEagerZeroedThick",
    "vmfsSparse",
    "seSparse",
    "custom",
    // By the names that VMware's older products write.
    "monolithicPreallocated",
    "2GbMaxExtentSparse",
    "2GbMaxExtentFlat",
];

/// The values of `createType` of disks whose content lies on a device. Refused.
const DEVICE_TYPES: [&str; 8] = [
    "fullDevice",
    "partitionedDevice",
    "vmfsRDM",
    "vmfsRDMP",
    "vmfsRaw",
    "vmfsRawDeviceMap",
    "vmfsPassthroughRawDeviceMap",
    "vmfsPassthroughRaw",
];

/// What a descriptor says.
#[derive(Debug)]
pub(super) struct Descriptor {
    pub(super) cid: Option<u32>,
    pub(super) parent_cid: u32,
    /// In its canonical spelling.
    pub(super) create_type: &'static str,
    pub(super) parent_file_name_hint: Option<String>,
    /// The file in which VMware tracks changes.
    pub(super) change_track_path: Option<String>,
    pub(super) extents: Vec<ExtentLine>,
    pub(super) ddb: Ddb,
    pub(super) warnings: Vec<Warning>,
}

/// Whether `head`, the beginning of a file, is that of a descriptor.
pub(super) fn probe(head: &[u8]) -> bool {
    let head = head.strip_prefix(BOM).unwrap_or(head);
    for line in head.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii) {
        match line.strip_prefix(b"#") {
            Some(comment) => {
                let letters = comment.iter().filter(|byte| !byte.is_ascii_whitespace());
                if letters.map(u8::to_ascii_lowercase).eq(SIGNATURE.bytes()) {
                    return true;
                }
            }
            None if line.is_empty() => {}
            None => return false,
        }
    }
    false
}

/// Where a text lies, for the defects found in it.
pub(super) struct Text<'a> {
    file: &'a ImageFile,
    /// Where in the file it begins.
    start: u64,
}

impl Text<'_> {
    pub(super) fn defect(
        &self,
        problem: Problem,
        at: usize,
        expected: &str,
        found: impl Into<String>,
    ) -> Error {
        self.defect_box(problem, at, expected, found).into()
    }

    fn defect_box(
        &self,
        problem: Problem,
        at: usize,
        expected: &str,
        found: impl Into<String>,
    ) -> Box<Defect> {
        self.file.defect_box(Format::Vmdk, problem, STRUCTURE, self.start + at as u64, expected, found)
    }
}

/// Whether the bytes behind the NUL at `used` are the end of a longer text that this one was written over. qemu
/// leaves it in the file when a content id takes fewer digits than the one before: at most 8 bytes, which end both.
fn is_overwritten_tail(bytes: &[u8], used: usize) -> bool {
    let (text, rest) = bytes.split_at(used);
    let end = rest.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let tail = rest.get(1..end).unwrap_or_default();
    tail.len() < 8 && text.ends_with(tail)
}

/// Parses the descriptor `bytes`, which begin at `start` of `file`; `embedded`: they may be padded with anything.
pub(super) fn parse(file: &ImageFile, start: u64, bytes: &[u8], embedded: bool) -> Result<Descriptor> {
    let text = Text { file, start };
    let mut warnings = Vec::new();
    let used = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    if let Some(rest) = bytes[used..].iter().position(|&byte| byte != 0) {
        if !embedded && !is_overwritten_tail(bytes, used) {
            return Err(text.defect(Problem::Descriptor, used, "text without NUL bytes", "a NUL byte in it"));
        }
        let message = format!("what stands behind its end, at {}, is ignored", start + (used + rest) as u64);
        warnings.push(Warning::of(file, WarningKind::Unused, STRUCTURE, message));
    }
    let bytes = &bytes[..used];
    let encoding = encoding_of(&text, bytes)?;
    let mut parser = Parser {
        descriptor: Descriptor {
            cid: None,
            parent_cid: NO_PARENT,
            create_type: "",
            parent_file_name_hint: None,
            change_track_path: None,
            extents: Vec::new(),
            ddb: Ddb::default(),
            warnings,
        },
        parent_cid: None,
        version: None,
        text,
    };
    let mut at = 0;
    for line in bytes.split(|&byte| byte == b'\n') {
        if line.len() > MAX_LINE {
            let found = format!("{} bytes", line.len());
            return Err(parser.text.defect(Problem::Descriptor, at, "lines of at most 64 KiB", found));
        }
        let bare = if at == 0 { line.strip_prefix(BOM).unwrap_or(line) } else { line };
        let Some(decoded) = encoding.decode_without_bom_handling_and_without_replacement(bare) else {
            let expected = format!("text in {}", encoding.name());
            return Err(parser.text.defect(Problem::Descriptor, at, &expected, "bytes that are none"));
        };
        parser.line(decoded.trim(), at)?;
        at += line.len() + 1;
    }
    parser.finish()
}

/// The encoding of the descriptor `bytes`, which was parsed before.
pub(super) fn encoding(file: &ImageFile, bytes: &[u8]) -> Result<&'static Encoding> {
    encoding_of(&Text { file, start: 0 }, bytes)
}

/// The encoding that the text names.
fn encoding_of(text: &Text<'_>, bytes: &[u8]) -> Result<&'static Encoding> {
    let mut at = 0;
    for line in bytes.split(|&byte| byte == b'\n') {
        let label = line
            .iter()
            .position(|&byte| byte == b'=')
            .filter(|&equals| line[..equals].trim_ascii().eq_ignore_ascii_case(b"encoding"));
        if let Some(equals) = label {
            let label = String::from_utf8_lossy(&line[equals + 1..]);
            let label = label.trim().trim_matches('"').to_ascii_lowercase();
            // Windows knows the eastern ones by the numbers of their code pages.
            let number = label.trim_start_matches(|letter: char| !letter.is_ascii_digit());
            return match number {
                "936" => Ok(GBK),
                "950" => Ok(BIG5),
                "932" => Ok(SHIFT_JIS),
                _ => Encoding::for_label(label.as_bytes())
                    .filter(|encoding| encoding.is_ascii_compatible())
                    .ok_or_else(|| text.defect(Problem::Unsupported, at, "a known encoding", label)),
            };
        }
        at += line.len() + 1;
    }
    // Without a word on it: UTF-8 as all but old writers have it, else the commonest code page.
    Ok(if std::str::from_utf8(bytes).is_ok() { UTF_8 } else { WINDOWS_1252 })
}

struct Parser<'a> {
    text: Text<'a>,
    descriptor: Descriptor,
    parent_cid: Option<u32>,
    version: Option<u32>,
}

impl Parser<'_> {
    fn line(&mut self, line: &str, at: usize) -> Result<()> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        if let Some((access, rest)) = line.split_once(char::is_whitespace)
            && let Some(access) = Access::of(access)
        {
            if self.descriptor.extents.len() == MAX_EXTENTS {
                let expected = format!("at most {MAX_EXTENTS} extents");
                return Err(self.text.defect(Problem::Descriptor, at, &expected, "more"));
            }
            self.descriptor.extents.push(ExtentLine::parse(&self.text, access, rest, at)?);
            return Ok(());
        }
        match line.split_once('=') {
            Some((key, value)) => {
                let value = value.trim();
                let value =
                    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
                self.key(&key.trim().to_ascii_lowercase(), value, at)
            }
            None => {
                let expected = "a comment, key=value, or an extent that begins with RW, RDONLY or NOACCESS";
                Err(self.text.defect(Problem::Descriptor, at, expected, shown(line)))
            }
        }
    }

    fn key(&mut self, key: &str, value: &str, at: usize) -> Result<()> {
        let duplicate = |text: &Text<'_>| {
            text.defect(Problem::Descriptor, at, "the key once", format!("{key} for the second time"))
        };
        match key {
            "version" => {
                self.version = Some(match strict::decimal(value) {
                    Some(version @ 1..=3) => version,
                    _ => {
                        return Err(self.text.defect(
                            Problem::Unsupported,
                            at,
                            "version 1, 2 or 3",
                            shown(value),
                        ));
                    }
                });
            }
            "cid" if self.descriptor.cid.is_some() => return Err(duplicate(&self.text)),
            "cid" => self.descriptor.cid = Some(self.cid(value, at)?),
            "parentcid" if self.parent_cid.is_some() => return Err(duplicate(&self.text)),
            "parentcid" => self.parent_cid = Some(self.cid(value, at)?),
            "createtype" if !self.descriptor.create_type.is_empty() => return Err(duplicate(&self.text)),
            "createtype" => self.descriptor.create_type = self.create_type(value, at)?,
            "parentfilenamehint" if self.descriptor.parent_file_name_hint.is_some() => {
                return Err(duplicate(&self.text));
            }
            "parentfilenamehint" if value.is_empty() => {}
            "parentfilenamehint" => self.descriptor.parent_file_name_hint = Some(value.to_owned()),
            "changetrackpath" => {
                let message = format!("changes are tracked in {value:?}; a copy does not carry that on");
                self.warn(WarningKind::Unused, message);
                self.descriptor.change_track_path = Some(value.to_owned());
            }
            _ if key.starts_with("encryption") || key == "ddb.encryptionkeyid" => {
                return Err(self.text.defect(Problem::Unsupported, at, "a disk that is not encrypted", key));
            }
            _ => {
                if let Some(key) = key.strip_prefix("ddb.") {
                    self.descriptor.ddb.set(&self.text, key, value, at)?;
                }
            }
        }
        Ok(())
    }

    fn warn(&mut self, kind: WarningKind, message: String) {
        // One of a kind is enough, however many lines a hostile descriptor has.
        if !self.descriptor.warnings.iter().any(|warning| warning.message == message)
            && self.descriptor.warnings.len() < 16
        {
            self.descriptor.warnings.push(Warning::of(self.text.file, kind, STRUCTURE, message));
        }
    }

    fn cid(&self, value: &str, at: usize) -> Result<u32> {
        strict::hexadecimal(value).filter(|_| value.len() <= 8).ok_or_else(|| {
            self.text.defect(
                Problem::Descriptor,
                at,
                "a content id of up to 8 hexadecimal digits",
                shown(value),
            )
        })
    }

    fn create_type(&self, value: &str, at: usize) -> Result<&'static str> {
        let is = |name: &&&str| name.eq_ignore_ascii_case(value);
        if let Some(name) = CREATE_TYPES.iter().find(is) {
            return Ok(match *name {
                "2GbMaxExtentSparse" => "twoGbMaxExtentSparse",
                "2GbMaxExtentFlat" => "twoGbMaxExtentFlat",
                name => name,
            });
        }
        let expected = if DEVICE_TYPES.iter().any(|name| is(&name)) {
            "a disk whose content lies in files, not on a device"
        } else {
            "a known createType"
        };
        Err(self.text.defect(Problem::Unsupported, at, expected, format!("createType {}", shown(value))))
    }

    fn finish(mut self) -> Result<Descriptor> {
        if self.version.is_none() {
            self.warn(WarningKind::Irregular, "it names no version; 1 is assumed".into());
        }
        if self.descriptor.cid.is_none() {
            let message = "it has no CID: children cannot tell the disk from another";
            self.warn(WarningKind::Incomplete, message.into());
        }
        self.descriptor.parent_cid = self.parent_cid.unwrap_or(NO_PARENT);
        let missing = |what: &str| self.text.defect(Problem::Descriptor, 0, what, "none");
        if self.descriptor.create_type.is_empty() {
            return Err(missing("a createType"));
        }
        if self.descriptor.extents.is_empty() {
            return Err(missing("at least one extent"));
        }
        Ok(self.descriptor)
    }
}

/// A value from the text as a message may show it.
pub(super) fn shown(value: &str) -> String {
    let mut short: String = value.chars().take(80).collect();
    if short.len() < value.len() {
        short.push('…');
    }
    format!("{short:?}")
}

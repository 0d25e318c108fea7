//! `$REPARSE_POINT`: what stands in the place of a file ([MS-FSCC] 2.1.2).

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::record::{Record, kind};
use super::stream::Stream;
use super::volume::Volume;
use crate::error::Result;

/// Windows allows no longer reparse point.
const MAX: u64 = 16 << 10;
/// Set in the tags of those that are names of other files.
const NAME_SURROGATE: u32 = 0x2000_0000;
/// Kept compressed by the Windows Overlay Filter.
pub(super) const WOF: u32 = 0x8000_0017;
const MOUNT_POINT: u32 = 0xa000_0003;
const SYMLINK: u32 = 0xa000_000c;

/// A symbolic link or a mount point, which ends with the two names in UTF-16.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Link {
    tag: U32,
    len: U16,
    reserved: U16,
    substitute_offset: U16,
    substitute_len: U16,
    print_offset: U16,
    print_len: U16,
}
/// A symbolic link has flags before its names.
const SYMLINK_FLAGS: usize = 4;

/// What stands in the place of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReparsePoint {
    /// What kind it is.
    pub tag: u32,
    /// The name of the file or folder that a symbolic link or a junction stands for, as it is shown.
    pub target: Option<String>,
}

impl ReparsePoint {
    /// Whether it is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.tag == SYMLINK
    }

    /// Whether it is a junction, or a place where a volume is mounted.
    pub fn is_junction(&self) -> bool {
        self.tag == MOUNT_POINT
    }

    /// Whether it stands for another file or folder, of whatever kind it is.
    pub fn is_link(&self) -> bool {
        self.tag & NAME_SURROGATE != 0
    }

    /// Whether the file is kept compressed by WOF, and reads as any other.
    pub fn is_compression(&self) -> bool {
        self.tag == WOF
    }

    pub(super) fn parse(bytes: &[u8]) -> Self {
        let tag = U32::read_from_prefix(bytes).map_or(0, |(tag, _)| tag.get());
        Self { tag, target: target(tag, bytes) }
    }
}

/// The name to be shown; the other one where there is none.
fn target(tag: u32, bytes: &[u8]) -> Option<String> {
    let (link, rest) = Link::ref_from_prefix(bytes).ok()?;
    let names = match tag {
        SYMLINK => rest.get(SYMLINK_FLAGS..)?,
        MOUNT_POINT => rest,
        _ => return None,
    };
    let name = |offset: U16, len: U16| {
        let units = names.get(offset.get().into()..)?.get(..len.get().into())?.as_chunks::<2>().0;
        let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
        Some(String::from_utf16_lossy(&units)).filter(|name| !name.is_empty())
    };
    name(link.print_offset, link.print_len).or_else(|| name(link.substitute_offset, link.substitute_len))
}

/// The attribute's value; `None` for a file that has none.
pub(super) fn bytes(volume: &Volume, record: &Record) -> Result<Option<Vec<u8>>> {
    let stream = Stream::find(volume, record, kind::REPARSE_POINT, "")?;
    stream.map(|stream| stream.read(volume, MAX)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(tag: u32, flags: &[u8], names: [&str; 2]) -> Vec<u8> {
        let [substitute, print] =
            names.map(|name| name.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>());
        let mut bytes = tag.to_le_bytes().to_vec();
        let len = 8 + flags.len() + substitute.len() + print.len();
        for field in [len, 0, 0, substitute.len(), substitute.len(), print.len()] {
            bytes.extend((field as u16).to_le_bytes());
        }
        [bytes, flags.to_vec(), substitute, print].concat()
    }

    #[test]
    fn links_tell_where_they_lead() {
        let symlink = ReparsePoint::parse(&link(SYMLINK, &[1, 0, 0, 0], [r"..\b", r"..\b"]));
        assert_eq!(
            (symlink.is_symlink(), symlink.is_link(), symlink.target),
            (true, true, Some(r"..\b".into()))
        );
        let junction = ReparsePoint::parse(&link(MOUNT_POINT, &[], [r"\??\C:\Users", ""]));
        assert_eq!((junction.is_junction(), junction.target), (true, Some(r"\??\C:\Users".into())));
        let wof = ReparsePoint::parse(&0x8000_0017u32.to_le_bytes());
        assert_eq!((wof.is_link(), wof.target), (false, None));
        let whole = link(SYMLINK, &[0; 4], ["a", "b"]);
        for len in 0..whole.len() {
            // Names that are cut are none.
            let cut = ReparsePoint::parse(&whole[..len]);
            assert!(cut.target.is_none_or(|target| target == "a"), "{len}");
        }
    }
}

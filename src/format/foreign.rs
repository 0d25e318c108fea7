//! Formats of others that are no disks as they stand: containers that are not read, archives, compressed files.
//!
//! A raw disk has no signature, so under a raw name any of them passes for one, and gives a disk that nothing boots or
//! mounts. Not listed is what is a disk or a volume as it stands, though it has a signature: ISO 9660, LUKS, file systems.

use crate::error::Result;
use crate::storage::ImageFile;

/// A format that is not read.
pub(crate) struct Foreign {
    /// What a file of it is called.
    pub(crate) name: &'static str,
    /// What makes a disk of it.
    pub(crate) advice: &'static str,
    sign: Sign,
}

/// By what a format is known.
enum Sign {
    /// These bytes at these places; from the end where a place is negative.
    Bytes(&'static [(i64, &'static [u8])]),
    /// The file's first bytes make sense as the format's header, which has no signature.
    Header(fn(&[u8]) -> bool),
}

/// Bytes that are looked at, at the begin and at the end: a block of tar, a trailer of a DMG.
const LOOK: u64 = 512;

const QEMU_IMG: &str = "convert it with qemu-img convert -O raw first";
const VIRTUALBOX: &str =
    "convert it with VBoxManage clonemedium --format VHD, or with qemu-img convert -O raw, first";
const SEVEN_ZIP: &str = "unpack it with 7z x first";
const TAR: &str = "unpack it with tar -xf first, and take the disk in it";
const EWF: &str = "export it with ewfexport -f raw first";
const AFF: &str = "convert it with affconvert -r first";
const HFS: &str = "convert it with hdiutil convert -format UDTO, or with dmg2img, first";
const WEB: &str = "download it again: this is what the server said in place of the file";
const CLONE: &str = "restore it with the program that made it, into a disk or a raw file";

/// The formats. Of two that match, the first counts.
const FORMATS: &[Foreign] = &[
    // Containers of disks.
    bytes("qcow", QEMU_IMG, &[(0, b"QFI\xfb\0\0\0\x01")]),
    bytes("qcow2", QEMU_IMG, &[(0, b"QFI\xfb")]),
    bytes("QED", QEMU_IMG, &[(0, b"QED\0")]),
    bytes("VDI", VIRTUALBOX, &[(64, &[0x7f, 0x10, 0xda, 0xbe])]),
    bytes("a Parallels disk", QEMU_IMG, &[(0, b"WithoutFreeSpace")]),
    bytes("a Parallels disk", QEMU_IMG, &[(0, b"WithouFreSpacExt")]),
    bytes("a Bochs disk", QEMU_IMG, &[(0, b"Bochs Virtual HD Image")]),
    bytes("a cloop image", QEMU_IMG, &[(0, b"#!/bin/sh\n#V"), (13, b".0 Format\n")]),
    bytes("a User Mode Linux COW file", QEMU_IMG, &[(0, b"OOOM\0\0\0")]),
    bytes("a User Mode Linux COW file", QEMU_IMG, &[(0, b"MOOO\0\0\0")]),
    bytes("an Android sparse image", "convert it with simg2img first", &[(0, &[0x3a, 0xff, 0x26, 0xed])]),
    bytes("a DMG", HFS, &[(-512, b"koly\0\0\0\x04\0\0\x02\0")]),
    bytes("an encrypted DMG", HFS, &[(0, b"encrcdsa")]),
    bytes("an encrypted DMG", HFS, &[(-8, b"cdsaencr")]),
    bytes("a sparse image of macOS", HFS, &[(0, b"sprs")]),
    // Images of forensics and of cloning.
    bytes("EWF (E01)", EWF, &[(0, b"EVF\x09\x0d\x0a\xff\0")]),
    bytes("EWF (L01)", EWF, &[(0, b"LVF\x09\x0d\x0a\xff\0")]),
    bytes("EWF 2 (Ex01)", EWF, &[(0, b"EVF2\x0d\x0a\x81\0")]),
    bytes("EWF 2 (Lx01)", EWF, &[(0, b"LEF2\x0d\x0a\x81\0")]),
    bytes("AFF", AFF, &[(0, b"AFF10\x0d\x0a\0")]),
    bytes("a WIM", "apply it with dism or wimapply to a disk first", &[(0, b"MSWIM\0\0\0")]),
    bytes("a pipable WIM", "apply it with wimapply to a disk first", &[(0, b"WLPWM\0\0\0")]),
    bytes("an FFU", "apply it with dism /Apply-Ffu to a disk first", &[(4, b"SignedImage ")]),
    bytes("a Partclone image", CLONE, &[(0, b"partclone-image")]),
    bytes("a Partimage image", CLONE, &[(0, b"PaRtImAgE-VoLuMe")]),
    bytes("an ntfsclone image", CLONE, &[(0, b"\0ntfsclone-image")]),
    bytes("a Ghost image", CLONE, &[(0, &[0xfe, 0xef, 0x01])]),
    // Compressed files.
    bytes("gzip", "unpack it with gzip -d first", &[(0, &[0x1f, 0x8b, 0x08])]),
    bytes("xz", "unpack it with xz -d first", &[(0, b"\xfd7zXZ\0")]),
    bytes("LZMA", "unpack it with xz -d first", &[(0, &[0x5d, 0, 0]), (5, &[0xff; 8])]),
    bytes("lzip", "unpack it with lzip -d first", &[(0, b"LZIP\x01")]),
    bytes("zstd", "unpack it with zstd -d first", &[(0, &[0x28, 0xb5, 0x2f, 0xfd])]),
    bytes("zstd", "unpack it with zstd -d first", &[(1, &[0x2a, 0x4d, 0x18]), (0, &[0x50])]),
    bytes("bzip2", "unpack it with bzip2 -d first", &[(0, b"BZh"), (4, b"1AY&SY")]),
    bytes("bzip2", "unpack it with bzip2 -d first", &[(0, b"BZh"), (4, b"\x17\x72\x45\x38\x50\x90")]),
    bytes("LZ4", "unpack it with lz4 -d first", &[(0, &[0x04, 0x22, 0x4d, 0x18])]),
    bytes("LZ4", "unpack it with lz4 -d first", &[(0, &[0x02, 0x21, 0x4c, 0x18])]),
    bytes("lzop", "unpack it with lzop -d first", &[(0, b"\x89LZO\0\x0d\x0a\x1a\x0a")]),
    bytes("compress", "unpack it with gzip -d first", &[(0, &[0x1f, 0x9d, 0x90])]),
    // Archives.
    header("an OVA", TAR, |head| is_tar(head) && first_name(head).ends_with(b".ovf")),
    header("a tar archive", TAR, is_tar),
    bytes("zip", "unpack it with unzip first", &[(0, b"PK\x03\x04")]),
    bytes("zip", "unpack it with unzip first", &[(0, b"PK\x05\x06")]),
    bytes("zip", "unpack it with unzip first", &[(0, b"PK\x07\x08")]),
    bytes("7z", SEVEN_ZIP, &[(0, b"7z\xbc\xaf\x27\x1c")]),
    bytes("RAR", SEVEN_ZIP, &[(0, b"Rar!\x1a\x07")]),
    bytes("a cabinet", SEVEN_ZIP, &[(0, b"MSCF\0\0\0\0")]),
    bytes("xar", SEVEN_ZIP, &[(0, b"xar!\0\x1c")]),
    bytes("cpio", "unpack it with cpio -i first", &[(0, b"070701")]),
    bytes("cpio", "unpack it with cpio -i first", &[(0, b"070702")]),
    bytes("cpio", "unpack it with cpio -i first", &[(0, b"070707")]),
    header("cpio", "unpack it with cpio -i first", is_binary_cpio),
    // What a download ends in when it fails.
    bytes("a web page", WEB, &[(0, b"<!DOCTYPE html")]),
    bytes("a web page", WEB, &[(0, b"<!doctype html")]),
    bytes("a web page", WEB, &[(0, b"<html")]),
];

const fn bytes(name: &'static str, advice: &'static str, bytes: &'static [(i64, &'static [u8])]) -> Foreign {
    Foreign { name, advice, sign: Sign::Bytes(bytes) }
}

const fn header(name: &'static str, advice: &'static str, is_one: fn(&[u8]) -> bool) -> Foreign {
    Foreign { name, advice, sign: Sign::Header(is_one) }
}

/// The format of others that `file` is in.
pub(crate) fn of(file: &ImageFile) -> Result<Option<&'static Foreign>> {
    let len = file.size().min(LOOK);
    let (mut head, mut tail) = (vec![0; len as usize], vec![0; len as usize]);
    file.read_exact_at(&mut head, 0)?;
    file.read_exact_at(&mut tail, file.size() - len)?;
    Ok(FORMATS.iter().find(|format| format.matches(&head, &tail)))
}

impl Foreign {
    fn matches(&self, head: &[u8], tail: &[u8]) -> bool {
        match self.sign {
            Sign::Bytes(parts) => parts.iter().all(|(place, bytes)| {
                let from = place.unsigned_abs() as usize;
                let found = if *place < 0 {
                    tail.len().checked_sub(from).and_then(|at| tail.get(at..))
                } else {
                    head.get(from..)
                };
                found.is_some_and(|found| found.starts_with(bytes))
            }),
            Sign::Header(is_one) => is_one(head),
        }
    }
}

/// The name of an archive's first member.
fn first_name(head: &[u8]) -> &[u8] {
    let name = head.get(..100).unwrap_or_default();
    name.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Whether it is a header block of tar (POSIX.1-1988, section 10.1.1), which has a checksum, and in old archives nothing
/// else: the sum of its bytes, those of the sum itself taken for blanks.
fn is_tar(head: &[u8]) -> bool {
    const SUM: std::ops::Range<usize> = 148..156;
    if head.len() < LOOK as usize || first_name(head).is_empty() {
        return false;
    }
    let digits = head[SUM].trim_ascii_start().split(|byte| matches!(byte, 0 | b' ')).next();
    let stored = digits.and_then(|digits| u64::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    stored == Some(sum(&head[..SUM.start]) + sum(&head[SUM.end..]) + SUM.len() as u64 * u64::from(b' '))
}

/// Whether it is a header of an old binary cpio archive, whose number is two bytes that other files begin with, too: the name
/// that follows ends where the header says.
fn is_binary_cpio(head: &[u8]) -> bool {
    const HEADER: usize = 26;
    let Some((magic, rest)) = head.split_first_chunk::<2>() else { return false };
    let number: fn([u8; 2]) -> u16 = match magic {
        [0xc7, 0x71] => u16::from_le_bytes,
        [0x71, 0xc7] => u16::from_be_bytes,
        _ => return false,
    };
    let len = rest.get(18..20).and_then(<[u8]>::first_chunk).map(|len| usize::from(number(*len)));
    let name = len.and_then(|len| head.get(HEADER..HEADER + len));
    let is_text = |name: &[u8]| !name.is_empty() && !name.contains(&0);
    name.and_then(<[u8]>::split_last).is_some_and(|(end, name)| *end == 0 && is_text(name))
}

//! Who vouches for a program: the authority that issued the certificate by which it is signed.
//!
//! Nothing is verified here: firmware does that. The structures are those of "PE Format", section "The Attribute Certificate
//! Table", and of RFC 2315 (PKCS #7) in DER.

use std::sync::Arc;

use super::program::Program;
use super::registry::decode_utf16;
use crate::error::{Error, Result};
use crate::storage::ReadAt;

/// Bytes of all certificates; those of Windows' boot manager are some 10 KiB.
const MAX_CERTIFICATES: u64 = 1 << 20;
/// A certificate's header: its length, and behind it revision and kind.
const HEADER: usize = 8;
const PKCS_SIGNED_DATA: u16 = 2;

/// Tags of DER (X.690).
mod tag {
    pub const INTEGER: u8 = 0x02;
    pub const OBJECT: u8 = 0x06;
    pub const UTF8: u8 = 0x0c;
    pub const PRINTABLE: u8 = 0x13;
    pub const TELETEX: u8 = 0x14;
    pub const BMP: u8 = 0x1e;
    pub const SEQUENCE: u8 = 0x30;
    pub const SET: u8 = 0x31;
    /// The first element that depends on its place.
    pub const CONTEXT: u8 = 0xa0;
}
/// `id-at-commonName`, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The common name of the authority that issued the certificate of a program's signer: `Windows UEFI CA 2023`. `None` when the
/// program is not signed, or is none, or the signature cannot be read.
///
/// # Errors
///
/// [`Error::Io`] when reading fails.
pub fn authority(program: &Arc<dyn ReadAt>) -> Result<Option<String>> {
    let failed = |e| Error::io("read", "program", e);
    let size = program.size().map_err(failed)?;
    let mut prefix = vec![0; size.min(Program::PREFIX) as usize];
    program.read_exact_at(&mut prefix, 0).map_err(failed)?;
    let place = Program::parse(&prefix).map_or(0..0, Program::certificates);
    let len = place.end - place.start;
    if len == 0 || len > MAX_CERTIFICATES || place.end > size {
        return Ok(None);
    }
    let mut certificates = vec![0; len as usize];
    program.read_exact_at(&mut certificates, place.start).map_err(failed)?;
    Ok(of_table(&certificates))
}

/// The first certificate of the table that names an authority.
fn of_table(mut table: &[u8]) -> Option<String> {
    loop {
        let (&[l0, l1, l2, l3, _, _, k0, k1], _) = table.split_first_chunk::<HEADER>()?;
        let len = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).ok()?;
        let certificate = table.get(HEADER..len)?;
        if u16::from_le_bytes([k0, k1]) == PKCS_SIGNED_DATA
            && let Some(name) = issuer(certificate)
        {
            return Some(name);
        }
        // Each begins at a multiple of 8.
        table = table.get(len.checked_next_multiple_of(8)?..)?;
    }
}

/// The common name in `issuerAndSerialNumber` of the first signer.
fn issuer(signed_data: &[u8]) -> Option<String> {
    let mut content_info = Der(signed_data).inside(tag::SEQUENCE)?;
    content_info.skip(tag::OBJECT)?;
    let mut signed = content_info.inside(tag::CONTEXT)?.inside(tag::SEQUENCE)?;
    signed.skip(tag::INTEGER)?;
    signed.skip(tag::SET)?;
    signed.skip(tag::SEQUENCE)?;
    // Certificates and revocation lists, which may be missing, have tags that depend on their place.
    let mut signers = loop {
        match signed.next()? {
            (tag::SET, signers) => break Der(signers),
            (kind, _) if kind & 0xc0 == 0x80 => {}
            _ => return None,
        }
    };
    let mut signer = signers.inside(tag::SEQUENCE)?;
    signer.skip(tag::INTEGER)?;
    let mut name = signer.inside(tag::SEQUENCE)?.inside(tag::SEQUENCE)?;
    let mut found = None;
    while let Some(mut parts) = name.inside(tag::SET) {
        let mut part = parts.inside(tag::SEQUENCE)?;
        if part.next()? == (tag::OBJECT, COMMON_NAME) {
            found = text(part.next()?);
        }
    }
    found
}

fn text((kind, bytes): (u8, &[u8])) -> Option<String> {
    match kind {
        tag::UTF8 | tag::PRINTABLE | tag::TELETEX => Some(String::from_utf8_lossy(bytes).into_owned()),
        // Big-endian.
        tag::BMP => {
            let swapped: Vec<u8> = bytes.as_chunks::<2>().0.iter().flat_map(|&[a, b]| [b, a]).collect();
            Some(decode_utf16(&swapped))
        }
        _ => None,
    }
}

/// What is left of a run of elements.
#[derive(Clone, Copy)]
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The tag and the content of the next element.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[kind, len], rest) = self.0.split_first_chunk::<2>()?;
        let (len, rest) = match len {
            0..0x80 => (usize::from(len), rest),
            // So many bytes of length follow.
            _ => {
                let (bytes, rest) = rest.split_at_checked(usize::from(len & 0x7f))?;
                let mut number = 0_usize;
                for &byte in bytes {
                    number = number.checked_mul(256)?.checked_add(usize::from(byte))?;
                }
                (number, rest)
            }
        };
        let (content, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((kind, content))
    }

    /// Passes over the next element, which is of this kind.
    fn skip(&mut self, kind: u8) -> Option<()> {
        self.next().filter(|(found, _)| *found == kind).map(drop)
    }

    /// What the next element, which is of this kind, consists of.
    fn inside(&mut self, kind: u8) -> Option<Der<'a>> {
        self.next().filter(|(found, _)| *found == kind).map(|(_, content)| Der(content))
    }
}

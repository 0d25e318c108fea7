//! The checksums that guard a format, made right so that a mutation behind them is seen.

use crate::Sparse;

const FOOTER: usize = 512;
const DYNAMIC_HEADER: usize = 1024;

/// A VHD's footer, its copy at the start, and its dynamic header.
pub fn mend_vhd(file: &mut Sparse) {
    let mut places = vec![0];
    for footer in [file.len().checked_sub(512), file.len().checked_sub(511)].into_iter().flatten() {
        if file.get(footer, 8) == b"conectix" {
            places.push(footer);
        }
    }
    for footer in places {
        if file.get(footer, 8) != b"conectix" {
            continue;
        }
        mend_sum(file, footer, FOOTER, 64);
        let header = u64::from_be_bytes(file.get(footer + 16, 8).try_into().unwrap());
        if header < 1 << 40 && file.get(header, 8) == b"cxsparse" {
            mend_sum(file, header, DYNAMIC_HEADER, 36);
        }
    }
}

/// The one's complement of the sum of all bytes but the sum's own.
fn mend_sum(file: &mut Sparse, at: u64, len: usize, field: usize) {
    let mut bytes = file.get(at, len);
    bytes[field..field + 4].fill(0);
    let sum: u32 = bytes.iter().map(|&byte| u32::from(byte)).sum();
    file.set(at + field as u64, &(!sum).to_be_bytes());
}

/// A GPT's two headers and their arrays, of sectors of 512 bytes.
pub fn mend_gpt(file: &mut Sparse) {
    for header in [512, (file.len() / 512).saturating_sub(1) * 512] {
        if file.get(header, 8) != b"EFI PART" {
            continue;
        }
        let field = |file: &Sparse, at: u64| {
            u64::from(u32::from_le_bytes(file.get(header + at, 4).try_into().unwrap()))
        };
        let (table, bytes) = (field(file, 72) * 512, field(file, 80) * field(file, 84));
        if bytes <= 1 << 20 {
            let array = crc32fast::hash(&file.get(table, bytes as usize));
            file.set(header + 88, &array.to_le_bytes());
        }
        let size = field(file, 12).clamp(92, 512) as usize;
        let mut bytes = file.get(header, size);
        bytes[16..20].fill(0);
        file.set(header + 16, &crc32fast::hash(&bytes).to_le_bytes());
    }
}

const KIB: u64 = 1 << 10;

/// A VHDX's headers, its region tables and the entries of its log.
pub fn mend_vhdx(file: &mut Sparse) {
    mend_vhdx_headers(file);
    for header in [64 * KIB, 128 * KIB] {
        let length = u64::from(u32::from_le_bytes(file.get(header + 68, 4).try_into().unwrap()));
        let offset = u64::from_le_bytes(file.get(header + 72, 8).try_into().unwrap());
        if offset < 1 << 40 && length <= 16 << 20 {
            mend_log(file, offset, length, None);
        }
    }
}

/// A VHDX's headers and its region tables.
pub fn mend_vhdx_headers(file: &mut Sparse) {
    for (at, signature, len) in [(64, b"head", 4), (128, b"head", 4), (192, b"regi", 64), (256, b"regi", 64)]
    {
        if file.get(at * KIB, 4) == signature {
            mend_crc(file, at * KIB, len * KIB as usize);
        }
    }
}

/// The checksums of all entries of a log, and the id that binds them to it.
pub fn mend_log(file: &mut Sparse, offset: u64, length: u64, id: Option<[u8; 16]>) {
    let starts: Vec<u64> = file
        .sectors()
        .map(|(sector, _)| u64::from(sector) * 512)
        .filter(|at| (offset..offset + length).contains(at) && at % 4096 == 0)
        .collect();
    for at in starts {
        if file.get(at, 4) != b"loge" {
            continue;
        }
        if let Some(id) = id {
            file.set(at + 32, &id);
        }
        let len = u64::from(u32::from_le_bytes(file.get(at + 8, 4).try_into().unwrap()));
        if len < 64 || len > length.min(1 << 20) {
            continue;
        }
        // An entry may go on at the start of the log.
        let first = len.min(offset + length - at);
        let mut bytes = file.get(at, first as usize);
        bytes.extend(file.get(offset, (len - first) as usize));
        file.set(at + 4, &crc(bytes).to_le_bytes());
    }
}

fn mend_crc(file: &mut Sparse, at: u64, len: usize) {
    let crc = crc(file.get(at, len));
    file.set(at + 4, &crc.to_le_bytes());
}

/// The CRC-32C of a structure whose checksum stands at offset 4 and counts as zero.
fn crc(mut bytes: Vec<u8>) -> u32 {
    bytes[4..8].fill(0);
    crc32c::crc32c(&bytes)
}

/// The base block of a registry hive or of its log, and the hashes of the log's entries.
pub fn mend_hive(file: &mut Sparse) {
    if file.get(0, 4) != b"regf" {
        return;
    }
    let sum = file.get(0, 508).chunks(4).fold(0, |sum, word| sum ^ little(word));
    file.set(508, &sum.to_le_bytes());
    let mut at = 512;
    while at < file.len().min(1 << 20) && file.get(at, 4) == b"HvLE" {
        let size = u64::from(little(&file.get(at + 4, 4)));
        if !(512..=256 << 10).contains(&size) {
            break;
        }
        let body = marvin32(&file.get(at + 40, size as usize - 40));
        file.set(at + 24, &body.to_le_bytes());
        let head = marvin32(&file.get(at, 32));
        file.set(at + 32, &head.to_le_bytes());
        at += size;
    }
}

fn little(word: &[u8]) -> u32 {
    u32::from_le_bytes(word.try_into().unwrap())
}

/// The hash of a log entry, over whole words.
fn marvin32(bytes: &[u8]) -> u64 {
    let (mut low, mut high) = (0x7a4e_55c5_u32, 0x82ef_4d88_u32);
    for word in bytes.chunks_exact(4).map(little).chain([0x80, 0]) {
        low = low.wrapping_add(word);
        high ^= low;
        low = low.rotate_left(20).wrapping_add(high);
        high = high.rotate_left(9) ^ low;
        low = low.rotate_left(27).wrapping_add(high);
        high = high.rotate_left(19);
    }
    u64::from(high) << 32 | u64::from(low)
}

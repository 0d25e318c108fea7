//! Sound images, laid out by the shortest code that does.

use std::fmt;
use std::io;

use diskport::copy::{Convert, OutputFormat};
use diskport::format::vmdk::Subformat;
use diskport::storage::{MemoryStorage, ReadAt};
use diskport::{Format, MIB, Open};

const SECTOR: usize = 512;
const GRAIN: u64 = 64 << 10;

#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Raw,
    Vhd,
    Vhdx,
    Vmdk,
    StreamOptimized,
}

impl Kind {
    pub const ALL: [Kind; 5] = [Kind::Raw, Kind::Vhd, Kind::Vhdx, Kind::Vmdk, Kind::StreamOptimized];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Metadata, and content that is the same wherever it is read.
pub struct Sparse {
    len: u64,
    /// In order, and apart.
    parts: Vec<(u64, Vec<u8>)>,
}

impl Sparse {
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = content(self.len);
        for (at, part) in &self.parts {
            bytes[*at as usize..][..part.len()].copy_from_slice(part);
        }
        bytes
    }
}

impl ReadAt for Sparse {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let n = self.len.saturating_sub(offset).min(buf.len() as u64) as usize;
        buf[..n].fill(0);
        let end = offset + n as u64;
        let first = self.parts.partition_point(|(at, part)| at + part.len() as u64 <= offset);
        for (at, part) in self.parts[first..].iter().take_while(|(at, _)| *at < end) {
            let (start, end) = (offset.max(*at), end.min(at + part.len() as u64));
            let part = &part[(start - at) as usize..(end - at) as usize];
            buf[(start - offset) as usize..(end - offset) as usize].copy_from_slice(part);
        }
        Ok(n)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len)
    }
}

/// Bytes that deflate to about a third, as those of a system disk do.
fn content(len: u64) -> Vec<u8> {
    let mut state = 1_u64;
    let mut bytes = Vec::with_capacity(len as usize + 32);
    while bytes.len() < len as usize {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend(&state.to_le_bytes()[3..]);
        bytes.extend(b"and a run of text");
    }
    bytes.truncate(len as usize);
    bytes
}

/// The bytes of an image of which every block is there.
pub fn full(kind: Kind, size: u64) -> Vec<u8> {
    match kind {
        Kind::Raw => content(size),
        Kind::Vhd => vhd(size, |_| true).to_vec(),
        Kind::Vhdx => vhdx(size, |_| true).to_vec(),
        Kind::Vmdk => vmdk(size, |_, _| true).to_vec(),
        Kind::StreamOptimized => {
            let raw = Open::new().format(Format::Raw).open(MemoryStorage::new(content(size))).expect("raw");
            let mut stream = Vec::new();
            let copy = Convert::new(&raw).to(OutputFormat::Vmdk(Subformat::StreamOptimized));
            copy.write_to(&mut stream).expect("room in memory");
            stream
        }
    }
}

/// An image of which every other block is there.
pub fn every_other(kind: Kind, size: u64) -> Sparse {
    match kind {
        Kind::Vhd => vhd(size, |block| block % 2 == 0),
        Kind::Vhdx => vhdx(size, |block| block % 2 == 0),
        _ => vmdk(size, |grain, _| grain % 2 == 0),
    }
}

fn vmdk(size: u64, present: fn(u64, u64) -> bool) -> Sparse {
    Vmdk { size, cid: 1, parent: None, present, level: 0 }.build()
}

/// A monolithicSparse VMDK.
pub struct Vmdk {
    pub size: u64,
    pub cid: u32,
    /// The parent's CID and name.
    pub parent: Option<(u32, String)>,
    /// Whether a grain is there, by its number and the level.
    pub present: fn(u64, u64) -> bool,
    pub level: u64,
}

impl Vmdk {
    pub fn build(&self) -> Sparse {
        let sectors = self.size / SECTOR as u64;
        let grains = self.size / GRAIN;
        let tables = grains.div_ceil(512);
        let (directory, redundant) = (21_u64, 21 + (tables * 4).div_ceil(512));
        let directory_sectors = redundant - directory;
        let table = |copy: u64| redundant + directory_sectors + copy * tables * 4;
        let first = (table(2) * 512).next_multiple_of(GRAIN) / 512;

        let mut header = Vec::new();
        header.extend(b"KDMV");
        [1_u32, 3].iter().for_each(|field| header.extend(field.to_le_bytes()));
        [sectors, GRAIN / 512, 1, 20].iter().for_each(|field| header.extend(field.to_le_bytes()));
        header.extend(512_u32.to_le_bytes());
        [redundant, directory, first].iter().for_each(|field| header.extend(field.to_le_bytes()));
        header.extend(b"\0\n \r\n\0\0");
        header.resize(SECTOR, 0);

        let (parent, hint) = match &self.parent {
            Some((cid, name)) => (*cid, format!("parentFileNameHint=\"{name}\"\n")),
            None => (u32::MAX, String::new()),
        };
        let mut descriptor = format!(
            "# Disk DescriptorFile\nversion=1\nCID={:08x}\nparentCID={parent:08x}\ncreateType=\"monolithicSparse\"\n{hint}\
             RW {sectors} SPARSE \"{}.vmdk\"\n",
            self.cid, self.level,
        )
        .into_bytes();
        descriptor.resize(20 * SECTOR, 0);

        let mut entries = Vec::new();
        let mut next = first;
        for grain in 0..tables * 512 {
            let here = grain < grains && (self.present)(grain, self.level);
            entries.extend(if here { next as u32 } else { 0 }.to_le_bytes());
            next += if here { GRAIN / 512 } else { 0 };
        }
        let directory_of = |copy: u64| -> Vec<u8> {
            let entries = (0..tables).flat_map(|index| ((table(copy) + index * 4) as u32).to_le_bytes());
            let mut entries: Vec<u8> = entries.collect();
            entries.resize(directory_sectors as usize * SECTOR, 0);
            entries
        };
        let mut metadata =
            [header, descriptor, directory_of(1), directory_of(0), entries.clone(), entries].concat();
        metadata.resize(first as usize * SECTOR, 0);
        Sparse { len: next * SECTOR as u64, parts: vec![(0, metadata)] }
    }
}

/// A dynamic VHD with blocks of 2 MiB.
fn vhd(size: u64, present: fn(u64) -> bool) -> Sparse {
    const BLOCK: u64 = 2 * MIB;
    let blocks = size.div_ceil(BLOCK);
    let mut footer = Vec::new();
    footer.extend(b"conectix");
    [2_u32, 0x1_0000].iter().for_each(|field| footer.extend(field.to_be_bytes()));
    footer.extend(512_u64.to_be_bytes());
    footer.extend(b"\0\0\0\0bnch\0\x01\0\0Wi2k");
    footer.extend(size.to_be_bytes());
    footer.extend(size.to_be_bytes());
    footer.extend(geometry(size));
    footer.extend(3_u32.to_be_bytes());
    footer.extend([0; 4]);
    footer.extend([7; 16]);
    footer.resize(SECTOR, 0);
    let footer = summed(footer, 64);

    let mut header = Vec::new();
    header.extend(b"cxsparse");
    header.extend(u64::MAX.to_be_bytes());
    header.extend(1536_u64.to_be_bytes());
    [0x1_0000, blocks as u32, BLOCK as u32].iter().for_each(|field| header.extend(field.to_be_bytes()));
    header.resize(1024, 0);
    let header = summed(header, 36);

    let mut at = (1536 + blocks * 4).next_multiple_of(512);
    let mut bat = Vec::new();
    let mut parts = Vec::new();
    for block in 0..blocks {
        if !present(block) {
            bat.extend(u32::MAX.to_be_bytes());
            continue;
        }
        bat.extend(((at / 512) as u32).to_be_bytes());
        parts.push((at, vec![0xff; SECTOR]));
        at += SECTOR as u64 + BLOCK;
    }
    parts.insert(0, (0, [&footer[..], &header, &bat].concat()));
    parts.push((at, footer));
    Sparse { len: at + SECTOR as u64, parts }
}

/// Cylinders, heads and sectors that stand for at least the size, where they can.
fn geometry(size: u64) -> [u8; 4] {
    let cylinders = (size / 512 / (16 * 63)).min(65_535) as u16;
    let [high, low] = cylinders.to_be_bytes();
    [high, low, 16, 63]
}

fn summed(mut bytes: Vec<u8>, field: usize) -> Vec<u8> {
    let sum: u32 = bytes.iter().map(|&byte| u32::from(byte)).sum();
    bytes[field..field + 4].copy_from_slice(&(!sum).to_be_bytes());
    bytes
}

/// A dynamic VHDX without any block.
pub fn empty_vhdx(size: u64) -> Sparse {
    vhdx(size, |_| false)
}

/// A dynamic VHDX with blocks of 1 MiB. The BAT of one without blocks is left out: it is all zeros.
fn vhdx(size: u64, present: fn(u64) -> bool) -> Sparse {
    const METADATA: u64 = 2 * MIB;
    const BAT: u64 = 3 * MIB;
    let blocks = size.div_ceil(MIB);
    // A bitmap entry follows 4096 payload entries, the last 4096 excepted.
    let entries = blocks + (blocks - 1) / 4096;
    let bat_len = (entries * 8).next_multiple_of(MIB);
    let mut at = BAT + bat_len;
    let mut bat = Vec::new();
    for block in (0..blocks).filter(|_| (0..2).any(present)) {
        let here = present(block);
        bat.extend(if here { at | 6 } else { 0 }.to_le_bytes());
        at += if here { MIB } else { 0 };
        if block % 4096 == 4095 {
            bat.extend([0; 8]);
        }
    }

    let mut header = Vec::new();
    header.extend(b"head\0\0\0\0");
    header.extend(1_u64.to_le_bytes());
    header.extend([[1; 16], [2; 16], [0; 16]].concat());
    header.extend([0, 0, 1, 0]);
    header.extend((MIB as u32).to_le_bytes());
    header.extend(MIB.to_le_bytes());
    header.resize(4096, 0);

    let mut regions = Vec::new();
    regions.extend(b"regi\0\0\0\0\x02\0\0\0\0\0\0\0");
    for (id, at, len) in [
        ("2dc27766f62342009d64115e9bfd4a08", BAT, bat_len),
        ("8b7ca20647904b9ab8fe575f050f886e", METADATA, MIB),
    ] {
        regions.extend(guid(id));
        regions.extend(at.to_le_bytes());
        [len as u32, 1].iter().for_each(|field| regions.extend(field.to_le_bytes()));
    }
    regions.resize(64 << 10, 0);

    let parts = vec![
        (0, b"vhdxfile".to_vec()),
        (64 << 10, sealed(header.clone())),
        // The same header with another sequence number.
        (128 << 10, sealed([&header[..8], &2_u64.to_le_bytes(), &header[16..]].concat())),
        (192 << 10, sealed(regions.clone())),
        (256 << 10, sealed(regions)),
        (MIB, vec![0; MIB as usize]),
        (METADATA, metadata(size)),
        (BAT, if bat.is_empty() { bat } else { bat_padded(bat, bat_len) }),
    ];
    Sparse { len: at, parts }
}

fn bat_padded(mut bat: Vec<u8>, len: u64) -> Vec<u8> {
    bat.resize(len as usize, 0);
    bat
}

fn metadata(size: u64) -> Vec<u8> {
    let items: [(&str, Vec<u8>, u32); 5] = [
        ("caa16737fa364d43b3b633f0aa44e76b", [&(MIB as u32).to_le_bytes()[..], &[0; 4]].concat(), 4),
        ("2fa54224cd1b4876b2115dbed83bf4b8", size.to_le_bytes().to_vec(), 6),
        ("beca12abb2e6452393efc309e000c746", vec![3; 16], 6),
        ("8141bf1da96f4709ba47f233a8faab5f", 512_u32.to_le_bytes().to_vec(), 6),
        ("cda348c7445d44719cc9e9885251c556", 4096_u32.to_le_bytes().to_vec(), 6),
    ];
    let mut table = b"metadata\0\0\x05\0".to_vec();
    table.resize(32, 0);
    let mut values = Vec::new();
    for (id, value, flags) in items {
        table.extend(guid(id));
        let offset = (64 << 10) + values.len() as u32;
        [offset, value.len() as u32, flags, 0].iter().for_each(|field| table.extend(field.to_le_bytes()));
        values.extend(value);
    }
    table.resize(64 << 10, 0);
    table.extend(values);
    table.resize(MIB as usize, 0);
    table
}

/// With its CRC-32C, which stands at offset 4.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&bytes);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn guid(id: &str) -> [u8; 16] {
    uuid::Uuid::parse_str(id).expect("a GUID").to_bytes_le()
}

//! A reference writer of VHDs: lays an image out in memory from a description, after the specification alone.

use std::collections::BTreeMap;

pub const SECTOR: usize = 512;
pub const FIXED: u32 = 2;
pub const DYNAMIC: u32 = 3;
pub const DIFFERENCING: u32 = 4;
pub const UNUSED: u32 = 0xFFFF_FFFF;

/// An image to be laid out; the defaults are what Windows writes.
#[derive(Clone, Debug)]
pub struct Vhd {
    pub disk_type: u32,
    pub size: u64,
    pub block_size: usize,
    pub id: [u8; 16],
    pub creator: [u8; 4],
    pub creator_version: u32,
    pub geometry: (u16, u8, u8),
    pub data_offset: Option<u64>,
    /// What each sector holds; one that is not listed is not in the image.
    pub sectors: BTreeMap<u64, [u8; SECTOR]>,
    /// Blocks that are in the file although none of their sectors is.
    pub empty_blocks: Vec<u64>,
    /// In which order the blocks lie in the file: sorted by (index * this) modulo a prime.
    pub shuffle: u64,
    /// BAT entries beyond those needed.
    pub spare_entries: u32,
    /// Whether the BAT lies behind the blocks.
    pub bat_last: bool,
    /// Sectors between the structures.
    pub gap: usize,
    pub batmap: bool,
    /// Whether the last block ends with the disk.
    pub cut: bool,
    /// Bytes of the footer at the end: 512, 511, or 0 for none.
    pub footer_len: usize,
    pub parent_id: [u8; 16],
    pub parent_time: u32,
    /// UTF-16BE.
    pub parent_name: Vec<u8>,
    pub locators: Vec<([u8; 4], Vec<u8>)>,
}

/// An image that is laid out, and where its parts are.
#[derive(Clone, Debug)]
pub struct Built {
    pub bytes: Vec<u8>,
    pub footer: usize,
    pub header: usize,
    pub bat: usize,
}

impl Vhd {
    pub fn fixed(content: &[u8]) -> Self {
        let sectors = content.chunks_exact(SECTOR).map(|sector| sector.try_into().unwrap());
        Self { sectors: (0..).zip(sectors).collect(), ..Self::new(FIXED, content.len() as u64, SECTOR) }
    }

    pub fn dynamic(size: u64, block_size: usize) -> Self {
        Self::new(DYNAMIC, size, block_size)
    }

    /// A child of the image with this id, found as "parent.vhd".
    pub fn differencing(size: u64, block_size: usize, parent_id: [u8; 16]) -> Self {
        Self { parent_id, parent_name: utf16_be("parent.vhd"), ..Self::new(DIFFERENCING, size, block_size) }
    }

    fn new(disk_type: u32, size: u64, block_size: usize) -> Self {
        Self {
            disk_type,
            size,
            block_size,
            id: *b"an identity \x01\x02\x03\x04",
            creator: *b"win ",
            creator_version: 0x000A_0000,
            geometry: (65535, 16, 255),
            data_offset: None,
            sectors: BTreeMap::new(),
            empty_blocks: Vec::new(),
            shuffle: 1,
            spare_entries: 0,
            bat_last: false,
            gap: 0,
            batmap: false,
            cut: false,
            footer_len: SECTOR,
            parent_id: [0; 16],
            parent_time: 0,
            parent_name: Vec::new(),
            locators: Vec::new(),
        }
    }

    pub fn write(&mut self, sector: u64, bytes: &[u8]) {
        for (number, bytes) in (sector..).zip(bytes.chunks_exact(SECTOR)) {
            self.sectors.insert(number, bytes.try_into().unwrap());
        }
    }

    pub fn build(&self) -> Built {
        let mut built = if self.disk_type == FIXED { self.lay_out_fixed() } else { self.lay_out_blocks() };
        built.footer = built.bytes.len();
        built.bytes.extend_from_slice(&self.footer()[..self.footer_len]);
        built
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.build().bytes
    }

    fn lay_out_fixed(&self) -> Built {
        let mut bytes = vec![0; self.size as usize];
        for (number, sector) in &self.sectors {
            bytes[*number as usize * SECTOR..][..SECTOR].copy_from_slice(sector);
        }
        Built { bytes, footer: 0, header: 0, bat: 0 }
    }

    fn lay_out_blocks(&self) -> Built {
        let per_block = (self.block_size / SECTOR) as u64;
        let count = self.size.div_ceil(self.block_size as u64) as usize;
        let mut present: Vec<u64> = self.sectors.keys().map(|sector| sector / per_block).collect();
        present.extend(&self.empty_blocks);
        present.sort_unstable();
        present.dedup();
        present.sort_by_key(|index| index * self.shuffle % 65_537);

        let mut bytes = self.footer().to_vec();
        let header = bytes.len();
        bytes.resize(header + 1024, 0);
        let mut locators = Vec::new();
        for (_, data) in &self.locators {
            bytes.resize(bytes.len().next_multiple_of(SECTOR), 0);
            locators.push(bytes.len());
            bytes.extend_from_slice(data);
        }
        let mut entries = vec![UNUSED; count + self.spare_entries as usize];
        let table_len = (entries.len() * 4).next_multiple_of(SECTOR);
        let place = |bytes: &mut Vec<u8>| {
            let at = bytes.len().next_multiple_of(SECTOR) + self.gap * SECTOR;
            bytes.resize(at, 0x5A);
            at
        };
        let mut bat = 0;
        if !self.bat_last {
            bat = place(&mut bytes);
            bytes.resize(bat + table_len, 0xFF);
            if self.batmap {
                let at = bytes.len();
                bytes.resize(at + 2 * SECTOR, 0);
                bytes[at..at + 8].copy_from_slice(b"tdbatmap");
            }
        }
        for index in present {
            let at = place(&mut bytes);
            entries[index as usize] = (at / SECTOR) as u32;
            let bitmap_len = (per_block as usize).div_ceil(8).next_multiple_of(SECTOR);
            let mut bitmap = vec![0_u8; bitmap_len];
            // What a clear bit covers must not be seen.
            let rest = (self.size - index * self.block_size as u64) as usize;
            let mut data = vec![0xEE; if self.cut { self.block_size.min(rest) } else { self.block_size }];
            for (sector, content) in self.sectors.range(index * per_block..(index + 1) * per_block) {
                let bit = (sector % per_block) as usize;
                bitmap[bit / 8] |= 0x80 >> (bit % 8);
                data[bit * SECTOR..][..SECTOR].copy_from_slice(content);
            }
            bytes.extend_from_slice(&bitmap);
            bytes.extend_from_slice(&data);
        }
        if self.bat_last {
            bat = place(&mut bytes);
            bytes.resize(bat + table_len, 0xFF);
        }
        for (entry, slot) in entries.iter().zip(bytes[bat..].chunks_exact_mut(4)) {
            slot.copy_from_slice(&entry.to_be_bytes());
        }
        let fields = self.header(bat as u64, entries.len() as u32, &locators);
        bytes[header..header + 1024].copy_from_slice(&fields);
        Built { bytes, footer: 0, header, bat }
    }

    fn footer(&self) -> [u8; SECTOR] {
        let mut footer = Record::<SECTOR>::new();
        footer.put(0, b"conectix");
        footer.put(8, &2_u32.to_be_bytes());
        footer.put(12, &0x0001_0000_u32.to_be_bytes());
        let next = if self.disk_type == FIXED { u64::MAX } else { 512 };
        footer.put(16, &self.data_offset.unwrap_or(next).to_be_bytes());
        footer.put(24, &0x2C00_0000_u32.to_be_bytes());
        footer.put(28, &self.creator);
        footer.put(32, &self.creator_version.to_be_bytes());
        footer.put(36, b"Wi2k");
        footer.put(40, &self.size.to_be_bytes());
        footer.put(48, &self.size.to_be_bytes());
        footer.put(56, &self.geometry.0.to_be_bytes());
        footer.put(58, &[self.geometry.1, self.geometry.2]);
        footer.put(60, &self.disk_type.to_be_bytes());
        footer.put(68, &self.id);
        seal(&mut footer.0, 64);
        footer.0
    }

    fn header(&self, bat: u64, entries: u32, locators: &[usize]) -> [u8; 1024] {
        let mut header = Record::<1024>::new();
        header.put(0, b"cxsparse");
        header.put(8, &u64::MAX.to_be_bytes());
        header.put(16, &bat.to_be_bytes());
        header.put(24, &0x0001_0000_u32.to_be_bytes());
        header.put(28, &entries.to_be_bytes());
        header.put(32, &(self.block_size as u32).to_be_bytes());
        header.put(40, &self.parent_id);
        header.put(56, &self.parent_time.to_be_bytes());
        header.put(64, &self.parent_name);
        for (index, ((code, data), at)) in self.locators.iter().zip(locators).enumerate() {
            let entry = 576 + index * 24;
            header.put(entry, code);
            header.put(entry + 4, &(data.len().next_multiple_of(SECTOR) as u32).to_be_bytes());
            header.put(entry + 8, &(data.len() as u32).to_be_bytes());
            header.put(entry + 16, &(*at as u64).to_be_bytes());
        }
        seal(&mut header.0, 36);
        header.0
    }
}

impl Built {
    /// Changes bytes of the footer at the end and makes its checksum right again.
    pub fn set_footer(&mut self, at: usize, value: &[u8]) -> &mut Self {
        let footer = &mut self.bytes[self.footer..];
        footer[at..at + value.len()].copy_from_slice(value);
        seal(footer, 64);
        self
    }

    /// The same for the copy at the begin.
    pub fn set_copy(&mut self, at: usize, value: &[u8]) -> &mut Self {
        let copy = &mut self.bytes[..SECTOR];
        copy[at..at + value.len()].copy_from_slice(value);
        seal(copy, 64);
        self
    }

    /// The same for both footers, or the only one.
    pub fn set_footers(&mut self, at: usize, value: &[u8]) -> &mut Self {
        if self.header != 0 {
            self.set_copy(at, value);
        }
        self.set_footer(at, value)
    }

    /// The same for the dynamic disk header.
    pub fn set_header(&mut self, at: usize, value: &[u8]) -> &mut Self {
        let header = &mut self.bytes[self.header..self.header + 1024];
        header[at..at + value.len()].copy_from_slice(value);
        seal(header, 36);
        self
    }

    pub fn set_entry(&mut self, index: usize, entry: u32) -> &mut Self {
        self.bytes[self.bat + index * 4..][..4].copy_from_slice(&entry.to_be_bytes());
        self
    }

    /// The bytes, for a test that is done with the rest.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

struct Record<const LEN: usize>([u8; LEN]);

impl<const LEN: usize> Record<LEN> {
    fn new() -> Self {
        Self([0; LEN])
    }

    fn put(&mut self, at: usize, value: &[u8]) {
        self.0[at..at + value.len()].copy_from_slice(value);
    }
}

/// Writes the checksum at `at`.
fn seal(structure: &mut [u8], at: usize) {
    structure[at..at + 4].fill(0);
    let sum = structure.iter().fold(0_u32, |sum, &byte| sum.wrapping_add(byte.into()));
    structure[at..at + 4].copy_from_slice(&(!sum).to_be_bytes());
}

pub fn utf16_be(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

pub fn utf16_le(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

//! A reference writer of VHDX images, from the specification alone: it shares no code with the library.

pub const MIB: u64 = 1 << 20;
pub const SECTION: usize = 1 << 20;
/// Where the builder puts things.
pub const LOG: usize = SECTION;
pub const METADATA: usize = 2 * SECTION;
pub const BAT: usize = 3 * SECTION;
pub const HEADERS: [usize; 2] = [64 << 10, 128 << 10];
pub const REGIONS: [usize; 2] = [192 << 10, 256 << 10];

pub type Guid = [u8; 16];

pub const BAT_REGION: &str = "2dc27766-f623-4200-9d64-115e9bfd4a08";
pub const METADATA_REGION: &str = "8b7ca206-4790-4b9a-b8fe-575f050f886e";
pub const FILE_PARAMETERS: &str = "caa16737-fa36-4d43-b3b6-33f0aa44e76b";
pub const DISK_SIZE: &str = "2fa54224-cd1b-4876-b211-5dbed83bf4b8";
pub const DISK_ID: &str = "beca12ab-b2e6-4523-93ef-c309e000c746";
pub const LOGICAL_SECTOR: &str = "8141bf1d-a96f-4709-ba47-f233a8faab5f";
pub const PHYSICAL_SECTOR: &str = "cda348c7-445d-4471-9cc9-e9885251c556";
pub const PARENT_LOCATOR: &str = "a8d35f2d-b30b-454d-abf7-d3d84834ab0c";
pub const LOCATOR_TYPE: &str = "b04aefb7-d19e-4a81-b789-25b8e9445913";

/// A GUID's text as it stands on disk: the first three groups byte-swapped.
pub fn guid(text: &str) -> Guid {
    let hex: String = text.chars().filter(|c| *c != '-').collect();
    let mut bytes = [0; 16];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex");
    }
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}

/// A block of the disk.
#[derive(Debug, Clone)]
pub enum Block {
    /// No payload; the BAT entry as it is.
    Entry(u64),
    /// FULLY_PRESENT.
    Full(Vec<u8>),
    /// PARTIALLY_PRESENT: the whole payload, and which sectors of it count.
    Partial(Vec<u8>, Vec<bool>),
}

/// An image to be laid out.
#[derive(Debug, Clone)]
pub struct Image {
    pub size: u64,
    pub block: u64,
    pub sector: u64,
    pub fixed: bool,
    /// The pairs of the parent locator, as UTF-16LE bytes.
    pub locator: Option<Vec<(Vec<u8>, Vec<u8>)>>,
    pub data_guid: Guid,
    /// Payload lies in the file from the last block to the first.
    pub reversed: bool,
    /// The file ends with the last byte of the disk, though that is not the end of its block.
    pub cut: bool,
    pub blocks: Vec<Block>,
}

impl Image {
    /// A dynamic disk without payload.
    pub fn empty(size: u64, block: u64, sector: u64) -> Self {
        Self {
            size,
            block,
            sector,
            fixed: false,
            locator: None,
            data_guid: [0x77; 16],
            reversed: false,
            cut: false,
            blocks: vec![Block::Entry(0); size.div_ceil(block) as usize],
        }
    }

    /// A differencing disk without payload, over a parent with the data GUID `parent`.
    pub fn child(size: u64, block: u64, sector: u64, parent: &str) -> Self {
        let locator = vec![
            (utf16("parent_linkage"), utf16(&format!("{{{parent}}}"))),
            (utf16("relative_path"), utf16(".\\parent.vhdx")),
        ];
        Self { locator: Some(locator), data_guid: [0x66; 16], ..Self::empty(size, block, sector) }
    }

    /// Blocks whose bitmaps share a sector bitmap block.
    pub fn chunk_ratio(&self) -> u64 {
        (1 << 23) * self.sector / self.block
    }

    /// Where the BAT entry of a payload block lies in the file.
    pub fn entry_at(&self, block: u64) -> usize {
        BAT + 8 * (block + block / self.chunk_ratio()) as usize
    }

    /// Where the BAT entry of a chunk's sector bitmap block lies in the file.
    pub fn bitmap_entry_at(&self, chunk: u64) -> usize {
        BAT + 8 * ((chunk + 1) * self.chunk_ratio() + chunk) as usize
    }

    pub fn bat_len(&self) -> u64 {
        let blocks = self.size.div_ceil(self.block);
        let ratio = self.chunk_ratio();
        let entries = match self.locator {
            Some(_) => blocks.div_ceil(ratio) * (ratio + 1),
            None => blocks + (blocks - 1) / ratio,
        };
        (entries * 8).div_ceil(MIB) * MIB
    }

    /// The metadata items: id, flags, value.
    pub fn items(&self) -> Vec<(Guid, u32, Vec<u8>)> {
        let flags = u32::from(self.fixed) | u32::from(self.locator.is_some()) << 1;
        let mut parameters = (self.block as u32).to_le_bytes().to_vec();
        parameters.extend(flags.to_le_bytes());
        let mut items = vec![
            (guid(FILE_PARAMETERS), 4, parameters),
            (guid(DISK_SIZE), 6, self.size.to_le_bytes().to_vec()),
            (guid(LOGICAL_SECTOR), 6, (self.sector as u32).to_le_bytes().to_vec()),
            (guid(PHYSICAL_SECTOR), 6, 4096u32.to_le_bytes().to_vec()),
            (guid(DISK_ID), 6, vec![0x1d; 16]),
        ];
        items.extend(self.locator.as_ref().map(|pairs| (guid(PARENT_LOCATOR), 4, locator(pairs))));
        items
    }

    /// Lays the image out.
    pub fn build(&self) -> Vec<u8> {
        let bat_len = self.bat_len();
        let mut file = vec![0; BAT + bat_len as usize];
        put(&mut file, 0, b"vhdxfile");
        put(&mut file, 8, &utf16("builder 1.0"));
        for (index, at) in HEADERS.into_iter().enumerate() {
            put(&mut file, at, &header(index as u64 + 1, [0; 16], self.data_guid));
        }
        let regions =
            [(guid(METADATA_REGION), METADATA as u64, MIB, 1), (guid(BAT_REGION), BAT as u64, bat_len, 1)];
        put_regions(&mut file, &regions);
        put(&mut file, METADATA, &metadata(&self.items()));

        let mut order: Vec<usize> = (0..self.blocks.len()).collect();
        if self.reversed {
            order.reverse();
        }
        for index in order {
            let at = self.entry_at(index as u64);
            let (data, state) = match &self.blocks[index] {
                Block::Entry(entry) => {
                    put(&mut file, at, &entry.to_le_bytes());
                    continue;
                }
                Block::Full(data) => (data, 6),
                Block::Partial(data, sectors) => {
                    self.set_bits(&mut file, index as u64, sectors);
                    (data, 7)
                }
            };
            assert!(data.len() as u64 <= self.block);
            let place = file.len();
            assert_eq!(place % SECTION, 0);
            file.extend_from_slice(data);
            let last = index + 1 == self.blocks.len();
            if !(self.cut && last && !self.reversed) {
                file.resize(place + self.block as usize, 0);
            }
            put(&mut file, at, &(place as u64 | state).to_le_bytes());
        }
        file
    }

    /// Sets a block's bits in its chunk's sector bitmap block, which is made when there is none yet.
    fn set_bits(&self, file: &mut Vec<u8>, block: u64, sectors: &[bool]) {
        let entry_at = self.bitmap_entry_at(block / self.chunk_ratio());
        let mut place = get_u64(file, entry_at) & !0xf_ffff;
        if place == 0 {
            place = file.len() as u64;
            file.resize(file.len() + SECTION, 0);
            put(file, entry_at, &(place | 6).to_le_bytes());
        }
        let first = block % self.chunk_ratio() * (self.block / self.sector);
        for (index, _) in sectors.iter().enumerate().filter(|(_, set)| **set) {
            let bit = first as usize + index;
            file[place as usize + bit / 8] |= 1 << (bit % 8);
        }
    }
}

pub fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

pub fn put(file: &mut [u8], at: usize, bytes: &[u8]) {
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

pub fn get_u64(file: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(file[at..at + 8].try_into().expect("eight bytes"))
}

/// Computes the CRC-32C at byte 4 of a structure anew.
pub fn seal(bytes: &mut [u8]) {
    bytes[4..8].fill(0);
    let checksum = crc32c::crc32c(bytes);
    bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
}

/// A header: log of 1 MiB at 1 MiB.
pub fn header(sequence: u64, log_guid: Guid, data_guid: Guid) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    put(&mut bytes, 0, b"head");
    put(&mut bytes, 8, &sequence.to_le_bytes());
    put(&mut bytes, 16, &[0x11; 16]);
    put(&mut bytes, 32, &data_guid);
    put(&mut bytes, 48, &log_guid);
    put(&mut bytes, 64, &0u16.to_le_bytes());
    put(&mut bytes, 66, &1u16.to_le_bytes());
    put(&mut bytes, 68, &(SECTION as u32).to_le_bytes());
    put(&mut bytes, 72, &(LOG as u64).to_le_bytes());
    seal(&mut bytes);
    bytes
}

/// Changes a field of both headers.
pub fn patch_headers(file: &mut [u8], at: usize, bytes: &[u8]) {
    for header in HEADERS {
        put(file, header + at, bytes);
        seal(&mut file[header..header + 4096]);
    }
}

/// Writes both copies of the region table: GUID, offset, length, required.
pub fn put_regions(file: &mut [u8], regions: &[(Guid, u64, u64, u32)]) {
    let mut table = vec![0; 64 << 10];
    put(&mut table, 0, b"regi");
    put(&mut table, 8, &(regions.len() as u32).to_le_bytes());
    for (index, (guid, offset, length, required)) in regions.iter().enumerate() {
        let at = 16 + 32 * index;
        put(&mut table, at, guid);
        put(&mut table, at + 16, &offset.to_le_bytes());
        put(&mut table, at + 24, &(*length as u32).to_le_bytes());
        put(&mut table, at + 28, &required.to_le_bytes());
    }
    seal(&mut table);
    REGIONS.iter().for_each(|&at| put(file, at, &table));
}

/// A metadata region of 1 MiB.
pub fn metadata(items: &[(Guid, u32, Vec<u8>)]) -> Vec<u8> {
    let mut region = vec![0; SECTION];
    put(&mut region, 0, b"metadata");
    put(&mut region, 10, &(items.len() as u16).to_le_bytes());
    let mut place = 64 << 10;
    for (index, (guid, flags, value)) in items.iter().enumerate() {
        let at = 32 + 32 * index;
        put(&mut region, at, guid);
        if !value.is_empty() {
            put(&mut region, at + 16, &(place as u32).to_le_bytes());
            put(&mut region, at + 20, &(value.len() as u32).to_le_bytes());
        }
        put(&mut region, at + 24, &flags.to_le_bytes());
        put(&mut region, place, value);
        place += value.len();
    }
    region
}

/// A parent locator.
pub fn locator(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![0; 20 + 12 * pairs.len()];
    put(&mut bytes, 0, &guid(LOCATOR_TYPE));
    put(&mut bytes, 18, &(pairs.len() as u16).to_le_bytes());
    for (index, (key, value)) in pairs.iter().enumerate() {
        let at = 20 + 12 * index;
        let place = bytes.len() as u32;
        put(&mut bytes, at, &place.to_le_bytes());
        put(&mut bytes, at + 4, &(place + key.len() as u32).to_le_bytes());
        put(&mut bytes, at + 8, &(key.len() as u16).to_le_bytes());
        put(&mut bytes, at + 10, &(value.len() as u16).to_le_bytes());
        bytes.extend(key);
        bytes.extend(value);
    }
    bytes
}

/// What a log entry does to the file.
#[derive(Debug, Clone)]
pub enum Change {
    /// A sector of 4 KiB.
    Data(u64, Vec<u8>),
    /// Zeros: offset and length.
    Zero(u64, u64),
}

/// A log entry.
#[derive(Debug, Clone)]
pub struct Entry {
    pub sequence: u64,
    /// Offset in the log of the oldest entry that is needed.
    pub tail: u32,
    pub guid: Guid,
    pub flushed: u64,
    pub last: u64,
    pub changes: Vec<Change>,
}

impl Entry {
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; (64 + 32 * self.changes.len()).div_ceil(4096) * 4096];
        for (index, change) in self.changes.iter().enumerate() {
            let at = 64 + 32 * index;
            let offset = match change {
                Change::Zero(offset, len) => {
                    put(&mut bytes, at, b"zero");
                    put(&mut bytes, at + 8, &len.to_le_bytes());
                    offset
                }
                Change::Data(offset, data) => {
                    put(&mut bytes, at, b"desc");
                    put(&mut bytes, at + 4, &data[4092..]);
                    put(&mut bytes, at + 8, &data[..8]);
                    let start = bytes.len();
                    bytes.extend(data);
                    put(&mut bytes, start, b"data");
                    put(&mut bytes, start + 4, &((self.sequence >> 32) as u32).to_le_bytes());
                    put(&mut bytes, start + 4092, &(self.sequence as u32).to_le_bytes());
                    offset
                }
            };
            put(&mut bytes, at + 16, &offset.to_le_bytes());
            put(&mut bytes, at + 24, &self.sequence.to_le_bytes());
        }
        put(&mut bytes, 0, b"loge");
        let len = bytes.len() as u32;
        put(&mut bytes, 8, &len.to_le_bytes());
        put(&mut bytes, 12, &self.tail.to_le_bytes());
        put(&mut bytes, 16, &self.sequence.to_le_bytes());
        put(&mut bytes, 24, &(self.changes.len() as u32).to_le_bytes());
        put(&mut bytes, 32, &self.guid);
        put(&mut bytes, 48, &self.flushed.to_le_bytes());
        put(&mut bytes, 56, &self.last.to_le_bytes());
        seal(&mut bytes);
        bytes
    }
}

/// Writes an entry's bytes into the log, around its end where need be, and returns where the next begins.
pub fn put_log(file: &mut [u8], at: usize, entry: &[u8]) -> usize {
    for (index, sector) in entry.chunks(4096).enumerate() {
        put(file, LOG + (at + index * 4096) % SECTION, sector);
    }
    (at + entry.len()) % SECTION
}

pub const LOG_GUID: Guid = [0x42; 16];

/// Makes the log of a file count.
pub fn set_dirty(file: &mut [u8]) {
    patch_headers(file, 48, &LOG_GUID);
}

//! A reference writer: lays out VMDK extents in memory, from the specification alone.

use std::io::Write;

pub const SECTOR: usize = 512;
pub const GD_AT_END: u64 = u64::MAX;

/// One grain of a sparse extent.
#[derive(Clone, Debug, PartialEq)]
pub enum Grain {
    Absent,
    Zero,
    /// seSparse only.
    Unmapped,
    Data(Vec<u8>),
}

pub fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

pub fn put32(bytes: &mut [u8], at: usize, value: u32) {
    put(bytes, at, &value.to_le_bytes());
}

pub fn put64(bytes: &mut [u8], at: usize, value: u64) {
    put(bytes, at, &value.to_le_bytes());
}

/// Offsets of the fields of a hosted sparse extent's header.
pub mod field {
    pub const VERSION: usize = 4;
    pub const FLAGS: usize = 8;
    pub const CAPACITY: usize = 12;
    pub const GRAIN_SIZE: usize = 20;
    pub const DESCRIPTOR: usize = 28;
    pub const GTES: usize = 44;
    pub const RGD: usize = 48;
    pub const GD: usize = 56;
    pub const OVERHEAD: usize = 64;
    pub const UNCLEAN: usize = 72;
    pub const NEWLINES: usize = 73;
    pub const COMPRESSION: usize = 77;
}

/// A descriptor.
pub struct Text {
    pub create_type: &'static str,
    pub cid: u32,
    pub parent: Option<(u32, String)>,
    pub extents: Vec<String>,
    pub ddb: String,
}

impl Text {
    pub fn new(create_type: &'static str, extents: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let extents = extents.into_iter().map(Into::into).collect();
        Self { create_type, cid: 0x1234_abcd, parent: None, extents, ddb: String::new() }
    }

    pub fn render(&self) -> String {
        let Self { create_type, cid, extents, ddb, .. } = self;
        let (parent_cid, hint) = match &self.parent {
            None => (u32::MAX, String::new()),
            Some((cid, hint)) => (*cid, format!("parentFileNameHint=\"{hint}\"\n")),
        };
        format!(
            "# Disk DescriptorFile\nversion=1\nCID={cid:08x}\nparentCID={parent_cid:08x}\n\
             createType=\"{create_type}\"\n{hint}\n# Extent description\n{}\n\n# The Disk Data Base\n#DDB\n\n{ddb}",
            extents.join("\n")
        )
    }
}

/// A hosted sparse extent with grains as they are.
#[derive(Clone)]
pub struct Hosted {
    pub sectors: u64,
    pub grain: u64,
    pub gtes: u32,
    pub version: u32,
    pub zeroed_flag: bool,
    pub redundant: bool,
    /// Whether tables lie in reverse, and those without grains are left out.
    pub scattered: bool,
    pub grains: Vec<Grain>,
    pub descriptor: Option<String>,
}

/// An extent in memory, and where its parts lie, in sectors.
pub struct Built {
    pub bytes: Vec<u8>,
    pub gd: u64,
    pub rgd: u64,
    /// Where the primary grain tables lie.
    pub tables: Vec<u64>,
    pub redundant_tables: Vec<u64>,
    /// Where each grain, or its marker, lies; 0 when it is not stored.
    pub grains: Vec<u64>,
}

/// Sectors for `bytes` bytes.
fn sectors(bytes: usize) -> u64 {
    bytes.div_ceil(SECTOR) as u64
}

pub struct Header {
    pub version: u32,
    pub flags: u32,
    pub capacity: u64,
    pub grain: u64,
    pub descriptor: (u64, u64),
    pub gtes: u32,
    pub rgd: u64,
    pub gd: u64,
    pub overhead: u64,
    pub compression: u16,
}

impl Header {
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = vec![0; SECTOR];
        put(&mut out, 0, b"KDMV");
        put32(&mut out, field::VERSION, self.version);
        put32(&mut out, field::FLAGS, self.flags);
        put64(&mut out, field::CAPACITY, self.capacity);
        put64(&mut out, field::GRAIN_SIZE, self.grain);
        put64(&mut out, field::DESCRIPTOR, self.descriptor.0);
        put64(&mut out, field::DESCRIPTOR + 8, self.descriptor.1);
        put32(&mut out, field::GTES, self.gtes);
        put64(&mut out, field::RGD, self.rgd);
        put64(&mut out, field::GD, self.gd);
        put64(&mut out, field::OVERHEAD, self.overhead);
        put(&mut out, field::NEWLINES, b"\n \r\n");
        put(&mut out, field::COMPRESSION, &self.compression.to_le_bytes());
        out
    }
}

impl Hosted {
    pub fn new(sectors: u64, grain: u64, grains: Vec<Grain>) -> Self {
        assert_eq!(grains.len() as u64, sectors.div_ceil(grain));
        Self {
            sectors,
            grain,
            gtes: 512,
            version: 1,
            zeroed_flag: grains.contains(&Grain::Zero),
            redundant: true,
            scattered: false,
            grains,
            descriptor: None,
        }
    }

    /// The extent with its descriptor inside.
    pub fn monolithic(mut self, text: &Text) -> Self {
        self.descriptor = Some(text.render());
        self
    }

    pub fn build(&self) -> Built {
        let text = self.descriptor.clone().unwrap_or_default();
        let text_sectors = if text.is_empty() { 0 } else { sectors(text.len()).max(20) };
        let table_count = self.grains.len().div_ceil(self.gtes as usize);
        let gd_sectors = sectors(table_count * 4);
        let gt_sectors = sectors(self.gtes as usize * 4);
        let mut at = 1 + text_sectors;
        let mut place = |present: bool| {
            if !present {
                return (0, Vec::new());
            }
            let gd = at;
            let mut tables: Vec<_> =
                (0..table_count as u64).map(|n| gd + gd_sectors + n * gt_sectors).collect();
            if self.scattered {
                tables.reverse();
            }
            at += gd_sectors + table_count as u64 * gt_sectors;
            (gd, tables)
        };
        let (rgd, redundant_tables) = place(self.redundant);
        let (gd, tables) = place(true);
        let overhead = at.next_multiple_of(self.grain);
        let header = Header {
            version: self.version,
            flags: 1 | u32::from(self.redundant) << 1 | u32::from(self.zeroed_flag) << 2,
            capacity: self.sectors,
            grain: self.grain,
            descriptor: if text.is_empty() { (0, 0) } else { (1, text_sectors) },
            gtes: self.gtes,
            rgd,
            gd,
            overhead,
            compression: 0,
        };
        let mut bytes = header.bytes();
        bytes.resize(overhead as usize * SECTOR, 0);
        put(&mut bytes, SECTOR, text.as_bytes());
        let mut stored = vec![0; self.grains.len()];
        let mut next = overhead;
        // Every other run of grains is laid out backwards, so that not all that lies together is in order.
        let mut order: Vec<_> = (0..self.grains.len()).collect();
        order.chunks_mut(4).skip(1).step_by(2).for_each(<[usize]>::reverse);
        for index in order {
            let entry = match &self.grains[index] {
                Grain::Data(data) => {
                    let sector = next;
                    next += self.grain;
                    bytes.resize(next as usize * SECTOR, 0);
                    put(&mut bytes, sector as usize * SECTOR, data);
                    stored[index] = sector;
                    sector as u32
                }
                Grain::Zero => 1,
                _ => 0,
            };
            let (table, index) = (index / self.gtes as usize, index % self.gtes as usize);
            for (directory, tables) in [(gd, &tables), (rgd, &redundant_tables)] {
                let Some(&sector) = tables.get(table) else { continue };
                if entry != 0 || !self.scattered {
                    put32(&mut bytes, directory as usize * SECTOR + table * 4, sector as u32);
                    put32(&mut bytes, sector as usize * SECTOR + index * 4, entry);
                }
            }
        }
        Built { bytes, gd, rgd, tables, redundant_tables, grains: stored }
    }
}

/// A streamOptimized extent.
#[derive(Clone)]
pub struct Stream {
    pub sectors: u64,
    pub grain: u64,
    pub gtes: u32,
    pub grains: Vec<Grain>,
    pub descriptor: String,
    /// Tables before the grains, and no footer; else behind them, with one.
    pub front: bool,
    pub markers: bool,
    /// Whether the grain in which the disk ends is packed only as far as the disk goes.
    pub short_last: bool,
    pub end_of_stream: bool,
    pub padding: usize,
}

/// `bytes` as one zlib stream.
pub fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

/// A marker that fills its sector.
pub fn marker(value: u64, kind: u32) -> Vec<u8> {
    let mut out = vec![0; SECTOR];
    put64(&mut out, 0, value);
    put32(&mut out, 12, kind);
    out
}

impl Stream {
    pub fn new(sectors: u64, grain: u64, grains: Vec<Grain>) -> Self {
        assert_eq!(grains.len() as u64, sectors.div_ceil(grain));
        let text = Text::new("streamOptimized", [format!("RDONLY {sectors} SPARSE \"a.vmdk\"")]);
        Self {
            sectors,
            grain,
            gtes: 512,
            grains,
            descriptor: text.render(),
            front: false,
            markers: true,
            short_last: false,
            end_of_stream: true,
            padding: 0,
        }
    }

    fn header(&self, gd: u64, text_sectors: u64, overhead: u64) -> Header {
        Header {
            version: 3,
            flags: 0x1_0001 | u32::from(self.markers) << 17,
            capacity: self.sectors,
            grain: self.grain,
            descriptor: (1, text_sectors),
            gtes: self.gtes,
            rgd: 0,
            gd,
            overhead,
            compression: 1,
        }
    }

    pub fn build(&self) -> Built {
        let text_sectors = sectors(self.descriptor.len());
        let table_count = self.grains.len().div_ceil(self.gtes as usize);
        let (gd_sectors, gt_sectors) = (sectors(table_count * 4), sectors(self.gtes as usize * 4));
        let front_sectors = if self.front { gd_sectors + table_count as u64 * gt_sectors } else { 0 };
        let overhead = (1 + text_sectors + front_sectors).next_multiple_of(self.grain);
        let mut bytes = vec![0; overhead as usize * SECTOR];
        put(&mut bytes, SECTOR, self.descriptor.as_bytes());
        let mut stored = vec![0; self.grains.len()];
        let mut entries = vec![0; table_count * self.gtes as usize];
        for (index, grain) in self.grains.iter().enumerate() {
            let Grain::Data(data) = grain else { continue };
            let start = index as u64 * self.grain;
            let left = ((self.sectors - start).min(self.grain) as usize) * SECTOR;
            let packed = deflate(if self.short_last { &data[..left] } else { data });
            stored[index] = sectors(bytes.len());
            entries[index] = stored[index] as u32;
            if self.markers {
                bytes.extend(start.to_le_bytes());
            }
            bytes.extend((packed.len() as u32).to_le_bytes());
            bytes.extend(packed);
            bytes.resize(bytes.len().next_multiple_of(SECTOR), 0);
        }
        let mut tables = Vec::new();
        let gd;
        if self.front {
            gd = 1 + text_sectors;
            tables.extend((0..table_count as u64).map(|n| gd + gd_sectors + n * gt_sectors));
        } else {
            for _ in 0..table_count {
                bytes.extend(marker(gt_sectors, 1));
                tables.push(sectors(bytes.len()));
                bytes.resize(bytes.len() + gt_sectors as usize * SECTOR, 0);
            }
            bytes.extend(marker(gd_sectors, 2));
            gd = sectors(bytes.len());
            bytes.resize(bytes.len() + gd_sectors as usize * SECTOR, 0);
        }
        for (table, &sector) in tables.iter().enumerate() {
            put32(&mut bytes, gd as usize * SECTOR + table * 4, sector as u32);
            for index in 0..self.gtes as usize {
                let at = sector as usize * SECTOR + index * 4;
                put32(&mut bytes, at, entries[table * self.gtes as usize + index]);
            }
        }
        let header = self.header(if self.front { gd } else { GD_AT_END }, text_sectors, overhead);
        put(&mut bytes, 0, &header.bytes());
        if !self.front {
            bytes.extend(marker(1, 3));
            bytes.extend(self.header(gd, text_sectors, overhead).bytes());
        }
        if self.end_of_stream {
            bytes.extend(marker(0, 0));
        }
        bytes.resize(bytes.len() + self.padding, 0);
        Built { bytes, gd, rgd: 0, tables, redundant_tables: Vec::new(), grains: stored }
    }
}

/// A COWD extent.
pub fn cowd(sectors: u32, grain: u32, grains: &[Grain]) -> Built {
    let table_count = grains.len().div_ceil(4096);
    let gd_sectors = self::sectors(table_count * 4) as u32;
    let mut bytes = vec![0; (4 + gd_sectors) as usize * SECTOR];
    put(&mut bytes, 0, b"COWD");
    for (at, value) in [(4, 1), (8, 3), (12, sectors), (16, grain), (20, 4), (24, table_count as u32)] {
        put32(&mut bytes, at, value);
    }
    let mut tables = Vec::new();
    let mut stored = vec![0; grains.len()];
    for (number, table) in grains.chunks(4096).enumerate() {
        if table.iter().all(|grain| *grain == Grain::Absent) {
            tables.push(0);
            continue;
        }
        let at = bytes.len();
        tables.push(self::sectors(at));
        put32(&mut bytes, 4 * SECTOR + number * 4, (at / SECTOR) as u32);
        bytes.resize(at + 4096 * 4, 0);
        for (index, grain) in table.iter().enumerate() {
            if let Grain::Data(data) = grain {
                let sector = bytes.len() / SECTOR;
                stored[number * 4096 + index] = sector as u64;
                put32(&mut bytes, at + index * 4, sector as u32);
                bytes.extend(data);
            }
        }
    }
    let free = (bytes.len() / SECTOR) as u32;
    put32(&mut bytes, 28, free);
    Built { bytes, gd: 4, rgd: 0, tables, redundant_tables: Vec::new(), grains: stored }
}

/// Where the parts of a built seSparse extent lie, in bytes.
pub mod sesparse {
    pub const VOLATILE: usize = 512;
    pub const DIRECTORY: usize = 4 * 512;
    pub const TABLES: usize = 12 * 512;
}

/// An seSparse extent, its grains numbered backwards.
pub fn sesparse(sectors: u64, grains: &[Grain]) -> Vec<u8> {
    let table_count = grains.len().div_ceil(4096).max(1);
    assert!(table_count <= 8 * 64);
    let tables = sesparse::TABLES;
    let data = tables + table_count * 64 * SECTOR;
    let stored = grains.iter().filter(|grain| matches!(grain, Grain::Data(_))).count();
    let mut bytes = vec![0; data + stored * 4096];
    put64(&mut bytes, 0, 0xcafe_babe);
    put64(&mut bytes, 8, 0x2_0000_0001);
    for (at, value) in [(16, sectors), (24, 8), (32, 64)] {
        put64(&mut bytes, at, value);
    }
    let data_sectors = (stored.max(1) * 8) as u64;
    let areas = [
        (1, 1),
        (2, 1),
        (3, 1),
        (4, 8),
        (12, table_count as u64 * 64),
        (1, 1),
        (1, 1),
        ((data / SECTOR) as u64, data_sectors),
    ];
    for (index, (offset, size)) in areas.into_iter().enumerate() {
        put64(&mut bytes, 80 + index * 16, offset);
        put64(&mut bytes, 88 + index * 16, size);
    }
    put64(&mut bytes, sesparse::VOLATILE, 0xcafe_cafe);
    let mut number = stored;
    for (index, grain) in grains.iter().enumerate() {
        let entry = match grain {
            Grain::Absent => continue,
            Grain::Unmapped => 1 << 60,
            Grain::Zero => 2 << 60,
            Grain::Data(bytes_of_grain) => {
                number -= 1;
                put(&mut bytes, data + number * 4096, bytes_of_grain);
                let number = number as u64;
                3 << 60 | (number & 0xfff) << 48 | number >> 12
            }
        };
        // Tables are numbered backwards, too.
        let table = table_count - 1 - index / 4096;
        let directory = sesparse::DIRECTORY + index / 4096 * 8;
        put64(&mut bytes, directory, 0x1000_0000_0000_0000 | table as u64);
        put64(&mut bytes, tables + table * 64 * SECTOR + index % 4096 * 8, entry);
    }
    bytes
}

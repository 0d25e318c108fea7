//! Random disks, laid out by the reference writer, read as a plain array of bytes does.

use std::path::{Path, PathBuf};

use diskport::Open;
use diskport::storage::{Explicit, MemoryStorage};
use proptest::prelude::*;

use super::builder::{Grain, Hosted, SECTOR, Stream, Text, cowd, sesparse};
use crate::support::{assert_reads_as, storage};

/// What is written to a layer.
#[derive(Clone, Debug)]
struct Write {
    /// Taken modulo the layer's size.
    at: usize,
    sectors: u64,
    /// 0: zeros.
    seed: u8,
}

/// How a part of a layer is stored.
#[derive(Clone, Debug)]
enum Piece {
    Flat { offset: u64, vmfs: bool },
    Zero,
    Hosted { grain: u64, gtes: u32, zeroed: bool, redundant: bool, scattered: bool },
    Stream { grain: u64, gtes: u32, front: bool, markers: bool, short_last: bool },
    Cowd { grain: u32 },
    SeSparse,
}

#[derive(Clone, Debug)]
struct Layer {
    pieces: Vec<(Piece, u64)>,
    /// Whether a single sparse piece holds the descriptor.
    embedded: bool,
    writes: Vec<Write>,
}

fn write() -> impl Strategy<Value = Write> {
    let sectors = prop_oneof![Just(1_u64), Just(8), 1..40_u64, 100..600_u64];
    (any::<usize>(), sectors, prop_oneof![Just(0), 1..=255_u8]).prop_map(|(at, sectors, seed)| Write {
        at,
        sectors,
        seed,
    })
}

fn piece() -> impl Strategy<Value = Piece> {
    let grain = || prop_oneof![Just(8_u64), Just(16), Just(128), Just(256)];
    let gtes = || prop_oneof![Just(512_u32), Just(1), Just(7), Just(128), Just(2000)];
    prop_oneof![
        2 => (0..3_u64, any::<bool>()).prop_map(|(offset, vmfs)| Piece::Flat { offset, vmfs }),
        1 => Just(Piece::Zero),
        5 => (grain(), gtes(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(grain, gtes, zeroed, redundant, scattered)| {
                Piece::Hosted { grain, gtes, zeroed, redundant, scattered }
            }
        ),
        4 => (grain(), gtes(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(grain, gtes, front, markers, short_last)| Piece::Stream { grain, gtes, front, markers, short_last }
        ),
        2 => prop_oneof![Just(1_u32), Just(3), Just(8), Just(64)].prop_map(|grain| Piece::Cowd { grain }),
        2 => Just(Piece::SeSparse),
    ]
}

fn layer() -> impl Strategy<Value = Layer> {
    let sectors = prop_oneof![Just(128_u64), Just(4096), 1..200_u64, 1000..5000_u64];
    let pieces = prop_oneof![
        2 => prop::collection::vec((piece(), sectors.clone()), 1),
        1 => prop::collection::vec((piece(), sectors), 2..4),
    ];
    (pieces, any::<bool>(), prop::collection::vec(write(), 0..8))
        .prop_map(|(pieces, embedded, writes)| Layer { pieces, embedded, writes })
}

/// The grains of a sparse piece: those that were touched, or that hold what no parent has.
fn grains(content: &[u8], touched: &[bool], grain: u64, zeroed: bool) -> Vec<Grain> {
    let bytes = grain as usize * SECTOR;
    let cut = content.chunks(bytes).zip(touched.chunks(grain as usize));
    cut.map(|(content, touched)| {
        if !touched.contains(&true) {
            return Grain::Absent;
        }
        if zeroed && content.iter().all(|&byte| byte == 0) {
            return Grain::Zero;
        }
        let mut grain = content.to_vec();
        // What lies beyond the end of the disk in its last grain is nobody's business.
        grain.resize(bytes, 0xaa);
        Grain::Data(grain)
    })
    .collect()
}

impl Layer {
    fn sectors(&self) -> u64 {
        self.pieces.iter().map(|(_, sectors)| sectors).sum()
    }

    /// Lays the layer out under `name`, over a parent that reads as `content`, and returns its files, the
    /// descriptor's first. `content` becomes what this layer reads as.
    fn build(
        &self,
        name: &str,
        parent: Option<(u32, String)>,
        content: &mut Vec<u8>,
    ) -> Vec<(String, Vec<u8>)> {
        let total = self.sectors() as usize;
        content.resize(total * SECTOR, 0);
        let mut touched = vec![false; total];
        for write in &self.writes {
            let start = write.at % total;
            let end = total.min(start + write.sectors as usize);
            for sector in start..end {
                touched[sector] = true;
                let bytes = &mut content[sector * SECTOR..(sector + 1) * SECTOR];
                let step = if write.seed == 0 { 0 } else { sector as u8 | 1 };
                bytes.iter_mut().fold(write.seed, |value, byte| {
                    *byte = value;
                    value.wrapping_add(step)
                });
            }
        }
        let mut text = Text::new("custom", [""; 0]);
        text.cid = cid_of(name);
        text.parent = parent;
        let (mut files, mut at) = (Vec::new(), 0);
        for (index, (piece, sectors)) in self.pieces.iter().enumerate() {
            let range = at..at + *sectors as usize;
            at = range.end;
            let file = format!("{name}-s{index:03}.vmdk");
            let access = if index % 2 == 0 { "RW" } else { "RDONLY" };
            let line = |kind: &str| format!("{access} {sectors} {kind} \"{file}\"");
            let part = &mut content[range.start * SECTOR..range.end * SECTOR];
            let touched = &touched[range];
            let alone = self.embedded && self.pieces.len() == 1;
            let (line, bytes) = match *piece {
                Piece::Zero => {
                    part.fill(0);
                    text.extents.push(format!("{access} {sectors} ZERO"));
                    continue;
                }
                Piece::Flat { offset, vmfs } => {
                    let kind = if vmfs { "VMFS" } else { "FLAT" };
                    let mut bytes = vec![0xbb; offset as usize * SECTOR];
                    bytes.extend_from_slice(part);
                    (format!("{} {offset}", line(kind)), bytes)
                }
                Piece::Hosted { grain, gtes, zeroed, redundant, scattered } => {
                    let mut extent = Hosted::new(*sectors, grain, grains(part, touched, grain, zeroed));
                    (extent.gtes, extent.redundant, extent.scattered) = (gtes, redundant, scattered);
                    if alone {
                        text.create_type = "monolithicSparse";
                        text.extents.push(line("SPARSE"));
                        let bytes = extent.monolithic(&text).build().bytes;
                        return vec![(format!("{name}.vmdk"), bytes)];
                    }
                    (line("SPARSE"), extent.build().bytes)
                }
                Piece::Stream { grain, gtes, front, markers, short_last } => {
                    let mut extent = Stream::new(*sectors, grain, grains(part, touched, grain, false));
                    (extent.gtes, extent.front, extent.markers) = (gtes, front, markers);
                    (extent.short_last, extent.end_of_stream) = (short_last, !front || gtes != 7);
                    if alone {
                        text.create_type = "streamOptimized";
                        text.extents.push(line("SPARSE"));
                        extent.descriptor = text.render();
                        return vec![(format!("{name}.vmdk"), extent.build().bytes)];
                    }
                    (line("SPARSE"), extent.build().bytes)
                }
                Piece::Cowd { grain } => {
                    let grains = grains(part, touched, grain.into(), false);
                    (line("VMFSSPARSE"), cowd(*sectors as u32, grain, &grains).bytes)
                }
                Piece::SeSparse => (line("SESPARSE"), sesparse(*sectors, &grains(part, touched, 8, true))),
            };
            text.extents.push(line);
            files.push((file, bytes));
        }
        files.insert(0, (format!("{name}.vmdk"), text.render().into_bytes()));
        files
    }
}

fn cid_of(name: &str) -> u32 {
    name.bytes().fold(7_u32, |cid, byte| cid.wrapping_mul(31) + u32::from(byte))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn chains_read_as_their_model(layers in prop::collection::vec(layer(), 1..=4)) {
        let mut content = Vec::new();
        let mut parent = None;
        let mut files = Explicit::default();
        let mut top = Vec::new();
        for (depth, layer) in layers.iter().enumerate() {
            let name = format!("layer{depth}");
            let built = layer.build(&name, parent, &mut content);
            parent = Some((cid_of(&name), format!("{name}.vmdk")));
            top = built[0].1.clone();
            for (name, bytes) in built {
                files.insert(name, storage(bytes));
            }
        }
        let disk = Open::new().resolver(files).open(MemoryStorage::new(top)).expect("opens");
        prop_assert_eq!(disk.chain().len(), layers.len());
        assert_reads_as(&disk, &content);
    }
}

#[test]
fn a_large_sesparse_extent_has_many_tables() {
    // 70 MiB: five tables, of which two are empty, and grains beyond number 4095.
    let sectors = 70 * 2048;
    let count = sectors as usize / 8;
    let stored = |grain: usize| grain % 4096 < 1500 && !(4096..12_288).contains(&grain);
    let data = |grain: usize| (grain as u32).to_le_bytes().repeat(1024);
    let grains: Vec<_> = (0..count)
        .map(|grain| if stored(grain) { Grain::Data(data(grain)) } else { Grain::Absent })
        .collect();
    let mut image = sesparse(sectors, &grains);
    for table in [1_usize, 2] {
        super::builder::put64(&mut image, super::builder::sesparse::DIRECTORY + table * 8, 0);
    }
    let disk = Open::new().open(MemoryStorage::new(image)).expect("opens");
    let model: Vec<_> =
        (0..count).flat_map(|grain| if stored(grain) { data(grain) } else { vec![0; 4096] }).collect();
    assert_reads_as(&disk, &model);
}

#[test]
fn a_large_hosted_extent_has_tables_of_several_pages() {
    // Tables of 3000 entries do not fit a page.
    let sectors = 7000 * 8;
    let data = |grain: usize| (grain as u32 | 1 << 31).to_le_bytes().repeat(1024);
    let stored = |grain: usize| grain % 1000 < 20;
    let grains: Vec<_> =
        (0..7000).map(|grain| if stored(grain) { Grain::Data(data(grain)) } else { Grain::Absent }).collect();
    let text = Text::new("monolithicSparse", [format!("RW {sectors} SPARSE \"a\"")]);
    let mut extent = Hosted::new(sectors, 8, grains).monolithic(&text);
    extent.gtes = 3000;
    let disk = Open::new().open(MemoryStorage::new(extent.build().bytes)).expect("opens");
    let model: Vec<_> =
        (0..7000).flat_map(|grain| if stored(grain) { data(grain) } else { vec![0; 4096] }).collect();
    assert_reads_as(&disk, &model);
}

#[test]
fn one_of_each_reads_as_its_content() {
    let folder = tempfile::tempdir().expect("a folder");
    for (image, content) in one_of_each(folder.path()) {
        assert_reads_as(&diskport::open(&image).expect("opens"), &content);
    }
}

/// An image of each kind that qemu knows, in `folder`, and what it reads as.
pub fn one_of_each(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let write = |seed| Write { at: 0, sectors: 300, seed };
    let hosted = Piece::Hosted { grain: 128, gtes: 512, zeroed: true, redundant: true, scattered: false };
    let small = Piece::Hosted { grain: 16, gtes: 128, zeroed: false, redundant: false, scattered: true };
    let front = Piece::Stream { grain: 128, gtes: 512, front: true, markers: true, short_last: false };
    let footer = Piece::Stream { grain: 128, gtes: 512, front: false, markers: true, short_last: true };
    let pieces = [hosted, small, front, footer, Piece::Cowd { grain: 8 }];
    let image = |(index, piece)| {
        let mut content = Vec::new();
        let name = format!("disk{index}");
        let embedded = !matches!(piece, Piece::Cowd { .. });
        let layer = Layer { pieces: vec![(piece, 5000)], embedded, writes: vec![write(9)] };
        let files = layer.build(&name, None, &mut content);
        for (name, mut bytes) in files {
            if !embedded && name == format!("disk{index}.vmdk") {
                // qemu does not know "custom".
                bytes =
                    String::from_utf8(bytes).expect("text").replace("\"custom\"", "\"vmfsSparse\"").into();
            }
            std::fs::write(folder.join(name), bytes).expect("writes");
        }
        (folder.join(format!("{name}.vmdk")), content)
    };
    pieces.into_iter().enumerate().map(image).collect()
}

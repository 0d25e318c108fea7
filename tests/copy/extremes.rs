//! Numbers at the ends of their ranges, through the public interface: an error or a sensible answer, never a panic.

use std::io::{self, Write};
use std::ops::Range;

use diskport::copy::{Convert, OutputFormat};
use diskport::disk::{Changes, Move, Patch};
use diskport::format::Allocation;
use diskport::format::vmdk::Subformat;
use diskport::ops::grow;
use diskport::partition::{
    FileSystem, Gpt, Layout, Partition, PartitionType, Role, Scheme, encrypted_volumes, gpt_type, grow_gpt,
    minimum_size, move_gpt, occupied,
};
use diskport::storage::{MemoryStorage, ReadAt};
use diskport::{Blocks, Disk, Error, Format, Ids, Open};
use proptest::prelude::*;
use uuid::Uuid;

/// Numbers at which arithmetic goes wrong, and some between.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..4_u64,
        (u64::MAX - 5)..=u64::MAX,
        (0..64_u32, -2..3_i64).prop_map(|(shift, by)| (1_u64 << shift).wrapping_add_signed(by)),
        (1..9_u64).prop_map(|n| n * 512),
        any::<u64>(),
    ]
}

fn sector_size() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(1), Just(512), Just(1000), Just(4096), Just(4097), Just(u32::MAX), any::<u32>()]
}

/// Takes this much and no more.
struct Full(u64);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len() as u64).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn memory(size: usize) -> Disk {
    Open::new().format(Format::Raw).open(MemoryStorage::new(vec![0x5a; size])).expect("opens")
}

fn formats() -> Vec<OutputFormat> {
    let vmdk = Subformat::ALL.into_iter().map(OutputFormat::Vmdk);
    let [fixed, dynamic] = [Allocation::Fixed, Allocation::Dynamic];
    let others = [
        OutputFormat::Raw,
        OutputFormat::Vhd(fixed),
        OutputFormat::Vhd(dynamic),
        OutputFormat::Vhdx(fixed),
        OutputFormat::Vhdx(dynamic),
        OutputFormat::TarGz,
    ];
    others.into_iter().chain(vmdk).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_disk_of_any_size_is_looked_at(size in number(), sector in sector_size(), at in number(), len in number(), to in number()) {
        let disk = Disk::empty(size, sector);
        prop_assert_eq!(disk.size(), size);
        prop_assert!([512, 4096].contains(&disk.logical_sector_size()));
        let mut buf = vec![1; (len % 5000) as usize];
        match disk.read_at(&mut buf, at) {
            Ok(()) => prop_assert!(buf.iter().all(|&byte| byte == 0)),
            Err(error) => prop_assert!(matches!(error, Error::OutOfRange { .. }), "{:?}", error),
        }
        for range in [at..len, len..at, at..at.saturating_add(len)] {
            let extents: u64 = disk.extents(range.clone()).map(|extent| extent.expect("an extent").len).sum();
            prop_assert_eq!(extents, range.end.min(size).saturating_sub(range.start.min(size)));
            let slice = disk.slice(range.clone());
            prop_assert_eq!(slice.size(), extents);
            let _ = FileSystem::of(&slice).map(|found| found.map(|found| found.size(&slice)));
            prop_assert_eq!(disk.blocks(Blocks::of(at).range(range)).map(|block| block.expect("zeros").len()).sum::<u64>(), extents);
        }
        prop_assert_eq!(disk.slice(at..=len).size(), len.saturating_add(1).min(size).saturating_sub(at.min(size)));
        prop_assert_eq!(Layout::read(&disk).expect("none"), None);
        prop_assert!(Gpt::read(&disk).expect("none").is_none());
        prop_assert_eq!(encrypted_volumes(&disk).expect("none"), vec![]);
        prop_assert_eq!(occupied(&disk).expect("nothing"), vec![]);
        prop_assert!(minimum_size(&disk).is_err());
        let _ = (grow_gpt(&disk, to).is_ok(), move_gpt(&disk, to).is_ok());
        if let Ok((grown, _)) = grow(&disk, to) {
            prop_assert_eq!(grown.size(), to);
        }
    }

    #[test]
    fn streams_take_any_options(
        block in number(), ahead in prop_oneof![0..3_usize, Just(usize::MAX), any::<usize>()], threads in 0..4_usize,
        start in number(), end in number(),
    ) {
        let disk = memory(100_000);
        for range in [start..end, 0..end, start % 100_001..u64::MAX] {
            let blocks = Blocks::of(block).range(range.clone()).read_ahead(ahead).threads(threads);
            let read: u64 = disk.blocks(blocks).map(|block| block.expect("a block").len()).sum();
            prop_assert_eq!(read, range.end.min(100_000).saturating_sub(range.start.min(100_000)));
        }
    }

    #[test]
    fn changes_at_any_place_are_made_or_refused(
        size in number(),
        moves in prop::collection::vec((number(), number(), number()), 0..4),
        patches in prop::collection::vec((number(), 0..600_usize), 0..4),
        later in prop::collection::vec((number(), 0..600_usize), 0..4),
    ) {
        let disk = memory(5000);
        let patch = |(offset, len): (u64, usize)| Patch { offset, bytes: vec![1; len] };
        let mut changes = Changes::from(patches.into_iter().map(patch).collect::<Vec<_>>());
        changes.moves = moves.into_iter().map(|(from, to, len)| Move { from, to, len }).collect();
        let _ = changes.moved();
        let changes = changes.and(later.into_iter().map(patch).collect());
        let _ = changes.moved();
        match disk.patched(size, changes) {
            Ok(patched) => {
                prop_assert_eq!(patched.size(), size);
                let mut byte = [0];
                for extent in patched.extents(..).take(20) {
                    patched.read_at(&mut byte, extent.expect("an extent").start).expect("reads");
                }
            }
            Err(error) => prop_assert!(matches!(error, Error::OutOfRange { .. } | Error::Unsupported { .. }), "{:?}", error),
        }
    }

    #[test]
    fn copies_take_any_options(
        size in number(), sector in sector_size(), format in 0..formats().len(), block in number(), level in any::<u32>(),
        threads in prop_oneof![0..3_usize, Just(usize::MAX)], interval in number(), seed in any::<u64>(),
    ) {
        let disk = Disk::empty(size, sector);
        let format = formats()[format];
        let copy = Convert::new(&disk).to(format).level(level).threads(threads).checkpoint_interval(interval).seed(seed);
        for copy in [copy.clone(), copy.block_size(block)] {
            // What is refused is refused; the rest ends when the room does.
            let _ = copy.write_to(Full(3 << 20));
        }
    }

    #[test]
    fn layouts_of_any_numbers_are_written_or_refused(
        disk_size in number(), sector_size in sector_size(), gpt in any::<bool>(),
        partitions in prop::collection::vec((any::<u32>(), number(), number(), number(), 0..3_u8), 0..4),
    ) {
        let partition = |(index, start, size, record, role): (u32, u64, u64, u64, u8)| Partition {
            index: index % 7,
            kind: if gpt { PartitionType::Gpt(gpt_type::BASIC_DATA) } else { PartitionType::Mbr(if role == 1 { 5 } else { 7 }) },
            size,
            role: match role {
                0 => Role::Primary,
                1 => Role::Extended,
                _ => Role::Logical { record },
            },
            ..Partition::new(index, gpt_type::BASIC_DATA, start..start, Uuid::nil())
        };
        let scheme = if gpt { Scheme::Gpt { id: Uuid::nil(), hybrid: false } } else { Scheme::Mbr { signature: 1 } };
        let partitions = partitions.into_iter().map(partition).collect();
        let layout = Layout { scheme, disk_size, sector_size, partitions, warnings: Vec::new() };
        let _ = (layout.validate().is_ok(), layout.usable().is_ok(), layout.gaps().is_ok());
        let _ = layout.patches(&Disk::empty(disk_size, sector_size));
        let _ = diskport::partition::mbr_to_gpt(&layout, &Default::default(), &mut Ids::seeded(1));
    }
}

/// Says that it read more than it was asked for, or that its data lie anywhere.
struct Liar {
    more: usize,
    data: Option<Range<u64>>,
}

impl ReadAt for Liar {
    fn read_at(&self, buf: &mut [u8], _: u64) -> io::Result<usize> {
        buf.fill(0);
        Ok(buf.len().saturating_add(self.more))
    }

    fn size(&self) -> io::Result<u64> {
        Ok(1 << 20)
    }

    fn next_data(&self, _: u64) -> io::Result<Option<Range<u64>>> {
        Ok(self.data.clone())
    }
}

#[test]
#[expect(clippy::reversed_empty_ranges)]
fn a_storage_that_lies_is_no_reason_to_panic() {
    for more in [1, usize::MAX] {
        for format in [Format::Raw, Format::Vhd, Format::Vhdx, Format::Vmdk] {
            let open = Open::new().format(format).open(Liar { more, data: None });
            let Ok(disk) = open else { continue };
            let error = disk.read_at(&mut [0; 700], 0).expect_err("more than was asked for");
            assert!(matches!(error, Error::Io { .. }), "{error:?}");
        }
        assert!(Open::new().open(Liar { more, data: None }).is_err());
    }
    for data in [0..0, 9..3, u64::MAX..u64::MAX, 0..u64::MAX, u64::MAX..0, 5..700, 1 << 30..1 << 31] {
        let disk = Open::new().format(Format::Raw).open(Liar { more: 0, data: Some(data) }).expect("opens");
        let blocks = disk.blocks(Blocks::of(4096));
        assert_eq!(blocks.map(|block| block.expect("zeros").len()).sum::<u64>(), 1 << 20);
    }
}

/// More ahead than there is memory for is as much as there can be.
#[test]
fn read_ahead_has_a_bound() {
    let disk = Disk::empty(u64::MAX, 512);
    let mut blocks = disk.blocks(Blocks::of(1 << 30).read_ahead(usize::MAX).threads(1));
    assert!(!blocks.next().expect("a block").expect("zeros").is_empty());
}

//! An MBR becomes a GPT.

use diskport::Ids;
use diskport::partition::{
    Gpt, GptCopy, Layout, Partition, PartitionType, Role, Scheme, TypeMap, attribute, gpt_type, mbr_to_gpt,
};
use diskport::{Disk, Error, ErrorClass, Rule};

use crate::disks::{MIB, at, disk, mbr, primary, read, record, written};

fn convert(layout: &Layout) -> Result<Layout, Error> {
    mbr_to_gpt(layout, &TypeMap::new(), &mut Ids::seeded(1))
}

/// The rule that the layout breaks.
fn broken(layout: &Layout) -> Rule {
    match convert(layout) {
        Err(error @ Error::NotConvertible { rule, .. }) => {
            assert_eq!(error.class(), ErrorClass::Precondition);
            rule
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn partitions_keep_their_places_and_numbers() {
    for sector in [512, 4096] {
        let size = 64 * MIB;
        let layout = mbr(
            size,
            sector,
            vec![
                primary(1, 0x07, MIB, 10 * MIB),
                primary(2, 0x0c, 11 * MIB, 20 * MIB),
                primary(4, 0x27, 40 * MIB, 23 * MIB),
            ],
        );
        let gpt = convert(&layout).expect("converts");
        let Scheme::Gpt { id, hybrid: false } = gpt.scheme else { panic!("{:?}", gpt.scheme) };
        let mut ids: Vec<_> = gpt.partitions.iter().filter_map(|p| p.id).chain([id]).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 4, "all different");
        assert!(ids.iter().all(|id| id.get_version_num() == 4));
        for (old, new) in layout.partitions.iter().zip(&gpt.partitions) {
            assert_eq!((old.index, old.start, old.size), (new.index, new.start, new.size));
        }
        let recovery = attribute::REQUIRED | attribute::NO_DRIVE_LETTER;
        let kinds: Vec<_> = gpt.partitions.iter().map(|p| (p.kind, p.attributes)).collect();
        let basic = (PartitionType::Gpt(gpt_type::BASIC_DATA), 0);
        assert_eq!(kinds, [basic, basic, (PartitionType::Gpt(gpt_type::WINDOWS_RECOVERY), recovery)]);
        // What is written is what is read, from either copy.
        let disk = written(&gpt);
        assert_eq!(read(&disk), gpt);
        let header = at(u64::from(sector) + 60, vec![0xff]);
        let damaged = disk.patched(size, vec![header]).expect("patches");
        let recovered = read(&damaged);
        assert_eq!((&recovered.partitions, recovered.scheme), (&gpt.partitions, gpt.scheme));
        assert_eq!(recovered.warnings.len(), 1, "{:?}", recovered.warnings);
        // Writing it again restores the other copy.
        let restored = damaged.patched(size, recovered.patches(&damaged).expect("fits")).expect("patches");
        assert_eq!(Gpt::read(&restored).expect("reads").expect("a GPT").source(), GptCopy::Primary);
        assert_eq!(read(&restored), gpt);
    }
}

#[test]
fn the_same_seed_gives_the_same_table() {
    let layout = mbr(16 * MIB, 512, vec![primary(1, 7, MIB, MIB)]);
    assert_eq!(convert(&layout).expect("converts"), convert(&layout).expect("converts"));
    let other = mbr_to_gpt(&layout, &TypeMap::new(), &mut Ids::seeded(2)).expect("converts");
    assert_ne!(convert(&layout).expect("converts"), other);
}

#[test]
fn types_can_be_mapped() {
    let layout = mbr(16 * MIB, 512, vec![primary(1, 0x83, MIB, MIB), primary(2, 0xef, 2 * MIB, MIB)]);
    assert_eq!(broken(&layout), Rule::PartitionType);
    let map = TypeMap::from([(0x83, gpt_type::BASIC_DATA), (0xef, gpt_type::EFI_SYSTEM)]);
    let gpt = mbr_to_gpt(&layout, &map, &mut Ids::random()).expect("converts");
    assert_eq!(gpt.partitions[0].kind, PartitionType::Gpt(gpt_type::BASIC_DATA));
    assert_eq!(gpt.partitions[1].attributes, attribute::NO_DRIVE_LETTER);
}

#[test]
fn each_rule_has_its_refusal() {
    let one = |partition| mbr(16 * MIB, 512, vec![partition]);
    let two = |a, b| mbr(16 * MIB, 512, vec![a, b]);
    let role = |role| Partition { role, ..primary(1, 5, MIB, MIB) };
    let end = 16 * MIB;
    let cases = [
        (one(primary(1, 0x42, MIB, MIB)), Rule::DynamicDisk),
        (one(role(Role::Extended)), Rule::LogicalPartitions),
        (one(role(Role::Logical { record: 512 })), Rule::LogicalPartitions),
        (one(primary(1, 0x99, MIB, MIB)), Rule::PartitionType),
        (two(primary(1, 7, MIB, MIB), primary(2, 7, 2 * MIB - 512, MIB)), Rule::Overlap),
        (two(primary(1, 7, 2 * MIB, MIB), primary(2, 7, MIB, 4 * MIB)), Rule::Overlap),
        (one(primary(1, 7, MIB, 16 * MIB)), Rule::BeyondDisk),
        (one(primary(1, 7, u64::MAX, MIB)), Rule::BeyondDisk),
        (one(primary(1, 7, 33 * 512, MIB)), Rule::RoomInFront),
        (mbr(20 * 512, 512, vec![primary(1, 7, 512, 512)]), Rule::RoomInFront),
        (one(primary(1, 7, MIB, end - MIB - 32 * 512)), Rule::RoomBehind),
    ];
    for (layout, rule) in cases {
        assert_eq!(broken(&layout), rule, "{layout:?}");
        assert_eq!(rule.mbr2gpt(), Some(7));
    }
    let gpt = convert(&one(primary(1, 7, MIB, MIB))).expect("converts");
    assert_eq!(broken(&gpt), Rule::AlreadyGpt);
}

#[test]
fn room_is_needed_to_the_sector() {
    for (sector, front, behind) in [(512, 34, 33), (4096, 6, 5)] {
        let (unit, size) = (u64::from(sector), 16 * MIB);
        let fill = |front: u64, behind: u64| {
            mbr(size, sector, vec![primary(1, 7, front * unit, size - (front + behind) * unit)])
        };
        let gpt = convert(&fill(front, behind)).expect("converts");
        assert_eq!(read(&written(&gpt)), gpt);
        assert_eq!(broken(&fill(front - 1, behind)), Rule::RoomInFront);
        assert_eq!(broken(&fill(front, behind - 1)), Rule::RoomBehind);
    }
}

#[test]
fn only_the_tables_places_are_written() {
    let noise: Vec<u8> = (0..16 * MIB).map(|n| (n * 7 % 251) as u8).collect();
    let layout = mbr(16 * MIB, 512, vec![primary(1, 7, 34 * 512, 16 * MIB - 67 * 512)]);
    let before = disk(16 * MIB, 512, vec![at(0, noise.clone())]);
    let patches = convert(&layout).expect("converts").patches(&before).expect("fits");
    let after = before.patched(16 * MIB, patches).expect("patches");
    let mut bytes = vec![0; 16 << 20];
    after.read_at(&mut bytes, 0).expect("reads");
    let usable = 34 * 512..(16 << 20) - 33 * 512;
    assert!(bytes[usable.clone()] == noise[usable]);
    // Of the boot code that was there, nothing is left.
    assert!(bytes[..446].iter().all(|&byte| byte == 0));
}

#[test]
fn hybrid_and_unprotected_tables_are_told() {
    let layout = mbr(16 * MIB, 512, vec![primary(1, 7, MIB, MIB)]);
    let gpt = written(&convert(&layout).expect("converts"));
    let with = |entries: &[_]| {
        let patched = gpt.patched(gpt.size(), vec![at(0, record(9, entries))]).expect("patches");
        read(&patched)
    };
    let hybrid = with(&[(0, 0xee, 1, 2047), (0x80, 7, 2048, 2048)]);
    assert!(matches!(hybrid.scheme, Scheme::Gpt { hybrid: true, .. }));
    assert_eq!((hybrid.partitions.len(), hybrid.warnings.len()), (1, 1));
    let unprotected = with(&[]);
    assert!(matches!(unprotected.scheme, Scheme::Gpt { hybrid: false, .. }));
    assert_eq!(unprotected.warnings.len(), 1);
    // An MBR with partitions that does not protect the GPT counts instead of it.
    let stale = with(&[(0, 7, 2048, 2048)]);
    assert_eq!(stale.scheme, Scheme::Mbr { signature: 9 });
    assert_eq!(stale.warnings.len(), 1);
    convert(&stale).expect("converts");
}

#[test]
fn a_protective_mbr_alone_is_damage() {
    let disk = disk(16 * MIB, 512, vec![at(0, record(0, &[(0, 0xee, 1, 32767)]))]);
    let refused = Layout::read(&disk);
    assert!(matches!(&refused, Err(error) if error.class() == ErrorClass::Refused), "{refused:?}");
}

#[test]
fn a_large_disk_is_protected_as_far_as_32_bits_go() {
    let layout = mbr(4 << 40, 512, vec![primary(1, 7, MIB, MIB)]);
    let gpt = convert(&layout).expect("converts");
    let patches = gpt.patches(&Disk::empty(4 << 40, 512)).expect("fits");
    let sector = patches.iter().find(|patch| patch.offset == 0).expect("an MBR");
    assert_eq!(
        sector.bytes[446..462],
        [0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]
    );
    assert_eq!(read(&written(&gpt)), gpt);
}

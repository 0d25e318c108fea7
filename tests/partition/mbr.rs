//! MBRs with their logical partitions.

use diskport::partition::{Layout, Partition, PartitionType, Role, Scheme};
use diskport::{Disk, Error};

use crate::disks::{MIB, at, disk, mbr, primary, raw, read, record, written};

#[test]
fn primaries_are_read_in_either_sector_size() {
    for sector in [512, 4096] {
        let unit = u64::from(sector);
        let table = record(0x1a2b_3c4d, &[(0x80, 7, 256, 1000), (0, 0, 9, 9), (0, 0x27, 2000, 48)]);
        let layout = read(&disk(64 * MIB, sector, vec![at(0, table)]));
        assert_eq!(layout.scheme, Scheme::Mbr { signature: 0x1a2b_3c4d });
        let seen: Vec<_> =
            layout.partitions.iter().map(|p| (p.index, p.kind, p.start, p.size, p.active, p.role)).collect();
        let (ntfs, recovery) = (PartitionType::Mbr(7), PartitionType::Mbr(0x27));
        assert_eq!(
            seen,
            [
                (1, ntfs, 256 * unit, 1000 * unit, true, Role::Primary),
                (3, recovery, 2000 * unit, 48 * unit, false, Role::Primary)
            ]
        );
        assert!(layout.warnings.is_empty());
    }
}

/// Two primaries and an extended partition at sector 1000 with three logical ones.
fn extended(sector: u32, third: &[(u8, u8, u32, u32)]) -> Disk {
    let unit = u64::from(sector);
    disk(
        64 * MIB,
        sector,
        vec![
            at(0, record(1, &[(0, 7, 100, 50), (0, 7, 200, 50), (0, 0x0f, 1000, 6000)])),
            // Entries count from their own record, links from the first one.
            at(1000 * unit, record(0, &[(0, 0x83, 63, 100), (0, 5, 1000, 500)])),
            at(2000 * unit, record(0, &[(0, 0x0b, 63, 200), (0, 5, 2500, 500)])),
            at(3500 * unit, record(0, third)),
        ],
    )
}

#[test]
fn logical_partitions_are_followed() {
    for sector in [512, 4096] {
        let unit = u64::from(sector);
        let layout = read(&extended(sector, &[(0, 7, 63, 300)]));
        let logical: Vec<_> = layout.partitions[3..]
            .iter()
            .map(|p| {
                assert_eq!(p.start % unit, 0);
                (p.index, p.start / unit, p.size / unit, p.role)
            })
            .collect();
        let role = |record: u64| Role::Logical { record: record * unit };
        assert_eq!(
            logical,
            [(5, 1063, 100, role(1000)), (6, 2063, 200, role(2000)), (7, 3563, 300, role(3500))]
        );
        layout.validate().expect("valid");
        // Written to a blank disk it is the same.
        assert_eq!(read(&written(&layout)), layout);
    }
}

#[test]
fn a_chain_that_loops_is_refused() {
    // To itself, to the first, to the second.
    for link in [2500, 0, 1000] {
        let refused = Layout::read(&extended(512, &[(0, 7, 63, 300), (0, 5, link, 500)]));
        let Err(Error::Damaged { structure, offset, found, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(structure, "extended boot record");
        assert_eq!(offset, (1000 + u64::from(link)) * 512);
        assert!(found.contains("loop"), "{found}");
    }
}

#[test]
fn a_chain_without_end_is_cut() {
    // Each record is the same sector of the file, seen further on: only the limit ends it.
    let patches = (0..2000).map(|n| {
        let records = record(0, &[(0, 7, 1, 1), (0, 5, 2 * (n + 1), 2)]);
        at((100 + 2 * u64::from(n)) * 512, records)
    });
    let table = at(0, record(1, &[(0, 5, 100, 10_000)]));
    let refused = Layout::read(&disk(64 * MIB, 512, patches.chain([table]).collect()));
    assert!(matches!(refused, Err(Error::Damaged { .. })), "{refused:?}");
}

#[test]
fn a_chain_that_breaks_off_is_told() {
    // To a sector without a record, and beyond the disk.
    for link in [3000, u32::MAX] {
        let layout = read(&extended(512, &[(0, 7, 63, 300), (0, 5, link, 500)]));
        assert_eq!(layout.partitions.len(), 6);
        assert_eq!(layout.warnings.len(), 1, "{:?}", layout.warnings);
    }
}

#[test]
fn boot_code_stays_when_an_mbr_is_written() {
    let mut sector = record(7, &[(0x80, 7, 2048, 2048)]);
    sector[..440].fill(0x90);
    let before = disk(4 * MIB, 512, vec![at(0, sector.clone())]);
    let mut layout = read(&before);
    layout.partitions.push(primary(2, 0x0c, 3 * MIB, MIB));
    let after = before.patched(4 * MIB, layout.patches(&before).expect("fits")).expect("patches");
    let mut bytes = [0; 512];
    after.read_at(&mut bytes, 0).expect("reads");
    assert_eq!(bytes[..440], sector[..440]);
    assert_eq!(read(&after).partitions, layout.partitions);
}

#[test]
fn what_an_mbr_cannot_hold_is_refused() {
    let blank = Disk::empty(4 << 40, 512);
    let layout = |partition| mbr(4 << 40, 512, vec![partition]);
    let unfit = [
        primary(5, 7, MIB, MIB),
        primary(0, 7, MIB, MIB),
        primary(1, 7, MIB, 3 << 40),
        primary(1, 7, MIB, 100),
    ];
    let unfit = unfit
        .into_iter()
        .chain([Partition { role: Role::Logical { record: 2 * MIB }, ..primary(5, 7, 3 * MIB, MIB) }]);
    for partition in unfit {
        let refused = layout(partition.clone()).patches(&blank);
        assert!(matches!(refused, Err(Error::Layout { .. })), "{partition:?}: {refused:?}");
    }
}

#[test]
fn volumes_and_blank_disks_have_no_table() {
    assert_eq!(Layout::read(&Disk::empty(MIB, 512)).expect("reads"), None);
    assert_eq!(Layout::read(&raw(vec![0; 100])).expect("reads"), None);
    let mut ntfs = record(0, &[]);
    ntfs[3..11].copy_from_slice(b"NTFS    ");
    assert_eq!(Layout::read(&disk(MIB, 512, vec![at(0, ntfs)])).expect("reads"), None);
    let mut code = record(0, &[]);
    code[446..510].fill(0x41);
    assert_eq!(Layout::read(&disk(MIB, 512, vec![at(0, code)])).expect("reads"), None);
}

//! What a table leaves to partitions.

use diskport::Ids;
use diskport::partition::{Layout, Partition, Scheme, gpt_type};

use crate::disks::MIB;

fn layout(disk_size: u64, sector_size: u32, ranges: &[std::ops::Range<u64>]) -> Layout {
    let mut ids = Ids::seeded(1);
    let partitions = ranges
        .iter()
        .zip(1..)
        .map(|(range, index)| Partition::new(index, gpt_type::BASIC_DATA, range.clone(), ids.guid()));
    let partitions = partitions.collect();
    let scheme = Scheme::Mbr { signature: 1 };
    Layout { scheme, disk_size, sector_size, partitions, warnings: Vec::new() }
}

#[test]
fn gaps_lie_between_partitions_and_the_tables() {
    // A protective MBR, a header and 32 sectors of entries in front; entries and a header behind.
    let (front, back) = (34 * 512, 33 * 512);
    let gaps = |ranges: &[_]| layout(10 * MIB, 512, ranges).gaps().expect("room");
    let all = front..10 * MIB - back;
    assert_eq!(gaps(&[]), std::slice::from_ref(&all));
    // Not in order, one behind the other, and to the very end.
    assert_eq!(gaps(&[5 * MIB..10 * MIB, MIB..2 * MIB, 2 * MIB..3 * MIB]), [front..MIB, 3 * MIB..5 * MIB]);
    // Over each other, as a table that is not valid may have them.
    let rest = 4 * MIB..10 * MIB - back;
    assert_eq!(gaps(&[0..4 * MIB, MIB..2 * MIB]), std::slice::from_ref(&rest));
    let large = layout(10 * MIB, 4096, &[]);
    assert_eq!(large.usable().expect("room"), 6 * 4096..10 * MIB - 5 * 4096);
}

#[test]
fn a_disk_without_room_for_a_table_is_refused() {
    assert!(layout(60 * 512, 512, &[]).gaps().is_err());
}

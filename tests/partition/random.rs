//! Random tables: what is written is read, what is converted keeps its bytes, and nothing panics.

use diskport::Error;
use diskport::Ids;
use diskport::partition::{Layout, Partition, PartitionType, Role, TypeMap, grow_gpt, mbr_to_gpt};
use proptest::prelude::*;

use crate::disks::{MIB, at, disk, mbr, primary, read, record, written};

const SIZE: u64 = 64 * MIB;

/// Up to four primaries that do not overlap; sometimes with logical ones in the last.
fn layouts() -> impl Strategy<Value = Layout> {
    let cuts = proptest::collection::btree_set(1..SIZE / 4096 - 10, 2..16);
    (prop_oneof![Just(512), Just(4096)], cuts, any::<[u8; 4]>(), any::<bool>(), 0..4_usize).prop_map(
        |(sector, cuts, kinds, extended, active)| {
            let cuts: Vec<_> = cuts.into_iter().map(|cut| cut * 4096).collect();
            let pairs: Vec<_> = cuts.chunks_exact(2).map(|pair| (pair[0], pair[1] - pair[0])).collect();
            let slots = pairs.iter().zip(1..=if extended { 3 } else { 4 });
            let mut partitions: Vec<_> = slots
                .map(|(&(start, size), index)| {
                    // Neither empty, extended, nor protective.
                    let kind = kinds[index as usize - 1].clamp(6, 0xe);
                    Partition { active: index as usize == active, ..primary(index, kind, start, size) }
                })
                .collect();
            let rest = pairs.get(3..).unwrap_or_default();
            if let (true, Some(&(first, _)), Some(&(last, size))) = (extended, rest.first(), rest.last()) {
                let whole = primary(4, 0x0f, first, last + size - first);
                partitions.push(Partition { role: Role::Extended, ..whole });
                for (&(start, size), index) in rest.iter().zip(5..) {
                    if size > 4096 {
                        let role = Role::Logical { record: start };
                        let logical = primary(index, 7, start + 4096, size - 4096);
                        partitions.push(Partition { role, ..logical });
                    }
                }
                for (partition, index) in partitions.iter_mut().skip(4).zip(5..) {
                    partition.index = index;
                }
            }
            mbr(SIZE, sector, partitions)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn an_mbr_that_is_written_is_read(layout in layouts()) {
        layout.validate().expect("valid");
        let mut back = read(&written(&layout));
        for partition in &mut back.partitions {
            // 0x0f is the type that was asked for; the sectors between say the rest.
            prop_assert!(partition.kind != PartitionType::Mbr(0));
        }
        back.warnings.clear();
        prop_assert_eq!(back, layout);
    }

    #[test]
    fn a_converted_table_keeps_every_partition(layout in layouts(), seed in any::<u64>()) {
        let disk = written(&layout);
        match mbr_to_gpt(&layout, &(0..=255).map(|byte| (byte, diskport::partition::gpt_type::BASIC_DATA)).collect::<TypeMap>(), &mut Ids::seeded(seed)) {
            Ok(gpt) => {
                let after = disk.patched(SIZE, gpt.patches(&disk).expect("fits")).expect("patches");
                let back = read(&after);
                prop_assert_eq!(&back, &gpt);
                let places = |layout: &Layout| layout.partitions.iter().map(|p| (p.index, p.range())).collect::<Vec<_>>();
                prop_assert_eq!(places(&back), places(&layout));
                // No byte of a partition changed.
                for partition in &layout.partitions {
                    let (mut old, mut new) = (vec![0; 4096], vec![1; 4096]);
                    for offset in [partition.start, partition.end() - 4096] {
                        disk.read_at(&mut old, offset).expect("reads");
                        after.read_at(&mut new, offset).expect("reads");
                        prop_assert_eq!(&old, &new);
                    }
                }
                // And it grows.
                let grown = grow_gpt(&after, SIZE + 3 * MIB).expect("grows").expect("a GPT");
                let grown = read(&after.patched(SIZE + 3 * MIB, grown).expect("patches"));
                prop_assert_eq!(grown.partitions, back.partitions);
                prop_assert!(grown.warnings.is_empty());
            }
            Err(Error::NotConvertible { .. }) => {}
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn random_records_never_panic(
        sector in prop_oneof![Just(512), Just(4096)],
        records in proptest::collection::vec((0..200_u32, proptest::collection::vec(any::<(bool, u8, u8, u8)>(), 0..4)), 1..20),
    ) {
        let mut patches = std::collections::BTreeMap::new();
        for (place, entries) in &records {
            let entries: Vec<_> = entries
                .iter()
                .map(|&(extended, kind, first, sectors)| (0, if extended { 5 } else { kind }, first.into(), sectors.into()))
                .collect();
            patches.insert(*place, record(1, &entries));
        }
        patches.entry(0).or_insert(record(1, &[(0, 5, 1, 100)]));
        let patches = patches.into_iter().map(|(place, bytes)| at(u64::from(place) * u64::from(sector), bytes));
        let disk = disk(SIZE, sector, patches.collect());
        if let Ok(Some(layout)) = Layout::read(&disk) {
            let _ = layout.patches(&disk);
            let _ = mbr_to_gpt(&layout, &TypeMap::new(), &mut Ids::seeded(0));
            for partition in &layout.partitions {
                let _ = partition.file_system(&disk);
            }
        }
    }
}

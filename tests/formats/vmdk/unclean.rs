//! Disks that were not closed, whose grain tables differ as a cut leaves them: they are read by the rule that a repair goes by.

use diskport::check::Repairs;
use diskport::storage::MemoryStorage;
use diskport::{Open, Problem};

use super::builder::{Built, SECTOR, field, put32};
use super::{content, data, monolithic, refused};
use crate::support::{Shared, assert_reads_as};

/// What a cut does to the tables.
type Damage<'a> = dyn Fn(&mut Vec<u8>) + 'a;

fn unclean(built: &Built, damage: &Damage<'_>) -> Vec<u8> {
    let mut bytes = built.bytes.clone();
    damage(&mut bytes);
    bytes[field::UNCLEAN] = 1;
    bytes
}

fn entries(built: &Built) -> (usize, usize) {
    (built.tables[0] as usize * SECTOR, built.redundant_tables[0] as usize * SECTOR)
}

#[test]
fn one_entry_may_be_ahead_of_the_other() {
    let built = monolithic().build();
    let (primary, redundant) = entries(&built);
    let end = (built.bytes.len() / SECTOR) as u32;
    let damages: [&Damage<'_>; 7] = [
        &|_| {},
        &|bytes| put32(bytes, primary + 4, 0),
        &|bytes| put32(bytes, redundant + 8, 0),
        // A table that one copy lacks, or has where nothing is.
        &|bytes| put32(bytes, built.gd as usize * SECTOR, 0),
        &|bytes| put32(bytes, built.rgd as usize * SECTOR, 0),
        &|bytes| put32(bytes, built.gd as usize * SECTOR, 1 << 30),
        // A grain that was being moved.
        &|bytes| {
            let from = built.grains[1] as usize * SECTOR;
            bytes.extend_from_within(from..from + 65_536);
            put32(bytes, redundant + 4, end);
        },
    ];
    for (number, damage) in damages.iter().enumerate() {
        let bytes = unclean(&built, damage);
        assert_reads_as(&Open::new().open(MemoryStorage::new(bytes.clone())).expect("opens"), &content());
        let file = Shared::new(bytes.clone());
        let checked = Open::new().repair(file.clone(), Repairs::Lossless).expect("repairs");
        assert!(checked.is_clean(), "{number}: {:#?}", checked.findings);
        assert_reads_as(&Open::new().open(file).expect("opens"), &content());
        if number > 0 {
            // The same of a disk that was closed is no cut's doing.
            let mut bytes = bytes;
            bytes[field::UNCLEAN] = 0;
            let problem = refused(&Open::new(), bytes).problem;
            assert!(matches!(problem, Problem::Ambiguous | Problem::OutOfFile), "{number}: {problem:?}");
        }
    }
}

#[test]
fn entries_of_tables_apart_are_told_apart() {
    // Two grains a table: the tables of a page lie apart, and each differs in its own way.
    let mut disk = monolithic();
    (disk.gtes, disk.grains[7]) = (2, data(7));
    let built = disk.build();
    let table = |tables: &[u64], number: usize| tables[number] as usize * SECTOR;
    let bytes = unclean(&built, &|bytes| {
        put32(bytes, table(&built.tables, 0) + 4, 0);
        put32(bytes, table(&built.redundant_tables, 1), 0);
        put32(bytes, built.gd as usize * SECTOR + 3 * 4, u32::MAX);
    });
    let mut model = content();
    model[7 * 65_536..].copy_from_slice(&super::pattern(7, 128));
    assert_reads_as(&Open::new().open(MemoryStorage::new(bytes)).expect("opens"), &model);
}

#[test]
fn grains_that_differ_are_nobodys_choice() {
    let built = monolithic().build();
    let (primary, redundant) = entries(&built);
    let second = built.grains[2] as u32;
    let end = (built.bytes.len() / SECTOR) as u32;
    let damages: [&Damage<'_>; 2] =
        [&|bytes| put32(bytes, redundant + 4, second), &|bytes| put32(bytes, primary + 5 * 4, end + 8)];
    for damage in damages {
        let bytes = unclean(&built, damage);
        let defect = refused(&Open::new(), bytes.clone());
        assert_eq!(defect.problem, Problem::Ambiguous);
        assert!(defect.hint == Some(diskport::Hint::ChooseGrainTable));
        // What the grain is not is read.
        let mut found = vec![0; 65_536];
        Open::new()
            .open(MemoryStorage::new(bytes))
            .expect("opens")
            .read_at(&mut found, 2 * 65_536)
            .expect("reads");
        assert!(found == content()[2 * 65_536..3 * 65_536]);
    }
}

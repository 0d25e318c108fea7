//! The log, replayed in memory.

use std::sync::Arc;

use diskport::Open;
use diskport::storage::{FileStorage, MemoryStorage, ReadAt, WriteAt};
use proptest::collection::vec;
use proptest::prelude::*;

use super::builder::{
    BAT, Block, Change, Entry, Image, LOG, LOG_GUID, METADATA, MIB, SECTION, get_u64, put, put_log, set_dirty,
};
use super::model::noise;
use crate::support::assert_reads_as;

/// A dynamic disk and how it reads.
pub fn image() -> (Vec<u8>, Vec<u8>) {
    let mut image = Image::empty(4 * MIB + 4096, 2 * MIB, 512);
    image.blocks[0] = Block::Full(noise(2 << 20, 1));
    image.blocks[2] = Block::Full(noise(4096, 2));
    let mut model = noise(2 << 20, 1);
    model.resize(4 << 20, 0);
    model.extend(noise(4096, 2));
    (image.build(), model)
}

pub fn entry(sequence: u64, tail: u32, len: usize, changes: Vec<Change>) -> Entry {
    Entry { sequence, tail, guid: LOG_GUID, flushed: MIB, last: len as u64, changes }
}

/// A change that gives the sector at `at` its content in `file`.
pub fn restore(file: &[u8], at: usize) -> Change {
    Change::Data(at as u64, file[at..at + 4096].to_vec())
}

#[test]
fn a_lost_bat_is_found_in_the_log() {
    let (whole, model) = image();
    let mut file = whole.clone();
    file[BAT..BAT + 4096].fill(0);
    put_log(&mut file, 0, &entry(7, 0, whole.len(), vec![restore(&whole, BAT)]).bytes());

    // The log counts only when the header says so.
    assert_reads_as(&super::open(file.clone()).expect("opens"), &vec![0; model.len()]);
    set_dirty(&mut file);
    let storage = Arc::new(MemoryStorage::new(file.clone()));
    let disk = Open::new().open(storage.clone()).expect("opens");
    assert!(disk.chain()[0].info().dirty_log);
    assert!(disk.warnings().any(|warning| warning.structure == "log"));
    assert_reads_as(&disk, &model);
    assert!(storage.to_vec() == file, "reading changes nothing");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Sectors anywhere behind the headers are spoilt, and put right by a sequence of entries that may first spoil them
    /// further, and that may wrap around the log's end.
    #[test]
    fn replay_puts_all_right(
        spoilt in vec(any::<proptest::sample::Index>(), 1..200),
        entries in 1..6_usize,
        begin in 0..256_usize,
        sequence in prop_oneof![Just(1), Just(u64::MAX - 5), any::<u32>().prop_map(|n| u64::from(n) + 1)],
        stale in any::<bool>(),
        junk in any::<bool>(),
        cut in any::<bool>(),
    ) {
        let (whole, model) = image();
        let mut file = whole.clone();
        let sectors: Vec<usize> = (48..LOG / 4096).chain((LOG + SECTION) / 4096..whole.len() / 4096).collect();
        let mut spoilt: Vec<usize> = spoilt.iter().map(|index| *index.get(&sectors) * 4096).collect();
        spoilt.extend([BAT, METADATA]);
        spoilt.sort_unstable();
        spoilt.dedup();
        spoilt.iter().for_each(|&at| file[at..at + 4096].fill(0xbd));
        // A log full of the past: data sectors, and entries of another session.
        if junk {
            file[LOG..LOG + SECTION].copy_from_slice(&noise(SECTION, 5));
        }
        let mut at = begin * 4096;
        if stale {
            let old = Entry { guid: [9; 16], ..entry(sequence - 1, at as u32, 0, vec![Change::Zero(BAT as u64, 4096)]) };
            at = put_log(&mut file, at, &old.bytes());
        }
        let first = at as u32;
        for number in 0..entries {
            let part = spoilt.iter().enumerate().filter(|(index, _)| index % entries == number).map(|(_, &at)| at);
            let mut changes: Vec<Change> = Vec::new();
            for target in part {
                let zeros = whole[target..target + 4096].iter().all(|&byte| byte == 0);
                // An earlier change to the same place must lose.
                if target % 3 == 0 {
                    changes.push(Change::Zero(target as u64, 4096));
                }
                changes.push(match zeros {
                    true => Change::Zero(target as u64, 4096),
                    false => restore(&whole, target),
                });
            }
            // Later entries put right what earlier ones spoil again.
            if number + 1 < entries {
                let later = spoilt.iter().enumerate().filter(|(index, _)| index % entries == number + 1);
                for (_, &target) in later.take(2) {
                    changes.push(Change::Data(target as u64, vec![0xad; 4096]));
                }
            }
            let bytes = entry(sequence + number as u64, first, whole.len(), changes).bytes();
            at = put_log(&mut file, at, &bytes);
        }
        set_dirty(&mut file);
        if cut {
            // Only what the log restores lies in the last block's rest: the file grows by the replay.
            let end = file.len() - SECTION;
            if spoilt.iter().all(|&at| at < end) {
                file.truncate(end);
            }
        }
        let disk = super::open(file).expect("opens");
        assert_reads_as(&disk, &model);
    }
}

#[test]
fn the_newest_whole_sequence_counts() {
    let (whole, model) = image();
    let mut file = whole.clone();
    file[BAT..BAT + 4096].fill(0);
    let good = vec![restore(&whole, BAT)];
    let bad = || vec![Change::Zero(BAT as u64, 4096)];
    // An old sequence, the active one, and a newer entry whose tail is gone.
    let at = put_log(&mut file, 0, &entry(1, 0, whole.len(), bad()).bytes());
    let at = put_log(&mut file, at + 4096, &entry(10, at as u32 + 4096, whole.len(), good).bytes());
    let at = put_log(&mut file, at + 4096, &entry(20, 0xf_0000, whole.len(), bad()).bytes());
    // A torn entry behind it.
    let mut torn = entry(21, at as u32, whole.len(), bad()).bytes();
    torn[4000] ^= 1;
    put_log(&mut file, at, &torn);
    set_dirty(&mut file);
    let disk = super::open(file).expect("opens");
    assert!(disk.warnings().any(|warning| warning.message.contains("newer")));
    assert_reads_as(&disk, &model);
}

#[test]
fn entries_before_the_tail_are_not_replayed() {
    let (whole, model) = image();
    let mut file = whole.clone();
    let second = vec![restore(&whole, BAT + 4096)];
    let at = put_log(&mut file, 0, &entry(1, 0, whole.len(), vec![Change::Zero(BAT as u64, 4096)]).bytes());
    put_log(&mut file, at, &entry(2, at as u32, whole.len(), second).bytes());
    set_dirty(&mut file);
    assert_reads_as(&super::open(file).expect("opens"), &model);
}

#[test]
fn an_entry_without_descriptors_is_one() {
    let (whole, model) = image();
    let mut file = whole.clone();
    let at = put_log(&mut file, 0, &entry(1, 0, whole.len(), Vec::new()).bytes());
    put_log(&mut file, at, &entry(2, 0, whole.len(), vec![restore(&whole, BAT)]).bytes());
    file[BAT..BAT + 4096].fill(0);
    set_dirty(&mut file);
    assert_reads_as(&super::open(file).expect("opens"), &model);
}

#[test]
fn more_descriptors_than_one_sector_holds() {
    let (whole, model) = image();
    for count in [126, 127, 254, 255] {
        let mut file = whole.clone();
        let zeros = (METADATA + 128 * 1024) as u64;
        let mut changes: Vec<_> = (1..count).map(|i| Change::Zero(zeros + i * 4096 % 65536, 4096)).collect();
        changes.push(restore(&whole, BAT));
        file[BAT..BAT + 4096].fill(0);
        put_log(&mut file, 0xf_f000, &entry(1, 0xf_f000, whole.len(), changes).bytes());
        set_dirty(&mut file);
        assert_reads_as(&super::open(file).expect("opens"), &model);
    }
}

#[test]
fn the_file_grows_to_what_was_logged() {
    // The block was allocated at the end of the file, and the file was not yet extended.
    let mut image = Image::empty(2 * MIB, MIB, 512);
    image.blocks[1] = Block::Full(vec![0; 1 << 20]);
    let whole = image.build();
    let mut file = whole[..BAT + SECTION].to_vec();
    put_log(&mut file, 0, &entry(1, 0, whole.len(), vec![restore(&whole, BAT)]).bytes());
    set_dirty(&mut file);
    let disk = super::open(file.clone()).expect("opens");
    assert_reads_as(&disk, &[0; 2 << 20]);
    assert!(disk.extents(..).any(|extent| extent.expect("maps").is_data()), "the block is in the file");
    assert_eq!(disk.chain()[0].files()[0].size(), whole.len() as u64);

    // The same where only what was written beyond the end makes it grow, and not LastFileOffset.
    let place = whole.len() as u64 - 4096;
    let changes = vec![restore(&whole, BAT), Change::Data(place, noise(4096, 1))];
    put_log(&mut file, 0, &entry(1, 0, 0, changes).bytes());
    let mut model = vec![0; (2 << 20) - 4096];
    model.extend(noise(4096, 1));
    assert_reads_as(&super::open(file).expect("opens"), &model);
}

#[test]
fn zeros_are_replaced_in_part() {
    let mut image = Image::empty(MIB, MIB, 512);
    let mut model = noise(1 << 20, 1);
    model[4096..6 * 4096].fill(0);
    put(&mut model, 3 * 4096, &noise(4096, 2));
    image.blocks[0] = Block::Full(model.clone());
    let mut file = image.build();
    let place = BAT + SECTION;
    let changes = vec![
        Change::Zero(place as u64 + 4096, 5 * 4096),
        restore(&file, place + 3 * 4096),
        // Over the end of the first zeros, and into what is data again.
        Change::Zero(place as u64 + 5 * 4096, 3 * 4096),
        restore(&file, place + 6 * 4096),
        restore(&file, place + 7 * 4096),
    ];
    let len = file.len();
    file[place + 4096..place + 6 * 4096].fill(0xbd);
    put_log(&mut file, 0, &entry(1, 0, len, changes).bytes());
    set_dirty(&mut file);
    assert_reads_as(&super::open(file).expect("opens"), &model);
}

#[test]
fn holes_stay_holes_but_for_what_is_logged() {
    let mut image = Image::empty(8 * MIB, MIB, 512);
    for block in [1, 2, 5] {
        image.blocks[block] = Block::Full(vec![0; 1 << 20]);
    }
    let mut whole = image.build();
    let place = (get_u64(&whole, image.entry_at(2)) & !0xf_ffff) as usize;
    let end = whole.len();
    put_log(
        &mut whole,
        0,
        &entry(
            1,
            0,
            end,
            vec![Change::Data(place as u64 + 8192, noise(4096, 3)), Change::Zero(place as u64 + 65536, 4096)],
        )
        .bytes(),
    );
    set_dirty(&mut whole);
    let mut model = vec![0; 8 << 20];
    put(&mut model, (2 << 20) + 8192, &noise(4096, 3));

    // The file with holes wherever a MiB of it is zero.
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.vhdx");
    let sparse = FileStorage::create_new(&path).expect("created");
    sparse.set_size(whole.len() as u64).expect("sized");
    for (index, part) in whole.chunks(SECTION).enumerate().filter(|(_, part)| part.iter().any(|&b| b != 0)) {
        sparse.write_all_at(part, (index * SECTION) as u64).expect("written");
    }
    let disk = diskport::open(&path).expect("opens");
    assert_reads_as(&disk, &model);
    let storage = disk.chain()[0].files()[0].storage();
    assert!(sparse.next_data(place as u64).expect("tells").is_none(), "the payload is one hole");
    let data = storage.next_data(place as u64).expect("tells");
    assert_eq!(data, Some(place as u64 + 8192..place as u64 + 12288));
    assert_eq!(
        storage.next_data(place as u64 + 9000).expect("tells"),
        Some(place as u64 + 9000..place as u64 + 12288)
    );
    assert_eq!(storage.next_data(place as u64 + 12288).expect("tells"), None);
    let before = storage.next_data(0).expect("tells").expect("the headers");
    assert_eq!((before.start, Some(before)), (0, sparse.next_data(0).expect("tells")));
    assert_eq!(storage.identity(), sparse.identity());
    let data: u64 = disk
        .extents(..)
        .skip_holes()
        .map(|extent| extent.expect("maps"))
        .filter(|extent| extent.is_data())
        .map(|extent| extent.len)
        .sum();
    assert_eq!(data, 4096);
}

#[test]
fn every_byte_of_a_replayed_sector_can_be_read_by_itself() {
    let (whole, model) = image();
    let mut file = whole.clone();
    let place = BAT + SECTION;
    file[place..place + 8192].fill(0xbd);
    let changes = vec![restore(&whole, place), restore(&whole, place + 4096)];
    put_log(&mut file, 0, &entry(1, 0, whole.len(), changes).bytes());
    set_dirty(&mut file);
    let disk = super::open(file).expect("opens");
    for start in [0, 1, 5, 7, 8, 9, 4090, 4091, 4092, 4093, 4095, 4096, 4100, 8190] {
        for len in [1, 2, 4, 9, 13, 4096, 9000] {
            let mut read = vec![0; len];
            disk.read_at(&mut read, start as u64).expect("reads");
            assert!(read == model[start..start + len], "{len} bytes at {start}");
        }
    }
}

//! Hives that were not closed.

use diskport::windows::registry::{Hive, HiveState, kind};
use diskport::{Error, Rule};

use super::hive_logs::{Dirty, checksum, hive, old_log, one_log, opened, state, two_logs};
use super::{change, edited, open};

fn replayed(dirty: &Dirty) {
    let mut replayed = dirty.open().unwrap();
    assert_eq!(replayed.state(), &HiveState::Replayed);
    assert_eq!(state(&replayed), "after.");
    assert!(replayed.tree().unwrap() == open(&hive("after.")).unwrap().tree().unwrap());
    // What the logs hold goes into the file together with a change, and closes it.
    let sequence = |file: &[u8]| u32::from_le_bytes(file[4..8].try_into().unwrap());
    let last = sequence(&replayed.to_bytes().unwrap());
    let seven = 7u32.to_le_bytes();
    change(&mut replayed, |editor| editor.set_value("Key050", "Number", kind::DWORD, &seven)).unwrap();
    let file = edited(dirty.hive.clone(), &replayed);
    // An entry of the logs, which stay, is older than the hive now.
    assert_eq!((sequence(&file), file[8]), (last + 1, file[4]));
    let closed = open(&file).unwrap();
    assert_eq!((closed.state(), state(&closed)), (&HiveState::Clean, "after.".to_owned()));
    assert!(closed.tree().unwrap() == replayed.tree().unwrap());
    let number = closed.key("Key050").unwrap().unwrap().value("Number").unwrap().unwrap();
    assert_eq!(number.integer().unwrap(), Some(7));
}

#[test]
fn entries_of_one_log() {
    replayed(&one_log());
}

#[test]
fn entries_of_two_logs() {
    replayed(&two_logs());
}

#[test]
fn pages_of_an_old_log() {
    replayed(&old_log());
}

/// A torn base block is that of the log, and entries are its own.
#[test]
fn base_block_from_the_log() {
    for mut dirty in [one_log(), old_log()] {
        dirty.hive[100] ^= 1;
        replayed(&dirty);
        dirty.hive[..512].fill(0);
        replayed(&dirty);
        assert!(matches!(open(&dirty.hive), Err(Error::Damaged { offset: 0, .. })));
    }
}

/// Read as it is, and never changed.
fn stays_dirty(dirty: &Dirty, expected: &str, expected_reason: &str) {
    let mut hive = dirty.open().unwrap();
    let HiveState::Dirty { reason } = hive.state() else { panic!("{:?}", hive.state()) };
    assert!(reason.contains(expected_reason), "{reason}");
    assert_eq!(state(&hive), expected);
    let refused = hive.edit().unwrap_err();
    assert!(matches!(refused, Error::NotConvertible { rule: Rule::DirtyHive, .. }), "{refused}");
    assert_eq!(hive.edits().unwrap(), []);
}

#[test]
fn nothing_to_replay() {
    let Dirty { hive, logs } = one_log();
    stays_dirty(&Dirty { hive: hive.clone(), logs: vec![] }, "before", "no log");
    stays_dirty(&Dirty { hive: hive.clone(), logs: vec![vec![0; 512], vec![]] }, "before", "base block");
    let later = opened(hive, 21, 20);
    stays_dirty(&Dirty { hive: later, logs }, "before", "20");
}

#[test]
fn old_logs_that_do_not_fit() {
    let dirty = old_log();
    let mut cut = dirty.clone();
    let len = cut.logs[0].len() - 1;
    cut.logs[0].truncate(len);
    stays_dirty(&cut, "before", "cut");
    let mut stale = dirty;
    // The time at which the hive was last written.
    stale.hive[12] = 1;
    checksum(&mut stale.hive);
    stays_dirty(&stale, "before", "older");
}

/// A log entry counts up to the first byte that is wrong; those before it are whole changes.
#[test]
fn broken_entries() {
    let dirty = one_log();
    let size = |log: &[u8]| u32::from_le_bytes(log[516..520].try_into().unwrap()) as usize;
    let second = 512 + size(&dirty.logs[0]);
    let end = second + size(&dirty.logs[0]);
    for at in (second..end).step_by(297).chain(second..second + 64) {
        let mut broken = dirty.clone();
        broken.logs[0][at] ^= 0x10;
        let hive = broken.open().unwrap();
        assert_eq!((hive.state(), state(&hive)), (&HiveState::Replayed, "middle".to_owned()), "at {at}");
    }
    for at in (512..second).step_by(297) {
        let mut broken = dirty.clone();
        broken.logs[0][at] ^= 0x10;
        stays_dirty(&broken, "before", "no log entry");
    }
    let mut cut = dirty;
    cut.logs[0].truncate(end - 1);
    assert_eq!(state(&cut.open().unwrap()), "middle");
}

/// A closed hive ignores its logs.
#[test]
fn logs_of_a_closed_hive() {
    let closed = Dirty { hive: opened(hive("closed"), 7, 7), ..one_log() };
    let hive: Hive = closed.open().unwrap();
    assert_eq!((hive.state(), state(&hive)), (&HiveState::Clean, "closed".to_owned()));
}

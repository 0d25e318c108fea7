//! The enumerator held against writers that are wrong on purpose: each must be caught, and the right one must pass.
//!
//! The toy's file is a header of one page and blocks of a page. The header maps the disk's blocks to the file's; it lies
//! in its first sector twice, so that a change of one sector is a change of all.

use diskport::storage::{ReadAt, WriteAt};
use libtest_mimic::Failed;

use crate::bytes::Bytes;
use crate::expected::{Expected, pattern};
use crate::recorder::{Change, Recorded, Recorder};
use crate::states::{Cuts, Fill, Random};

const BLOCK: u64 = 4096;
/// Blocks of the toy's disk.
const BLOCKS: u64 = 4;

/// What a writer does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    None,
    /// The header is written without waiting for the data.
    MissingSync,
    /// The header's two copies lie in two sectors, and both must agree.
    TornHeader,
    /// What a write leaves of a new block is taken to be zeros, since the file was made longer.
    GarbageInNewSpace,
    /// A block that was given up is used again at once.
    EarlyReuse,
    /// A flush waits for nothing.
    IdleFlush,
}

impl Flaw {
    pub const ALL: [Self; 6] = [
        Self::None,
        Self::MissingSync,
        Self::TornHeader,
        Self::GarbageInNewSpace,
        Self::EarlyReuse,
        Self::IdleFlush,
    ];

    /// Where the second copy of the header lies.
    fn copy_at(self) -> usize {
        if self == Self::TornHeader { 512 } else { 256 }
    }

    /// What must be said of a state that it leads to.
    fn symptom(self) -> &'static str {
        match self {
            Self::None => unreachable!("there is nothing wrong with it"),
            Self::MissingSync | Self::GarbageInNewSpace => "garbage",
            Self::TornHeader => "header",
            Self::EarlyReuse => "writer 4",
            Self::IdleFlush => "expected one of",
        }
    }
}

/// The correct toy passes; a flawed one is caught, with the symptom of its flaw.
pub fn check(flaw: Flaw) -> Result<(), Failed> {
    let failures = survey(flaw);
    let caught = failures.iter().find(|failure| flaw == Flaw::None || failure.contains(flaw.symptom()));
    match (flaw, caught) {
        (Flaw::None, Some(failure)) => Err(failure.into()),
        (Flaw::None, None) => Ok(()),
        (_, Some(_)) => Ok(()),
        (_, None) => {
            Err(format!("not caught; {} other failures: {:?}", failures.len(), failures.first()).into())
        }
    }
}

/// All that is wrong in any state in which a cut leaves the toy.
fn survey(flaw: Flaw) -> Vec<String> {
    let recorder = Recorder::default();
    let file = recorder.add(Bytes::zeros(BLOCK));
    let mut toy = Toy { file, table: [0; BLOCKS as usize], free: Vec::new(), freed: Vec::new(), flaw };
    let mut expected = Expected::flushed(Bytes::zeros(BLOCK * BLOCKS));
    let mut marks = vec![(0, expected.clone())];
    let step = |toy: &mut Toy, expected: &Expected, marks: &mut Vec<_>, act: &dyn Fn(&mut Toy)| {
        marks.push((recorder.len(), expected.clone()));
        act(toy);
    };
    for (writer, block) in [(1, 0), (2, 1), (3, 2)] {
        let data = pattern(writer, block * BLOCK, 1024);
        expected.change(|disk| disk.write(&data, block * BLOCK));
        step(&mut toy, &expected, &mut marks, &|toy| toy.write(block, &data));
    }
    toy.flush();
    expected.flush();
    expected.change(|disk| disk.zero(0..BLOCK));
    step(&mut toy, &expected, &mut marks, &|toy| toy.free(0));
    let data = pattern(4, 3 * BLOCK, 1024);
    expected.change(|disk| disk.write(&data, 3 * BLOCK));
    step(&mut toy, &expected, &mut marks, &|toy| toy.write(3, &data));
    toy.flush();
    expected.flush();
    step(&mut toy, &expected, &mut marks, &|_| {});

    let (files, log) = recorder.history();
    let mut cuts = Cuts::new(files, &[Fill::Zeros, Fill::Garbage, Fill::Stale]);
    let mut failures = Vec::new();
    for at in 0..=log.len() {
        let (_, expected) = &marks[marks.partition_point(|(from, _)| *from <= at) - 1];
        for choice in cuts.choices(&mut Random(at as u64)) {
            let [state] = &cuts.state(&choice)[..] else { panic!("the toy has one file") };
            let result = read(state, flaw).and_then(|content| expected.check_at(&content, 0));
            failures.extend(result.err().map(|failure| format!("{failure}\n{}", cuts.describe(&choice))));
        }
        log.get(at).into_iter().for_each(|event| cuts.push(event));
    }
    assert!(log.iter().any(|event| matches!(event.change, Change::Write { .. })), "something was written");
    failures
}

/// A toy's file that is open.
struct Toy {
    file: Recorded,
    /// Which block of the file holds a block of the disk; 0: none.
    table: [u8; BLOCKS as usize],
    /// Blocks of the file that may be used again.
    free: Vec<u8>,
    /// The same from the next flush on.
    freed: Vec<u8>,
    flaw: Flaw,
}

impl Toy {
    /// Writes the beginning of a block that was not there.
    fn write(&mut self, block: u64, data: &[u8]) {
        let size = self.file.size().expect("has one");
        let place = self.free.pop().unwrap_or((size / BLOCK) as u8);
        let start = u64::from(place) * BLOCK;
        if self.flaw == Flaw::GarbageInNewSpace {
            self.file.write_all_at(data, start).expect("writes");
            self.sync();
            self.file.set_size(size.max(start + BLOCK)).expect("grows");
        } else {
            let mut whole = data.to_vec();
            whole.resize(BLOCK as usize, 0);
            self.file.write_all_at(&whole, start).expect("writes");
            if self.flaw != Flaw::MissingSync {
                self.sync();
            }
        }
        self.table[block as usize] = place;
        self.write_header();
    }

    fn free(&mut self, block: u64) {
        let place = std::mem::take(&mut self.table[block as usize]);
        let free = if self.flaw == Flaw::EarlyReuse { &mut self.free } else { &mut self.freed };
        free.push(place);
        self.write_header();
    }

    fn flush(&mut self) {
        if self.flaw != Flaw::IdleFlush {
            self.sync();
        }
        self.free.append(&mut self.freed);
    }

    fn write_header(&self) {
        let mut header = vec![0; self.flaw.copy_at() + self.table.len()];
        header[..self.table.len()].copy_from_slice(&self.table);
        header[self.flaw.copy_at()..].copy_from_slice(&self.table);
        self.file.write_all_at(&header, 0).expect("writes");
    }

    fn sync(&self) {
        self.file.sync().expect("syncs");
    }
}

/// The content of the toy's disk.
fn read(file: &Bytes, flaw: Flaw) -> Result<Vec<u8>, String> {
    let (mut table, mut copy) = ([0; BLOCKS as usize], [0; BLOCKS as usize]);
    file.read(&mut table, 0);
    file.read(&mut copy, flaw.copy_at() as u64);
    if table != copy {
        return Err(format!("the header's copies differ: {table:?}, {copy:?}"));
    }
    let mut content = Vec::new();
    for place in table {
        let mut block = vec![0; BLOCK as usize];
        if place != 0 && file.read(&mut block, u64::from(place) * BLOCK) < block.len() {
            return Err(format!("block {place} lies beyond the end"));
        }
        content.append(&mut block);
    }
    Ok(content)
}

//! Disks whose writer was cut off at any moment: all that was flushed is there, and nothing else shows.

use std::io;
use std::sync::{Arc, Mutex};

use diskport::check::{Repairs, Severity};
use diskport::storage::{Explicit, MemoryStorage, ReadAt, WriteAt};
use diskport::{Open, WritableDisk};

use super::builder::{Grain, Hosted, SECTOR, Text};
use super::pattern;
use crate::support::storage;

#[derive(Clone, Debug)]
enum Op {
    Write(usize, Vec<u8>),
    Size(usize),
    Sync,
}

/// A file in memory that remembers all that was done to it.
#[derive(Clone)]
struct Recorder(Arc<Mutex<(Vec<u8>, Vec<Op>)>>);

impl Recorder {
    fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new((bytes, Vec::new()))))
    }

    fn log(&self) -> Vec<Op> {
        self.0.lock().expect("no panic").1.clone()
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.lock().expect("no panic").0.clone()
    }

    fn apply(&self, op: Op) {
        let mut state = self.0.lock().expect("no panic");
        apply(&mut state.0, &op, 0);
        state.1.push(op);
    }
}

impl ReadAt for Recorder {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.0.lock().expect("no panic");
        let rest = state.0.get(offset as usize..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.lock().expect("no panic").0.len() as u64)
    }
}

impl WriteAt for Recorder {
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.apply(Op::Write(offset as usize, data.to_vec()));
        Ok(())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.apply(Op::Size(size as usize));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.apply(Op::Sync);
        Ok(())
    }
}

/// Applies `op`; a gap that it leaves in the file is filled with `stale` bytes.
fn apply(bytes: &mut Vec<u8>, op: &Op, stale: u8) {
    match op {
        Op::Write(at, data) => {
            if bytes.len() < *at {
                bytes.resize(*at, stale);
            }
            let inside = data.len().min(bytes.len() - at);
            bytes[*at..at + inside].copy_from_slice(&data[..inside]);
            bytes.extend(&data[inside..]);
        }
        Op::Size(size) => bytes.resize(*size, 0),
        Op::Sync => {}
    }
}

/// One step of a workload.
#[derive(Clone, Copy, Debug)]
enum Step {
    Write(usize, usize, u8),
    Zero(usize, usize),
    Discard(usize, usize),
    Flush,
}

/// What ends a workload.
#[derive(Clone, Copy, Debug)]
enum End {
    Close,
    Compact,
    Resize(usize),
}

/// A generator that gives the same numbers each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

/// Bytes of the disk: 40 grains of 4 KiB and a half.
const SIZE: usize = 40 * 4096 + 2048;

/// Bytes that are looked at of a disk that grew.
const SEEN: usize = SIZE + 64 * 1024;

/// The states of the file after a cut behind the first `cut` operations.
fn states(original: &[u8], log: &[Op], cut: usize, numbers: &mut Numbers) -> Vec<Vec<u8>> {
    let synced = log[..cut].iter().rposition(|op| matches!(op, Op::Sync)).map_or(0, |at| at + 1);
    let mut durable = original.to_vec();
    log[..synced].iter().for_each(|op| apply(&mut durable, op, 0));
    let open = &log[synced..cut];
    let mut masks: Vec<Vec<bool>> = vec![vec![true; open.len()], vec![false; open.len()]];
    if open.len() <= 4 {
        masks.extend(
            (1..(1 << open.len()) - 1).map(|bits| (0..open.len()).map(|n| bits >> n & 1 == 1).collect()),
        );
    } else {
        for n in 0..open.len() {
            masks.push((0..open.len()).map(|other| other != n).collect());
            masks.push((0..open.len()).map(|other| other == n).collect());
        }
        masks.extend((0..8).map(|_| open.iter().map(|_| numbers.next(2) == 0).collect::<Vec<_>>()));
    }
    let mut states = Vec::new();
    for mask in masks {
        for stale in [0, 0xa5] {
            let torn = (stale != 0).then(|| numbers.next(open.len().max(1)));
            let mut bytes = durable.clone();
            for (n, op) in open.iter().enumerate().filter(|(n, _)| mask[*n]) {
                match op {
                    Op::Write(at, data) if torn == Some(n) => {
                        // Torn between two sectors: the first or the last part is there.
                        let sectors = (at + data.len()).div_ceil(SECTOR) - at / SECTOR;
                        let middle = ((at / SECTOR + numbers.next(sectors.max(1))) * SECTOR)
                            .clamp(*at, at + data.len());
                        if numbers.next(2) == 0 {
                            apply(&mut bytes, &Op::Write(*at, data[..middle - at].to_vec()), stale);
                        } else {
                            apply(&mut bytes, &Op::Write(middle, data[middle - at..].to_vec()), stale);
                        }
                    }
                    op => apply(&mut bytes, op, stale),
                }
            }
            states.push(bytes);
        }
    }
    states
}

/// What a workload left behind: how long the log was, and what the disk showed, before and after each step.
struct Run {
    original: Vec<u8>,
    log: Vec<Op>,
    /// Length of the log after the step, the content then, and whether it was durable.
    snapshots: Vec<(usize, Vec<u8>, bool)>,
}

fn open_options(parent: Option<&[u8]>) -> Open {
    let parents: Explicit =
        parent.map(|bytes| ("base.vmdk".to_owned(), storage(bytes.to_vec()))).into_iter().collect();
    Open::new().resolver(parents)
}

fn content(open: &Open, bytes: Vec<u8>) -> diskport::Result<Vec<u8>> {
    let disk = open.open(MemoryStorage::new(bytes))?;
    let mut content = vec![0; (disk.size() as usize).min(SEEN)];
    disk.read_at(&mut content, 0)?;
    Ok(content)
}

fn run(original: Vec<u8>, parent: Option<&[u8]>, steps: &[Step], end: End) -> Run {
    let open = open_options(parent);
    let file = Recorder::new(original.clone());
    let mut model = content(&open, original.clone()).expect("reads");
    let disk: WritableDisk = open.open_writable(file.clone()).expect("opens");
    let mut snapshots = vec![(file.log().len(), model.clone(), true)];
    for step in steps {
        match *step {
            Step::Write(at, len, seed) => {
                let data = &pattern(seed, SIZE / SECTOR)[at..at + len];
                disk.write_at(data, at as u64).expect("writes");
                model[at..at + len].copy_from_slice(data);
            }
            Step::Zero(at, len) => {
                disk.write_zeroes(at as u64, len as u64).expect("writes");
                model[at..at + len].fill(0);
            }
            Step::Discard(at, len) => {
                disk.discard(at as u64, len as u64).expect("discards");
                let mut found = vec![0; SIZE];
                disk.read_at(&mut found, 0).expect("reads");
                for sector in (0..SIZE).step_by(SECTOR) {
                    let (found, before) = (&found[sector..sector + SECTOR], &model[sector..sector + SECTOR]);
                    let inside = sector >= at && sector + SECTOR <= at + len;
                    assert!(
                        found == before || inside && found.iter().all(|&byte| byte == 0),
                        "a discarded sector"
                    );
                }
                model = found;
            }
            Step::Flush => disk.flush().expect("flushes"),
        }
        let mut found = vec![0; SIZE];
        disk.read_at(&mut found, 0).expect("reads");
        assert!(found == model, "{step:?} shows at once");
        snapshots.push((file.log().len(), model.clone(), matches!(step, Step::Flush)));
    }
    match end {
        End::Close => disk.close().expect("closes"),
        End::Compact => {
            let compaction = disk.compact().expect("compacts");
            assert!(compaction.after <= compaction.before);
        }
        End::Resize(size) => {
            disk.resize(size as u64, true).expect("resizes");
            model.resize(size.min(SEEN), 0);
        }
    }
    snapshots.push((file.log().len(), model, true));
    Run { original, log: file.log(), snapshots }
}

/// Looks at every state, and returns how many there were.
fn verify(run: &Run, parent: Option<&[u8]>, numbers: &mut Numbers) -> u64 {
    let open = open_options(parent);
    let mut count = 0;
    for cut in 0..=run.log.len() {
        // The last content that was durable, and all that may be there since.
        let durable =
            run.snapshots.iter().rposition(|(end, _, durable)| *durable && *end <= cut).expect("the first");
        let last = run.snapshots.iter().position(|(end, ..)| *end >= cut).unwrap_or(run.snapshots.len() - 1);
        let allowed = &run.snapshots[durable..=last.max(durable)];
        for bytes in states(&run.original, &run.log, cut, numbers) {
            count += 1;
            let checked = open.check(MemoryStorage::new(bytes.clone())).expect("checks");
            let errors = checked.findings.iter().filter(|finding| finding.severity == Severity::Error);
            assert_eq!(errors.count(), 0, "cut {cut}: {:#?}", checked.findings);
            // Readers need no repair, and see what it will leave.
            let unrepaired = content(&open, bytes.clone()).unwrap_or_else(|e| panic!("cut {cut}: {e}"));
            if count % 16 == 0 {
                goes_on(&open, bytes.clone());
            }
            let bytes = if checked.is_clean() {
                bytes
            } else {
                let file = Recorder::new(bytes);
                let after = open.repair(file.clone(), Repairs::Lossless).expect("repairs");
                assert!(after.is_clean(), "cut {cut}: {:#?}", after.findings);
                file.bytes()
            };
            let found = content(&open, bytes).unwrap_or_else(|e| panic!("cut {cut}: {e}"));
            assert!(found == unrepaired, "cut {cut}: a repair changes what is read");
            let sizes = allowed.iter().map(|(_, content, _)| content.len());
            assert!(sizes.clone().any(|size| size == found.len()), "cut {cut}: {} bytes", found.len());
            for at in (0..found.len()).step_by(SECTOR) {
                let sector = &found[at..at + SECTOR];
                let zeros = [0; SECTOR];
                assert!(
                    allowed
                        .iter()
                        .any(|(_, content, _)| content.get(at..at + SECTOR).unwrap_or(&zeros) == sector),
                    "cut {cut} of {}: sector at {at} is neither old nor new",
                    run.log.len()
                );
            }
        }
    }
    count
}

/// That a disk as a cut leaves it can be written to at once, whatever there is to repair.
fn goes_on(open: &Open, bytes: Vec<u8>) {
    let file = Recorder::new(bytes);
    let disk = open.open_writable(file.clone()).expect("opens");
    let mut model = vec![0; disk.size() as usize];
    disk.read_at(&mut model, 0).expect("reads");
    model[1024..20_480].fill(0x77);
    disk.write_at(&model[1024..20_480], 1024).expect("writes");
    disk.close().expect("closes");
    // The descriptor may still lie where a resize that was cut has left it.
    let checked = open.repair(file.clone(), Repairs::Lossless).expect("checks");
    assert!(checked.is_clean(), "{:#?}", checked.findings);
    let found = content(open, file.bytes()).expect("reads");
    assert!(found == model[..found.len()]);
}

fn steps(numbers: &mut Numbers, count: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..count {
        let at = numbers.next(SIZE / SECTOR) * SECTOR;
        let len = ((1 + numbers.next(24)) * SECTOR).min(SIZE - at);
        let grains = (at / 4096 * 4096, (len.next_multiple_of(4096)).min(SIZE - at / 4096 * 4096));
        steps.push(match numbers.next(7) {
            0..=2 => Step::Write(at, len, 1 + numbers.next(250) as u8),
            3 => Step::Zero(grains.0, grains.1),
            4 => Step::Discard(grains.0, grains.1),
            5 => Step::Zero(at, len),
            _ => Step::Flush,
        });
    }
    steps
}

fn base(scattered: bool, redundant: bool, zeroed: bool) -> Vec<u8> {
    let grains: Vec<_> =
        (0..41).map(|n| if n % 3 == 1 { Grain::Data(pattern(n, 8)) } else { Grain::Absent }).collect();
    let text = Text::new("monolithicSparse", [format!("RW {} SPARSE \"disk.vmdk\"", SIZE / SECTOR)]);
    let mut disk = Hosted::new((SIZE / SECTOR) as u64, 8, grains).monolithic(&text);
    (disk.scattered, disk.redundant, disk.zeroed_flag) = (scattered, redundant, zeroed);
    disk.version = if zeroed { 2 } else { 1 };
    disk.build().bytes
}

fn child(scattered: bool, zeroed: bool) -> Vec<u8> {
    let grains: Vec<_> = (0..41)
        .map(|n| if n % 5 == 1 && !scattered { Grain::Data(pattern(200 + n, 8)) } else { Grain::Absent })
        .collect();
    let mut text = Text::new("monolithicSparse", [format!("RW {} SPARSE \"disk.vmdk\"", SIZE / SECTOR)]);
    text.parent = Some((0x1234_abcd, "base.vmdk".into()));
    text.cid = 0x7777_0001;
    text.ddb = format!("ddb.longContentID = \"{:024x}77770001\"\n", 5);
    let mut disk = Hosted::new((SIZE / SECTOR) as u64, 8, grains).monolithic(&text);
    (disk.scattered, disk.zeroed_flag) = (scattered, zeroed);
    disk.version = if zeroed { 2 } else { 1 };
    disk.build().bytes
}

const LAYOUTS: [(bool, bool, bool); 4] =
    [(false, true, false), (true, true, false), (true, true, true), (false, false, false)];

#[test]
fn cut_at_any_write() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut count = 0;
    for round in 0..8 {
        for (scattered, redundant, zeroed) in LAYOUTS {
            let steps = steps(&mut numbers, 4 + round);
            let run = run(base(scattered, redundant, zeroed), None, &steps, End::Close);
            count += verify(&run, None, &mut numbers);
        }
        for (scattered, zeroed) in [(false, false), (true, false), (false, true)] {
            let parent = base(false, true, false);
            let steps = steps(&mut numbers, 4 + round);
            let run = run(child(scattered, zeroed), Some(&parent), &steps, End::Close);
            count += verify(&run, Some(&parent), &mut numbers);
        }
    }
    assert!(count > 10_000, "{count} states");
    println!("{count} states");
}

#[test]
fn cut_while_resized_or_packed() {
    let mut numbers = Numbers(0x1234_5678_9abc_def1);
    let ends = [
        End::Compact,
        End::Resize(SIZE + 512),
        End::Resize(SIZE + 48 * 1024),
        End::Resize(3 << 20),
        End::Resize(300 << 20),
        End::Resize(SIZE - 512),
        End::Resize(21 * 4096 + 1024),
    ];
    let mut count = 0;
    for end in ends {
        for (scattered, redundant, zeroed) in LAYOUTS {
            let steps = steps(&mut numbers, 4);
            let run = run(base(scattered, redundant, zeroed), None, &steps, end);
            count += verify(&run, None, &mut numbers);
        }
        let parent = base(false, true, false);
        let run = run(child(false, false), Some(&parent), &steps(&mut numbers, 4), end);
        count += verify(&run, Some(&parent), &mut numbers);
    }
    assert!(count > 5000, "{count} states");
    println!("{count} states");
}

//! Cuts at every write: what the file may then hold, and what must be read from it.

use std::io;
use std::sync::{Arc, Mutex};

use diskport::check::{Repairs, Severity};
use diskport::storage::{Explicit, ReadAt, WriteAt};
use diskport::{Format, Open, WritableDisk};

use super::builder::{SECTOR, Vhd};
use crate::support::{Shared, storage};

const BLOCK: usize = 4096;

/// What happened, in order: to the file, and what was promised about the disk.
#[derive(Clone, Debug)]
enum Event {
    Write(usize, Vec<u8>),
    SetSize(usize),
    Sync,
    /// From here on these bytes of the disk may be found.
    Begin(usize, Vec<u8>),
    /// From here on the disk may have this size.
    Resize(usize),
    /// All that was begun is durable.
    Durable,
}

/// A storage that records.
#[derive(Clone)]
struct Recorder {
    now: Shared,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Recorder {
    fn note(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }
}

impl ReadAt for Recorder {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.now.read_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.now.size()
    }
}

impl WriteAt for Recorder {
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.note(Event::Write(offset as usize, data.to_vec()));
        self.now.write_all_at(data, offset)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.note(Event::SetSize(size as usize));
        self.now.set_size(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.note(Event::Sync);
        Ok(())
    }
}

/// What a sector of the disk may read as.
type Allowed = Vec<Vec<[u8; SECTOR]>>;

/// The file before, what happened to it, and what the disk read as before.
struct Story {
    before: Vec<u8>,
    content: Vec<u8>,
    parent: Option<Vec<u8>>,
    recorder: Recorder,
}

impl Story {
    fn new(image: &Vhd, content: Vec<u8>, parent: Option<Vec<u8>>) -> Self {
        let before = image.bytes();
        let recorder = Recorder { now: Shared::new(before.clone()), events: Arc::default() };
        Self { before, content, parent, recorder }
    }

    fn options(&self) -> Open {
        let mut resolver = Explicit::default();
        if let Some(parent) = &self.parent {
            resolver.insert("parent.vhd", storage(parent.clone()));
        }
        Open::new().resolver(resolver).format(Format::Vhd)
    }

    fn open(&self) -> WritableDisk {
        self.options().open_writable(self.recorder.clone()).expect("opens")
    }

    fn write(&self, disk: &WritableDisk, at: usize, data: &[u8]) {
        self.recorder.note(Event::Begin(at, data.to_vec()));
        disk.write_at(data, at as u64).expect("writes");
    }

    fn zero(&self, disk: &WritableDisk, at: usize, len: usize) {
        self.recorder.note(Event::Begin(at, vec![0; len]));
        disk.write_zeroes(at as u64, len as u64).expect("zeroes");
    }

    fn flush(&self, disk: &WritableDisk) {
        disk.flush().expect("flushes");
        self.recorder.note(Event::Durable);
    }

    /// Cuts everywhere, and returns how many states that gave.
    fn cut_everywhere(&self) -> usize {
        let events = self.recorder.events.lock().unwrap().clone();
        let mut durable = self.before.clone();
        let mut pending = Vec::new();
        let mut sizes = vec![self.content.len()];
        let mut current = self.content.clone();
        let mut allowed: Allowed = current.as_chunks().0.iter().map(|sector| vec![*sector]).collect();
        let mut states = 0;
        for event in &events {
            match event {
                Event::Write(..) | Event::SetSize(_) => pending.push(event.clone()),
                Event::Sync => {
                    pending.drain(..).for_each(|event| apply(&mut durable, &event, 0));
                }
                Event::Begin(at, data) => {
                    current[*at..at + data.len()].copy_from_slice(data);
                    let sectors = at / SECTOR..(at + data.len()).div_ceil(SECTOR);
                    let now = &current.as_chunks().0[sectors.clone()];
                    allowed[sectors].iter_mut().zip(now).for_each(|(allowed, now)| allowed.push(*now));
                }
                Event::Resize(size) => {
                    sizes.push(*size);
                    current.resize(*size, 0);
                    allowed.resize(allowed.len().max(size / SECTOR), vec![[0; SECTOR]]);
                }
                Event::Durable => {
                    sizes.drain(..sizes.len() - 1);
                    allowed = current.as_chunks().0.iter().map(|sector| vec![*sector]).collect();
                }
            }
            for state in states_of(&durable, &pending) {
                self.check(state, &sizes, &allowed);
                states += 1;
            }
        }
        states
    }

    fn check(&self, state: Vec<u8>, sizes: &[usize], allowed: &Allowed) {
        let file = Shared::new(state);
        let open = self.options();
        if open.open(file.clone()).is_err() {
            open.repair(file.clone(), Repairs::Lossless).expect("repairs");
        }
        self.assert_allowed(&file, sizes, allowed);
        let checked = open.check(file.clone()).expect("checks");
        if !checked.is_clean() {
            let again = open.repair(file.clone(), Repairs::Lossless).expect("repairs");
            // What others left under clear bits is theirs to read: it stays.
            let clean = again.findings.iter().all(|finding| {
                finding.severity == Severity::Note
                    || finding.to_string().contains("zeros in block") && self.parent.is_none()
            });
            assert!(clean, "{checked:?}, and after the repair {again:?}");
            self.assert_allowed(&file, sizes, allowed);
        }
        // It can be written again.
        let disk = open.open_writable(file).expect("opens for writing");
        disk.close().expect("closes");
    }

    fn assert_allowed(&self, file: &Shared, sizes: &[usize], allowed: &Allowed) {
        let disk = self.options().open(file.clone()).expect("opens");
        let size = disk.size() as usize;
        assert!(sizes.contains(&size), "{size} is none of {sizes:?}");
        let mut content = vec![0xEE; size];
        disk.read_at(&mut content, 0).expect("reads");
        for (number, (sector, allowed)) in content.as_chunks().0.iter().zip(allowed).enumerate() {
            let first: Vec<_> = allowed.iter().map(|sector| sector[0]).collect();
            assert!(
                allowed.contains(sector),
                "sector {number} begins with {}, allowed: {first:?}",
                sector[0]
            );
        }
    }
}

/// Does `event` to the file; space that it adds holds `fill`.
fn apply(file: &mut Vec<u8>, event: &Event, fill: u8) {
    match event {
        Event::Write(at, data) => {
            file.resize(file.len().max(at + data.len()), fill);
            file[*at..at + data.len()].copy_from_slice(data);
        }
        Event::SetSize(size) => file.resize(*size, fill),
        _ => {}
    }
}

/// What the file may hold when the `pending` events are cut off: any of them, one torn, with or without the file's new size.
fn states_of(durable: &[u8], pending: &[Event]) -> Vec<Vec<u8>> {
    let n = pending.len();
    let all = if n == 0 { 0 } else { u64::MAX >> (64 - n.min(64)) };
    let mut subsets: Vec<u64> = if n <= 5 {
        (0..1 << n).collect()
    } else {
        let ones = (0..n.min(64)).map(|bit| 1 << bit);
        ones.clone()
            .chain(ones.clone().map(|bit| all & !bit))
            .chain(ones.map(|bit| bit - 1))
            .chain([all])
            .collect()
    };
    subsets.sort_unstable();
    subsets.dedup();
    let mut states = Vec::new();
    for subset in subsets {
        let kept: Vec<_> =
            (0..n.min(64)).filter(|bit| subset >> bit & 1 == 1).map(|bit| &pending[bit]).collect();
        let mut full = durable.to_vec();
        pending.iter().for_each(|event| apply(&mut full, event, 0));
        for tear in 0..3 {
            let mut state = durable.to_vec();
            for (number, event) in kept.iter().enumerate() {
                match event {
                    Event::Write(at, data) if tear > 0 && number + 1 == kept.len() && data.len() > SECTOR => {
                        let middle = (data.len() / 2).next_multiple_of(SECTOR);
                        let part = if tear == 1 { 0..middle } else { middle..data.len() };
                        apply(&mut state, &Event::Write(at + part.start, data[part].to_vec()), 0xD7);
                    }
                    event => apply(&mut state, event, 0xD7),
                }
            }
            states.push(state.clone());
            if full.len() > state.len() {
                state.resize(full.len(), 0xD7);
                states.push(state);
            }
        }
    }
    states.sort_unstable();
    states.dedup();
    states
}

fn fill(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|i| seed ^ (i / SECTOR) as u8).collect()
}

/// A disk of five blocks and three sectors, of which two blocks are there in part.
fn story(child: bool, change: impl FnOnce(&mut Vhd)) -> Story {
    let size = 5 * BLOCK + 3 * SECTOR;
    let below = fill(0x40, size);
    let mut content = if child { below.clone() } else { vec![0; size] };
    let mut image = Vhd::dynamic(size as u64, BLOCK);
    let parent = child.then(|| Vhd::fixed(&below).bytes());
    if child {
        image = Vhd::differencing(size as u64, BLOCK, image.id);
    }
    for (sector, byte) in [(1, 0xA1), (2, 0xA2), (16, 0xA3), (41, 0xA4)] {
        image.write(sector, &[byte; SECTOR]);
        content[sector as usize * SECTOR..][..SECTOR].fill(byte);
    }
    change(&mut image);
    Story::new(&image, content, parent)
}

#[test]
fn writes() {
    let mut states = 0;
    for child in [false, true] {
        for footer_len in [512, 511, 0] {
            let story = story(child, |image| image.footer_len = footer_len);
            let disk = story.open();
            story.write(&disk, BLOCK, &fill(0x11, BLOCK));
            story.write(&disk, 0, &fill(0x22, 1024));
            story.flush(&disk);
            story.write(&disk, 4096 - 512, &fill(0x33, 2 * BLOCK));
            story.write(&disk, 41 * SECTOR, &fill(0x34, 1024));
            story.flush(&disk);
            story.zero(&disk, 0, 2 * BLOCK);
            story.write(&disk, 512, &fill(0x44, 512));
            story.flush(&disk);
            story.write(&disk, 3 * BLOCK, &fill(0x55, 2 * BLOCK));
            story.zero(&disk, 4 * BLOCK, BLOCK);
            disk.close().expect("closes");
            story.recorder.note(Event::Durable);
            states += story.cut_everywhere();
        }
    }
    println!("{states} states");
}

#[test]
fn space_that_is_used_again() {
    let story = story(false, |_| ());
    let disk = story.open();
    for round in 0..3 {
        story.write(&disk, BLOCK, &fill(0x10 + round, BLOCK));
        story.zero(&disk, 0, BLOCK);
        story.flush(&disk);
        story.write(&disk, 3 * BLOCK + 512, &fill(0x20 + round, 512));
        story.zero(&disk, BLOCK, BLOCK);
        story.flush(&disk);
        story.write(&disk, 1024, &fill(0x30 + round, 512));
        story.zero(&disk, 3 * BLOCK, BLOCK);
    }
    disk.close().expect("closes");
    println!("{} states", story.cut_everywhere());
}

#[test]
fn packing() {
    for child in [false, true] {
        let story = story(child, |image| {
            image.gap = 20;
            image.shuffle = 7;
        });
        let disk = story.open();
        story.write(&disk, 2 * BLOCK, &fill(0x21, BLOCK));
        story.write(&disk, 3 * BLOCK, &fill(0x22, BLOCK));
        if !child {
            story.zero(&disk, 0, BLOCK);
        }
        story.flush(&disk);
        disk.compact().expect("compacts");
        println!("{} states", story.cut_everywhere());
    }
}

#[test]
fn resizing() {
    let mut states = 0;
    let old = 5 * BLOCK + 3 * SECTOR;
    for cut in [false, true] {
        for bat_last in [false, true] {
            for size in [SECTOR, 3 * BLOCK, old - SECTOR, old + SECTOR, 7 * BLOCK, 140 * BLOCK] {
                let story = story(false, |image| {
                    image.cut = cut;
                    image.bat_last = bat_last;
                    image.shuffle = 7;
                });
                let disk = story.open();
                story.recorder.note(Event::Resize(size));
                disk.resize(size as u64, true).expect("resizes");
                story.recorder.note(Event::Durable);
                states += story.cut_everywhere();
            }
        }
    }
    for size in [SECTOR, old - SECTOR, old + SECTOR, 7 * BLOCK] {
        let content = fill(0x31, old);
        let story = Story::new(&Vhd::fixed(&content), content, None);
        let disk = story.open();
        story.recorder.note(Event::Resize(size));
        disk.resize(size as u64, true).expect("resizes");
        story.recorder.note(Event::Durable);
        states += story.cut_everywhere();
    }
    println!("{states} states");
}

/// All sequences of up to three operations, each with a cut everywhere.
#[test]
fn short_sequences() {
    type Step = fn(&Story, &WritableDisk);
    let steps: [Step; 6] = [
        |story, disk| story.write(disk, BLOCK, &fill(0x51, BLOCK)),
        |story, disk| story.write(disk, 3 * SECTOR, &fill(0x61, 2 * SECTOR)),
        |story, disk| story.write(disk, 2 * BLOCK - SECTOR, &fill(0x71, 2 * SECTOR)),
        |story, disk| story.zero(disk, 0, 2 * BLOCK),
        |story, disk| story.zero(disk, 40 * SECTOR, 2 * SECTOR),
        |story, disk| story.flush(disk),
    ];
    let mut states = 0;
    for child in [false, true] {
        for number in 0..7_usize.pow(3) {
            let chosen = [number % 7, number / 7 % 7, number / 49];
            // Shorter sequences end with nothing, and are not told twice.
            if chosen.windows(2).any(|pair| pair[0] == 6 && pair[1] != 6) {
                continue;
            }
            let story = story(child, |_| ());
            let disk = story.open();
            chosen.iter().filter_map(|&step| steps.get(step)).for_each(|step| step(&story, &disk));
            disk.close().expect("closes");
            story.recorder.note(Event::Durable);
            states += story.cut_everywhere();
        }
    }
    println!("{states} states");
}

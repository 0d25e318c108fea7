//! Writers at work at once: none waits for another's data, and none's is lost.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use diskport::Open;
use diskport::storage::{Explicit, ReadAt, WriteAt};

use super::builder::{Grain, Hosted, Text};
use super::{content, monolithic, pattern};
use crate::support::{Shared, assert_reads_as, storage};

const GRAIN: usize = 65_536;

/// How many of a kind of call there are at once.
#[derive(Default)]
struct Meeting {
    present: Mutex<usize>,
    changed: Condvar,
}

impl Meeting {
    /// Waits until `size` callers are here. When they do not come, they cannot.
    fn join(&self, size: usize) -> io::Result<()> {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        *present += 1;
        self.changed.notify_all();
        let waited =
            self.changed.wait_timeout_while(present, Duration::from_secs(30), |present| *present < size);
        let (present, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if *present < size { Err(io::Error::other("the other writers wait for this one")) } else { Ok(()) }
    }
}

/// A file whose writes of whole grains return when as many are under way as should be.
#[derive(Clone)]
struct Together {
    bytes: Shared,
    meeting: Arc<Meeting>,
    size: usize,
}

impl ReadAt for Together {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.bytes.read_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.bytes.size()
    }
}

impl WriteAt for Together {
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        if data.len() >= GRAIN {
            self.meeting.join(self.size)?;
        }
        self.bytes.write_all_at(data, offset)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.bytes.set_size(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.bytes.sync()
    }

    fn punch_hole(&self, range: Range<u64>) -> io::Result<()> {
        self.bytes.punch_hole(range)
    }
}

#[test]
fn new_grains_are_written_at_once() {
    let file = Together { bytes: Shared::new(monolithic().build().bytes), meeting: Arc::default(), size: 4 };
    let disk = Open::new().open_writable(file.clone()).expect("opens");
    // A part of a grain needs what lies around it, and is written as a whole.
    let writes = [(0, GRAIN), (3 * GRAIN + 512, 512), (5 * GRAIN, GRAIN), (7 * GRAIN, 1024)];
    let mut model = content();
    for (at, len) in writes {
        model[at..at + len].copy_from_slice(&pattern(9, 128)[..len]);
    }
    std::thread::scope(|scope| {
        for (at, len) in writes {
            let disk = &disk;
            scope.spawn(move || disk.write_at(&pattern(9, 128)[..len], at as u64).expect("writes"));
        }
    });
    disk.close().expect("closes");
    assert!(Open::new().check(file.bytes.clone()).expect("checks").is_clean());
    assert_reads_as(&Open::new().open(file.bytes).expect("opens"), &model);
}

/// All write sectors of the same few grains of a child, which nobody has stored yet; some flush, some give grains up between.
#[test]
fn writers_of_one_grain_lose_nothing() {
    let grains: Vec<_> = (0..16).map(|n| Grain::Data(pattern(n, 128))).collect();
    let text = |parent| {
        let mut text = Text::new("monolithicSparse", ["RW 2048 SPARSE \"a\""]);
        text.parent = parent;
        text
    };
    let base = Hosted::new(2048, 128, grains.clone()).monolithic(&text(None)).build().bytes;
    let parent = Some((text(None).cid, "base".to_owned()));
    let child = Hosted::new(2048, 128, vec![Grain::Absent; 16]).monolithic(&text(parent)).build().bytes;
    let open = Open::new().resolver(Explicit::from([("base", storage(base.clone()))]));
    let mut model: Vec<u8> = (0..16).flat_map(|n| pattern(n, 128)).collect();
    let file = Shared::new(child);
    let disk = open.open_writable(file.clone()).expect("opens");
    for round in 0..8_usize {
        std::thread::scope(|scope| {
            for thread in 0..8_usize {
                let disk = &disk;
                scope.spawn(move || {
                    for grain in 0..16 {
                        let at = grain * GRAIN + (round * 8 + thread) * 1024;
                        disk.write_at(&[(round * 8 + thread) as u8; 1024], at as u64).expect("writes");
                        if (grain + thread) % 5 == 0 {
                            disk.flush().expect("flushes");
                        }
                    }
                });
            }
        });
        for thread in 0..8 {
            for grain in 0..16 {
                let at = grain * GRAIN + (round * 8 + thread) * 1024;
                model[at..at + 1024].fill((round * 8 + thread) as u8);
            }
        }
        let mut found = vec![0; model.len()];
        disk.read_at(&mut found, 0).expect("reads");
        assert!(found == model, "round {round}");
        // What is given up may get its place back in the next round.
        for grain in [1, 2, round] {
            disk.write_zeroes((grain * GRAIN) as u64, GRAIN as u64).expect("zeros");
            model[grain * GRAIN..(grain + 1) * GRAIN].fill(0);
        }
    }
    disk.close().expect("closes");
    assert!(open.check(file.clone()).expect("checks").is_clean());
    assert_reads_as(&open.open(file).expect("opens"), &model);
}

//! Changes that last and are stopped in the middle: at each call of the storage in turn.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use diskport::check::Repairs;
use diskport::copy::{Convert, OutputFormat};
use diskport::format::Allocation;
use diskport::job::{Job, Phase};
use diskport::storage::{MemoryStorage, ReadAt, WriteAt};
use diskport::{Disk, Error, Format, GIB, MIB, Open};

/// A storage in memory, one of whose calls cancels a job.
#[derive(Clone)]
struct Cancelling(Arc<Inner>);

struct Inner {
    bytes: MemoryStorage,
    job: Job,
    /// Which call it is, counted from 1.
    at: u64,
    calls: AtomicU64,
    /// Writes that came after it.
    writes: AtomicU64,
}

impl Cancelling {
    fn new(bytes: &[u8], at: u64) -> Self {
        let (calls, writes) = Default::default();
        Self(Arc::new(Inner { bytes: MemoryStorage::new(bytes), job: Job::new(), at, calls, writes }))
    }

    fn call(&self) {
        if self.0.calls.fetch_add(1, Ordering::Relaxed) + 1 == self.0.at {
            self.0.job.cancel();
        }
    }

    fn write(&self) {
        if self.0.job.is_cancelled() {
            self.0.writes.fetch_add(1, Ordering::Relaxed);
        }
        self.call();
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.bytes.to_vec()
    }

    /// Calls since the one that cancelled.
    fn later(&self) -> u64 {
        self.0.calls.load(Ordering::Relaxed).saturating_sub(self.0.at)
    }
}

impl ReadAt for Cancelling {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.call();
        self.0.bytes.read_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.0.bytes.size()
    }
}

impl WriteAt for Cancelling {
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.write();
        self.0.bytes.write_all_at(data, offset)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.write();
        self.0.bytes.set_size(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.call();
        Ok(())
    }
}

/// A disk of some MiB with something in each.
fn image(format: OutputFormat, size: u64, written: u64) -> Vec<u8> {
    let file = Arc::new(MemoryStorage::default());
    let copy = Convert::new(&Disk::empty(size, 512)).to(format);
    let copy = if format.format() == Format::Vhdx { copy.block_size(MIB) } else { copy };
    copy.create(file.clone()).expect("writes");
    let disk = Open::new().format(format.format()).open_writable(file.clone()).expect("opens");
    for at in (0..written).step_by(MIB as usize) {
        disk.write_at(&at.to_le_bytes(), at).expect("writes");
    }
    disk.close().expect("closes");
    file.to_vec()
}

fn content(format: Format, bytes: &[u8], written: u64) -> Vec<u8> {
    let disk = Open::new().format(format).open(MemoryStorage::new(bytes)).expect("opens");
    let mut found = vec![0; written as usize];
    disk.read_at(&mut found, 0).expect("reads");
    found
}

#[test]
fn a_resize_that_is_stopped_at_any_call_leaves_the_disk_as_it_was() {
    let written = 6 * MIB;
    // With how many calls of the storage may come after the one during which the job is cancelled: those that end a piece, or a look at
    // the partition table, and those that close the image.
    let kinds = [
        // Blocks have to make room for a longer table.
        (OutputFormat::Vhd(Allocation::Dynamic), 8 * MIB, 8 * GIB, 60),
        // What is added is written.
        (OutputFormat::Vhdx(Allocation::Fixed), 8 * MIB, 11 * MIB, 60),
        // All of what is cut is looked at.
        (OutputFormat::Raw, 24 * MIB, 8 * MIB, 12),
        (OutputFormat::Vhd(Allocation::Fixed), 24 * MIB, 8 * MIB, 12),
        (OutputFormat::Vhdx(Allocation::Fixed), 24 * MIB, 8 * MIB, 12),
    ];
    for (format, before, after, closing) in kinds {
        let whole = image(format, before, written);
        let expected = content(format.format(), &whole, written);
        let open = || Open::new().format(format.format());
        let (mut stopped, mut done) = (0, 0);
        // The first ones in turn, the later ones more and more apart.
        for at in std::iter::successors(Some(1), |at| Some(at + 1 + at / 16)) {
            let file = Cancelling::new(&whole, at);
            let job = &file.0.job;
            let opened = open().job(job).open_writable(file.clone());
            if job.is_cancelled() {
                continue;
            }
            let resized = opened.expect("opens").resize(after, false);
            let what = format!("{format} from {before} to {after}, call {at}: {resized:?}");
            let bytes = file.bytes();
            let checked = open().check(MemoryStorage::new(&bytes[..])).expect("checks");
            assert!(checked.is_clean(), "{what}: {checked:?}");
            assert_eq!(content(format.format(), &bytes, written), expected, "{what}");
            let size = open().open(MemoryStorage::new(&bytes[..])).expect("opens").size();
            match resized {
                Ok(_) => assert_eq!(size, after, "{what}"),
                Err(Error::Cancelled) => {
                    assert_eq!(size, before, "{what}");
                    if format.format() == Format::Vhdx {
                        assert!(bytes.len() <= whole.len(), "{what}: what was added is given back");
                    }
                    assert!(file.later() <= closing, "{what}: {} calls later", file.later());
                    assert_eq!(job.progress().phase(), Some(Phase::Resize), "{what}");
                    done = done.max(job.progress().done());
                    stopped += 1;
                }
                Err(e) => panic!("{what}: {e}"),
            }
            if !job.is_cancelled() {
                assert_eq!(job.progress().done(), before.max(after), "{what}");
                break;
            }
        }
        assert!(stopped > 3, "{format}: stopped at {stopped} calls");
        let told = format != OutputFormat::Vhd(Allocation::Dynamic);
        assert!(!told || done > before.min(after), "{format}: its progress was not told: {done}");
    }
}

#[test]
fn a_repair_that_is_stopped_at_any_call_can_be_run_again() {
    const ENTRIES: u64 = 100;
    let mut damaged = image(OutputFormat::Vhd(Allocation::Dynamic), GIB, 0);
    // Entries that name places behind the file's end; the table of ours lies behind the two headers.
    let table = 1536..1536 + ENTRIES as usize * 4;
    damaged[table].as_chunks_mut::<4>().0.fill([0, 0xff, 0xff, 0xff]);
    let check = |bytes: &[u8]| Open::new().check(MemoryStorage::new(bytes)).expect("checks");
    assert!(check(&damaged).findings.len() as u64 >= ENTRIES);
    let mut done = 0;
    for at in 1.. {
        let file = Cancelling::new(&damaged, at);
        let job = &file.0.job;
        let repaired = Open::new().job(job).repair(file.clone(), Repairs::All);
        let bytes = file.bytes();
        match repaired {
            Ok(checked) => {
                assert!(checked.is_clean(), "{checked:?}");
                // The last call of all comes too late to stop anything.
                if !job.is_cancelled() {
                    assert!(at > ENTRIES, "call {at}");
                    break;
                }
            }
            Err(Error::Cancelled) => {
                assert_eq!(file.0.writes.load(Ordering::Relaxed), 0, "call {at}");
                done = done.max(job.progress().done());
                let again = Open::new().repair(Cancelling::new(&bytes, 0), Repairs::All).expect("repairs");
                assert!(again.is_clean(), "call {at}: {again:?}");
            }
            Err(e) => panic!("call {at}: {e}"),
        }
    }
    assert!(done > 0, "its progress was told");
}

//! What may go on beside a change, and what a change leaves when it goes wrong.

use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use diskport::copy::{Convert, OutputFormat};
use diskport::storage::{Faults, FaultyStorage, MemoryStorage, ReadAt, WriteAt};
use diskport::{Disk, Error, MIB, Open};

use crate::support::{Shared, WRITTEN};
use crate::vhdx::builder as vhdx;

/// Storage that, once it is told to, lets a write or a sync pass when someone has read meanwhile; or panics in it.
#[derive(Clone)]
struct Gate {
    inner: Shared,
    entered: Sender<()>,
    passes: Arc<Mutex<Receiver<()>>>,
    closed: Arc<AtomicBool>,
    panics: Arc<AtomicBool>,
}

impl Gate {
    fn pass(&self) -> io::Result<()> {
        assert!(!self.panics.load(Ordering::SeqCst), "on purpose");
        if !self.closed.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.entered.send(()).map_err(io::Error::other)?;
        let passes = self.passes.lock().expect("no panic");
        passes.recv_timeout(Duration::from_secs(20)).map_err(io::Error::other)
    }
}

impl ReadAt for Gate {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }
}

impl WriteAt for Gate {
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.pass()?;
        self.inner.write_all_at(data, offset)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.inner.set_size(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.pass()
    }

    fn punch_hole(&self, range: Range<u64>) -> io::Result<()> {
        self.inner.punch_hole(range)
    }
}

fn image(format: OutputFormat) -> Shared {
    let storage = Shared::default();
    Convert::new(&Disk::empty(8 * MIB, 512)).to(format).create(storage.clone()).expect("copies");
    storage
}

fn gate(format: OutputFormat) -> (Gate, Receiver<()>, Sender<()>) {
    let ((entered, entries), (pass, passes)) = (channel(), channel());
    let (passes, flag) = (Arc::new(Mutex::new(passes)), || Arc::new(AtomicBool::new(false)));
    (Gate { inner: image(format), entered, passes, closed: flag(), panics: flag() }, entries, pass)
}

/// Every write and every sync of a flush, and of a write that is part of a sector, waits for someone who reads.
#[test]
fn readers_wait_for_no_write_and_no_sync() {
    for format in WRITTEN {
        let (gate, entries, pass) = gate(format);
        let open =
            if format == OutputFormat::Raw { Open::new().format(diskport::Format::Raw) } else { Open::new() };
        let disk = open.open_writable(gate.clone()).expect("opens");
        disk.write_at(&[1; 4096], 0).expect("writes");
        gate.closed.store(true, Ordering::SeqCst);
        std::thread::scope(|scope| {
            let changes = scope.spawn(|| {
                let done = disk.write_at(&[2; 100], 700).and_then(|()| disk.write_at(&[3; 100], 5 * MIB + 7));
                let done = done.and_then(|()| disk.flush());
                gate.closed.store(false, Ordering::SeqCst);
                let _ = gate.entered.send(());
                done
            });
            let mut found = [0; 512];
            for () in &entries {
                disk.read_at(&mut found, 0).expect("reads");
                assert_eq!(found, [1; 512]);
                if !gate.closed.load(Ordering::SeqCst) {
                    break;
                }
                pass.send(()).expect("waits");
            }
            changes.join().expect("no panic").unwrap_or_else(|e| panic!("{format}: {e}"));
        });
        let mut expected = vec![0; 8 << 20];
        expected[..4096].fill(1);
        expected[700..800].fill(2);
        expected[(5 << 20) + 7..][..100].fill(3);
        let mut found = vec![0; 8 << 20];
        disk.read_at(&mut found, 0).expect("reads");
        assert!(found == expected, "{format}");
        disk.close().expect("closes");
    }
}

/// After a panic in a write nobody knows what the image holds: it is not written to any more, nor called closed.
#[test]
fn a_panic_ends_all_changes() {
    for format in WRITTEN.into_iter().skip(1) {
        let (gate, _entries, _pass) = gate(format);
        let disk = Open::new().open_writable(gate.clone()).expect("opens");
        disk.write_at(&[1; 4096], 0).expect("writes");
        gate.panics.store(true, Ordering::SeqCst);
        assert!(catch_unwind(AssertUnwindSafe(|| disk.write_at(&[2; 4096], 5 * MIB))).is_err(), "{format}");
        gate.panics.store(false, Ordering::SeqCst);
        assert!(matches!(disk.write_at(&[3; 512], 0), Err(Error::Poisoned { .. })), "{format}");
        assert!(matches!(disk.flush(), Err(Error::Poisoned { .. })), "{format}");
        assert!(matches!(disk.read_at(&mut [0; 512], 0), Err(Error::Poisoned { .. })), "{format}");
        let left = gate.inner.to_vec();
        drop(disk);
        assert!(gate.inner.to_vec() == left, "{format}: nothing is written any more");
        // It opens as after a power cut.
        let disk = Open::new().open_writable(gate.inner.clone()).expect("opens");
        disk.write_at(&[4; 4096], 0).expect("writes");
        drop(disk);
        // All writes succeeded: it is as if it had been closed, though it was only dropped.
        let checked = Open::new().check(gate.inner.clone()).expect("checks");
        assert!(checked.is_clean(), "{format}: {:#?}", checked.findings);
        let mut found = [0; 4096];
        Open::new().open(gate.inner).expect("opens").read_at(&mut found, 0).expect("reads");
        assert_eq!(found, [4; 4096]);
    }
}

/// A small write into a block that a child has costs one call: what is known of its bitmap is not read again.
#[test]
fn a_small_write_into_a_child_is_one_call() {
    let parent = vhdx::Image::empty(64 * MIB, 2 * MIB, 512);
    let linkage = uuid::Uuid::from_bytes_le(parent.data_guid).to_string();
    let child = vhdx::Image::child(64 * MIB, 2 * MIB, 512, &linkage).build();
    let parent: Arc<dyn ReadAt> = Arc::new(MemoryStorage::new(parent.build()));
    let open = Open::new().resolver(diskport::storage::Explicit::from([("parent.vhdx", parent)]));
    counts_one_call_a_write(&open, child);

    let parent = crate::vhd::builder::Vhd::dynamic(64 * MIB, 2 << 20);
    let child = crate::vhd::builder::Vhd::differencing(64 * MIB, 2 << 20, parent.id).bytes();
    let parent: Arc<dyn ReadAt> = Arc::new(MemoryStorage::new(parent.bytes()));
    let open = Open::new().resolver(diskport::storage::Explicit::from([("parent.vhd", parent)]));
    counts_one_call_a_write(&open, child);
}

fn counts_one_call_a_write(open: &Open, child: Vec<u8>) {
    let storage = FaultyStorage::with(Shared::new(child), Faults::none());
    let disk = open.open_writable(storage.clone()).expect("opens");
    // The first brings block and bitmap, the second reads what the first has changed.
    [0, MIB].into_iter().for_each(|at| disk.write_at(&[1; 4096], at).expect("writes"));
    let before = storage.calls();
    for at in 1..=64 {
        disk.write_at(&[2; 4096], at * 8192).expect("writes");
    }
    assert_eq!(storage.calls() - before, 64);
    let mut found = [0; 12288];
    disk.read_at(&mut found, 8192).expect("reads");
    assert!(found[..4096] == [2; 4096] && found[4096..8192] == [0; 4096] && found[8192..] == [2; 4096]);
    disk.close().expect("closes");
}

//! A merge that stops in the middle: the chain reads as before, and the merge ends when it is run again.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use diskport::chain::Merge;
use diskport::copy::OutputFormat;
use diskport::job::Job;
use diskport::storage::{FileIdentity, ImageFile, ReadAt, Reference, Resolver, SameDirectory};
use diskport::{Error, Open, Result};

use crate::merge::LAYERS;
use crate::model::{Chain, FORMATS, assert_clean, assert_reads, bond_warnings, open, tells_changes};

/// Something that happens at one of the reads of a chain's lower layers.
#[derive(Clone)]
struct At {
    read: u64,
    reads: Arc<AtomicU64>,
    event: Event,
}

#[derive(Clone)]
enum Event {
    /// The merge is cancelled.
    Cancel(Job),
    /// The read fails.
    Fail,
}

impl Resolver for At {
    fn open(&self, reference: &Reference<'_>) -> Result<Option<ImageFile>> {
        let Some(file) = SameDirectory.open(reference)? else { return Ok(None) };
        let Some(path) = file.path() else { return Ok(Some(file)) };
        let storage = Storage { inner: file.storage().clone(), at: self.clone() };
        ImageFile::at_path(Arc::new(storage), path, file.role()).map(Some)
    }
}

struct Storage {
    inner: Arc<dyn ReadAt>,
    at: At,
}

impl ReadAt for Storage {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.at.reads.fetch_add(1, Ordering::Relaxed) + 1 == self.at.read {
            match &self.at.event {
                Event::Cancel(job) => job.cancel(),
                Event::Fail => return Err(io::ErrorKind::Other.into()),
            }
        }
        self.inner.read_at(buf, offset)
    }
    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }
    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        self.inner.next_data(offset)
    }
    fn identity(&self) -> Option<FileIdentity> {
        self.inner.identity()
    }
}

/// Merges the whole chain, with `event` at a read; says whether it got through, and whether it was stopped.
fn merge(chain: &Chain, read: u64, event: Event) -> std::result::Result<(), Error> {
    let job = match &event {
        Event::Cancel(job) => job.clone(),
        Event::Fail => Job::new(),
    };
    let at = At { read, reads: Arc::default(), event };
    let merge = Merge::of(chain.top()).base(&chain.images[0]).open(Open::new().resolver(at));
    merge.job(&job).commit().map(drop)
}

/// Stops a merge at every read there is; says how often it was stopped between its first write and its end.
fn at_every_read(format: OutputFormat, event: impl Fn() -> Event) -> u32 {
    let chain = Chain::with(format, &LAYERS[..3]);
    let files = chain.files();
    let mut begun = 0;
    for read in 1.. {
        let stopped = merge(&chain, read, event());
        let what = format!("{format}, read {read}: {stopped:?}");
        if stopped.is_ok() {
            assert!(read > 10, "{what}: it was stopped somewhere");
            break;
        }
        if chain.files() == files {
            // Nothing was written yet.
            continue;
        }
        assert_reads(chain.top(), chain.content());
        for image in &chain.images {
            assert_clean(image);
        }
        if bond_warnings(&open(chain.top())).iter().any(|warning| warning.contains("merge")) {
            begun += 1;
            let refused = Open::new().open_writable(chain.top());
            assert!(matches!(refused, Err(Error::NotWritable { .. })), "{what}: the bond is kept");
            for between in &chain.images[1..3] {
                let opened = diskport::open(between);
                assert!(matches!(opened, Err(Error::ParentMismatch { .. })), "{what}: {opened:?}");
            }
        }
        Merge::of(chain.top()).base(&chain.images[0]).commit().expect("goes on");
        assert_reads(chain.top(), chain.content());
        assert_reads(&chain.images[0], chain.content());
        assert_eq!(bond_warnings(&open(chain.top())), [""; 0], "{what}");
        chain.restore(&files);
    }
    assert!(begun == 0 || tells_changes(format), "{format}");
    begun
}

#[test]
fn a_cancelled_merge_goes_on_when_run_again() {
    for format in FORMATS {
        // All may have been read ahead before the first write, so that it is not said how often this meets one.
        at_every_read(format, || Event::Cancel(Job::new()));
    }
}

#[test]
fn a_merge_that_failed_goes_on_when_run_again() {
    for format in FORMATS {
        let begun = at_every_read(format, || Event::Fail);
        assert_eq!(begun > 0, tells_changes(format), "{format}: {begun} times between begin and end");
    }
}

#[test]
fn a_merge_that_was_begun_from_further_down_is_ended_from_the_top() {
    for format in FORMATS {
        let mut chain = Chain::with(format, &LAYERS[..3]);
        let files = chain.files();
        for read in (1..).step_by(5) {
            if merge(&chain, read, Event::Fail).is_ok() {
                break;
            }
            chain.push(LAYERS[3]);
            assert_reads(chain.top(), chain.content());
            Merge::of(chain.top()).base(&chain.images[0]).commit().expect("merges");
            assert_reads(chain.top(), chain.content());
            assert_reads(&chain.images[0], chain.content());
            std::fs::remove_file(chain.top()).expect("goes away");
            chain.images.pop();
            chain.contents.pop();
            chain.restore(&files);
        }
    }
}

//! A chain streamed into an upload, in one pass and without a file in between, with its progress shown; and an upload that
//! is given up.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use diskport::copy::{Convert, OutputFormat};
use diskport::format::vmdk::Subformat;
use diskport::job::{Job, Phase};
use diskport::storage::{Explicit, MemoryStorage, ReadAt};
use diskport::{Child, Disk, Error, KIB, MIB, Open};

/// What takes the bytes as they come: the body of a request, say.
#[derive(Default)]
struct Upload {
    parts: Vec<Vec<u8>>,
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.parts.push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An upload that somebody gives up when a part of it has gone.
struct GivenUp {
    job: Job,
    sent: u64,
}

impl Write for GivenUp {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sent += bytes.len() as u64;
        if self.sent > 64 * KIB {
            self.job.cancel();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A child over a base, both in memory.
fn chain() -> Result<Disk, Box<dyn std::error::Error>> {
    let base = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx"))?;
    let parent = Open::new().open(base.clone())?;
    let storage = Arc::new(MemoryStorage::default());
    let child = Child::of(&parent).parent_name("base.vhdx").create(storage.clone())?.open()?;
    let noise: Vec<u8> = (0..MIB).map(|at| ((at * at) >> 7) as u8).collect();
    child.write_at(&noise, 0)?;
    child.close()?;
    let base: Arc<dyn ReadAt> = Arc::new(MemoryStorage::new(base));
    Ok(Open::new().resolver(Explicit::from([("base.vhdx", base)])).open(storage)?)
}

fn content(disk: &Disk) -> diskport::Result<Vec<u8>> {
    let mut bytes = vec![0; disk.size() as usize];
    disk.read_at(&mut bytes, 0).map(|()| bytes)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let disk = chain()?;
    assert_eq!(disk.chain().len(), 2);

    // A streamOptimized VMDK is made for this: it is written from front to back.
    let told = Arc::new(AtomicU64::new(0));
    let listener = {
        let told = told.clone();
        move |progress: &diskport::job::Progress| {
            told.fetch_add(1, Ordering::Relaxed);
            println!("{:?}: {:.0} %", progress.phase(), progress.percent());
        }
    };
    let job = Job::told(listener);
    let copy = Convert::new(&disk).to(OutputFormat::Vmdk(Subformat::StreamOptimized));
    let mut upload = Upload::default();
    let report = copy.clone().job(&job).write_to(&mut upload)?;
    println!("{} bytes of data, as {} compressed", report.data_read, report.data_written);
    assert_eq!((job.progress().phase(), job.progress().percent()), (Some(Phase::Copy), 100.0));
    assert!(told.load(Ordering::Relaxed) > 0);
    let arrived = Open::new().open(upload.parts.concat())?;
    assert!(content(&arrived)? == content(&disk)?, "what arrived reads as the chain");

    let job = Job::new();
    let mut upload = GivenUp { job: job.clone(), sent: 0 };
    let given_up = copy.job(&job).write_to(&mut upload);
    assert!(matches!(given_up, Err(Error::Cancelled)));
    println!("given up after {} bytes", upload.sent);
    Ok(())
}

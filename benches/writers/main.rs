//! Four writers beside one, over a memory that takes its time: how many times faster they are, in one run.
//!
//! `cargo bench --bench writers`. Each call of the storage sleeps before it does anything, as one over a network would, so what
//! is measured is how many calls the formats let be under way at once; two cores are plenty. A ratio of 4 is the most there is.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use diskport::copy::{Convert, OutputFormat};
use diskport::format::Allocation;
use diskport::format::vmdk::Subformat;
use diskport::storage::{Explicit, MemoryStorage, ReadAt, WriteAt};
use diskport::{Child, Disk, KIB, MIB, Open, WritableDisk};

const LATENCY: Duration = Duration::from_millis(2);
const SIZE: u64 = 256 * MIB;
/// Bytes of a write.
const PIECE: u64 = 64 * KIB;
/// From one write to the next: each meets a block of its own.
const STRIDE: u64 = 2 * MIB;
const THREADS: u64 = 4;
/// Runs, of which the fastest counts.
const ROUNDS: usize = 3;

/// A memory of which each call takes a while.
#[derive(Clone, Default)]
struct Slow(Arc<MemoryStorage>);

impl ReadAt for Slow {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        std::thread::sleep(LATENCY);
        self.0.read_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }
}

impl WriteAt for Slow {
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        std::thread::sleep(LATENCY);
        self.0.write_all_at(data, offset)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.0.set_size(size)
    }

    fn sync(&self) -> io::Result<()> {
        std::thread::sleep(LATENCY);
        self.0.sync()
    }

    fn punch_hole(&self, range: Range<u64>) -> io::Result<()> {
        std::thread::sleep(LATENCY);
        self.0.punch_hole(range)
    }
}

/// Writes a piece of each stride, by so many threads, and gives the time it takes.
fn write(disk: &WritableDisk, threads: u64, byte: u8) -> diskport::Result<Duration> {
    let begin = Instant::now();
    let bytes = vec![byte; PIECE as usize];
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..threads)
            .map(|thread| {
                let bytes = &bytes;
                scope.spawn(move || {
                    let first = thread * STRIDE;
                    (first..SIZE)
                        .step_by((threads * STRIDE) as usize)
                        .try_for_each(|at| disk.write_at(bytes, at))
                })
            })
            .collect();
        writers.into_iter().try_for_each(|writer| writer.join().expect("no writer panics"))
    })?;
    Ok(begin.elapsed())
}

/// An empty image of `format`, or one whose every block holds something, or a child over that.
struct Case {
    format: OutputFormat,
    is_child: bool,
    /// Whether the blocks that are written to are there already.
    is_there: bool,
}

impl Case {
    fn make(&self) -> diskport::Result<(Open, Slow)> {
        let base = Arc::new(MemoryStorage::default());
        Convert::new(&Disk::empty(SIZE, 512)).to(self.format).create(base.clone())?;
        if self.is_there || self.is_child {
            let disk = Open::new().open_writable(base.clone())?;
            write(&disk, 1, 1)?;
            disk.close()?;
        }
        if !self.is_child {
            return Ok((Open::new(), Slow(base)));
        }
        let open = Open::new().resolver(Explicit::from([("base", base.clone() as Arc<dyn ReadAt>)]));
        let child = Arc::new(MemoryStorage::default());
        Child::of(&Open::new().open(base)?).parent_name("base").create(child.clone())?;
        if self.is_there {
            let disk = open.open_writable(child.clone())?;
            write(&disk, 1, 2)?;
            disk.close()?;
        }
        Ok((open, Slow(child)))
    }

    fn measure(&self, threads: u64) -> diskport::Result<Duration> {
        let mut best = Duration::MAX;
        for _ in 0..ROUNDS {
            let (open, storage) = self.make()?;
            let disk = open.open_writable(storage)?;
            // The first write marks the image as one that is in use.
            disk.write_at(&[3; 512], SIZE - 512)?;
            best = best.min(write(&disk, threads, 3)?);
            disk.close()?;
        }
        Ok(best)
    }
}

fn main() -> diskport::Result<()> {
    let formats = [
        OutputFormat::Vmdk(Subformat::MonolithicSparse),
        OutputFormat::Vhdx(Allocation::Dynamic),
        OutputFormat::Vhd(Allocation::Dynamic),
    ];
    println!("| image | blocks | one writer | {THREADS} writers | ratio |\n| --- | --- | --- | --- | --- |");
    for format in formats {
        for (is_child, is_there) in [(false, true), (false, false), (true, true), (true, false)] {
            let case = Case { format, is_child, is_there };
            let (one, all) = (case.measure(1)?, case.measure(THREADS)?);
            println!(
                "| {format}{} | {} | {one:.1?} | {all:.1?} | {:.2} |",
                if is_child { ", a child" } else { "" },
                if is_there { "there" } else { "new" },
                one.as_secs_f64() / all.as_secs_f64()
            );
        }
    }
    Ok(())
}

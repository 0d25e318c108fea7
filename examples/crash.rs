//! A child written by four threads, and a crash: what was flushed is there when it is opened again, and what was not leaves no
//! image damaged.

use std::sync::Arc;

use diskport::storage::{Explicit, MemoryStorage, ReadAt};
use diskport::{Child, MIB, Open};

const THREADS: u64 = 4;
/// Bytes that each thread writes, in an area of its own.
const AREA: u64 = MIB / 2;
const PIECE: u64 = 4096;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let base: Arc<dyn ReadAt> =
        Arc::new(std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx"))?);
    let parent = Open::new().open(base.clone())?;
    let storage = Arc::new(MemoryStorage::default());
    let child = Child::of(&parent).parent_name("base.vhdx").create(storage.clone())?.open()?;

    // One disk, shared: no thread waits for another to write.
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let child = &child;
                scope.spawn(move || {
                    let area = thread * AREA..(thread + 1) * AREA;
                    area.step_by(PIECE as usize)
                        .try_for_each(|at| child.write_at(&[thread as u8 + 1; PIECE as usize], at))
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|e| std::panic::resume_unwind(e)))
    })?;
    child.flush()?;
    child.write_at(&[0xff; PIECE as usize], 0)?;

    // The crash: the bytes that the storage has by now, of an image that nobody closed.
    let left = storage.to_vec();
    drop(child);

    let parents = Explicit::from([("base.vhdx", base)]);
    let crashed = Arc::new(MemoryStorage::new(left));
    let child = Open::new().resolver(parents).open_writable(crashed.clone())?;
    let mut found = vec![0; (THREADS * AREA) as usize];
    child.read_at(&mut found, 0)?;
    for (at, sector) in (0..).step_by(512).zip(found.chunks(512)) {
        let flushed = sector.iter().all(|&byte| u64::from(byte) == at / AREA + 1);
        // The last write was not flushed: each of its sectors is the old one or the new one.
        let last = at < PIECE && sector.iter().all(|&byte| byte == 0xff);
        assert!(flushed || last, "the sector at {at} is lost");
    }
    child.write_at(b"on it goes", 0)?;
    child.close()?;
    let checked = Open::new().check(crashed)?;
    assert!(checked.is_clean(), "{:?}", checked.findings);
    println!("{} bytes are there after the crash", found.len());
    Ok(())
}

//! What no input may cost: 64 MiB of memory beyond what the test itself holds, and a second.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

const MEMORY: isize = 64 << 20;
/// A second for the optimised library; these tests run it barely optimised, on a machine that others load too.
const TIME: Duration = Duration::from_secs(if cfg!(debug_assertions) { 4 } else { 1 });

/// Counts what each thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(bytes: isize) {
    // A thread that is ending has no counters left; nothing is measured there.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

// SAFETY: every call goes to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Runs `work` on this thread and fails when it takes too much memory or time.
#[track_caller]
pub fn within_limits<T>(work: impl FnOnce() -> T) -> T {
    let before = HELD.get();
    PEAK.set(before);
    let begun = Instant::now();
    let result = work();
    let (taken, memory) = (begun.elapsed(), PEAK.get() - before);
    assert!(memory <= MEMORY, "{memory} bytes of memory");
    assert!(taken <= TIME, "{taken:?}");
    result
}

#[test]
#[should_panic(expected = "bytes of memory")]
fn the_limit_is_noticed() {
    within_limits(|| std::hint::black_box(vec![1_u8; 65 << 20]));
}

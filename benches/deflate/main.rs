//! The encoder against zlib-rs and against zlib itself, on files of the Rust toolchain in grains of 64 KiB:
//! cargo bench --bench deflate. Needs python3, whose zlib module is zlib.
//!
//! All codecs take turns at each grain, and the best of some rounds counts: the rates compare even on a machine that
//! others use. Fails where level 6 gives more bytes than zlib's.

mod grains;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use diskport::deflate::Compressor;
use flate2::{Compress, Compression, FlushCompress};
use grains::GRAIN;

/// Bytes that are compressed.
const BYTES: usize = 64 << 20;
const ROUNDS: usize = 3;

/// A way to compress a grain into room that is given.
type Codec = Box<dyn FnMut(&[u8], &mut Vec<u8>)>;

struct Case {
    name: String,
    codec: Codec,
    bytes: usize,
    time: Duration,
}

impl Case {
    fn new(name: &str, level: u32, codec: Codec) -> Self {
        Self { name: format!("{name} {level}"), codec, bytes: 0, time: Duration::ZERO }
    }

    fn ours(level: u32) -> Self {
        let mut compressor = Compressor::new(level);
        Self::new("diskport", level, Box::new(move |grain, out| compressor.zlib(grain, out)))
    }

    fn zlib_rs(level: u32) -> Self {
        let mut compressor = Compress::new(Compression::new(level), true);
        let codec = move |grain: &[u8], out: &mut Vec<u8>| {
            compressor.reset();
            compressor.compress_vec(grain, out, FlushCompress::Finish).expect("compresses");
        };
        Self::new("zlib-rs", level, Box::new(codec))
    }
}

fn main() {
    let grains = grains::of_the_toolchain(BYTES);
    let mut cases: Vec<Case> = (0..=9).map(Case::ours).chain([1, 6, 9].map(Case::zlib_rs)).collect();
    let mut out = Vec::with_capacity(2 * GRAIN);
    for grain in grains.chunks(GRAIN) {
        let mut best = vec![Duration::MAX; cases.len()];
        for _ in 0..ROUNDS {
            for (case, best) in cases.iter_mut().zip(&mut best) {
                out.clear();
                let begun = Instant::now();
                (case.codec)(grain, &mut out);
                *best = begun.elapsed().min(*best);
            }
        }
        for (case, best) in cases.iter_mut().zip(best) {
            out.clear();
            (case.codec)(grain, &mut out);
            case.bytes += out.len();
            case.time += best;
        }
    }
    let (bytes, time) = zlib(&grains);
    println!(
        "| codec and level | MiB/s | ratio | bytes to zlib 6 | speed to zlib 6 |\n|---|---|---|---|---|"
    );
    for case in cases.iter().chain([&Case { bytes, time, ..Case::new("zlib", 6, Box::new(|_, _| ())) }]) {
        let seconds = case.time.as_secs_f64();
        println!(
            "| {} | {:.1} | {:.4} | {:.4} | {:.2} |",
            case.name,
            grains.len() as f64 / seconds / (1 << 20) as f64,
            case.bytes as f64 / grains.len() as f64,
            case.bytes as f64 / bytes as f64,
            time.as_secs_f64() / seconds,
        );
    }
    assert!(cases[6].bytes <= bytes, "level 6 gives {} bytes, zlib {bytes}", cases[6].bytes);
}

/// What zlib makes of the grains at level 6, as qemu-img calls it, and how long it takes.
fn zlib(grains: &[u8]) -> (usize, Duration) {
    const SCRIPT: &str = "
import sys, time, zlib
data = sys.stdin.buffer.read()
size = total = 0
for at in range(0, len(data), 65536):
    grain, best = data[at:at + 65536], 1e9
    for _ in range(3):
        begun = time.perf_counter()
        packed = zlib.compress(grain, 6)
        best = min(best, time.perf_counter() - begun)
    size, total = size + len(packed), total + best
print(size, total)
";
    let mut python = Command::new("python3")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    python.stdin.take().expect("a pipe").write_all(grains).expect("python3 reads");
    let out = python.wait_with_output().expect("python3 ends").stdout;
    let out = String::from_utf8(out).expect("text");
    let (bytes, seconds) = out.trim().split_once(' ').expect("two numbers");
    (bytes.parse().expect("bytes"), Duration::from_secs_f64(seconds.parse().expect("seconds")))
}

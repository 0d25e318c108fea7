//! A VHDX of which the log alone is the input's.

use crate::{Input, SECTOR, Sparse, checksum};

/// An image without faults; its log lies in its second MiB.
static SOUND: &[u8] = include_bytes!("../../testdata/small.vhdx");
const LOG: u64 = 1 << 20;
const LOG_LENGTH: u64 = 1 << 20;
const LOG_ID: [u8; 16] = [0x10; 16];

/// The sound image with a log in use, whose sectors are those of the input's first file.
pub fn image_with_log(input: &Input) -> Sparse {
    let mut image = Sparse::over(SOUND);
    for (sector, bytes) in input.files[0].sectors() {
        image.set(LOG + u64::from(sector) * SECTOR as u64 % LOG_LENGTH, bytes);
    }
    for header in [64 << 10, 128 << 10] {
        image.set(header + 48, &LOG_ID);
    }
    if !input.has(Input::KEEP_CHECKSUMS) {
        let id = (!input.has(Input::KEEP_BINDINGS)).then_some(LOG_ID);
        checksum::mend_log(&mut image, LOG, LOG_LENGTH, id);
    }
    checksum::mend_vhdx_headers(&mut image);
    image
}

/// A log of one entry that can be replayed: one run of zeros, one sector of data.
pub fn replayable_log() -> Input {
    let (file_size, sequence) = (SOUND.len() as u64, 1_u64);
    let mut entry = Vec::new();
    entry.extend(b"loge\0\0\0\0");
    [2 * 4096_u32, 0].iter().for_each(|field| entry.extend(field.to_le_bytes()));
    entry.extend(sequence.to_le_bytes());
    [2_u32, 0].iter().for_each(|field| entry.extend(field.to_le_bytes()));
    entry.extend(LOG_ID);
    [file_size, file_size].iter().for_each(|field| entry.extend(field.to_le_bytes()));
    entry.extend(b"zero\0\0\0\0");
    [4096, 5 << 20, sequence].iter().for_each(|field: &u64| entry.extend(field.to_le_bytes()));
    entry.extend(b"desctail\x01lead\0\0\0");
    [4 << 20, sequence].iter().for_each(|field: &u64| entry.extend(field.to_le_bytes()));
    entry.resize(4096, 0);
    entry.extend(b"data\0\0\0\0");
    entry.resize(2 * 4096 - 4, 0xab);
    entry.extend(1_u32.to_le_bytes());

    let mut input = Input::new(0);
    input.files[0].set(0, &entry);
    input
}

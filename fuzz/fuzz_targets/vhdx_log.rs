//! The log of a VHDX that is otherwise sound: only the log's sectors are the input's.
#![no_main]

use diskport::{Format, Open};
use diskport_fuzz::{Input, Sparse, checksum, exercise, target};

static SOUND: &[u8] = include_bytes!("../../testdata/small.vhdx");
const LOG: u64 = 1 << 20;
const LOG_LENGTH: u64 = 1 << 20;
const LOG_ID: [u8; 16] = [0x10; 16];

target!(|input| {
    let keep_id = input.has(Input::KEEP_BINDINGS);
    let keep_checksums = input.has(Input::KEEP_CHECKSUMS);
    let mut image = Sparse::over(SOUND);
    let [log, ..] = input.files;
    for (sector, bytes) in log.sectors() {
        image.set(LOG + u64::from(sector) * 512 % LOG_LENGTH, bytes);
    }
    for header in [64 << 10, 128 << 10] {
        image.set(header + 48, &LOG_ID);
    }
    if !keep_checksums {
        checksum::mend_log(&mut image, LOG, LOG_LENGTH, (!keep_id).then_some(LOG_ID));
    }
    checksum::mend_vhdx_headers(&mut image);
    exercise(&Open::new().format(Format::Vhdx), image);
});

//! Streams read forwards.

use std::io::Read;

use diskport::format::vmdk::VmdkStream;
use diskport::{Data, Defect, Error, Problem};

use super::builder::{self, SECTOR, Text, field, marker, put, put32, put64};
use super::{content, data, monolithic, pattern, streamed};

/// The content, or why it was refused.
fn read(input: impl Read) -> Result<Vec<u8>, Box<Defect>> {
    let all = || {
        let stream = VmdkStream::new(input)?;
        let mut out = vec![0; stream.size() as usize];
        let mut at = 0;
        for block in stream {
            let block = block?;
            assert_eq!(block.offset, at, "no gap");
            assert!(!block.is_empty());
            at = block.end();
            if let Data::Bytes(bytes) = &block.data {
                out[block.offset as usize..at as usize].copy_from_slice(bytes);
            }
        }
        assert_eq!(at, out.len() as u64, "the whole disk");
        Ok(out)
    };
    crate::support::within_limits(all).map_err(|e| match e {
        Error::Defect(defect) => defect,
        other => panic!("{other}"),
    })
}

#[track_caller]
fn problem(bytes: &[u8]) -> (Problem, &'static str) {
    match read(bytes) {
        Err(defect) => (defect.problem, defect.structure),
        Ok(_) => panic!("accepted"),
    }
}

/// Where the marker of the second grain, the first that is stored, lies.
fn first_marker(built: &builder::Built) -> usize {
    built.grains[1] as usize * SECTOR
}

#[test]
fn streams_read_as_their_files() {
    for front in [false, true] {
        let mut disk = streamed();
        disk.front = front;
        assert!(read(&disk.build().bytes[..]).expect("reads") == content());
    }
    for short_last in [false, true] {
        let mut disk = builder::Stream::new(200, 128, vec![data(1), data(2)]);
        disk.short_last = short_last;
        let model = [pattern(1, 128), pattern(2, 72)].concat();
        assert!(read(&disk.build().bytes[..]).expect("reads") == model);
    }
}

#[test]
fn what_follows_the_stream_is_left_alone() {
    let bytes = [streamed().build().bytes, vec![7; 1000]].concat();
    let mut rest = &bytes[..];
    assert!(read(&mut rest).expect("reads") == content());
    assert_eq!(rest, [7; 1000]);
}

#[test]
fn a_stream_cut_anywhere_is_refused_at_its_end() {
    let whole = streamed().build().bytes;
    for len in (0..whole.len()).step_by(SECTOR).chain([1, 600, whole.len() - 1]) {
        assert_eq!(problem(&whole[..len]).0, Problem::Truncated, "{len} bytes");
    }
    assert_eq!(problem(&whole[..whole.len() - SECTOR]).1, "end-of-stream marker");
    let mut disk = streamed();
    (disk.front, disk.end_of_stream) = (true, false);
    assert_eq!(problem(&disk.build().bytes), (Problem::Truncated, "end-of-stream marker"));
}

#[test]
fn an_end_without_a_footer_is_refused() {
    let built = streamed().build();
    let mut bytes = built.bytes;
    let end = bytes.len() - 3 * SECTOR;
    bytes[end..].fill(0);
    assert_eq!(problem(&bytes), (Problem::Truncated, "footer"));
}

#[test]
fn grains_come_in_order_and_within_the_disk() {
    let built = streamed().build();
    let at = first_marker(&built);
    for lba in [127, 1024, u64::MAX, 1 << 60] {
        let mut bytes = built.bytes.clone();
        put64(&mut bytes, at, lba);
        assert_eq!(problem(&bytes), (Problem::Value, "grain marker"), "{lba}");
    }
    // The second stored grain takes the first one's place, or one before it.
    for lba in [0, 128] {
        let mut bytes = built.bytes.clone();
        put64(&mut bytes, built.grains[2] as usize * SECTOR, lba);
        assert_eq!(problem(&bytes), (Problem::Value, "grain marker"), "{lba}");
    }
}

#[test]
fn bad_grains_are_refused() {
    let built = streamed().build();
    let at = first_marker(&built);
    let size = u32::from_le_bytes(built.bytes[at + 8..at + 12].try_into().expect("four"));
    for (size, structure) in [
        (u32::MAX, "grain marker"),
        (70_000, "grain marker"),
        (size - 1, "compressed grain"),
        (size + 1, "compressed grain"),
    ] {
        let mut bytes = built.bytes.clone();
        put32(&mut bytes, at + 8, size);
        assert_eq!(problem(&bytes), (Problem::Compression, structure), "{size}");
    }
    let mut bytes = built.bytes.clone();
    bytes[at + 40] ^= 0xff;
    assert_eq!(problem(&bytes), (Problem::Compression, "compressed grain"));
    // Too long and too short for a grain.
    for sectors in [127, 129] {
        let mut disk = streamed();
        disk.grains[1] = builder::Grain::Data(pattern(1, sectors));
        assert_eq!(problem(&disk.build().bytes), (Problem::Compression, "compressed grain"), "{sectors}");
    }
}

#[test]
fn markers_must_be_known_and_their_tables_fit() {
    let built = streamed().build();
    let table = built.tables[0] as usize * SECTOR - SECTOR;
    for (value, kind, expected) in
        [(4, 5, (Problem::Unsupported, "marker")), (1 << 60, 1, (Problem::Table, "grain table"))]
    {
        let mut bytes = built.bytes.clone();
        put(&mut bytes, table, &marker(value, kind));
        assert_eq!(problem(&bytes), expected);
    }
    // The progress marker of vSphere leads to nothing.
    let mut bytes = built.bytes.clone();
    bytes.splice(table..table, marker(1, 4));
    let footer = bytes.len() - 2 * SECTOR;
    put64(&mut bytes, footer + field::GD, built.gd + 1);
    assert!(read(&bytes[..]).expect("reads") == content());
}

#[test]
fn the_footer_is_checked() {
    let built = streamed().build();
    let footer = built.bytes.len() - 2 * SECTOR;
    for (at, value, expected) in [
        (field::CAPACITY, 2048, Problem::Ambiguous),
        (field::GRAIN_SIZE, 256, Problem::Ambiguous),
        (field::GD, built.gd + 1, Problem::Value),
        (field::GD, u64::MAX, Problem::Truncated),
        (0, 0, Problem::Signature),
    ] {
        let mut bytes = built.bytes.clone();
        put64(&mut bytes, footer + at, value);
        assert_eq!(problem(&bytes), (expected, "footer"), "{at}");
    }
    let mut bytes = built.bytes.clone();
    put32(&mut bytes, footer + SECTOR + 12, 3);
    assert_eq!(problem(&bytes), (Problem::Value, "marker"));
}

#[test]
fn what_cannot_be_read_forwards_is_refused() {
    assert_eq!(problem(&monolithic().build().bytes), (Problem::Unsupported, "header"));
    let mut disk = streamed();
    disk.markers = false;
    assert_eq!(problem(&disk.build().bytes), (Problem::Unsupported, "header"));
    let mut disk = streamed();
    let mut text = Text::new("streamOptimized", ["RW 1024 SPARSE \"a\""]);
    text.parent = Some((1, "base.vmdk".into()));
    disk.descriptor = text.render();
    assert_eq!(problem(&disk.build().bytes), (Problem::Unsupported, "descriptor"));
    let mut bytes = streamed().build().bytes;
    put64(&mut bytes, field::OVERHEAD, 1);
    assert_eq!(problem(&bytes), (Problem::Descriptor, "header"));
    assert_eq!(problem(&[0; 4096]), (Problem::Signature, "header"));
}

//! What is done with an image: it is opened, its map walked, and a bounded part of it read in every way there is.

use std::io::{self, Read};

use diskport::disk::is_zero;
use diskport::format::vmdk::VmdkStream;
use diskport::storage::{NoExternal, ReadAt};
use diskport::{Blocks, Data, Disk, Error, Open};

use crate::{HandOut, Input, Sparse};

/// Extents that are walked: an image may claim more than there is time for.
const EXTENTS: usize = 3_000;
/// Bytes of a pipe.
const PIPE: u64 = 16 << 20;
/// Of the start of a disk.
const HEAD: u64 = 128 << 10;
const PIECE: u64 = 5_000;

/// Opens an image that may open no other file.
pub fn exercise(open: &Open, image: Sparse) {
    exercise_with(&open.clone().resolver(NoExternal), image);
}

/// Opens the first file of an input as an image; the other files are handed out to it.
pub fn exercise_chain(open: &Open, input: Input) {
    let any_parent = input.has(Input::ANY_PARENT);
    let [image, others @ ..] = input.files;
    let open = open.clone().ignore_parent_mismatch(any_parent);
    exercise_with(&open.clone().resolver(HandOut::new(others.clone())), image.clone());
    // Without its parent an image can still be looked at.
    exercise_with(&open.resolver(HandOut::new([])).allow_missing_parent(true), image);
}

/// Opens an image and reads it. Errors are what images of this kind are for; panics and lies are not.
pub fn exercise_with(open: &Open, image: Sparse) {
    match open.open(image) {
        Ok(disk) => read(&disk).unwrap_or_else(|error| look_at(&error)),
        Err(error) => look_at(&error),
    }
}

/// Reads a streamOptimized VMDK strictly forwards.
pub fn exercise_stream(image: &Sparse) {
    let mut reader = match VmdkStream::new(Forwards { image, at: 0 }) {
        Ok(reader) => reader,
        Err(error) => return look_at(&error),
    };
    let mut at = 0;
    for block in reader.by_ref().take(EXTENTS) {
        match block {
            Ok(block) => {
                assert_eq!(block.offset, at, "blocks leave no gap");
                at = block.end();
            }
            Err(error) => return look_at(&error),
        }
    }
    assert!(at <= reader.size());
}

/// A file that is read like a pipe, up to a bound.
struct Forwards<'a> {
    image: &'a Sparse,
    at: u64,
}

impl Read for Forwards<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.image.read_at(buf, self.at)?;
        self.at += n as u64;
        if self.at > PIPE { Err(io::ErrorKind::TimedOut.into()) } else { Ok(n) }
    }
}

fn look_at(error: &Error) {
    assert!(!error.to_string().is_empty());
    let _ = (error.class(), error.hint());
}

fn read(disk: &Disk) -> diskport::Result<()> {
    let _ = format!("{disk:?}");
    disk.warnings().for_each(|warning| assert!(!warning.to_string().is_empty()));
    let mut at = 0;
    let (mut data, mut zeros) = (Vec::new(), 0);
    for extent in disk.extents(..).take(EXTENTS) {
        let extent = extent?;
        assert_eq!(extent.start, at, "extents leave no gap");
        assert!(extent.len > 0 && extent.len <= disk.size() - at, "an extent lies within the disk");
        at = extent.end();
        if extent.is_data() {
            assert!(disk.file_of(&extent).is_some(), "data is in a file");
            if data.len() < 8 {
                data.push(extent.start);
            }
        } else if zeros < 32 {
            zeros += 1;
            let mut bytes = vec![0xee; extent.len.min(PIECE) as usize];
            disk.read_at(&mut bytes, extent.start)?;
            assert!(is_zero(&bytes), "what is no data reads as zeros");
        }
    }
    let last = disk.size().saturating_sub(PIECE);
    for start in data.into_iter().chain([last, last / 2, last / 3 * 2]) {
        let mut bytes = vec![0; PIECE.min(disk.size() - start) as usize];
        disk.read_at(&mut bytes, start)?;
    }
    head(disk)
}

/// One read and a stream of blocks tell the same of the first MiB.
fn head(disk: &Disk) -> diskport::Result<()> {
    let mut whole = vec![0; disk.size().min(HEAD) as usize];
    disk.read_at(&mut whole, 0)?;
    for block in disk.blocks(Blocks::of(64 << 10).read_ahead(0).range(0..HEAD)) {
        let block = block?;
        let start = block.offset as usize;
        let end = (block.end() as usize).min(whole.len());
        match &block.data {
            Data::Bytes(bytes) => assert!(bytes[..] == whole[start..end], "blocks and reads agree"),
            Data::Zero(_) | Data::Absent(_) => assert!(is_zero(&whole[start..end]), "blocks and reads agree"),
        }
    }
    Ok(())
}

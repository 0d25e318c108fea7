//! Changing the descriptor in its file.

use std::ops::Range;
use std::sync::Arc;

use zerocopy::{FromZeros, IntoBytes};

use super::super::descriptor::{self, NO_PARENT};
use super::super::layout::{SECTOR, SparseExtentHeader};
use crate::disk::Identity;
use crate::error::{Error, Result};
use crate::leaves::{Format, LockMode, Shown};
use crate::storage::{FileRole, OutputFile, WritableFile};

/// Where an embedded descriptor lies: qemu reads it there, whatever the header says.
pub(in super::super) const HOME: u64 = SECTOR;

/// The text of a descriptor, and where it lies.
#[derive(Clone)]
pub(in super::super) struct DescriptorText {
    file: WritableFile,
    /// The bytes that are kept for it.
    place: Range<u64>,
    /// Whether it lies in a sparse extent.
    embedded: bool,
    text: Vec<u8>,
}

impl DescriptorText {
    /// The descriptor at `place` of `file`.
    pub(in super::super) fn read(file: &WritableFile, place: Range<u64>, embedded: bool) -> Result<Self> {
        let image = file.image(FileRole::Image)?;
        let len = place.end - place.start;
        let mut text = image.read_vec(Format::Vmdk, "descriptor", place.start, len, descriptor::MAX_BYTES)?;
        text.truncate(text.iter().position(|&byte| byte == 0).unwrap_or(text.len()));
        Ok(Self { file: file.clone(), place, embedded, text })
    }

    pub(super) fn is_embedded(&self) -> bool {
        self.embedded
    }

    /// The value of `key`, without quotes.
    pub(in super::super) fn value(&self, key: &str) -> Option<&[u8]> {
        self.find(key).map(|range| &self.text[range])
    }

    /// Where the value of `key` lies.
    fn find(&self, key: &str) -> Option<Range<usize>> {
        let mut at = 0;
        for line in self.text.split(|&byte| byte == b'\n') {
            if let Some(equals) = line.iter().position(|&byte| byte == b'=')
                && line[..equals].trim_ascii().eq_ignore_ascii_case(key.as_bytes())
            {
                let value = line[equals + 1..].trim_ascii();
                let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
                let skip = usize::from(bare.is_some());
                let end = at + line.trim_ascii_end().len() - skip;
                let len = bare.unwrap_or(value).len();
                return Some(end - len..end);
            }
            at += line.len() + 1;
        }
        None
    }

    /// `name` in the encoding of the text.
    pub(super) fn encode(&self, name: &str) -> Result<Vec<u8>> {
        let encoding = descriptor::encoding(&self.file.image(FileRole::Image)?, &self.text)?;
        match encoding.encode(name) {
            (bytes, _, false) => Ok(bytes.into_owned()),
            _ => {
                let (file, encoding) = (self.file.name(), encoding.name());
                Err(Error::Layout {
                    reason: format!("{file}: the name {name:?} cannot be written in {encoding}"),
                })
            }
        }
    }

    /// Sets the value of `key`; where it has none, in a new `line` behind that of the key `after`.
    pub(in super::super) fn set(&mut self, key: &str, value: &[u8], line: &[u8], after: &str) {
        if let Some(range) = self.find(key) {
            self.text.splice(range, value.iter().copied());
            return;
        }
        let start = self.find(after).map_or(self.text.len(), |range| range.end);
        let end = self.text[start..].iter().position(|&byte| byte == b'\n');
        let at = end.map_or(self.text.len(), |end| start + end + 1);
        self.text.splice(at..at, line.iter().copied());
    }

    /// Replaces the number of sectors in the extent line at `at` of the text.
    pub(in super::super) fn set_sectors(&mut self, at: usize, sectors: u64) {
        let line = &self.text[at..];
        let spaces = |byte: &u8| byte.is_ascii_whitespace();
        let indent = line.iter().position(|byte| !spaces(byte)).unwrap_or(0);
        let access = line[indent..].iter().position(spaces).map_or(line.len(), |end| indent + end);
        let start = line[access..].iter().position(|byte| !spaces(byte)).map_or(line.len(), |at| access + at);
        let end = line[start..].iter().position(spaces).map_or(line.len(), |end| start + end);
        self.text.splice(at + start..at + end, sectors.to_string().into_bytes());
    }

    /// Gives the content another identity: `cid`, or a random one. Nothing is durable yet.
    ///
    /// It is written in place. Torn, it is yet another identity, of content that has not changed yet; the parts that repeat
    /// it are for the user to compare.
    pub(super) fn change_cid(&mut self, cid: Option<Identity>) -> Result<()> {
        let before = self.clone();
        self.set_cid(cid);
        let same_length = self.text.len() == before.text.len();
        let written = if same_length { self.write_changes(&before) } else { self.store(&before) };
        written.inspect_err(|_| *self = before)
    }

    fn set_cid(&mut self, cid: Option<Identity>) {
        let Some(old) = self.find("CID") else { return };
        let digits = old.len();
        let random = self.file.ids().guid();
        let new = match cid {
            Some(Identity::Cid(cid)) => format!("{cid:08x}"),
            // qemu writes as many digits as the number needs.
            _ => content_id(random.as_u128(), digits, &self.text[old.clone()]),
        };
        self.text.splice(old, new.bytes());
        if let Some(long) = self.find("ddb.longContentID").filter(|range| range.len() == 32) {
            let padded = format!("{new:0>8}");
            self.text[long.end - 8..long.end].copy_from_slice(padded.as_bytes());
        }
        // VirtualBox knows by it that a parent was changed.
        if let Some(modification) = self.find("ddb.uuid.modification").filter(|range| range.len() == 36) {
            self.text[modification].copy_from_slice(random.to_string().as_bytes());
        }
    }

    pub(super) fn sync(&self) -> Result<()> {
        self.file.sync()
    }

    /// Writes what differs from `before`, which has the same length, sector by sector.
    fn write_changes(&self, before: &Self) -> Result<()> {
        for range in self.changed_sectors(before) {
            self.file.write_all_at(&self.text[range.clone()], self.place.start + range.start as u64)?;
        }
        Ok(())
    }

    /// The parts of the text, one for each sector of the file, that differ from those of `before`, of the same length.
    fn changed_sectors(&self, before: &Self) -> Vec<Range<usize>> {
        let sector = SECTOR as usize;
        let parts = (0..self.text.len()).step_by(sector).map(|at| at..self.text.len().min(at + sector));
        parts.filter(|part| self.text[part.clone()] != before.text[part.clone()]).collect()
    }

    /// Makes the text durable in place of `before`: after a cut, one of them is there.
    pub(in super::super) fn store(&mut self, before: &Self) -> Result<()> {
        self.prepare(before)?;
        if self.fits(before) {
            self.write_changes(before)?;
            return self.file.sync();
        }
        if self.embedded { self.store_with(|_| {}) } else { self.replace() }
    }

    /// That the text can be stored in place of `before`.
    pub(super) fn prepare(&mut self, before: &Self) -> Result<()> {
        if self.embedded {
            return Ok(());
        }
        self.fit(before);
        if self.fits(before) || self.file.path().is_some() {
            return Ok(());
        }
        let reason = format!("{}: a descriptor that lies in no folder keeps its length", self.file.name());
        Err(Error::Layout { reason })
    }

    /// Whether it takes one sector to make `before` this text.
    fn fits(&self, before: &Self) -> bool {
        self.text.len() == before.text.len() && self.changed_sectors(before).len() <= 1
    }

    /// Makes the text as long as that of `before`, if blank lines and comments behind the change allow it, so that one sector
    /// may be all that is written.
    fn fit(&mut self, before: &Self) {
        let same = self.text.iter().zip(&before.text).take_while(|(a, b)| a == b).count();
        let line_end =
            |from: usize| self.text[from..].iter().position(|&byte| byte == b'\n').map(|at| from + at + 1);
        let Some(mut at) = line_end(same) else { return };
        let (have, want) = (self.text.len(), before.text.len());
        if have < want {
            self.text.splice(at..at, std::iter::repeat_n(b'\n', want - have));
            return;
        }
        let mut spare = have - want;
        while spare > 0 && at < self.text.len() {
            let end = self.text[at..]
                .iter()
                .position(|&byte| byte == b'\n')
                .map_or(self.text.len(), |end| at + end + 1);
            if matches!(self.text[at], b'#' | b'\n') {
                let len = spare.min(end - at);
                // A comment that is cut short stays one.
                let cut = if len == end - at { at..end } else { end - 1 - len..end - 1 };
                self.text.drain(cut.clone());
                spare -= len;
                at = if len == end - at { at } else { end - len };
            } else {
                at = end;
            }
        }
    }

    /// Makes the text of an embedded descriptor durable together with a change of the header: first it goes to the
    /// file's end, to which the header is switched; then home again, where qemu looks for it.
    pub(in super::super) fn store_with(&mut self, change: impl Fn(&mut SparseExtentHeader)) -> Result<()> {
        let home = self.place.clone();
        let away = self.file.size()?.next_multiple_of(SECTOR);
        let room = (self.text.len() as u64).next_multiple_of(SECTOR).max(home.end - home.start);
        self.store_at(away..away + room, &change)?;
        if home.start != HOME || room > home.end - home.start {
            return Ok(());
        }
        self.go_home()?;
        self.file.set_size(away)?;
        self.file.sync()
    }

    /// Moves the text to where qemu looks for it; nothing else lies there.
    pub(in super::super) fn go_home(&mut self) -> Result<()> {
        self.store_at(HOME..HOME + (self.place.end - self.place.start), &|_| {})
    }

    /// Makes the text durable at `place`, which nothing names yet, and then the header name it.
    fn store_at(&mut self, place: Range<u64>, change: &impl Fn(&mut SparseExtentHeader)) -> Result<()> {
        let mut padded = self.text.clone();
        padded.resize((place.end - place.start) as usize, 0);
        self.file.write_all_at(&padded, place.start)?;
        self.file.sync()?;
        self.switch(place, change)
    }

    /// Makes the header name the descriptor's place, with another change, in one write of one sector.
    fn switch(&mut self, place: Range<u64>, change: &impl Fn(&mut SparseExtentHeader)) -> Result<()> {
        let mut header = SparseExtentHeader::new_zeroed();
        self.file.read_exact_at(header.as_mut_bytes(), 0)?;
        change(&mut header);
        header.descriptor_offset = (place.start / SECTOR).into();
        header.descriptor_size = ((place.end - place.start) / SECTOR).into();
        self.file.write_all_at(header.as_bytes(), 0)?;
        self.file.sync()?;
        self.place = place;
        Ok(())
    }

    /// Puts a new file in the place of a descriptor that is a file of its own: where a symlink leads to, and locked as the
    /// old one is.
    fn replace(&mut self) -> Result<()> {
        let Some(path) = self.file.path() else { return Ok(()) };
        let name = || path.shown();
        let real = path.canonicalize().map_err(|e| Error::io("follow", name(), e))?;
        let output = OutputFile::replacing(real)?;
        let storage = output.storage().clone();
        storage.take(LockMode::Write, &name())?;
        let file = WritableFile::at_path(Arc::clone(&storage) as _, path);
        file.write_all_at(&self.text, 0)?;
        output.publish(true)?;
        self.place = 0..self.text.len() as u64;
        self.file = file;
        Ok(())
    }
}

/// A content id of so many digits, which is neither reserved nor `old`.
fn content_id(random: u128, digits: usize, old: &[u8]) -> String {
    let mut cid = random as u32;
    loop {
        let text = format!("{cid:08x}");
        let text = &text[8 - digits.clamp(1, 8)..];
        if cid < NO_PARENT - 1 && !text.as_bytes().eq_ignore_ascii_case(old) {
            return text.to_owned();
        }
        cid = cid.wrapping_mul(5).wrapping_add(1);
    }
}

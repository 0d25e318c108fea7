//! The footer at the file's end and its copy at the begin, of an image that is open for writing.

use zerocopy::IntoBytes;

use super::footer::Found;
use super::layout::{FIXED, Footer, SECTOR};
use crate::error::Result;
use crate::storage::WritableFile;

/// Where the footers lie. Of a dynamic or differencing disk at least one is durable at any time, and never do two
/// good ones name different headers or sizes.
pub(super) struct FooterPair {
    file: WritableFile,
    pub(super) footer: Footer,
    /// Where the footer at the end lies: all data lie before it.
    pub(super) at: u64,
    /// Whether both are known to be there.
    whole: bool,
    /// Whether anything was changed.
    begun: bool,
}

impl FooterPair {
    pub(super) fn new(file: WritableFile, found: &Found) -> Self {
        // A footer that lies between sectors, or that the end lacks, gets its place in `restore`.
        Self {
            file,
            footer: found.footer,
            at: found.data_end.next_multiple_of(SECTOR),
            whole: false,
            begun: false,
        }
    }

    fn has_copy(&self) -> bool {
        self.footer.disk_type != FIXED
    }

    /// Makes both footers good and equal, where a cut or another writer left them otherwise: before one of them is moved
    /// or replaced, the other must be there.
    pub(super) fn restore(&mut self) -> Result<()> {
        if self.whole {
            return Ok(());
        }
        self.begun = true;
        for (at, wanted) in [(0, self.has_copy()), (self.at, true)] {
            if wanted && !self.is_at(at)? {
                self.file.write_all_at(self.footer.as_bytes(), at)?;
                self.file.sync()?;
            }
        }
        if self.file.size()? > self.at + SECTOR {
            self.file.set_size(self.at + SECTOR)?;
            self.file.sync()?;
        }
        self.whole = true;
        Ok(())
    }

    fn is_at(&self, at: u64) -> Result<bool> {
        let size = self.file.size()?;
        if at + SECTOR > size || at != 0 && at + SECTOR != size {
            return Ok(false);
        }
        let mut found = [0; SECTOR as usize];
        self.file.read_exact_at(&mut found, at)?;
        Ok(found == self.footer.as_bytes())
    }

    /// Lays the footer to `at`, durably, which is beyond all data, and nothing of it stays where it was.
    pub(super) fn move_to(&mut self, at: u64) -> Result<()> {
        self.restore()?;
        self.whole = false;
        self.file.write_all_at(self.footer.as_bytes(), at)?;
        self.file.sync()?;
        let former = std::mem::replace(&mut self.at, at);
        self.whole = true;
        if self.has_copy() && former != at {
            self.file.write_all_at(&[0; SECTOR as usize], former)?;
        }
        Ok(())
    }

    /// Makes room for data before `end`, where there is none.
    pub(super) fn make_room(&mut self, end: u64) -> Result<()> {
        if end > self.at { self.move_to(end) } else { Ok(()) }
    }

    /// FooterPair the file after a footer at `at`, where no data follow.
    pub(super) fn cut(&mut self, at: u64) -> Result<()> {
        if self.begun {
            self.restore()?;
        }
        if at >= self.at {
            return Ok(());
        }
        self.move_to(at)?;
        // When the file is as long again, a cut must not find a footer of today at its end, in space given back.
        self.file.sync()?;
        self.file.set_size(at + SECTOR)?;
        self.file.sync()
    }

    /// Makes `footer` the image's, with all that it leads to, which is durable.
    ///
    /// The sector at 0 is written in one piece, and decides while the end holds none: a cut leaves the old state or the
    /// new one, never two footers that contradict each other.
    pub(super) fn replace(&mut self, mut footer: Footer) -> Result<()> {
        footer.checksum = footer.computed_checksum().into();
        self.restore()?;
        self.whole = false;
        if self.has_copy() {
            self.file.write_all_at(&[0; SECTOR as usize], self.at)?;
            self.file.sync()?;
            self.file.write_all_at(footer.as_bytes(), 0)?;
            self.file.sync()?;
        }
        self.file.write_all_at(footer.as_bytes(), self.at)?;
        self.file.sync()?;
        (self.footer, self.whole) = (footer, true);
        Ok(())
    }
}

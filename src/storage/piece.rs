//! Files of disks in many pieces, of which only some are open at a time.
//!
//! A disk of 6 TB in pieces of 2 GB has 3,000 files; a process may have 1,024 open, or fewer. So all pieces that this process
//! reads share a few handles, which are those that were wanted last:
//!
//! - A piece is opened again in the way in which it was found, under the same policy. It must be the file that it was, of
//!   the size that it had.
//! - Whoever has a handle in his hands, for a read or for the lock on it, has it until he gives it back. Only then it is
//!   closed, and a lock on it ends with it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{FileIdentity, Fingerprint, ReadAt};
use crate::error::{Error, is_out_of_handles};

/// Handles that are kept open: a quarter of what macOS grants a process, the least of all systems.
const KEPT: usize = 64;

/// How a file is opened again.
pub(super) type Again = Box<dyn Fn() -> io::Result<File> + Send + Sync>;

/// One file of many, which is open while it is wanted. It is read only.
pub(super) struct Piece {
    /// Its number among the pieces of this process.
    number: u64,
    name: String,
    again: Again,
    identity: Option<FileIdentity>,
    size: u64,
    /// The handle that was opened last, if anybody still has it.
    last: Mutex<Weak<File>>,
}

impl Piece {
    /// The piece that messages call `name`, which has just been opened.
    pub(super) fn new(file: File, name: String, again: Again) -> io::Result<Self> {
        static PIECES: AtomicU64 = AtomicU64::new(0);
        let number = PIECES.fetch_add(1, Ordering::Relaxed);
        let (identity, size) = (file.identity(), file.size()?);
        let file = Arc::new(file);
        let last = Mutex::new(Arc::downgrade(&file));
        Handles::want(number, file);
        Ok(Self { number, name, again, identity, size, last })
    }

    /// The open file.
    pub(super) fn open(&self) -> io::Result<Arc<File>> {
        // Held meanwhile, so that two readers do not open it twice.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match last.upgrade() {
            Some(file) => file,
            None => {
                let file = Arc::new(self.open_again()?);
                *last = Arc::downgrade(&file);
                file
            }
        };
        Handles::want(self.number, file.clone());
        Ok(file)
    }

    fn open_again(&self) -> io::Result<File> {
        let file = match (self.again)() {
            // Something else has taken all that this process may have.
            Err(e) if is_out_of_handles(&e) => {
                Handles::close();
                (self.again)()?
            }
            opened => opened?,
        };
        if file.identity() != self.identity || file.size()? != self.size {
            return Err(Error::SourceChanged { path: self.name.clone() }.into());
        }
        Ok(file)
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        Handles::forget(self.number);
    }
}

impl ReadAt for Piece {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.open()?.read_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.open()?.size()
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        self.open()?.next_data(offset)
    }

    fn will_need(&self, range: Range<u64>) {
        if let Ok(file) = self.open() {
            file.will_need(range);
        }
    }

    fn allocated(&self) -> Option<u64> {
        self.open().ok()?.allocated()
    }

    fn modified(&self) -> Option<i64> {
        self.open().ok()?.modified()
    }

    fn file(&self) -> Option<Arc<File>> {
        self.open().ok()
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        self.open().ok()?.fingerprint()
    }

    fn identity(&self) -> Option<FileIdentity> {
        self.identity
    }
}

/// The handles that the pieces of this process share, by their numbers.
struct Handles {
    open: BTreeMap<u64, (u64, Arc<File>)>,
    /// How often one was wanted.
    wanted: u64,
}

static HANDLES: Mutex<Handles> = Mutex::new(Handles { open: BTreeMap::new(), wanted: 0 });

impl Handles {
    /// Keeps the handle of the piece of this number, and lets go of the one that has not been wanted for longest.
    fn want(number: u64, file: Arc<File>) {
        // Closed when nobody waits for it: a file on a server takes a while.
        let _closed = Self::all(|handles| {
            handles.wanted += 1;
            handles.open.insert(number, (handles.wanted, file));
            let longest =
                handles.open.iter().min_by_key(|(_, (wanted, _))| *wanted).map(|(number, _)| *number);
            longest.filter(|_| handles.open.len() > KEPT).and_then(|number| handles.open.remove(&number))
        });
    }

    fn forget(number: u64) {
        let _closed = Self::all(|handles| handles.open.remove(&number));
    }

    /// Lets go of all.
    fn close() {
        let _closed = Self::all(|handles| std::mem::take(&mut handles.open));
    }

    fn all<T>(change: impl FnOnce(&mut Self) -> T) -> T {
        change(&mut HANDLES.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::leaves::Shown;

    fn piece(path: &Path) -> Piece {
        let open = {
            let path = path.to_owned();
            move || File::open(&path)
        };
        Piece::new(open().expect("opens"), path.shown(), Box::new(open)).expect("a piece")
    }

    fn is_changed(e: io::Error) -> bool {
        matches!(e.downcast::<Error>(), Ok(Error::SourceChanged { .. }))
    }

    #[test]
    fn a_piece_is_opened_again_as_the_file_that_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("piece");
        std::fs::write(&path, b"piece").expect("writes");
        let piece = piece(&path);
        let mut bytes = [0; 5];
        let mut read = || {
            // As many others were read since as are kept open.
            Handles::forget(piece.number);
            piece.read_exact_at(&mut bytes, 0).map(|()| bytes)
        };
        assert_eq!(&read().expect("reads"), b"piece");
        // Of the same name and size, and another file.
        std::fs::rename(&path, folder.path().join("kept")).expect("renames");
        assert_eq!(read().expect_err("is gone").kind(), io::ErrorKind::NotFound);
        std::fs::write(&path, b"other").expect("writes");
        #[cfg(unix)]
        assert!(is_changed(read().expect_err("is another")));
        std::fs::rename(folder.path().join("kept"), &path).expect("renames");
        assert_eq!(&read().expect("reads"), b"piece");
        std::fs::write(&path, b"pieces").expect("writes");
        assert!(is_changed(read().expect_err("has grown")));
    }

    #[test]
    fn a_handle_in_use_is_not_opened_twice() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("piece");
        std::fs::write(&path, b"piece").expect("writes");
        let piece = piece(&path);
        let held = piece.file().expect("is open");
        Handles::forget(piece.number);
        std::fs::remove_file(&path).expect("goes away");
        assert!(Arc::ptr_eq(&held, &piece.file().expect("is still open")));
        drop(held);
        Handles::forget(piece.number);
        assert!(piece.file().is_none());
    }

    #[test]
    fn few_are_open_of_many() {
        let folder = tempfile::tempdir().expect("a folder");
        let pieces: Vec<_> = (0..2 * KEPT)
            .map(|number| {
                let path = folder.path().join(number.to_string());
                std::fs::write(&path, number.to_string()).expect("writes");
                piece(&path)
            })
            .collect();
        for (number, piece) in pieces.iter().enumerate().rev() {
            let mut bytes = vec![0; number.to_string().len()];
            piece.read_exact_at(&mut bytes, 0).expect("reads");
            assert_eq!(bytes, number.to_string().as_bytes());
            // Other tests have theirs among them.
            assert!(Handles::all(|handles| handles.open.len()) <= KEPT);
        }
        drop(pieces);
    }
}

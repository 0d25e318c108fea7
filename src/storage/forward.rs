//! Storages that are another one, behind a pointer or a wrapper that changes little.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::{FileIdentity, Fingerprint, ReadAt, WriteAt};

/// What `$inner` says of its content and of its file, for storages that read in a way of their own.
macro_rules! forward_facts {
    ($self:tt => $inner:expr) => {
        fn next_data(&$self, offset: u64) -> io::Result<Option<Range<u64>>> {
            $inner.next_data(offset)
        }
        fn will_need(&$self, range: Range<u64>) {
            $inner.will_need(range)
        }
        fn allocated(&$self) -> Option<u64> {
            $inner.allocated()
        }
        fn modified(&$self) -> Option<i64> {
            $inner.modified()
        }
        fn fingerprint(&$self) -> Option<Fingerprint> {
            $inner.fingerprint()
        }
        fn identity(&$self) -> Option<FileIdentity> {
            $inner.identity()
        }
    };
}
pub(crate) use forward_facts;

/// The methods of [`ReadAt`], asked of `$inner`.
macro_rules! forward_reads {
    ($self:tt => $inner:expr) => {
        fn read_at(&$self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
            $inner.read_at(buf, offset)
        }
        fn size(&$self) -> io::Result<u64> {
            $inner.size()
        }
        fn read_exact_at(&$self, buf: &mut [u8], offset: u64) -> io::Result<()> {
            $inner.read_exact_at(buf, offset)
        }
        fn file(&$self) -> Option<Arc<File>> {
            $inner.file()
        }
        $crate::storage::forward::forward_facts!($self => $inner);
    };
}
pub(crate) use forward_reads;

/// The methods of [`WriteAt`], asked of `$inner` after `$before`, which may return an error.
macro_rules! forward_writes {
    ($self:tt => $inner:expr, $before:expr) => {
        fn write_all_at(&$self, data: &[u8], offset: u64) -> io::Result<()> {
            let _passed = $before;
            $inner.write_all_at(data, offset)
        }
        fn set_size(&$self, size: u64) -> io::Result<()> {
            let _passed = $before;
            $inner.set_size(size)
        }
        fn sync(&$self) -> io::Result<()> {
            let _passed = $before;
            $inner.sync()
        }
        fn copy_range(&$self, source: &dyn ReadAt, range: Range<u64>, offset: u64) -> io::Result<()> {
            let _passed = $before;
            $inner.copy_range(source, range, offset)
        }
        fn punch_hole(&$self, range: Range<u64>) -> io::Result<()> {
            let _passed = $before;
            $inner.punch_hole(range)
        }
    };
}
pub(crate) use forward_writes;

/// A pointer to a storage is that storage.
macro_rules! pointer {
    ($($pointer:ty),+) => {$(
        impl<T: ReadAt + ?Sized> ReadAt for $pointer {
            forward_reads!(self => (**self));
        }

        impl<T: WriteAt + ?Sized> WriteAt for $pointer {
            forward_writes!(self => (**self), ());
        }
    )+};
}
pointer!(Arc<T>, Box<T>, &T);

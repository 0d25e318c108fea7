//! Going on with a copy that was interrupted.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::checkpoint::{self, Checkpoint, Head};
use super::destination::Destination;
use super::engine::Recorder;
use super::ledger::Ledger;
use super::source::fingerprint;
use super::{Convert, Report};
use crate::digest::of_content;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::format::output::{Names, OutputFormat, OutputOptions};
use crate::job::{Cancel, Phase};
use crate::leaves::Shown;
use crate::sink::{Encoding, Packet, Sink};
use crate::storage::{OutputFile, WriteAt, partial_of};

/// Bytes of the disk that are read back before it is looked whether to stop.
const STEP: u64 = 16 << 20;

/// Why a copy that found a checkpoint began anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BegunAgain {
    /// The checkpoint is damaged, or none of ours.
    Unreadable,
    /// It was made with other options, for another disk, or by another version.
    OtherOptions,
    /// The output does not hold what the checkpoint says.
    Damaged,
}

impl std::fmt::Display for BegunAgain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            BegunAgain::Unreadable => "the checkpoint is damaged",
            BegunAgain::OtherOptions => "the checkpoint is that of a copy with other options",
            BegunAgain::Damaged => "the output does not hold what the checkpoint says",
        })
    }
}

impl Convert {
    /// Writes the output to the file at `path`, from where an earlier run left off.
    pub(super) fn write_resumable(
        &self,
        disk: &Disk,
        path: &Path,
        extent_paths: &[PathBuf],
    ) -> Result<Report> {
        if matches!(self.format, OutputFormat::TarGz | OutputFormat::Ova) {
            let what = format!("a {} cannot be gone on with: leave out resuming", self.format);
            return Err(Error::Unsupported { what });
        }
        let checkpoint = checkpoint::path_of(path);
        // Without a checkpoint, what was written is of no use.
        let open = |part: &Path| {
            self.disk.check_not_source(&partial_of(part))?;
            let mut file = OutputFile::resume_part(part.to_owned(), path.to_owned(), self.overwrite)?;
            file.keep(checkpoint.exists());
            Ok(file)
        };
        let main = open(path)?;
        let mut files = extent_paths.iter().map(|path| open(path)).collect::<Result<Vec<_>>>()?;
        let (names, destination) = self.destination(&main, &files);
        // The extents first: the image exists with its descriptor.
        files.push(main);
        let (copy, source, at) = (self.clone(), disk.clone(), checkpoint.clone());
        let result = self.job.attend(move |_| copy.go_on(&source, &names, destination, at));
        if let Err(Error::SourceChanged { .. }) = result {
            // Nothing that was copied can be gone on with.
            checkpoint::remove(&checkpoint);
        }
        files.iter_mut().for_each(|file| file.keep(checkpoint.exists()));
        let report = result?;
        self.publish(disk, files)?;
        checkpoint::remove(&checkpoint);
        Ok(report)
    }

    /// Removes what interrupted runs have left beside the output at `path` and its extents, now that it is there.
    pub(super) fn remove_interrupted(&self, path: &Path, extent_paths: &[PathBuf]) {
        for path in extent_paths.iter().map(PathBuf::as_path).chain([path]) {
            let partial = partial_of(path);
            // What another run has locked is its own. What is taken up and dropped goes away.
            if partial.exists()
                && (self.disk.check_not_source(&partial).is_err() || OutputFile::resume(path, true).is_err())
            {
                return;
            }
        }
        checkpoint::remove(&checkpoint::path_of(path));
    }

    /// Does what is left to do, or all of it.
    fn go_on(&self, disk: &Disk, names: &Names, to: Destination, path: PathBuf) -> Result<Report> {
        let (job, source) = (self.digest_of_options(disk, names), fingerprint(disk, true)?);
        let mut begun_again = None;
        let found = match Checkpoint::load(&path) {
            Ok(found) => found.ok_or(BegunAgain::Unreadable).map(Some),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => return Err(Error::io("read", path.shown(), e)),
        };
        let found = found.and_then(|found| match found {
            Some(found) if found.head.job != job => Err(BegunAgain::OtherOptions),
            found => Ok(found),
        });
        let found = found.unwrap_or_else(|why| {
            begun_again = Some(why);
            None
        });
        if let Some(found) = found {
            if found.head.source != source {
                return Err(Error::StaleCheckpoint { checkpoint: path.shown() });
            }
            let mut sink = self.seeded(found.head.seed.get()).sink(disk, names, to.clone())?;
            let position = found.head.position.get();
            if let Some(ledger) = self.take_back(disk, &found, &mut *sink)? {
                let keeper = self.keeper(found.head, ledger, path, &to, sink.encoding());
                return self.copy_rest(disk, names, to, sink, position, keeper);
            }
            begun_again = Some(BegunAgain::Damaged);
        }
        checkpoint::remove(&path);
        for storage in files(&to) {
            storage.set_size(0).map_err(|e| Error::io("set the size of", &to.name, e))?;
        }
        let seed = self.options.seed.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().0);
        let sink = self.seeded(seed).sink(disk, names, to.clone())?;
        let head = Head::new(job, source, seed);
        let keeper = self.keeper(head, Ledger::default(), path, &to, sink.encoding());
        let report = self.copy_rest(disk, names, to, sink, 0, keeper)?;
        Ok(Report { begun_again, ..report })
    }

    fn copy_rest(
        &self,
        disk: &Disk,
        names: &Names,
        to: Destination,
        mut sink: Box<dyn Sink>,
        position: u64,
        mut keeper: Keeper,
    ) -> Result<Report> {
        if position == 0 {
            let report = self.run(disk, &mut *sink, 0..disk.size(), Some(&mut keeper))?;
            drop(sink);
            self.verify_output(disk, names, to)?;
            return Ok(report);
        }
        // Digests of the whole cannot be computed on the way when there is a part of it that is not read.
        let undigested = Self { digests: Vec::new(), ..self.clone() };
        let mut report = undigested.run(disk, &mut *sink, position..disk.size(), Some(&mut keeper))?;
        drop(sink);
        self.verify_output(disk, names, to)?;
        for &digest in &self.digests {
            report.digests.push((digest, of_content(Phase::Hash, disk, digest, &self.job)?));
        }
        Ok(Report { resumed_at: Some(position), ..report })
    }

    /// Takes back what was written before `checkpoint`; `None` when that is not what the output holds.
    fn take_back(&self, disk: &Disk, checkpoint: &Checkpoint, sink: &mut dyn Sink) -> Result<Option<Ledger>> {
        let position = checkpoint.head.position.get();
        self.job.begin(Phase::Resume, position);
        let mut ledger = Ledger::default();
        for run in checkpoint.runs.iter() {
            let Some(run) = run.filter(|run| run.start < position && position <= disk.size()) else {
                return Ok(None);
            };
            let end = match sink.encoding() {
                Encoding::Plain { .. } => run.end.min(position),
                Encoding::Deflate { .. } => run.end.min(position.next_multiple_of(sink.encoding().grain())),
            };
            for start in (run.start..end).step_by(STEP as usize) {
                self.job.check()?;
                let part = start..end.min(start + STEP);
                if !sink.take_back(part, &mut |range, data| ledger.add(range, data))? {
                    return Ok(None);
                }
                self.job.set_done(start);
            }
        }
        let (runs, digest) = ledger.snapshot(position);
        let is_it = runs.as_bytes() == checkpoint.runs.as_bytes() && digest == checkpoint.head.digest;
        Ok(is_it.then_some(ledger))
    }

    fn keeper(
        &self,
        head: Head,
        ledger: Ledger,
        path: PathBuf,
        to: &Destination,
        encoding: Encoding,
    ) -> Keeper {
        let (sync, interval, cancel) = (self.sync, self.checkpoint_interval, self.job.token().clone());
        Keeper { head, ledger, path, files: files(to), sync, interval, since: 0, encoding, cancel }
    }

    fn seeded(&self, seed: u64) -> Self {
        let options = OutputOptions { seed: Some(seed), ..self.options.clone() };
        Self { options, ..self.clone() }
    }

    /// A digest of all that decides on the output but the source's content.
    fn digest_of_options(&self, disk: &Disk, names: &Names) -> [u8; 32] {
        let version = env!("CARGO_PKG_VERSION");
        let Self { format, options, detect_zeros, .. } = self;
        let (size, sector_size) = (disk.size(), disk.logical_sector_size());
        let all = (version, format, options, detect_zeros, &names.extents, size, sector_size);
        *blake3::hash(format!("{all:?}").as_bytes()).as_bytes()
    }
}

/// All files of an output.
fn files(to: &Destination) -> Vec<Arc<dyn WriteAt>> {
    to.extents.iter().chain([&to.main]).cloned().collect()
}

/// Keeps the checkpoint of a copy that is running.
struct Keeper {
    head: Head,
    ledger: Ledger,
    /// Of the checkpoint.
    path: PathBuf,
    files: Vec<Arc<dyn WriteAt>>,
    sync: bool,
    /// Bytes that are written from one checkpoint to the next.
    interval: u64,
    /// Bytes written since the last one.
    since: u64,
    encoding: Encoding,
    cancel: Cancel,
}

impl Recorder for Keeper {
    fn took(&mut self, packet: &Packet, position: u64) -> Result<()> {
        for (offset, data) in packet.iter() {
            let len = match self.encoding {
                Encoding::Plain { .. } => data.len() as u64,
                Encoding::Deflate { grain, .. } => grain,
            };
            self.ledger.add(offset..offset + len, data);
            self.since += data.len() as u64;
        }
        if self.since < self.interval {
            return Ok(());
        }
        self.since = 0;
        let failed = |e| Error::io("write", self.path.shown(), e);
        if self.sync {
            // What the checkpoint says is there after a cut, too.
            self.files.iter().try_for_each(|file| file.sync()).map_err(failed)?;
        }
        // Syncing takes its time, and nobody may wait for this copy any more.
        self.cancel.check()?;
        let (runs, digest) = self.ledger.snapshot(position);
        let head = Head { position: position.into(), digest, ..self.head };
        let saved = Checkpoint { head, runs }.save(&self.path, self.sync, &self.cancel);
        self.cancel.check()?;
        saved.map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Pool;
    use crate::storage::{MemoryStorage, ReadAt};

    /// A file whose sync takes so long that the copy is cancelled meanwhile.
    struct Slow(Cancel, MemoryStorage);

    impl ReadAt for Slow {
        fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
            self.1.read_at(buf, offset)
        }

        fn size(&self) -> io::Result<u64> {
            self.1.size()
        }
    }

    impl WriteAt for Slow {
        fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
            self.1.write_all_at(data, offset)
        }

        fn set_size(&self, size: u64) -> io::Result<()> {
            self.1.set_size(size)
        }

        fn sync(&self) -> io::Result<()> {
            self.0.cancel();
            Ok(())
        }
    }

    #[test]
    fn a_cancelled_copy_leaves_no_checkpoint_behind_its_clean_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = checkpoint::path_of(&folder.path().join("out.raw"));
        for sync in [true, false] {
            let cancel = Cancel::new();
            let mut keeper = Keeper {
                head: Head::new([0; 32], [0; 32], 0),
                ledger: Ledger::default(),
                path: path.clone(),
                files: vec![Arc::new(Slow(cancel.clone(), MemoryStorage::new(Vec::new())))],
                sync,
                interval: 0,
                since: 0,
                encoding: Encoding::Plain { grain: 512 },
                cancel,
            };
            let result =
                keeper.took(&Packet { pieces: Vec::new(), buffer: Arc::<Pool>::default().take(0) }, 512);
            assert_eq!(matches!(result, Err(Error::Cancelled)), sync);
            assert_eq!(path.exists(), !sync);
        }
    }
}

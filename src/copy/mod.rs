//! Copying a disk into another format, and bringing a copy up to date.

#[cfg(feature = "digest")]
mod checkpoint;
mod destination;
mod device;
mod encode;
mod engine;
mod gate;
#[cfg(feature = "digest")]
mod ledger;
#[cfg(feature = "digest")]
mod once;
mod plan;
mod reflink;
#[cfg(feature = "digest")]
mod resume;
#[cfg(feature = "shards")]
mod shard;
#[cfg(feature = "digest")]
mod source;
mod survey;
mod update;

use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use destination::Destination;
use gate::Gate;
pub use plan::ConvertPlan;
#[cfg(feature = "digest")]
pub use resume::BegunAgain;
#[cfg(feature = "shards")]
pub use shard::{PlanRecord, Shard};
pub use update::{Updated, update};

use crate::compare::compare_as;
#[cfg(feature = "digest")]
use crate::digest::{Beside, Digest};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::format::output::{self, Names, OutputOptions};
use crate::format::vmdk;
use crate::job::{Job, Phase};
use crate::leaves::Shown;
use crate::sink::Sink;
use crate::sink::blueprint::{BlockSet, Blueprint};
use crate::storage::{OutputFile, Overwrite, Place, WriteAt};

pub use crate::format::output::OutputFormat;

/// Threads of a copy at most.
const MAX_THREADS: usize = 256;
/// Bytes written from one checkpoint to the next.
#[cfg(feature = "digest")]
const CHECKPOINT_INTERVAL: u64 = 256 << 20;

/// Copies the content of a disk, its whole chain flattened, into a new image.
///
/// ```
/// use diskport::copy::{Convert, OutputFormat};
/// use diskport::format::vmdk::Subformat;
///
/// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
/// let disk = diskport::open(image)?;
/// let mut stream = Vec::new();
/// let report = Convert::new(&disk).to(OutputFormat::Vmdk(Subformat::StreamOptimized)).write_to(&mut stream)?;
/// assert_eq!(report.virtual_size, disk.size());
/// assert_eq!(&stream[..4], b"KDMV");
/// # Ok::<(), diskport::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Convert {
    disk: Disk,
    format: OutputFormat,
    options: OutputOptions,
    detect_zeros: bool,
    threads: Option<usize>,
    overwrite: Overwrite,
    sync: bool,
    verify: bool,
    #[cfg(feature = "digest")]
    digests: Vec<Digest>,
    #[cfg(feature = "digest")]
    resumable: bool,
    #[cfg(feature = "digest")]
    checkpoint_interval: u64,
    job: Job,
}

/// What a copy did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Virtual size of source and output, in bytes.
    pub virtual_size: u64,
    /// Bytes of the source that were read as data; the rest was known to be zeros.
    pub data_read: u64,
    /// Bytes of content that were written, compressed where the format compresses.
    pub data_written: u64,
    /// Bytes that source and output share, since their file system can (reflinks): neither read nor written.
    pub data_shared: u64,
    /// Whether the output was read back and compared.
    pub verified: bool,
    /// The digests of the output's virtual content that were asked for, in hexadecimal.
    #[cfg(feature = "digest")]
    pub digests: Vec<(Digest, String)>,
    /// Up to which byte of the virtual disk an earlier run had copied, when it was gone on with.
    #[cfg(feature = "digest")]
    pub resumed_at: Option<u64>,
    /// Why a copy that was to be gone on with began anew.
    #[cfg(feature = "digest")]
    pub begun_again: Option<BegunAgain>,
}

impl Convert {
    /// A copy of `disk` into a raw disk, until [`to`](Self::to) says otherwise.
    pub fn new(disk: &Disk) -> Self {
        Self {
            disk: disk.clone(),
            format: OutputFormat::Raw,
            options: OutputOptions { level: None, block_size: None, seed: None, threads: 0 },
            detect_zeros: true,
            threads: None,
            overwrite: Overwrite::No,
            sync: true,
            verify: false,
            #[cfg(feature = "digest")]
            digests: Vec::new(),
            #[cfg(feature = "digest")]
            resumable: false,
            #[cfg(feature = "digest")]
            checkpoint_interval: CHECKPOINT_INTERVAL,
            job: Job::new(),
        }
    }

    /// The format of the output.
    pub fn to(self, format: OutputFormat) -> Self {
        Self { format, ..self }
    }

    /// The format of the output.
    pub fn format(&self) -> OutputFormat {
        self.format
    }

    /// What the source says of itself and the output cannot, for a person to read.
    pub fn left_out(&self) -> Option<String> {
        let sector = self.disk.logical_sector_size();
        let is_bare = matches!(self.format, OutputFormat::Raw | OutputFormat::TarGz);
        (is_bare && sector != 512).then(|| {
            format!("the output does not say that its sectors have {sector} bytes: whoever uses it must")
        })
    }

    /// The level of compression, 0 to 9, for formats that compress. Without one it is 6, and grains that the source has
    /// compressed in the same way are taken over unchanged, once they were seen to inflate.
    pub fn level(mut self, level: u32) -> Self {
        self.options.level = Some(level.min(9));
        self
    }

    /// The size of a block in bytes, for formats that have one to choose: 2 MiB by default in a dynamic VHD, 32 MiB in a
    /// VHDX.
    pub fn block_size(mut self, block_size: u64) -> Self {
        self.options.block_size = Some(block_size);
        self
    }

    /// Takes the output's identifiers and times from `seed`, so that the same source gives the same bytes each time,
    /// into files as into pipes. Without it they are new each time. Two disks of one seed must never meet in one
    /// place, since they bear the same identifiers.
    pub fn seed(mut self, seed: u64) -> Self {
        self.options.seed = Some(seed);
        self
    }

    /// Whether zeros among the source's data are found by reading, and left out where the output can do without them;
    /// they are by default. Without it, the output holds all that the source's map calls data.
    pub fn detect_zeros(self, detect_zeros: bool) -> Self {
        Self { detect_zeros, ..self }
    }

    /// How many threads read and prepare data while the caller's thread writes. By default as many as there are
    /// cores when either side is compressed, else one. With 0 the caller's thread does everything.
    /// 256 at most: each takes a few MiB.
    pub fn threads(self, threads: usize) -> Self {
        Self { threads: Some(threads.min(MAX_THREADS)), ..self }
    }

    /// Whether an existing output is replaced; it is not by default.
    pub fn overwrite(self, overwrite: impl Into<Overwrite>) -> Self {
        Self { overwrite: overwrite.into(), ..self }
    }

    /// Whether the output is made durable before it gets its name; it is by default.
    pub fn sync(self, sync: bool) -> Self {
        Self { sync, ..self }
    }

    /// Whether the output is read back and compared with the source before it gets its name; of a source that comes out of a
    /// stream, the digests are compared.
    pub fn verify(self, verify: bool) -> Self {
        Self { verify, ..self }
    }

    /// Computes a digest of the virtual content on the way; any number of them. Each has a thread of its own, so that the
    /// copy is as fast as without it where a core is free and the digest keeps up.
    #[cfg(feature = "digest")]
    pub fn digest(mut self, digest: Digest) -> Self {
        if !self.digests.contains(&digest) {
            self.digests.push(digest);
        }
        self
    }

    /// Whether [`create`](Self::create) goes on with a copy that was interrupted: by an error, by a token, by the
    /// process's end. What it has written stays under a hidden name beside the output then, `.NAME.diskport-partial`,
    /// with `.NAME.diskport-checkpoint`, which says how far it is. The next copy with the same options reads it back,
    /// and continues when its digest is right; else it begins anew, which [`Report::begun_again`] says. A copy that is not
    /// resumable removes what it finds of one that was.
    #[cfg(feature = "digest")]
    pub fn resumable(self, resumable: bool) -> Self {
        Self { resumable, ..self }
    }

    /// How many bytes are written from one checkpoint to the next; 256 MiB by default.
    #[cfg(feature = "digest")]
    pub fn checkpoint_interval(self, bytes: u64) -> Self {
        Self { checkpoint_interval: bytes, ..self }
    }

    /// How far the copy has come, what stops it, and how fast it may go.
    pub fn job(self, job: &Job) -> Self {
        Self { job: job.clone(), ..self }
    }

    /// Looks through the source for the blocks that hold data, where the output's layout depends on them: then it is
    /// known how long the output will be.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for a format that needs more than one file, and all that reading gives rise to.
    pub fn plan(&self) -> Result<ConvertPlan> {
        ConvertPlan::new(self)
    }

    /// Writes the output into a pipe or any other [`Write`], strictly forwards. Sparse formats take a look through the
    /// source before; see [`plan`](Self::plan).
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for a format that needs more than one file, [`Error::SourceChanged`], and all that
    /// reading and writing give rise to.
    pub fn write_to(&self, out: impl Write + Send) -> Result<Report> {
        self.plan()?.write_to(out)
    }

    /// Writes the output to `place`.
    ///
    /// At a path it appears when it is whole. Onto a block device, which nobody else may have in use, a raw disk is written in
    /// place with [`overwrite`](Self::overwrite); what lies behind the disk stays. A VMDK with extents has them beside it, as
    /// `NAME-flat.vmdk`, or `NAME-s001.vmdk` or `NAME-f001.vmdk` and so on.
    ///
    /// A storage is empty, and takes an output that is one file. When this returns, nothing more is written to it: also after a
    /// cancellation, but for a call of the storage that hangs.
    ///
    /// # Errors
    ///
    /// [`Error::OutputExists`], [`Error::OutputIsSource`], and all that reading and writing give rise to: no file is left
    /// then. [`Error::Unsupported`] for what a storage or a device cannot take.
    pub fn create(&self, place: impl Into<Place<dyn WriteAt>>) -> Result<Report> {
        match place.into() {
            Place::Path(path) => self.write_file(&path),
            Place::Storage { name, storage } => self.write_storage(&name, storage),
        }
    }

    fn write_file(&self, path: &Path) -> Result<Report> {
        let disk = self.whole_sectors()?;
        self.disk.check_not_source(path)?;
        if let Some(report) = self.write_device(&disk, path)? {
            return Ok(report);
        }
        let extent_paths = destination::extent_paths(self.format, disk.size(), path)?;
        for path in &extent_paths {
            self.disk.check_not_source(path)?;
        }
        #[cfg(feature = "digest")]
        if self.resumable {
            disk.check_reads_again("going on with a copy")?;
            return self.write_resumable(&disk, path, &extent_paths);
        }
        let create = |part: &Path| OutputFile::create_part(part.to_owned(), path.to_owned(), self.overwrite);
        let main = create(path)?;
        let mut files = extent_paths.iter().map(|path| create(path)).collect::<Result<Vec<_>>>()?;
        let (names, destination) = self.destination(&main, &files);
        let (copy, source) = (self.clone(), disk.clone());
        let report = self.job.attend(move |_| copy.write(&source, &names, destination))?;
        // The extents first: the image exists with its descriptor.
        files.push(main);
        self.publish(&disk, files)?;
        #[cfg(feature = "digest")]
        self.remove_interrupted(path, &extent_paths);
        Ok(report)
    }

    /// What is written to, and the names that an image records of its files.
    fn destination(&self, main: &OutputFile, extents: &[OutputFile]) -> (Names, Destination) {
        let names = match extents {
            [] => Names::alone(Some(main.path()), &self.options),
            _ => Names { extents: extents.iter().map(|file| output::recorded_name(file.path())).collect() },
        };
        let destination = Destination {
            main: main.storage().clone(),
            extents: extents.iter().map(|file| file.storage().clone() as _).collect(),
            name: main.path().shown(),
        };
        (names, destination)
    }

    fn publish(&self, disk: &Disk, files: Vec<OutputFile>) -> Result<()> {
        if self.sync {
            self.job.begin(Phase::Sync, disk.size());
        }
        let new: Vec<_> = files.iter().map(|file| file.path().to_owned()).collect();
        if let Some(main) = new.last() {
            vmdk::replace(main, &new, disk, || OutputFile::publish_all(files, self.sync))?;
        }
        self.job.set_done(disk.size());
        Ok(())
    }

    fn write_storage(&self, name: &str, storage: Arc<dyn WriteAt>) -> Result<Report> {
        if !destination::extent_paths(self.format, self.disk.size(), Path::new("image"))?.is_empty() {
            let what = format!("a {} is more than one file", self.format);
            return Err(Error::Unsupported { what });
        }
        #[cfg(feature = "digest")]
        if self.resumable {
            let what =
                format!("{name}: a copy into a storage cannot be gone on with; update writes what differs");
            return Err(Error::Unsupported { what });
        }
        self.write_into(storage, name)
    }

    /// Writes the output into `storage`, called `name` in messages.
    fn write_into(&self, storage: Arc<dyn WriteAt>, name: &str) -> Result<Report> {
        let disk = self.whole_sectors()?;
        let names = Names::alone(None, &self.options);
        let gate = Gate::before(storage);
        let to = Destination { main: gate.clone(), extents: Vec::new(), name: name.to_owned() };
        let (copy, source) = (self.clone(), disk.clone());
        let written = self.job.attend(move |_| copy.write(&source, &names, to));
        let report = written.inspect_err(|_| gate.close())?;
        if self.sync {
            self.job.begin(Phase::Sync, disk.size());
            gate.sync().map_err(|e| Error::io("sync", name, e))?;
            self.job.set_done(disk.size());
        }
        Ok(report)
    }

    /// Writes all of the output, and reads it back when that is asked for.
    fn write(&self, disk: &Disk, names: &Names, to: Destination) -> Result<Report> {
        if self.verify && disk.reads_once() {
            #[cfg(feature = "digest")]
            return self.write_once(disk, names, to);
            #[cfg(not(feature = "digest"))]
            disk.check_reads_again("verifying without the feature digest")?;
        }
        let mut sink = self.sink(disk, names, to.clone())?;
        let report = self.run(disk, &mut *sink, 0..disk.size(), None)?;
        drop(sink);
        self.verify_output(disk, names, to)?;
        Ok(report)
    }

    fn sink(&self, disk: &Disk, names: &Names, to: Destination) -> Result<Box<dyn Sink>> {
        destination::file(output::shape(self.format, disk, names, &self.options)?, &self.options(), to)
    }

    /// Reads the output back when that is asked for.
    fn verify_output(&self, disk: &Disk, names: &Names, written: Destination) -> Result<()> {
        if !self.verify {
            return Ok(());
        }
        self.compare(disk, &self.reopen(names, written)?)
    }

    /// The output as a disk, while its files have other names.
    fn reopen(&self, names: &Names, written: Destination) -> Result<Disk> {
        let extents = written.extents.into_iter().map(|file| file as _).collect();
        destination::reopen(self.format, written.main, names, extents)
    }

    /// The options, with as many threads as there are workers.
    fn options(&self) -> OutputOptions {
        OutputOptions { threads: self.workers(), ..self.options.clone() }
    }

    /// That what was written reads as its source.
    fn compare(&self, disk: &Disk, written: &Disk) -> Result<()> {
        let difference = compare_as(Phase::Verify, disk, written, &self.job)?;
        difference.map_or(Ok(()), |difference| Err(Error::VerifyFailed { offset: difference.offset }))
    }

    /// The disk as the output can hold it: but for raw, of whole sectors, and not empty.
    fn whole_sectors(&self) -> Result<Disk> {
        let sector = u64::from(self.disk.logical_sector_size());
        match self.format {
            OutputFormat::Raw => Ok(self.disk.clone()),
            format if self.disk.size() == 0 => Err(Error::Layout {
                reason: format!("the source has 0 bytes: no {format} can be that small"),
            }),
            _ if self.disk.size().is_multiple_of(sector) => Ok(self.disk.clone()),
            format => match self.disk.size().checked_next_multiple_of(sector) {
                Some(size) => self.disk.patched(size, Vec::new()),
                None => Err(Error::Layout {
                    reason: format!(
                        "the source has {} bytes: no {format} can be that large",
                        self.disk.size()
                    ),
                }),
            },
        }
    }

    fn workers(&self) -> usize {
        self.threads.unwrap_or_else(|| {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let inflates = self.disk.chain().iter().any(|layer| layer.info().compressed);
            if inflates || self.format.compresses() { cores } else { 1 }
        })
    }

    /// Which blocks of `blueprint` will hold data.
    fn survey(&self, disk: &Disk, blueprint: &Blueprint) -> Result<BlockSet> {
        survey::survey(disk, blueprint, self.detect_zeros, self.workers(), &self.job)
    }

    /// Copies `range` of `disk` into `sink`, and computes the digests meanwhile.
    fn run<'a>(
        &'a self,
        disk: &Disk,
        sink: &mut dyn Sink,
        range: Range<u64>,
        recorder: Option<&'a mut dyn engine::Recorder>,
    ) -> Result<Report> {
        #[cfg(feature = "digest")]
        let (digests, watchers) = Beside::start(&self.digests, disk.size(), self.job.token())?;
        #[cfg(not(feature = "digest"))]
        let watchers = Vec::new();
        let run = engine::Run {
            detect_zeros: self.detect_zeros,
            threads: self.workers(),
            job: &self.job,
            watchers,
            range,
            recorder,
        };
        let counts = engine::run(disk, sink, run)?;
        Ok(Report {
            data_read: counts.read,
            data_written: counts.written,
            data_shared: counts.shared,
            #[cfg(feature = "digest")]
            digests: digests.finish()?,
            ..self.report(disk)
        })
    }

    /// The report of a copy of `disk` that has yet to begin.
    fn report(&self, disk: &Disk) -> Report {
        Report {
            virtual_size: disk.size(),
            data_read: 0,
            data_written: 0,
            data_shared: 0,
            verified: self.verify,
            #[cfg(feature = "digest")]
            digests: Vec::new(),
            #[cfg(feature = "digest")]
            resumed_at: None,
            #[cfg(feature = "digest")]
            begun_again: None,
        }
    }
}

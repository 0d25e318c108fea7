//! A copy in shards: any process that reaches the source and the output's folder writes a part of the output, and a
//! last step makes an image of the parts.

mod files;
mod record;
mod units;

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::str::FromStr;

pub use record::PlanRecord;

use self::files::Files;
use self::record::{Job, blueprint};
use self::units::{PartFile, Units};
use super::{Convert, Report};
use crate::copy::destination;
use crate::disk::{Blocks, Data};
use crate::error::{Error, Result};
use crate::job::Phase;
use crate::leaves::Format;
use crate::leaves::Shown;
use crate::sink::blueprint::{BlueprintStream, Part};
use crate::storage::{OutputFile, ReadAt, WritableFile, check_free};
use crate::{MIB, Open, strict};

/// A part of an output: the third of sixteen is `3/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shard {
    number: u32,
    count: u32,
}

impl Shard {
    /// Parts of an output at most.
    const MOST: u32 = 65_536;

    /// Part `number`, from 1 on, of `count`.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] when there is no such part.
    pub fn new(number: u32, count: u32) -> Result<Self> {
        if (1..=count).contains(&number) && count <= Self::MOST {
            return Ok(Self { number, count });
        }
        let what = format!("there is no shard {number}/{count}: expected 1/1 to {0}/{0}", Self::MOST);
        Err(Error::Unsupported { what })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

impl FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text
            .split_once('/')
            .and_then(|(number, count)| Some((strict::decimal(number)?, strict::decimal(count)?)));
        let (number, count) = parts.ok_or_else(|| Error::Unsupported {
            what: format!("{text:?} is no shard: expected 3/16 for the third of sixteen"),
        })?;
        Self::new(number, count)
    }
}

impl Convert {
    /// Writes a part of the output at `path`, as planned. The format and all that the output's bytes depend on are the
    /// plan's; how the work is done is this copy's.
    ///
    /// Shards are written in any order, by any number of processes at once, and again without harm: each writes at its
    /// own places of a hidden file beside the output, and leaves its digest there, too.
    /// [`finish_shards`](Self::finish_shards) makes the output of them.
    ///
    /// ```
    /// use diskport::copy::{Convert, OutputFormat, Shard};
    /// use diskport::format::Allocation;
    ///
    /// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
    /// # let folder = tempfile::tempdir().expect("a folder");
    /// # let output = folder.path().join("disk.vhd");
    /// let disk = diskport::open(image)?;
    /// let plan = Convert::new(&disk).to(OutputFormat::Vhd(Allocation::Dynamic)).plan()?.record()?;
    /// // On each machine, with the plan as it was sent there:
    /// for number in 1..=4 {
    ///     Convert::new(&disk).write_shard(&plan, Shard::new(number, 4)?, &output)?;
    /// }
    /// Convert::new(&disk).finish_shards(&plan, &output)?;
    /// assert_eq!(diskport::open(&output)?.size(), disk.size());
    /// # Ok::<(), diskport::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::StalePlan`] when the source is not what it was, [`Error::OutputExists`], [`Error::OutputIsSource`],
    /// [`Error::Locked`] while the output is being finished, and all that reading and writing give rise to.
    pub fn write_shard(&self, plan: &PlanRecord, shard: Shard, path: impl AsRef<Path>) -> Result<Report> {
        let (job, path) = (self.job_at(plan, path.as_ref())?, path.as_ref().to_owned());
        self.job.attend(move |_| job.write(shard, &path))
    }

    /// Makes the output at `path` of its shards: checks that all of them are there, and that the file holds what their
    /// digests say; writes what makes it an image; and gives it its name.
    ///
    /// # Errors
    ///
    /// [`Error::ShardsMissing`], [`Error::ShardDamaged`], after which that shard is to be written again, and those of
    /// [`write_shard`](Self::write_shard).
    pub fn finish_shards(&self, plan: &PlanRecord, path: impl AsRef<Path>) -> Result<Report> {
        let (job, path) = (self.job_at(plan, path.as_ref())?, path.as_ref().to_owned());
        self.job.attend(move |_| job.finish(&path))
    }

    fn job_at(&self, plan: &PlanRecord, path: &Path) -> Result<Job> {
        self.disk.check_not_source(path)?;
        check_free(path, self.overwrite)?;
        plan.recall(self)
    }
}

impl Job {
    fn write(&self, shard: Shard, path: &Path) -> Result<Report> {
        let Self { copy, disk, blocks, id } = self;
        let blueprint = blueprint(copy, disk)?;
        let part = self.part(shard)?;
        let files = Files::new(path, id);
        disk.check_not_source(&files.partial())?;
        let file = files.open(copy.overwrite)?;
        files.forget(shard)?;
        let len = blueprint.len(blueprint.count(blocks));
        if file.size()? < len {
            file.set_size(len)?;
        }
        clear(&file, part.file.clone())?;
        let out = PartFile { file: file.clone(), at: part.file.start, units: Units::new() };
        let source = destination::source_name(disk);
        let mut sink = BlueprintStream::part(out, blueprint, blocks.clone(), &part, source);
        let report = copy.run(disk, &mut sink, part.disk, None)?;
        if copy.sync {
            file.sync()?;
        }
        files.save(shard, &sink.into_out().units.finish(), copy.sync)?;
        Ok(report)
    }

    fn finish(&self, path: &Path) -> Result<Report> {
        let Self { copy, disk, blocks, id } = self;
        let files = Files::new(path, id);
        let all_missing = || Error::ShardsMissing { missing: vec!["all".to_owned()] };
        if !files.partial().exists() {
            return Err(all_missing());
        }
        let digests = whole_split(&files)?;
        let blueprint = blueprint(copy, disk)?;
        disk.check_not_source(&files.partial())?;
        let mut output =
            OutputFile::resume_at(files.partial(), path.to_owned(), path.to_owned(), copy.overwrite)?;
        let len = blueprint.len(blueprint.count(blocks));
        if output.storage().size().map_err(|e| Error::io("read", path.shown(), e))? < len {
            // Another process has finished it meanwhile, and this is a new file.
            check_free(path, copy.overwrite)?;
            return Err(all_missing());
        }
        // A shard that is damaged is written again, the others are not.
        output.keep(true);
        copy.job.begin(Phase::Verify, len);
        for (shard, digest) in digests {
            if self.digest(output.storage().clone(), &self.part(shard)?)? != digest {
                return Err(Error::ShardDamaged { shard: shard.to_string() });
            }
        }
        // Whoever writes a shard holds a lock, too.
        files.remove_unfinished();
        let file = WritableFile::new(output.storage().clone(), path.shown());
        clear(&file, 0..blueprint.front)?;
        blueprint.seal(&file, blocks)?;
        copy.publish(disk, vec![output])?;
        files.remove_digests();
        Ok(Report { verified: true, ..copy.report(disk) })
    }

    fn part(&self, shard: Shard) -> Result<Part> {
        let blueprint = blueprint(&self.copy, &self.disk)?;
        Ok(blueprint.part(&self.blocks, self.disk.size(), shard.number - 1, shard.count))
    }

    /// The digest of what the file holds of `part`.
    fn digest(&self, file: impl ReadAt + 'static, part: &Part) -> Result<blake3::Hash> {
        let mut units = Units::new();
        let bytes = Open::new().format(Format::Raw).open(file)?;
        for block in bytes.blocks(Blocks::of(MIB).range(part.file.clone()).read_ahead(2)) {
            self.copy.job.check()?;
            let block = block?;
            if let Data::Bytes(bytes) = &block.data {
                units.put(block.offset, bytes);
            }
            self.copy.job.set_done(block.end());
        }
        Ok(units.finish())
    }
}

/// The digests of a split of which no shard is missing. Those of one split say nothing of another: where none is whole, the
/// error names what each of them lacks.
fn whole_split(files: &Files) -> Result<Vec<(Shard, blake3::Hash)>> {
    let mut lacking = Vec::new();
    for (count, _) in files.splits()? {
        let (mut digests, mut missing) = (Vec::new(), Vec::new());
        for shard in (1..=count).map(|number| Shard { number, count }) {
            match files.load(shard)? {
                Some(digest) => digests.push((shard, digest)),
                None => missing.push(shard.to_string()),
            }
        }
        if missing.is_empty() {
            return Ok(digests);
        }
        lacking.push(missing);
    }
    lacking.sort_by_key(Vec::len);
    lacking.iter_mut().skip(1).for_each(|missing| missing[0].insert_str(0, "or else "));
    let missing: Vec<_> = lacking.into_iter().flatten().collect();
    Err(Error::ShardsMissing { missing: if missing.is_empty() { vec!["all".to_owned()] } else { missing } })
}

/// Makes `range` zeros again, if anything was left there.
fn clear(file: &WritableFile, range: Range<u64>) -> Result<()> {
    match file.storage().next_data(range.start) {
        Ok(None) => Ok(()),
        Ok(Some(data)) if data.start >= range.end => Ok(()),
        _ => file.zero(range),
    }
}

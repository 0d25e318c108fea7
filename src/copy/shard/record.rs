//! A plan as it is kept and sent.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::plan::{ConvertPlan, shape};
use super::super::source::fingerprint;
use super::super::{Convert, OutputFormat};
use crate::copy::destination;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::format::output::Shape;
use crate::leaves::Format;
use crate::sink::blueprint::{BlockSet, Blueprint};

/// All that a plan has decided, to be serialised by `serde`: from it and the same source, any process makes the same
/// bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanRecord {
    /// The version that made it: another one may lay files out in another way.
    version: String,
    format: String,
    subformat: String,
    block_size: Option<u64>,
    seed: u64,
    detect_zeros: bool,
    size: u64,
    sector_size: u32,
    /// What of the source changes with its content: a digest, in hexadecimal.
    source: String,
    /// The blocks that hold data: a Roaring bitmap in its portable form, in base64.
    blocks: String,
}

/// A plan that was found to fit its source.
pub(super) struct Job {
    pub(super) copy: Convert,
    /// The source, as the output can hold it.
    pub(super) disk: Disk,
    pub(super) blocks: BlockSet,
    /// Tells the plan from all others.
    pub(super) id: blake3::Hash,
}

impl ConvertPlan {
    /// The plan as a value that can be serialised, to [write the output in shards](Convert::write_shard). Without a
    /// [seed](Convert::seed), it gets one.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for an output in which what comes before decides where the rest lies.
    pub fn record(&self) -> Result<PlanRecord> {
        let Self { copy, disk, blocks, .. } = self;
        blueprint(copy, disk)?;
        Ok(PlanRecord {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            format: copy.format.format().name().to_owned(),
            subformat: copy.format.subformat().to_owned(),
            block_size: copy.options.block_size,
            seed: copy.options.seed.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().0),
            detect_zeros: copy.detect_zeros,
            size: disk.size(),
            sector_size: disk.logical_sector_size(),
            source: blake3::Hash::from_bytes(fingerprint(disk, false)?).to_string(),
            blocks: STANDARD.encode(blocks.to_bytes()),
        })
    }
}

impl PlanRecord {
    /// The plan for the source of `copy`, run as `copy` says.
    pub(super) fn recall(&self, copy: &Convert) -> Result<Job> {
        let format: OutputFormat = OutputFormat::new(self.format.parse::<Format>()?, Some(&self.subformat))?;
        let mut copy = Convert { format, detect_zeros: self.detect_zeros, ..copy.clone() };
        (copy.options.block_size, copy.options.seed) = (self.block_size, Some(self.seed));
        // Of parts, there are no digests of the whole; and each part is read back by its own digest.
        copy.digests.clear();
        copy.verify = false;
        let disk = copy.whole_sectors()?;
        let stale = |reason: &str| {
            let path = destination::source_name(&disk);
            Err(Error::StalePlan { path, reason: reason.to_owned() })
        };
        if self.version != env!("CARGO_PKG_VERSION") {
            return stale("it was made by another version of diskport");
        }
        if (self.size, self.sector_size) != (disk.size(), disk.logical_sector_size()) {
            return stale("another size, or other sectors");
        }
        if self.source != blake3::Hash::from_bytes(fingerprint(&disk, false)?).to_string() {
            return stale("its files, or what lies over them, have changed");
        }
        let blueprint = blueprint(&copy, &disk)?;
        let blocks = STANDARD.decode(&self.blocks).ok().and_then(|bytes| BlockSet::from_bytes(&bytes));
        let blocks = blocks.filter(|blocks| blocks.last().is_none_or(|last| last < blueprint.blocks));
        match blocks {
            Some(blocks) => {
                let id = blake3::hash(format!("{self:?}").as_bytes());
                Ok(Job { copy, disk, blocks, id })
            }
            None => stale("its blocks are none of the output's"),
        }
    }
}

/// The blueprint of an output in which each block's place is known beforehand.
pub(super) fn blueprint(copy: &Convert, disk: &Disk) -> Result<Blueprint> {
    match shape(copy, disk)? {
        Shape::Blueprint(blueprint) => Ok(blueprint),
        Shape::Extents(descriptor) => Err(destination::not_one_file(&descriptor)),
        _ => Err(Error::Unsupported {
            what: format!(
                "a {} is not written in shards: where its parts lie depends on how well the others compress",
                copy.format
            ),
        }),
    }
}

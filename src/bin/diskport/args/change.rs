//! The commands that make images, or change them in place.

use std::path::PathBuf;

use clap::Args;
use diskport::chain::{check_no_children, end_change};
use diskport::storage::Overwrite;
use diskport::{Error, Format, WritableDisk};

use super::open::warn_before_writing;
use super::{FormatName, ImageArgs, OpenArgs, PolicyArgs};
use crate::console::say;
use crate::failure::Failure;
use crate::signals;
use crate::size::{self, NewSize};

#[derive(Args)]
pub struct Create {
    /// The image to make
    pub image: PathBuf,
    /// The virtual size; of a child, by default its parent's, or with a sign how much larger or smaller: +10G
    #[arg(long, value_parser = size::parse_new, allow_hyphen_values = true, required_unless_present = "parent")]
    pub size: Option<NewSize>,
    /// The parent of a differencing child, which holds only what differs from it
    #[arg(long, value_name = "PATH")]
    pub parent: Option<PathBuf>,
    /// The parent's format, instead of detecting it
    #[arg(long, value_name = "FORMAT", requires = "parent")]
    pub parent_format: Option<Format>,
    /// The format: raw, vhd, vhdx or vmdk. By default what the image's name ends in; of a child, the parent's
    #[arg(long, short = 'O', conflicts_with = "parent")]
    pub format: Option<FormatName>,
    /// The kind: fixed or dynamic of a VHD or VHDX; monolithicSparse, monolithicFlat,
    /// twoGbMaxExtentSparse, twoGbMaxExtentFlat, streamOptimized or vmfs of a VMDK
    #[arg(long, conflicts_with = "parent")]
    pub subformat: Option<String>,
    /// The block size; for formats that have one. Of a child, by default its parent's
    #[arg(long, value_parser = size::parse)]
    pub block_size: Option<u64>,
    /// Bytes of a logical sector
    #[arg(long, default_value_t = 512, value_parser = parse_sector_size, conflicts_with = "parent")]
    pub sector_size: u32,
    /// Replace an existing image
    #[arg(long)]
    pub overwrite: bool,
    /// Print what was done as one JSON document
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub locks: LockArgs,
    #[command(flatten)]
    pub policy: PolicyArgs,
}

/// An image that is changed in place.
#[derive(Args)]
pub struct ChangeArgs {
    #[command(flatten)]
    pub image: ImageArgs,
    /// Refuse when another image in the folder names this one as its parent, instead of warning
    #[arg(long)]
    pub check_children: bool,
    #[command(flatten)]
    pub locks: LockArgs,
}

/// What is written to, or replaced, all the same.
#[derive(Args, Clone, Copy)]
pub struct LockArgs {
    /// Write also to images that VMware (.lck) or Citrix Provisioning (.lok) says beside them to use, and replace such ones: for when the program has died
    #[arg(long)]
    pub ignore_locks: bool,
}

impl LockArgs {
    /// What becomes of a file in an output's place.
    pub fn overwrite(self, overwrite: bool) -> Overwrite {
        if overwrite && self.ignore_locks { Overwrite::Claimed } else { overwrite.into() }
    }
}

impl ChangeArgs {
    /// Opens the image for writing, after it was looked at without changing anything.
    pub fn open(&self) -> Result<WritableDisk, Failure> {
        let open = self.image.options.options(self.image.format).ignore_locks(self.locks.ignore_locks);
        if end_change(&self.image.path, &open, &signals::job())?.is_some() {
            say(&format!("{}: a change in place that was cut off has been ended", self.image.path.display()));
        }
        let disk = open.open(&self.image.path)?;
        warn_before_writing(&disk);
        match check_no_children(&disk, &self.image.options.policy.options(None)) {
            Err(problem) if self.check_children => return Err(problem.into()),
            Err(problem @ Error::HasChildren { .. }) => {
                say(&format!("diskport: warning: {problem}: what they read as changes too"));
            }
            // A folder that cannot be listed was not asked for.
            Ok(()) | Err(_) => {}
        }
        let open = open.job(&signals::job());
        Ok(open.open_writable(&self.image.path)?)
    }
}

#[derive(Args)]
pub struct Write {
    #[command(flatten)]
    pub change: ChangeArgs,
    /// First byte
    #[arg(long, value_parser = size::parse)]
    pub offset: u64,
    /// Write this many zeros instead of standard input
    #[arg(long, value_name = "LENGTH", value_parser = size::parse)]
    pub zeroes: Option<u64>,
    /// Say that this many bytes are no longer needed, instead of writing any
    #[arg(long, value_name = "LENGTH", value_parser = size::parse, conflicts_with = "zeroes")]
    pub discard: Option<u64>,
    /// Print what was done as one JSON document
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct Resize {
    #[command(flatten)]
    pub change: ChangeArgs,
    /// The new virtual size, or with a sign how much larger or smaller: +10G, -512M
    #[arg(
        value_parser = size::parse_new,
        allow_hyphen_values = true,
        required_unless_present = "to_minimum",
        conflicts_with = "to_minimum"
    )]
    pub size: Option<NewSize>,
    /// Make the disk as small as its partitions, or the file system without any, allow
    #[arg(long)]
    pub to_minimum: bool,
    /// Cut off what is not zeros, partitions and file systems too
    #[arg(long)]
    pub allow_loss: bool,
    /// Print what was done as one JSON document
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct Compact {
    #[command(flatten)]
    pub change: ChangeArgs,
    /// Print what was done as one JSON document
    #[arg(long)]
    pub json: bool,
    /// Give the space of what clean file systems hold free back, too
    #[arg(long)]
    pub skip_free: bool,
}

#[derive(Args)]
pub struct Merge {
    /// The top of the chain
    pub top: PathBuf,
    /// The layer to merge into, instead of the top's parent
    #[arg(long, value_name = "BASE")]
    pub into: Option<PathBuf>,
    /// A new image to merge into; without --base one that has no parent
    #[arg(long, value_name = "NEW", conflicts_with = "into")]
    pub output: Option<PathBuf>,
    /// The layer that the new image is to be a child of
    #[arg(long, value_name = "BASE", requires = "output")]
    pub base: Option<PathBuf>,
    /// The block size of the new image
    #[arg(long, value_parser = size::parse, requires = "output")]
    pub block_size: Option<u64>,
    /// Replace an existing output
    #[arg(long, requires = "output")]
    pub overwrite: bool,
    /// Remove the merged images in the end: the files that are written when they are, no others that their descriptors name
    #[arg(long, conflicts_with = "output")]
    pub delete: bool,
    /// Say which files would be removed, and change nothing
    #[arg(long, requires = "delete")]
    pub dry_run: bool,
    /// Go on when other images need one that is changed or removed: they are lost
    #[arg(long)]
    pub ignore_children: bool,
    /// Print what was done as one JSON document
    #[arg(long)]
    pub json: bool,
    /// The top's format, instead of detecting it
    #[arg(long, short)]
    pub format: Option<Format>,
    #[command(flatten)]
    pub locks: LockArgs,
    #[command(flatten)]
    pub open: OpenArgs,
}

#[derive(Args)]
pub struct Rebase {
    /// The differencing image
    pub image: PathBuf,
    /// Its new parent
    #[arg(long, value_name = "PATH", required_unless_present = "find")]
    pub parent: Option<PathBuf>,
    /// The new parent's format, instead of detecting it
    #[arg(long, value_name = "FORMAT", requires = "parent")]
    pub parent_format: Option<Format>,
    /// Take the new parent for one of the same content, though it does not bear the identity recorded: names and
    /// identities alone are written
    #[arg(long = "unsafe")]
    pub unchecked: bool,
    /// Look in these folders for the parent, which was moved
    #[arg(long, value_name = "FOLDER", num_args = 1.., conflicts_with = "parent")]
    pub find: Vec<PathBuf>,
    /// Where the old parent lies now
    #[arg(long, value_name = "PATH")]
    pub old_parent: Option<PathBuf>,
    /// The old parent's format, instead of detecting it: a raw disk may look like another one
    #[arg(long, value_name = "FORMAT")]
    pub old_parent_format: Option<Format>,
    /// Print what was done as one JSON document
    #[arg(long)]
    pub json: bool,
    /// The image's format, instead of detecting it
    #[arg(long, short)]
    pub format: Option<Format>,
    #[command(flatten)]
    pub locks: LockArgs,
    #[command(flatten)]
    pub policy: PolicyArgs,
}

#[derive(Args)]
pub struct Check {
    #[command(flatten)]
    pub image: ImageArgs,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
    /// Repair what can be repaired without losing anything
    #[arg(long)]
    pub repair: bool,
    /// Make repairs that lose something too
    #[arg(long, requires = "repair")]
    pub allow_loss: bool,
    /// Look for what is wrong within the NTFS volumes, too; nothing of that is repaired
    #[arg(long)]
    pub contents: bool,
    #[command(flatten)]
    pub locks: LockArgs,
}

fn parse_sector_size(text: &str) -> Result<u32, String> {
    match text {
        "512" => Ok(512),
        "4096" => Ok(4096),
        _ => Err("expected 512 or 4096".to_owned()),
    }
}

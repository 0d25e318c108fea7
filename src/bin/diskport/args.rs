//! The grammar of the command line.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use diskport::chain::check_no_children;
use diskport::copy::Digest;
use diskport::format::vhd::SizeField;
use diskport::format::vmdk::GrainTables;
use diskport::ops::Target;
use diskport::storage::{AnyPath, NoExternal};
use diskport::{Disk, Error, Format, Open, WritableDisk};

use crate::console::say;
use crate::failure::Failure;
use crate::size;

/// Reads, converts and transforms virtual disks: VHD, VHDX, VMDK and raw.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
pub struct Cli {
    /// How progress is shown, on standard error
    #[arg(long, global = true, value_enum, default_value_t = ProgressMode::Auto)]
    pub progress: ProgressMode,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Says what an image is: format, sizes, identities, parents. Reads headers only
    Info(Info),
    /// Lists the extents of the virtual disk, through the chain of parents
    Map(Map),
    /// Prints the digest of the whole virtual content
    Hash(Hash),
    /// Compares the virtual contents of two images of any formats
    Compare(Compare),
    /// Writes bytes of the virtual disk to standard output
    Read(Read),
    /// Makes a new empty disk, or a differencing child
    Create(Create),
    /// Writes standard input to the virtual disk
    Write(Write),
    /// Changes the virtual size, in place
    Resize(Resize),
    /// Gives the space of unused and zeroed blocks back, in place
    Compact(Compact),
    /// Merges an image and its parents down to a base: into the base, or into a new image
    Merge(Merge),
    /// Gives an image another parent
    Rebase(Rebase),
    /// Looks for everything that is wrong with an image, and repairs it when told
    Check(Check),
    /// Converts an image, its chain flattened, into another format
    Convert(Convert),
    /// Makes a native disk of a hypervisor from a vDisk with all its versions
    ReverseImage(ReverseImage),
}

/// How images are opened.
#[derive(Args)]
pub struct OpenArgs {
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// The parent of the image, wherever it lies
    #[arg(long, value_name = "PATH")]
    pub parent: Option<PathBuf>,
}

/// What is accepted of images and their parents.
#[derive(Args, Clone, Copy)]
pub struct PolicyArgs {
    /// Where parents and extents that an image names may be opened
    #[arg(long, value_enum, default_value_t = Resolve::SameDirectory)]
    pub resolve: Resolve,
    /// Read over a parent that is not the one recorded
    #[arg(long)]
    pub ignore_parent_mismatch: bool,
    /// How many layers a chain may have
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub max_depth: usize,
    /// The size of a VHD whose footer disagrees with itself
    #[arg(long, value_enum, default_value_t = VhdSize::Current)]
    pub vhd_size: VhdSize,
    /// The grain table of a VMDK that is read where the two copies differ
    #[arg(long, value_enum, default_value_t = GrainTable::Agree)]
    pub grain_table: GrainTable,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Resolve {
    /// The image's own folder
    SameDirectory,
    /// Nowhere
    None,
    /// Anywhere
    Any,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum VhdSize {
    /// The current size
    Current,
    /// Cylinders, heads and sectors
    Chs,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum GrainTable {
    /// Both must agree
    Agree,
    /// The primary one
    Primary,
    /// The redundant one
    Redundant,
}

impl OpenArgs {
    /// Opens the image at `path`, of `format` if one is given.
    pub fn open(&self, path: &PathBuf, format: Option<Format>) -> Result<Disk, Failure> {
        let disk = self.options(format).open_path(path)?;
        warn_of(&disk, path);
        Ok(disk)
    }

    /// The same options for another image, whose parent is another one.
    pub fn with_parent(&self, parent: Option<PathBuf>) -> Self {
        Self { parent, ..*self }
    }

    /// What the options say.
    pub fn options(&self, format: Option<Format>) -> Open {
        let open = self.policy.options(format);
        match &self.parent {
            Some(parent) => open.parent(parent),
            None => open,
        }
    }
}

impl PolicyArgs {
    /// What the options say.
    pub fn options(&self, format: Option<Format>) -> Open {
        let mut open = Open::new()
            .ignore_parent_mismatch(self.ignore_parent_mismatch)
            .max_depth(self.max_depth)
            .vhd_size(match self.vhd_size {
                VhdSize::Current => SizeField::Current,
                VhdSize::Chs => SizeField::Chs,
            })
            .grain_tables(match self.grain_table {
                GrainTable::Agree => GrainTables::MustAgree,
                GrainTable::Primary => GrainTables::Primary,
                GrainTable::Redundant => GrainTables::Redundant,
            });
        open = match self.resolve {
            Resolve::SameDirectory => open,
            Resolve::None => open.resolver(NoExternal),
            Resolve::Any => open.resolver(AnyPath),
        };
        match format {
            Some(format) => open.format(format),
            None => open,
        }
    }
}

/// Says what is odd about the image at `path`.
pub fn warn_of(disk: &Disk, path: &Path) {
    for warning in disk.warnings() {
        say(&format!("diskport: warning: {}: {warning}", path.display()));
    }
}

/// How progress is shown.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// A bar on a terminal, nothing elsewhere
    Auto,
    /// A bar
    Bar,
    /// A line of JSON for each update
    Json,
    /// Nothing
    None,
}

/// One image, and how it is opened.
#[derive(Args)]
pub struct ImageArgs {
    /// The image
    #[arg(value_name = "IMAGE")]
    pub path: PathBuf,
    /// The image's format, instead of detecting it
    #[arg(long, short)]
    pub format: Option<Format>,
    #[command(flatten)]
    pub options: OpenArgs,
}

impl ImageArgs {
    /// Opens the image.
    pub fn open(&self) -> Result<Disk, Failure> {
        self.options.open(&self.path, self.format)
    }
}

#[derive(Args)]
pub struct Info {
    #[command(flatten)]
    pub image: ImageArgs,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct Map {
    #[command(flatten)]
    pub image: ImageArgs,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct Hash {
    #[command(flatten)]
    pub image: ImageArgs,
    /// sha256, md5 or blake3
    #[arg(long, default_value = "sha256")]
    pub algorithm: Digest,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct Compare {
    /// One image
    pub a: PathBuf,
    /// The other
    pub b: PathBuf,
    /// The format of the first image, instead of detecting it
    #[arg(long, short)]
    pub format: Option<Format>,
    /// The format of the second image, instead of detecting it
    #[arg(long, short = 'F')]
    pub format_b: Option<Format>,
    /// The parent of the second image; --parent names that of the first
    #[arg(long, value_name = "PATH")]
    pub parent_b: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub open: OpenArgs,
}

#[derive(Args)]
pub struct Read {
    #[command(flatten)]
    pub image: ImageArgs,
    /// First byte
    #[arg(long, value_parser = size::parse)]
    pub offset: u64,
    /// How many bytes
    #[arg(long, value_parser = size::parse)]
    pub length: u64,
}

/// How an output is written.
#[derive(Args)]
pub struct OutputArgs {
    /// Level of compression, 0 to 9
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(0..=9))]
    pub level: u32,
    /// Threads that read and compress
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Read the output back and compare it with the source before it gets its name
    #[arg(long)]
    pub verify: bool,
    /// Leave out making the output durable, to measure beside tools that do not
    #[arg(long)]
    pub no_sync: bool,
    /// Replace an existing output
    #[arg(long)]
    pub overwrite: bool,
    /// Print a report as one JSON document
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct Convert {
    /// The image to convert
    pub source: PathBuf,
    /// The output; - is standard output
    pub destination: PathBuf,
    /// The source's format, instead of detecting it
    #[arg(long, short = 'f', value_name = "FORMAT")]
    pub source_format: Option<Format>,
    /// The output's format: raw, vhd, vhdx or vmdk. By default what the output's name ends in
    #[arg(long, short = 'O')]
    pub format: Option<Format>,
    /// The kind: fixed or dynamic of a VHD or VHDX; monolithicSparse, monolithicFlat,
    /// twoGbMaxExtentSparse, twoGbMaxExtentFlat, streamOptimized or vmfs of a VMDK
    #[arg(long)]
    pub subformat: Option<String>,
    /// The platform: vsphere, vsphere-datastore, workstation, hyperv, azure, xenserver, aws, pvs or raw
    #[arg(long, conflicts_with_all = ["format", "subformat"])]
    pub target: Option<Target>,
    /// The output's virtual size: at least the source's
    #[arg(long, value_parser = size::parse)]
    pub size: Option<u64>,
    /// The output's block size; for formats that have one
    #[arg(long, value_parser = size::parse)]
    pub block_size: Option<u64>,
    #[command(flatten)]
    pub open: OpenArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Args)]
pub struct Create {
    /// The image to make
    pub image: PathBuf,
    /// The virtual size; of a child, by default its parent's
    #[arg(long, value_parser = size::parse, required_unless_present = "parent")]
    pub size: Option<u64>,
    /// The parent of a differencing child, which holds only what differs from it
    #[arg(long, value_name = "PATH")]
    pub parent: Option<PathBuf>,
    /// The parent's format, instead of detecting it
    #[arg(long, value_name = "FORMAT", requires = "parent")]
    pub parent_format: Option<Format>,
    /// The format: raw, vhd, vhdx or vmdk. By default what the image's name ends in; of a child, the parent's
    #[arg(long, short = 'O', conflicts_with = "parent")]
    pub format: Option<Format>,
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
}

impl ChangeArgs {
    /// Opens the image for writing, after it was looked at without changing anything.
    pub fn open(&self) -> Result<WritableDisk, Failure> {
        let disk = self.image.open()?;
        match check_no_children(&disk) {
            Err(problem) if self.check_children => return Err(problem.into()),
            Err(problem @ Error::HasChildren { .. }) => {
                say(&format!("diskport: warning: {problem}: what they read as changes too"));
            }
            // A folder that cannot be listed was not asked for.
            Ok(()) | Err(_) => {}
        }
        Ok(self.image.options.options(self.image.format).open_writable(&self.image.path)?)
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
}

#[derive(Args)]
pub struct Resize {
    #[command(flatten)]
    pub change: ChangeArgs,
    /// The new virtual size
    #[arg(value_parser = size::parse)]
    pub size: u64,
    /// Cut off what is not zeros
    #[arg(long)]
    pub allow_loss: bool,
}

#[derive(Args)]
pub struct Compact {
    #[command(flatten)]
    pub change: ChangeArgs,
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
    /// Remove the merged images in the end
    #[arg(long, conflicts_with = "output")]
    pub delete: bool,
    /// Go on when other images need one that is changed or removed: they are lost
    #[arg(long)]
    pub ignore_children: bool,
    /// The top's format, instead of detecting it
    #[arg(long, short)]
    pub format: Option<Format>,
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
    /// Take the new parent for one of the same content, as one that was moved: names and identities alone are written
    #[arg(long = "unsafe")]
    pub unchecked: bool,
    /// Look in these folders for the parent, which was moved
    #[arg(long, value_name = "FOLDER", num_args = 1.., conflicts_with = "parent")]
    pub find: Vec<PathBuf>,
    /// Where the old parent lies now
    #[arg(long, value_name = "PATH")]
    pub old_parent: Option<PathBuf>,
    /// The image's format, instead of detecting it
    #[arg(long, short)]
    pub format: Option<Format>,
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
}

fn parse_sector_size(text: &str) -> Result<u32, String> {
    match text {
        "512" => Ok(512),
        "4096" => Ok(4096),
        _ => Err("expected 512 or 4096".to_owned()),
    }
}

#[derive(Args)]
pub struct ReverseImage {
    /// The vDisk: its newest version, or the base
    pub source: PathBuf,
    /// The output; - is standard output
    pub destination: PathBuf,
    /// The source's format, instead of detecting it
    #[arg(long, short = 'f', value_name = "FORMAT")]
    pub source_format: Option<Format>,
    /// The platform: vsphere, vsphere-datastore, workstation, hyperv, azure, xenserver, aws, pvs or raw
    #[arg(long, default_value = "vsphere")]
    pub target: Target,
    /// The output's virtual size in MiB: at least the source's
    #[arg(long, value_name = "MIB")]
    pub size_mib: Option<u64>,
    #[command(flatten)]
    pub open: OpenArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

//! How images are opened.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use diskport::disk::{Losses, Warning, WarningKind};
use diskport::format::vhd::SizeField;
use diskport::format::vmdk::GrainTables;
use diskport::storage::{AnyPath, NoExternal};
use diskport::{Disk, Format, Open};

use crate::console::say;
use crate::failure::Failure;
use crate::size;

/// How images are opened.
#[derive(Args)]
pub struct OpenArgs {
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// The parent of the image, wherever it lies
    #[arg(long, value_name = "PATH")]
    pub parent: Option<PathBuf>,
    /// The format of that parent, and of any of which no identity is recorded, instead of detecting it
    #[arg(long, value_name = "FORMAT")]
    pub parent_format: Option<Format>,
}

/// What is accepted of images and their parents.
#[derive(Args, Clone)]
pub struct PolicyArgs {
    /// Where parents and extents that an image names may be opened
    #[arg(long, value_enum, default_value_t = Resolve::SameDirectory)]
    pub resolve: Resolve,
    /// Where the extent lies that a VMDK calls NAME, or whose name ends in this part; may be given for each of them
    #[arg(long = "extent", value_name = "NAME=PATH", value_parser = parse_extent)]
    pub extents: Vec<(String, PathBuf)>,
    /// Read over a parent that is not the one recorded
    #[arg(long)]
    pub ignore_parent_mismatch: bool,
    /// How many layers a chain may have
    #[arg(long, value_name = "N", value_parser = size::number::<usize>, default_value_t = 64)]
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
        self.open_or_salvage(path, format, None)
    }

    /// The same; with `losses` whatever can be read of it.
    pub fn open_or_salvage(
        &self,
        path: &PathBuf,
        format: Option<Format>,
        losses: Option<&Losses>,
    ) -> Result<Disk, Failure> {
        let open = self.options(format);
        let disk = losses.map_or(open.clone(), |losses| open.salvage(losses)).open(path)?;
        warn_of(&disk);
        Ok(disk)
    }

    /// The same options for another image, whose parent and extents are others.
    pub fn with_parent(&self, parent: &Option<PathBuf>, extents: &[(String, PathBuf)]) -> Self {
        let policy = PolicyArgs { extents: extents.to_vec(), ..self.policy.clone() };
        Self { parent: parent.clone(), parent_format: self.parent_format, policy }
    }

    /// What the options say.
    pub fn options(&self, format: Option<Format>) -> Open {
        let mut open = self.policy.options(format);
        if let Some(parent) = &self.parent {
            open = open.parent(parent);
        }
        if let Some(format) = self.parent_format {
            open = open.parent_format(format);
        }
        open
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
        open = self.extents.iter().fold(open, |open, (name, path)| open.extent(name, path));
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

/// Parses where an extent lies.
pub fn parse_extent(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("expected NAME=PATH")?;
    match name.is_empty() || path.is_empty() {
        true => Err("expected NAME=PATH, neither of them empty".to_owned()),
        false => Ok((name.to_owned(), PathBuf::from(path))),
    }
}

/// Says what is odd about the image and its parents.
pub fn warn_of(disk: &Disk) {
    disk.warnings().for_each(say_warning);
}

/// The same before the image is written to: that somebody uses it is refused then, or ignored.
pub fn warn_before_writing(disk: &Disk) {
    disk.warnings().filter(|warning| warning.kind != WarningKind::InUse).for_each(say_warning);
}

/// Says what is odd.
pub fn say_warning(warning: &Warning) {
    say(&format!("diskport: warning: {warning}"));
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

//! The commands that look at what differs between two images.

use std::path::PathBuf;

use clap::Args;
use diskport::Format;

use super::{ChangeArgs, ImageArgs, OpenArgs, SkipArgs, parse_extent};

#[derive(Args)]
pub struct Update {
    /// The image to copy from
    pub source: PathBuf,
    /// The source's format, instead of detecting it
    #[arg(long, value_name = "FORMAT")]
    pub source_format: Option<Format>,
    /// The parent of the source; --parent names that of the destination
    #[arg(long, value_name = "PATH")]
    pub source_parent: Option<PathBuf>,
    /// Where an extent of the source lies; --extent is for the destination
    #[arg(long, value_name = "NAME=PATH", value_parser = parse_extent)]
    pub source_extent: Vec<(String, PathBuf)>,
    #[command(flatten)]
    pub destination: ChangeArgs,
    #[command(flatten)]
    pub skip: SkipArgs,
    /// Print a report as one JSON document
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct EbsBlocks {
    #[command(flatten)]
    pub image: ImageArgs,
    /// The image of the parent snapshot: only blocks that differ from it are listed
    #[arg(long, value_name = "IMAGE")]
    pub since: Option<PathBuf>,
    /// The format of that image, instead of detecting it
    #[arg(long, value_name = "FORMAT", requires = "since")]
    pub since_format: Option<Format>,
    /// The parent that the image named by --since lies on
    #[arg(long, value_name = "PATH", requires = "since")]
    pub since_parent: Option<PathBuf>,
    /// Where an extent of that image lies
    #[arg(long, value_name = "NAME=PATH", value_parser = parse_extent, requires = "since")]
    pub since_extent: Vec<(String, PathBuf)>,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

impl Update {
    /// How the source is opened.
    pub fn source_options(&self) -> OpenArgs {
        self.destination.image.options.with_parent(&self.source_parent, &self.source_extent)
    }
}

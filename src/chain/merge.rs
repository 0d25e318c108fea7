//! Merging layers of a chain.

use std::path::{Path, PathBuf};

use super::child::Child;
use super::family::{Sought, folder_of, images_in, refuse_children};
use super::layers::Layers;
use super::link::{Way, set_parent};
use super::merge_into::{take_data_id, write_and_close};
use super::removal::Removal;
use crate::copy::{Convert, OutputFormat};
use crate::error::{Error, Result};
use crate::format::Allocation;
use crate::format::vmdk::Subformat;
use crate::job::Job;
use crate::leaves::Format;
use crate::leaves::Shown;
use crate::open::Open;
use crate::storage::{Overwrite, WritableFile};

/// Merges the layers of a chain, from its top down to a base: into the base ([`commit`](Self::commit)), or into a new image
/// ([`create`](Self::create)). Any number of layers is read in one pass.
///
/// ```no_run
/// use diskport::chain::Merge;
///
/// Merge::of("win10.3.avhdx").commit()?;                                // into its parent
/// Merge::of("win10.3.avhdx").base("win10.vhdx").commit()?;             // with all layers between the two
/// Merge::of("win10.3.avhdx").base("win10.vhdx").create("win10.new.avhdx")?; // into a new child of win10.vhdx
/// # Ok::<(), diskport::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Merge {
    top: PathBuf,
    base: Option<PathBuf>,
    open: Open,
    block_size: Option<u64>,
    overwrite: Overwrite,
    delete: bool,
    children_ignored: bool,
    job: Job,
}

/// What a merge did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Merged {
    /// How many layers were merged.
    pub layers: usize,
    /// Bytes of content that were written; zeros that were known as such are not counted.
    pub data_written: u64,
    /// The files of merged layers that were removed.
    pub deleted: Vec<PathBuf>,
}

impl Merge {
    /// A merge of the image at `top` and of the layers below it.
    pub fn of(top: impl Into<PathBuf>) -> Self {
        Self {
            top: top.into(),
            base: None,
            open: Open::new(),
            block_size: None,
            overwrite: Overwrite::No,
            delete: false,
            children_ignored: false,
            job: Job::new(),
        }
    }

    /// The layer that stays, all above it being merged.
    pub fn base(self, path: impl Into<PathBuf>) -> Self {
        Self { base: Some(path.into()), ..self }
    }

    /// How the chain is opened.
    pub fn open(self, open: Open) -> Self {
        Self { open, ..self }
    }

    /// Bytes of a block of the new image. With the top's parent as the base, this gives a child other blocks.
    pub fn block_size(self, block_size: u64) -> Self {
        Self { block_size: Some(block_size), ..self }
    }

    /// Whether the new image replaces an existing file; it does not by default.
    pub fn overwrite(self, overwrite: impl Into<Overwrite>) -> Self {
        Self { overwrite: overwrite.into(), ..self }
    }

    /// Whether [`commit`](Self::commit) removes the merged layers in the end; they are kept by default. What goes is their own
    /// files, which were open for writing and locked: the images, and the extents that their descriptors give for writing.
    /// [`removals`](Self::removals) lists them before. Of a layer that was named by a symlink, it is the file that goes.
    pub fn delete(self, delete: bool) -> Self {
        Self { delete, ..self }
    }

    /// Whether [`commit`](Self::commit) goes on when other images need a layer that it changes or removes; the folders of the
    /// top and the base are looked through for such images by default.
    pub fn ignore_children(self, ignore: bool) -> Self {
        Self { children_ignored: ignore, ..self }
    }

    /// How far it has come, and what stops it: between two pieces. All images are whole then, and a merge run again goes on.
    pub fn job(self, job: &Job) -> Self {
        Self { job: job.clone(), ..self }
    }

    /// Writes what the layers hold into the base: the top's parent, unless another was named.
    ///
    /// The top then lies directly on the base and reads as before, as do its children; so does the base by itself, unless the
    /// top was smaller. Layers in between are no longer of use, since what they lie on has changed. A base that is smaller than
    /// the top grows first. Without the top, or with [`delete`](Self::delete), a child of the top needs the base as its new
    /// parent: by [`Rebase::unchecked`](super::Rebase::unchecked).
    ///
    /// A merge that was cancelled or cut short leaves a chain that reads as before from its top, with a warning, and it ends when
    /// it is run again. Until then nothing else may be written to the top, and layers in between cannot be read by themselves.
    /// Those of VHD alone can, and read wrongly: a VHD has no identity of its content.
    ///
    /// # Errors
    ///
    /// [`Error::NoParent`], [`Error::NotInChain`]; [`Error::HasChildren`] when other images need a layer that is changed;
    /// [`Error::Locked`] when any of them is open for writing; [`Error::NotWritable`]; [`Error::SizeLimit`];
    /// [`Error::Cancelled`]; and all that reading and writing give rise to.
    pub fn commit(&self) -> Result<Merged> {
        let layers = Layers::open_writable(&self.open, &self.top, self.base.as_deref(), self.delete)?;
        // What cannot be had for writing is known before anything is changed.
        let removal = if self.delete { Some(Removal::of(&self.open, &layers)?) } else { None };
        removal.as_ref().map(Removal::paths).transpose()?;
        if !self.children_ignored {
            self.check_children(&layers)?;
        }
        let base = layers.base_path()?;
        let format = layers.base.chain()[0].info().format;
        let open = self.open.for_layer(format);
        if !self.delete {
            // The top lies on the base then; without it, nobody looks for the base.
            Way::new(&self.top, &layers.base)?;
        }
        let begin = || {
            let into = open.open_writable(base)?;
            layers.check_base(into.disk())?;
            take_data_id(&into, &layers.above);
            Ok::<_, Error>(into)
        };
        let mut into = begin()?;
        if into.size() < layers.above.size() {
            into.set_size(layers.above.size())?;
            into = begin()?;
        }
        let data_written = write_and_close(&layers.above, into, &self.job)?;
        let base = open.open_steady(base)?;
        layers.check_base(&base)?;
        set_parent(&self.open, layers.top_file()?, layers.top().info().format, &base)?;
        let deleted = removal.map_or_else(|| Ok(Vec::new()), Removal::run)?;
        Ok(Merged { layers: layers.above.chain().len(), data_written, deleted })
    }

    /// The files that [`commit`](Self::commit) would [remove](Self::delete), in that order. Nothing is changed.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    pub fn removals(&self) -> Result<Vec<PathBuf>> {
        let layers = Layers::open_writable(&self.open, &self.top, self.base.as_deref(), true)?;
        Removal::of(&self.open, &layers)?.paths()
    }

    /// Writes what the layers hold into a new image at `path`, where it appears when it is whole: a child of the base, or,
    /// when none was named, an image without a parent. Nothing else is changed.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit), [`Child::create`] and [`Convert::create`].
    pub fn create(&self, path: impl AsRef<Path>) -> Result<Merged> {
        let path = path.as_ref();
        let Some(base) = &self.base else { return self.flatten(path) };
        let layers = Layers::open(&self.open, &self.top, Some(base))?;
        layers.above.check_not_source(path)?;
        let mut child = Child::of(&layers.base).size(layers.above.size()).overwrite(self.overwrite);
        if let Some(block_size) = self.block_size {
            child = child.block_size(block_size);
        }
        let output = child.begin(path)?;
        let file = WritableFile::new(output.storage().clone(), path.shown());
        let into = self.open.over(file, &layers.base)?;
        take_data_id(&into, &layers.above);
        let data_written = write_and_close(&layers.above, into, &self.job)?;
        output.publish(true)?;
        Ok(Merged { layers: layers.above.chain().len(), data_written, deleted: Vec::new() })
    }

    /// Copies the whole chain.
    fn flatten(&self, path: &Path) -> Result<Merged> {
        let disk = self.open.open(&self.top)?;
        let format = match disk.chain()[0].info().format {
            Format::Raw => OutputFormat::Raw,
            Format::Vhd => OutputFormat::Vhd(Allocation::Dynamic),
            Format::Vhdx => OutputFormat::Vhdx(Allocation::Dynamic),
            Format::Vmdk => OutputFormat::Vmdk(Subformat::MonolithicSparse),
        };
        let mut copy = Convert::new(&disk).to(format).overwrite(self.overwrite);
        if let Some(block_size) = self.block_size {
            copy = copy.block_size(block_size);
        }
        let report = copy.job(&self.job).create(path)?;
        let (layers, data_written) = (disk.chain().len(), report.data_written);
        Ok(Merged { layers, data_written, deleted: Vec::new() })
    }

    /// Looks for images outside of the chain that lie on a layer whose content changes: the base, and those in between.
    fn check_children(&self, layers: &Layers) -> Result<()> {
        let below = layers.above.chain().iter().skip(usize::from(!self.delete));
        let changed = layers.base.chain().iter().take(1).chain(below);
        let changed: Vec<_> = changed.filter_map(|layer| Sought::new(&**layer)).collect();
        let folders = [folder_of(&self.top), folder_of(layers.base_path()?)];
        let same = folders[0].canonicalize().ok() == folders[1].canonicalize().ok();
        let folders = if same { &folders[..1] } else { &folders };
        let mut children = vec![Vec::new(); changed.len()];
        for folder in folders {
            for found in images_in(folder, &self.open)?.filter(|found| !layers.contain(&found.path)) {
                let parent = changed.iter().position(|layer| found.is_child_of(layer));
                // One that no longer knows its parent is lost already: a layer of an earlier merge.
                if let Some(parent) = parent.filter(|&parent| found.knows(changed[parent].info())) {
                    children[parent].push(found.path);
                }
            }
        }
        for (layer, children) in changed.iter().zip(children) {
            refuse_children(layer.name(), &children)?;
        }
        Ok(())
    }
}

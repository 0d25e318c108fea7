//! What the workloads run on: every kind of image that is written in place.

use diskport::copy::{Convert, OutputFormat};
use diskport::format::Allocation;
use diskport::format::vmdk::Subformat;
use diskport::{Child, Disk, Format, KIB, MIB};

use crate::bytes::{Bytes, Memory};
use crate::expected::pattern;
use crate::image::{Image, Top};
use crate::states::Fill;
use crate::workload::Op;

/// A kind of image in a certain state.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub output: OutputFormat,
    /// Bytes of a logical sector.
    pub sector: u32,
    /// Bytes of a block; for kinds without blocks, of what the workloads take for one.
    pub block: u64,
    /// Virtual size in bytes.
    pub size: u64,
    pub start: Start,
}

/// A target whose image was made.
pub struct Prepared {
    pub target: Target,
    pub image: Image,
    /// What its disk holds.
    pub content: Bytes,
}

/// What the disk holds at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing.
    Fresh,
    /// Data in all blocks but the second.
    Used,
    /// A new child of a parent that is full.
    Child,
    /// A new child of a raw disk that is full.
    ChildOfRaw,
}

const DYNAMIC: Allocation = Allocation::Dynamic;
const FIXED: Allocation = Allocation::Fixed;

impl Target {
    const fn new(output: OutputFormat, start: Start) -> Self {
        let block = match output {
            OutputFormat::Vhd(DYNAMIC) => 512 * KIB,
            OutputFormat::Vhdx(_) => MIB,
            _ => 64 * KIB,
        };
        // The last block is half beyond the end.
        Self { output, sector: 512, block, size: block * 5 / 2, start }
    }

    /// The targets of a format.
    pub fn all(format: Format) -> Vec<Self> {
        use Start::{Child, ChildOfRaw, Fresh, Used};
        let each = |outputs: &[OutputFormat], starts: &[Start]| -> Vec<Self> {
            outputs.iter().flat_map(|&o| starts.iter().map(move |&start| Self::new(o, start))).collect()
        };
        match format {
            Format::Raw => each(&[OutputFormat::Raw], &[Fresh, Used]),
            Format::Vhd => {
                let mut all = each(&[OutputFormat::Vhd(DYNAMIC)], &[Fresh, Used, Child, ChildOfRaw]);
                all.extend(each(&[OutputFormat::Vhd(FIXED)], &[Used]));
                // Its block allocation table has no room for one more block.
                all.push(Self { size: 128 * 512 * KIB, ..Self::new(OutputFormat::Vhd(DYNAMIC), Fresh) });
                all
            }
            Format::Vhdx => {
                let mut all = each(&[OutputFormat::Vhdx(DYNAMIC)], &[Fresh, Used, Child]);
                let sectors_of_4096 = all.clone().into_iter().map(|target| Self { sector: 4096, ..target });
                all.extend(sectors_of_4096.collect::<Vec<_>>());
                all.extend(each(&[OutputFormat::Vhdx(FIXED)], &[Used]));
                all
            }
            Format::Vmdk => {
                let mut all = each(&[OutputFormat::Vmdk(Subformat::MonolithicSparse)], &[Fresh, Used, Child]);
                all.extend(each(&[OutputFormat::Vmdk(Subformat::TwoGbMaxExtentSparse)], &[Used]));
                let flat = [Subformat::MonolithicFlat, Subformat::TwoGbMaxExtentFlat, Subformat::Vmfs];
                all.extend(each(&flat.map(OutputFormat::Vmdk), &[Used]));
                all
            }
            _ => unreachable!("there are no other formats"),
        }
    }

    /// What is done to it.
    pub fn ops(&self) -> Vec<Op> {
        let all = Op::all(self.block).into_iter();
        match self.output {
            OutputFormat::Raw => all.filter(|op| *op != Op::Child && !op.needs_parent()).collect(),
            // It is about the table; the rest would read its many blocks for nothing.
            _ if self.is_large() => {
                let (write, grow) = (Op::Write(0..self.block), Op::Grow(self.block));
                vec![write, Op::Flush, grow, Op::Shrink(self.block)]
            }
            _ => all.collect(),
        }
    }

    /// What new space of its files may hold. A raw disk cannot help showing what the file system gives it.
    pub fn fills(&self) -> &'static [Fill] {
        if self.output == OutputFormat::Raw {
            &[Fill::Zeros]
        } else {
            &[Fill::Zeros, Fill::Garbage, Fill::Stale]
        }
    }

    pub fn name(&self) -> String {
        let sector = if self.sector == 512 { "" } else { " 4096" };
        format!("{}{sector} of {} blocks, {:?}", self.output, self.size.div_ceil(self.block), self.start)
    }

    /// Whether there is nothing on it that an error could destroy.
    pub fn is_fresh(&self) -> bool {
        self.start == Start::Fresh
    }

    /// Whether reading all of it takes long.
    pub fn is_large(&self) -> bool {
        self.size > 16 * MIB
    }

    /// Whether it is a child.
    pub fn is_child(&self) -> bool {
        matches!(self.start, Start::Child | Start::ChildOfRaw)
    }

    /// Makes the image.
    pub fn prepare(&self) -> Result<Prepared, String> {
        let (image, content) = self.image().map_err(|e| format!("{}: {e}", self.name()))?;
        Ok(Prepared { target: *self, image, content })
    }

    /// The image as it is at first, and the content of its disk.
    fn image(&self) -> diskport::Result<(Image, Bytes)> {
        match self.start {
            Start::Fresh => Ok((self.create()?, Bytes::zeros(self.size))),
            Start::Used => {
                let holes = self.block..2 * self.block;
                let mut content = filled(self.size);
                content.zero(holes.clone());
                let image = self.create()?.written(|disk| {
                    disk.write_at(&filled(holes.start).to_vec(), 0)?;
                    let rest = &content.to_vec()[holes.end as usize..];
                    disk.write_at(rest, holes.end)
                })?;
                Ok((image, content))
            }
            Start::Child => {
                let content = filled(self.size);
                let parent = self.create()?.written(|disk| disk.write_at(&content.to_vec(), 0))?;
                Ok((parent.child("child")?, content))
            }
            Start::ChildOfRaw => {
                let content = filled(self.size);
                let top = Top { main: 0, own: 0, format: Format::Raw };
                let parent = Image { files: vec![("base".to_owned(), content.clone())], chain: vec![top] };
                Ok((parent.child("child")?, content))
            }
        }
    }

    /// A new image of an empty disk.
    fn create(&self) -> diskport::Result<Image> {
        let mut copy = Convert::new(&Disk::empty(self.size, self.sector)).to(self.output);
        if matches!(self.output, OutputFormat::Vhd(DYNAMIC) | OutputFormat::Vhdx(_)) {
            copy = copy.block_size(self.block);
        }
        let format = self.output.format();
        let top = Top { main: 0, own: 0, format };
        let several = matches!(self.output, OutputFormat::Vmdk(kind) if kind != Subformat::MonolithicSparse);
        if !several {
            let storage = Memory::default();
            copy.create(storage.clone())?;
            return Ok(Image { files: vec![("base".to_owned(), storage.bytes())], chain: vec![top] });
        }
        // More than one file: only by path.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        copy.create(folder.path().join("base"))?;
        let files = folder.path().read_dir().expect("a folder").map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("has one").to_string_lossy().into_owned();
            (name, Bytes::from(&std::fs::read(path).expect("was written")[..]))
        });
        let mut files: Vec<_> = files.collect();
        files.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Image { files, chain: vec![top] })
    }
}

/// The format of a child of an image of `format`.
pub fn child_format(format: Format) -> Format {
    if format == Format::Raw { Format::Vhd } else { format }
}

/// What a used disk holds.
fn filled(size: u64) -> Bytes {
    Bytes::from(&pattern(0, 0, size as usize)[..])
}

impl Image {
    /// The image after it was written to and closed.
    fn written(
        self,
        write: impl FnOnce(&diskport::WritableDisk) -> diskport::Result<()>,
    ) -> diskport::Result<Self> {
        let (storages, open) = self.storages(self.top());
        let disk = open.open_writable(storages[self.top().main].clone())?;
        write(&disk)?;
        disk.close()?;
        Ok(self.with(&storages))
    }

    /// A new child of the image.
    fn child(mut self, name: &str) -> diskport::Result<Self> {
        let parent = self.top();
        let (storages, open) = self.storages(parent);
        let disk = open.open(storages[parent.main].clone())?;
        let storage = Memory::default();
        Child::of(&disk).parent_name(&self.files[parent.main].0).create(storage.clone())?;
        let new = self.files.len();
        self.files.push((name.to_owned(), storage.bytes()));
        self.chain.push(Top { main: new, own: new, format: child_format(parent.format) });
        Ok(self)
    }
}

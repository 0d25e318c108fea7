//! Outputs that are cut off before they are whole: nobody takes one for a disk, unless it is there with all its content.

use std::path::{Path, PathBuf};

use diskport::copy::{Convert, OutputFormat};
use diskport::format::Allocation;
use diskport::format::vmdk::Subformat;
use diskport::storage::MemoryStorage;
use diskport::{Format, Open};

use crate::bytes::Bytes;
use crate::common::campaign::Campaign;
use crate::common::tools::{Finish, Trouble, python, to_raw, tool};
use crate::expected::pattern;
use crate::recorder::{Change, Recorder};

/// Cuts of a whole campaign that others are shown, evenly over the course of the copy: one at each percent.
const PERCENT: usize = 100;
/// Changes at the end of which they are shown each.
const LAST: usize = 16;

const FORMATS: [OutputFormat; 6] = [
    OutputFormat::Vhd(Allocation::Fixed),
    OutputFormat::Vhd(Allocation::Dynamic),
    OutputFormat::Vhdx(Allocation::Fixed),
    OutputFormat::Vhdx(Allocation::Dynamic),
    OutputFormat::Vmdk(Subformat::MonolithicSparse),
    OutputFormat::Vmdk(Subformat::StreamOptimized),
];

/// Cuts outputs of all formats at every change, and in the midst of it; how many there were.
pub fn check() -> Result<usize, Trouble> {
    let mut content = pattern(1, 0, 12 << 20);
    content[1 << 20..2 << 20].fill(0);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let mut cuts = 0;
    for format in FORMATS {
        let block_size = matches!(format, OutputFormat::Vhdx(_)).then_some(1 << 20);
        let (unfinished, whole) = states(format, block_size, &content)?;
        for (at, state) in unfinished.iter().enumerate() {
            let opened = Open::new().format(format.format()).open(MemoryStorage::new(state.to_vec()));
            if let Ok(disk) = opened {
                let mut found = vec![0; content.len()];
                let read = disk.read_at(&mut found, 0);
                if read.is_err() || found != content {
                    return Err(
                        format!("{format}: we take cut {at} of {} for a disk", unfinished.len()).into()
                    );
                }
            }
        }
        cuts += unfinished.len();
        let campaign = Campaign::from_environment();
        let (percent, last) = (campaign.part(PERCENT), campaign.part(LAST));
        let mut shown: Vec<_> = (0..percent).map(|one| one * unfinished.len() / percent).collect();
        shown.extend(unfinished.len().saturating_sub(2 * last)..unfinished.len());
        shown.dedup();
        let write = |name: String, bytes: &Bytes| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes.to_vec()).map(|()| path)
        };
        let images = shown.iter().map(|&at| write(format!("{at}"), &unfinished[at]));
        let images = images.collect::<Result<Vec<_>, _>>()?;
        let whole = write("whole".to_owned(), &whole)?;
        check_others(format, &images, &whole, &content).map_err(|trouble| match trouble {
            Trouble::Failed(failed) => format!("{format}: {}", failed.message().unwrap_or_default()).into(),
            missing => missing,
        })?;
    }
    Ok(cuts)
}

/// The states of an output before each change and in its midst, and the whole.
fn states(
    format: OutputFormat,
    block_size: Option<u64>,
    content: &[u8],
) -> Result<(Vec<Bytes>, Bytes), Trouble> {
    let source = Open::new().format(Format::Raw).open(MemoryStorage::new(content))?;
    let recorder = Recorder::default();
    let file = recorder.add(Bytes::default());
    let mut copy = Convert::new(&source).to(format).sync(false);
    if let Some(block_size) = block_size {
        copy = copy.block_size(block_size);
    }
    copy.create(file.clone())?;
    let (mut state, mut states) = (Bytes::default(), Vec::new());
    for event in recorder.history().1 {
        states.push(state.clone());
        match event.change {
            Change::Write { offset, data } => {
                let half = data.len() / 2 / 512 * 512;
                state.write(&data[..half], offset);
                states.push(state.clone());
                state.write(&data[half..], offset + half as u64);
            }
            Change::SetSize(size) => state.set_size(size),
            Change::PunchHole(range) => state.zero(range),
            Change::Sync => {}
        }
    }
    Ok((states, file.bytes()))
}

/// That others read the whole, and refuse what is not whole.
fn check_others(
    format: OutputFormat,
    images: &[PathBuf],
    whole: &Path,
    content: &[u8],
) -> Result<(), Trouble> {
    let raw = whole.with_extension("raw");
    let name = format.format().name();
    let reads_whole = |image: &Path| -> Result<bool, Trouble> {
        to_raw(name, image, &raw)?;
        let found = std::fs::read(&raw)?;
        // A size in whole cylinders is larger.
        Ok(found.starts_with(content) && found[content.len()..].iter().all(|&byte| byte == 0))
    };
    if !reads_whole(whole)? {
        return Err("qemu-img reads the whole otherwise".into());
    }
    let qemu_name = if name == "vhd" { "vpc" } else { name };
    for image in images {
        let opens = tool("qemu-img")?.args(["info", "-f", qemu_name]).arg(image).finish().is_ok();
        if opens && !reads_whole(image)? {
            return Err(format!("qemu-img takes cut {} for a disk", image.display()).into());
        }
    }
    let module = if format.format() == Format::Vmdk { "pyvmdk" } else { "pyvhdi" };
    let said = python("interop/opens.py", module)?.arg(module).arg(whole).args(images).finish()?;
    let said = String::from_utf8(said)?;
    let mut said = said.lines();
    if said.next() != Some("opens") {
        return Err(format!("{module} refuses the whole").into());
    }
    let opened: Vec<_> = images.iter().zip(said).filter(|(_, said)| *said == "opens").collect();
    for (image, _) in opened {
        // It may be there with all its content but for a copy of something; then the others read it.
        let all = Open::new().format(format.format()).open(image).and_then(|disk| {
            let mut found = vec![0; content.len()];
            disk.read_at(&mut found, 0).map(|()| found == content)
        });
        if !matches!(all, Ok(true)) {
            return Err(format!("{module} takes cut {} for a disk", image.display()).into());
        }
    }
    Ok(())
}

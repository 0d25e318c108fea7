//! `qemu-img map [-f FORMAT] [--image-opts] [--output=human|json] FILE`

use diskport::disk::MappingKind;
use diskport::{Disk, Extent, Format};

use super::{Outcome, could_not_open, image};
use crate::failure;
use crate::options::Options;

pub fn run(args: &[String]) -> Outcome {
    let options = Options::parse(args, "f:Oo:", &[("image-opts", 'O'), ("output", 'o')])?;
    let [name] = options.exactly()?;
    let disk = image(name, options.value('f'), options.has('O'))?.open().map_err(could_not_open(name))?;
    let extents: Vec<Extent> = disk.extents(..).collect::<Result<_, _>>().map_err(|e| failure::of(&e))?;
    match options.value('o').unwrap_or("human") {
        "human" => {
            println!("{:<16}{:<16}{:<16}File", "Offset", "Length", "Mapped to");
            for extent in &extents {
                human(&disk, extent);
            }
        }
        "json" => {
            let rows: Vec<String> = extents.iter().map(|extent| json(&disk, extent)).collect();
            println!("[{}]", rows.join(",\n"));
        }
        other => return Err(format!("--output must be used with human or json as argument, not {other}")),
    }
    Ok(0)
}

/// Prints a run that holds data of a file.
fn human(disk: &Disk, extent: &Extent) {
    if let (MappingKind::Stored { offset, .. }, Some(file)) = (extent.kind, disk.file_of(extent)) {
        let [start, len, offset] = [extent.start, extent.len, offset].map(|number| match number {
            0 => "0".to_owned(),
            _ => format!("{number:#x}"),
        });
        println!("{start:<16}{len:<16}{offset:<16}{}", file.name());
    }
}

fn json(disk: &Disk, extent: &Extent) -> String {
    let Extent { start, len, depth, kind } = *extent;
    // qemu knows backing files of VMDKs alone: elsewhere nothing is absent.
    let parents = disk.chain()[0].info().format == Format::Vmdk;
    let present = !parents || kind != MappingKind::Absent;
    let data = extent.is_data();
    let compressed = matches!(kind, MappingKind::Packed(_));
    let offset = match kind {
        MappingKind::Stored { offset, .. } => format!(", \"offset\": {offset}"),
        _ => String::new(),
    };
    format!(
        "{{ \"start\": {start}, \"length\": {len}, \"depth\": {depth}, \"present\": {present}, \
         \"zero\": {}, \"data\": {data}, \"compressed\": {compressed}{offset}}}",
        !data
    )
}

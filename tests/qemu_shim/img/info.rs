//! `qemu-img info [-f FORMAT] [--image-opts] [--backing-chain] FILE`

use diskport::Format;
use diskport::disk::{Identity, Layer};
use diskport::storage::{FileRole, ImageFile};

use super::{Outcome, could_not_open, image};
use crate::image::beside;
use crate::options::Options;
use crate::size::significant;

pub fn run(args: &[String]) -> Outcome {
    let options = Options::parse(args, "f:OC", &[("image-opts", 'O'), ("backing-chain", 'C')])?;
    let [name] = options.exactly()?;
    let disk = image(name, options.value('f'), options.has('O'))?.open().map_err(could_not_open(name))?;
    let layers = if options.has('C') { disk.chain().len() } else { 1 };
    let texts: Vec<String> = disk.chain().iter().take(layers).map(|layer| describe(&**layer)).collect();
    print!("{}", texts.join("\n"));
    Ok(0)
}

fn describe(layer: &dyn Layer) -> String {
    let (info, files) = (layer.info(), layer.files());
    let own = files.first();
    let name = own.map_or("", ImageFile::name);
    let allocated = files.iter().filter_map(|file| file.storage().allocated()).sum();
    let mut lines = vec![
        format!("image: {name}"),
        format!("file format: {}", driver(info.format)),
        format!("virtual size: {} ({} bytes)", significant(info.size), info.size),
        format!("disk size: {}", significant(allocated)),
    ];
    lines.extend(info.block_size.map(|size| format!("cluster_size: {size}")));
    if let Some(parent) = info.parent.as_ref().and_then(|parent| parent.names.first()) {
        let path = own.and_then(ImageFile::path).map(|own| beside(own, parent).display().to_string());
        let actual = path.filter(|path| path != parent).map(|path| format!(" (actual path: {path})"));
        lines.push(format!("backing file: {parent}{}", actual.unwrap_or_default()));
        lines.push(format!("backing file format: {}", driver(info.format)));
    }
    if info.format == Format::Vmdk {
        let parent = info.parent.as_ref().and_then(|parent| parent.linkage.accepted().first().copied());
        lines.push("Format specific information:".to_owned());
        lines.push(format!("    cid: {}", cid(info.data_id)));
        lines.push(format!("    parent cid: {}", cid(parent)));
        lines.push(format!("    create type: {}", info.subformat));
        lines.push("    extents:".to_owned());
        let outside: Vec<_> = files.iter().filter(|file| file.role() == FileRole::Extent).collect();
        // An extent that is the image itself is listed too: the tests remove what is listed.
        let extents = if outside.is_empty() { files.iter().collect() } else { outside };
        for (index, file) in extents.into_iter().enumerate() {
            let flat = info.block_size.is_none();
            let size = if flat { file.size() } else { info.size };
            lines.push(format!("        [{index}]:"));
            lines.push(format!("            virtual size: {size}"));
            lines.push(format!("            filename: {}", file.name()));
            lines.push(format!("            format: {}", if flat { "FLAT" } else { "SPARSE" }));
        }
    }
    lines.join("\n") + "\n"
}

/// A content id in decimal; all ones where there is none.
fn cid(id: Option<Identity>) -> u32 {
    match id {
        Some(Identity::Cid(cid)) => cid,
        _ => u32::MAX,
    }
}

/// qemu's name for a format.
fn driver(format: Format) -> &'static str {
    match format {
        Format::Vhd => "vpc",
        other => other.name(),
    }
}

//! The real tables of the corpus: ours, beside sfdisk's, gptman's and mbrman's.

use std::fs::File;

use diskport::Ids;
use diskport::partition::{Layout, PartitionType, Role, Scheme, TypeMap, mbr_to_gpt};
use diskport::{Error, Format, Open, Rule};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::common::corpus;
use crate::common::tools::{Finish, Missing, Trouble, tool, trial};

/// What is known of an image beyond what the peers say.
struct Known {
    file: &'static str,
    scheme: &'static str,
    partitions: usize,
    /// Why it is not converted; `None` when it is.
    refused: Option<Rule>,
    /// Whether the peers read it: they refuse a disk that is cut off.
    peers: bool,
}

const fn known(file: &'static str, scheme: &'static str, partitions: usize, refused: Option<Rule>) -> Known {
    Known { file, scheme, partitions, refused, peers: true }
}

/// Of a disk of which only the beginning is there.
const fn head(file: &'static str, scheme: &'static str, partitions: usize, refused: Rule) -> Known {
    Known { file, scheme, partitions, refused: Some(refused), peers: false }
}

const IMAGES: [Known; 14] = [
    known("dfvfs-mbr.raw", "mbr", 3, Some(Rule::LogicalPartitions)),
    known("dfvfs-gpt.raw", "gpt", 2, Some(Rule::AlreadyGpt)),
    // sfdisk and mbrman do not know boot records that name two partitions; see `two_in_one_record`.
    Known { peers: false, ..known("dftt-ext-part-test-2.dd", "mbr", 7, Some(Rule::LogicalPartitions)) },
    known("mbrman-disk1.img", "mbr", 2, Some(Rule::RoomInFront)),
    known("gptman-disk1.img", "gpt", 2, Some(Rule::AlreadyGpt)),
    known("gptman-disk3.img", "gpt", 2, Some(Rule::AlreadyGpt)),
    known("gptman-disk5.img", "gpt", 2, Some(Rule::AlreadyGpt)),
    head("4t-gpt.img", "gpt", 2, Rule::AlreadyGpt),
    known("fdisk-1m-part.img", "gpt", 1, Some(Rule::AlreadyGpt)),
    known("fdisk-empty-mbr.img", "mbr", 0, Some(Rule::RoomInFront)),
    head("dissect-mbr.bin", "mbr", 2, Rule::BeyondDisk),
    head("dissect-gpt.bin", "gpt", 2, Rule::AlreadyGpt),
    head("dissect-gpt_esxi.bin", "gpt", 5, Rule::AlreadyGpt),
    head("qemu-grub_mbr.raw", "mbr", 2, Rule::PartitionType),
];

pub fn trials() -> Vec<Trial> {
    let check = |known: &'static Known| trial(format!("table::{}", known.file), move || check(known));
    let two = trial("table::two-in-one-record".to_owned(), two_in_one_record);
    IMAGES.iter().map(check).chain([two]).collect()
}

/// The partitions that the authors of the Digital Forensics Tool Testing image list.
fn two_in_one_record() -> Result<(), Trouble> {
    let corpus = corpus::get().map_err(|reason| Missing(reason.to_owned()))?;
    let disk = Open::new().format(Format::Raw).open(corpus.path("mbr-gpt/dftt-ext-part-test-2.dd"))?;
    let layout = Layout::read(&disk)?.ok_or("no table")?;
    let logical = layout.partitions[4..].iter().map(|p| (p.index, p.start / 512, p.size / 512));
    assert!(logical.eq([(5, 157_311, 52_353), (6, 209_727, 52_353), (7, 262_143, 50_337)]));
    Ok(())
}

fn check(known: &'static Known) -> Result<(), Trouble> {
    let corpus = corpus::get().map_err(|reason| Missing(reason.to_owned()))?;
    let path = corpus.path(&format!("mbr-gpt/{}", known.file));
    let disk = Open::new().format(Format::Raw).open(&path)?;
    let layout = Layout::read(&disk)?.ok_or("no table")?;
    assert_eq!(layout.partitions.len(), known.partitions, "{layout:#?}");
    let refused = match mbr_to_gpt(&layout, &TypeMap::new(), &mut Ids::seeded(1)) {
        Ok(_) => None,
        Err(Error::NotConvertible { rule, .. }) => Some(rule),
        Err(other) => return Err(other.into()),
    };
    assert_eq!(refused, known.refused);
    let scheme = if matches!(layout.scheme, Scheme::Gpt { .. }) { "gpt" } else { "mbr" };
    assert_eq!(scheme, known.scheme);
    if !known.peers {
        return Ok(());
    }
    let shown = tool("sfdisk")?.arg("--json").arg(&path).finish()?;
    same_as_sfdisk(&layout, &serde_json::from_slice(&shown)?);
    same_as_crates(&layout, &mut File::open(path)?)
}

/// Compares each partition with what sfdisk's JSON says.
pub fn same_as_sfdisk(layout: &Layout, shown: &Value) {
    let table = &shown["partitiontable"];
    let id = match layout.scheme {
        Scheme::Mbr { signature } => format!("{signature:#010x}"),
        Scheme::Gpt { id, .. } => id.to_string().to_uppercase(),
    };
    assert_eq!(table["id"], id.as_str());
    let unit = u64::from(layout.sector_size);
    let partitions = table["partitions"].as_array().cloned().unwrap_or_default();
    assert_eq!(layout.partitions.len(), partitions.len());
    for (ours, theirs) in layout.partitions.iter().zip(&partitions) {
        let kind = match ours.kind {
            PartitionType::Mbr(byte) => format!("{byte:x}"),
            PartitionType::Gpt(guid) => guid.to_string().to_uppercase(),
            other => panic!("{other:?}"),
        };
        let id = ours.id.map(|id| id.to_string().to_uppercase());
        assert_eq!(theirs["start"], ours.start / unit);
        assert_eq!(theirs["size"], ours.size / unit);
        assert_eq!(theirs["type"], kind.as_str());
        assert_eq!(theirs["uuid"].as_str(), id.as_deref());
        assert_eq!(theirs["name"].as_str().unwrap_or_default(), ours.name);
        assert_eq!(theirs["bootable"].as_bool().unwrap_or_default(), ours.active);
        let node = theirs["node"].as_str().unwrap_or_default();
        assert!(node.ends_with(&ours.index.to_string()), "{node}: {}", ours.index);
    }
}

/// Compares each partition with what gptman or mbrman reads.
pub fn same_as_crates(
    layout: &Layout,
    file: &mut (impl std::io::Read + std::io::Seek),
) -> Result<(), Trouble> {
    let unit = u64::from(layout.sector_size);
    match layout.scheme {
        Scheme::Gpt { id, .. } => {
            let gpt = gptman::GPT::read_from(file, unit)?;
            assert_eq!(gpt.header.disk_guid, id.to_bytes_le());
            let theirs: Vec<_> = gpt
                .iter()
                .filter(|(_, entry)| entry.is_used())
                .map(|(index, entry)| {
                    let range = entry.starting_lba * unit..(entry.ending_lba + 1) * unit;
                    let name = entry.partition_name.as_str().to_owned();
                    (index, range, entry.unique_partition_guid, name, entry.attribute_bits)
                })
                .collect();
            let ours = layout.partitions.iter().map(|p| {
                (p.index, p.range(), p.id.unwrap_or_default().to_bytes_le(), p.name.clone(), p.attributes)
            });
            assert_eq!(theirs, ours.collect::<Vec<_>>());
        }
        Scheme::Mbr { signature } => {
            let mbr = mbrman::MBR::read_from(file, layout.sector_size)?;
            assert_eq!(mbr.header.disk_signature, signature.to_le_bytes());
            let theirs: Vec<_> = mbr
                .iter()
                .filter(|(_, entry)| entry.is_used())
                .map(|(index, entry)| {
                    let start = u64::from(entry.starting_lba) * unit;
                    (index as u32, start, u64::from(entry.sectors) * unit, entry.is_extended())
                })
                .collect();
            let ours = layout.partitions.iter().map(|p| (p.index, p.start, p.size, p.role == Role::Extended));
            assert_eq!(theirs, ours.collect::<Vec<_>>());
        }
    }
    Ok(())
}

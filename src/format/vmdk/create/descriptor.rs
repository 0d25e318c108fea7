//! The descriptor of a new VMDK.
//!
//! It keeps to the grammar of VirtualBox, the strictest reader: header, extents and disk database in this order,
//! `version=1`, single spaces ("Virtual Disk Format 5.0", section "The Descriptor File").

use uuid::Uuid;

use super::super::capacity::MAX_SECTORS;
use super::super::descriptor::NO_PARENT;
use super::super::layout::SECTOR;
use super::Subformat;
use crate::disk::Geometry;
use crate::error::{Error, Result};
use crate::leaves::Format;

/// Sectors kept for an embedded descriptor: VirtualBox adds lines in place when it first opens a disk.
pub(super) const EMBEDDED_SECTORS: u64 = 20;

/// What a name in a descriptor cannot hold: it is quoted, and ends with its line.
pub(crate) const UNQUOTABLE: [char; 3] = ['"', '\n', '\r'];
/// The name of an extent that has none, or none that a descriptor can record.
pub(crate) const NAMELESS: &str = "disk.vmdk";

/// What the descriptor says.
#[derive(Debug, Clone)]
pub(crate) struct Descriptor {
    pub(crate) subformat: Subformat,
    /// Capacity in sectors of 512 bytes.
    pub(crate) sectors: u64,
    /// Bytes of a logical sector.
    pub(crate) sector_size: u32,
    /// The files of the extents.
    pub(crate) extents: Vec<String>,
    /// Random: the content id is taken from it.
    pub(crate) id: u128,
    /// For a child.
    pub(crate) parent: Option<Parent>,
}

/// What a child records of its parent.
#[derive(Debug, Clone)]
pub(crate) struct Parent {
    pub(crate) cid: u32,
    pub(crate) name: String,
    /// VirtualBox's identity of it.
    pub(crate) uuid: Option<Uuid>,
    pub(crate) geometry: Option<Geometry>,
}

impl Descriptor {
    /// The content id: neither of the two reserved values (ffffffff: no parent; fffffffe: see longContentID).
    fn cid(&self) -> u32 {
        match self.id as u32 {
            cid @ 0xffff_fffe.. => cid & 0x7fff_ffff,
            cid => cid,
        }
    }

    /// The sectors of each extent.
    pub(super) fn extent_sizes(&self) -> impl Iterator<Item = u64> + use<> {
        let (sectors, most) = (self.sectors, self.subformat.extent_sectors());
        (0..sectors.div_ceil(most)).map(move |number| (sectors - number * most).min(most))
    }

    /// The text.
    pub(super) fn text(&self) -> String {
        let Self { subformat, sectors, sector_size, extents, id, parent } = self;
        let (cid, long) = (self.cid(), id >> 32);
        let kind = match subformat {
            Subformat::MonolithicSparse | Subformat::StreamOptimized | Subformat::TwoGbMaxExtentSparse => {
                "SPARSE"
            }
            Subformat::MonolithicFlat | Subformat::TwoGbMaxExtentFlat => "FLAT",
            Subformat::Vmfs => "VMFS",
        };
        // QEMU refuses the offset on a VMFS extent, VMware wants it on a FLAT one.
        let offset = if kind == "FLAT" { " 0" } else { "" };
        let lines = extents.iter().zip(self.extent_sizes());
        let lines: String =
            lines.map(|(name, sectors)| format!("RW {sectors} {kind} \"{name}\"{offset}\n")).collect();
        let (parent_cid, hint) = match parent {
            None => (NO_PARENT, String::new()),
            Some(Parent { cid, name, .. }) => (*cid, format!("parentFileNameHint=\"{name}\"\n")),
        };
        let default = Geometry { cylinders: (sectors / (255 * 63)) as u32, heads: 255, sectors: 63 };
        let geometry = parent.as_ref().and_then(|parent| parent.geometry).unwrap_or(default);
        let Geometry { cylinders, heads, sectors: track } = geometry;
        // The geometry of an IDE disk has 16 heads; that of a SCSI disk more.
        let adapter = if heads <= 16 { "ide" } else { "lsilogic" };
        let mut text = format!(
            "# Disk DescriptorFile\n\
             version=1\n\
             encoding=\"UTF-8\"\n\
             CID={cid:08x}\n\
             parentCID={parent_cid:08x}\n\
             createType=\"{subformat}\"\n\
             {hint}\
             \n\
             # Extent description\n\
             {lines}\
             \n\
             # The Disk Data Base\n\
             #DDB\n\
             \n\
             ddb.adapterType = \"{adapter}\"\n\
             ddb.geometry.cylinders = \"{cylinders}\"\n\
             ddb.geometry.heads = \"{heads}\"\n\
             ddb.geometry.sectors = \"{track}\"\n\
             ddb.longContentID = \"{long:024x}{cid:08x}\"\n\
             ddb.toolsInstallType = \"4\"\n\
             ddb.toolsVersion = \"2147483647\"\n\
             ddb.virtualHWVersion = \"4\"\n"
        );
        if *sector_size != 512 {
            let lines = [("logicalSectorSize", sector_size), ("physicalSectorSize", sector_size)];
            text.extend(lines.map(|(key, value)| format!("ddb.{key} = \"{value}\"\n")));
        }
        if let Some(uuid) = parent.as_ref().and_then(|parent| parent.uuid) {
            let own = Uuid::from_u128(*id);
            let lines = [
                ("image", own),
                ("modification", own),
                ("parent", uuid),
                ("parentmodification", Uuid::nil()),
            ];
            text.extend(lines.map(|(key, uuid)| format!("ddb.uuid.{key} = \"{uuid}\"\n")));
        }
        text
    }

    /// That the disk is not larger than a reader takes.
    pub(crate) fn check(&self) -> Result<()> {
        if self.sectors > MAX_SECTORS {
            let limit = format!("a VMDK has {MAX_SECTORS} sectors (64 TiB) at most");
            let size = self.sectors.saturating_mul(SECTOR);
            return Err(Error::SizeLimit { format: Format::Vmdk, size, limit });
        }
        Ok(())
    }

    /// The text as it is embedded: padded to its sectors. A name too long for them, or that would end its line,
    /// gives way, since readers ignore the name of an embedded descriptor's extent.
    pub(super) fn embedded(&self) -> Vec<u8> {
        let room = (EMBEDDED_SECTORS * SECTOR) as usize;
        let mut text = self.text();
        if text.len() > room / 2 || self.extents.iter().any(|name| name.contains(UNQUOTABLE)) {
            text = Self { extents: vec![NAMELESS.to_owned()], ..self.clone() }.text();
        }
        let mut bytes = text.into_bytes();
        bytes.resize(room, 0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_content_ids_are_never_used() {
        for id in [0xffff_ffff_u128, 0xffff_fffe, 0xabcd_ffff_ffff] {
            let descriptor = Descriptor {
                subformat: Subformat::Vmfs,
                sectors: 8,
                sector_size: 512,
                extents: vec!["x-flat.vmdk".to_owned()],
                id,
                parent: None,
            };
            assert!(descriptor.cid() < 0xffff_fffe);
            let cid = format!("{:08x}", descriptor.cid());
            assert!(
                descriptor.text().contains(&format!("{cid}\"\nddb.toolsInstallType")),
                "longContentID ends in the CID"
            );
        }
    }
}

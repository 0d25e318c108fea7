//! Recording another parent.

use super::super::create::UNQUOTABLE;
use super::super::descriptor as reader;
use super::descriptor::DescriptorText;
use crate::disk::Identity;
use crate::disk::write::ParentLink;
use crate::error::{Error, Result};
use crate::leaves::Format;

/// Bytes of a parent's name at most, so that it fits into an embedded descriptor.
const MAX_NAME: usize = 4096;

/// Makes `parent` the one that the descriptor names.
pub(super) fn set_parent(descriptor: &mut DescriptorText, parent: &ParentLink<'_>) -> Result<()> {
    let (cid, name) = identify(parent)?;
    let before = descriptor.clone();
    let name = descriptor.encode(name)?;
    let line = |key: &str, value: &[u8]| [key.as_bytes(), b"=\"", value, b"\"\n"].concat();
    let cid = format!("{cid:08x}");
    descriptor.set("parentCID", cid.as_bytes(), format!("parentCID={cid}\n").as_bytes(), "CID");
    descriptor.set("parentFileNameHint", &name, &line("parentFileNameHint", &name), "createType");
    // VirtualBox's own link, which counts for it alone.
    let uuid = match parent.info.id {
        Some(Identity::Uuid(uuid)) => uuid,
        _ => uuid::Uuid::nil(),
    };
    if descriptor.value("ddb.uuid.parent").is_some() || !uuid.is_nil() {
        let uuid = uuid.to_string();
        descriptor.set(
            "ddb.uuid.parent",
            uuid.as_bytes(),
            &line("ddb.uuid.parent", uuid.as_bytes()),
            "ddb.uuid.image",
        );
    }
    if descriptor.value("ddb.uuid.parentmodification").is_some() {
        let nil = uuid::Uuid::nil().to_string();
        descriptor.set("ddb.uuid.parentmodification", nil.as_bytes(), &[], "");
    }
    descriptor.store(&before)
}

/// The content id of a parent, and the name that its children record.
pub(in super::super) fn identify<'a>(parent: &ParentLink<'a>) -> Result<(u32, &'a str)> {
    let Some(Identity::Cid(cid)) = parent.info.data_id.filter(|_| parent.info.format == Format::Vmdk) else {
        let reason = "a VMDK's parent is a VMDK with a content id (CID)".to_owned();
        return Err(Error::Layout { reason });
    };
    if cid == reader::NO_PARENT {
        let reason = "the parent's content id (CID) is ffffffff, which means that there is none".to_owned();
        return Err(Error::Layout { reason });
    }
    let name = parent
        .relative
        .or(parent.absolute)
        .filter(|name| !name.contains(UNQUOTABLE) && name.len() <= MAX_NAME);
    let path = || parent.relative.or(parent.absolute).unwrap_or_default().to_owned();
    name.map(|name| (cid, name)).ok_or_else(|| Error::NotRecordable { path: path() })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::copy::{Convert, OutputFormat};
    use crate::disk::LayerInfo;
    use crate::format::vmdk::Subformat;
    use crate::{Disk, MIB, Open};

    fn rebase(path: &Path, cid: u32, name: &str) -> Result<()> {
        let mut info = LayerInfo::new(Format::Vmdk, "monolithicSparse", MIB);
        info.data_id = Some(Identity::Cid(cid));
        let parent = ParentLink { info: &info, relative: Some(name), absolute: None, modified: None };
        let disk = Open::new().allow_missing_parent(true).open(path)?;
        assert!(disk.chain().len() == 1);
        // Opened as a disk without parents would be: only the descriptor is looked at.
        let file = crate::storage::WritableFile::open(path)?;
        let context = crate::format::OpenContext {
            resolver: (&crate::storage::SameDirectory).into(),
            choices: crate::format::Choices::default(),
        };
        let layer = super::super::open(file, None, &context)?;
        crate::disk::write::WriteLayer::set_parent(&layer, &parent)?;
        crate::disk::write::WriteLayer::close(&layer)
    }

    #[test]
    fn names_of_any_length() {
        let folder = tempfile::tempdir().expect("a folder");
        for kind in [Subformat::MonolithicSparse, Subformat::MonolithicFlat, Subformat::TwoGbMaxExtentSparse]
        {
            let path = folder.path().join(format!("{kind}.vmdk"));
            Convert::new(&Disk::empty(MIB, 512)).to(OutputFormat::Vmdk(kind)).create(&path).expect("writes");
            let long = format!("{}/base.vmdk", "a".repeat(2000));
            for (cid, name) in
                [(1, "base.vmdk"), (2, "base.vmdk"), (0xabcd_ef01, &long), (4, "b"), (5, "größe.vmdk")]
            {
                rebase(&path, cid, name).expect("is recorded");
                let disk = Open::new().allow_missing_parent(true).open(&path).expect("opens");
                let found = disk.chain()[0].info().parent.clone().expect("a parent");
                assert_eq!(found.names, [name]);
                assert_eq!(found.linkage.accepted(), [Identity::Cid(cid)]);
                assert!(Open::new().check(&path).expect("checks").is_clean());
            }
            assert!(matches!(rebase(&path, 6, "a\nb"), Err(Error::NotRecordable { .. })));
            assert!(matches!(rebase(&path, u32::MAX, "b"), Err(Error::Layout { .. })));
        }
    }
}

//! A small hive written from a tree, as Windows writes boot stores: version 1.3, fast leaves, the root's cell first.

use zerocopy::IntoBytes;

use super::bins::MIN_CELL;
use super::edit::{Editor, check_value, new_key};
use super::hive::Hive;
use super::index::Name;
use super::layout::{
    BIN_HEADER, BIN_UNIT, BINS, BaseBlock, BinHeader, KEY_COMP_NAME, KEY_NODE, KeyNode, KeySecurity, ROOT,
};
use super::name::sort_key;
use super::security;
use super::tree::{MAX_HIVE, Tree};
use crate::error::{Error, Result};
use crate::storage::MemoryStorage;

/// Full access for SYSTEM and the administrators, who own it; inherited.
const DESCRIPTOR: &[u8] = b"\x01\x00\x04\x80\x48\x00\x00\x00\x58\x00\x00\x00\x00\x00\x00\x00\x14\x00\x00\x00\
    \x02\x00\x34\x00\x02\x00\x00\x00\
    \x00\x02\x18\x00\x3f\x00\x0f\x00\x01\x02\x00\x00\x00\x00\x00\x05\x20\x00\x00\x00\x20\x02\x00\x00\
    \x00\x02\x14\x00\x3f\x00\x0f\x00\x01\x01\x00\x00\x00\x00\x00\x05\x12\x00\x00\x00\
    \x01\x02\x00\x00\x00\x00\x00\x05\x20\x00\x00\x00\x20\x02\x00\x00\
    \x01\x01\x00\x00\x00\x00\x00\x05\x12\x00\x00\x00";

impl Tree {
    /// The hive with this tree in it, whose base block says that its file has this name.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] when a name is too long for any hive or there twice, or data too long;
    /// [`Error::Layout`] when the tree is too large for a small hive.
    pub fn to_hive(&self, file_name: &str) -> Result<Vec<u8>> {
        let mut hive = Hive::open(MemoryStorage::new(self.root_alone(file_name)?))?;
        let mut editor = hive.edit_at(self.last_written)?;
        editor.limit(MAX_HIVE as u32);
        let root = editor.hive().root;
        self.graft(&mut editor, root)?;
        editor.commit()?;
        hive.to_bytes()
    }

    /// A hive of the root's name, flags and security.
    fn root_alone(&self, file_name: &str) -> Result<Vec<u8>> {
        let name = Name::checked(&self.name)?;
        let descriptor = self.security.as_deref().unwrap_or(DESCRIPTOR);
        let comp_name = if name.is_compressed { KEY_COMP_NAME } else { 0 };
        let root = BIN_HEADER;
        let sk = root + cell_size(KEY_NODE + name.bytes.len())?;
        let end = sk + cell_size(size_of::<KeySecurity>() + descriptor.len())?;
        let bins_size = (end + MIN_CELL).next_multiple_of(BIN_UNIT);
        let node = new_key(0, ROOT | comp_name, sk, &name, self.last_written);
        let mut record = security::first(descriptor);
        (record.flink, record.blink) = (sk.into(), sk.into());
        let mut base = BaseBlock {
            signature: BaseBlock::SIGNATURE,
            primary_sequence: 0.into(),
            secondary_sequence: 0.into(),
            last_written: self.last_written.into(),
            major: 1.into(),
            minor: 3.into(),
            file_type: 0.into(),
            file_format: 1.into(),
            root: root.into(),
            bins_size: bins_size.into(),
            clustering: 1.into(),
            file_name: [0; 64],
            transactions: [0; 32],
            flags: 0.into(),
            reserved: [0; 360],
            checksum: 0.into(),
        };
        // The end of a long path says more than its beginning; a NUL stays behind it.
        let units: Vec<u8> = file_name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let shown = &units[units.len().saturating_sub(base.file_name.len() - 2)..];
        base.file_name[..shown.len()].copy_from_slice(shown);
        base.checksum = base.sum().into();
        let header = BinHeader {
            signature: *b"hbin",
            offset: 0.into(),
            size: bins_size.into(),
            reserved: [0; 8],
            timestamp: self.last_written.into(),
            spare: 0.into(),
        };
        let mut file = base.as_bytes().to_vec();
        let mut put = |offset: u32, parts: [&[u8]; 3]| {
            file.resize((BINS as usize) + offset as usize, 0);
            parts.into_iter().for_each(|part| file.extend(part));
        };
        let used = |size: u32| size.wrapping_neg().to_le_bytes();
        put(0, [header.as_bytes(), &[], &[]]);
        put(root, [&used(sk - root), node.as_bytes(), &name.bytes]);
        put(sk, [&used(end - sk), record.as_bytes(), descriptor]);
        put(end, [&(bins_size - end).to_le_bytes(), &[], &[]]);
        put(bins_size, [&[]; 3]);
        Ok(file)
    }

    /// Puts what this key has into the key at an offset, which has nothing yet but a name.
    fn graft(&self, editor: &mut Editor<'_>, key: u32) -> Result<()> {
        for value in &self.values {
            check_value(&value.name, &value.data)?;
            editor.set(key, &value.name, value.kind, &value.data)?;
        }
        let mut subkeys: Vec<&Tree> = self.subkeys.iter().collect();
        subkeys.sort_by_cached_key(|key| sort_key(&key.name));
        for subkey in subkeys {
            let name = Name::checked(&subkey.name)?;
            let node: KeyNode = editor.hive().record(key)?;
            if editor.subkey(key, &node, &name)?.is_some() {
                return Err(Error::Unsupported {
                    what: format!("two registry keys named {:?}", subkey.name),
                });
            }
            let offset = editor.add(key, node, &name)?;
            if let Some(descriptor) = &subkey.security {
                editor.secure(offset, descriptor)?;
            }
            subkey.graft(editor, offset)?;
        }
        editor.describe(key, self.flags, &self.class, self.last_written)
    }
}

/// Bytes of a cell with so much in it.
fn cell_size(len: usize) -> Result<u32> {
    let size = u32::try_from(len + 4).ok().filter(|&size| size <= MAX_HIVE as u32);
    let size = size
        .ok_or_else(|| Error::Layout { reason: format!("a small registry hive cannot hold {len} bytes") })?;
    Ok(size.next_multiple_of(MIN_CELL))
}

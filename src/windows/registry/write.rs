//! A small hive written from a tree, as Windows writes boot stores: version 1.3, fast leaves, the root's cell first.

use std::collections::HashMap;
use std::sync::Arc;

use zerocopy::IntoBytes;

use super::bins::MIN_CELL;
use super::layout::{
    BIN_HEADER, BIN_UNIT, BINS, BaseBlock, BinHeader, INLINE, KEY_COMP_NAME, KEY_NODE, KEY_SECURITY, KeyNode,
    KeySecurity, KeyValue, NIL, VALUE_COMP_NAME,
};
use super::name::{encode, sort_key};
use super::tree::{MAX_HIVE, Tree, TreeValue};
use crate::error::{Error, Result};

/// Keys in one fast leaf, as Windows has them.
const MAX_SUBKEYS: usize = 1012;
/// Flags of a root key: it is one, it is where a hive begins, and it cannot be deleted.
const ROOT: u16 = 0x0c;
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
    /// [`Error::Unsupported`] when the tree is too large for a small hive, or a name too long for any.
    pub fn to_hive(&self, file_name: &str) -> Result<Vec<u8>> {
        let mut hive = Writer::default();
        let (name, _) = encode(&self.name);
        let root = hive.reserve(KEY_NODE + name.len())?;
        let mut descriptors = Descriptors::default();
        hive.key(self, root, None, &mut descriptors, &Arc::from(DESCRIPTOR))?;
        descriptors.write(&mut hive);
        hive.end_bin();
        hive.stamp(self.last_written);
        let mut base = BaseBlock {
            signature: BaseBlock::SIGNATURE,
            primary_sequence: 1.into(),
            secondary_sequence: 1.into(),
            last_written: self.last_written.into(),
            major: 1.into(),
            minor: 3.into(),
            file_type: 0.into(),
            file_format: 1.into(),
            root: root.into(),
            bins_size: (hive.bins.len() as u32).into(),
            clustering: 1.into(),
            file_name: [0; 64],
            reserved: [0; 396],
            checksum: 0.into(),
        };
        // The end of a long path says more than its beginning; a NUL stays behind it.
        let units: Vec<u8> = file_name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let shown = &units[units.len().saturating_sub(base.file_name.len() - 2)..];
        base.file_name[..shown.len()].copy_from_slice(shown);
        base.checksum = base.sum().into();
        let mut file = base.as_bytes().to_vec();
        file.resize(BINS as usize, 0);
        file.append(&mut hive.bins);
        Ok(file)
    }
}

/// The bins so far.
#[derive(Default)]
struct Writer {
    bins: Vec<u8>,
    /// Where the next cell begins, in the last bin.
    next: usize,
}

impl Writer {
    /// A cell with room for `len` bytes of data; its offset.
    fn reserve(&mut self, len: usize) -> Result<u32> {
        let size = (len + 4).next_multiple_of(MIN_CELL as usize);
        if self.next + size > self.bins.len() {
            self.end_bin();
            let start = self.bins.len();
            let bin = (size + BIN_HEADER as usize).next_multiple_of(BIN_UNIT as usize);
            if start + bin > MAX_HIVE {
                return Err(too_large(format!("more than {MAX_HIVE} bytes")));
            }
            let header = BinHeader {
                signature: *b"hbin",
                offset: (start as u32).into(),
                size: (bin as u32).into(),
                reserved: [0; 8],
                timestamp: 0.into(),
                spare: 0.into(),
            };
            self.bins.extend(header.as_bytes());
            self.bins.resize(start + bin, 0);
            self.next = start + BIN_HEADER as usize;
        }
        let cell = self.next;
        self.next += size;
        self.put(cell, &(-(size as i32)).to_le_bytes());
        Ok(cell as u32)
    }

    /// Writes into a cell that was reserved.
    fn fill(&mut self, cell: u32, data: &[u8]) {
        self.put(cell as usize + 4, data);
    }

    fn cell(&mut self, data: &[u8]) -> Result<u32> {
        let cell = self.reserve(data.len())?;
        self.fill(cell, data);
        Ok(cell)
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bins[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// What is left of the last bin is one free cell.
    fn end_bin(&mut self) {
        let rest = self.bins.len() - self.next;
        if rest > 0 {
            self.put(self.next, &(rest as i32).to_le_bytes());
        }
        self.next = self.bins.len();
    }

    /// The first bin has a copy of the base block's time.
    fn stamp(&mut self, last_written: u64) {
        self.put(std::mem::offset_of!(BinHeader, timestamp), &last_written.to_le_bytes());
    }

    /// Writes a key into its cell, and all that it leads to.
    fn key(
        &mut self,
        key: &Tree,
        cell: u32,
        parent: Option<u32>,
        descriptors: &mut Descriptors,
        inherited: &Arc<[u8]>,
    ) -> Result<()> {
        let (name, compressed) = encode(&key.name);
        let own_flags = if parent.is_none() { key.flags | ROOT } else { key.flags };
        let security = key.security.as_ref().unwrap_or(inherited);
        let mut node = KeyNode {
            signature: *b"nk",
            flags: (own_flags | if compressed { KEY_COMP_NAME } else { 0 }).into(),
            last_written: key.last_written.into(),
            access: 0.into(),
            parent: parent.unwrap_or(0).into(),
            subkeys: (key.subkeys.len() as u32).into(),
            volatile_subkeys: 0.into(),
            subkey_list: NIL.into(),
            volatile_list: NIL.into(),
            values: (key.values.len() as u32).into(),
            value_list: NIL.into(),
            security: descriptors.cell(self, security)?.into(),
            class: NIL.into(),
            max_subkey_name: longest(key.subkeys.iter().map(|key| name_size(&key.name))).into(),
            max_subkey_class: longest(key.subkeys.iter().map(|key| key.class.len())).into(),
            max_value_name: longest(key.values.iter().map(|value| name_size(&value.name))).into(),
            max_value_data: longest(key.values.iter().map(|value| value.data.len())).into(),
            work: 0.into(),
            name_len: length(&name, "key's name")?.into(),
            class_len: length(&key.class, "class name")?.into(),
        };
        if !key.class.is_empty() {
            node.class = self.cell(&key.class)?.into();
        }
        if !key.values.is_empty() {
            let values: Vec<u32> = key.values.iter().map(|value| self.value(value)).collect::<Result<_>>()?;
            let list: Vec<u8> = values.into_iter().flat_map(u32::to_le_bytes).collect();
            node.value_list = self.cell(&list)?.into();
        }
        let mut subkeys: Vec<&Tree> = key.subkeys.iter().collect();
        subkeys.sort_by_cached_key(|key| sort_key(&key.name));
        if subkeys.len() > MAX_SUBKEYS {
            return Err(too_large(format!("a key with {} keys below it", subkeys.len())));
        }
        let mut cells = Vec::new();
        if !subkeys.is_empty() {
            let mut list = b"lf".to_vec();
            list.extend((subkeys.len() as u16).to_le_bytes());
            for subkey in &subkeys {
                let (name, _) = encode(&subkey.name);
                let cell = self.reserve(KEY_NODE + name.len())?;
                let mut hint = [0; 4];
                hint.iter_mut().zip(&name).for_each(|(hint, byte)| *hint = *byte);
                list.extend(cell.to_le_bytes());
                list.extend(hint);
                cells.push(cell);
            }
            node.subkey_list = self.cell(&list)?.into();
        }
        self.fill(cell, &[node.as_bytes(), &name].concat());
        for (subkey, subcell) in subkeys.into_iter().zip(cells) {
            self.key(subkey, subcell, Some(cell), descriptors, security)?;
        }
        Ok(())
    }

    fn value(&mut self, value: &TreeValue) -> Result<u32> {
        let (name, compressed) = encode(&value.name);
        let len = value.data.len() as u32;
        let (data_size, data) = if value.data.len() <= 4 {
            let mut inline = [0; 4];
            inline[..value.data.len()].copy_from_slice(&value.data);
            (len | INLINE, u32::from_le_bytes(inline))
        } else {
            (len, self.cell(&value.data)?)
        };
        let record = KeyValue {
            signature: *b"vk",
            name_len: length(&name, "value's name")?.into(),
            data_size: data_size.into(),
            data: data.into(),
            kind: value.kind.into(),
            flags: if compressed && !name.is_empty() { VALUE_COMP_NAME } else { 0 }.into(),
            spare: 0.into(),
        };
        self.cell(&[record.as_bytes(), &name].concat())
    }
}

/// The security descriptors so far, each in one cell, with the number of keys that have it.
#[derive(Default)]
struct Descriptors {
    cells: Vec<(u32, Arc<[u8]>, u32)>,
    known: HashMap<Arc<[u8]>, usize>,
}

impl Descriptors {
    /// The cell of a descriptor, for one more key.
    fn cell(&mut self, hive: &mut Writer, descriptor: &Arc<[u8]>) -> Result<u32> {
        let index = match self.known.get(descriptor) {
            Some(&index) => index,
            None => {
                let cell = hive.reserve(KEY_SECURITY + descriptor.len())?;
                self.cells.push((cell, descriptor.clone(), 0));
                self.known.insert(descriptor.clone(), self.cells.len() - 1);
                self.cells.len() - 1
            }
        };
        let (cell, _, references) = &mut self.cells[index];
        *references += 1;
        Ok(*cell)
    }

    /// Writes them all, linked in a ring.
    fn write(&self, hive: &mut Writer) {
        let count = self.cells.len();
        for (index, (cell, descriptor, references)) in self.cells.iter().enumerate() {
            let record = KeySecurity {
                signature: *b"sk",
                reserved: 0.into(),
                flink: self.cells[(index + 1) % count].0.into(),
                blink: self.cells[(index + count - 1) % count].0.into(),
                references: (*references).into(),
                size: (descriptor.len() as u32).into(),
            };
            hive.fill(*cell, &[record.as_bytes(), descriptor].concat());
        }
    }
}

/// Bytes of a name in UTF-16, which is how the longest one is told.
fn name_size(name: &str) -> usize {
    name.encode_utf16().count() * 2
}

fn longest(sizes: impl Iterator<Item = usize>) -> u32 {
    sizes.max().unwrap_or(0) as u32
}

fn length(bytes: &[u8], what: &str) -> Result<u16> {
    u16::try_from(bytes.len()).map_err(|_| too_large(format!("a {what} of {} bytes", bytes.len())))
}

fn too_large(what: String) -> Error {
    Error::Unsupported { what: format!("a small registry hive cannot hold {what}") }
}

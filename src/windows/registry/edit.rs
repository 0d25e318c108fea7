//! Keys and values of a hive of any size, added, changed and removed.
//!
//! An [`Editor`] works on a copy of what a [`Hive`] has in memory: the sectors that differ from the file. Nothing has
//! changed until [`Editor::commit`], which also counts the sequence numbers up, so that no log that lies beside the file
//! can be taken for one of it (2.1 of the specification: an entry must not be older than the hive).
//!
//! What Windows relies on holds after every change: subkeys in order and counted, longest names and data at least as long
//! as any, security shared and counted, and every cell in use with just one that leads to it.

use std::collections::HashSet;
use std::time::SystemTime;

use zerocopy::IntoBytes;

use super::bins::MAX_BINS;
use super::cells::Cells;
use super::hive::{Hive, HiveState, base_block};
use super::index::{self, Name};
use super::key::{Key, MAX_DEPTH};
use super::layout::{
    BINS, BaseBlock, BinHeader, KEY_COMP_NAME, KeyNode, KeyValue, NIL, Record, VALUE_COMP_NAME,
};
use super::{data, descriptor, name, security};
use crate::error::{Error, Result};
use crate::leaves::Rule;
use crate::windows::FileTime;

/// UTF-16 units of a value's name.
const MAX_VALUE_NAME: usize = 16_383;
/// The part of the longest name's length that is no flag.
const NAME_LENGTH: u32 = 0xffff;

/// Changes of a [`Hive`], none of which counts before [`commit`](Self::commit).
///
/// Paths are those below the root, parted by `\`, in any case; the empty one is the root. The hive is checked as far as
/// a change touches it; [`check`](super::check) looks at all of it.
///
/// ```
/// use diskport::windows::registry::{Tree, kind};
/// # use diskport::storage::MemoryStorage;
/// # use diskport::windows::registry::Hive;
///
/// # let mut hive = Hive::open(MemoryStorage::new(Tree::new("ROOT").to_hive("SYSTEM")?))?;
/// let mut editor = hive.edit()?;
/// editor.set_value("ControlSet001\\Services\\storahci", "Start", kind::DWORD, &0u32.to_le_bytes())?;
/// editor.remove_key("ControlSet001\\Services\\storahci\\StartOverride")?;
/// editor.commit()?;
/// for edit in hive.edits()? {
///     println!("{} bytes at {}", edit.bytes.len(), edit.offset);
/// }
/// # Ok::<(), diskport::Error>(())
/// ```
#[derive(Debug)]
pub struct Editor<'h> {
    target: &'h mut Hive,
    pub(super) cells: Cells,
    base: BaseBlock,
    now: u64,
    /// Keys whose subkeys were seen to be in order, which they stay.
    ordered: HashSet<u32>,
    has_changed: bool,
    has_failed: bool,
}

impl Hive {
    /// Begins to change it. The places of all cells are read, of 8 bytes each, and nothing of their content.
    ///
    /// # Errors
    ///
    /// [`Error::NotConvertible`] when the hive is [dirty](HiveState::Dirty);
    /// [`Error::Damaged`] when its cells do not fill its bins.
    pub fn edit(&mut self) -> Result<Editor<'_>> {
        self.edit_at(FileTime::from(SystemTime::now()).0)
    }

    /// The same at a time of the caller's, of 100 ns since 1601, which keys that change get: the same changes of the same
    /// hive give the same bytes then.
    ///
    /// # Errors
    ///
    /// As [`edit`](Self::edit).
    pub fn edit_at(&mut self, now: u64) -> Result<Editor<'_>> {
        // A change under a log that is still to be replayed would be undone, or spoil the hive.
        if let HiveState::Dirty { reason } = self.state() {
            let reason =
                format!("the registry hive was not closed, and its logs cannot be replayed: {reason}");
            return Err(Error::NotConvertible { rule: Rule::DirtyHive, reason });
        }
        let base = base_block(&self.sectors)?;
        let cells = Cells::new(self.clone(), MAX_BINS)?;
        let (ordered, has_changed, has_failed) = (HashSet::new(), false, false);
        Ok(Editor { target: self, cells, base, now, ordered, has_changed, has_failed })
    }
}

impl Editor<'_> {
    /// The hive as it will be.
    pub fn hive(&self) -> &Hive {
        &self.cells.hive
    }

    /// Refuses to make the hive longer than so many bytes, as for a `SYSTEM`, of which the loader of Windows takes 400 MB
    /// on x86 and 1.5 GB elsewhere. Without it the limit is 1 GiB.
    pub fn limit(&mut self, bytes: u32) {
        self.cells.set_limit(bytes.saturating_sub(BINS as u32).min(MAX_BINS));
    }

    /// Whether a value of so many bytes finds a place without the file becoming longer.
    pub fn has_room(&self, len: usize) -> bool {
        self.cells.has_room(len)
    }

    /// Makes the changes those of the hive. Without changes the hive stays as it is.
    ///
    /// # Errors
    ///
    /// [`Error::Layout`] when one of them failed.
    pub fn commit(mut self) -> Result<()> {
        self.check_whole()?;
        if self.has_changed {
            let Self { base, now, cells, .. } = &mut self;
            let sequence = base.primary_sequence.get().wrapping_add(1);
            (base.primary_sequence, base.secondary_sequence) = (sequence.into(), sequence.into());
            base.last_written = (*now).into();
            base.bins_size = cells.hive.bins_size.into();
            base.checksum = base.sum().into();
            let sectors = &mut cells.hive.sectors;
            sectors.write(base.as_bytes(), 0)?;
            // The first bin has a copy of the time, for the logs of old.
            sectors.write(&now.to_le_bytes(), BINS + std::mem::offset_of!(BinHeader, timestamp) as u64)?;
            *self.target = self.cells.hive;
        }
        Ok(())
    }

    /// Makes a key, and those above it that are missing. They get the security of the key above. Answers `false` when it
    /// is there.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for names that Windows does not allow, [`Error::Layout`] when the hive cannot become longer,
    /// [`Error::Damaged`].
    pub fn create_key(&mut self, path: &str) -> Result<bool> {
        check_path(path)?;
        self.change(|editor| Ok(editor.make(path)?.1))
    }

    /// Removes a key with its values and all the keys below it; answers `false` when there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for the root; [`Error::Damaged`].
    pub fn remove_key(&mut self, path: &str) -> Result<bool> {
        let (parent, name) = path.rsplit_once('\\').unwrap_or(("", path));
        if name.is_empty() {
            return Err(Error::Unsupported {
                what: "the root of a registry hive cannot be removed".to_owned(),
            });
        }
        self.change(|editor| {
            let Some(parent) = editor.locate(parent)? else { return Ok(false) };
            let name = Name::new(name);
            let mut node: KeyNode = editor.hive().record(parent)?;
            let Some(key) = editor.subkey(parent, &node, &name)? else { return Ok(false) };
            let list = index::remove(&mut editor.cells, node.subkey_list.get(), &name.sort_key)?;
            node.subkey_list = list.into();
            node.subkeys -= 1;
            editor.put(parent, node)?;
            editor.release(key)?;
            Ok(true)
        })
    }

    /// Gives a key a value, in place of the one of the same name; makes the key when there is none.
    ///
    /// # Errors
    ///
    /// As [`create_key`](Self::create_key); [`Error::Unsupported`] for data of more than 16 MiB.
    pub fn set_value(&mut self, key: &str, name: &str, kind: u32, data: &[u8]) -> Result<()> {
        check_path(key)?;
        check_value(name, data)?;
        self.change(|editor| {
            let (key, _) = editor.make(key)?;
            editor.set(key, name, kind, data)
        })
    }

    /// Removes a value; answers `false` when there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`].
    pub fn remove_value(&mut self, key: &str, name: &str) -> Result<bool> {
        self.change(|editor| {
            let Some(offset) = editor.locate(key)? else { return Ok(false) };
            let key = Key::read(&editor.cells.hive, offset)?;
            let Some(value) = key.value(name)? else { return Ok(false) };
            let (vk, old, mut node, mut list) =
                (value.offset, value.data_cells()?, key.node, key.value_list()?);
            list.retain(|&value| value != vk);
            editor.set_list(&mut node, &list)?;
            editor.put(offset, node)?;
            old.into_iter().chain([vk]).try_for_each(|cell| editor.cells.release(cell))?;
            Ok(true)
        })
    }

    /// Gives a key a security descriptor, self-relative, which keys below it do not inherit; answers `false` when there
    /// is no such key.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] when it is none; [`Error::Damaged`], [`Error::Layout`].
    pub fn set_security(&mut self, key: &str, descriptor: &[u8]) -> Result<bool> {
        if let Err(reason) = descriptor::check(descriptor) {
            return Err(Error::Unsupported { what: format!("no security descriptor: {reason}") });
        }
        self.change(|editor| match editor.locate(key)? {
            Some(key) => editor.secure(key, descriptor).map(|()| true),
            None => Ok(false),
        })
    }

    /// Makes a change. After one that failed there is no further one, nor a commit.
    fn change<T>(&mut self, change: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.check_whole()?;
        let result = change(self);
        self.has_failed = result.is_err();
        result
    }

    fn check_whole(&self) -> Result<()> {
        match self.has_failed {
            true => Err(Error::Layout {
                reason: "an earlier change of the registry hive failed: none is kept".to_owned(),
            }),
            false => Ok(()),
        }
    }

    /// The key at a path.
    fn locate(&mut self, path: &str) -> Result<Option<u32>> {
        let mut key = self.hive().root;
        for part in parts(path) {
            let node: KeyNode = self.hive().record(key)?;
            match self.subkey(key, &node, &Name::new(part))? {
                Some(subkey) => key = subkey,
                None => return Ok(None),
            }
        }
        Ok(Some(key))
    }

    /// The key at a path, made where it is missing, and whether it was.
    fn make(&mut self, path: &str) -> Result<(u32, bool)> {
        let (mut key, mut is_new) = (self.hive().root, false);
        for part in parts(path) {
            let name = Name::new(part);
            let node: KeyNode = self.hive().record(key)?;
            (key, is_new) = match self.subkey(key, &node, &name)? {
                Some(subkey) => (subkey, false),
                None => (self.add(key, node, &name)?, true),
            };
        }
        Ok((key, is_new))
    }

    /// The key of a name below one.
    pub(super) fn subkey(&mut self, key: u32, node: &KeyNode, name: &Name) -> Result<Option<u32>> {
        // Among keys that are not in order nothing is found, and what is added is not either.
        if self.ordered.insert(key) {
            index::verify(self.hive(), key, node)?;
        }
        index::find(self.hive(), node.subkey_list.get(), &name.sort_key)
    }

    /// Adds a key that is not there.
    pub(super) fn add(&mut self, parent: u32, mut above: KeyNode, name: &Name) -> Result<u32> {
        let comp_name = if name.is_compressed { KEY_COMP_NAME } else { 0 };
        let node = new_key(parent, comp_name, above.security.get(), name, self.now);
        security::retain(&mut self.cells, node.security.get())?;
        let key = self.cells.store(&[node.as_bytes(), &name.bytes].concat())?;
        above.subkey_list = index::insert(&mut self.cells, above.subkey_list.get(), name, key)?.into();
        above.subkeys += 1;
        // What is above the length are flags.
        let longest = (above.max_subkey_name.get() & NAME_LENGTH).max(2 * name.sort_key.len() as u32);
        above.max_subkey_name = (above.max_subkey_name.get() & !NAME_LENGTH | longest).into();
        self.put(parent, above)?;
        Ok(key)
    }

    /// Gives the key at an offset a value.
    pub(super) fn set(&mut self, key: u32, name: &str, kind: u32, data: &[u8]) -> Result<()> {
        let found = Key::read(&self.cells.hive, key)?;
        let mut node = found.node;
        match found.value(name)? {
            Some(value) => {
                let (vk, record, old) = (value.offset, value.record, value.data_cells()?);
                let mut record = data::replace(&mut self.cells, record, old, data)?;
                record.kind = kind.into();
                self.cells.write(vk, &record)?;
            }
            None => {
                let mut list = found.value_list()?;
                let (bytes, is_compressed) = name::encode(name);
                let (size, place) = data::store(&mut self.cells, data)?;
                let record = KeyValue {
                    signature: KeyValue::SIGNATURE,
                    name_len: (bytes.len() as u16).into(),
                    data_size: size.into(),
                    data: place.into(),
                    kind: kind.into(),
                    flags: if is_compressed && !bytes.is_empty() { VALUE_COMP_NAME } else { 0 }.into(),
                    spare: 0.into(),
                };
                list.push(self.cells.store(&[record.as_bytes(), &bytes].concat())?);
                self.set_list(&mut node, &list)?;
                let longest = node.max_value_name.get().max(2 * name.encode_utf16().count() as u32);
                node.max_value_name = longest.into();
            }
        }
        node.max_value_data = node.max_value_data.get().max(data.len() as u32).into();
        self.put(key, node)
    }

    /// Gives the key at an offset a descriptor.
    pub(super) fn secure(&mut self, key: u32, descriptor: &[u8]) -> Result<()> {
        let mut node: KeyNode = self.hive().record(key)?;
        let old = node.security.get();
        node.security = security::share(&mut self.cells, old, descriptor)?.into();
        security::release(&mut self.cells, old)?;
        self.put(key, node)
    }

    /// Gives a key that was added what a tree knows of it beside its values.
    pub(super) fn describe(&mut self, key: u32, flags: u16, class: &[u8], last_written: u64) -> Result<()> {
        let mut node: KeyNode = self.hive().record(key)?;
        node.flags |= flags;
        node.last_written = last_written.into();
        if !class.is_empty() {
            let len = u16::try_from(class.len()).map_err(|_| Error::Unsupported {
                what: format!("the class of a registry key has {} bytes: 65535 at most", class.len()),
            })?;
            (node.class, node.class_len) = (self.cells.store(class)?.into(), len.into());
            if key != self.hive().root {
                let mut above: KeyNode = self.hive().record(node.parent.get())?;
                above.max_subkey_class = above.max_subkey_class.get().max(len.into()).into();
                self.put(node.parent.get(), above)?;
            }
        }
        self.has_changed = true;
        self.cells.write(key, &node)
    }

    /// Gives a key other values.
    fn set_list(&mut self, node: &mut KeyNode, values: &[u32]) -> Result<()> {
        let bytes: Vec<u8> = values.iter().flat_map(|offset| offset.to_le_bytes()).collect();
        let list = match (node.value_list.get(), values.is_empty()) {
            (NIL, true) => NIL,
            (NIL, false) => self.cells.store(&bytes)?,
            (list, true) => self.cells.release(list).map(|()| NIL)?,
            (list, false) => self.cells.replace(list, &bytes, false)?,
        };
        (node.values, node.value_list) = ((values.len() as u32).into(), list.into());
        Ok(())
    }

    /// Writes a key that has changed now.
    fn put(&mut self, key: u32, mut node: KeyNode) -> Result<()> {
        self.has_changed = true;
        node.last_written = self.now.into();
        self.cells.write(key, &node)
    }

    /// Gives back all cells of a key and of those below it.
    fn release(&mut self, key: u32) -> Result<()> {
        let mut left = vec![key];
        while let Some(offset) = left.pop() {
            self.ordered.remove(&offset);
            let mut cells = vec![offset];
            let key = Key::read(&self.cells.hive, offset)?;
            let node = key.node;
            for value in key.values()? {
                let value = value?;
                cells.extend(value.data_cells()?);
                cells.push(value.offset);
            }
            let class = if node.class_len.get() == 0 { NIL } else { node.class.get() };
            let lists = [if node.values.get() == 0 { NIL } else { node.value_list.get() }, class];
            cells.extend(lists.into_iter().filter(|&cell| cell != NIL));
            // A cell that is named twice is found to be free the second time: a key below itself, too.
            cells.into_iter().try_for_each(|cell| self.cells.release(cell))?;
            security::release(&mut self.cells, node.security.get())?;
            if node.subkeys.get() > 0 {
                left.extend(index::release(&mut self.cells, node.subkey_list.get())?);
            }
        }
        Ok(())
    }
}

/// A key without anything in it.
pub(super) fn new_key(parent: u32, flags: u16, security: u32, name: &Name, now: u64) -> KeyNode {
    KeyNode {
        signature: KeyNode::SIGNATURE,
        flags: flags.into(),
        last_written: now.into(),
        access: 0.into(),
        parent: parent.into(),
        subkeys: 0.into(),
        volatile_subkeys: 0.into(),
        subkey_list: NIL.into(),
        volatile_list: NIL.into(),
        values: 0.into(),
        value_list: NIL.into(),
        security: security.into(),
        class: NIL.into(),
        max_subkey_name: 0.into(),
        max_subkey_class: 0.into(),
        max_value_name: 0.into(),
        max_value_data: 0.into(),
        work: 0.into(),
        name_len: (name.bytes.len() as u16).into(),
        class_len: 0.into(),
    }
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('\\').filter(|_| !path.is_empty())
}

fn check_path(path: &str) -> Result<()> {
    parts(path).try_for_each(|part| match part {
        "" => Err(Error::Unsupported { what: format!("{path:?} has a registry key without a name") }),
        part => Name::checked(part).map(drop),
    })?;
    let levels = parts(path).count();
    if levels >= MAX_DEPTH {
        return Err(Error::Unsupported {
            what: format!("registry keys in {levels} levels: {MAX_DEPTH} at most"),
        });
    }
    Ok(())
}

/// That Windows allows a value of this name, and that its data is not too long.
pub(super) fn check_value(name: &str, data: &[u8]) -> Result<()> {
    name::check("value", name, MAX_VALUE_NAME)?;
    data::check(data)
}

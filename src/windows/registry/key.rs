//! Keys.

use super::bins::damaged;
use super::hive::Hive;
use super::layout::{KEY_COMP_NAME, KeyNode, NIL};
use super::list;
use super::name::same_name;
use super::security;
use super::value::Value;
use crate::error::Result;

/// Windows allows no more levels of keys.
pub(super) const MAX_DEPTH: usize = 512;

/// A key of a [`Hive`].
#[derive(Debug, Clone)]
pub struct Key<'h> {
    pub(super) hive: &'h Hive,
    pub(super) offset: u32,
    pub(super) node: KeyNode,
    name: String,
}

impl Hive {
    /// The root key.
    pub fn root(&self) -> Result<Key<'_>> {
        Key::read(self, self.root)
    }

    /// The key with this path below the root, its parts separated by `\`; `None` when there is none. The empty path is the root.
    pub fn key(&self, path: &str) -> Result<Option<Key<'_>>> {
        self.root()?.below(path)
    }
}

impl<'h> Key<'h> {
    pub(super) fn read(hive: &'h Hive, offset: u32) -> Result<Self> {
        let node: KeyNode = hive.record(offset)?;
        let compressed = node.flags.get() & KEY_COMP_NAME != 0;
        let name = hive.name::<KeyNode>(offset, node.name_len.get(), compressed)?;
        Ok(Self { hive, offset, node, name })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The keys below it.
    ///
    /// # Errors
    ///
    /// Each is read when it is asked for, and may be damaged.
    pub fn subkeys(&self) -> Result<impl Iterator<Item = Result<Key<'h>>> + use<'h>> {
        let hive = self.hive;
        let keys = match (self.node.subkeys.get(), self.node.subkey_list.get()) {
            (0, _) | (_, NIL) => Vec::new(),
            (_, list) => list::subkeys(hive, list)?,
        };
        Ok(keys.into_iter().map(move |offset| Key::read(hive, offset)))
    }

    /// The key of this name below it.
    pub fn subkey(&self, name: &str) -> Result<Option<Key<'h>>> {
        for key in self.subkeys()? {
            let key = key?;
            if same_name(&key.name, name) {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    /// Its values.
    pub fn values(&self) -> Result<impl Iterator<Item = Result<Value<'h>>> + use<'h>> {
        let hive = self.hive;
        Ok(self.value_list()?.into_iter().map(move |offset| Value::read(hive, offset)))
    }

    /// The value of this name.
    pub fn value(&self, name: &str) -> Result<Option<Value<'h>>> {
        for value in self.values()? {
            let value = value?;
            if same_name(value.name(), name) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The key with this path below it, its parts separated by `\`.
    pub fn below(&self, path: &str) -> Result<Option<Key<'h>>> {
        let mut key = self.clone();
        for part in path.split('\\').filter(|part| !part.is_empty()) {
            match key.subkey(part)? {
                Some(subkey) => key = subkey,
                None => return Ok(None),
            }
        }
        Ok(Some(key))
    }

    /// The value of this name as text; `None` when there is none, or it is no string.
    pub fn text(&self, name: &str) -> Result<Option<String>> {
        self.value(name)?.map_or(Ok(None), |value| value.text())
    }

    /// The value of this name as a list of strings: of one where it is a string, of none where it is neither.
    pub fn strings(&self, name: &str) -> Result<Vec<String>> {
        self.value(name)?.map_or(Ok(Vec::new()), |value| value.strings())
    }

    /// The value of this name as a number of 32 bits; `None` when there is none, or it is no such number.
    pub fn integer(&self, name: &str) -> Result<Option<u32>> {
        let number = self.value(name)?.map_or(Ok(None), |value| value.integer())?;
        Ok(number.and_then(|number| number.try_into().ok()))
    }

    /// Where its values lie.
    pub(super) fn value_list(&self) -> Result<Vec<u32>> {
        match (self.node.values.get(), self.node.value_list.get()) {
            (0, _) | (_, NIL) => Ok(Vec::new()),
            (count, list) => self.hive.offsets(list, count as usize, "registry value list"),
        }
    }

    /// Its class name, as it lies in the file.
    pub(super) fn class(&self) -> Result<Vec<u8>> {
        match (self.node.class_len.get(), self.node.class.get()) {
            (0, _) | (_, NIL) => Ok(Vec::new()),
            (len, offset) => self.hive.cell(offset, usize::from(len), "registry class name"),
        }
    }

    /// Its security descriptor; `None` when it names none.
    pub(super) fn security(&self) -> Result<Option<Vec<u8>>> {
        let offset = self.node.security.get();
        if offset == NIL {
            return Ok(None);
        }
        security::descriptor(self.hive, offset).map(Some)
    }

    pub(super) fn damage(&self, expected: &str, found: &str) -> crate::Error {
        damaged("registry key node", self.offset, expected, found)
    }
}

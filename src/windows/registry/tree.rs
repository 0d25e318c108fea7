//! A whole hive, or a part of it, in memory.

use std::collections::HashMap;
use std::sync::Arc;

use super::hive::Hive;
use super::key::{Key, MAX_DEPTH};
use super::layout::{KEY_COMP_NAME, KEY_NODE, KEY_VALUE};
use super::name::same_name;
use crate::error::{Error, Result};

/// The largest hive that is read or written as a whole; boot stores have some tens of KiB.
pub(super) const MAX_HIVE: usize = 16 << 20;

/// A key with its values and all the keys below it, free of any file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    /// Its name.
    pub name: String,
    /// Its values, in their order.
    pub values: Vec<TreeValue>,
    /// The keys below it; a hive has them sorted.
    pub subkeys: Vec<Tree>,
    /// The flags of the key node, but for the one that tells how the name is kept.
    pub flags: u16,
    /// When it was last written: 100 ns since 1601.
    pub last_written: u64,
    /// Its class name, as it lies in the file.
    pub class: Vec<u8>,
    /// Its security descriptor; `None` for that of the key above.
    pub security: Option<Arc<[u8]>>,
}

/// A value of a [`Tree`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TreeValue {
    /// Its name; empty for a key's default value.
    pub name: String,
    /// Its type: one of [`kind`](super::kind), or another.
    pub kind: u32,
    /// Its data.
    pub data: Vec<u8>,
}

impl Tree {
    /// A key without anything in it.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The key of this name below it.
    pub fn get(&self, name: &str) -> Option<&Tree> {
        self.subkeys.iter().find(|key| same_name(&key.name, name))
    }

    /// The key of this name below it, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Tree> {
        self.subkeys.iter_mut().find(|key| same_name(&key.name, name))
    }

    /// The key of this name below it, made when there is none.
    pub fn entry(&mut self, name: &str) -> &mut Tree {
        let found = self.subkeys.iter().position(|key| same_name(&key.name, name));
        let index = found.unwrap_or_else(|| {
            let last_written = self.last_written;
            self.subkeys.push(Tree { name: name.to_owned(), last_written, ..Tree::default() });
            self.subkeys.len() - 1
        });
        &mut self.subkeys[index]
    }

    /// The value of this name.
    pub fn value(&self, name: &str) -> Option<&TreeValue> {
        self.values.iter().find(|value| same_name(&value.name, name))
    }

    /// Gives it a value, in place of the one of the same name.
    pub fn set(&mut self, name: &str, kind: u32, data: impl Into<Vec<u8>>) -> &mut Self {
        let value = TreeValue { name: name.to_owned(), kind, data: data.into() };
        match self.values.iter_mut().find(|old| same_name(&old.name, name)) {
            Some(old) => *old = value,
            None => self.values.push(value),
        }
        self
    }
}

impl Hive {
    /// The whole of a small hive.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] when it has more than 16 MiB.
    pub fn tree(&self) -> Result<Tree> {
        let budget = self.bins_size as usize;
        if budget > MAX_HIVE {
            return Err(Error::Unsupported {
                what: format!("a registry hive of {budget} bytes is not read as a whole"),
            });
        }
        let mut reader = Reader { budget, descriptors: HashMap::new() };
        reader.read(&self.root()?, 0)
    }
}

struct Reader {
    /// Each cell belongs to one key, so that a tree of more bytes than there are uses cells twice.
    budget: usize,
    /// Only descriptors are shared.
    descriptors: HashMap<u32, Arc<[u8]>>,
}

impl Reader {
    fn read(&mut self, key: &Key<'_>, depth: usize) -> Result<Tree> {
        if depth > MAX_DEPTH {
            return Err(key.damage("at most 512 levels of keys", "more"));
        }
        self.spend(key, KEY_NODE + usize::from(key.node.name_len.get()))?;
        let mut values = Vec::new();
        for value in key.values()? {
            let value = value?;
            let data = if value.is_inline() { 0 } else { value.len() };
            self.spend(key, KEY_VALUE + usize::from(value.record.name_len.get()) + data)?;
            values.push(TreeValue { name: value.name().to_owned(), kind: value.kind(), data: value.data()? });
        }
        let class = key.class()?;
        self.spend(key, class.len())?;
        let mut subkeys = Vec::new();
        for subkey in key.subkeys()? {
            subkeys.push(self.read(&subkey?, depth + 1)?);
        }
        let flags = key.node.flags.get() & !KEY_COMP_NAME;
        let (name, last_written) = (key.name().to_owned(), key.node.last_written.get());
        Ok(Tree { name, values, subkeys, flags, last_written, class, security: self.security(key)? })
    }

    fn security(&mut self, key: &Key<'_>) -> Result<Option<Arc<[u8]>>> {
        let offset = key.node.security.get();
        if let Some(known) = self.descriptors.get(&offset) {
            return Ok(Some(known.clone()));
        }
        let Some(descriptor) = key.security()? else { return Ok(None) };
        self.spend(key, descriptor.len())?;
        let descriptor: Arc<[u8]> = descriptor.into();
        self.descriptors.insert(offset, descriptor.clone());
        Ok(Some(descriptor))
    }

    fn spend(&mut self, key: &Key<'_>, bytes: usize) -> Result<()> {
        let left = self.budget.checked_sub(bytes);
        self.budget = left.ok_or_else(|| key.damage("keys that use each cell once", "a cell used twice"))?;
        Ok(())
    }
}

//! The store: a hive with objects in it.

use uuid::Uuid;

use super::element::{Element, VALUE, braced, utf16};
use super::{element_type, object};
use crate::error::{Error, Result};
use crate::leaves::Rule;
use crate::strict;
use crate::windows::registry::{Hive, Tree, kind};

const OBJECTS: &str = "Objects";
const DESCRIPTION: &str = "Description";
const ELEMENTS: &str = "Elements";
const TYPE: &str = "Type";

/// A boot store. What this crate does not know of it is kept as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    root: Tree,
}

impl Store {
    /// A store without objects.
    pub(super) fn new() -> Self {
        let mut root = Tree::new("NewStoreRoot");
        let description = root.entry(DESCRIPTION);
        description.set("KeyName", kind::SZ, utf16("BCD00000000"));
        description.set("System", kind::DWORD, 1u32.to_le_bytes());
        description.set("TreatAsSystem", kind::DWORD, 1u32.to_le_bytes());
        root.entry(OBJECTS);
        Self { root }
    }

    /// The store in a hive.
    ///
    /// # Errors
    ///
    /// [`Error::NotConvertible`] when the hive is none of a store; [`Error::Damaged`] when it is damaged.
    pub fn read(hive: &Hive) -> Result<Self> {
        let root = hive.tree()?;
        if root.get(OBJECTS).is_none() {
            let reason = "the boot store has no objects".to_owned();
            return Err(Error::NotConvertible { rule: Rule::BootStore, reason });
        }
        Ok(Self { root })
    }

    /// The hive with this store in it, to be written to a file of this path on its partition.
    pub fn to_hive(&self, path: &str) -> Result<Vec<u8>> {
        self.root.to_hive(path)
    }

    /// The objects. Keys that are none are passed over.
    pub fn objects(&self) -> impl Iterator<Item = Object<'_>> {
        let keys = self.root.get(OBJECTS).map(|objects| &objects.subkeys[..]).unwrap_or_default();
        keys.iter().filter_map(Object::of)
    }

    /// The object with this id.
    pub fn object(&self, id: Uuid) -> Option<Object<'_>> {
        self.objects().find(|object| object.id == id)
    }

    /// What the boot manager starts when nobody chooses.
    pub fn default_entry(&self) -> Option<Object<'_>> {
        match self.object(object::BOOT_MANAGER)?.get(element_type::DEFAULT)? {
            Element::Object(id) => self.object(id),
            _ => None,
        }
    }

    /// Adds an object.
    pub(super) fn add(&mut self, id: Uuid, kind: u32, elements: impl IntoIterator<Item = (u32, Element)>) {
        let object = self.root.entry(OBJECTS).entry(&braced(id));
        object.entry(DESCRIPTION).set(TYPE, kind::DWORD, kind.to_le_bytes());
        object.entry(ELEMENTS);
        for (number, element) in elements {
            set(object, number, &element);
        }
    }

    /// The keys of the objects, to be changed.
    pub(super) fn object_keys(&mut self) -> impl Iterator<Item = &mut Tree> {
        self.root.entry(OBJECTS).subkeys.iter_mut()
    }
}

/// An object of a [`Store`]: an entry, settings, the boot manager.
#[derive(Debug, Clone, Copy)]
pub struct Object<'s> {
    /// Its id.
    pub id: Uuid,
    /// Its type: one of [`object_type`](super::object_type), or another.
    pub kind: u32,
    key: &'s Tree,
}

impl<'s> Object<'s> {
    pub(super) fn of(key: &'s Tree) -> Option<Self> {
        let id = strict::guid(&key.name)?;
        let kind = &key.get(DESCRIPTION)?.value(TYPE)?.data;
        Some(Self { id, kind: u32::from_le_bytes(kind[..].try_into().ok()?), key })
    }

    /// The numbers of its elements.
    pub fn elements(&self) -> impl Iterator<Item = u32> + use<'s> {
        let keys = self.key.get(ELEMENTS).map(|elements| &elements.subkeys[..]).unwrap_or_default();
        keys.iter().filter_map(|key| strict::hexadecimal(&key.name))
    }

    /// An element's value; `None` when it has none, or one that is not of the element's kind.
    pub fn get(&self, number: u32) -> Option<Element> {
        Element::parse(number, self.key.get(ELEMENTS)?.get(&name(number))?.value(VALUE)?)
    }

    /// An element that is text.
    pub fn text(&self, number: u32) -> Option<String> {
        match self.get(number)? {
            Element::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// The data of the elements of an object's key, with their numbers.
pub(super) fn elements_mut(object: &mut Tree) -> impl Iterator<Item = (u32, &mut Vec<u8>)> {
    let keys = object.get_mut(ELEMENTS).map(|elements| &mut elements.subkeys[..]).unwrap_or_default();
    keys.iter_mut().filter_map(|key| {
        let number = strict::hexadecimal(&key.name)?;
        let value = key.values.iter_mut().find(|value| value.name.eq_ignore_ascii_case(VALUE))?;
        Some((number, &mut value.data))
    })
}

/// Gives an object's key an element, in place of the one that it had.
pub(super) fn set(object: &mut Tree, number: u32, element: &Element) {
    let value = element.to_value();
    object.entry(ELEMENTS).entry(&name(number)).set(&value.name, value.kind, value.data);
}

fn name(number: u32) -> String {
    format!("{number:08x}")
}

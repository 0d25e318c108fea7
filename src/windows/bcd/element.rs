//! Elements: what an object says, typed by a digit of the element's number.

use uuid::Uuid;

use super::device::Device;
use crate::strict;
use crate::windows::registry::{TreeValue, decode_utf16, kind};

/// The value of every element's key.
pub(super) const VALUE: &str = "Element";

/// The value of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Element {
    /// Where something is.
    Device(Device),
    /// Text: a path, a name.
    Text(String),
    /// Another object.
    Object(Uuid),
    /// Other objects, in order.
    Objects(Vec<Uuid>),
    /// A number.
    Integer(u64),
    /// Yes or no.
    Boolean(bool),
    /// Numbers.
    Integers(Vec<u64>),
}

impl Element {
    /// The value of the element of this number; `None` when it is not what such a number must have.
    pub(super) fn parse(number: u32, value: &TreeValue) -> Option<Self> {
        let data = &value.data[..];
        let integer = |bytes: &[u8]| {
            // Short ones are found in real stores.
            let mut whole = [0; 8];
            whole.get_mut(..bytes.len())?.copy_from_slice(bytes);
            Some(u64::from_le_bytes(whole))
        };
        Some(match number >> 24 & 0xf {
            1 => Element::Device(Device::parse(data)?),
            2 => Element::Text(texts(data).into_iter().next()?),
            3 => Element::Object(strict::guid(texts(data).first()?)?),
            4 => {
                let ids = texts(data).into_iter().filter(|text| !text.is_empty());
                Element::Objects(ids.map(|id| strict::guid(&id)).collect::<Option<_>>()?)
            }
            5 => Element::Integer(integer(data)?),
            6 => Element::Boolean(*data.first()? != 0),
            7 => Element::Integers(data.chunks(8).map(integer).collect::<Option<_>>()?),
            _ => return None,
        })
    }

    pub(super) fn to_value(&self) -> TreeValue {
        let (kind, data) = match self {
            Element::Device(device) => (kind::BINARY, device.to_bytes()),
            Element::Text(text) => (kind::SZ, utf16(text)),
            Element::Object(id) => (kind::SZ, utf16(&braced(*id))),
            Element::Objects(ids) => {
                let ids = ids.iter().flat_map(|id| utf16(&braced(*id)));
                (kind::MULTI_SZ, ids.chain([0, 0]).collect())
            }
            Element::Integer(number) => (kind::BINARY, number.to_le_bytes().to_vec()),
            Element::Boolean(yes) => (kind::BINARY, vec![u8::from(*yes)]),
            Element::Integers(numbers) => {
                (kind::BINARY, numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
            }
        };
        TreeValue { name: VALUE.to_owned(), kind, data }
    }
}

/// An id as the store's keys and values have it.
pub(super) fn braced(id: Uuid) -> String {
    id.braced().to_string()
}

pub(super) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

fn texts(data: &[u8]) -> Vec<String> {
    decode_utf16(data).split('\0').map(str::to_owned).collect()
}

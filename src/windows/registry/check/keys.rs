//! The tree of keys, with their values.

use std::collections::HashSet;

use super::fault::HiveFault;
use super::reach::Reach;
use crate::error::Result;
use crate::windows::registry::key::{Key, MAX_DEPTH};
use crate::windows::registry::layout::{
    BIG_DATA, BigData, KEY_COMP_NAME, KeyNode, KeyValue, NIL, ROOT, Record, SEGMENT,
};
use crate::windows::registry::list::{self, List};
use crate::windows::registry::name;
use crate::windows::registry::value::{MAX_DATA, Value};

const NODE: &str = KeyNode::STRUCTURE;
const VALUE: &str = KeyValue::STRUCTURE;
const VALUES: &str = "registry value list";
const CLASS: &str = "registry class name";
const DATA: &str = "registry value data";
/// The part of the longest name's length that is no flag.
const NAME_LENGTH: u32 = 0xffff;

/// A key whose subkeys are looked at.
struct Level {
    key: u32,
    subkeys: std::vec::IntoIter<u32>,
}

pub(super) fn check(reach: &mut Reach<'_>) -> Result<()> {
    let root = reach.hive.root;
    let mut levels = Vec::new();
    levels.extend(one(reach, root, None)?);
    while let Some(level) = levels.last_mut() {
        let (parent, depth) = (level.key, levels.len());
        let Some(key) = levels.last_mut().and_then(|level| level.subkeys.next()) else {
            levels.pop();
            reach.path.pop();
            continue;
        };
        // The path is that of the level until the name is known.
        reach.path.truncate(depth - 1);
        if depth >= MAX_DEPTH {
            reach.pass_over(HiveFault::Depth, NODE, key, format!("{MAX_DEPTH} levels of keys"), "more");
            continue;
        }
        levels.extend(one(reach, key, Some(parent))?);
    }
    Ok(())
}

/// A key by itself, with its values and the lists of its subkeys, which are those that remain to be looked at.
fn one(reach: &mut Reach<'_>, offset: u32, parent: Option<u32>) -> Result<Option<Level>> {
    if !reach.claim(offset, NODE) {
        return Ok(None);
    }
    let key = Key::read(reach.hive, offset);
    let Some(key) = reach.catch(HiveFault::Unreadable, offset, key)? else { return Ok(None) };
    let node = key.node;
    if let Some(parent) = parent {
        reach.path.push(key.name().to_owned());
        if node.parent.get() != parent {
            let text = [parent, node.parent.get()].map(|offset| format!("{offset:#x}"));
            let [expected, found] = text;
            reach.add(HiveFault::Parent, NODE, offset, expected, found);
        }
        let units = key.name().encode_utf16().count();
        if !(1..=255).contains(&units) {
            reach.add(HiveFault::KeyName, NODE, offset, "1 to 255 characters", units.to_string());
        }
    }
    let flags = node.flags.get();
    if (flags & ROOT != 0) != parent.is_none() {
        let expected = if parent.is_none() { "the flags of a root" } else { "no flags of a root" };
        reach.add(HiveFault::RootFlags, NODE, offset, expected, format!("{flags:#x}"));
    }
    if node.volatile_subkeys.get() != 0 {
        reach.add(HiveFault::VolatileSubkeys, NODE, offset, "0", node.volatile_subkeys.to_string());
    }
    match node.security.get() {
        NIL => reach.add(HiveFault::SecurityNone, NODE, offset, "a security cell", "none"),
        cell => *reach.security.entry(cell).or_default() += 1,
    }
    if node.class_len.get() > 0 && node.class.get() != NIL && reach.claim(node.class.get(), CLASS) {
        let class = key.class();
        reach.catch(HiveFault::Unreadable, node.class.get(), class)?;
    }
    values(reach, &key)?;
    let subkeys = subkeys(reach, offset, &node)?;
    Ok(Some(Level { key: offset, subkeys: subkeys.into_iter() }))
}

fn values(reach: &mut Reach<'_>, key: &Key<'_>) -> Result<()> {
    let node = &key.node;
    if node.values.get() == 0 || node.value_list.get() == NIL {
        if node.values.get() != 0 {
            reach.pass_over(HiveFault::Unreadable, NODE, key.offset, "a list of values", "none");
        }
        return Ok(());
    }
    if !reach.claim(node.value_list.get(), VALUES) {
        return Ok(());
    }
    let list = key.value_list();
    let Some(list) = reach.catch(HiveFault::Unreadable, node.value_list.get(), list)? else { return Ok(()) };
    let (mut names, mut longest_name, mut longest_data) = (HashSet::new(), 0, 0);
    for offset in list {
        if !reach.claim(offset, VALUE) {
            continue;
        }
        let value = Value::read(reach.hive, offset);
        let Some(value) = reach.catch(HiveFault::Unreadable, offset, value)? else { continue };
        data(reach, &value)?;
        let name = name::sort_key(value.name());
        longest_name = longest_name.max(2 * name.len());
        longest_data = longest_data.max(value.len());
        if !names.insert(name) {
            reach.add(
                HiveFault::ValueTwin,
                VALUE,
                offset,
                "a name of its own",
                format!("{:?}", value.name()),
            );
        }
    }
    let mut at_most = |fault, says: u32, longest: usize| {
        if (says as usize) < longest {
            reach.add(fault, NODE, key.offset, format!("at least {longest}"), says.to_string());
        }
    };
    at_most(HiveFault::MaxName, node.max_value_name.get(), longest_name);
    at_most(HiveFault::MaxData, node.max_value_data.get(), longest_data);
    Ok(())
}

fn data(reach: &mut Reach<'_>, value: &Value<'_>) -> Result<()> {
    let (len, cell) = (value.len(), value.record.data.get());
    let most = if value.is_inline() { 4 } else { MAX_DATA };
    if len > most {
        let expected = format!("at most {most} bytes");
        reach.pass_over(HiveFault::DataLong, VALUE, value.offset, expected, len.to_string());
        return Ok(());
    }
    if value.is_inline() {
        return Ok(());
    }
    if len == 0 {
        if cell != NIL {
            reach.add(HiveFault::DataNil, VALUE, value.offset, "no cell", format!("{cell:#x}"));
        }
        return Ok(());
    }
    if !reach.claim(cell, DATA) {
        return Ok(());
    }
    let is_big = len > SEGMENT && reach.hive.minor >= BIG_DATA;
    let head = reach.hive.cell(cell, 2, DATA);
    let Some(head) = reach.catch(HiveFault::Unreadable, cell, head)? else { return Ok(()) };
    if !is_big || head != BigData::SIGNATURE {
        let one = reach.hive.cell(cell, len, DATA);
        reach.catch(HiveFault::DataLong, cell, one)?;
        return Ok(());
    }
    let record = value.big_record();
    let Some(record) = reach.catch(HiveFault::BigCount, cell, record)? else { return Ok(()) };
    if !reach.claim(record.list.get(), BigData::STRUCTURE) {
        return Ok(());
    }
    let segments = value.segments(&record);
    let Some(segments) = reach.catch(HiveFault::Unreadable, record.list.get(), segments)? else {
        return Ok(());
    };
    let mut left = len;
    for segment in segments {
        let part = left.min(SEGMENT);
        left -= part;
        if reach.claim(segment, DATA) {
            let one = reach.hive.cell(segment, part, DATA);
            reach.catch(HiveFault::DataLong, segment, one)?;
        }
    }
    Ok(())
}

/// The subkeys that the lists of a key lead to.
fn subkeys(reach: &mut Reach<'_>, offset: u32, node: &KeyNode) -> Result<Vec<u32>> {
    let (count, list) = (node.subkeys.get(), node.subkey_list.get());
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut keys = Vec::new();
    let mut last: Option<Vec<u16>> = None;
    let (mut longest_name, mut longest_class) = (0, 0);
    let mut is_whole = true;
    for leaf in leaves(reach, list, &mut is_whole)? {
        let items = leaf.items.chunks_exact(leaf.item_size()).map(|item| item.get(4..).unwrap_or_default());
        for (key, hint) in leaf.offsets().zip(items) {
            let name = Name::read(reach, key);
            let Ok(name) = name else {
                // That it is none is found when the key itself is looked at.
                keys.push(key);
                continue;
            };
            longest_name = longest_name.max(2 * name.sort_key.len() as u32);
            longest_class = longest_class.max(name.class_len);
            if !name.has_hint(leaf.signature, hint) {
                let expected = format!("that of {:?}", String::from_utf16_lossy(&name.sort_key));
                reach.add(
                    HiveFault::Hash,
                    list::STRUCTURE,
                    leaf.cell,
                    expected,
                    hint.escape_ascii().to_string(),
                );
            }
            if let Some(last) = &last
                && *last >= name.sort_key
            {
                let fault = if *last == name.sort_key { HiveFault::CaseTwin } else { HiveFault::Order };
                let [before, behind] =
                    [&name.sort_key, last].map(|name| format!("{:?}", String::from_utf16_lossy(name)));
                reach.add(
                    fault,
                    list::STRUCTURE,
                    leaf.cell,
                    format!("{before} first"),
                    format!("{behind} first"),
                );
            }
            last = Some(name.sort_key);
            keys.push(key);
        }
    }
    if is_whole && u32::try_from(keys.len()) != Ok(count) {
        reach.add(HiveFault::SubkeyCount, NODE, offset, format!("{} subkeys", keys.len()), count.to_string());
    }
    let mut at_most = |fault, says: u32, longest: u32| {
        if says < longest {
            reach.add(fault, NODE, offset, format!("at least {longest}"), says.to_string());
        }
    };
    at_most(HiveFault::MaxName, node.max_subkey_name.get() & NAME_LENGTH, longest_name);
    at_most(HiveFault::MaxClass, node.max_subkey_class.get(), longest_class);
    Ok(keys)
}

/// The leaves of a list; `is_whole` is not so any more when some cannot be read.
fn leaves(reach: &mut Reach<'_>, list: u32, is_whole: &mut bool) -> Result<Vec<List>> {
    let mut leaves = Vec::new();
    let mut left = vec![list];
    while let Some(cell) = left.pop() {
        let read = if reach.claim(cell, list::STRUCTURE) {
            let read = List::read(reach.hive, cell);
            // An index root under another is none of its leaves.
            let read =
                read.and_then(|read| if read.is_root() && cell == list { Ok(read) } else { read.leaf() });
            reach.catch(HiveFault::Unreadable, cell, read)?
        } else {
            None
        };
        match read {
            Some(root) if root.is_root() => left.extend(root.offsets().rev()),
            Some(leaf) => leaves.push(leaf),
            None => *is_whole = false,
        }
    }
    Ok(leaves)
}

/// A subkey's name, as the lists above it must have it.
struct Name {
    bytes: Vec<u8>,
    is_compressed: bool,
    sort_key: Vec<u16>,
    class_len: u32,
}

impl Name {
    fn read(reach: &Reach<'_>, key: u32) -> Result<Self> {
        let node: KeyNode = reach.hive.record(key)?;
        let is_compressed = node.flags.get() & KEY_COMP_NAME != 0;
        let bytes = list::name(reach.hive, key, &node)?;
        let sort_key = name::stored_sort_key(&bytes, is_compressed);
        Ok(Self { bytes, is_compressed, sort_key, class_len: node.class_len.get().into() })
    }

    fn has_hint(&self, signature: [u8; 2], hint: &[u8]) -> bool {
        match &signature {
            b"lh" => hint == name::hash(&self.sort_key).to_le_bytes(),
            // Names of two bytes a character have none, or that of their first characters.
            b"lf" => {
                hint == name::hint(&self.bytes, self.is_compressed) || !self.is_compressed && hint == [0; 4]
            }
            _ => true,
        }
    }
}

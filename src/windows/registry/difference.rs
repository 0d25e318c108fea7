//! In what two hives differ.

use std::collections::{BTreeMap, HashSet};

use super::hive::Hive;
use super::key::Key;
use super::value::Value;
use crate::error::Result;
use crate::leaves::upper;

/// A value, or a key, that two hives do not have alike.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ValueDifference {
    /// The path of the key from the root, its parts separated by `\`.
    pub key: String,
    /// The value's name, empty for the default value; `None` when one hive lacks the key.
    pub name: Option<String>,
    /// Its type and data in the first hive; of a key, nothing.
    pub a: Option<(u32, Vec<u8>)>,
    /// Its type and data in the second hive.
    pub b: Option<(u32, Vec<u8>)>,
}

/// One thing on either side.
type Pair<T> = [Option<T>; 2];

/// Calls `visit` with all in which two hives differ: keys, and values with their types and data. Times and security descriptors
/// are left aside.
///
/// # Errors
///
/// [`crate::Error::Damaged`], what reading gives rise to, and what `visit` returns.
pub fn differences(a: &Hive, b: &Hive, visit: &mut dyn FnMut(ValueDifference) -> Result<()>) -> Result<()> {
    // A key that is met twice leads round in a circle.
    let mut seen = [HashSet::new(), HashSet::new()];
    let mut left = vec![(String::new(), [Some(a.root()?), Some(b.root()?)])];
    while let Some((path, keys)) = left.pop() {
        for (key, seen) in keys.iter().zip(&mut seen) {
            if let Some(key) = key
                && !seen.insert(key.offset)
            {
                return Err(key.damage("a key in one place", "one that was met before"));
            }
        }
        if let [None, Some(_)] | [Some(_), None] = keys {
            let [a, b] = keys.each_ref().map(|key| key.as_ref().map(|_| (0, Vec::new())));
            visit(ValueDifference { key: path.clone(), name: None, a, b })?;
        }
        for values in pairs(&keys, |key| key.values()?.collect(), Value::name)? {
            let data = |value: &Option<Value>| {
                value.as_ref().map(|value| Ok::<_, crate::Error>((value.kind(), value.data()?))).transpose()
            };
            let (a, b) = (data(&values[0])?, data(&values[1])?);
            if a != b {
                let name = values.iter().flatten().next().map(|value| value.name().to_owned());
                visit(ValueDifference { key: path.clone(), name, a, b })?;
            }
        }
        for subkeys in pairs(&keys, |key| key.subkeys()?.collect(), Key::name)?.into_iter().rev() {
            let name = subkeys.iter().flatten().next().map_or("", Key::name);
            let path = if path.is_empty() { name.to_owned() } else { format!("{path}\\{name}") };
            left.push((path, subkeys));
        }
    }
    Ok(())
}

/// What both keys have, by name, in order.
fn pairs<'h, T>(
    keys: &Pair<Key<'h>>,
    list: impl Fn(&Key<'h>) -> Result<Vec<T>>,
    name: impl Fn(&T) -> &str,
) -> Result<Vec<Pair<T>>> {
    let mut found: BTreeMap<Vec<u16>, Pair<T>> = BTreeMap::new();
    for (side, key) in keys.iter().enumerate() {
        for one in key.as_ref().map(&list).transpose()?.into_iter().flatten() {
            let name = name(&one).encode_utf16().map(upper).collect();
            found.entry(name).or_insert_with(|| [None, None])[side] = Some(one);
        }
    }
    Ok(found.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryStorage;
    use crate::windows::registry::{Tree, kind};

    #[test]
    fn keys_and_values_are_told_apart() {
        let mut root = Tree::new("ROOT");
        root.entry("Same").set("a", kind::DWORD, 1u32.to_le_bytes());
        root.entry("Both").set("Old", kind::SZ, *b"x\0").set("Type", kind::SZ, *b"y\0").set(
            "Case",
            kind::SZ,
            [],
        );
        root.entry("Gone").entry("Below").set("", kind::BINARY, [1]);
        let mut other = root.clone();
        other.subkeys.retain(|key| key.name != "Gone");
        let both = other.entry("Both");
        both.values.retain(|value| value.name != "Old");
        both.set("type", kind::EXPAND_SZ, *b"y\0").set("new", kind::BINARY, [2]);
        other.entry("SAME").set("A", kind::DWORD, 1u32.to_le_bytes());
        other.entry("Added");
        let hive = |tree: &Tree| Hive::open(MemoryStorage::new(tree.to_hive("SYSTEM").unwrap())).unwrap();
        let (hive, other) = (hive(&root), hive(&other));
        let mut found = Vec::new();
        differences(&hive, &other, &mut |difference| {
            let sides = (difference.a.is_some(), difference.b.is_some());
            found.push((difference.key, difference.name, sides));
            Ok(())
        })
        .unwrap();
        let row = |key: &str, name: Option<&str>, sides| (key.to_owned(), name.map(str::to_owned), sides);
        let expected = [
            row("Added", None, (false, true)),
            row("Both", Some("new"), (false, true)),
            row("Both", Some("Old"), (true, false)),
            row("Both", Some("Type"), (true, true)),
            row("Gone", None, (true, false)),
            row("Gone\\Below", None, (true, false)),
            row("Gone\\Below", Some(""), (true, false)),
        ];
        assert_eq!(found, expected);
        differences(&hive, &hive, &mut |difference| panic!("{difference:?}")).unwrap();
    }
}

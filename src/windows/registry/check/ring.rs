//! The security cells: one ring, with all that keys lead to.

use super::fault::HiveFault;
use super::reach::Reach;
use crate::error::Result;
use crate::windows::registry::layout::{KeyNode, KeySecurity, NIL, Record};
use crate::windows::registry::{descriptor, security};

const STRUCTURE: &str = KeySecurity::STRUCTURE;

pub(super) fn check(reach: &mut Reach<'_>) -> Result<()> {
    reach.path.clear();
    let root = reach.hive.record::<KeyNode>(reach.hive.root);
    let Some(first) =
        reach.catch(HiveFault::Unreadable, reach.hive.root, root)?.map(|root| root.security.get())
    else {
        return Ok(());
    };
    if first == NIL {
        return Ok(());
    }
    let mut is_whole = true;
    let mut at = first;
    loop {
        let record = reach.hive.record::<KeySecurity>(at);
        // Cells that were reached before are the beginning of the ring, or another place in it.
        let (Ok(record), true) = (record, reach.claim(at, STRUCTURE)) else {
            reach.pass_over(HiveFault::SecurityRing, STRUCTURE, at, "a security cell", "another");
            is_whole = false;
            break;
        };
        one(reach, at, &record)?;
        let next = record.flink.get();
        let back = reach.hive.record::<KeySecurity>(next).map(|next| next.blink.get());
        if back.as_ref().ok() != Some(&at) {
            let found =
                back.map_or_else(|_| format!("{next:#x}, where there is none"), |back| format!("{back:#x}"));
            let expected = format!("a link to {next:#x} and back");
            reach.pass_over(HiveFault::SecurityRing, STRUCTURE, at, expected, found);
            is_whole = false;
            break;
        }
        at = next;
        if at == first {
            break;
        }
    }
    // What the ring did not come to, in order of place.
    let mut left: Vec<_> = reach.security.keys().copied().collect();
    left.sort_unstable();
    for cell in left {
        if is_whole {
            reach.pass_over(HiveFault::SecurityRing, STRUCTURE, cell, "a cell of the ring", "one beside it");
        }
        let record = reach.hive.record::<KeySecurity>(cell);
        if let Some(record) = reach.catch(HiveFault::Unreadable, cell, record)? {
            one(reach, cell, &record)?;
        }
    }
    Ok(())
}

/// A cell by itself.
fn one(reach: &mut Reach<'_>, cell: u32, record: &KeySecurity) -> Result<()> {
    let keys = reach.security.remove(&cell).unwrap_or_default();
    if record.references.get() != keys {
        reach.add(
            HiveFault::SecurityCount,
            STRUCTURE,
            cell,
            format!("{keys} keys"),
            record.references.to_string(),
        );
    }
    let bytes = security::descriptor(reach.hive, cell);
    if let Some(bytes) = reach.catch(HiveFault::Unreadable, cell, bytes)?
        && let Err(reason) = descriptor::check(&bytes)
    {
        reach.add(HiveFault::Descriptor, STRUCTURE, cell, "a security descriptor", reason);
    }
    Ok(())
}

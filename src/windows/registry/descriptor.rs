//! Security descriptors in their self-relative form, [MS-DTYP] 2.4.6: that their parts lie in them.

/// Flag of a descriptor: offsets, not pointers.
const SELF_RELATIVE: u16 = 0x8000;
const HEADER: usize = 20;

/// That the bytes are a descriptor with nothing that leads out of them; or what is wrong.
pub(super) fn check(bytes: &[u8]) -> Result<(), &'static str> {
    let header = bytes.first_chunk::<HEADER>().ok_or("it is shorter than its header")?;
    if header[0] != 1 {
        return Err("its revision is not 1");
    }
    if u16::from_le_bytes([header[2], header[3]]) & SELF_RELATIVE == 0 {
        return Err("it is not self-relative");
    }
    let part = |field: usize| {
        let offset =
            header[field..field + 4].iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte));
        if offset == 0 { Ok(None) } else { bytes.get(offset..).ok_or("a part lies behind its end").map(Some) }
    };
    for sid in [part(4)?, part(8)?].into_iter().flatten() {
        check_sid(sid)?;
    }
    for acl in [part(12)?, part(16)?].into_iter().flatten() {
        check_acl(acl)?;
    }
    Ok(())
}

/// A SID: revision 1, at most 15 parts ([MS-DTYP] 2.4.2).
fn check_sid(bytes: &[u8]) -> Result<(), &'static str> {
    match *bytes {
        [1, parts @ 0..=15, ..] if bytes.len() >= 8 + 4 * usize::from(parts) => Ok(()),
        _ => Err("its owner or group is no SID"),
    }
}

/// An ACL and its entries ([MS-DTYP] 2.4.5).
fn check_acl(bytes: &[u8]) -> Result<(), &'static str> {
    let [2 | 4, _, s0, s1, c0, c1, _, _, ..] = *bytes else { return Err("a list of entries has no header") };
    let size = usize::from(u16::from_le_bytes([s0, s1]));
    let mut rest = bytes.get(8..size).ok_or("a list of entries has a wrong size")?;
    for _ in 0..u16::from_le_bytes([c0, c1]) {
        let [_, _, s0, s1, ..] = *rest else { return Err("a list has fewer entries than it counts") };
        let size = usize::from(u16::from_le_bytes([s0, s1]));
        rest = rest.get(size..).filter(|_| size >= 8).ok_or("an entry has a wrong size")?;
    }
    Ok(())
}

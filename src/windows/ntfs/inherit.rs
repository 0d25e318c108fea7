//! Security descriptors: what a new file inherits of its directory's (MS-DTYP 2.4.6, 2.5.3.4).
//!
//! Each entry of the directory's lists that is inheritable is taken over and marked as inherited. Where it stands for whoever makes the
//! file, or for rights in general, a directory gets two: one that counts here, with that resolved, and one as it was for what will be made in it.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::flaw::{Flaw, flaw};

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    revision: u8,
    padding: u8,
    control: U16,
    owner: U32,
    group: U32,
    sacl: U32,
    dacl: U32,
}

/// Bits of the control field.
mod control {
    pub const DACL_PRESENT: u16 = 0x0004;
    pub const SACL_PRESENT: u16 = 0x0010;
    pub const DACL_AUTO_INHERITED: u16 = 0x0400;
    pub const SACL_AUTO_INHERITED: u16 = 0x0800;
    pub const SELF_RELATIVE: u16 = 0x8000;
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Acl {
    revision: u8,
    padding: u8,
    len: U16,
    count: U16,
    padding2: U16,
}
const ACL_REVISION: u8 = 2;

/// An entry of a list, before the SID that it is for.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Ace {
    kind: u8,
    flags: u8,
    len: U16,
    mask: U32,
}
/// Entries for one property or kind of object, with GUIDs before the SID: of directories that are no file system's.
const OBJECT_ACES: [u8; 6] = [5, 6, 7, 8, 11, 12];

/// Flags of an entry.
mod ace {
    pub const OBJECT_INHERIT: u8 = 0x01;
    pub const CONTAINER_INHERIT: u8 = 0x02;
    pub const NO_PROPAGATE: u8 = 0x04;
    pub const INHERIT_ONLY: u8 = 0x08;
    pub const INHERITED: u8 = 0x10;
    pub const ALL: u8 = 0x1f;
}

/// Rights in general, and what they are for files.
const GENERIC: [(u32, u32); 4] =
    [(0x8000_0000, 0x0012_0089), (0x4000_0000, 0x0012_0116), (0x2000_0000, 0x0012_00a0), (FULL_GENERIC, FULL)];
const FULL_GENERIC: u32 = 0x1000_0000;
const FULL: u32 = 0x001f_01ff;

/// `BUILTIN\Administrators`, which what the system makes belongs to.
const ADMINISTRATORS: &[u8] = &[1, 2, 0, 0, 0, 0, 0, 5, 0x20, 0, 0, 0, 0x20, 2, 0, 0];
/// `NT AUTHORITY\SYSTEM`, its group.
const SYSTEM: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 5, 0x12, 0, 0, 0];
/// Whoever makes the file, and their group.
const CREATOR_OWNER: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0];
const CREATOR_GROUP: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 3, 1, 0, 0, 0];

/// The descriptor of a file or a directory that the system makes in the directory whose descriptor `parent` is.
pub(super) fn inherit(parent: &[u8], directory: bool) -> Result<Vec<u8>, Flaw> {
    let (header, _) = Header::ref_from_prefix(parent).map_err(|_| cut())?;
    let has = |bit| header.control.get() & bit != 0;
    let list = |bit, at: &U32| match has(bit) && at.get() != 0 {
        true => inherited(parent.get(at.get() as usize..).ok_or_else(cut)?, directory),
        false => Ok(Vec::new()),
    };
    let sacl = list(control::SACL_PRESENT, &header.sacl)?;
    let mut dacl = list(control::DACL_PRESENT, &header.dacl)?;
    let mut bits = control::SELF_RELATIVE | control::DACL_PRESENT;
    if dacl.is_empty() {
        // Nobody says who may: those who may everywhere, as by the system's own default.
        dacl = [SYSTEM, ADMINISTRATORS].map(|sid| entry(0, 0, FULL, sid)).concat();
    } else {
        bits |= control::DACL_AUTO_INHERITED;
    }
    if !sacl.is_empty() {
        bits |= control::SACL_PRESENT | control::SACL_AUTO_INHERITED;
    }
    let sacl = if sacl.is_empty() { sacl } else { acl(&sacl)? };
    let dacl = acl(&dacl)?;
    // The order in which Windows writes them.
    let at = size_of::<Header>();
    let owner = at + sacl.len() + dacl.len();
    let new = Header {
        revision: 1,
        padding: 0,
        control: bits.into(),
        owner: (owner as u32).into(),
        group: ((owner + ADMINISTRATORS.len()) as u32).into(),
        sacl: if sacl.is_empty() { 0 } else { at as u32 }.into(),
        dacl: ((at + sacl.len()) as u32).into(),
    };
    Ok([new.as_bytes(), &sacl, &dacl, ADMINISTRATORS, SYSTEM].concat())
}

fn cut() -> Flaw {
    flaw("the parts of a security descriptor within it", "a length beyond it")
}

/// A list of these entries.
fn acl(entries: &[u8]) -> Result<Vec<u8>, Flaw> {
    let too_long = || flaw("a list of at most 64 KiB", "what is inherited is longer");
    let len = u16::try_from(size_of::<Acl>() + entries.len()).map_err(|_| too_long())?;
    let mut count = 0u16;
    let mut rest = entries;
    while let Ok((ace, _)) = Ace::ref_from_prefix(rest) {
        rest = rest.get(usize::from(ace.len.get())..).unwrap_or_default();
        count += 1;
    }
    let header = Acl {
        revision: ACL_REVISION,
        padding: 0,
        len: len.into(),
        count: count.into(),
        padding2: 0.into(),
    };
    Ok([header.as_bytes(), entries].concat())
}

/// The entries that are inherited of a list.
fn inherited(list: &[u8], directory: bool) -> Result<Vec<u8>, Flaw> {
    let (header, _) = Acl::ref_from_prefix(list).map_err(|_| cut())?;
    let mut rest = list.get(size_of::<Acl>()..header.len.get().into()).ok_or_else(cut)?;
    let mut entries = Vec::new();
    for _ in 0..header.count.get() {
        let (ace, _) = Ace::ref_from_prefix(rest).map_err(|_| cut())?;
        let (bytes, next) = rest.split_at_checked(ace.len.get().into()).ok_or_else(cut)?;
        let sid = bytes.get(size_of::<Ace>()..).ok_or_else(cut)?;
        rest = next;
        let counts = ace.flags & if directory { ace::CONTAINER_INHERIT } else { ace::OBJECT_INHERIT } != 0;
        let goes_on = directory && ace.flags & ace::NO_PROPAGATE == 0;
        let later = goes_on && ace.flags & ace::OBJECT_INHERIT != 0;
        if !counts && !later {
            continue;
        }
        if OBJECT_ACES.contains(&ace.kind) {
            return Err(flaw("entries of a file's list", format!("one of the type {}", ace.kind)));
        }
        let others = ace.flags & !ace::ALL | ace::INHERITED;
        let kept = ace.flags & (ace::OBJECT_INHERIT | ace::CONTAINER_INHERIT);
        let (mask, who) = resolve(ace.mask.get(), sid);
        let same = mask == ace.mask.get() && who == sid;
        match (counts, goes_on) {
            (true, true) if same => entries.extend(entry(ace.kind, others | kept, mask, sid)),
            (true, true) => {
                entries.extend(entry(ace.kind, others, mask, &who));
                entries.extend(entry(ace.kind, others | kept | ace::INHERIT_ONLY, ace.mask.get(), sid));
            }
            (true, false) => entries.extend(entry(ace.kind, others, mask, &who)),
            (false, _) => {
                entries.extend(entry(ace.kind, others | kept | ace::INHERIT_ONLY, ace.mask.get(), sid));
            }
        }
    }
    Ok(entries)
}

/// Rights and whom they are for, where the entry counts: what stands for the maker is the maker, and rights in general are those of files. What
/// follows the SID stays.
fn resolve(mask: u32, sid: &[u8]) -> (u32, Vec<u8>) {
    let mut own = mask;
    for (generic, rights) in GENERIC {
        if mask & generic != 0 {
            own = own & !generic | rights;
        }
    }
    let who = [(CREATOR_OWNER, ADMINISTRATORS), (CREATOR_GROUP, SYSTEM)];
    let maker = who.into_iter().find_map(|(stands_for, maker)| Some([maker, sid.strip_prefix(stands_for)?].concat()));
    (own, maker.unwrap_or_else(|| sid.to_vec()))
}

fn entry(kind: u8, flags: u8, mask: u32, sid: &[u8]) -> Vec<u8> {
    let len = size_of::<Ace>() + sid.len();
    let ace = Ace { kind, flags, len: (len as u16).into(), mask: mask.into() };
    [ace.as_bytes(), sid].concat()
}

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
const GENERIC: [(u32, u32); 4] = [
    (0x8000_0000, 0x0012_0089),
    (0x4000_0000, 0x0012_0116),
    (0x2000_0000, 0x0012_00a0),
    (FULL_GENERIC, FULL),
];
const FULL_GENERIC: u32 = 0x1000_0000;
const FULL: u32 = 0x001f_01ff;

/// `BUILTIN\Administrators`, which what the system makes belongs to.
const ADMINISTRATORS: &[u8] = &[1, 2, 0, 0, 0, 0, 0, 5, 0x20, 0, 0, 0, 0x20, 2, 0, 0];
/// `NT AUTHORITY\SYSTEM`, its group.
const SYSTEM: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 5, 0x12, 0, 0, 0];
/// Whoever makes the file, and their group.
const CREATOR_OWNER: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0];
const CREATOR_GROUP: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 3, 1, 0, 0, 0];

/// The descriptor of a file or a directory that the system makes in the directory whose descriptor `parent` is, if it has one.
pub(super) fn inherit(parent: Option<&[u8]>, directory: bool) -> Result<Vec<u8>, Flaw> {
    let (sacl, mut dacl) = match parent {
        None => (Vec::new(), Vec::new()),
        Some(parent) => {
            let (header, _) = Header::ref_from_prefix(parent).map_err(|_| cut())?;
            let list = |present, at: U32| match header.control.get() & present != 0 && at.get() != 0 {
                true => inherited(parent.get(at.get() as usize..).ok_or_else(cut)?, directory),
                false => Ok(Vec::new()),
            };
            (list(control::SACL_PRESENT, header.sacl)?, list(control::DACL_PRESENT, header.dacl)?)
        }
    };
    let mut bits = control::SELF_RELATIVE | control::DACL_PRESENT;
    if dacl.is_empty() {
        // Nobody says who may: those who may everywhere, as by the system's own default.
        dacl = [SYSTEM, ADMINISTRATORS].map(|sid| entry(0, 0, FULL, sid)).to_vec();
    } else {
        bits |= control::DACL_AUTO_INHERITED;
    }
    if !sacl.is_empty() {
        bits |= control::SACL_PRESENT | control::SACL_AUTO_INHERITED;
    }
    let sacl = if sacl.is_empty() { Vec::new() } else { acl(&sacl)? };
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
fn acl(entries: &[Vec<u8>]) -> Result<Vec<u8>, Flaw> {
    let len = size_of::<Acl>() + entries.iter().map(Vec::len).sum::<usize>();
    // Each is of 8 bytes or more, so that they can be counted too.
    let len = u16::try_from(len)
        .map_err(|_| flaw("a list of at most 64 KiB", format!("{len} bytes that are inherited")))?;
    let header = Acl {
        revision: ACL_REVISION,
        padding: 0,
        len: len.into(),
        count: (entries.len() as u16).into(),
        padding2: 0.into(),
    };
    Ok([header.as_bytes(), &entries.concat()].concat())
}

/// The entries that are inherited of a list.
fn inherited(list: &[u8], directory: bool) -> Result<Vec<Vec<u8>>, Flaw> {
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
            (true, true) if same => entries.push(entry(ace.kind, others | kept, mask, sid)),
            (true, true) => {
                entries.push(entry(ace.kind, others, mask, &who));
                entries.push(entry(ace.kind, others | kept | ace::INHERIT_ONLY, ace.mask.get(), sid));
            }
            (true, false) => entries.push(entry(ace.kind, others, mask, &who)),
            (false, _) => {
                entries.push(entry(ace.kind, others | kept | ace::INHERIT_ONLY, ace.mask.get(), sid));
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
    let maker =
        who.into_iter().find_map(|(stands_for, maker)| Some([maker, sid.strip_prefix(stands_for)?].concat()));
    (own, maker.unwrap_or_else(|| sid.to_vec()))
}

fn entry(kind: u8, flags: u8, mask: u32, sid: &[u8]) -> Vec<u8> {
    let len = size_of::<Ace>() + sid.len();
    let ace = Ace { kind, flags, len: (len as u16).into(), mask: mask.into() };
    [ace.as_bytes(), sid].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &[u8] = &[1, 2, 0, 0, 0, 0, 0, 5, 0x20, 0, 0, 0, 0x21, 2, 0, 0];
    const EVERYONE: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    const ALLOW: u8 = 0;
    const DENY: u8 = 1;
    const AUDIT: u8 = 2;
    const READ: u32 = 0x0012_00a9;

    fn descriptor(sacl: &[Vec<u8>], dacl: &[Vec<u8>]) -> Vec<u8> {
        let lists = [acl(sacl).unwrap(), acl(dacl).unwrap()];
        let header = Header {
            revision: 1,
            padding: 0,
            control: 0x8014.into(),
            owner: 0.into(),
            group: 0.into(),
            sacl: 20.into(),
            dacl: (20 + lists[0].len() as u32).into(),
        };
        [header.as_bytes(), &lists.concat()].concat()
    }

    /// The entries of a list, each with flags, rights and SID.
    fn entries(list: &[u8]) -> Vec<(u8, u8, u32, Vec<u8>)> {
        let mut rest = &list[8..u16::from_le_bytes([list[2], list[3]]).into()];
        let mut found = Vec::new();
        while !rest.is_empty() {
            let (ace, next) = rest.split_at(u16::from_le_bytes([rest[2], rest[3]]).into());
            found.push((
                ace[0],
                ace[1],
                u32::from_le_bytes(ace[4..8].try_into().unwrap()),
                ace[8..].to_vec(),
            ));
            rest = next;
        }
        assert_eq!(usize::from(list[4]), found.len());
        found
    }

    fn dacl(descriptor: &[u8]) -> Vec<(u8, u8, u32, Vec<u8>)> {
        entries(&descriptor[u32::from_le_bytes(descriptor[16..20].try_into().unwrap()) as usize..])
    }

    /// What a new Windows shows for `C:\` and what is made in it: entries that are for files and directories go on as they are, those with
    /// rights in general or for the maker are resolved, and kept for what is below.
    #[test]
    fn as_in_the_root_of_a_system_drive() {
        let parent = descriptor(
            &[],
            &[
                entry(ALLOW, 0x03, FULL, ADMINISTRATORS),
                entry(ALLOW, 0x03, READ, USERS),
                entry(ALLOW, 0x0b, 0xe001_0000, USERS),
                entry(ALLOW, 0x0b, FULL_GENERIC, CREATOR_OWNER),
                entry(ALLOW, 0x02, 4, USERS),
                entry(ALLOW, 0x00, READ, EVERYONE),
            ],
        );
        let modify = 0x0013_01bf;
        let file = inherit(Some(&parent), false).unwrap();
        assert_eq!(
            dacl(&file),
            [
                (ALLOW, 0x10, FULL, ADMINISTRATORS.to_vec()),
                (ALLOW, 0x10, READ, USERS.to_vec()),
                (ALLOW, 0x10, modify, USERS.to_vec()),
                (ALLOW, 0x10, FULL, ADMINISTRATORS.to_vec()),
            ]
        );
        let directory = inherit(Some(&parent), true).unwrap();
        assert_eq!(
            dacl(&directory),
            [
                (ALLOW, 0x13, FULL, ADMINISTRATORS.to_vec()),
                (ALLOW, 0x13, READ, USERS.to_vec()),
                (ALLOW, 0x10, modify, USERS.to_vec()),
                (ALLOW, 0x1b, 0xe001_0000, USERS.to_vec()),
                (ALLOW, 0x10, FULL, ADMINISTRATORS.to_vec()),
                (ALLOW, 0x1b, FULL_GENERIC, CREATOR_OWNER.to_vec()),
                (ALLOW, 0x12, 4, USERS.to_vec()),
            ]
        );
        // Windows' layout: control, then owner and group at the end.
        assert_eq!(file[..4], [1, 0, 4, 0x84]);
        assert_eq!(file[file.len() - 28..], [ADMINISTRATORS, SYSTEM].concat());
        assert_eq!(u32::from_le_bytes(file[4..8].try_into().unwrap()) as usize, file.len() - 28);
        assert_eq!(u32::from_le_bytes(file[8..12].try_into().unwrap()) as usize, file.len() - 12);
        // What a directory hands on, its own directories have in turn.
        let below = inherit(Some(&directory), true).unwrap();
        assert_eq!(dacl(&below).len(), 7);
        assert_eq!(dacl(&inherit(Some(&directory), false).unwrap()), dacl(&file));
    }

    #[test]
    fn flags_of_inheritance() {
        let parent = descriptor(
            &[entry(AUDIT, 0xc3, 2, EVERYONE)],
            &[
                // Here, and no further.
                entry(DENY, 0x07, 1, USERS),
                // For files: a directory keeps it for those in it.
                entry(ALLOW, 0x01, READ, USERS),
                entry(ALLOW, 0x05, 8, USERS),
                entry(ALLOW, 0x13, FULL, CREATOR_GROUP),
            ],
        );
        let file = inherit(Some(&parent), false).unwrap();
        let directory = inherit(Some(&parent), true).unwrap();
        assert_eq!(
            dacl(&file),
            [
                (DENY, 0x10, 1, USERS.to_vec()),
                (ALLOW, 0x10, READ, USERS.to_vec()),
                (ALLOW, 0x10, 8, USERS.to_vec()),
                (ALLOW, 0x10, FULL, SYSTEM.to_vec()),
            ]
        );
        assert_eq!(
            dacl(&directory),
            [
                (DENY, 0x10, 1, USERS.to_vec()),
                (ALLOW, 0x19, READ, USERS.to_vec()),
                (ALLOW, 0x10, FULL, SYSTEM.to_vec()),
                (ALLOW, 0x1b, FULL, CREATOR_GROUP.to_vec()),
            ]
        );
        // Audits keep what they are for.
        let at = |descriptor: &[u8]| u32::from_le_bytes(descriptor[12..16].try_into().unwrap()) as usize;
        assert_eq!(entries(&file[at(&file)..]), [(AUDIT, 0xd0, 2, EVERYONE.to_vec())]);
        assert_eq!(entries(&directory[at(&directory)..]), [(AUDIT, 0xd3, 2, EVERYONE.to_vec())]);
        assert_eq!(u16::from_le_bytes([file[2], file[3]]), 0x8c14);
    }

    #[test]
    fn nothing_to_inherit_and_nothing_that_is_cut() {
        let default = [(ALLOW, 0, FULL, SYSTEM.to_vec()), (ALLOW, 0, FULL, ADMINISTRATORS.to_vec())];
        assert_eq!(dacl(&inherit(None, true).unwrap()), default);
        let parent = descriptor(&[], &[entry(ALLOW, 0x10, READ, USERS)]);
        assert_eq!(dacl(&inherit(Some(&parent), false).unwrap()), default);
        let parent = descriptor(&[], &[entry(ALLOW, 3, READ, USERS), entry(DENY, 3, READ, EVERYONE)]);
        assert!((0..parent.len()).all(|len| inherit(Some(&parent[..len]), true).is_err()));
        assert!(inherit(Some(&descriptor(&[], &[entry(5, 3, READ, USERS)])), false).is_err());
        let short = descriptor(&[], &[vec![ALLOW, 3, 4, 0, 0, 0, 0, 0]]);
        assert!(inherit(Some(&short), false).is_err());
    }
}

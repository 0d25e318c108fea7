//! What the headers of a program say ("PE Format", Microsoft): a driver, a DLL or an application.

use std::ops::Range;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Machines that a program is for (section "Machine Types").
pub(crate) mod machine {
    pub const I386: u16 = 0x14c;
    pub const AMD64: u16 = 0x8664;
}

/// The headers of a program.
#[derive(Clone, Copy)]
pub(crate) struct Program<'a> {
    header: &'a FileHeader,
    /// The optional header, and the section table behind it.
    optional: &'a [u8],
}

/// Behind `PE\0\0` (section "COFF File Header").
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct FileHeader {
    machine: U16,
    sections: U16,
    stamp_and_symbols: [u8; 12],
    optional_header: U16,
    characteristics: U16,
}

/// An entry of the section table (section "Section Table").
#[cfg(feature = "inspect")]
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Section {
    name: [u8; 8],
    virtual_size: U32,
    address: U32,
    size: U32,
    offset: U32,
    rest: [u8; 16],
}

/// An entry of the data directories (section "Optional Header Data Directories").
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Directory {
    place: U32,
    size: U32,
}
const DIRECTORY: usize = size_of::<Directory>();
/// The places of two of them, the second of which gives an offset in the file.
#[cfg(feature = "inspect")]
const RESOURCES: usize = 2;
const CERTIFICATES: usize = 4;
/// Where the directories begin in the optional header, in one of 64 bits and in others.
const PE32_PLUS: u16 = 0x20b;
const DIRECTORIES: [usize; 2] = [112, 96];
/// Where the length of all headers and the subsystem stand in it.
#[cfg(feature = "inspect")]
const HEADERS: usize = 60;
const SUBSYSTEM: usize = 68;

impl<'a> Program<'a> {
    /// Bytes of a file's beginning that hold the headers of any program.
    pub const PREFIX: u64 = 4096;

    /// Reads what a file begins with; `None` when it is no program.
    pub fn parse(prefix: &'a [u8]) -> Option<Self> {
        let start = usize::try_from(u32::from_le_bytes(*prefix.get(0x3c..)?.first_chunk()?)).ok()?;
        let behind = prefix.get(start..)?.strip_prefix(b"PE\0\0").filter(|_| prefix.starts_with(b"MZ"))?;
        let (header, optional) = FileHeader::ref_from_prefix(behind).ok()?;
        let program = Self { header, optional };
        program.word(SUBSYSTEM).map(|_| program)
    }

    /// The machine that it is for.
    pub fn machine(self) -> u16 {
        self.header.machine.get()
    }

    /// What runs it.
    pub fn subsystem(self) -> u16 {
        self.word(SUBSYSTEM).unwrap_or(0)
    }

    /// Where the certificates lie in the file; empty when there are none.
    pub fn certificates(self) -> Range<u64> {
        self.directory(CERTIFICATES).map_or(0..0, |(place, size)| place..place + size)
    }

    /// Where the headers end in the file.
    #[cfg(feature = "inspect")]
    pub fn headers(self) -> u64 {
        let len = self.optional.get(HEADERS..).and_then(|bytes| bytes.first_chunk());
        len.map_or(0, |bytes| u32::from_le_bytes(*bytes).into())
    }

    /// Where the section with the resources lies in the file; empty when there is none.
    #[cfg(feature = "inspect")]
    pub fn resources(self) -> Range<u64> {
        let Some((address, _)) = self.directory(RESOURCES).filter(|(address, _)| *address > 0) else {
            return 0..0;
        };
        let sections =
            self.optional.get(usize::from(self.header.optional_header.get())..).unwrap_or_default();
        let sections = sections.chunks_exact(size_of::<Section>()).take(self.header.sections.get().into());
        let mut sections = sections.filter_map(|bytes| Section::ref_from_bytes(bytes).ok());
        let own = sections.find(|section| {
            let start = u64::from(section.address.get());
            (start..start + u64::from(section.virtual_size.get())).contains(&address)
        });
        own.map_or(0..0, |section| {
            let start = u64::from(section.offset.get());
            start..start + u64::from(section.size.get())
        })
    }

    /// The place and the size that a data directory gives; `None` when it is not there, or empty.
    fn directory(self, number: usize) -> Option<(u64, u64)> {
        let at = DIRECTORIES[usize::from(self.word(0)? != PE32_PLUS)] + number * DIRECTORY;
        let own = self.optional.get(..usize::from(self.header.optional_header.get()))?;
        let (entry, _) = Directory::ref_from_prefix(own.get(at..)?).ok()?;
        Some((u64::from(entry.place.get()), u64::from(entry.size.get()))).filter(|(_, size)| *size > 0)
    }

    fn word(self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes(*self.optional.get(at..)?.first_chunk()?))
    }
}

/// Which machine a program is for; `None` when it is no program.
pub(crate) fn machine_of(program: &[u8]) -> Option<u16> {
    Program::parse(program).map(Program::machine)
}

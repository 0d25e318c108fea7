//! What hostile disks of several files may cost: time, memory, open files.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use diskport::Open;
use diskport::storage::{Explicit, MemoryStorage, ReadAt};

use super::builder::{GD_AT_END, Header, SECTOR, Text, marker, put, put32};
use super::pattern;
use super::probe::Probe;
use crate::support::{storage, within_limits};

/// Some bytes and then zeros, as a sparse file is: it counts what is read of it.
struct Counted {
    head: Vec<u8>,
    size: u64,
    read: AtomicU64,
    calls: AtomicU64,
}

impl Counted {
    fn new(head: Vec<u8>, size: u64) -> Arc<Self> {
        Arc::new(Self { head, size, read: AtomicU64::new(0), calls: AtomicU64::new(0) })
    }

    fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

impl ReadAt for Counted {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let len = buf.len().min(self.size.saturating_sub(offset) as usize);
        let head = self.head.get(offset as usize..).unwrap_or_default();
        let known = head.len().min(len);
        buf[..known].copy_from_slice(&head[..known]);
        buf[known..len].fill(0);
        self.read.fetch_add(len as u64, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }
}

/// The header of compressed grains of 4 KiB with one entry a table, whose directory is at sector `gd`.
fn compressed(capacity: u64, descriptor: (u64, u64), gd: u64) -> Header {
    Header {
        version: 3,
        flags: 0x3_0001,
        capacity,
        grain: 8,
        descriptor,
        gtes: 1,
        rgd: 0,
        gd,
        overhead: 128,
        compression: 1,
    }
}

/// Aliases of one name.
fn aliases(name: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |n| {
        let prefix: String = (0..12).map(|bit| if n >> bit & 1 == 0 { "./" } else { ".//" }).collect();
        prefix + name
    })
}

#[test]
fn a_file_that_thousands_of_lines_name_is_read_once() {
    let capacity = 8 << 20;
    let front = Counted::new(compressed(capacity, (0, 0), 1).bytes(), SECTOR as u64 + (4 << 20));
    // The end of a stream in 128 KiB of padding: what is searched for the footer.
    let mut bytes = compressed(8, (0, 0), GD_AT_END).bytes();
    bytes.resize(4 * SECTOR, 0);
    bytes.extend(marker(1, 3));
    bytes.extend(compressed(8, (0, 0), 1).bytes());
    let size = bytes.len() as u64 + 125 * 1024;
    let footer = Counted::new(bytes, size);
    for (file, sectors) in [(&front, capacity), (&footer, 8)] {
        let names = std::iter::repeat_n("s".to_owned(), 4000).chain(aliases("s", 4000));
        let lines = names.map(|name| format!("RW {sectors} SPARSE \"{name}\""));
        let text = Text::new("twoGbMaxExtentSparse", lines).render();
        let resolver = Explicit::from([("s", file.clone() as Arc<dyn ReadAt>)]);
        let open = Open::new().resolver(resolver);
        let disk = within_limits(|| open.open(MemoryStorage::new(text))).expect("opens");
        assert_eq!(disk.chain()[0].files().len(), 2);
        assert!(file.read() <= 256 << 10, "{} bytes read", file.read());
    }
}

#[test]
fn the_last_grain_is_looked_for_near_the_end_alone() {
    // 64 TiB of nothing: a directory of 64 GiB.
    let text = Text::new("streamOptimized", [format!("RW {} SPARSE \"a\"", 1_u64 << 37)]).render();
    let mut bytes = compressed(1 << 37, (1, 20), 21).bytes();
    bytes.extend(text.into_bytes());
    let file = Counted::new(bytes, (64 << 30) + (1 << 20));
    within_limits(|| Open::new().open(file.clone())).expect("opens");
    assert!(file.read() <= 1 << 20, "{} bytes read", file.read());
}

#[cfg(unix)]
#[test]
fn a_file_is_opened_once_whatever_it_is_called() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a"), pattern(1, 1)).expect("writes");
    std::fs::hard_link(folder.path().join("a"), folder.path().join("b")).expect("links");
    let names = aliases("a", 3000).chain(["b".to_owned()]);
    let lines = names.map(|name| format!("RW 1 FLAT \"{name}\" 0"));
    let image = folder.path().join("disk.vmdk");
    std::fs::write(&image, Text::new("custom", lines).render()).expect("writes");
    let disk = within_limits(|| diskport::open(&image)).expect("opens");
    assert_eq!(disk.chain()[0].files().len(), 2);
    assert_eq!(disk.size(), 3001 * SECTOR as u64);
    let mut last = [0; SECTOR];
    disk.read_at(&mut last, 3000 * SECTOR as u64).expect("reads");
    assert_eq!(last[..], pattern(1, 1));
}

#[test]
fn one_file_is_read_as_what_each_line_calls_it() {
    // Its bytes as they are, and the grains in it.
    let built =
        super::Hosted::new(16, 8, vec![super::Grain::Absent, super::Grain::Data(pattern(1, 8))]).build();
    let flat = (built.bytes.len() / SECTOR) as u64;
    let lines =
        [format!("RW {flat} FLAT \"a\" 0"), "RW 16 SPARSE \"./a\"".into(), "RW 16 SPARSE \"a\"".into()];
    let open = Open::new().resolver(Explicit::from([("a", storage(built.bytes.clone()))]));
    let disk = open.open(MemoryStorage::new(Text::new("custom", lines).render())).expect("opens");
    let sparse = [vec![0; 8 * SECTOR], pattern(1, 8)].concat();
    crate::support::assert_reads_as(&disk, &[&built.bytes[..], &sparse, &sparse].concat());
    assert_eq!(disk.chain()[0].files().len(), 2);
}

#[test]
fn a_long_chain_keeps_few_pages_of_tables() {
    // Each layer has 2 GiB in grains of 4 KiB, all of them in one empty table: 2 MiB of entries.
    let (sectors, tables) = (4_u64 << 20, 1024);
    let layer = |parent: Option<usize>| {
        let mut text = Text::new("monolithicSparse", [format!("RW {sectors} SPARSE \"a\"")]);
        text.parent = parent.map(|parent| (text.cid, parent.to_string()));
        let header = Header {
            version: 1,
            flags: 1,
            capacity: sectors,
            grain: 8,
            descriptor: (1, 20),
            gtes: 512,
            rgd: 0,
            gd: 21,
            overhead: 40,
            compression: 0,
        };
        let mut bytes = header.bytes();
        bytes.resize(40 * SECTOR, 0);
        put(&mut bytes, SECTOR, text.render().as_bytes());
        for table in 0..tables {
            put32(&mut bytes, 21 * SECTOR + table * 4, 32);
        }
        bytes
    };
    let parents = (0..63).map(|n: usize| (n.to_string(), storage(layer(n.checked_sub(1)))));
    let open = Open::new().resolver(parents.collect::<Explicit>());
    let disk = within_limits(|| {
        let disk = open.open(MemoryStorage::new(layer(Some(62)))).expect("opens");
        let extents = disk.extents(..).map(|extent| extent.expect("maps"));
        assert!(extents.into_iter().all(|extent| !extent.is_data()));
        disk
    });
    assert_eq!(disk.chain().len(), 64);
}

#[test]
fn empty_directories_are_read_in_large_parts() {
    // 64 TiB in grains of 64 KiB: two directories of 8 MiB, without a table.
    let lines = ["RW 137438953472 SPARSE \"a\""];
    let text = Text::new("monolithicSparse", lines).render().into_bytes();
    let header = Header {
        version: 1,
        flags: 3,
        capacity: 1 << 37,
        grain: 128,
        descriptor: (1, 20),
        gtes: 512,
        rgd: 32,
        gd: 32 + (16 << 10),
        overhead: 1 << 16,
        compression: 0,
    };
    let mut bytes = header.bytes();
    bytes.extend(text);
    let file = Counted::new(bytes, 32 << 20);
    let checked = within_limits(|| Open::new().check(file.clone()).expect("checks"));
    assert!(checked.is_clean(), "{:#?}", checked.findings);
    assert!(file.calls() < 4000, "{} reads", file.calls());
}

/// Both copies of 64 tables, as a whole and apart: each is read once, and those that lie together at once.
#[test]
fn opening_for_writing_reads_each_table_once() {
    for (scattered, most) in [(false, 24), (true, 24 + 2 * 64)] {
        let grains: Vec<_> = (0..64 * 512)
            .map(
                |n| if n % 512 == 0 { super::Grain::Data(pattern(n as u8, 8)) } else { super::Grain::Absent },
            )
            .collect();
        let text = Text::new("monolithicSparse", [format!("RW {} SPARSE \"a\"", grains.len() * 8)]);
        let mut disk = super::Hosted::new(grains.len() as u64 * 8, 8, grains).monolithic(&text);
        disk.scattered = scattered;
        let file = Probe::new(disk.build().bytes);
        let (opened, reads) = file.reads(|| Open::new().open_writable(file.clone()).expect("opens"));
        assert!(reads <= most, "{reads} reads");
        drop(opened);
    }
}

/// A directory of a quarter of a million tables of one entry, all of them one table that says nothing.
#[test]
fn one_step_through_a_map_takes_bounded_work() {
    let tables = 1 << 18;
    let text = Text::new("monolithicSparse", [format!("RW {} SPARSE \"a\"", tables * 8)]).render();
    let header = Header { version: 1, flags: 1, compression: 0, ..compressed(tables * 8, (1, 20), 22) };
    let mut bytes = header.bytes();
    bytes.resize(22 * SECTOR + tables as usize * 4, 0);
    put(&mut bytes, SECTOR, text.as_bytes());
    (0..tables as usize).for_each(|table| put32(&mut bytes, 22 * SECTOR + table * 4, 21));
    let size = bytes.len() as u64;
    let file = Counted::new(bytes, size);
    let disk = Open::new().open(file.clone()).expect("opens");
    let (mut extents, mut end) = (disk.extents(..), 0);
    loop {
        let before = file.calls();
        let Some(extent) = extents.next() else { break };
        assert!(file.calls() - before <= 40_000, "{} reads", file.calls() - before);
        end = extent.expect("maps").end();
    }
    assert_eq!(end, disk.size());
}

/// 64 TiB in grains of 4 KiB, one a table: a directory of 64 GiB, in a hole of the file.
#[cfg(target_os = "linux")]
#[test]
fn directories_in_holes_are_not_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("disk.vmdk");
    for (flags, compression) in [(1, 0), (3, 0), (0x3_0001, 1)] {
        let kind = if compression == 1 { "streamOptimized" } else { "monolithicSparse" };
        let text = Text::new(kind, [format!("RW {} SPARSE \"a\"", 1_u64 << 37)]).render();
        let rgd = if flags == 3 { 21 + (128 << 20) } else { 0 };
        let header = Header { flags, compression, rgd, ..compressed(1 << 37, (1, 20), 21) };
        let mut bytes = header.bytes();
        bytes.extend(text.into_bytes());
        std::fs::write(&path, bytes).expect("writes");
        let file = std::fs::File::options().write(true).open(&path).expect("opens");
        file.set_len((128 << 30) + (1 << 20)).expect("a hole, which takes no room");
        drop(file);
        let checked = within_limits(|| Open::new().check(&path).expect("checks"));
        assert!(checked.is_clean(), "{flags:#x}: {:#?}", checked.findings);
    }
}

/// A parent that says of no grain but its last that it is there: its map is gone through once.
#[test]
fn zeroing_a_child_asks_the_parents_map_once() {
    let count = 128 * 1024_u64;
    let text = |parent| {
        let mut text = Text::new("monolithicSparse", [format!("RW {} SPARSE \"a\"", count * 8)]);
        text.parent = parent;
        text
    };
    let mut grains = vec![super::Grain::Absent; count as usize];
    let child = |grains| super::Hosted::new(count * 8, 8, grains);
    let parent = Some((text(None).cid, "base".to_owned()));
    let top = child(grains.clone()).monolithic(&text(parent)).build().bytes;
    let (first, last) = (0, count as usize - 1);
    (grains[first], grains[last]) = (super::Grain::Data(pattern(1, 8)), super::Grain::Data(pattern(2, 8)));
    let base = child(grains).monolithic(&text(None)).build().bytes;
    let size = base.len() as u64;
    let base = Counted::new(base, size);
    let open = Open::new().resolver(Explicit::from([("base", base.clone() as Arc<dyn ReadAt>)]));
    let file = crate::support::Shared::new(top);
    let disk = open.open_writable(file.clone()).expect("opens");
    let before = base.calls();
    disk.write_zeroes(0, disk.size()).expect("zeros");
    assert!(base.calls() - before < 1000, "{} reads", base.calls() - before);
    disk.close().expect("closes");
    let disk = open.open(file).expect("opens");
    for grain in [0, 1, count - 1] {
        let mut found = [1; 4096];
        disk.read_at(&mut found, grain * 4096).expect("reads");
        assert!(found == [0; 4096], "grain {grain}");
    }
}

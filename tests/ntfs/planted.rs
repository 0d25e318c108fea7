//! Faults planted in a clean volume, one each: the checker sees every one by its name, and nothing else but what follows from it.
//!
//! `testdata/ntfs-cast.vmdk` has an example of everything in which a fault is planted.

use std::collections::BTreeSet;

use diskport::check::Severity;
use diskport::job::Job;
use diskport::storage::MemoryStorage;
use diskport::windows::ntfs::check::{NtfsChecked, NtfsFault};
use diskport::windows::ntfs::{Check, Volume, check};
use diskport::{Error, Format, Open};
use libtest_mimic::Trial;

use crate::bytes::*;
use crate::common::tools::{Trouble, trial};

const I30: &str = "$I30";
const SECURE: u64 = 9;

/// A fault: its name, what else is found of it, and what plants it.
type Planted = (&'static str, &'static [&'static str], fn(&mut Bytes));

pub fn trials() -> Vec<Trial> {
    let planted = PLANTED.iter().map(|&(name, others, plant)| {
        trial(format!("planted: {name}"), move || planted(name, others, plant))
    });
    let more = vec![
        trial("a clean volume has no findings".into(), clean),
        trial("every fault of the list has a name of its own".into(), names),
        trial("a check that is cancelled ends".into(), cancelled),
    ];
    more.into_iter().chain(planted).collect()
}

fn volume() -> Result<Bytes, Trouble> {
    let disk = diskport::open(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/ntfs-cast.vmdk"))?;
    let mut bytes = vec![0; disk.size() as usize];
    disk.read_at(&mut bytes, 0)?;
    Ok(Bytes::new(bytes))
}

fn look(bytes: Bytes) -> Result<NtfsChecked, Trouble> {
    let disk = Open::new().format(Format::Raw).open(MemoryStorage::new(bytes.data))?;
    let volume = Volume::open(&disk, 0..disk.size())?;
    Ok(Check::new(&volume).every_link(true).run()?)
}

fn clean() -> Result<(), Trouble> {
    let checked = look(volume()?)?;
    assert_eq!((checked.findings, checked.unlisted), (Vec::new(), 0));
    Ok(())
}

fn names() -> Result<(), Trouble> {
    let names: BTreeSet<_> = NtfsFault::ALL.iter().map(|fault| fault.name()).collect();
    assert_eq!(names.len(), NtfsFault::ALL.len());
    for (name, others, _) in PLANTED {
        assert!(others.iter().chain([name]).all(|name| names.contains(name)), "{name}");
    }
    Ok(())
}

fn cancelled() -> Result<(), Trouble> {
    let disk = diskport::open(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/ntfs-cast.vmdk"))?;
    let volume = Volume::open(&disk, 0..disk.size())?;
    let job = Job::new();
    check(&volume, &job)?;
    assert_eq!(job.progress().percent(), 100.0);
    job.cancel();
    assert!(matches!(check(&volume, &job), Err(Error::Cancelled)));
    Ok(())
}

fn planted(name: &str, others: &[&str], plant: fn(&mut Bytes)) -> Result<(), Trouble> {
    let clean = volume()?;
    let mut bytes = clean.clone();
    plant(&mut bytes);
    assert!(bytes.data != clean.data, "planted in vain");
    let checked = look(bytes)?;
    let found: BTreeSet<_> = checked.findings.iter().map(|finding| finding.fault.name()).collect();
    let expected: BTreeSet<_> = others.iter().copied().chain([name]).collect();
    assert_eq!(found, expected, "{:#?}", checked.findings);
    let state = checked.findings.iter().all(|finding| finding.severity == Severity::Note);
    assert_eq!(checked.is_clean(), state);
    for finding in checked.findings {
        assert!(finding.offset < clean.data.len() as u64, "{finding:?}");
        assert!(!finding.expected.is_empty() && !finding.found.is_empty(), "{finding:?}");
    }
    Ok(())
}

/// A file of one name and one run: its record, and where `$DATA` begins in that.
fn plain(v: &Bytes) -> (u64, Attribute) {
    of(v, "dir/one.bin")
}

fn of(v: &Bytes, path: &str) -> (u64, Attribute) {
    let number = v.find(path);
    (number, find(&v.record(number), DATA, "").unwrap())
}

fn add64(bytes: &mut [u8], at: usize, by: i64) {
    let value = u64_at(bytes, at).wrapping_add_signed(by);
    put(bytes, at, &value.to_le_bytes());
}

fn add32(bytes: &mut [u8], at: usize, by: i32) {
    let value = u32_at(bytes, at).wrapping_add_signed(by);
    put(bytes, at, &value.to_le_bytes());
}

fn add16(bytes: &mut [u8], at: usize, by: i16) {
    let value = u16_at(bytes, at).wrapping_add_signed(by);
    put(bytes, at, &value.to_le_bytes());
}

/// The leaves of a large directory.
fn leaves(v: &Bytes) -> Vec<Node> {
    let nodes = v.nodes(v.find("many"), I30);
    let leaves: Vec<_> =
        nodes.into_iter().filter(|node| node.block().is_some() && !node.has_children()).collect();
    assert!(leaves.len() > 2);
    leaves
}

/// Changes a node.
fn edit_node(v: &mut Bytes, mut node: Node, change: impl FnOnce(&mut Node)) {
    change(&mut node);
    v.put_node(&node);
}

/// A file in a leaf of a large directory, neither the first nor the last.
fn leaf_file(v: &Bytes) -> (Node, Entry) {
    let node = leaves(v).remove(0);
    let entry = node.keys().remove(1);
    (node, entry)
}

/// Changes the value of a file's one name.
fn edit_name(v: &mut Bytes, file: u64, change: impl FnOnce(&mut [u8])) {
    v.edit(file, |record| {
        let at = find(record, FILE_NAME, "").unwrap().value(record);
        change(&mut record[at..]);
    });
}

/// Changes the key of a file of `dir`.
fn edit_key(v: &mut Bytes, change: impl FnOnce(&mut [u8])) {
    let (node, entry) = v.entry(v.find("dir"), plain(v).0);
    edit_node(v, node, |node| change(&mut node.bytes[entry.at + 16..entry.at + entry.len]));
}

/// A free record.
fn free(v: &Bytes) -> u64 {
    let free = |&number: &u64| {
        let record = v.record(number);
        record.starts_with(b"FILE") && record[0x16] & 1 == 0 && !v.get_bit(0, BITMAP, "", number)
    };
    (26..v.records).rev().find(free).unwrap()
}

fn file_of_extend(v: &Bytes, name: &str) -> u64 {
    v.find(&format!("$Extend/{name}"))
}

/// Takes a key out of an index of the whole volume.
fn cut_view(v: &mut Bytes, file: u64, index: &str, wanted: impl Fn(&[u8], &Entry) -> bool) {
    let leaf = |node: Node| {
        let entry = node.entries().into_iter().find(|e| e.flags & 3 == 0 && wanted(&node.bytes, e))?;
        Some((node, entry))
    };
    let (mut node, entry) = v.nodes(file, index).into_iter().find_map(leaf).unwrap();
    node.cut(&entry);
    // The root has no slack: the attribute is shorter by it.
    if let Home::Record(_) = node.home {
        let root = find(&node.bytes, INDEX_ROOT, index).unwrap();
        for at in [node.header + 8, root.at + 0x10] {
            add32(&mut node.bytes, at, -(entry.len as i32));
        }
        shorten(&mut node.bytes, &root, entry.len);
    }
    v.put_node(&node);
}

/// Takes an attribute out of a record.
fn drop_attribute(record: &mut [u8], attribute: &Attribute) {
    shorten(record, attribute, attribute.len);
}

/// A file with attributes in other records: its number, its list, the entries of those.
fn listed(v: &Bytes) -> (u64, Vec<u8>, Vec<Listed>) {
    let file = v.find("dir/fragments.bin");
    let (list, entries) = v.list(file);
    let outside: Vec<_> = entries.into_iter().filter(|entry| number(entry.record) != file).collect();
    assert!(outside.len() > 2);
    (file, list, outside)
}

/// Changes the first entry of the list that names another record.
fn edit_list(v: &mut Bytes, change: impl FnOnce(&mut [u8])) {
    let (file, mut list, outside) = listed(v);
    let at = outside[0].at;
    change(&mut list[at..at + outside[0].len]);
    v.put_list(file, &list);
}

fn edit_volume_flags(v: &mut Bytes, flags: u16) {
    v.edit(3, |record| {
        let at = find(record, VOLUME_INFORMATION, "").unwrap().value(record) + 10;
        put(record, at, &flags.to_le_bytes());
    });
}

/// Two restart pages of a log of that version; nothing follows them.
fn restart_pages(v: &mut Bytes, major: u16, clean: bool) {
    let mut page = vec![0; 4096];
    put(&mut page, 0, b"RSTR");
    let fields: [(usize, u64, usize); 9] = [
        (4, 0x1e, 2),
        (6, 9, 2),
        (0x10, 4096, 4),
        (0x14, 4096, 4),
        (0x18, 0x30, 2),
        (0x1a, u64::from(major == 1), 2),
        (0x1c, major.into(), 2),
        (0x1e, 1, 2),
        (0x30, 0x10_0000, 8),
    ];
    let client = if clean { 0xffff } else { 0 };
    let area: [(usize, u64, usize); 4] =
        [(0x38, 1, 2), (0x3a, 0xffff, 2), (0x3c, client, 2), (0x3e, if clean { 2 } else { 0 }, 2)];
    for (at, value, len) in fields.into_iter().chain(area) {
        put(&mut page, at, &value.to_le_bytes()[..len]);
    }
    for stride in 1..9 {
        put(&mut page, 512 * stride - 2, &1u16.to_le_bytes());
    }
    let runs = v.stream(2, DATA, "");
    for offset in (0..8192).step_by(512) {
        let at = v.place(&runs, offset);
        let from = offset as usize % 4096;
        put(&mut v.data, at, &page[from..from + 512]);
    }
}

const PLANTED: &[Planted] = &[
    ("bitmap-clear", &[], |v| {
        let (file, _) = plain(v);
        let run = v.stream(file, DATA, "")[0];
        v.set_cluster(run.lcn.unwrap() + 1, false);
    }),
    ("bitmap-leak", &[], |v| {
        let free = (0..v.clusters()).rev().find(|&cluster| !v.get_bit(6, DATA, "", cluster)).unwrap();
        v.set_cluster(free, true);
    }),
    ("bitmap-tail", &[], |v| v.set_cluster(v.clusters(), false)),
    ("cross-link", &[], |v| {
        let ((file, attribute), (other, _)) = (of(v, "dir/one.bin"), of(v, "dir/two.bin"));
        let (run, onto) = (v.stream(file, DATA, "")[0], v.stream(other, DATA, "")[0]);
        (0..run.len).for_each(|i| v.set_cluster(run.lcn.unwrap() + i, false));
        v.edit(file, |record| put_runs(record, &attribute, &[Run { lcn: onto.lcn, ..run }]));
    }),
    ("run-beyond-end", &[], |v| {
        let (file, attribute) = plain(v);
        let run = v.stream(file, DATA, "")[0];
        let lcn = Some(v.clusters() - 2);
        v.edit(file, |record| put_runs(record, &attribute, &[Run { lcn, ..run }]));
    }),
    ("index-order", &[], |v| {
        let node = leaves(v).remove(0);
        let keys = node.keys();
        let pair = keys[2..].windows(2).find(|pair| pair[0].len == pair[1].len).unwrap();
        let (first, second, len) = (pair[0].at, pair[1].at, pair[0].len);
        edit_node(v, node, |node| node.bytes[first..second + len].rotate_left(len));
    }),
    ("index-case-twin", &[], |v| {
        let node = leaves(v).remove(0);
        let keys = node.keys();
        let pair = keys[1..].windows(2).find(|pair| pair[0].name.len() == pair[1].name.len()).unwrap();
        let name: Vec<u8> = pair[0].name.to_uppercase().encode_utf16().flat_map(u16::to_le_bytes).collect();
        let (at, file) = (pair[1].at, number(pair[1].file));
        edit_node(v, node, |node| put(&mut node.bytes, at + 82, &name));
        edit_name(v, file, |value| put(value, 66, &name));
    }),
    ("index-block-vcn", &[], |v| {
        let node = leaves(v).pop().unwrap();
        edit_node(v, node, |node| add64(&mut node.bytes, 0x10, 96));
    }),
    ("index-block-magic", &[], |v| {
        let node = leaves(v).remove(0);
        edit_node(v, node, |node| put(&mut node.bytes, 0, b"BAAD"));
    }),
    ("index-block-torn", &[], |v| {
        let Home::Block(_, at) = leaves(v).remove(0).home else { panic!("a root") };
        v.data[at + 511] ^= 0x55;
    }),
    ("index-node-flag", &[], |v| {
        let node = leaves(v).remove(0);
        edit_node(v, node, |node| node.bytes[node.header + 12] |= 1);
    }),
    ("index-bitmap-clear", &[], |v| {
        let (directory, block) = (v.find("many"), leaves(v).pop().unwrap().block().unwrap());
        v.set_bit(directory, BITMAP, I30, block, false);
    }),
    ("index-bitmap-leak", &[], |v| {
        let directory = v.find("many");
        let free = (0..).find(|&block| !v.get_bit(directory, BITMAP, I30, block)).unwrap();
        v.set_bit(directory, BITMAP, I30, free, true);
    }),
    ("index-root-slack", &[], |v| {
        let root = v.nodes(v.find("many"), I30).remove(0);
        edit_node(v, root, |root| add32(&mut root.bytes, root.header + 8, 16));
    }),
    ("index-used", &[], |v| {
        let node = leaves(v).remove(0);
        edit_node(v, node, |node| node.set_used(node.used() - 16));
    }),
    ("index-allocated", &[], |v| {
        let node = leaves(v).remove(0);
        edit_node(v, node, |node| add32(&mut node.bytes, node.header + 8, -8));
    }),
    ("index-loop", &[], |v| {
        // Two entries of a node name one block.
        let nodes = v.nodes(v.find("many"), I30);
        let node = nodes.into_iter().find(|node| node.has_children() && node.entries().len() > 1).unwrap();
        let entries = node.entries();
        let child = |entry: &Entry| entry.at + entry.len - 8;
        let (from, to) = (child(&entries[0]), child(&entries[1]));
        edit_node(v, node, |node| node.bytes.copy_within(from..from + 8, to));
    }),
    ("index-child", &[], |v| {
        let root = v.nodes(v.find("many"), I30).remove(0);
        let entry = root.entries().remove(0);
        edit_node(v, root, |root| add64(&mut root.bytes, entry.at + entry.len - 8, 4000));
    }),
    ("key-size", &[], |v| edit_key(v, |key| add64(key, 0x30, -1000))),
    ("key-allocated", &[], |v| edit_key(v, |key| add64(key, 0x28, 1024))),
    ("key-attributes", &[], |v| edit_key(v, |key| key[0x38] ^= 6)),
    ("key-parent", &[], |v| edit_key(v, |key| add16(key, 6, 7))),
    ("lost-record", &[], |v| {
        let (node, entry) = leaf_file(v);
        edit_node(v, node, |node| node.cut(&entry));
    }),
    ("lost-name", &["key-size", "key-allocated"], |v| {
        // One of the names of the file with many, and what is left says something else.
        let directory = v.find("dir");
        let file = v.find("dir/fragments.bin");
        let (node, entry) = v.entry(directory, file);
        edit_node(v, node, |node| node.cut(&entry));
        let (node, entry) = v.entry(directory, file);
        edit_node(v, node, |node| {
            add64(&mut node.bytes, entry.at + 16 + 0x28, 8);
            add64(&mut node.bytes, entry.at + 16 + 0x30, 8);
        });
    }),
    ("entry-to-free", &[], |v| {
        let file = number(leaf_file(v).1.file);
        v.edit(file, |record| record[0x16] &= !1);
        v.set_bit(0, BITMAP, "", file, false);
    }),
    ("entry-sequence", &[], |v| {
        let (node, entry) = leaf_file(v);
        edit_node(v, node, |node| add16(&mut node.bytes, entry.at + 6, 76));
    }),
    ("parent-sequence", &[], |v| {
        edit_name(v, number(leaf_file(v).1.file), |value| add16(value, 6, 54));
    }),
    ("parent-wrong", &[], |v| {
        let root = 5u64 << 48 | 5;
        edit_name(v, number(leaf_file(v).1.file), |value| put(value, 0, &root.to_le_bytes()));
    }),
    ("link-count", &[], |v| v.edit(plain(v).0, |record| add16(record, 0x12, 4))),
    ("name-characters", &["entry-without-name", "lost-name"], |v| {
        edit_name(v, plain(v).0, |value| put(value, 66, &0x3au16.to_le_bytes()));
    }),
    ("dos-name-alone", &["entry-without-name", "lost-name"], |v| {
        // The long name becomes a POSIX one.
        v.edit(v.find("dir/streams.txt"), |record| {
            let names = attributes(record).into_iter().filter(|attribute| attribute.kind == FILE_NAME);
            let values: Vec<_> = names.map(|attribute| attribute.value(record)).collect();
            let long = values.into_iter().find(|&value| record[value + 65] == 1).unwrap();
            record[long + 65] = 0;
        });
    }),
    ("mftbitmap-clear", &[], |v| v.set_bit(0, BITMAP, "", plain(v).0, false)),
    ("mftbitmap-leak", &[], |v| v.set_bit(0, BITMAP, "", free(v), true)),
    ("mirror", &[], |v| {
        let at = v.mirror * v.cluster + 3 * v.record_size as u64 + 0x100;
        v.data[at as usize] ^= 0xff;
    }),
    ("record-torn", &[], |v| {
        let at = v.record_at(plain(v).0) + v.record_size - 1;
        v.data[at] ^= 0x55;
    }),
    ("record-unformatted", &[], |v| {
        let at = v.record_at(free(v));
        let len = v.record_size;
        v.data[at..at + len].fill(0);
    }),
    ("record-number", &[], |v| v.edit(plain(v).0, |record| add32(record, 0x2c, 1))),
    ("record-used", &[], |v| v.edit(plain(v).0, |record| add32(record, 0x18, 4))),
    ("record-size", &[], |v| v.edit(plain(v).0, |record| add32(record, 0x1c, 1024))),
    ("instance-twice", &[], |v| {
        v.edit(plain(v).0, |record| {
            let all = attributes(record);
            put(record, all[1].at + 14, &all[0].instance.to_le_bytes());
        });
    }),
    ("instance-next", &[], |v| v.edit(plain(v).0, |record| put(record, 0x28, &1u16.to_le_bytes()))),
    ("attribute-order", &[], |v| {
        v.edit(plain(v).0, |record| {
            let all = attributes(record);
            record[all[0].at..all[1].at + all[1].len].rotate_left(all[0].len);
        });
    }),
    ("attribute-bounds", &[], |v| {
        v.edit(plain(v).0, |record| {
            let at = attributes(record)[1].at;
            put(record, at + 4, &u32::MAX.to_le_bytes());
        });
    }),
    ("name-not-indexed", &[], |v| {
        v.edit(plain(v).0, |record| {
            let at = find(record, FILE_NAME, "").unwrap().at;
            record[at + 0x16] = 0;
        });
    }),
    ("allocated-size", &["key-allocated"], |v| {
        let (file, data) = plain(v);
        v.edit(file, |record| add64(record, data.at + 0x28, 4096));
    }),
    ("highest-vcn", &[], |v| {
        let (file, data) = plain(v);
        v.edit(file, |record| add64(record, data.at + 0x18, 3));
    }),
    ("data-size", &["key-size"], |v| {
        let (file, data) = plain(v);
        v.edit(file, |record| add64(record, data.at + 0x30, 1 << 20));
    }),
    ("initialised-size", &[], |v| {
        let (file, data) = plain(v);
        v.edit(file, |record| add64(record, data.at + 0x38, 100));
    }),
    ("run-list", &[], |v| {
        let (file, data) = plain(v);
        // A run of no length.
        v.edit(file, |record| {
            let at = data.at + usize::from(u16_at(record, data.at + 0x20));
            record[at + 1] = 0;
            record[at + 2] = 0;
        });
    }),
    ("hole", &["bitmap-leak"], |v| {
        let (file, data) = plain(v);
        let run = v.stream(file, DATA, "")[0];
        let (first, rest) =
            (Run { len: 1, lcn: None, ..run }, Run { len: run.len - 1, lcn: run.lcn, vcn: 1 });
        v.edit(file, |record| put_runs(record, &data, &[first, rest]));
    }),
    ("sparse-unit", &[], |v| {
        let (file, data) = of(v, "dir/sparse.bin");
        let mut all = v.stream(file, DATA, "");
        let hole = all.windows(2).position(|pair| pair[0].lcn.is_none() && pair[1].lcn.is_some()).unwrap();
        let first = all[hole + 1].lcn.unwrap();
        all[hole].len += 1;
        all[hole + 1] = Run { vcn: all[hole + 1].vcn + 1, lcn: Some(first + 1), len: all[hole + 1].len - 1 };
        v.set_cluster(first, false);
        let cluster = v.cluster as i64;
        v.edit(file, |record| {
            put_runs(record, &data, &all);
            add64(record, data.at + 0x40, -cluster);
        });
        let (node, entry) = v.entry(v.find("dir"), file);
        edit_node(v, node, |node| add64(&mut node.bytes, entry.at + 16 + 0x28, -cluster));
    }),
    ("compressed-size", &["key-allocated"], |v| {
        let (file, data) = of(v, "dir/sparse.bin");
        v.edit(file, |record| add64(record, data.at + 0x40, 2048));
    }),
    ("security-id", &[], |v| {
        v.edit(plain(v).0, |record| {
            let at = find(record, STANDARD_INFORMATION, "").unwrap().value(record);
            put(record, at + 0x34, &0x7777u32.to_le_bytes());
        });
    }),
    ("sds-mirror", &[], |v| {
        let at = v.place(&v.stream(SECURE, DATA, "$SDS"), 0x4_0028);
        v.data[at] ^= 0xff;
    }),
    ("sds-hash", &["sdh-data"], |v| {
        let runs = v.stream(SECURE, DATA, "$SDS");
        for offset in [0, 0x4_0000] {
            let at = v.place(&runs, offset);
            let hash = u32_at(&v.data, at) ^ 0x1_0101;
            put(&mut v.data, at, &hash.to_le_bytes());
        }
        for node in v.nodes(SECURE, "$SII") {
            let entry = node.keys().into_iter().find(|entry| u32_at(&node.bytes, entry.at + 16) == 0x100);
            if let Some(entry) = entry {
                edit_node(v, node, |node| {
                    let at = entry.at + usize::from(u16_at(&node.bytes, entry.at));
                    let hash = u32_at(&node.bytes, at) ^ 0x1_0101;
                    put(&mut node.bytes, at, &hash.to_le_bytes());
                });
            }
        }
    }),
    ("sii-missing", &[], |v| {
        let record = v.record(v.find("dir/two.bin"));
        let id = u32_at(&record, find(&record, STANDARD_INFORMATION, "").unwrap().value(&record) + 0x34);
        cut_view(v, SECURE, "$SII", |bytes, entry| u32_at(bytes, entry.at + 16) == id);
    }),
    ("sdh-missing", &[], |v| cut_view(v, SECURE, "$SDH", |_, _| true)),
    ("objid-missing", &[], |v| cut_view(v, file_of_extend(v, "$ObjId"), "$O", |_, _| true)),
    ("reparse-missing", &[], |v| cut_view(v, file_of_extend(v, "$Reparse"), "$R", |_, _| true)),
    ("objid-stale", &[], |v| {
        v.edit(v.find("dir/resident.txt"), |record| {
            let id = find(record, OBJECT_ID, "").unwrap();
            drop_attribute(record, &id);
        });
    }),
    ("reparse-stale", &["key-attributes"], |v| {
        v.edit(v.find("dir/junction1"), |record| {
            let point = find(record, REPARSE_POINT, "").unwrap();
            drop_attribute(record, &point);
            let at = find(record, STANDARD_INFORMATION, "").unwrap().value(record) + 0x21;
            record[at] &= !4;
        });
    }),
    ("list-sequence", &[], |v| edit_list(v, |entry| add16(entry, 0x16, 98))),
    ("list-missing", &[], |v| {
        let (file, mut list, outside) = listed(v);
        let last = outside.last().unwrap();
        list.drain(last.at..last.at + last.len);
        v.put_list(file, &list);
    }),
    ("list-instance", &[], |v| edit_list(v, |entry| add16(entry, 0x18, 70))),
    ("list-order", &[], |v| {
        let (file, mut list, _) = listed(v);
        let entries = v.list(file).1;
        let (first, last) = (entries.first().unwrap(), entries.last().unwrap());
        let moved: Vec<u8> = list.drain(last.at..last.at + last.len).collect();
        list.splice(first.at..first.at, moved);
        v.put_list(file, &list);
    }),
    ("list-lowest-vcn", &[], |v| {
        let (file, mut list, _) = listed(v);
        let entry = v.list(file).1.into_iter().find(|entry| entry.kind == DATA).unwrap();
        add64(&mut list, entry.at + 8, 5);
        v.put_list(file, &list);
    }),
    ("list-stale", &["list-missing", "list-order"], |v| {
        edit_list(v, |entry| put(entry, 0, &0xe0u32.to_le_bytes()))
    }),
    ("extent-base", &["link-count"], |v| {
        let (extent, other) = (number(listed(v).2[0].record), plain(v).0);
        let reference = u64::from(u16_at(&v.record(other), 0x10)) << 48 | other;
        v.edit(extent, |record| put(record, 0x20, &reference.to_le_bytes()));
    }),
    ("extent-free", &["mftbitmap-leak"], |v| {
        v.edit(number(listed(v).2[0].record), |record| put(record, 0x16, &[0, 0]));
    }),
    ("extent-gap", &[], |v| {
        let (file, mut list, outside) = listed(v);
        let entry = outside.iter().find(|entry| entry.kind == DATA && entry.lowest > 0).unwrap();
        add64(&mut list, entry.at + 8, 2);
        v.edit(number(entry.record), |record| {
            let all = attributes(record);
            let extent = all.iter().find(|attribute| attribute.instance == entry.instance).unwrap();
            add64(record, extent.at + 0x10, 2);
            add64(record, extent.at + 0x18, 2);
        });
        v.put_list(file, &list);
    }),
    ("backup-boot", &[], |v| {
        let at = v.sectors * 512 + 0x50;
        v.data[at as usize] ^= 1;
    }),
    ("dirty", &[], |v| edit_volume_flags(v, 1)),
    ("log-2.0", &[], |v| restart_pages(v, 2, true)),
    ("log-open", &[], |v| restart_pages(v, 1, false)),
];

//! A volume by bytes, for planting faults: it finds structures and writes changed ones back with new fixups. It checks nothing.

pub const STANDARD_INFORMATION: u32 = 0x10;
pub const ATTRIBUTE_LIST: u32 = 0x20;
pub const FILE_NAME: u32 = 0x30;
pub const OBJECT_ID: u32 = 0x40;
pub const VOLUME_INFORMATION: u32 = 0x70;
pub const DATA: u32 = 0x80;
pub const INDEX_ROOT: u32 = 0x90;
pub const INDEX_ALLOCATION: u32 = 0xa0;
pub const BITMAP: u32 = 0xb0;
pub const REPARSE_POINT: u32 = 0xc0;

const REFERENCE: u64 = (1 << 48) - 1;

pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

pub fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// The record that a reference names.
pub fn number(reference: u64) -> u64 {
    reference & REFERENCE
}

fn utf16(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
    String::from_utf16_lossy(&units)
}

fn remove_fixups(block: &mut [u8]) {
    let (at, entries) = (usize::from(u16_at(block, 4)), usize::from(u16_at(block, 6)));
    for i in 1..entries {
        block.copy_within(at + 2 * i..at + 2 * i + 2, 512 * i - 2);
    }
}

fn apply_fixups(block: &mut [u8]) {
    let (at, entries) = (usize::from(u16_at(block, 4)), usize::from(u16_at(block, 6)));
    let number = u16_at(block, at) % 0xfffe + 1;
    put(block, at, &number.to_le_bytes());
    for i in 1..entries {
        block.copy_within(512 * i - 2..512 * i, at + 2 * i);
        block.copy_within(at..at + 2, 512 * i - 2);
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Run {
    pub vcn: u64,
    /// `None` for a hole.
    pub lcn: Option<u64>,
    pub len: u64,
}

/// Where an attribute lies in its record.
#[derive(Debug, Clone)]
pub struct Attribute {
    pub kind: u32,
    pub name: String,
    pub at: usize,
    pub len: usize,
    pub in_clusters: bool,
    pub instance: u16,
}

impl Attribute {
    /// Where its value begins, when it is in the record.
    pub fn value(&self, record: &[u8]) -> usize {
        self.at + usize::from(u16_at(record, self.at + 0x14))
    }
}

/// A node of an index: what holds it, and where its index header lies in that.
#[derive(Debug, Clone)]
pub struct Node {
    pub home: Home,
    pub bytes: Vec<u8>,
    pub header: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Home {
    /// A root, in this record.
    Record(u64),
    /// A block by its number, which lies at this byte.
    Block(u64, usize),
}

impl Node {
    pub fn block(&self) -> Option<u64> {
        match self.home {
            Home::Record(_) => None,
            Home::Block(number, _) => Some(number),
        }
    }

    pub fn has_children(&self) -> bool {
        self.bytes[self.header + 12] & 1 != 0
    }

    pub fn used(&self) -> u32 {
        u32_at(&self.bytes, self.header + 4)
    }

    pub fn set_used(&mut self, used: u32) {
        put(&mut self.bytes, self.header + 4, &used.to_le_bytes());
    }

    /// The entries, the end's included.
    pub fn entries(&self) -> Vec<Entry> {
        let (b, head) = (&self.bytes, self.header);
        let mut at = head + u32_at(b, head) as usize;
        let mut found = Vec::new();
        loop {
            let flags = u16_at(b, at + 12);
            let is_name = flags & 2 == 0 && u16_at(b, at + 10) >= 66;
            let name = match is_name {
                true => utf16(&b[at + 82..at + 82 + 2 * usize::from(b[at + 80])]),
                false => String::new(),
            };
            let len = usize::from(u16_at(b, at + 8));
            found.push(Entry { at, len, flags, file: u64_at(b, at), name });
            if flags & 2 != 0 {
                return found;
            }
            at += len;
        }
    }

    /// The entries with keys.
    pub fn keys(&self) -> Vec<Entry> {
        self.entries().into_iter().filter(|entry| entry.flags & 2 == 0).collect()
    }

    pub fn cut(&mut self, entry: &Entry) {
        let end = self.header + self.used() as usize;
        self.bytes.copy_within(entry.at + entry.len..end, entry.at);
        self.bytes[end - entry.len..end].fill(0);
        self.set_used(self.used() - entry.len as u32);
    }
}

#[derive(Debug, Clone)]
pub struct Entry {
    pub at: usize,
    pub len: usize,
    pub flags: u16,
    pub file: u64,
    pub name: String,
}

/// An entry of an attribute list.
#[derive(Debug, Clone)]
pub struct Listed {
    pub at: usize,
    pub len: usize,
    pub kind: u32,
    pub lowest: u64,
    pub record: u64,
    pub instance: u16,
}

#[derive(Clone)]
pub struct Bytes {
    pub data: Vec<u8>,
    pub cluster: u64,
    pub sectors: u64,
    pub record_size: usize,
    block_size: usize,
    mft: Vec<Run>,
    pub mirror: u64,
    pub records: u64,
}

impl Bytes {
    pub fn new(data: Vec<u8>) -> Self {
        let size = |at: usize, cluster: u64| match data[at] as i8 {
            n @ ..0 => 1usize << -n,
            n => n as usize * cluster as usize,
        };
        let cluster = u64::from(u16_at(&data, 11)) * u64::from(data[13]);
        let (record_size, block_size) = (size(0x40, cluster), size(0x44, cluster));
        let (lcn, mirror, sectors) = (u64_at(&data, 0x30), u64_at(&data, 0x38), u64_at(&data, 0x28));
        let mft = vec![Run { vcn: 0, lcn: Some(lcn), len: 4 }];
        let mut bytes = Self { data, cluster, sectors, record_size, block_size, mft, mirror, records: 0 };
        let record = bytes.record(0);
        let attribute = find(&record, DATA, "").unwrap();
        bytes.mft = runs(&record, &attribute);
        bytes.records = u64_at(&record, attribute.at + 0x30) / record_size as u64;
        bytes
    }

    pub fn clusters(&self) -> u64 {
        self.sectors * 512 / self.cluster
    }

    pub fn place(&self, runs: &[Run], offset: u64) -> usize {
        let vcn = offset / self.cluster;
        let run = runs.iter().find(|run| (run.vcn..run.vcn + run.len).contains(&vcn)).unwrap();
        (run.lcn.unwrap() * self.cluster + offset - run.vcn * self.cluster) as usize
    }

    pub fn record_at(&self, number: u64) -> usize {
        self.place(&self.mft, number * self.record_size as u64)
    }

    pub fn record(&self, number: u64) -> Vec<u8> {
        let at = self.record_at(number);
        let mut record = self.data[at..at + self.record_size].to_vec();
        remove_fixups(&mut record);
        record
    }

    pub fn put_record(&mut self, number: u64, record: &[u8]) {
        let mut record = record.to_vec();
        apply_fixups(&mut record);
        let at = self.record_at(number);
        put(&mut self.data, at, &record);
        if number < 4.max(self.cluster / self.record_size as u64) {
            let at = self.mirror * self.cluster + number * self.record_size as u64;
            put(&mut self.data, at as usize, &record);
        }
    }

    /// Changes a record.
    pub fn edit(&mut self, number: u64, change: impl FnOnce(&mut Vec<u8>)) {
        let mut record = self.record(number);
        change(&mut record);
        self.put_record(number, &record);
    }

    /// The runs of a stream in all its extents.
    pub fn stream(&self, number: u64, kind: u32, name: &str) -> Vec<Run> {
        let mut found = Vec::new();
        for record in self.extents(number).into_iter().map(|number| self.record(number)) {
            let own =
                attributes(&record).into_iter().filter(|a| a.kind == kind && a.name == name && a.in_clusters);
            own.for_each(|attribute| found.extend(runs(&record, &attribute)));
        }
        found.sort_by_key(|run| run.vcn);
        found
    }

    /// A file's first record, and those that continue it.
    pub fn extents(&self, number: u64) -> Vec<u64> {
        let mut found = vec![number];
        for entry in self.list(number).1 {
            if !found.contains(&self::number(entry.record)) {
                found.push(self::number(entry.record));
            }
        }
        found
    }

    /// The bytes of a file's attribute list, and its entries.
    pub fn list(&self, number: u64) -> (Vec<u8>, Vec<Listed>) {
        let record = self.record(number);
        let Some(attribute) = find(&record, ATTRIBUTE_LIST, "") else { return (Vec::new(), Vec::new()) };
        let list = match attribute.in_clusters {
            true => {
                let size = u64_at(&record, attribute.at + 0x30);
                let at = self.place(&runs(&record, &attribute), 0);
                assert!(size <= self.cluster, "a list in one cluster");
                self.data[at..at + size as usize].to_vec()
            }
            false => {
                let at = attribute.value(&record);
                record[at..at + u32_at(&record, attribute.at + 0x10) as usize].to_vec()
            }
        };
        let mut entries = Vec::new();
        let mut at = 0;
        while at < list.len() {
            let (kind, len) = (u32_at(&list, at), usize::from(u16_at(&list, at + 4)));
            let (lowest, record) = (u64_at(&list, at + 8), u64_at(&list, at + 16));
            let instance = u16_at(&list, at + 24);
            entries.push(Listed { at, len, kind, lowest, record, instance });
            at += len;
        }
        (list, entries)
    }

    /// Puts a list back, which may be shorter.
    pub fn put_list(&mut self, number: u64, list: &[u8]) {
        let mut record = self.record(number);
        let attribute = find(&record, ATTRIBUTE_LIST, "").unwrap();
        if attribute.in_clusters {
            let at = self.place(&runs(&record, &attribute), 0);
            put(&mut self.data, at, list);
            for field in [0x30, 0x38] {
                put(&mut record, attribute.at + field, &(list.len() as u64).to_le_bytes());
            }
        } else {
            let at = attribute.value(&record);
            put(&mut record, at, list);
            let shorter = u32_at(&record, attribute.at + 0x10) as usize - list.len();
            put(&mut record, attribute.at + 0x10, &(list.len() as u32).to_le_bytes());
            shorten(&mut record, &attribute, shorter);
        }
        self.put_record(number, &record);
    }

    /// Where a bit of a bitmap lies: in a record, or on the volume.
    fn bit(&self, file: u64, kind: u32, name: &str, bit: u64) -> (Option<u64>, usize) {
        let byte = bit / 8;
        for number in self.extents(file) {
            let record = self.record(number);
            if let Some(attribute) = find(&record, kind, name).filter(|attribute| !attribute.in_clusters) {
                return (Some(number), attribute.value(&record) + byte as usize);
            }
        }
        (None, self.place(&self.stream(file, kind, name), byte))
    }

    pub fn get_bit(&self, file: u64, kind: u32, name: &str, bit: u64) -> bool {
        let byte = match self.bit(file, kind, name, bit) {
            (Some(record), at) => self.record(record)[at],
            (None, at) => self.data[at],
        };
        byte >> (bit % 8) & 1 != 0
    }

    pub fn set_bit(&mut self, file: u64, kind: u32, name: &str, bit: u64, on: bool) {
        let set = |byte: &mut u8| {
            *byte = if on { *byte | 1 << (bit % 8) } else { *byte & !(1 << (bit % 8)) };
        };
        match self.bit(file, kind, name, bit) {
            (Some(record), at) => self.edit(record, |record| set(&mut record[at])),
            (None, at) => set(&mut self.data[at]),
        }
    }

    pub fn set_cluster(&mut self, cluster: u64, on: bool) {
        self.set_bit(6, DATA, "", cluster, on);
    }

    /// The nodes of an index that are in use, the root first.
    pub fn nodes(&self, file: u64, name: &str) -> Vec<Node> {
        let mut found = Vec::new();
        for number in self.extents(file) {
            let record = self.record(number);
            if let Some(attribute) = find(&record, INDEX_ROOT, name) {
                let header = attribute.value(&record) + 16;
                found.push(Node { home: Home::Record(number), bytes: record, header });
            }
        }
        let runs = self.stream(file, INDEX_ALLOCATION, name);
        let size = runs.iter().map(|run| run.len).sum::<u64>() * self.cluster;
        for block in 0..size / self.block_size as u64 {
            let at = self.place(&runs, block * self.block_size as u64);
            let mut bytes = self.data[at..at + self.block_size].to_vec();
            if bytes.starts_with(b"INDX") && self.get_bit(file, BITMAP, name, block) {
                remove_fixups(&mut bytes);
                found.push(Node { home: Home::Block(block, at), bytes, header: 24 });
            }
        }
        found
    }

    pub fn put_node(&mut self, node: &Node) {
        match node.home {
            Home::Record(number) => self.put_record(number, &node.bytes),
            Home::Block(_, at) => {
                let mut bytes = node.bytes.clone();
                apply_fixups(&mut bytes);
                put(&mut self.data, at, &bytes);
            }
        }
    }

    /// The record of a file by its path.
    pub fn find(&self, path: &str) -> u64 {
        path.split('/').fold(5, |directory, name| {
            let nodes = self.nodes(directory, "$I30");
            let entry = nodes.iter().flat_map(Node::keys).find(|entry| entry.name == name);
            number(entry.unwrap_or_else(|| panic!("{path}: no {name}")).file)
        })
    }

    /// The node and the entry of a file in a directory.
    pub fn entry(&self, directory: u64, file: u64) -> (Node, Entry) {
        let nodes = self.nodes(directory, "$I30");
        let found = nodes.iter().flat_map(|node| node.keys().into_iter().map(move |entry| (node, entry)));
        let (node, entry) = found.into_iter().find(|(_, entry)| number(entry.file) == file).unwrap();
        (node.clone(), entry)
    }
}

/// Takes bytes from the end of an attribute.
pub fn shorten(record: &mut [u8], attribute: &Attribute, by: usize) {
    let used = u32_at(record, 0x18) as usize;
    let end = attribute.at + attribute.len;
    record.copy_within(end..used, end - by);
    let len = (attribute.len - by) as u32;
    if len > 0 {
        put(record, attribute.at + 4, &len.to_le_bytes());
    }
    put(record, 0x18, &((used - by) as u32).to_le_bytes());
}

pub fn attributes(record: &[u8]) -> Vec<Attribute> {
    let mut at = usize::from(u16_at(record, 0x14));
    let mut found = Vec::new();
    while u32_at(record, at) != u32::MAX {
        let (len, name) = (u32_at(record, at + 4) as usize, at + usize::from(u16_at(record, at + 10)));
        found.push(Attribute {
            kind: u32_at(record, at),
            name: utf16(&record[name..name + 2 * usize::from(record[at + 9])]),
            at,
            len,
            in_clusters: record[at + 8] != 0,
            instance: u16_at(record, at + 14),
        });
        at += len;
    }
    found
}

pub fn find(record: &[u8], kind: u32, name: &str) -> Option<Attribute> {
    attributes(record).into_iter().find(|attribute| attribute.kind == kind && attribute.name == name)
}

pub fn runs(record: &[u8], attribute: &Attribute) -> Vec<Run> {
    let signed = |bytes: &[u8]| {
        let sign = if bytes.last().is_some_and(|&byte| byte >= 0x80) { 0xff } else { 0 };
        let mut number = [sign; 8];
        number[..bytes.len()].copy_from_slice(bytes);
        i64::from_le_bytes(number)
    };
    let mut at = attribute.at + usize::from(u16_at(record, attribute.at + 0x20));
    let (mut vcn, mut lcn) = (u64_at(record, attribute.at + 0x10), 0);
    let mut found = Vec::new();
    while record[at] != 0 {
        let (lens, deltas) = (usize::from(record[at] & 15), usize::from(record[at] >> 4));
        let len = signed(&record[at + 1..at + 1 + lens]) as u64;
        lcn += signed(&record[at + 1 + lens..at + 1 + lens + deltas]);
        found.push(Run { vcn, lcn: (deltas > 0).then_some(lcn as u64), len });
        (vcn, at) = (vcn + len, at + 1 + lens + deltas);
    }
    found
}

/// Gives an attribute other runs, which must fit.
pub fn put_runs(record: &mut [u8], attribute: &Attribute, runs: &[Run]) {
    let mut pairs = Vec::new();
    let mut last = 0;
    let shortest = |number: i64| {
        let len = (1..8).find(|len| number << (64 - 8 * len) >> (64 - 8 * len) == number).unwrap_or(8);
        number.to_le_bytes()[..len].to_vec()
    };
    for run in runs {
        let len = shortest(run.len as i64);
        let delta =
            run.lcn.map_or(Vec::new(), |lcn| shortest(lcn as i64 - std::mem::replace(&mut last, lcn as i64)));
        pairs.push((len.len() | delta.len() << 4) as u8);
        pairs.extend(len);
        pairs.extend(delta);
    }
    pairs.push(0);
    let at = attribute.at + usize::from(u16_at(record, attribute.at + 0x20));
    let end = attribute.at + attribute.len;
    assert!(pairs.len() <= end - at, "no room for the runs");
    record[at..end].fill(0);
    put(record, at, &pairs);
}

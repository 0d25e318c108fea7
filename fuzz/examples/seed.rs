//! Makes seeds from real images: `seed CORPUS OUT`. Of each image it keeps what opening and mapping it reads, and
//! the first bytes of its data, and puts that under the targets which it suits.

#[allow(dead_code)]
#[path = "../../tests/common/hive_logs.rs"]
mod hive_logs;

use std::collections::BTreeSet;
use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use diskport::storage::{FileStorage, ImageFile, ReadAt, Reference, Resolver};
use diskport::{Disk, Format, Open};
use diskport_fuzz::{FILES, Input, SECTOR, image_with_log, replayable_log};

/// Larger inputs slow fuzzing down more than they help it.
const LARGEST: usize = 256 << 10;
const ENDINGS: [&str; 3] = ["vhd", "vhdx", "vmdk"];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [corpus, out] = &arguments[..] else { return Err("usage: seed CORPUS OUT".into()) };
    let mut images = Vec::new();
    list(corpus, &mut images)?;
    images.sort();
    let mut made = 0;
    for image in images {
        made += seed(&image, out).map_err(|e| format!("{}: {e}", image.display()))?;
    }
    let log = replayable_log();
    let replayed = Open::new().open(image_with_log(&log))?;
    assert!(replayed.chain()[0].info().dirty_log, "the log is replayed");
    write(out, "vhdx_log", "replayable", &log.encode())?;
    made += seed_hives(corpus, out)?;
    println!("{made} seeds in {}", out.display());
    Ok(())
}

fn list(folder: &Path, images: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, images)?;
        } else if path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known)) {
            images.push(path);
        }
    }
    Ok(())
}

fn seed(path: &Path, out: &Path) -> Result<usize, Box<dyn Error>> {
    let name = path.iter().rev().take(3).map(|part| part.display().to_string()).collect::<Vec<_>>().join("-");
    let head = head(path)?;
    if head.starts_with(b"# Disk") {
        write(out, "vmdk_descriptor", &name, &fs::read(path)?)?;
    }
    let shelf =
        Shelf { folder: path.parent().unwrap_or(Path::new(".")).to_owned(), opened: Mutex::default() };
    let shelf = Arc::new(shelf);
    let first = shelf.open(path)?;
    let opened = Open::new().resolver(Handle(shelf.clone())).allow_missing_parent(true).open(first);
    let depth = opened.as_ref().map_or(1, |disk| disk.chain().len());
    if let Ok(disk) = &opened {
        touch(disk);
    }
    let input = shelf.input()?;
    if head.starts_with(b"vhdxfile") {
        write_log(&head, path, out, &name)?;
    }
    let target = match &head[..] {
        _ if depth > 1 || shelf.count() > 1 => "chain",
        _ if head.starts_with(b"vhdxfile") => "vhdx",
        _ if head.starts_with(b"COWD") => "cowd",
        _ if head.starts_with(&[0xbe, 0xba, 0xfe, 0xca]) => "sesparse",
        _ if head.starts_with(b"KDMV") && head[10] & 1 != 0 => "vmdk_stream",
        _ if head.starts_with(b"KDMV") => "vmdk_sparse",
        _ if opened.is_ok_and(|disk| disk.chain()[0].info().format == Format::Vhd) => "vhd",
        _ => return Ok(0),
    };
    let bytes = input.encode();
    if input.files[0].sectors().next().is_none() || bytes.len() > LARGEST {
        return Ok(0);
    }
    write(out, target, &name, &bytes)?;
    Ok(1)
}

fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = vec![0; 1 << 20];
    let n = FileStorage::open(path)?.read_at(&mut head, 0)?;
    head.truncate(n);
    Ok(head)
}

fn write(out: &Path, target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let folder = out.join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}

/// Reads what a seed must hold beside what opening has read.
fn touch(disk: &Disk) {
    let mut bytes = vec![0; 2 * SECTOR];
    let mut left = 6;
    for extent in disk.extents(..).take(5_000).map_while(Result::ok) {
        if extent.is_data() && left > 0 {
            left -= 1;
            let len = bytes.len().min(extent.len as usize);
            let _ = disk.read_at(&mut bytes[..len], extent.start);
        }
    }
}

/// The log's own sectors, counted from its start, as the target `vhdx_log` takes them.
fn write_log(head: &[u8], path: &Path, out: &Path, name: &str) -> io::Result<()> {
    let Some(header) = head.get(64 << 10..(64 << 10) + 80) else { return Ok(()) };
    let length = u32::from_le_bytes(header[68..72].try_into().unwrap()).min(1 << 20);
    let offset = u64::from_le_bytes(header[72..80].try_into().unwrap());
    let mut log = vec![0; length as usize];
    FileExt::read_exact_at(&File::open(path)?, &mut log, offset)?;
    let mut input = Input::new(0);
    for (sector, bytes) in log.chunks_exact(SECTOR).enumerate() {
        if bytes.iter().any(|&byte| byte != 0) {
            input.files[0].put(sector as u32, bytes.try_into().unwrap());
        }
    }
    if input.files[0].sectors().next().is_some() && input.encode().len() <= 4 * LARGEST {
        write(out, "vhdx_log", name, &input.encode())?;
    }
    Ok(())
}

/// Real boot stores, and hives with logs.
fn seed_hives(corpus: &Path, out: &Path) -> Result<usize, Box<dyn Error>> {
    let mut made = 0;
    for store in ["regipy/BCD", "windeploy/BCD", "public-bcd/yuorlife_tuff-Boot_BCD"] {
        // testdata/ has none.
        if let Ok(bytes) = fs::read(corpus.join("hives").join(store)) {
            let input = files(&[bytes]).encode();
            write(out, "hive", &store.replace('/', "-"), &input)?;
            write(out, "bcd", &store.replace('/', "-"), &input)?;
            made += 2;
        }
    }
    let dirty =
        [("one", hive_logs::one_log()), ("two", hive_logs::two_logs()), ("old", hive_logs::old_log())];
    for (name, hive_logs::Dirty { hive, logs }) in dirty {
        write(out, "hive", name, &files(&[vec![hive], logs].concat()).encode())?;
        made += 1;
    }
    Ok(made)
}

/// An input with these files.
fn files(contents: &[Vec<u8>]) -> Input {
    let mut input = Input::new(0);
    for (file, content) in input.files.iter_mut().zip(contents) {
        file.set_len(content.len() as u64);
        for (sector, bytes) in content.chunks(SECTOR).enumerate().filter(|(_, bytes)| **bytes != [0; SECTOR])
        {
            file.set((sector * SECTOR) as u64, bytes);
        }
    }
    input
}

/// The files of one image, in the order in which they were opened.
struct Shelf {
    folder: PathBuf,
    opened: Mutex<Vec<Arc<Recorder>>>,
}

impl Shelf {
    fn open(&self, path: &Path) -> io::Result<Arc<Recorder>> {
        let file = FileStorage::open(path)?;
        let recorder = Arc::new(Recorder { file, sectors: Mutex::default() });
        self.opened.lock().unwrap().push(recorder.clone());
        Ok(recorder)
    }

    fn count(&self) -> usize {
        self.opened.lock().unwrap().len()
    }

    fn input(&self) -> io::Result<Input> {
        let mut input = Input::new(0);
        for (sparse, recorder) in input.files.iter_mut().zip(&*self.opened.lock().unwrap()).take(FILES) {
            sparse.set_len(recorder.size()?);
            for &sector in &*recorder.sectors.lock().unwrap() {
                let mut bytes = [0; SECTOR];
                recorder.file.read_at(&mut bytes, u64::from(sector) * SECTOR as u64)?;
                if bytes != [0; SECTOR] {
                    sparse.put(sector, bytes);
                }
            }
        }
        Ok(input)
    }
}

struct Handle(Arc<Shelf>);

impl Resolver for Handle {
    fn open(&self, reference: &Reference<'_>) -> diskport::Result<Option<ImageFile>> {
        let name = reference.name.rsplit(['/', '\\']).next().unwrap_or_default();
        match self.0.open(&self.0.folder.join(name)) {
            Ok(storage) => ImageFile::new(storage, reference.name, reference.role()).map(Some),
            Err(_) => Ok(None),
        }
    }
}

/// A file that remembers which of its sectors were read.
struct Recorder {
    file: FileStorage,
    sectors: Mutex<BTreeSet<u32>>,
}

impl ReadAt for Recorder {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let n = self.file.read_at(buf, offset)?;
        let sector = |at: u64| (at / SECTOR as u64) as u32;
        let read = sector(offset)..sector((offset + n as u64).saturating_sub(1)) + 1;
        self.sectors.lock().unwrap().extend(read);
        Ok(n)
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
}

//! A volume in a file, made by mkntfs and mounted by ntfs-3g.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use diskport::check::Severity;
use diskport::disk::{Changes, MappingKind};
use diskport::windows::ntfs::check::{NtfsFault, NtfsFinding};
use diskport::windows::ntfs::{Check, Volume};
use diskport::{Disk, Error, Format, Open};
use sha2::{Digest, Sha256};

use crate::common::digest::hex;
use crate::common::tools::{Finish, Trouble, run, tool};

/// The volume's file, in a folder of its own.
pub struct Image {
    folder: tempfile::TempDir,
    pub path: PathBuf,
}

/// Paths below the root, parted by `/`, with digests of what the files hold; none for directories.
pub type Tree = BTreeMap<String, Option<String>>;

impl Image {
    pub fn make(size: u64, cluster: u64, sector: u64) -> Result<Self, Trouble> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let path = folder.path().join("volume");
        File::create(&path)?.set_len(size)?;
        let mut mkntfs = tool("mkntfs")?;
        mkntfs.args(["-Q", "-F", "-q", "-p", "2048", "-H", "255", "-S", "63"]);
        mkntfs.args(["-s", &sector.to_string(), "-c", &cluster.to_string()]).arg(&path);
        run(mkntfs.arg((size / sector).to_string()).stdout(Stdio::null()))?;
        Ok(Self { folder, path })
    }

    /// Another image with the same content.
    pub fn copy(&self) -> Result<Self, Trouble> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let path = folder.path().join("volume");
        run(Command::new("cp").arg("--sparse=always").args([&self.path, &path]))?;
        Ok(Self { folder, path })
    }

    /// A copy of a volume that lies elsewhere.
    pub fn of(source: &Path) -> Result<Self, Trouble> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let path = folder.path().join("volume");
        run(Command::new("cp").arg("--sparse=always").args([source, &path]))?;
        Ok(Self { folder, path })
    }

    /// Mounts the volume for as long as `with` takes.
    pub fn mounted<T>(
        &self,
        options: &str,
        with: impl FnOnce(&Path) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let mount = Mount::new(self, options)?;
        let result = with(&mount.point);
        mount.end()?;
        result
    }

    /// All files as ntfs-3g reads them.
    pub fn tree(&self) -> Result<Tree, Trouble> {
        self.mounted("ro", tree)
    }

    pub fn disk(&self) -> Result<Disk, Trouble> {
        Ok(Open::new().format(Format::Raw).open(&self.path)?)
    }

    pub fn volume(&self) -> Result<Volume, Trouble> {
        let disk = self.disk()?;
        Ok(Volume::open(&disk, 0..disk.size())?)
    }

    /// What ntfsresize, ntfsfix and our own check have to say; an error when they find something wrong.
    pub fn check(&self) -> Result<(), Trouble> {
        sound(&self.volume()?, false)?;
        let output = tool("ntfsresize")?.args(["-i", "-f", "-P"]).arg(&self.path).output()?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        // Of a full volume it says that it cannot be made smaller, after it has found nothing wrong.
        let full = said.contains("ERROR: Volume is full");
        if (!output.status.success() || said.contains("ERROR") || said.contains("WARNING")) && !full {
            return Err(said.into());
        }
        let said = tool("ntfsfix")?.arg("-n").arg(&self.path).finish()?;
        let said = String::from_utf8_lossy(&said).into_owned();
        match said.contains("FAILED") || !said.contains("processed successfully") {
            true => Err(said.into()),
            false => Ok(()),
        }
    }
}

/// What our own check has to say; `every_link` for what we have written.
pub fn sound(volume: &Volume, every_link: bool) -> Result<(), Trouble> {
    let checked = Check::new(volume).every_link(every_link).run()?;
    // ntfs-3g makes holes of any length.
    let odd =
        |finding: &&NtfsFinding| finding.fault != NtfsFault::SparseUnit && finding.severity != Severity::Note;
    match checked.findings.iter().find(odd) {
        Some(finding) => Err(format!("{finding:?}").into()),
        None => Ok(()),
    }
}

/// A mounted volume; it is unmounted when dropped, but only [`Mount::end`] says whether that went well.
struct Mount {
    point: PathBuf,
    driver: Child,
}

impl Mount {
    fn new(image: &Image, options: &str) -> Result<Self, Trouble> {
        let point = image.folder.path().join("mount");
        fs::create_dir_all(&point)?;
        let outside = point.metadata()?.dev();
        let mut ntfs_3g = tool("ntfs-3g")?;
        ntfs_3g.args(["-o", &format!("no_detach,no_def_opts,silent,{options}")]).args([&image.path, &point]);
        let driver = ntfs_3g.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut mount = Self { point, driver };
        for _ in 0..2000 {
            if mount.point.metadata()?.dev() != outside {
                return Ok(mount);
            }
            if let Some(status) = mount.driver.try_wait()? {
                let mut said = String::new();
                if let Some(stderr) = &mut mount.driver.stderr {
                    io::Read::read_to_string(stderr, &mut said)?;
                }
                return Err(format!("ntfs-3g: {status}: {said}").into());
            }
            sleep(Duration::from_millis(5));
        }
        Err("ntfs-3g does not mount".into())
    }

    /// The driver writes until it ends, which is after the unmount.
    fn end(mut self) -> Result<(), Trouble> {
        // Whatever looks at new mounts has soon seen enough.
        let mut tries = 0..100;
        while let Err(busy) = run(Command::new("umount").arg(&self.point)) {
            tries.next().ok_or(busy)?;
            sleep(Duration::from_millis(50));
        }
        let status = self.driver.wait()?;
        if status.success() { Ok(()) } else { Err(format!("ntfs-3g: {status}").into()) }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Ok(None) = self.driver.try_wait() {
            let _ = Command::new("umount").arg("-l").arg(&self.point).status();
            let _ = self.driver.kill();
            let _ = self.driver.wait();
        }
    }
}

fn tree(root: &Path) -> Result<Tree, Trouble> {
    let mut tree = Tree::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.strip_prefix(root)?.display().to_string();
            if path.is_symlink() {
                // A file to us, whose content is its own business.
                tree.insert(name, Some("a link".to_owned()));
            } else if path.is_dir() {
                folders.push(path);
                tree.insert(name, None);
            } else {
                tree.insert(name, Some(hex(Sha256::new_with_prefix(fs::read(&path)?))));
            }
        }
    }
    Ok(tree)
}

/// All files as we read them, without the volume's own.
pub fn our_tree(volume: &Volume) -> Result<Tree, Trouble> {
    let mut tree = Tree::new();
    for (path, entry) in volume.root()?.tree()? {
        if path.starts_with('$') {
            continue;
        }
        let file = volume.find(&path)?.ok_or_else(|| format!("{path} is listed, but not found"))?;
        let digest = match entry.is_directory {
            true => None,
            false => match file.read(1 << 30) {
                Ok(link) if link.starts_with(b"IntxLNK\x01") => Some("a link".to_owned()),
                Err(Error::Layout { reason }) if reason.contains("0xa000000c") => Some("a link".to_owned()),
                bytes => Some(hex(Sha256::new_with_prefix(bytes?))),
            },
        };
        tree.insert(path.replace('\\', "/"), digest);
    }
    Ok(tree)
}

/// Bytes that repeat nowhere, the same for a seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Bytes that compress, but not to nothing.
pub fn text(seed: u64, len: usize) -> Vec<u8> {
    let words = noise(seed, len / 8 + 8);
    let text = words.iter().flat_map(|word| format!("word {} of the text; ", word % 61).into_bytes());
    text.take(len).collect()
}

/// Writes a file until the volume is full.
pub fn fill(path: &Path, seed: u64) -> Result<u64, Trouble> {
    let mut file = File::create(path)?;
    let mut written = 0;
    let chunk = noise(seed, 64 << 10);
    for step in [64 << 10, 4096, 512] {
        loop {
            match file.write(&chunk[..step]) {
                Ok(n) if n > 0 => written += n as u64,
                _ => break,
            }
        }
    }
    Ok(written)
}

/// Applies changes to an image, and gives it a size.
pub fn apply(image: &Image, changes: &Changes, size: u64) -> Result<(), Trouble> {
    use std::os::unix::fs::FileExt;
    let copy = image.copy()?;
    let changed = copy.disk()?;
    let changed = changed.patched(changed.size(), changes.clone())?;
    let file = File::options().write(true).open(&image.path)?;
    for extent in changed.extents(..) {
        let extent = extent?;
        if extent.depth == 0 && extent.kind != MappingKind::Absent {
            let mut bytes = vec![0; extent.len as usize];
            changed.read_at(&mut bytes, extent.start)?;
            file.write_all_at(&bytes, extent.start)?;
        }
    }
    Ok(file.set_len(size)?)
}

//! The corpus: disk images made by other people's software, with what independent readers say of them.
//!
//! It is test data under its owners' licences and no part of the repository: it lies beside it, or where
//! `DISKPORT_CORPUS` says.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::LazyLock;

/// The corpus, unpacked; or why there is none.
pub fn get() -> Result<&'static Corpus, &'static str> {
    static CORPUS: LazyLock<Result<Corpus, String>> = LazyLock::new(Corpus::unpack);
    CORPUS.as_ref().map_err(String::as_str)
}

pub struct Corpus {
    /// Where the images lie.
    pub folder: PathBuf,
    pub images: Vec<Image>,
}

/// One row of the manifest.
#[derive(Debug, Clone)]
pub struct Image {
    /// The path below [`Corpus::folder`].
    pub file: String,
    pub format: String,
    /// One size, or several where readers disagree by policy.
    pub virtual_size: String,
    pub expected: String,
    /// SHA-256 of the whole virtual content, in hexadecimal.
    pub oracle: String,
    /// SHA-256 of the file itself.
    pub file_digest: String,
}

impl Image {
    /// Whether it must be refused.
    pub fn is_refused(&self) -> bool {
        self.expected.contains("MUST be refused") || self.expected.contains("open MUST fail")
    }

    /// Whether it holds the bytes of a disk or volume and nothing else.
    pub fn is_raw(&self) -> bool {
        self.file.starts_with("mbr-gpt/") || self.file.starts_with("fs/")
    }

    /// Whether it is a disk at all; registry hives are not.
    pub fn is_disk(&self) -> bool {
        !self.file.starts_with("hives/")
    }
}

impl Corpus {
    fn unpack() -> Result<Self, String> {
        let source = source();
        let manifest = fs::read_to_string(source.join("MANIFEST.tsv"))
            .map_err(|e| format!("no corpus at {}: {e}", source.display()))?;
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("corpus");
        if !is_whole(&folder, &manifest) {
            unpack_to(&source, &folder)?;
            if !is_whole(&folder, &manifest) {
                return Err(format!("{} was not unpacked from {}", folder.display(), source.display()));
            }
        }
        Ok(Self { folder, images: parse(&manifest)? })
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    pub fn image(&self, file: &str) -> Option<&Image> {
        self.images.iter().find(|image| image.file == file)
    }
}

fn source() -> PathBuf {
    match std::env::var_os("DISKPORT_CORPUS") {
        Some(path) => path.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus"),
    }
}

/// The manifest is copied last, so it stands for the whole.
fn is_whole(folder: &Path, manifest: &str) -> bool {
    fs::read_to_string(folder.join("MANIFEST.tsv")).is_ok_and(|unpacked| unpacked == manifest)
}

/// Unpacks beside the destination and renames, so that test processes that do so at once do not meet.
fn unpack_to(source: &Path, folder: &Path) -> Result<(), String> {
    let own = folder.with_file_name(format!("corpus.{}", process::id()));
    let status =
        Command::new("bash").arg(source.join("unpack")).arg(&own).stdout(process::Stdio::null()).status();
    if !status.as_ref().is_ok_and(process::ExitStatus::success) {
        let _ = fs::remove_dir_all(&own);
        return Err(format!(
            "{} failed: {status:?} (it needs tar and zstd)",
            source.join("unpack").display()
        ));
    }
    if fs::rename(&own, folder).is_err() {
        // Another process was faster, or an older corpus lies there.
        let old = own.with_extension("old");
        let swap = || -> io::Result<()> {
            fs::rename(folder, &old)?;
            fs::rename(&own, folder)?;
            fs::remove_dir_all(&old)
        };
        let swapped = swap();
        let _ = fs::remove_dir_all(&own);
        swapped.map_err(|e| format!("cannot replace {}: {e}", folder.display()))?;
    }
    Ok(())
}

fn parse(manifest: &str) -> Result<Vec<Image>, String> {
    let mut lines = manifest.lines();
    let header: Vec<_> = lines.next().unwrap_or_default().split('\t').collect();
    let column = |name: &str| {
        header
            .iter()
            .position(|&found| found == name)
            .ok_or_else(|| format!("no column {name} in MANIFEST.tsv"))
    };
    let columns = [
        column("file")?,
        column("format")?,
        column("virtual_size")?,
        column("expected")?,
        column("oracle_sha256")?,
        column("file_sha256")?,
    ];
    let rows = lines.map(|line| {
        let fields: Vec<_> = line.split('\t').collect();
        let [file, format, virtual_size, expected, oracle, file_digest] =
            columns.map(|column| fields.get(column).copied().unwrap_or_default().to_owned());
        Image { file, format, virtual_size, expected, oracle, file_digest }
    });
    Ok(rows.collect())
}

//! The command line looking into a volume, beside what ntfs-3g shows of it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output};

use libtest_mimic::Trial;
use rustix::fs::XattrFlags;
use serde_json::Value;

use crate::common::tools::{Trouble, trial};
use crate::volume::{Image, noise, text};

const MIB: u64 = 1 << 20;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("ls, cat and get show what ntfs-3g shows".into(), shown),
        trial("get copies nothing that it must not".into(), refused),
        trial("diff --files finds what was changed, and reads no more".into(), differences),
        trial("keys are read, and differ".into(), keys),
    ]
}

/// The command line with an image that is a volume as a whole.
pub fn diskport(command: &str, image: &Path, arguments: &[&str]) -> Command {
    let mut call = Command::new(env!("CARGO_BIN_EXE_diskport"));
    call.arg(command).arg(image).args(arguments).args(["--format", "raw"]);
    call
}

pub fn succeed(command: &mut Command) -> Result<Vec<u8>, Trouble> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}: {}", output.status, said(&output)).into());
    }
    Ok(output.stdout)
}

/// That it ends with this code, and says this.
pub fn refuse(command: &mut Command, code: i32, words: &str) -> Result<(), Trouble> {
    let output = command.output()?;
    if output.status.code() != Some(code) || !said(&output).contains(words) {
        return Err(format!("{command:?}: {}: {}, not {words}", output.status, said(&output)).into());
    }
    Ok(())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn json(bytes: &[u8]) -> Result<Value, Trouble> {
    Ok(serde_json::from_slice(bytes)?)
}

fn put_all(root: &Path) -> Result<(), Trouble> {
    fs::create_dir_all(root.join("Ünïcode/深い"))?;
    fs::write(root.join("Ünïcode/深い/file.txt"), text(1, 3_000_001))?;
    fs::write(root.join("Ünïcode/resident"), b"short")?;
    fs::write(root.join("empty"), [])?;
    fs::create_dir(root.join("no files"))?;
    fs::hard_link(root.join("Ünïcode/resident"), root.join("no files/linked"))?;
    let path = root.join("Ünïcode/resident");
    Ok(rustix::fs::setxattr(&path, "user.notes", &noise(4, 60_000), XattrFlags::empty())?)
}

fn shown() -> Result<(), Trouble> {
    let image = Image::make(32 * MIB, 4096, 512)?;
    image.mounted("rw", put_all)?;
    // Kind, size and time of all files; links of ntfs-3g are symlinks for it alone.
    let theirs: BTreeMap<String, (String, u64, i64)> = image.mounted("ro", |root| {
        let mut found = BTreeMap::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                let there = path.symlink_metadata()?;
                let kind = if there.is_dir() { "directory" } else { "file" };
                let size = if there.is_dir() { 0 } else { there.len() };
                let name = format!("/{}", path.strip_prefix(root)?.display());
                found.insert(name, (kind.to_owned(), size, there.mtime()));
                if there.is_dir() {
                    folders.push(path);
                }
            }
        }
        Ok(found)
    })?;
    let ls = json(&succeed(&mut diskport("ls", &image.path, &["-R", "--json"]))?)?;
    let rows = ls.as_array().ok_or("no list")?;
    let mut ours = BTreeMap::new();
    for row in rows {
        let part = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let date = Command::new("date").args(["-u", "+%s", "-d", &part("modified")]).output()?;
        let time = String::from_utf8(date.stdout)?.trim().parse()?;
        ours.insert(part("path"), (part("kind"), row["size"].as_u64().ok_or("no size")?, time));
        assert!(row["attributes"].is_u64());
    }
    assert_eq!(ours, theirs);
    assert_eq!(rows.len(), theirs.len());
    let names = succeed(&mut diskport("ls", &image.path, &[r"c:\üNÏCODE"]))?;
    assert_eq!(String::from_utf8(names)?, "resident\n深い\n");
    let long = String::from_utf8(succeed(&mut diskport("ls", &image.path, &["/Ünïcode/resident", "-l"]))?)?;
    assert!(
        long.contains(" resident\n") && long.contains("60000") && long.contains("resident:notes"),
        "{long}"
    );

    let cat = |path: &str| succeed(&mut diskport("cat", &image.path, &[path]));
    assert!(cat(r"C:\Ünïcode\深い\FILE.TXT")? == text(1, 3_000_001));
    assert!(cat("/Ünïcode/resident:NOTES")? == noise(4, 60_000));
    assert_eq!((cat("/no files/linked")?, cat("/empty")?), (b"short".to_vec(), Vec::new()));
    for (path, words) in [
        ("/nothing", "is not there"),
        ("/empty:x", "is not there"),
        ("/no files", "is a directory"),
        ("/empty/below", "expected"),
    ] {
        let code = if words == "expected" { 3 } else { 5 };
        refuse(&mut diskport("cat", &image.path, &[path]), code, words)?;
    }
    for path in [r"D:\x", "x", "/a/../b"] {
        refuse(&mut diskport("cat", &image.path, &[path]), 2, path)?;
    }

    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let out = folder.path().join("out");
    let to = out.to_str().ok_or("a name")?;
    succeed(&mut diskport("get", &image.path, &["/", to, "-r"]))?;
    image.mounted("ro", |root| {
        let differ = Command::new("diff").arg("-r").arg(root).arg(&out).output()?;
        if differ.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&differ.stdout).into_owned().into())
        }
    })?;
    let (inside, outside) =
        (theirs["/Ünïcode/深い/file.txt"].2, out.join("Ünïcode/深い/file.txt").metadata()?.mtime());
    assert_eq!(inside, outside, "files keep their time");
    refuse(&mut diskport("get", &image.path, &["/", to, "-r"]), 5, "exists already")?;
    let one = folder.path().join("one");
    let to = one.to_str().ok_or("a name")?;
    succeed(&mut diskport("get", &image.path, &["/Ünïcode/resident:notes", to]))?;
    assert!(fs::read(&one)? == noise(4, 60_000));
    refuse(&mut diskport("get", &image.path, &["/empty", to]), 5, "exists already")?;
    succeed(&mut diskport("get", &image.path, &["/empty", to, "--overwrite"]))?;
    assert_eq!(fs::read(&one)?, b"");
    assert_eq!(fs::read_dir(folder.path())?.count(), 2, "nothing is left beside");
    Ok(())
}

/// Sets the reparse point of a file: its tag, and what follows.
fn reparse(path: &Path, tag: u32, data: &[u8]) -> Result<(), Trouble> {
    let point = [&tag.to_le_bytes()[..], &(data.len() as u16).to_le_bytes(), &[0; 2], data].concat();
    Ok(rustix::fs::setxattr(path, "system.ntfs_reparse_data", &point, XattrFlags::empty())?)
}

/// A junction's data: the same name twice.
fn junction(target: &str) -> Vec<u8> {
    let name: Vec<u8> = target.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let fields = [0, name.len(), name.len() + 2, name.len()];
    let fields = fields.into_iter().flat_map(|field| (field as u16).to_le_bytes());
    fields.chain(name.clone()).chain([0, 0]).chain(name).chain([0, 0]).collect()
}

fn refused() -> Result<(), Trouble> {
    let image = Image::make(16 * MIB, 4096, 512)?;
    image.mounted("rw", |root| {
        fs::create_dir_all(root.join("tree/below"))?;
        fs::write(root.join("tree/below/file"), b"x")?;
        fs::create_dir(root.join("tree/junction"))?;
        reparse(&root.join("tree/junction"), 0xa000_0003, &junction(r"\??\C:\elsewhere"))?;
        fs::create_dir(root.join("stored"))?;
        fs::write(root.join("stored/deduplicated"), [])?;
        reparse(&root.join("stored/deduplicated"), 0x8000_0013, &[0; 16])
    })?;
    let ls = json(&succeed(&mut diskport("ls", &image.path, &["/tree", "--json"]))?)?;
    let link = ls.as_array().and_then(|rows| rows.iter().find(|row| row["kind"] == "junction"));
    assert_eq!(link.ok_or("no junction")?["target"], r"\??\C:\elsewhere");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let out = folder.path().join("out");
    let to = out.to_str().ok_or("a name")?;
    let got = diskport("get", &image.path, &["/tree", to, "-r"]).output()?;
    assert!(got.status.success() && said(&got).contains("tree/junction: is a link"), "{}", said(&got));
    assert_eq!(fs::read_dir(&out)?.count(), 1);
    assert_eq!(fs::read(out.join("below/file"))?, b"x");
    let other = folder.path().join("other");
    let to = other.to_str().ok_or("a name")?;
    refuse(&mut diskport("get", &image.path, &["/stored", to, "-r"]), 5, "stored elsewhere")?;
    refuse(&mut diskport("get", &image.path, &["/tree", to]), 5, "is a directory")?;
    // A name that leads out of the folder: the volume is changed as a hostile one would be.
    let mut bytes = fs::read(&image.path)?;
    let name = |name: &str| name.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let (old, new) = (name("below"), name("../.."));
    let places: Vec<_> =
        bytes.windows(old.len()).enumerate().filter(|(_, at)| *at == old).map(|(at, _)| at).collect();
    assert!(places.len() > 1);
    places.into_iter().for_each(|at| bytes[at..at + new.len()].copy_from_slice(&new));
    let hostile = folder.path().join("hostile.raw");
    fs::write(&hostile, bytes)?;
    refuse(&mut diskport("get", &hostile, &["/tree", to, "-r"]), 5, "can have the name")?;
    assert_eq!(fs::read_dir(folder.path())?.count(), 2, "nothing is left beside");
    refuse(&mut diskport("ls", &image.path, &["--partition", "2"]), 5, "no partition 2")
}

fn differences() -> Result<(), Trouble> {
    let old = Image::make(64 * MIB, 4096, 512)?;
    old.mounted("rw", |root| {
        put_all(root)?;
        fs::write(root.join("large"), noise(7, 20 << 20))?;
        fs::write(root.join("changed"), noise(8, 100_000))?;
        Ok(fs::write(root.join("gone"), b"1")?)
    })?;
    let new = old.copy()?;
    new.mounted("rw", |root| {
        let mut bytes = noise(8, 100_000);
        bytes[77_777] ^= 1;
        // In the clusters that it has.
        fs::write(root.join("changed"), bytes)?;
        fs::remove_file(root.join("gone"))?;
        fs::create_dir_all(root.join("added/below"))?;
        fs::write(root.join("Ünïcode/resident"), b"other")?;
        Ok(fs::rename(root.join("empty"), root.join("Empty"))?)
    })?;
    let compare = |a: &Image, b: &Image| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_diskport"));
        command.arg("diff").args([&a.path, &b.path]).args([
            "--files",
            "--json",
            "--format",
            "raw",
            "--format-b",
            "raw",
        ]);
        command.output()
    };
    let output = compare(&old, &new)?;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let found = json(&output.stdout)?;
    let rows = found["differences"].as_array().ok_or("no list")?.iter();
    let rows: Vec<_> = rows
        .map(|row| {
            format!(
                "{} {}",
                row["change"].as_str().unwrap_or_default(),
                row["path"].as_str().unwrap_or_default()
            )
        })
        .collect();
    let expected = [
        r"added \Empty",
        r"added \added",
        r"added \added\below",
        r"changed \changed",
        r"removed \empty",
        r"removed \gone",
        r"changed \no files\linked",
        r"changed \Ünïcode\resident",
    ];
    let sorted = |rows: &[String]| {
        let mut rows = rows.to_vec();
        rows.sort();
        rows
    };
    assert_eq!(sorted(&rows), sorted(&expected.map(str::to_owned)));
    let same = compare(&old, &old)?;
    assert_eq!(same.status.code(), Some(0), "{}", said(&same));
    assert_eq!(json(&same.stdout)?["identical"], true);
    Ok(())
}

fn keys() -> Result<(), Trouble> {
    use diskport::windows::registry::{Tree, kind};
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let mut root = Tree::new("ROOT");
    root.entry("Select").set("Current", kind::DWORD, 1u32.to_le_bytes());
    let service = root.entry("ControlSet001").entry("Services").entry("disk");
    service.set("Start", kind::DWORD, 3u32.to_le_bytes()).set(
        "ImagePath",
        kind::EXPAND_SZ,
        utf16("disk.sys\0"),
    );
    service.set("DependOn", kind::MULTI_SZ, utf16("a\0b\0\0")).set("", kind::BINARY, [1, 0xff]);
    let mut other = root.clone();
    other.entry("ControlSet001").entry("Services").entry("disk").set(
        "Start",
        kind::DWORD,
        0u32.to_le_bytes(),
    );
    let make = |tree: &Tree| -> Result<Image, Trouble> {
        let image = Image::make(16 * MIB, 4096, 512)?;
        let hive = tree.to_hive("SYSTEM")?;
        image.mounted("rw", |root| {
            fs::create_dir_all(root.join("Windows/System32/config"))?;
            Ok(fs::write(root.join("Windows/System32/config/SYSTEM"), hive)?)
        })?;
        Ok(image)
    };
    let (a, b) = (make(&root)?, make(&other)?);
    let key = r"HKLM\SYSTEM\CurrentControlSet\Services\disk";
    let get =
        |arguments: &[&str]| succeed(&mut diskport("registry", &a.path, &[&["get"], arguments].concat()));
    let shown = json(&get(&[key, "--json"])?)?;
    assert_eq!(shown["values"][0], serde_json::json!({ "name": "Start", "type": "REG_DWORD", "data": 3 }));
    assert_eq!(shown["values"][2]["data"], serde_json::json!(["a", "b"]));
    assert_eq!(shown["values"][3], serde_json::json!({ "name": "", "type": "REG_BINARY", "data": "01ff" }));
    assert_eq!(String::from_utf8(get(&[key, "imagepath"])?)?, "disk.sys\n");
    assert_eq!(json(&get(&[key, "@", "--json"])?)?["data"], "01ff");
    assert_eq!(
        json(&get(&[r"HKLM\SYSTEM\ControlSet001\Services", "--json"])?)?["subkeys"],
        serde_json::json!(["disk"])
    );
    let mut diff = Command::new(env!("CARGO_BIN_EXE_diskport"));
    diff.arg("diff").args([&a.path, &b.path]).args([
        "--files",
        "--json",
        "--format",
        "raw",
        "--format-b",
        "raw",
    ]);
    let found = json(&diff.output()?.stdout)?;
    let rows = found["differences"].as_array().ok_or("no list")?;
    let value = rows.iter().find(|row| row["what"] == "value").ok_or("no value")?;
    assert_eq!(value["key"], r"HKEY_LOCAL_MACHINE\SYSTEM\ControlSet001\Services\disk");
    assert_eq!(
        (&value["name"], &value["a"]["data"], &value["b"]["data"]),
        (&Value::from("Start"), &Value::from(3), &Value::from(0))
    );
    Ok(())
}

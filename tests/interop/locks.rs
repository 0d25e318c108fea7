//! Images that QEMU has open, and QEMU on images that are open here.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use diskport::{Disk, MIB, Open};
use libtest_mimic::Trial;

use crate::Trouble;
use crate::common::tools::{run, tool, trial};

/// QEMU's name of a format, and the ending of its images.
const FORMATS: [(&str, &str); 4] = [("raw", "raw"), ("vpc", "vhd"), ("vhdx", "vhdx"), ("vmdk", "vmdk")];

pub fn trials(folder: &Path) -> Vec<Trial> {
    let mut trials = Vec::new();
    let mut add = |name: String, run: fn(&Place) -> Result<(), Trouble>, format| {
        let folder = folder.join(name.replace(' ', "-"));
        trials.push(trial(name, move || {
            fs::create_dir(&folder)?;
            run(&Place { folder, format })
        }));
    };
    for format in FORMATS {
        add(format!("locks {} written by qemu-io", format.1), written_by_qemu, format);
        // Who reads a raw disk suffers that it changes.
        if format.1 != "raw" {
            add(format!("locks {} read by qemu-io", format.1), read_by_qemu, format);
        }
        add(format!("locks {} in a machine", format.1), in_a_machine, format);
        add(format!("locks {} written here", format.1), written_here, format);
    }
    add("locks a backing file of qemu-io".into(), beneath_qemu, FORMATS[3]);
    add("locks a parent of what is written here".into(), beneath_us, FORMATS[3]);
    add("locks served by qemu-nbd".into(), served, FORMATS[2]);
    add("locks missing".into(), missing, FORMATS[2]);
    trials
}

/// A folder, and a format.
struct Place {
    folder: PathBuf,
    format: (&'static str, &'static str),
}

impl Place {
    fn path(&self, stem: &str) -> PathBuf {
        self.folder.join(format!("{stem}.{}", self.format.1))
    }

    /// A new disk, made by QEMU.
    fn disk(&self, stem: &str) -> Result<PathBuf, Trouble> {
        let path = self.path(stem);
        let create = ["create", "-q", "-f", self.format.0];
        run(tool("qemu-img")?.args(create).arg(&path).arg("64M").current_dir(&self.folder))?;
        Ok(path)
    }

    fn child(&self, stem: &str, parent: &str) -> Result<PathBuf, Trouble> {
        let (path, format) = (self.path(stem), self.format.0);
        let parent = self.path(parent);
        let backing = parent.file_name().unwrap_or_default();
        let create = ["create", "-q", "-f", format, "-F", format, "-b"];
        run(tool("qemu-img")?.args(create).arg(backing).arg(&path).current_dir(&self.folder))?;
        Ok(path)
    }

    /// Runs diskport; the exit code must be this one.
    fn diskport(&self, arguments: &[&str], code: i32) -> Result<String, Trouble> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_diskport"));
        let output = command.args(arguments).current_dir(&self.folder).stdin(Stdio::null()).output()?;
        expect(&output, code, &format!("diskport {arguments:?}"))
    }

    /// That nothing changes the image in place, and that it stays as it is.
    fn is_left_alone(&self, image: &Path) -> Result<(), Trouble> {
        let before = fs::read(image)?;
        let name = image.to_str().ok_or("a name")?;
        let other = self.folder.join("other.raw");
        fs::File::create(&other)?.set_len(64 * MIB)?;
        let format = if self.format.1 == "raw" { "raw" } else { self.format.1 };
        for change in [
            &["write", name, "--offset", "0", "--zeroes", "512"][..],
            &["resize", name, "128M"],
            &["compact", name],
            &["update", "other.raw", name],
        ] {
            let said = self.diskport(&[change, &["--format", format]].concat(), 5)?;
            demand(said.contains(name), &said)?;
        }
        self.diskport(&["convert", "other.raw", name, "--overwrite"], 5)?;
        demand(fs::read(image)? == before, "it was changed")
    }
}

fn expect(output: &Output, code: i32, what: &str) -> Result<String, Trouble> {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    demand(output.status.code() == Some(code), &format!("{what}: {}: {said}", output.status))?;
    Ok(said)
}

fn demand(holds: bool, said: &str) -> Result<(), Trouble> {
    if holds { Ok(()) } else { Err(said.into()) }
}

/// A program that has an image open until it is dropped.
struct Held {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Held {
    fn spawn(command: &mut Command) -> Result<Self, Trouble> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = BufReader::new(child.stdout.take().ok_or("no output")?);
        Ok(Self { child, output })
    }

    /// qemu-io on `image`, which it has open once it answers.
    fn qemu_io(image: &Path, format: &str, options: &[&str]) -> Result<Self, Trouble> {
        let mut held = Self::spawn(tool("qemu-io")?.args(["-f", format]).args(options).arg(image))?;
        held.tell("length")?;
        Ok(held)
    }

    /// Gives a command, and waits for the line that answers it.
    fn tell(&mut self, command: &str) -> Result<(), Trouble> {
        let input = self.child.stdin.as_mut().ok_or("no input")?;
        writeln!(input, "{command}")?;
        input.flush()?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        demand(!line.is_empty(), "it has ended")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // It was made to end so.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What qemu-io says of an image: whether it could be opened.
fn qemu_opens(image: &Path, format: &str, options: &[&str]) -> Result<bool, Trouble> {
    let mut command = tool("qemu-io")?;
    let output = command.args(["-f", format, "-c", "length"]).args(options).arg(image).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    demand(output.status.success() || said.contains("lock"), &said)?;
    Ok(output.status.success())
}

fn written_by_qemu(place: &Place) -> Result<(), Trouble> {
    let image = place.disk("disk")?;
    let mut held = Held::qemu_io(&image, place.format.0, &[])?;
    place.is_left_alone(&image)?;
    let name = image.to_str().ok_or("a name")?;
    let said = place.diskport(&["hash", name], 0)?;
    demand(said.contains("warning") && said.contains("is open for writing elsewhere"), &said)?;
    let said = place.diskport(&["check", name], 0)?;
    demand(said.contains("is open for writing elsewhere"), &said)?;
    held.tell("write -P 81 0 64k")?;
    drop(held);
    place.diskport(&["write", name, "--offset", "64K", "--zeroes", "512"], 0)?;
    let mut content = vec![0; 64 << 10];
    diskport::open(&image)?.read_at(&mut content, 0)?;
    demand(content.iter().all(|&byte| byte == 81), "what QEMU wrote is gone")
}

fn read_by_qemu(place: &Place) -> Result<(), Trouble> {
    let image = place.disk("disk")?;
    let held = Held::qemu_io(&image, place.format.0, &["-r"])?;
    place.is_left_alone(&image)?;
    let name = image.to_str().ok_or("a name")?;
    let said = place.diskport(&["hash", name], 0)?;
    demand(!said.contains("elsewhere"), &said)?;
    drop(held);
    place.diskport(&["write", name, "--offset", "0", "--zeroes", "512"], 0)?;
    Ok(())
}

fn in_a_machine(place: &Place) -> Result<(), Trouble> {
    let image = place.disk("disk")?;
    let drive = format!("file={},format={},if=ide", image.display(), place.format.0);
    let machine =
        ["-M", "pc,accel=tcg", "-m", "16", "-nodefaults", "-display", "none", "-S", "-qmp", "stdio"];
    let mut held = Held::spawn(tool("qemu-system-x86_64")?.args(machine).args(["-drive", &drive]))?;
    // It greets when the machine is there; a stopped one may leave its disks to another until it runs.
    held.output.read_line(&mut String::new())?;
    held.tell(r#"{"execute": "qmp_capabilities"}"#)?;
    held.tell(r#"{"execute": "cont"}"#)?;
    place.is_left_alone(&image)?;
    drop(held);
    let name = image.to_str().ok_or("a name")?;
    place.diskport(&["write", name, "--offset", "0", "--zeroes", "512"], 0)?;
    Ok(())
}

fn written_here(place: &Place) -> Result<(), Trouble> {
    let (image, format) = (place.disk("disk")?, place.format.0);
    let disk = Open::new().open_writable(&image)?;
    demand(!qemu_opens(&image, format, &[])?, "QEMU opened what is written to")?;
    let is_read = qemu_opens(&image, format, &["-r"])?;
    demand(is_read == (format == "raw"), "of the formats, only raw may be read meanwhile")?;
    demand(qemu_opens(&image, format, &["-r", "-U"])?, "whoever does not mind may read")?;
    disk.write_at(&[1; 512], 0)?;
    disk.close()?;
    demand(qemu_opens(&image, format, &[])?, "the lock has ended")?;
    // A reader keeps nobody out.
    let disk: Disk = diskport::open(&image)?;
    demand(qemu_opens(&image, format, &[])?, "it is only read")?;
    drop(disk);
    Ok(())
}

fn beneath_qemu(place: &Place) -> Result<(), Trouble> {
    let base = place.disk("base")?;
    let top = place.child("top", "base")?;
    let held = Held::qemu_io(&top, place.format.0, &[])?;
    place.is_left_alone(&base)?;
    place.is_left_alone(&top)?;
    drop(held);
    Ok(())
}

fn beneath_us(place: &Place) -> Result<(), Trouble> {
    let (base, format) = (place.disk("base")?, place.format.0);
    let top = place.child("top", "base")?;
    let disk = Open::new().open_writable(&top)?;
    demand(!qemu_opens(&base, format, &[])?, "QEMU opened the parent for writing")?;
    demand(qemu_opens(&base, format, &["-r"])?, "it may be read")?;
    place.is_left_alone(&base)?;
    disk.close()?;
    demand(qemu_opens(&base, format, &[])?, "the lock has ended")
}

fn served(place: &Place) -> Result<(), Trouble> {
    let image = place.disk("disk")?;
    let socket = place.folder.join("socket");
    let mut command = tool("qemu-nbd")?;
    // It goes to the background when it listens, and ends with its only client.
    command
        .args(["--fork", "-f", place.format.0, "-k"])
        .arg(&socket)
        .arg("--pid-file")
        .arg(place.folder.join("pid"));
    run(command.arg(&image).stdin(Stdio::null()))?;
    let result = place.is_left_alone(&image);
    // A client that comes and goes lets it end.
    let uri = format!("nbd+unix:///?socket={}", socket.display());
    run(tool("qemu-img")?.args(["info", &uri]))?;
    result
}

/// A file system without locks, as some network file systems are.
fn missing(place: &Place) -> Result<(), Trouble> {
    let (source, library) = (place.folder.join("none.c"), place.folder.join("none.so"));
    fs::write(
        &source,
        "#include <errno.h>\n#include <stdlib.h>\nint flock(int fd, int op) { errno = atoi(getenv(\"ERRNO\")); return -1; }\n",
    )?;
    run(tool("cc")?.args(["-shared", "-fPIC", "-o"]).args([&library, &source]))?;
    let image = place.disk("disk")?;
    // ENOSYS, EOPNOTSUPP, ENOLCK.
    for errno in ["38", "95", "37"] {
        for (command, options) in
            [("write", &["--offset", "0", "--zeroes", "512"][..]), ("info", &[]), ("check", &["--repair"])]
        {
            let mut diskport = Command::new(env!("CARGO_BIN_EXE_diskport"));
            diskport.arg(command).arg(&image).args(options);
            let output = diskport.env("LD_PRELOAD", &library).env("ERRNO", errno).output()?;
            let said = expect(&output, 0, command)? + &String::from_utf8_lossy(&output.stdout);
            demand(said.contains("warning") && said.contains("the file system has none"), &said)?;
        }
    }
    // QEMU's locks are seen all the same.
    let held = Held::qemu_io(&image, place.format.0, &[])?;
    let mut diskport = Command::new(env!("CARGO_BIN_EXE_diskport"));
    diskport.arg("write").arg(&image).args(["--offset", "0", "--zeroes", "512"]);
    expect(&diskport.env("LD_PRELOAD", &library).env("ERRNO", "38").output()?, 5, "write")?;
    drop(held);
    Ok(())
}

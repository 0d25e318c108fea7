//! Disks inside tars, unpacked by other people's programs.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use diskport::copy::{Convert, OutputFormat};
use diskport::format::raw;
use diskport::storage::MemoryStorage;
use diskport::{Disk, Format, Open};
use libtest_mimic::Trial;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::common::tools::{Trouble, tool, trial};
use crate::source::{Sparse, any_source, content, disk, noise};

const MIB: u64 = 1 << 20;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("containers::tar_finds_the_disk".into(), || {
            needs(&["bash", "tar", "gzip", "python3"])?;
            tar_finds_the_disk();
            Ok(())
        }),
        trial("containers::a_large_disk_costs_what_it_holds".into(), || {
            needs(&["bash", "tar", "gzip"])?;
            a_large_disk_costs_what_it_holds();
            Ok(())
        }),
        trial("containers::an_ova_holds_what_its_manifest_says".into(), || {
            needs(&["bash", "tar", "sha256sum", "python3", "qemu-img"])?;
            an_ova_holds_what_its_manifest_says();
            Ok(())
        }),
    ]
}

fn needs(programs: &[&str]) -> Result<(), Trouble> {
    programs.iter().try_for_each(|program| Ok(tool(program).map(drop)?))
}

fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}

/// Runs a shell line in `folder` with `input`; its output.
fn shell(folder: &Path, line: &str, input: &[u8]) -> Vec<u8> {
    let mut command = std::process::Command::new("bash");
    command.args(["-c", &format!("set -eo pipefail; {line}")]).current_dir(folder);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("bash runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // A program that fails early does not read all of it; its exit code says so.
            let _ = stdin.write_all(input);
        });
        let output = child.wait_with_output().expect("ends");
        assert!(output.status.success(), "{line}");
        output.stdout
    })
}

fn archive(disk: &Disk, threads: usize, level: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let copy = Convert::new(disk).to(OutputFormat::TarGz).threads(threads).level(level);
    copy.write_to(&mut out).expect("writes");
    out
}

const READ_BY_PYTHON: &str = "python3 -c \"import tarfile, sys; tar = tarfile.open('disk.tar.gz'); \
                              sys.stdout.buffer.write(tar.extractfile('disk.raw').read())\"";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    fn tar_finds_the_disk(source in any_source(), level in 0..10_u32) {
        let folder = folder();
        let source = disk(&Arc::new(source));
        let bytes = archive(&source, 0, level);
        prop_assert!(archive(&source, 3, level) == bytes, "the same bytes by any number of threads");
        let path = folder.path().join("disk.tar.gz");
        let copy = Convert::new(&source).to(OutputFormat::TarGz).level(level).sync(false);
        copy.verify(true).create(&path).expect("writes, and reads the same back");
        prop_assert!(fs::read(&path).expect("reads") == bytes, "the same bytes in a file");
        prop_assert!(shell(folder.path(), "tar -xzO disk.raw", &bytes) == content(&source));
        let python = shell(folder.path(), READ_BY_PYTHON, b"");
        prop_assert!(python == content(&source));
    }
}

/// More ranges than a header holds, at places that octal digits cannot tell.
fn a_large_disk_costs_what_it_holds() {
    let folder = folder();
    let (size, count) = (10 << 40, 70);
    let place = |number: u64| number * (size / count) / (64 << 10) * (64 << 10);
    let runs = (0..count).map(|number| (place(number), noise(70_000, number))).collect();
    let source = disk(&Arc::new(Sparse::new(size, runs)));
    let bytes = archive(&source, 2, 1);
    let copy = Convert::new(&source).to(OutputFormat::TarGz).level(1).verify(true);
    copy.create(MemoryStorage::default()).expect("is verified in as little time");
    assert!(bytes.len() < 6 << 20, "{} bytes", bytes.len());
    let listed = shell(folder.path(), "gzip -t < /dev/stdin", &bytes);
    assert!(listed.is_empty());
    let names = shell(folder.path(), "tar -tvz", &bytes);
    assert!(String::from_utf8_lossy(&names).contains(&format!(" {size} ")), "{names:?}");
    shell(folder.path(), "tar -xzS", &bytes);
    let unpacked = Open::new().format(Format::Raw).open(folder.path().join("disk.raw")).expect("opens");
    assert_eq!(unpacked.size(), size);
    let mut data = 0;
    for number in 0..count {
        let mut found = vec![0; 70_000];
        unpacked.read_at(&mut found, place(number)).expect("reads");
        assert!(found == noise(70_000, number), "range {number}");
    }
    for extent in unpacked.extents(..).skip_holes() {
        let extent = extent.expect("an extent");
        data += if extent.is_data() { extent.len } else { 0 };
    }
    assert!(data <= count * (128 << 10), "all else is a hole: {data}");
}

const CHECK_OVF: &str = r#"
import sys, os, xml.etree.ElementTree as E
ovf, disk, capacity = sys.argv[1], sys.argv[2], int(sys.argv[3])
o = '{http://schemas.dmtf.org/ovf/envelope/1}'
r = '{http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData}'
v = '{http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData}'
root = E.parse(ovf).getroot()
assert root.tag == o + 'Envelope'
file = root.find(f'{o}References/{o}File')
assert file.get(o + 'href') == disk and int(file.get(o + 'size')) == os.path.getsize(disk), file.attrib
d = root.find(f'{o}DiskSection/{o}Disk')
assert d.get(o + 'fileRef') == file.get(o + 'id')
assert int(d.get(o + 'capacity')) == capacity and d.get(o + 'capacityAllocationUnits') == 'byte'
assert 0 < int(d.get(o + 'populatedSize', 1)) <= capacity
assert d.get(o + 'format') == 'http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized'
hardware = root.find(f'{o}VirtualSystem/{o}VirtualHardwareSection')
assert hardware.find(f'{o}System/{v}VirtualSystemType').text.startswith('vmx-')
items = {i.find(r + 'ResourceType').text: i for i in hardware.findall(o + 'Item')}
assert set(items) == {'3', '4', '6', '17'}
controller, drive = items['6'], items['17']
assert drive.find(r + 'Parent').text == controller.find(r + 'InstanceID').text
assert drive.find(r + 'HostResource').text == 'ovf:/disk/' + d.get(o + 'diskId')
for item in items.values():
    tags = [child.tag for child in item]
    assert tags == sorted(tags), tags
print(open(ovf).read().count('value="efi"'))
"#;

/// Unpacks an OVA and holds its parts against each other and against `source`.
fn check_ova(folder: &Path, ova: &[u8], name: &str, source: &Disk) {
    let listed = String::from_utf8(shell(folder, "tar -t", ova)).expect("names");
    let disk = format!("{name}-disk1.vmdk");
    let expected = [format!("{name}.ovf"), disk.clone(), format!("{name}.mf")];
    assert!(listed.lines().eq(expected.iter().map(String::as_str)), "{listed}");
    shell(folder, "tar -x", ova);
    let lines = fs::read_to_string(folder.join(&expected[2])).expect("a manifest");
    assert_eq!(lines.lines().count(), 2);
    shell(folder, &format!("sha256sum --strict --quiet -c {name}.mf"), b"");
    fs::write(folder.join("check.py"), CHECK_OVF).expect("writes");
    let line = format!("python3 check.py {name}.ovf {disk} {}", source.size());
    let efi = shell(folder, &line, b"");
    let mut second = [0; 8];
    source.read_at(&mut second, 512).expect("reads");
    assert_eq!(efi, if second == *b"EFI PART" { b"1\n" } else { b"0\n" });
    shell(folder, &format!("qemu-img convert -f vmdk -O raw {disk} out.raw"), b"");
    assert!(fs::read(folder.join("out.raw")).expect("reads") == content(source));
}

fn an_ova_holds_what_its_manifest_says() {
    let runs = vec![(0, noise(3 << 20, 1)), (9 * MIB, vec![7; 2 << 20])];
    let bios = disk(&Arc::new(Sparse::new(12 * MIB, runs)));
    let uefi = crate::gpt::gpt_disk(8 << 20, |_| {});
    for source in [bios, uefi] {
        let copy = Convert::new(&source).to(OutputFormat::Ova);
        let own = folder();
        let path = own.path().join("win-10.2.ova");
        copy.clone().verify(true).create(&path).expect("writes");
        check_ova(own.path(), &fs::read(&path).expect("reads"), "win-10.2", &source);
        // The same out of a pipe.
        let bytes = std::io::Cursor::new(content(&source));
        let stream = raw::RawStream::new(bytes, source.size()).into_disk().expect("a disk");
        let piped = Convert::new(&stream).to(OutputFormat::Ova).verify(true).overwrite(true);
        piped.create(&path).expect("writes");
        check_ova(own.path(), &fs::read(&path).expect("reads"), "win-10.2", &source);
        // A name that would need quoting gives way.
        let path = own.path().join("a <b>.ova");
        copy.create(&path).expect("writes");
        check_ova(own.path(), &fs::read(&path).expect("reads"), "disk", &source);
        // With a seed, the same bytes into a file and into a pipe, by any number of threads.
        let seeded = copy.clone().seed(5).overwrite(true);
        seeded.create(&path).expect("writes");
        let mut piped = Vec::new();
        seeded.threads(0).write_to(&mut piped).expect("writes");
        assert!(piped == fs::read(&path).expect("reads"));
        let mut piped = Vec::new();
        copy.threads(2).write_to(&mut piped).expect("writes");
        check_ova(folder().path(), &piped, "disk", &source);
    }
}

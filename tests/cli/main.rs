//! The command line as a black box: exit codes, what goes to which output, the JSON that scripts depend on.

#[cfg(unix)]
mod attributes;
mod chains;
mod changing;
mod contents;
mod delta;
#[cfg(unix)]
#[path = "../common/fifo.rs"]
mod fifo;
#[cfg(target_os = "linux")]
mod handles;
mod inside;
mod json;
#[cfg(target_os = "linux")]
mod locks;
#[cfg(target_os = "linux")]
mod memory;
mod names;
mod outputs;
mod partitions;
mod pipes;
mod place;
mod recognising;
mod references;
mod salvage;
mod shards;
mod sizes;
mod targets;
mod warnings;

use std::fs;
use std::process::{Command, Stdio};

use place::{DIFFER, DONE, IO, PRECONDITION, Place, REFUSED, USAGE, error_text, shell, small, text};
use serde_json::Value;

const SIZE: u64 = 16 << 20;
/// Of the content of `testdata/small.vhdx`; its README says the same.
const SHA256: &str = "dd52907fbd317e94da42da58e076755bc6d8e66044c3e341e294ac29b85955e0";

#[test]
fn info_gives_every_key_as_json() {
    let info = Place::new().json(&["info", "--json", text(&small())]);
    assert_eq!(info["format"], "vhdx");
    assert_eq!(info["subformat"], "dynamic");
    assert_eq!(info["virtual_size"], SIZE);
    assert_eq!(info["file_size"], 6 << 20);
    assert!(info["allocated_size"].is_u64());
    assert_eq!(info["logical_sector_size"], 512);
    assert_eq!(info["physical_sector_size"], 4096);
    assert_eq!(info["block_size"], 1 << 20);
    assert_eq!(info["id"], "64697363-706f-7274-0000-000000000003");
    assert_eq!(info["data_id"], "64697363-706f-7274-0000-000000000002");
    assert_eq!(info["creator"], "diskport testdata");
    assert!(info["parent"].is_null());
    assert_eq!(info["chain"].as_array().map(Vec::len), Some(1));
    assert_eq!(info["dirty_log"], false);
    let files = info["files"].as_array().expect("a list of files");
    assert_eq!(files.len(), 1);
    assert_eq!(files[0]["path"], text(&small()));
    assert!(files[0]["role"].is_string());
    assert_eq!(info["warnings"], Value::Array(Vec::new()));
}

#[test]
fn info_without_json_is_for_people() {
    let output = Place::new().run(&["info", text(&small())], DONE);
    let shown = String::from_utf8(output.stdout).expect("text");
    assert!(shown.contains("vhdx") && shown.contains("16777216"), "{shown}");
}

#[test]
fn map_covers_the_disk_without_gaps() {
    let map = Place::new().json(&["map", "--json", text(&small())]);
    let extents = map.as_array().expect("a list of extents");
    let mut at = 0;
    for extent in extents {
        assert_eq!(extent["start"], at);
        at += extent["length"].as_u64().expect("a length");
        match extent["kind"].as_str() {
            Some("data") => {
                assert_eq!(extent["file"], text(&small()));
                assert!(extent["offset"].is_u64());
                assert_eq!(extent["depth"], 0);
                assert_eq!(extent["compressed"], false);
            }
            Some("zero" | "absent") => assert!(extent["offset"].is_null()),
            other => panic!("kind {other:?}"),
        }
    }
    assert_eq!(at, SIZE);
    let data: Vec<_> = extents.iter().filter(|extent| extent["kind"] == "data").collect();
    assert_eq!(data.len(), 2, "the blocks at 0 and 9 MiB");
    assert_eq!((&data[1]["start"], &data[1]["offset"]), (&(9 << 20).into(), &(5 << 20).into()));
}

#[test]
fn convert_reports_the_digests_that_are_asked_for() {
    let place = Place::new();
    let (source, output) = (small(), place.path("out.vmdk"));
    let arguments = ["convert", text(&source), text(&output), "--digest", "sha256,md5", "--digest", "blake3"];
    let report = place.json(&[&arguments[..], &["--json"]].concat());
    assert_eq!(report["digests"]["sha256"], SHA256);
    assert_eq!(report["digests"]["md5"].as_str().map(str::len), Some(32));
    assert_eq!(report["digests"]["blake3"].as_str().map(str::len), Some(64));
    let said = place.run(&[&arguments[..], &["--overwrite"]].concat(), DONE);
    assert!(error_text(&said).contains(&format!("sha256 {SHA256}")));
    place.run(&["convert", text(&source), text(&output), "--overwrite", "--digest", "sha1"], USAGE);
}

#[test]
fn hash_prints_digest_and_name() {
    let place = Place::new();
    let path = small();
    let line = |arguments: &[&str]| String::from_utf8(place.run(arguments, DONE).stdout).expect("text");
    assert_eq!(line(&["hash", text(&path)]), format!("{SHA256}  {}\n", path.display()));
    assert_eq!(
        line(&["hash", "--algorithm", "sha256", text(&path)]),
        format!("{SHA256}  {}\n", path.display())
    );
    for (algorithm, digits) in [("md5", 32), ("blake3", 64)] {
        let line = line(&["hash", "--algorithm", algorithm, text(&path)]);
        let (digest, name) = line.trim_end().split_once("  ").expect("two columns");
        assert_eq!((digest.len(), name), (digits, text(&path)), "{algorithm}");
    }
    place.run(&["hash", "--algorithm", "crc", text(&path)], USAGE);
}

#[test]
fn compare_tells_the_first_difference() {
    let place = Place::new();
    place.run(&["convert", text(&small()), "same.raw"], DONE);
    place.run(&["compare", text(&small()), "same.raw"], DONE);
    let mut content = fs::read(place.path("same.raw")).expect("the output");
    content[5_000_001] ^= 1;
    place.file("other.raw", &content);
    let output = place.run(&["compare", text(&small()), "other.raw"], DIFFER);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &error_text(&output);
    assert!(said.contains("5000001"), "{said}");
}

#[test]
fn read_writes_the_bytes_and_nothing_else() {
    let place = Place::new();
    let output = place.run(&["read", text(&small()), "--offset", "0", "--length", "512"], DONE);
    assert_eq!(output.stdout.len(), 512);
    assert_eq!(output.stdout[510..], [0x55, 0xaa]);
    let output = place.run(&["read", text(&small()), "--offset", "64K", "--length", "1M"], DONE);
    assert_eq!(output.stdout.len(), 1 << 20);
    assert_eq!(&output.stdout[3..11], b"DISKPORT");
    place.run(&["read", text(&small()), "--offset", "16M", "--length", "1"], USAGE);
}

#[test]
fn sizes_take_suffixes() {
    let place = Place::new();
    let source = place.raw("source.raw");
    for (given, expected) in [("2097152", 2 << 20), ("2048K", 2 << 20), ("3M", 3 << 20), ("1G", 1 << 30)] {
        place.run(&["convert", text(&source), "out.raw", "--size", given, "--overwrite"], DONE);
        assert_eq!(fs::metadata(place.path("out.raw")).expect("the output").len(), expected, "{given}");
    }
    for wrong in ["3X", "--1", "M", "99999999999T"] {
        place.run(&["convert", text(&source), "new.raw", &format!("--size={wrong}")], USAGE);
    }
    place.run(&["convert", text(&source), "new.raw", "--size", "512K"], PRECONDITION);
    assert!(!place.path("new.raw").exists());
}

#[test]
fn an_existing_output_is_refused_and_kept() {
    let place = Place::new();
    let source = place.raw("source.raw");
    place.file("out.vmdk", b"precious");
    for command in ["convert", "reverse-image"] {
        let output = place.run(&[command, text(&source), "out.vmdk"], PRECONDITION);
        assert!(error_text(&output).contains("--overwrite"), "says what to do: {}", error_text(&output));
        assert_eq!(fs::read(place.path("out.vmdk")).expect("still there"), b"precious");
    }
    place.run(&["convert", text(&source), "out.vmdk", "--overwrite"], DONE);
    assert_eq!(place.json(&["info", "--json", "out.vmdk"])["virtual_size"], 1 << 20);
    assert_eq!(place.names(), ["out.vmdk", "source.raw"], "nothing else is left");
}

#[test]
fn a_failed_conversion_leaves_nothing() {
    let place = Place::new();
    let mut image = fs::read(small()).expect("the image");
    // The first block lies beyond the end of the file.
    image.truncate(4 << 20);
    place.file("cut.vhdx", &image);
    place.run(&["convert", "cut.vhdx", "out.vmdk"], REFUSED);
    assert_eq!(place.names(), ["cut.vhdx"]);
}

#[cfg(unix)]
#[test]
fn a_limit_on_file_sizes_is_an_error_and_leaves_nothing() {
    let place = Place::new();
    place.file("source.raw", &vec![7; 4 << 20]);
    for format in ["raw", "vmdk", "vhdx"] {
        let line = format!("ulimit -f 2048; \"$0\" convert source.raw out --format {format} 2>/dev/null");
        assert_eq!(shell(&place, &line), Some(IO), "{format}");
        assert_eq!(place.names(), ["source.raw"], "{format}");
    }
}

#[cfg(unix)]
#[test]
fn progress_is_told_as_lines_of_json() {
    let place = Place::new();
    place.raw("source.raw");
    let arguments = ["convert", "source.raw", "out.vhdx", "--verify", "--rate-limit", "4M", "--progress"];
    let output = place.run(&[&arguments[..], &["json"]].concat(), DONE);
    let lines = error_text(&output);
    let lines: Vec<Value> = lines
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert!(lines.len() >= 3, "{lines:?}");
    for line in &lines {
        let percent = line["percent"].as_f64().expect("a number");
        let (done, total) = (line["done"].as_u64().expect("a number"), line["total"].as_u64());
        assert!((0.0..=100.0).contains(&percent) && total == Some(1 << 20) && done <= 1 << 20, "{line}");
        assert!(line["rate"].is_u64() && (line["seconds_left"].is_u64() || line["seconds_left"].is_null()));
        assert!(["copy", "verify", "sync"].contains(&line["phase"].as_str().expect("text")), "{line}");
    }
    assert_eq!((&lines[0]["phase"], &lines[lines.len() - 1]["percent"]), (&"copy".into(), &100.0.into()));
    for (mode, says) in [("bar", "copy ["), ("none", ""), ("auto", "")] {
        let output = place.run(&[&arguments[..], &[mode, "--overwrite"]].concat(), DONE);
        let text = error_text(&output);
        assert!(text.contains(says) && (says.is_empty() != text.contains("copy [")), "{mode}: {text}");
    }
}

#[cfg(unix)]
#[test]
fn nobody_listening_on_standard_error_changes_nothing() {
    let place = Place::new();
    place.file("source.raw", &vec![7; 1 << 20]);
    for (arguments, code) in [(&["convert", "source.raw", "out.raw"][..], DONE), (&["info", "nothing"], IO)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_diskport"));
        let mut child = command
            .args(arguments)
            .current_dir(place.0.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("diskport runs");
        drop(child.stderr.take());
        assert_eq!(child.wait().expect("it ends").code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn formats_follow_the_option_or_the_name() {
    let place = Place::new();
    let source = place.raw("source.raw");
    for (arguments, format, subformat) in [
        (&["by-name.vmdk"][..], "vmdk", None),
        (&["by-name.raw"][..], "raw", None),
        (&["forced.bin", "--format", "vmdk"][..], "vmdk", None),
        (&["sparse.vmdk", "--subformat", "monolithicSparse"][..], "vmdk", Some("monolithicSparse")),
        (&["flat.vmdk", "--subformat", "monolithicFlat"][..], "vmdk", Some("monolithicFlat")),
        (&["vmfs.vmdk", "--subformat", "vmfs"][..], "vmdk", Some("vmfs")),
        (&["stream.vmdk", "--subformat", "streamOptimized"][..], "vmdk", Some("streamOptimized")),
    ] {
        place.run(&[&["convert", text(&source)], arguments].concat(), DONE);
        // What is called like a raw disk is a VMDK when that is said.
        let forced = arguments.contains(&"--format").then_some(["--format", format]);
        let forced = forced.as_ref().map_or(&[][..], |forced| forced);
        let info = place.json(&[&["info", "--json", arguments[0]], forced].concat());
        assert_eq!(info["format"], format, "{arguments:?}");
        if let Some(subformat) = subformat {
            assert_eq!(info["subformat"], subformat, "{arguments:?}");
        }
        let forced = forced.last().map_or(vec![], |format| vec!["--format-b", format]);
        place.run(&[&["compare", text(&source), arguments[0]], &forced[..]].concat(), DONE);
    }
    let names = place.names();
    assert!(
        names.contains(&"flat-flat.vmdk".into()) && names.contains(&"vmfs-flat.vmdk".into()),
        "{names:?}"
    );
    for name in ["disk.base", "disk.top"] {
        place.run(
            &["create", name, "--format", "vmdk", "--subformat", "monolithicFlat", "--size", "1M"],
            DONE,
        );
    }
}

#[test]
fn a_raw_source_is_raw_by_name_or_by_word() {
    let place = Place::new();
    let content = fs::read(place.raw("disk.raw")).expect("the disk");
    for ending in ["img", "dd", "bin"] {
        let name = format!("disk.{ending}");
        place.file(&name, &content);
        assert_eq!(place.json(&["info", "--json", &name])["format"], "raw");
    }
    place.file("disk.unknown", &content);
    let output = place.run(&["info", "disk.unknown"], REFUSED);
    assert!(error_text(&output).contains("--format"), "{}", error_text(&output));
    assert_eq!(place.json(&["info", "--json", "--format", "raw", "disk.unknown"])["format"], "raw");
    // The content decides, not the name; but that of a raw disk is the guest's own, and decides nothing.
    fs::copy(small(), place.path("vhdx.vhd")).expect("a copy");
    assert_eq!(place.json(&["info", "--json", "vhdx.vhd"])["format"], "vhdx");
    fs::copy(small(), place.path("vhdx.raw")).expect("a copy");
    let said = error_text(&place.run(&["info", "vhdx.raw"], REFUSED));
    assert!(said.contains("raw, VHDX") && said.contains("--format"), "{said}");
    assert_eq!(place.json(&["info", "--json", "--format", "vhdx", "vhdx.raw"])["format"], "vhdx");
    place.run(&["info", "--format", "vhd", "vhdx.raw"], REFUSED);
}

#[test]
fn a_dash_streams_to_standard_output() {
    let place = Place::new();
    let source = place.raw("source.raw");
    let output = place.run(&["convert", text(&source), "-", "--format", "raw"], DONE);
    assert!(output.stdout == fs::read(&source).expect("the source"), "the disk and nothing else");
    let arguments = ["convert", text(&source), "-", "--format", "vmdk", "--subformat", "streamOptimized"];
    let output = place.run(&arguments, DONE);
    place.file("piped.vmdk", &output.stdout);
    place.run(&["compare", text(&source), "piped.vmdk"], DONE);
    place.run(&["convert", text(&source), "-", "--format", "vmdk", "--subformat", "monolithicFlat"], USAGE);
    assert_eq!(place.names(), ["piped.vmdk", "source.raw"]);
}

#[test]
fn standard_output_is_kept_clean() {
    let place = Place::new();
    let source = place.raw("source.raw");
    for progress in ["auto", "bar", "none"] {
        let arguments = ["convert", text(&source), "-", "--format", "raw", "--progress", progress];
        assert_eq!(place.run(&arguments, DONE).stdout.len(), 1 << 20, "{progress}");
    }
    let output = place.run(&["convert", text(&source), "-", "--format", "raw", "--progress", "json"], DONE);
    assert_eq!(output.stdout.len(), 1 << 20);
    let shown = error_text(&output);
    let last = shown.lines().rfind(|line| line.starts_with('{')).expect("at least the end is reported");
    let update: Value = serde_json::from_str(last).expect("a line of JSON");
    assert_eq!(update["percent"].as_f64(), Some(100.0));
    place.run(&["convert", text(&source), "x.raw", "--progress", "loud"], USAGE);
}

#[test]
fn verify_reads_the_output_back() {
    let place = Place::new();
    place.run(&["convert", text(&small()), "out.vmdk", "--verify"], DONE);
    place.run(&["compare", text(&small()), "out.vmdk"], DONE);
}

#[test]
fn reverse_image_makes_a_vmdk_of_the_size_asked_for() {
    let place = Place::new();
    place.run(&["reverse-image", text(&small()), "out.vmdk", "--size-mib", "20", "--verify"], DONE);
    let info = place.json(&["info", "--json", "out.vmdk"]);
    assert_eq!((&info["format"], &info["virtual_size"]), (&"vmdk".into(), &(20_u64 << 20).into()));
    let output =
        place.run(&["reverse-image", text(&small()), "small.vmdk", "--size-mib", "15"], PRECONDITION);
    let said = error_text(&output);
    assert!(said.contains("16777216") && said.contains("15728640"), "names both sizes: {said}");
    assert_eq!(place.names(), ["out.vmdk"]);
}

#[test]
fn exit_codes_tell_causes_apart() {
    let place = Place::new();
    let source = place.raw("source.raw");
    place.run(&["no-such-command"], USAGE);
    place.run(&["info"], USAGE);
    place.run(&["info", text(&source), "--no-such-option"], USAGE);
    place.run(&["info", text(&source), "--format", "qcow2"], USAGE);
    place.run(&["convert", text(&source), "out.xyz", "--format", "qcow2"], USAGE);
    place.run(&["convert", text(&source), "out.vmdk", "--subformat", "fancy"], USAGE);
    place.run(&["info", text(&source), "--resolve", "sometimes"], USAGE);
    place.run(&["info", "absent.vhdx"], IO);
    place.run(&["convert", "absent.vhdx", "out.raw"], IO);
    place.run(&["convert", text(&source), "no-folder/out.raw"], IO);
    place.run(&["info", text(&place.file("text.vhdx", b"no disk at all"))], REFUSED);
    assert_eq!(place.names(), ["source.raw", "text.vhdx"], "no output, not even a part of one");
}

#[test]
fn an_error_is_one_sentence_and_what_to_do() {
    let place = Place::new();
    let output = place.run(&["info", text(&place.file("text.vhdx", b"no disk at all"))], REFUSED);
    assert!(output.stdout.is_empty());
    let said = error_text(&output);
    assert!(said.contains("text.vhdx") && said.contains("--format"), "{said}");
    assert!(said.lines().count() <= 3, "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let place = Place::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_diskport"))
        .args(["read", text(&small()), "--offset", "0", "--length", "16M"])
        .current_dir(place.0.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("diskport runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(!error_text(&output).contains("panicked"), "{}", error_text(&output));
    assert_ne!(output.status.code(), Some(DONE));
}

/// A child that differs in nothing, over its parent, and what they read as.
fn vmdk_chain(place: &Place) {
    place.raw("source.raw");
    place.run(&["convert", "source.raw", "base.vmdk"], DONE);
    place.run(&["create", "top.vmdk", "--parent", "base.vmdk"], DONE);
}

#[test]
fn a_chain_is_shown_from_the_top() {
    let place = Place::new();
    vmdk_chain(&place);
    let info = place.json(&["info", "--json", "top.vmdk"]);
    assert_eq!(info["chain"].as_array().map(Vec::len), Some(2));
    assert_eq!(info["parent"]["path"], "base.vmdk");
    assert!(info["parent"]["id"].is_string());
    assert!(!info["parent"]["resolved"].is_null());
    place.run(&["compare", "top.vmdk", "source.raw"], DONE);
    let map = place.json(&["map", "--json", "top.vmdk"]);
    assert!(map.as_array().expect("extents").iter().any(|extent| extent["depth"] == 1));
}

#[test]
fn a_missing_parent_stops_reading_but_not_info() {
    let place = Place::new();
    vmdk_chain(&place);
    fs::create_dir(place.path("elsewhere")).expect("a folder");
    fs::rename(place.path("base.vmdk"), place.path("elsewhere/moved.vmdk")).expect("moved");
    let info = place.json(&["info", "--json", "top.vmdk"]);
    assert_eq!(info["virtual_size"], 1 << 20);
    assert_eq!(info["chain"].as_array().map(Vec::len), Some(1));
    for arguments in [
        &["hash", "top.vmdk"][..],
        &["convert", "top.vmdk", "out.raw"][..],
        &["read", "top.vmdk", "--offset", "0", "--length", "512"][..],
        &["compare", "top.vmdk", "source.raw"][..],
    ] {
        let output = place.run(arguments, PRECONDITION);
        assert!(error_text(&output).contains("--parent"), "{}", error_text(&output));
    }
    assert!(!place.path("out.raw").exists());
    place.run(&["hash", "top.vmdk", "--parent", "elsewhere/moved.vmdk"], DONE);
}

#[test]
fn another_parent_is_refused_unless_told() {
    let place = Place::new();
    vmdk_chain(&place);
    place.run(
        &["convert", text(&small()), "base.vmdk", "--overwrite", "--subformat", "monolithicSparse"],
        DONE,
    );
    place.run(&["hash", "top.vmdk"], PRECONDITION);
    place.run(&["info", "top.vmdk"], DONE);
    place.run(&["hash", "top.vmdk", "--ignore-parent-mismatch"], DONE);
}

#[test]
fn an_extent_outside_the_folder_is_not_opened() {
    let place = Place::new();
    let descriptor = "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n\
                      createType=\"monolithicFlat\"\nRW 1 FLAT \"/etc/passwd\" 0\n";
    place.file("leak.vmdk", descriptor.as_bytes());
    for command in ["hash", "info", "map"] {
        let output = place.run(&[command, "leak.vmdk"], REFUSED);
        assert!(output.stdout.is_empty());
        assert!(error_text(&output).contains("/etc/passwd"), "{}", error_text(&output));
    }
    place.run(&["hash", "leak.vmdk", "--resolve", "none"], REFUSED);
}

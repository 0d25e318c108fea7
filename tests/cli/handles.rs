//! Disks of many files, under a limit of open files.

use std::fs;
use std::process::{Command, Output};

use crate::place::{DONE, IO, Place, error_text};

/// Runs `diskport` under a limit of open files, soft or hard; gives up on it after a minute.
fn limited(place: &Place, ulimit: &str, arguments: &[&str]) -> Output {
    let line = format!("ulimit {ulimit} && exec timeout -s KILL 60 \"$0\" \"$@\"");
    let mut shell = Command::new("sh");
    shell.args(["-c", &line, env!("CARGO_BIN_EXE_diskport")]).args(arguments);
    shell.current_dir(place.0.path()).output().expect("sh runs")
}

/// Whichever of the files it is that is one too many: the command ends, says what to do, and that helps.
#[test]
fn too_few_handles_end_a_command_with_advice() {
    let place = Place::new();
    place.raw("source.raw");
    for arguments in [
        &["convert", "source.raw", "out.vhd", "--resume"][..],
        &["convert", "source.raw", "out.vhd", "--plan", "plan.json", "--shard", "1/1"],
    ] {
        if arguments.contains(&"--plan") {
            let plan = place.run(&["plan", "source.raw", "out.vhd"], DONE);
            place.file("plan.json", &plan.stdout);
        }
        let mut done = 0;
        for limit in 8..32 {
            let output = limited(&place, &format!("-n {limit}"), arguments);
            let text = error_text(&output);
            match output.status.code() {
                Some(DONE) => done += 1,
                Some(IO) => assert!(text.contains("ulimit -n"), "{arguments:?} {limit}: {text}"),
                other => panic!("{arguments:?} {limit}: {other:?} {text}"),
            }
            fs::remove_file(place.path("out.vhd")).ok();
        }
        assert!(done > 0, "what the advice says helps");
    }
}

/// A disk in more pieces than files may be open: what is read does not depend on it.
#[test]
fn a_disk_of_many_pieces_needs_few_handles() {
    const PIECES: u32 = 3000;
    const PIECE: usize = 4096;
    let place = Place::new();
    let mut text = "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n".to_owned();
    text += "createType=\"twoGbMaxExtentFlat\"\n";
    let mut content = Vec::new();
    for number in 0..PIECES {
        let name = format!("d-f{number:04}.vmdk");
        let piece: Vec<u8> = number.to_le_bytes().into_iter().cycle().take(PIECE).collect();
        place.file(&name, &piece);
        content.extend(piece);
        text += &format!("RW {} FLAT \"{name}\" 0\n", PIECE / 512);
    }
    place.file("d.vmdk", text.as_bytes());
    place.file("d.raw", &content);
    let run = |arguments: &[&str]| {
        let output = limited(&place, "-n 256", arguments);
        assert_eq!(output.status.code(), Some(DONE), "{arguments:?}: {}", error_text(&output));
        output.stdout
    };
    for command in ["info", "map", "check", "partitions"] {
        run(&[command, "d.vmdk"]);
    }
    let digest = |image| run(&["hash", image])[..64].to_vec();
    assert_eq!(digest("d.vmdk"), digest("d.raw"));
    run(&["compare", "d.vmdk", "d.raw"]);
    run(&["compare", "d.vmdk", "d.vmdk", "--resolve", "any"]);
    run(&["convert", "d.vmdk", "out.raw", "--threads", "4", "--verify"]);
    assert!(fs::read(place.path("out.raw")).expect("the copy") == content);
    // Each that is written to has its lock, and so its handle.
    let write = ["write", "d.vmdk", "--offset", "0", "--zeroes", "512"];
    let output = limited(&place, "-n 256", &write);
    assert_eq!(output.status.code(), Some(IO));
    assert!(error_text(&output).contains("ulimit -n"), "{}", error_text(&output));
    assert_eq!(digest("d.vmdk"), digest("d.raw"), "nothing is changed");
    // So has each of a child's parent.
    let output = limited(&place, "-n 256", &["create", "child.vmdk", "--parent", "d.vmdk"]);
    assert_eq!(output.status.code(), Some(IO));
    assert!(error_text(&output).contains("ulimit -n"), "{}", error_text(&output));
}

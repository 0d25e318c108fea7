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

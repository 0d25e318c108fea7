//! Ctrl-C, and other requests to end; what is ignored is read from Linux's proc.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::place::Place;

/// Our program, with signals treated as usual whatever our own caller has ignored, and then as `env` is told to.
fn diskport(place: &Place, env: &[&str]) -> Command {
    let mut command = Command::new("env");
    command.arg("--default-signal=HUP,INT,TERM").args(env).arg(env!("CARGO_BIN_EXE_diskport"));
    command.current_dir(place.0.path());
    command
}

fn signal(name: &str, child: &Child) {
    let kill = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
    assert!(kill.expect("kill runs").success());
}

#[test]
fn an_interrupt_cancels_and_leaves_nothing() {
    for name in ["INT", "HUP", "TERM"] {
        let place = Place::new();
        place.raw("source.raw");
        let mut command = diskport(&place, &[]);
        command.args(["convert", "source.raw", "out.vmdk", "--rate-limit", "1K"]);
        let mut child = command.stderr(Stdio::null()).spawn().expect("runs");
        while place.names().len() < 2 {
            std::thread::sleep(Duration::from_millis(5));
        }
        signal(name, &child);
        assert_eq!(child.wait().expect("ends").code(), Some(130), "{name}");
        assert_eq!(place.names(), ["source.raw"]);
    }
}

/// As under `nohup`, or in the background of a script.
#[test]
fn what_the_caller_has_ignored_stays_ignored() {
    let place = Place::new();
    place.raw("source.raw");
    let mut command = diskport(&place, &["--ignore-signal=HUP,INT"]);
    command.args(["convert", "source.raw", "out.vmdk", "--rate-limit", "1M"]);
    let mut child = command.stderr(Stdio::null()).spawn().expect("runs");
    while place.names().len() < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    signal("HUP", &child);
    signal("INT", &child);
    assert_eq!(child.wait().expect("ends").code(), Some(0));
    assert_eq!(place.names(), ["out.vmdk", "source.raw"]);
}

/// Also while a write into a pipe hangs that nobody reads, and while zeros are hashed for hours.
#[test]
fn an_interrupt_ends_what_waits_within_a_tenth_of_a_second() {
    let place = Place::new();
    place.raw("source.raw");
    fs::File::create(place.path("zeros.raw")).and_then(|file| file.set_len(1 << 42)).expect("a sparse file");
    for arguments in [&["convert", "source.raw", "-", "--format", "raw"][..], &["hash", "zeros.raw"]] {
        let delays = (0..3).map(|_| {
            let mut command = diskport(&place, &[]);
            command.args(arguments).args(["--progress", "json"]);
            // What it writes stays in the pipe.
            let pipes = command.stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = pipes.spawn().expect("diskport runs");
            let mut line = String::new();
            let mut says = BufReader::new(child.stderr.take().expect("a pipe"));
            says.read_line(&mut line).expect("it says that it works");
            let begun = Instant::now();
            signal("INT", &child);
            assert_eq!(child.wait().expect("ends").code(), Some(130), "{arguments:?}");
            begun.elapsed()
        });
        let least = delays.min().expect("three times");
        assert!(least < Duration::from_millis(100), "{arguments:?}: {least:?}");
    }
}

//! Ctrl-C, and other requests to end; what is ignored is read from Linux's proc.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, kill_process};

use crate::common::tools::{Missing, Trouble, tool, trial};
use crate::place::Place;

pub fn trials() -> Vec<Trial> {
    vec![
        trial(
            "signals::an_interrupt_cancels_and_leaves_nothing".into(),
            an_interrupt_cancels_and_leaves_nothing,
        ),
        trial(
            "signals::what_the_caller_has_ignored_stays_ignored".into(),
            what_the_caller_has_ignored_stays_ignored,
        ),
        trial(
            "signals::an_interrupt_ends_what_waits_within_a_tenth_of_a_second".into(),
            an_interrupt_ends_what_waits_within_a_tenth_of_a_second,
        ),
    ]
}

/// Our program, with signals treated as usual whatever our own caller has ignored, and then as `env` is told to.
fn diskport(place: &Place, env: &[&str]) -> Result<Command, Missing> {
    let mut command = tool("env")?;
    command.arg("--default-signal=HUP,INT,TERM").args(env).arg(env!("CARGO_BIN_EXE_diskport"));
    command.current_dir(place.0.path());
    Ok(command)
}

fn send(signal: Signal, child: &Child) {
    kill_process(Pid::from_child(child), signal).expect("kills");
}

fn an_interrupt_cancels_and_leaves_nothing() -> Result<(), Trouble> {
    for signal in [Signal::INT, Signal::HUP, Signal::TERM] {
        let place = Place::new();
        place.raw("source.raw");
        let mut command = diskport(&place, &[])?;
        command.args(["convert", "source.raw", "out.vmdk", "--rate-limit", "1K"]);
        let mut child = command.stderr(Stdio::null()).spawn().expect("runs");
        while place.names().len() < 2 {
            std::thread::sleep(Duration::from_millis(5));
        }
        send(signal, &child);
        assert_eq!(child.wait().expect("ends").code(), Some(130), "{signal:?}");
        assert_eq!(place.names(), ["source.raw"]);
    }
    Ok(())
}

/// As under `nohup`, or in the background of a script.
fn what_the_caller_has_ignored_stays_ignored() -> Result<(), Trouble> {
    let place = Place::new();
    place.raw("source.raw");
    let mut command = diskport(&place, &["--ignore-signal=HUP,INT"])?;
    command.args(["convert", "source.raw", "out.vmdk", "--rate-limit", "1M"]);
    let mut child = command.stderr(Stdio::null()).spawn().expect("runs");
    while place.names().len() < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    send(Signal::HUP, &child);
    send(Signal::INT, &child);
    assert_eq!(child.wait().expect("ends").code(), Some(0));
    assert_eq!(place.names(), ["out.vmdk", "source.raw"]);
    Ok(())
}

/// Also while a write into a pipe hangs that nobody reads, and while zeros are hashed for hours.
fn an_interrupt_ends_what_waits_within_a_tenth_of_a_second() -> Result<(), Trouble> {
    let place = Place::new();
    place.raw("source.raw");
    fs::File::create(place.path("zeros.raw")).and_then(|file| file.set_len(1 << 42)).expect("a sparse file");
    for arguments in [&["convert", "source.raw", "-", "--format", "raw"][..], &["hash", "zeros.raw"]] {
        let delays = (0..3).map(|_| {
            let mut command = diskport(&place, &[])?;
            command.args(arguments).args(["--progress", "json"]);
            // What it writes stays in the pipe.
            let pipes = command.stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = pipes.spawn().expect("diskport runs");
            let mut line = String::new();
            let mut says = BufReader::new(child.stderr.take().expect("a pipe"));
            says.read_line(&mut line).expect("it says that it works");
            let begun = Instant::now();
            send(Signal::INT, &child);
            assert_eq!(child.wait().expect("ends").code(), Some(130), "{arguments:?}");
            Ok::<_, Trouble>(begun.elapsed())
        });
        let delays = delays.collect::<Result<Vec<_>, _>>()?;
        let least = *delays.iter().min().expect("three times");
        assert!(least < Duration::from_millis(100), "{arguments:?}: {least:?}");
    }
    Ok(())
}

//! The commands of a session.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use diskport::disk::MappingKind;

use super::device::Device;
use super::request::Request;
use crate::failure;
use crate::image::Image;
use crate::options::Options;
use crate::size;

/// A session: at most one open image, and the requests that are still under way on it.
#[derive(Default)]
pub struct Session {
    /// The format of images that are opened without saying which.
    pub format: Option<String>,
    /// Whether anything went wrong.
    pub failed: bool,
    image: Option<Image>,
    device: Option<Arc<Device>>,
    running: Vec<JoinHandle<(String, bool)>>,
}

impl Session {
    /// Opens the image `name`, or the one that `options` describe.
    pub fn open(&mut self, name: Option<&str>, options: Option<&str>, how: &Options) -> Result<(), String> {
        let image = match (options, name) {
            _ if self.device.is_some() => return Err("file open already, try 'help close'".to_owned()),
            (Some(options), file) => Image::described(options, file),
            (None, Some(name)) => Image::named(name, self.format.as_deref()),
            (None, None) => Err("no file named".to_owned()),
        };
        let opened = image.and_then(|image| Ok((Device::open(&image, how.has('r'), how.has('s'))?, image)));
        let device = name.map_or(String::new(), |name| format!(" device {name}"));
        let (opened, image) = opened.map_err(|why| format!("can't open{device}: {why}"))?;
        self.device = Some(Arc::new(opened));
        self.image = Some(image);
        Ok(())
    }

    /// Runs one command; whether the session goes on.
    pub fn run(&mut self, line: &str) -> bool {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let Some((command, args)) = words.split_first() else { return true };
        let done = match &**command {
            "quit" | "q" => return false,
            "open" => {
                if let Err(message) = self.reopen(args) {
                    eprintln!("qemu-io: {message}");
                    self.failed = true;
                }
                Ok(())
            }
            "close" => {
                self.close();
                Ok(())
            }
            "alloc" => self.alloc(args),
            "flush" => self.flush(),
            "aio_flush" => {
                self.drain();
                Ok(())
            }
            "read" | "readv" | "write" | "writev" | "discard" | "aio_read" | "aio_write" => {
                self.request(command, args)
            }
            _ => Err(format!("command \"{command}\" not found")),
        };
        if let Err(message) = done {
            println!("{message}");
            self.failed = true;
        }
        true
    }

    /// Waits for what is under way and closes the image.
    pub fn close(&mut self) {
        self.drain();
        self.image = None;
        if let Some(Err(e)) = self.device.take().and_then(Arc::into_inner).map(Device::close) {
            println!("close failed: {}", failure::of(&e));
            self.failed = true;
        }
    }

    /// `open [-r] [-s] [-o OPTIONS] [FILE]`
    fn reopen(&mut self, args: &[String]) -> Result<(), String> {
        let options = Options::parse(args, "rso:", &[])?;
        let name = options.operands.first().map(String::as_str);
        self.open(name, options.value('o'), &options)
    }

    /// Reads or writes; what is asynchronous goes on beside the commands that follow.
    fn request(&mut self, command: &str, args: &[String]) -> Result<(), String> {
        let device = self.device.clone().ok_or("no file open, try 'help open'")?;
        let request = Request::parse(command, args)?;
        if command.starts_with("aio_") {
            self.running.push(thread::spawn(move || request.perform(&device)));
        } else {
            let (text, well) = request.perform(&device);
            self.say(&text, well);
        }
        Ok(())
    }

    /// `alloc OFFSET LENGTH`: how many of these bytes the image itself holds, as opposed to its parents.
    fn alloc(&mut self, args: &[String]) -> Result<(), String> {
        let [start, len] = Options::parse(args, "", &[])?.exactly().map(|texts| texts.map(size::parse))?;
        let (start, len) = (start?, len?);
        self.flush()?;
        let image = self.image.as_ref().ok_or("no file open, try 'help open'")?;
        let mut allocated = 0;
        for extent in image.open()?.extents(start..start.saturating_add(len)) {
            let extent = extent.map_err(|e| failure::of(&e))?;
            if extent.depth == 0 && extent.kind != MappingKind::Absent {
                allocated += extent.len;
            }
        }
        println!("{allocated}/{len} bytes allocated at offset {}", size::rounded(start));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), String> {
        self.drain();
        match self.device.as_deref() {
            Some(Device::Writing { disk, .. }) => {
                disk.flush().map_err(|e| format!("flush failed: {}", failure::of(&e)))
            }
            _ => Ok(()),
        }
    }

    /// Waits for what is under way, and tells of it in the order in which it was begun.
    fn drain(&mut self) {
        for request in std::mem::take(&mut self.running) {
            let (text, well) = request.join().unwrap_or_else(|_| ("panicked\n".to_owned(), false));
            self.say(&text, well);
        }
    }

    fn say(&mut self, text: &str, well: bool) {
        print!("{text}");
        self.failed |= !well;
    }
}

//! The files and named pipes of shells and their commands.
//!
//! They are in a directory that every user of the shell can enter but not list, under names that can't be
//! guessed. The processes of a command can find out the names of its own standard streams.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use runner::protocol::Start;
use rustix::fs::{CWD, FileType, Mode, OFlags};

use crate::spawn;

/// Where the directory may be created, if commands have other users than this process.
const PARENTS: [&str; 3] = ["/run", "/dev/shm", "/tmp"];

/// The directory; dropping it removes it.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

/// The files of one command; dropping it removes them.
#[derive(Debug)]
pub(crate) struct CommandFiles {
    directory: PathBuf,
    end: PathBuf,
}

/// This process's ends of the named pipes of a command.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) stdout: OwnedFd,
    pub(super) stderr: Option<OwnedFd>,
    pub(super) end: File,
    /// The other ends of all of them: without a writer, a pipe seems to be at its end.
    pub(super) writers: Vec<OwnedFd>,
}

/// What a shell opens for a command.
#[derive(Debug)]
pub(super) struct Paths<'a> {
    pub(super) command: &'a Path,
    pub(super) stdin: &'a Path,
    pub(super) stdout: &'a Path,
    pub(super) stderr: &'a Path,
    pub(super) end: &'a Path,
}

impl Directory {
    /// Creates it in `own`, which only this process's user can enter, or else where other users can.
    pub(crate) fn create(own: Option<&Path>) -> io::Result<Self> {
        let parents = own.map_or_else(|| PARENTS.map(Path::new).to_vec(), |own| vec![own]);
        let mut failed = io::ErrorKind::NotFound.into();
        for parent in parents {
            match create_directory(parent.join(format!(".shells-{}", random_name()?))) {
                Ok(path) => return Ok(Self(path)),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Whether it is still where it was created. Root of a shell can move it.
    pub(crate) fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.0).is_ok_and(|found| found.is_dir())
    }

    /// A new script: its descriptor for writing, and its path.
    pub(super) fn script(&self) -> io::Result<(File, PathBuf)> {
        let path = self.0.join(random_name()?);
        make_fifo(&path, 0o644)?;
        let mut options = OpenOptions::new();
        let script = options.read(true).write(true).custom_flags(nonblocking()).open(&path);
        Ok((script.inspect_err(|_| remove(&path))?, path))
    }

    /// Writes what a shell needs for this command.
    pub(super) fn files(&self, start: &Start, text: &str) -> io::Result<(CommandFiles, Pipes)> {
        let directory = create_directory(self.0.join(random_name()?))?;
        // A process of the command that finds its standard streams by name does not find this one.
        let files = CommandFiles { directory, end: self.0.join(random_name()?) };
        let pipes = files.fill(start, text)?;
        Ok((files, pipes))
    }
}

impl CommandFiles {
    fn fill(&self, start: &Start, text: &str) -> io::Result<Pipes> {
        write_file(&self.path("command"), text.as_bytes())?;
        if !start.stdin.is_empty() {
            write_file(&self.path("stdin"), &start.stdin)?;
        }
        let (stdout, writer) = open_fifo(&self.path("stdout"))?;
        let mut writers = vec![writer];
        let stderr = if start.merge {
            None
        } else {
            let (stderr, writer) = open_fifo(&self.path("stderr"))?;
            writers.push(writer);
            Some(stderr)
        };
        let (end, writer) = open_fifo(&self.end)?;
        writers.push(writer);
        Ok(Pipes { stdout, stderr, end: end.into(), writers })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Calls `send` with the paths of the files.
    pub(super) fn with_paths<R>(&self, start: &Start, send: impl FnOnce(&Paths<'_>) -> R) -> R {
        let stdin =
            if start.stdin.is_empty() { PathBuf::from("/dev/null") } else { self.path("stdin") };
        send(&Paths {
            command: &self.path("command"),
            stdin: &stdin,
            stdout: &self.path("stdout"),
            stderr: &self.path("stderr"),
            end: &self.end,
        })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What can't be removed ends with the shell.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Drop for CommandFiles {
    fn drop(&mut self) {
        remove(&self.end);
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Removes a file, whose name no process can find any more if that fails.
pub(super) fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}

/// Creates a directory that others can enter but not list.
fn create_directory(path: PathBuf) -> io::Result<PathBuf> {
    DirBuilder::new().mode(0o711).create(&path)?;
    // Whatever the umask is, and whatever took its place: root of the shell can move it.
    let mut options = OpenOptions::new();
    let directory = options.read(true).custom_flags(flags(OFlags::DIRECTORY)).open(&path)?;
    directory.set_permissions(Permissions::from_mode(0o711))?;
    Ok(path)
}

fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(bytes)
}

/// Both ends of a new named pipe that others can write to.
fn open_fifo(path: &Path) -> io::Result<(OwnedFd, OwnedFd)> {
    make_fifo(path, 0o622)?;
    let mut options = OpenOptions::new();
    options.custom_flags(nonblocking());
    let read = options.read(true).open(path)?;
    let write = options.read(false).write(true).open(path)?;
    spawn::enlarge(&read);
    Ok((read.into(), write.into()))
}

fn make_fifo(path: &Path, mode: u32) -> io::Result<()> {
    rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(mode), 0)?;
    let mut options = OpenOptions::new();
    let fifo = options.read(true).write(true).custom_flags(nonblocking()).open(path)?;
    fifo.set_permissions(Permissions::from_mode(mode))
}

fn nonblocking() -> i32 {
    flags(OFlags::NONBLOCK)
}

/// Flags for a file that this process has made, and that is no link.
fn flags(flags: OFlags) -> i32 {
    (flags | OFlags::NOFOLLOW).bits().cast_signed()
}

/// A name that can't be guessed.
fn random_name() -> io::Result<String> {
    let mut bytes = [0; 12];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

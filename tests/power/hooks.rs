//! The system's own calls that change files, of this whole process: what `SQLite` and the standard library ask for is
//! noted, and may be refused.
//!
//! A definition in the program goes before that of the C library, for everything that is linked into it. Each call
//! here is passed on as it is, but for the two that sync: what is on the disk is the matter of [`crate::disk`], and a
//! thousand real syncs would only take time.
#![allow(unsafe_code, reason = "the C library's calls have no other form")]

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use libc::{c_char, c_int, c_uint, c_void, mode_t, off64_t, size_t, ssize_t};

use crate::journal::{Call, Journal, Op};

#[unsafe(no_mangle)]
unsafe extern "C" fn write(file: c_int, bytes: *const c_void, count: size_t) -> ssize_t {
    let pass = |count: size_t| unsafe { libc::syscall(libc::SYS_write, file, bytes, count) as ssize_t };
    let place = || unsafe { libc::lseek64(file, 0, libc::SEEK_CUR) };
    unsafe { written(file, bytes, count, place, pass) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite64(file: c_int, bytes: *const c_void, count: size_t, place: off64_t) -> ssize_t {
    let pass = |count: size_t| unsafe { libc::syscall(libc::SYS_pwrite64, file, bytes, count, place) as ssize_t };
    unsafe { written(file, bytes, count, || place, pass) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite(file: c_int, bytes: *const c_void, count: size_t, place: off64_t) -> ssize_t {
    unsafe { pwrite64(file, bytes, count, place) }
}

/// Writes `count` of these bytes at `place`, and notes as many as were written.
unsafe fn written(
    file: c_int,
    bytes: *const c_void,
    count: size_t,
    place: impl FnOnce() -> off64_t,
    pass: impl FnOnce(size_t) -> ssize_t,
) -> ssize_t {
    let Some((journal, path)) = of_file(file) else { return pass(count) };
    let mut notes = journal.notes();
    if let Some(error) = notes.refuses(Call::Write) {
        return refuse(error);
    }
    let offset = place() as u64;
    let written = pass(count);
    if written > 0 {
        let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), written as usize) };
        notes.add(Op::Write { path, offset, bytes: bytes.to_vec() });
    }
    written
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ftruncate64(file: c_int, length: off64_t) -> c_int {
    let pass = || unsafe { libc::syscall(libc::SYS_ftruncate, file, length) as c_int };
    let Some((journal, path)) = of_file(file) else { return pass() };
    noted(&journal, Call::Write, pass, || Op::Length { path, length: length as u64 })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ftruncate(file: c_int, length: off64_t) -> c_int {
    unsafe { ftruncate64(file, length) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fsync(file: c_int) -> c_int {
    let Some((journal, path)) = of_file(file) else { return 0 };
    noted(&journal, Call::Sync, || 0, || Op::Sync { path })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdatasync(file: c_int) -> c_int {
    unsafe { fsync(file) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn open64(name: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    let pass = || unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, name, flags, mode) as c_int };
    let path = path_of(name);
    let Some(journal) = Journal::over(&path).filter(|_| flags & (libc::O_CREAT | libc::O_TRUNC) != 0) else {
        return pass();
    };
    let there = unsafe { libc::access(name, libc::F_OK) } == 0;
    match (there, flags & libc::O_TRUNC != 0) {
        (true, false) => pass(),
        (true, true) => noted(&journal, Call::Write, pass, || Op::Length { path, length: 0 }),
        (false, _) => noted(&journal, Call::Create, pass, || Op::Create { path }),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn open(name: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    unsafe { open64(name, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mkdir(name: *const c_char, mode: mode_t) -> c_int {
    let pass = || unsafe { libc::syscall(libc::SYS_mkdirat, libc::AT_FDCWD, name, mode) as c_int };
    let path = path_of(name);
    let Some(journal) = Journal::over(&path) else { return pass() };
    noted(&journal, Call::Create, pass, || Op::Folder { path })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    let pass = || unsafe { libc::syscall(libc::SYS_renameat2, libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0) as c_int };
    let (from, to) = (path_of(from), path_of(to));
    let Some(journal) = Journal::over(&to) else { return pass() };
    noted(&journal, Call::Create, pass, || Op::Rename { from, to })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlink(name: *const c_char) -> c_int {
    let pass = || unsafe { libc::syscall(libc::SYS_unlinkat, libc::AT_FDCWD, name, 0) as c_int };
    let path = path_of(name);
    let Some(journal) = Journal::over(&path) else { return pass() };
    noted(&journal, Call::Remove, pass, || Op::Remove { path })
}

/// Does it, unless it is to be refused, and notes it where it succeeds, in one order for all threads.
fn noted(journal: &Journal, call: Call, pass: impl FnOnce() -> c_int, op: impl FnOnce() -> Op) -> c_int {
    let mut notes = journal.notes();
    if let Some(error) = notes.refuses(call) {
        return refuse(error) as c_int;
    }
    let done = pass();
    if done >= 0 {
        notes.add(op());
    }
    done
}

fn refuse(error: c_int) -> ssize_t {
    unsafe { *libc::__errno_location() = error };
    -1
}

fn path_of(name: *const c_char) -> PathBuf {
    Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes())).to_owned()
}

/// The journal that an open file is in, and its path; of a removed file nothing is of interest any more.
fn of_file(file: c_int) -> Option<(Journal, PathBuf)> {
    if !Journal::any() {
        return None;
    }
    let (link, mut path) = (format!("/proc/self/fd/{file}\0"), [0_u8; 4096]);
    let length = unsafe { libc::readlink(link.as_ptr().cast(), path.as_mut_ptr().cast(), path.len()) };
    let path = Path::new(OsStr::from_bytes(path.get(..usize::try_from(length).ok()?)?));
    let journal = Journal::over(path)?;
    (!path.as_os_str().as_bytes().ends_with(b" (deleted)")).then(|| (journal, path.to_owned()))
}

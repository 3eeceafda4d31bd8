//! What the C library keeps of memory that was given back.
//!
//! glibc maps a large block by itself and returns it to the system when it is freed, but what is large it learns from the
//! blocks that it sees: after the first training with matrices of tens of MiB, up to 64 MiB stay with the process for good
//! (`mallopt(3)`, "dynamic mmap threshold"). A device of 512 MiB has better use for them.

/// Blocks from this size on go back to the system when they are freed, and so does as much free room at the end of a heap.
/// Larger than most tensors within a backbone: their pages would otherwise be made anew for every image.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 4 << 20;

/// Has memory given back; before any thread begins.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code, reason = "the C library offers it to C only")]
pub(super) fn give_back() {
    // SAFETY: takes numbers, touches the allocator's own settings, and no other thread is there yet. Where the allocator does
    // not take them it stays as it is.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE);
    }
}

/// Other C libraries give back by themselves.
#[cfg(not(target_env = "gnu"))]
pub(super) fn give_back() {}

//! Whether the kernel hears of every change in a folder.

use std::path::Path;

/// Magic numbers of file systems that other machines or programs change unheard; from linux/magic.h and statfs(2).
const REMOTE: [u64; 10] = [
    0x6969,      // NFS
    0x517B,      // SMB
    0xFF53_4D42, // CIFS
    0xFE53_4D42, // SMB 2
    0x6573_5546, // FUSE
    0x0102_1997, // 9P
    0x00C3_6400, // Ceph
    0x5346_414F, // AFS
    0x7375_7245, // Coda
    0x0BD0_0BD0, // Lustre
];

/// Whether `path` lies on a network file system; false when that cannot be told.
pub(super) fn is_remote(path: &Path) -> bool {
    // Some architectures have a signed 32-bit field here, which would extend the sign.
    rustix::fs::statfs(path).is_ok_and(|statfs| REMOTE.contains(&(statfs.f_type as u64 & 0xFFFF_FFFF)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_file_systems_and_missing_paths_are_not_remote() {
        assert!(!is_remote(Path::new("/proc")));
        assert!(!is_remote(Path::new("/no/such/path")));
    }
}

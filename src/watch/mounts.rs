//! Which file systems are mounted at, above and below a folder.
//!
//! The kernel's notices tell neither of a file system that is mounted over a watched folder nor reliably of one that
//! goes, so the table of mounts is looked at from time to time.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// What is mounted where, as this process sees it.
#[derive(Debug, Default)]
pub(super) struct Mounts(Vec<Mount>);

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    /// The kernel's number for it.
    id: u64,
    point: PathBuf,
}

/// The mounts that a folder's content depends on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Around {
    /// What the folder lies on.
    on: Option<Mount>,
    /// What is mounted below it.
    below: Vec<Mount>,
}

impl Mounts {
    /// The table now; empty where the kernel does not show it.
    pub(super) fn now() -> Self {
        Self::parse(&fs::read("/proc/self/mountinfo").unwrap_or_default())
    }

    /// The format is that of `proc_pid_mountinfo(5)`: number and mount point are the first and the fifth field.
    fn parse(table: &[u8]) -> Self {
        let line = |line: &[u8]| {
            let mut fields = line.split(|byte| *byte == b' ');
            let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
            Some(Mount { id, point: OsString::from_vec(unescaped(fields.nth(3)?)).into() })
        };
        Self(table.split(|byte| *byte == b'\n').filter_map(line).collect())
    }

    /// Those around the folder with this canonical path.
    pub(super) fn around(&self, folder: &Path) -> Around {
        let above = self.0.iter().filter(|mount| folder.starts_with(&mount.point));
        // Of several at one place the last one is seen.
        let on = above.max_by_key(|mount| mount.point.components().count()).cloned();
        let below = self.0.iter().filter(|mount| mount.point.starts_with(folder) && mount.point != folder);
        Around { on, below: below.cloned().collect() }
    }
}

impl Around {
    /// Where the file system was mounted that the folder lay on, if it lies on one further up now.
    pub(super) fn unmounted(&self, before: &Self) -> Option<PathBuf> {
        let depth = |around: &Self| around.on.as_ref().map(|mount| mount.point.components().count());
        let former = before.on.as_ref()?;
        (depth(self) < depth(before)).then(|| former.point.clone())
    }
}

/// Blanks and the like stand as three octal digits after a backslash.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[3..] } else { tail };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                         40 22 8:17 / /mnt/a\\040disk rw - vfat /dev/sdb1 rw\n\
                         41 40 0:40 / /mnt/a\\040disk/in/net rw shared:1 - nfs host:/x rw\n";

    fn around(table: &str, folder: &str) -> Around {
        Mounts::parse(table.as_bytes()).around(Path::new(folder))
    }

    #[test]
    fn what_a_folder_lies_on_and_what_lies_below_it_is_found() {
        let around = around(TABLE, "/mnt/a disk/in");
        assert_eq!(around.on, Some(Mount { id: 40, point: "/mnt/a disk".into() }));
        assert_eq!(around.below, [Mount { id: 41, point: "/mnt/a disk/in/net".into() }]);
    }

    #[test]
    fn a_file_system_that_goes_is_told_from_one_that_comes() {
        let (with, without) = (around(TABLE, "/mnt/a disk"), around(TABLE.lines().next().unwrap(), "/mnt/a disk"));
        assert_eq!(without.unmounted(&with), Some("/mnt/a disk".into()));
        assert_eq!(with.unmounted(&without), None);
        assert_eq!(with.unmounted(&with), None);
    }

    #[test]
    fn a_mount_over_another_at_the_same_place_is_a_change() {
        let over = format!("{TABLE}50 40 0:50 / /mnt/a\\040disk rw - tmpfs none rw\n");
        assert_ne!(around(&over, "/mnt/a disk/in"), around(TABLE, "/mnt/a disk/in"));
        assert_eq!(around(&over, "/srv"), around(TABLE, "/srv"));
    }

    #[test]
    fn the_table_of_this_machine_is_read() {
        assert!(Mounts::now().around(Path::new("/proc")).on.is_some_and(|mount| mount.point == Path::new("/proc")));
    }
}

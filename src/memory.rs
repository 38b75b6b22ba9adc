//! How much memory the machine, or the control group that this process runs in, has left; and giving back
//! what is not used.

use std::fs;
use std::path::Path;

/// Bytes that can be used without swapping; `None` where the kernel does not tell.
///
/// The least of `MemAvailable` (proc(5)) and, for every control group upwards (cgroup v2), its
/// limit less what is in use and cannot be dropped.
pub fn available() -> Option<u64> {
    let machine = field(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")? * 1024;
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let root = Path::new("/sys/fs/cgroup");
    let groups = Path::new(own).ancestors().map(|group| root.join(group));
    groups.filter_map(|group| left(&group)).chain([machine]).min()
}

/// What a control group's limit leaves; `None` without a limit.
fn left(group: &Path) -> Option<u64> {
    let read = |file| fs::read_to_string(group.join(file)).ok();
    let limit: u64 = read("memory.max")?.trim().parse().ok()?;
    let used: u64 = read("memory.current")?.trim().parse().ok()?;
    let cache = field(&read("memory.stat")?, "file").unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(cache)))
}

/// The number after a key at the start of a line.
fn field(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// How many of `wanted` workers fit into `memory`, at least one, where each takes three times the
/// largest field and what its uploads hold.
pub fn workers(wanted: usize, largest: u64, uploads: u64, memory: Option<u64>) -> usize {
    let each = largest.saturating_mul(3).saturating_add(uploads).max(1);
    let fitting = memory.map_or(u64::MAX, |memory| memory / each);
    wanted.min(usize::try_from(fitting).unwrap_or(usize::MAX)).max(1)
}

/// Bytes that a mount may hold unless told otherwise: an eighth of what is available, within reason.
pub fn target() -> usize {
    const LEAST: u64 = 128 << 20;
    const MOST: u64 = 2 << 30;
    available().map_or(LEAST, |bytes| (bytes / 8).clamp(LEAST, MOST)) as usize
}

/// Gives memory that was freed back to the system. An index is parsed into millions of small pieces, and
/// the C library keeps their pages for a next time that rarely comes: as much again as is in use.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointers, and may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_as_many_as_memory_holds_and_never_none() {
        assert_eq!(workers(8, 100, 0, Some(1000)), 3);
        assert_eq!(workers(8, 100, 200, Some(1000)), 2);
        assert_eq!(workers(8, 100, 0, Some(100)), 1);
        assert_eq!(workers(2, 100, 0, Some(1000)), 2);
        assert_eq!(workers(4, 0, 0, Some(0)), 1);
        assert_eq!(workers(4, u64::MAX, u64::MAX, None), 4);
    }

    #[test]
    fn linux_tells_what_is_available() {
        assert!(available().is_some_and(|bytes| bytes > 1 << 20));
    }
}

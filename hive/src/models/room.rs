//! What is left of the disk that models are kept on.

use std::path::Path;

use protocol::fleet::DiskRecord;

/// Less than this part of the whole is not worth telling,
const PART_OF_TOTAL: u64 = 1_000;
/// unless it is more than this part of what is left.
const PART_OF_FREE: u64 = 20;

/// The file system that `dir` is on, or will be on once it is made. Blocks.
pub(crate) fn room(dir: &Path) -> Option<DiskRecord> {
    let existing = dir.ancestors().find(|it| it.exists())?;
    let system = rustix::fs::statvfs(existing).ok()?;
    Some(DiskRecord {
        free_bytes: system.f_bavail.saturating_mul(system.f_frsize),
        total_bytes: system.f_blocks.saturating_mul(system.f_frsize),
    })
}

/// Whether `now` is other news than what was told. Pure.
pub(crate) fn is_news(told: Option<DiskRecord>, now: Option<DiskRecord>) -> bool {
    let (Some(told), Some(now)) = (told, now) else { return told != now };
    let change = told.free_bytes.abs_diff(now.free_bytes);
    told.total_bytes != now.total_bytes
        || change > told.total_bytes / PART_OF_TOTAL
        || change > told.free_bytes / PART_OF_FREE
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn disk(free_bytes: u64) -> Option<DiskRecord> {
        Some(DiskRecord { free_bytes, total_bytes: 2_000 * GIB })
    }

    #[test]
    fn a_disk_is_news_when_a_person_would_see_the_difference() {
        let told = disk(200 * GIB);
        assert!(!is_news(told, told));
        assert!(!is_news(told, disk(199 * GIB)), "a log grows");
        assert!(is_news(told, disk(197 * GIB)), "a model comes");
        assert!(is_news(disk(GIB), disk(GIB / 2)), "of little every bit counts");
        assert!(is_news(disk(1), disk(0)));
        assert!(is_news(None, told) && is_news(told, None) && !is_news(None, None));
    }

    #[test]
    fn a_folder_that_is_not_there_yet_has_the_room_of_the_one_it_will_be_in() {
        let directory = tempfile::tempdir().unwrap();
        let here = room(directory.path()).unwrap();
        let there = room(&directory.path().join("not/there/yet")).unwrap();
        assert_eq!(here.total_bytes, there.total_bytes);
        assert!(here.free_bytes <= here.total_bytes && here.total_bytes > 0);
    }
}

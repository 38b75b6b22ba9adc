//! The version in which each object was first read.
//!
//! What was read of an object is kept in many places: in caches here, and by the kernel for as long as
//! it likes. None of them can be asked what it still has. So every object that has been read stays
//! known by its version while its array lives, and a read that finds another version is refused: bytes
//! of two versions never stand in one file, whatever was forgotten in between.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::Found;

/// The object of a group that holds its metadata; no array has so many objects.
const METADATA: u32 = u32::MAX;

/// Versions by array and object, 16 bytes each: a digest of 32 bits, which misses one change in four
/// billion.
#[derive(Default)]
pub struct Seen {
    versions: Mutex<HashMap<(u64, u32), u32>>,
}

impl Seen {
    /// Whether an object of an array is as it was when it was first read; `None` when it is not there,
    /// which is a version like any other.
    pub fn object(&self, array: u64, object: u64, found: Option<&Found>) -> bool {
        self.agrees((array, object.min(u64::from(METADATA - 1)) as u32), found)
    }

    /// Whether a group's metadata is as it was when it was first read.
    pub fn metadata(&self, group: u32, found: Option<&Found>) -> bool {
        self.agrees((u64::from(group) << 16, METADATA), found)
    }

    /// The groups whose metadata was read.
    pub fn groups(&self) -> Vec<u32> {
        let versions = self.versions();
        versions.keys().filter(|(_, object)| *object == METADATA).map(|(id, _)| (id >> 16) as u32).collect()
    }

    /// Forgets the arrays of all groups but these.
    pub fn keep(&self, group: impl Fn(u32) -> bool) {
        self.versions().retain(|(id, _), _| group((id >> 16) as u32));
    }

    fn agrees(&self, key: (u64, u32), found: Option<&Found>) -> bool {
        let digest = found.map_or(0, |found| {
            let mut hasher = DefaultHasher::new();
            // An entity tag may be the same for the same bytes written anew; the time is not.
            (&found.version, found.modified).hash(&mut hasher);
            hasher.finish() as u32
        });
        *self.versions().entry(key).or_insert(digest) == digest
    }

    fn versions(&self) -> MutexGuard<'_, HashMap<(u64, u32), u32>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Stores made by the library, compared as trees of bytes.

#![allow(dead_code)] // Not every test file that includes this needs everything in it.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use samplefs::convert::recipe::Recipe;
use samplefs::dtype::DType;
use samplefs::filemap::FileMap;

/// A file beside the test data that another implementation wrote.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The options that the golden shapenet store was made with.
pub fn shapenet() -> Recipe {
    Recipe {
        chunk_points: NonZeroU64::new(256).unwrap(),
        ..Recipe::new("ShapeNetCarDataset", FileMap::known("shapenet-car").unwrap())
    }
}

/// The options that the golden drivaer store was made with.
pub fn drivaer() -> Recipe {
    Recipe {
        chunk_points: NonZeroU64::new(512).unwrap(),
        shard_points: NonZeroU64::new(1100),
        shuffle_seed: 3,
        field_dtypes: vec![("volume_vorticity".to_owned(), DType::F32)],
        ..Recipe::new("DrivAerNetDataset", FileMap::known("drivaernet").unwrap())
    }
}

/// Every file below a directory, by its path.
pub fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                files.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// Panics with the first file in which two stores differ.
pub fn assert_same(one: &Path, other: &Path) {
    let (one, other) = (tree(one), tree(other));
    let names = |tree: &BTreeMap<PathBuf, Vec<u8>>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&one), names(&other));
    for (path, bytes) in &one {
        assert!(bytes == &other[path], "{} differs", path.display());
    }
}

/// Copies a directory tree.
pub fn copy(from: &Path, to: &Path) {
    for (path, bytes) in tree(from) {
        let path = to.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

//! Mutated stores: whatever stands in one, opening, listing and reading it end with the right bytes or
//! with an error; nothing panics, hangs or takes memory that a number merely claims.
//!
//! Seeds: the golden stores and those of odd layouts, with recorded checksums, so that bytes that are
//! served can be held against the seed's.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use common::fuzz::{self, Random, mutate, mutate_json};
use samplefs::error::Result;
use samplefs::format::Format;
use samplefs::fs::{Filesystem, Options, Prefetch, ROOT};
use samplefs::layout::names::FileNames;
use samplefs::store::shard::{IndexLayout, ShardIndex};
use samplefs::store::{Found, Objects, Part, PlainFile, Version};
use samplefs::subsample::ViewSpec;
use serde_json::Value;

/// What a chunk of the largest size that is accepted needs, encoded, decoded and widened.
const MEMORY: u64 = 16 << 30;

/// Files of more bytes are read in some places only.
const WHOLE: u64 = 1 << 20;

/// A store in memory.
#[derive(Clone)]
struct Memory(BTreeMap<String, Arc<[u8]>>);

impl Memory {
    fn load(root: &Path) -> Self {
        let tree = common::tree(root);
        Self(
            tree.into_iter().map(|(path, bytes)| (path.to_str().unwrap().to_owned(), bytes.into())).collect(),
        )
    }

    /// The same with one object changed.
    fn with(&self, path: &str, bytes: Vec<u8>) -> Self {
        let mut changed = self.clone();
        changed.0.insert(path.to_owned(), bytes.into());
        changed
    }

    fn open(self) -> Result<Filesystem> {
        let options = Options {
            names: FileNames::Auto,
            formats: &[Format::Pt, Format::Npy],
            cache: 1 << 20,
            prefetch: Prefetch::Off,
            metrics: Arc::default(),
        };
        Filesystem::open(Arc::new(self), &options)
    }
}

impl Objects for Memory {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn read(
        &self,
        path: &str,
        part: Part,
        _: Option<&Version>,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Found>> {
        let Some(object) = self.0.get(path) else { return Ok(None) };
        let range = part.of(object.len() as u64)?;
        buffer.clear();
        buffer.extend_from_slice(&object[range.start as usize..range.end as usize]);
        let version = Version::Tag("the only one".into());
        Ok(Some(Found { size: object.len() as u64, version, modified: SystemTime::UNIX_EPOCH }))
    }

    fn list(&self) -> Result<Vec<PlainFile>> {
        Ok(Vec::new())
    }
}

/// A store that is whole, and every file of it.
struct Seed {
    store: Memory,
    /// Paths of its objects, by what they are.
    metadata: Vec<String>,
    chunks: Vec<String>,
    files: Vec<File>,
}

/// A file: its path, the array that it comes from, and its bytes.
struct File {
    path: String,
    array: String,
    bytes: Vec<u8>,
}

static SEEDS: LazyLock<Vec<Seed>> = LazyLock::new(|| {
    let stores = ["golden/shapenet_store", "golden/drivaer_store", "odd/layouts", "odd/dtypes"];
    stores.iter().map(|path| Seed::of(path)).collect()
});

impl Seed {
    fn of(path: &str) -> Self {
        let (_dir, root) = common::copy(path);
        common::record_checksums(&root);
        let store = Memory::load(&root);
        let fs = store.clone().open().unwrap();
        let file = |path: String| {
            let number = common::walk(&fs, &path).unwrap().number;
            let array = fs.xattr(number, b"user.samplefs.array").unwrap().unwrap();
            let bytes = common::read(&fs, &path).unwrap();
            File { path, array, bytes }
        };
        let files = common::files(&fs).into_iter().map(file).collect();
        let paths = |kind: &str| store.0.keys().filter(|path| path.contains(kind)).cloned().collect();
        Self { metadata: paths("/zarr.json"), chunks: paths("/c/"), files, store }
    }

    /// The files that an object has a part in.
    fn files_of(&self, object: &str) -> impl Iterator<Item = &File> {
        let directory = object.strip_suffix("zarr.json");
        self.files.iter().filter(move |file| match directory {
            Some(directory) => format!("{}/", file.array).starts_with(directory),
            None => object.starts_with(&format!("{}/", file.array)),
        })
    }
}

/// Reads a file, as it is and through a view: all of it where it is not too long. Its bytes, when they could
/// all be read.
fn read(fs: &Filesystem, path: &str) -> Option<Vec<u8>> {
    for path in [&format!("subsample_300_7/{path}"), path] {
        let file = common::walk(fs, path).unwrap();
        fs.xattrs(file.number).unwrap();
        let mut bytes = Vec::new();
        if file.size > WHOLE {
            for offset in [0, file.size / 2, file.size - 100] {
                _ = fs.read(file.number, offset, 100, &mut bytes);
            }
        } else if fs.read(file.number, 0, WHOLE as usize, &mut bytes).is_ok() {
            assert_eq!(bytes.len() as u64, file.size, "{path}");
            if !path.starts_with("subsample_") {
                return Some(bytes);
            }
        }
    }
    None
}

fn changed_json(text: &[u8], random: &mut Random) -> Vec<u8> {
    // Bytes too: what is no JSON must be refused as such.
    if random.below(8) == 0 {
        let mut bytes = text.to_vec();
        mutate(&mut bytes, text, random);
        return bytes;
    }
    let mut document: Value = serde_json::from_slice(text).unwrap();
    for _ in 0..=random.below(3) {
        mutate_json(&mut document, random);
    }
    document.to_string().into_bytes()
}

#[test]
fn no_manifest_does_harm() {
    let seeds = &*SEEDS;
    fuzz::run(MEMORY, |mutant| {
        let mut random = Random::of(mutant);
        let store = &random.pick(seeds).store;
        let manifest = changed_json(&store.0["manifest.json"], &mut random);
        let Ok(fs) = store.with("manifest.json", manifest).open() else { return false };
        fs.totals();
        let files = common::files(&fs);
        if !files.is_empty() {
            _ = read(&fs, random.pick::<String>(&files));
        }
        true
    });
}

#[test]
fn no_array_metadata_does_harm() {
    let seeds = &*SEEDS;
    fuzz::run(MEMORY, |mutant| {
        let mut random = Random::of(mutant);
        let seed = random.pick(seeds);
        let path = random.pick::<String>(&seed.metadata);
        let metadata = changed_json(&seed.store.0[path], &mut random);
        let fs = seed.store.with(path, metadata).open().unwrap();
        let files: Vec<_> = seed.files_of(path).collect();
        files.is_empty() || read(&fs, &random.pick(&files).path).is_some()
    });
}

#[test]
fn no_chunk_or_index_makes_a_file_read_as_other_bytes() {
    let seeds = &*SEEDS;
    fuzz::run(MEMORY, |mutant| {
        let mut random = Random::of(mutant);
        let seed = random.pick(seeds);
        let path = random.pick::<String>(&seed.chunks);
        let mut object = seed.store.0[path].to_vec();
        let other = &seed.store.0[random.pick::<String>(&seed.chunks)];
        for _ in 0..=random.below(3) {
            mutate(&mut object, other, &mut random);
        }
        let fs = seed.store.with(path, object).open().unwrap();
        seed.files_of(path).all(|file| {
            let Some(bytes) = read(&fs, &file.path) else { return false };
            // Checksums are those of float32 values: what such a value cannot hold, they do not tell apart.
            assert!(bytes == file.bytes || file.path.ends_with(".npy"), "{} reads as other bytes", file.path);
            true
        })
    });
}

#[test]
fn no_shard_index_points_outside_of_its_shard() {
    fuzz::run(MEMORY, |mutant| {
        let mut random = Random::of(mutant);
        let layout = IndexLayout {
            chunks: random.below(40) as u64,
            checksum: random.below(2) == 0,
            at_end: random.below(2) == 0,
        };
        let size = *random.pick(&fuzz::EDGES);
        let ranges: Vec<_> = (0..layout.chunks).map(|_| Some(0..random.below(1000) as u64)).collect();
        let mut bytes = ShardIndex::encode(&ranges);
        let entries = bytes.len() - 4;
        bytes.truncate(entries);
        let other = bytes.clone();
        for _ in 0..=random.below(3) {
            mutate(&mut bytes, &other, &mut random);
        }
        // A checksum that holds keeps nothing hostile out.
        if layout.checksum && random.below(4) > 0 {
            bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        }
        let parsed = ShardIndex::parse(&bytes, &layout, size, Version::Tag("the only one".into()));
        parsed.is_ok_and(|index| {
            let ShardIndex::Present { chunks, .. } = index else { panic!("there are bytes") };
            assert!(chunks.into_iter().flatten().all(|range| range.start <= range.end && range.end <= size));
            true
        })
    });
}

#[test]
fn no_view_name_has_two_meanings_or_lacks_one_when_looked_up() {
    let fs = Memory::load(&common::data("golden/drivaer_store")).open().unwrap();
    let seeds = [
        "subsample_4096_7",
        "subsample_1_18446744073709551615",
        "subsample_surface=7,volume=100_3",
        "subsample_volume=1_0",
    ];
    fuzz::run(MEMORY, |mutant| {
        let mut random = Random::of(mutant);
        let mut name = random.pick(&seeds).as_bytes().to_vec();
        for _ in 0..=random.below(3) {
            mutate(&mut name, random.pick(&seeds).as_bytes(), &mut random);
        }
        let snapshot = fs.snapshot();
        let domains = &snapshot.catalog().domains;
        let view = str::from_utf8(&name).ok().and_then(|name| ViewSpec::parse(name, domains));
        let found = fs.lookup(ROOT, &name);
        assert_eq!(found.is_ok(), view.is_some() && name.len() <= samplefs::fs::NAME_MAX);
        let (Some(view), Ok(found)) = (view, found) else { return false };
        assert_eq!(view.name(domains).to_string().as_bytes(), name);
        let sample = fs.lookup(found.number, b"E_S_WWC_WM_005").unwrap();
        let file = fs.lookup(sample.number, b"volume_p.pt").unwrap();
        let mut bytes = Vec::new();
        fs.read(file.number, 0, 1 << 20, &mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, file.size);
        [found, sample, file].into_iter().for_each(|node| fs.forget(node.number, 1));
        assert_eq!(fs.views(), 0);
        true
    });
}

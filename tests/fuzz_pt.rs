//! Mutated `.pt` files: whatever stands in them, the reader returns, asks for no more memory than
//! the file is long, and accepts nothing that points outside of it.
//!
//! `SAMPLEFS_FUZZ_SECONDS` says how long to go on (2 where it is not set); the n-th mutant is the
//! same in every run. Seeds: the golden files, and what `make_tensors.py` wrote into
//! `SAMPLEFS_FUZZ_SEEDS` where that is set.

mod common;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, setrlimit};
use samplefs::convert::file::record;
use samplefs::convert::tensor::Tensor;
use samplefs::subsample::mt19937::Mt19937;

/// Far more than all seeds together, far less than any claimed length.
const MEMORY: u64 = 2 << 30;

/// Numbers at which lengths and offsets tend to go wrong.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 60,
    i64::MAX as u64,
    u64::MAX,
];

struct Random(Mt19937);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0.next_u32() as usize % bound.max(1)
    }

    /// A place in a file: most often near its ends, where everything but values stands.
    fn place(&mut self, length: usize) -> usize {
        match self.below(8) {
            0 => self.below(length),
            1..4 => self.below(length.min(700)),
            _ => length.saturating_sub(1 + self.below(length.min(900))),
        }
    }
}

fn mutate(file: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let length = file.len();
    if length == 0 {
        return file.extend_from_slice(other);
    }
    let at = random.place(length);
    let end = length.min(at + 1 + random.below(40));
    match random.below(8) {
        0 => file[at] ^= 1 << random.below(8),
        1 => file[at] = random.below(256) as u8,
        2 | 3 => {
            let edge = EDGES[random.below(EDGES.len())].to_le_bytes();
            let width = [1, 2, 4, 8][random.below(4)].min(length - at);
            file[at..at + width].copy_from_slice(&edge[..width]);
        }
        4 => drop(file.drain(at..end)),
        5 => {
            let part = file[at..end].to_vec();
            let to = random.place(length);
            file.splice(to..to, part);
        }
        6 => {
            let from = random.place(other.len());
            let part = &other[from..other.len().min(from + 1 + random.below(300))];
            file.splice(at..end, part.iter().copied());
        }
        _ => file.truncate(at),
    }
}

/// What must hold of any content; whether it was accepted.
fn check(name: &Path, content: &[u8]) -> bool {
    let Ok(record) = record(name.to_str().unwrap(), &content) else { return false };
    let end = record.start + record.length;
    assert!(end <= content.len() as u64, "a storage that ends at {end}");
    let storage = content[record.start as usize..end as usize].to_vec();
    let tensor = Tensor::new(record.layout, storage).expect("a checked layout");
    let rows = record.layout.rows;
    let mut values = Vec::new();
    for row in [0, rows / 2, rows.saturating_sub(1)].into_iter().filter(|row| *row < rows) {
        let columns = record.layout.columns.min(1000);
        tensor.gather([row].into_iter(), columns, &mut values);
        assert_eq!(values.len(), columns * record.layout.dtype.size());
    }
    true
}

fn seeds() -> Vec<(PathBuf, Vec<u8>)> {
    let golden = common::tree(&common::data("golden/shapenet_pt"));
    let mut seeds: Vec<_> = golden.into_iter().take(7).collect();
    if let Some(more) = std::env::var_os("SAMPLEFS_FUZZ_SEEDS") {
        seeds.extend(common::tree(Path::new(&more)));
    }
    let is_seed = |path: &Path, content: &[u8]| {
        path.extension().is_some_and(|e| e == "pt" || e == "npy") && content.len() < 1 << 16
    };
    seeds.retain(|(path, content)| is_seed(path, content));
    seeds
}

#[test]
fn no_mutant_makes_the_reader_panic_or_reach_outside_of_the_file() {
    let seconds = std::env::var("SAMPLEFS_FUZZ_SECONDS").map_or(2, |text| text.parse().expect("seconds"));
    let until = Instant::now() + Duration::from_secs(seconds);
    let limit = Rlimit { current: Some(MEMORY), maximum: Some(MEMORY) };
    setrlimit(Resource::As, limit).expect("a limit can be lowered");
    let seeds = seeds();
    assert!(seeds.iter().filter(|(name, content)| check(name, content)).count() >= 7);

    let (mut mutants, mut accepted) = (0u64, 0u64);
    while Instant::now() < until {
        let mut random = Random(Mt19937::new(mutants));
        let (name, seed) = &seeds[random.below(seeds.len())];
        let (_, other) = &seeds[random.below(seeds.len())];
        let mut file = seed.clone();
        for _ in 0..=random.below(4) {
            mutate(&mut file, other, &mut random);
        }
        accepted += u64::from(check(name, &file));
        mutants += 1;
    }
    samplefs::output::say(format_args!("{mutants} mutants of {} files, {accepted} accepted", seeds.len()));
    assert!(accepted > 0 && accepted < mutants);
}

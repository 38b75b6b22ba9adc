//! Mutated `.pt` files: whatever stands in them, the reader returns, asks for no more memory than
//! the file is long, and accepts nothing that points outside of it.
//!
//! Seeds: the golden files, and what `make_tensors.py` wrote into `SAMPLEFS_FUZZ_SEEDS` where that is set.

mod common;

use std::path::{Path, PathBuf};

use common::fuzz::{self, Random, mutate};
use samplefs::convert::file::record;
use samplefs::convert::tensor::Tensor;

/// Far more than all seeds together, far less than any claimed length.
const MEMORY: u64 = 2 << 30;

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
    let seeds = seeds();
    assert!(seeds.iter().filter(|(name, content)| check(name, content)).count() >= 7);

    fuzz::run(MEMORY, |mutant| {
        let mut random = Random::of(mutant);
        let (name, seed) = random.pick(&seeds);
        let (_, other) = random.pick(&seeds);
        let mut file = seed.clone();
        for _ in 0..=random.below(4) {
            mutate(&mut file, other, &mut random);
        }
        check(name, &file)
    });
}

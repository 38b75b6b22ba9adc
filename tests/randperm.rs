//! `randperm` gives what torch gave, as recorded: one draw after the other from one generator.

mod common;

use samplefs::subsample::mt19937::Mt19937;
use samplefs::subsample::randperm::{randperm, randperm_prefix};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn first(draw: &Value) -> Vec<u64> {
    draw["first"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect()
}

#[test]
fn every_recorded_sequence_of_draws_comes_out() {
    let recorded = common::json("data/randperm.json");
    let sequences = recorded.as_array().unwrap();
    assert!(sequences.len() > 50);
    for sequence in sequences {
        let seed = sequence["seed"].as_u64().unwrap();
        let mut generator = Mt19937::new(seed);
        let mut prefixes = Mt19937::new(seed);
        for draw in sequence["draws"].as_array().unwrap() {
            let n = draw["n"].as_u64().unwrap();
            let order = randperm(n as u32, &mut generator);
            let bytes: Vec<u8> = order.iter().flat_map(|index| u64::from(*index).to_le_bytes()).collect();
            let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(sha256, draw["sha256_int64_le"].as_str().unwrap(), "seed {seed}, n {n}");
            let expected = first(draw);
            let prefix = randperm_prefix(n, expected.len() as u64, &mut prefixes).unwrap();
            assert_eq!(prefix, expected, "seed {seed}, n {n}");
        }
    }
}

//! A converted store is the reference's, and holds what torch and numpy make of the source.

mod common;

use std::fs;

use common::{assert_same, convert, data, drivaer, python, run, shapenet, tree};
use samplefs::convert::Run;
use samplefs::convert::recipe::Recipe;
use samplefs::dtype::DType;
use serde_json::Value;
use sha2::{Digest, Sha256};

#[test]
fn a_plain_store_is_the_references_byte_for_byte() {
    for (name, recipe) in [("shapenet", shapenet()), ("drivaer", drivaer())] {
        let directory = tempfile::tempdir().unwrap();
        let recipe = Recipe { plain: true, ..recipe };
        let source = data(&format!("golden/{name}_pt"));
        let summary = convert(&source, directory.path(), &recipe, None, &Run::default()).unwrap();
        assert_eq!((summary.written, summary.skipped.len()), (3, 0));
        assert_same(directory.path(), &data(&format!("golden/{name}_store")));
    }
}

#[test]
fn extensions_add_keys_and_change_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    convert(&data("golden/shapenet_pt"), directory.path(), &shapenet(), None, &Run::default()).unwrap();
    let (extended, reference) = (tree(directory.path()), tree(&data("golden/shapenet_store")));
    assert!(extended.keys().eq(reference.keys()));
    for (path, bytes) in extended {
        if path.extension().is_none() {
            assert!(bytes == reference[&path], "{}", path.display());
            continue;
        }
        let mut json: Value = serde_json::from_slice(&bytes).unwrap();
        assert!(json.get("filemap").is_some() == path.ends_with("manifest.json"));
        without_extensions(&mut json);
        let expected: Value = serde_json::from_slice(&reference[&path]).unwrap();
        assert_eq!(json, expected, "{}", path.display());
    }
}

fn without_extensions(json: &mut Value) {
    if let Some(object) = json.as_object_mut() {
        object.remove("filemap");
        object.remove("samplefs");
        object.values_mut().for_each(without_extensions);
    }
}

#[test]
fn permutations_are_those_that_torch_drew() {
    let records: Vec<Value> =
        serde_json::from_slice(&fs::read(data("golden/permutations.json")).unwrap()).unwrap();
    for record in records {
        let recipe = Recipe { shuffle_seed: record["shuffle_seed"].as_i64().unwrap(), ..shapenet() };
        let (sample, domain) = (record["sample_id"].as_str().unwrap(), record["domain"].as_str().unwrap());
        let order = recipe.order(sample, domain, record["n"].as_u64().unwrap()).unwrap();
        let bytes: Vec<u8> = order.iter().flat_map(|row| u64::from(*row).to_le_bytes()).collect();
        let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, record["sha256_int64_le"].as_str().unwrap(), "{sample} {domain}");
    }
}

#[test]
fn every_type_and_layout_is_stored_as_torch_and_numpy_cast_it() {
    let directory = tempfile::tempdir().unwrap();
    let (source, store) = (directory.path().join("source"), directory.path().join("store"));
    run(python("make_tree.py").args([&source]));
    let summary = convert(&source, &store, &shapenet(), None, &Run::default()).unwrap();
    assert_eq!(summary.skipped, []);
    assert_eq!(summary.written, 15);
    let checked = run(python("check_store.py").args([&source, &store]));
    assert_eq!(checked.trim(), "105");

    // The integers among them, as other types than floats of half and single width.
    let (source, store) = (source.join("deep"), directory.path().join("typed"));
    let types = [
        ("surface_pressure", DType::I8),
        ("surface_normals", DType::I64),
        ("volume_velocity", DType::F64),
        ("volume_normals", DType::I16),
        ("volume_sdf", DType::I32),
    ];
    let field_dtypes = types.map(|(field, dtype)| (field.to_owned(), dtype)).to_vec();
    let recipe = Recipe { field_dtypes, coords_dtype: DType::F64, compression_level: 0, ..shapenet() };
    let summary = convert(&source, &store, &recipe, None, &Run::default()).unwrap();
    assert_eq!((summary.written, summary.skipped.len()), (4, 0));
    assert_eq!(run(python("check_store.py").args([&source, &store])).trim(), "28");
}

#[test]
fn the_number_of_workers_changes_no_byte() {
    let directory = tempfile::tempdir().unwrap();
    let source = data("golden/drivaer_pt");
    let store = |workers: usize| directory.path().join(workers.to_string());
    for workers in [1, 2, 8] {
        let how = Run { workers, ..Run::default() };
        convert(&source, &store(workers), &drivaer(), None, &how).unwrap();
    }
    assert_same(&store(1), &store(2));
    assert_same(&store(1), &store(8));
}

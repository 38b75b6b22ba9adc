//! `samplefs verify`: whatever can be told to be wrong is told, whatever is valid is left in peace.

mod common;

use std::fs;
use std::path::Path;

use serde_json::Value;

const STORE: &str = "golden/shapenet_store";
const SAMPLE: &str = "param0/c41ea2177b0cd65aaf5ee1a1938ca886";
const VELOCITY: &str = "param0/c41ea2177b0cd65aaf5ee1a1938ca886.zarr/volume/velocity";

/// The exit code and the findings.
fn verify(store: &Path) -> (Option<i32>, Vec<Value>) {
    let output = common::samplefs(["verify", "--json"]).arg(store).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    (output.status.code(), report["findings"].as_array().unwrap().clone())
}

/// The only finding after some damage: it must concern the damaged sample.
fn found_after(checksums: bool, damage: impl FnOnce(&Path)) -> Value {
    let (_dir, store) = common::copy(STORE);
    if checksums {
        common::record_checksums(&store);
    }
    damage(&store);
    let (code, findings) = verify(&store);
    assert_eq!(code, Some(4));
    let [finding] = &findings[..] else { panic!("one finding expected: {findings:#?}") };
    assert_eq!(finding["sample"], SAMPLE);
    assert!(finding["remedy"].is_string(), "{finding}");
    finding.clone()
}

fn flip(path: &Path, at: impl FnOnce(usize) -> usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn whole_stores_are_clean_all_zero_fields_and_odd_layouts_included() {
    for store in ["golden/shapenet_store", "golden/drivaer_store", "odd/layouts", "odd/dtypes"] {
        assert_eq!(verify(&common::data(store)), (Some(0), vec![]), "{store}");
        let (_dir, recorded) = common::copy(store);
        common::record_checksums(&recorded);
        assert_eq!(verify(&recorded), (Some(0), vec![]), "{store} with checksums");
    }
}

#[test]
fn a_flipped_byte_in_any_place_of_a_chunk_is_found_where_checksums_are_recorded() {
    // The second chunk: its header, its middle, its end. Without checksums some such flips decode to
    // other values.
    for place in [1, 300, 1200] {
        let finding = found_after(true, |store| {
            let shard = store.join(VELOCITY).join("c/0/0");
            let bytes = fs::read(&shard).unwrap();
            let index = &bytes[bytes.len() - 164..];
            let start = u64::from_le_bytes(index[16..24].try_into().unwrap()) as usize;
            flip(&shard, |_| start + place);
        });
        assert_eq!(
            (&finding["field"], &finding["chunks"]),
            (&"volume_velocity".into(), &Value::from([1, 1]))
        );
    }
}

#[test]
fn a_flipped_byte_in_a_shard_index_is_one_finding_of_all_its_chunks() {
    let finding = found_after(false, |store| flip(&store.join(VELOCITY).join("c/0/0"), |size| size - 100));
    assert_eq!(finding["chunks"], Value::from([0, 9]));
    assert!(finding["what"].as_str().unwrap().contains("CRC-32C"), "{finding}");
}

#[test]
fn a_truncated_shard_is_found() {
    let finding = found_after(false, |store| {
        let shard = store.join(VELOCITY).join("c/0/0");
        let bytes = fs::read(&shard).unwrap();
        fs::write(&shard, &bytes[..100]).unwrap();
    });
    assert!(finding["what"].as_str().unwrap().contains("100 bytes"), "{finding}");
}

#[test]
fn a_missing_shard_is_found_where_checksums_say_that_it_was_there() {
    let remove = |store: &Path| fs::remove_file(store.join(VELOCITY).join("c/0/0")).unwrap();
    let finding = found_after(true, remove);
    assert_eq!(finding["field"], "volume_velocity");
    assert!(finding["what"].as_str().unwrap().contains("missing"), "{finding}");

    // Without them it is a legal store, whose field is zero.
    let (_dir, store) = common::copy(STORE);
    remove(&store);
    assert_eq!(verify(&store), (Some(0), vec![]));
}

#[test]
fn every_count_of_the_manifest_is_held_against_the_arrays() {
    for key in ["n_points", "chunk_points", "shard_points", "n_chunks"] {
        let (_dir, store) = common::copy(STORE);
        common::edit(&store.join("manifest.json"), |json| {
            let count = &mut json["samples"][SAMPLE]["domains"]["volume"][key];
            *count = (count.as_u64().unwrap() + 1).into();
        });
        let (code, findings) = verify(&store);
        assert_eq!(code, Some(4), "{key}");
        assert!(!findings.is_empty(), "{key}");
        for finding in findings {
            let place = finding["sample"].as_str().unwrap_or(finding["what"].as_str().unwrap());
            assert!(place.contains(SAMPLE), "{key}: {finding}");
        }
    }
}

#[test]
fn arrays_in_each_others_place_are_found_by_their_shape_and_else_by_checksums() {
    let swap = |other: &'static str| {
        move |store: &Path| {
            let (one, other) = (store.join(VELOCITY), store.join(VELOCITY).with_file_name(other));
            let aside = one.with_file_name("aside");
            fs::rename(&one, &aside).unwrap();
            fs::rename(&other, &one).unwrap();
            fs::rename(&aside, &other).unwrap();
        }
    };
    // float32 positions, scalars: told by their own metadata.
    for (other, checksums) in [("position", false), ("sdf", false), ("normals", true)] {
        let (_dir, store) = common::copy(STORE);
        if checksums {
            common::record_checksums(&store);
        }
        swap(other)(&store);
        let (code, findings) = verify(&store);
        let fields: Vec<_> = findings.iter().filter_map(|f| f["field"].as_str()).collect();
        assert_eq!(code, Some(4), "{other}");
        for field in ["volume_velocity", &format!("volume_{other}")] {
            assert!(fields.contains(&field), "{other}: {findings:#?}");
        }
    }
    // What the module says cannot be found.
    let (_dir, store) = common::copy(STORE);
    swap("normals")(&store);
    assert_eq!(verify(&store), (Some(0), vec![]));
}

#[test]
fn a_finding_ends_nothing_and_is_one_line_with_a_remedy() {
    let (_dir, store) = common::copy(STORE);
    flip(&store.join(VELOCITY).join("c/0/0"), |size| size - 100);
    fs::remove_file(store.join("param2/0fa9edcd6a8eca1bf0381d3879d3429a.zarr/zarr.json")).unwrap();
    let output = common::samplefs(["verify"]).arg(&store).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    let said = String::from_utf8(output.stdout).unwrap();
    let findings: Vec<_> = said.lines().filter(|line| line.starts_with("sample ")).collect();
    assert_eq!(findings.len(), 1 + 7, "{said}");
    assert!(findings[0].starts_with(&format!("sample {SAMPLE}, field volume_velocity, chunks 0 to 9: ")));
    assert!(findings.iter().all(|line| line.ends_with(')')), "{said}");
    assert!(said.contains("8 findings\nread amplification"), "{said}");
}

#[test]
fn chosen_samples_are_verified_alone_and_unknown_ones_refused() {
    let (_dir, store) = common::copy(STORE);
    flip(&store.join(VELOCITY).join("c/0/0"), |size| size - 100);
    let code = |ids: &str| {
        common::samplefs(["verify", "--samples", ids]).arg(&store).output().unwrap().status.code()
    };
    assert_eq!(code("param1/b792fcacb00e3078e3b8fe5c46ee5c6e"), Some(0));
    assert_eq!(code(&format!("param1/b792fcacb00e3078e3b8fe5c46ee5c6e,{SAMPLE}")), Some(4));
    assert_eq!(code("param9"), Some(2));
    let nowhere = common::samplefs(["verify", "/nowhere"]).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(1));
}

/// The exit code and the report of a store held against a tree.
fn against(store: &Path, tree: &Path) -> (Option<i32>, Value) {
    let output = common::samplefs(["verify", "--json", "--against"]).arg(tree).arg(store).output().unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn the_references_stores_are_the_casts_of_the_trees_they_were_made_from() {
    for name in ["shapenet", "drivaer"] {
        let (store, tree) = (format!("golden/{name}_store"), format!("golden/{name}_pt"));
        let (code, report) = against(&common::data(&store), &common::data(&tree));
        assert_eq!((code, &report["findings"]), (Some(0), &Value::Array(vec![])), "{name}");
        for cast in report["cast_errors"].as_array().unwrap() {
            let (field, relative) = (cast["field"].as_str().unwrap(), cast["relative"].as_f64().unwrap());
            // Positions and drivaer's vorticity are stored as float32.
            let exact = field.ends_with("position") || field == "volume_vorticity";
            assert_eq!(exact, cast["absolute"] == 0.0, "{cast}");
            assert_eq!(exact, relative == 0.0, "{cast}");
        }
    }
}

#[test]
fn other_sources_another_order_and_missing_files_are_found() {
    let (_dir, store) = common::copy(STORE);
    let (_tree_dir, tree) = common::copy("golden/shapenet_pt");
    let file = tree.join(SAMPLE).join("volume_sdf.pt");
    fs::copy(file.with_file_name("surface_pressure.pt"), &file).unwrap();
    fs::remove_file(tree.join(SAMPLE).join("volume_velocity.pt")).unwrap();
    let (code, report) = against(&store, &tree);
    let found = report["findings"].as_array().unwrap();
    assert_eq!((code, found.len()), (Some(4), 2), "{report}");
    assert!(found[0]["what"].as_str().unwrap().contains("volume_velocity.pt"), "{report}");
    assert!(found[1]["what"].as_str().unwrap().contains("its shape is (479, 1)"), "{report}");

    common::edit(&store.join("manifest.json"), |json| json["shuffle_seed"] = 12345.into());
    let (code, report) = against(&store, &common::data("golden/shapenet_pt"));
    let what = report["findings"][0]["what"].as_str().unwrap();
    assert_eq!(code, Some(4));
    assert!(what.contains("is stored where row"), "{what}");
}

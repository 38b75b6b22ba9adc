//! `samplefs stats`: the reference's numbers, whoever computes them and however they are cut.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Map, Value};

const STORE: &str = "golden/shapenet_store";
const FIRST: &str = "param0/c41ea2177b0cd65aaf5ee1a1938ca886";

fn stats(store: &Path, args: &[&str]) -> Output {
    common::samplefs(["stats", "--json"]).arg(store).args(args).output().unwrap()
}

fn flat(output: &Output) -> Map<String, Value> {
    assert!(output.status.success(), "{}", common::stderr(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The same keys in the same order; counts and nulls exact, numbers to 1e-12.
fn agree(got: &Map<String, Value>, expected: &Map<String, Value>) {
    assert_eq!(got.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (key, expected) in expected {
        let (got, numbers) = (&got[key], expected.as_array());
        let Some(numbers) = numbers else {
            assert_eq!(got, expected, "{key}");
            continue;
        };
        assert_eq!(got.as_array().unwrap().len(), numbers.len(), "{key}");
        for (got, expected) in got.as_array().unwrap().iter().zip(numbers) {
            match (got.as_f64(), expected.as_f64()) {
                (Some(got), Some(expected)) => {
                    let off = (got - expected).abs();
                    assert!(off <= 1e-12 * expected.abs(), "{key}: {got:e}, not {expected:e}");
                }
                (got, expected) => assert_eq!(got, expected, "{key}"),
            }
        }
    }
}

#[test]
fn the_references_statistics_are_reproduced_to_the_byte_but_for_last_digits() {
    for name in ["shapenet", "drivaer"] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("stats.json");
        let store = common::data(&format!("golden/{name}_store"));
        let output = stats(&store, &["--output-json", file.to_str().unwrap()]);
        let expected = common::json(&format!("golden/{name}_stats.json"));
        agree(&flat(&output), expected.as_object().unwrap());

        // The text too, numbers aside.
        let form = |text: String| -> Vec<String> {
            let number = |c: char| c.is_ascii_digit() || "-.e+".contains(c);
            text.lines().map(|line| line.trim_end_matches(',').trim_end_matches(number).to_owned()).collect()
        };
        let reference = fs::read_to_string(common::data(&format!("golden/{name}_stats.json"))).unwrap();
        assert_eq!(form(fs::read_to_string(file).unwrap()), form(reference));
    }
}

/// The partials of all shards.
fn partials(store: &Path, dir: &Path, of: usize) -> Vec<PathBuf> {
    (0..of)
        .map(|index| {
            let file = dir.join(format!("part{index}.json"));
            let shard = format!("{index}/{of}");
            let output = stats(store, &["--shard", &shard, "--output-json", file.to_str().unwrap()]);
            assert!(output.status.success(), "{}", common::stderr(&output));
            file
        })
        .collect()
}

fn merge(parts: &[PathBuf]) -> Output {
    common::samplefs(["stats", "--json", "--merge"]).args(parts).output().unwrap()
}

#[test]
fn any_number_of_workers_and_of_merged_shards_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join("odd");
    common::run(common::python("extreme_store.py").arg(&odd));
    for store in [common::data(STORE), common::data("golden/drivaer_store"), odd] {
        let one = stats(&store, &["--workers", "1"]).stdout;
        assert!(!one.is_empty());
        for workers in ["2", "8"] {
            assert!(stats(&store, &["--workers", workers]).stdout == one, "{workers} workers");
        }
        // Five shards of three samples: two are empty.
        for of in [1, 2, 3, 5] {
            let mut parts = partials(&store, dir.path(), of);
            parts.reverse();
            assert!(merge(&parts).stdout == one, "{of} shards");
        }
    }
}

#[test]
fn what_is_hard_on_sums_agrees_with_numpy_and_what_is_not_finite_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let expected = common::run(common::python("extreme_store.py").arg(dir.path()));
    let expected: Map<String, Value> = serde_json::from_str(&expected).unwrap();
    let output = stats(dir.path(), &[]);
    agree(&flat(&output), &expected);
    assert!(flat(&output)["volume_constant_std"] == Value::from([0.0]));
    let said = common::stderr(&output);
    assert!(
        said.contains("volume_nothing: 1000 values are NaN or infinite and left out, first in a"),
        "{said}"
    );
    assert!(said.contains("volume_alone: 999 values are NaN or infinite"), "{said}");
    assert!(said.contains("volume_alone: fewer than two finite values"), "{said}");
    assert!(!said.contains("volume_giants"), "{said}");
}

#[test]
fn yaml_has_the_same_keys_and_numbers_and_is_read_by_other_readers_as_such() {
    let dir = tempfile::tempdir().unwrap();
    common::run(common::python("extreme_store.py").arg(dir.path()));
    let file = dir.path().join("stats.yaml");
    let json = flat(&stats(dir.path(), &["--output-yaml", file.to_str().unwrap()]));
    let text = fs::read_to_string(file).unwrap();
    let mut read = Map::new();
    let mut last = String::new();
    for line in text.lines() {
        if let Some(number) = line.strip_prefix("- ") {
            // YAML 1.1 takes `1e-5` for a string.
            assert!(number == "null" || number.contains('.'), "{line}");
            let number: Value = serde_json::from_str(&number.replace("e+", "e")).unwrap();
            read[&last].as_array_mut().unwrap().push(number);
        } else {
            let (key, value) = line.split_once(':').unwrap();
            let value = value.trim();
            let list = || Value::Array(Vec::new());
            read.insert(key.into(), if value.is_empty() { list() } else { value.parse().unwrap() });
            last = key.into();
        }
    }
    assert_eq!(read, json);
}

#[test]
fn a_choice_of_samples_and_fields_is_as_if_there_were_no_others() {
    let (dir, store) = common::copy(STORE);
    let split = format!("\n{FIRST}\n\nparam9/gone\n  \nparam8/gone\n");
    fs::write(store.join("train.txt"), &split).unwrap();
    fs::write(dir.path().join("outside.txt"), &split).unwrap();
    let outside = dir.path().join("outside.txt").display().to_string();
    let alone = flat(&stats(&store, &["--limit", "1"]));
    assert_eq!(alone["volume_sdf_count"], 2396);
    for file in ["train.txt", &outside, &format!("file://{outside}")] {
        let output = stats(&store, &["--split-file", file]);
        assert_eq!(flat(&output), alone, "{file}");
        assert!(common::stderr(&output).contains("2 ids of the split file are not in the store"), "{file}");
    }
    let sdf = flat(&stats(&store, &["--limit", "1", "--fields", "volume_sdf"]));
    assert_eq!(sdf.len(), 7);
    assert!(sdf.iter().all(|(key, value)| alone[key] == *value));
    let others = flat(&stats(&store, &["--limit", "1", "--exclude-fields", "volume_sdf"]));
    assert_eq!(others.len(), alone.len() - 7);
}

#[test]
fn what_does_not_exist_is_refused_with_what_does() {
    let (dir, store) = common::copy(STORE);
    fs::write(store.join("gone.txt"), "param9/gone\n").unwrap();
    for (args, said) in [
        (vec!["--fields", "volume_x"], "no field volume_x\nhint: stored: surface_normals, surface_position"),
        (vec!["--exclude-fields", "volume_x"], "no field volume_x\nhint: stored: "),
        (vec!["--split-file", "no.txt"], "no such file beside the manifest\nhint: there are: gone.txt"),
        (
            vec!["--split-file", "gone.txt"],
            "1 ids were given, none is in the store\nhint: it holds 3 samples: param0/",
        ),
        (vec!["--shard", "3/3"], "no shard 3/3\nhint: there are 0/3 to 2/3"),
        (vec!["--limit", "0"], "no number from 1 on"),
    ] {
        let output = stats(&store, &args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(common::stderr(&output).contains(said), "{args:?}: {}", common::stderr(&output));
    }
    let parts = partials(&store, dir.path(), 3);
    let other = dir.path().join("other.json");
    let limited =
        stats(&store, &["--shard", "1/3", "--limit", "2", "--output-json", other.to_str().unwrap()]);
    assert!(limited.status.success());
    for (parts, said) in [
        (vec![parts[0].clone(), parts[2].clone()], "there are 3 shards, given are [0, 2]"),
        (vec![parts[0].clone(), parts[0].clone(), parts[1].clone()], "given are [0, 0, 1]"),
        (vec![parts[0].clone(), other, parts[2].clone()], "parts of different runs"),
        (vec![store.join("manifest.json")], "no partial statistics"),
    ] {
        let output = merge(&parts);
        assert!(!output.status.success(), "{parts:?}");
        assert!(common::stderr(&output).contains(said), "{said}: {}", common::stderr(&output));
    }
}

#[test]
fn a_damaged_store_has_no_statistics() {
    let (_dir, store) = common::copy(STORE);
    let shard = store.join(format!("{FIRST}.zarr/volume/sdf/c/0/0"));
    let bytes = fs::read(&shard).unwrap();
    fs::write(&shard, &bytes[..bytes.len() - 1]).unwrap();
    let output = stats(&store, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(common::stderr(&output).contains(&format!("sample {FIRST}, field volume_sdf")));
}

#[test]
fn the_table_has_a_line_for_every_component_and_the_bounds() {
    let shown = common::run(common::samplefs(["stats"]).arg(common::data(STORE)));
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines.len(), 1 + (3 + 3 + 1 + 3 + 3 + 1 + 3) + 1);
    assert!(lines[7].starts_with("surface_pressure") && lines[7].ends_with("1417"), "{shown}");
    assert_eq!(lines[18], "positions lie between -5.998091220855713 and 5.9996867179870605");
}

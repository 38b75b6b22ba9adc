//! Convert, demo, verify and stats over a real S3 server: the stores are those of local runs, killed runs
//! go on, and what is refused is told in one line without a secret.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::proxy::Proxy;
use common::{assert_same, copy_tree, data, s3, samplefs, tree};
use samplefs::dtype::DType;
use samplefs::format::npy;

/// Options that make the golden stores.
const SHAPENET: [&str; 4] = ["--filemap", "shapenet-car", "--chunk-points", "256"];
const DRIVAER: [&str; 10] = [
    "--filemap",
    "drivaernet",
    "--chunk-points",
    "512",
    "--shard-points",
    "1100",
    "--shuffle-seed",
    "3",
    "--field-dtype",
    "volume_vorticity=float32",
];

fn command(server: impl AsRef<str>, args: &[&str]) -> Command {
    let mut command = samplefs(args);
    command.args(s3::options(server.as_ref())).envs(s3::environment());
    command
}

/// How a command ended and what it said, in which no secret stands.
fn output(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(!said.contains(s3::SECRET) && !said.contains("X-Amz"), "{said}");
    (status.code(), said)
}

fn succeeds(command: &mut Command) -> String {
    let (code, said) = output(command);
    assert_eq!(code, Some(0), "{said}");
    said
}

fn convert(server: impl AsRef<str>, from: &str, to: &str, options: &[&str]) -> Command {
    command(server, &[&["convert", from, to], options].concat())
}

/// What the server has stored below a prefix.
fn stored(server: &s3::Server, prefix: &str) -> PathBuf {
    server.bucket().join(prefix)
}

#[test]
fn from_and_to_a_bucket_the_store_is_the_references_byte_for_byte() {
    let server = s3::Server::new();
    let local = tempfile::tempdir().unwrap();
    for (name, options) in [("shapenet", &SHAPENET[..]), ("drivaer", &DRIVAER)] {
        let options = [options, &["--plain"]].concat();
        let (tree, golden) = (data(&format!("golden/{name}_pt")), data(&format!("golden/{name}_store")));
        let remote_tree = server.put(&format!("trees/{name}"), &tree);
        let (up, across) = (format!("s3://bucket/up/{name}"), format!("s3://bucket/across/{name}"));
        let down = local.path().join(name);
        succeeds(&mut convert(server.address(), tree.to_str().unwrap(), &up, &options));
        succeeds(&mut convert(server.address(), &remote_tree, down.to_str().unwrap(), &options));
        succeeds(&mut convert(server.address(), &remote_tree, &across, &options));
        assert_same(&stored(&server, &format!("up/{name}")), &golden);
        assert_same(&stored(&server, &format!("across/{name}")), &golden);
        assert_same(&down, &golden);
        // The tree that a store was made from says so, and a split list beside the manifest is found.
        let said = succeeds(&mut command(server.address(), &["verify", &across, "--against", &remote_tree]));
        assert!(said.contains("0 findings"), "{said}");
    }
}

#[test]
fn files_of_numpy_and_files_of_the_root_come_over_too() {
    let server = s3::Server::new();
    let local = tempfile::tempdir().unwrap();
    let (tree, store) = (local.path().join("tree"), local.path().join("store"));
    sample(&tree.join("deep/one"), 3000);
    fs::write(tree.join("train.txt"), "deep/one\n").unwrap();
    fs::write(tree.join(".hidden"), "not this").unwrap();
    let filemap = filemap(local.path());
    let options = ["--filemap", &filemap];
    // The store lies within the tree that it is made from.
    let remote = server.put("tree", &tree);
    let inside = format!("{remote}/store");
    succeeds(&mut convert(server.address(), tree.to_str().unwrap(), store.to_str().unwrap(), &options));
    let named = [&options[..], &["--dataset-name", "tree"]].concat();
    succeeds(&mut convert(server.address(), &remote, &inside, &named));
    assert_same(&stored(&server, "tree/store"), &store);
    succeeds(&mut convert(server.address(), &remote, &inside, &[&named[..], &["--overwrite"]].concat()));
    assert_same(&stored(&server, "tree/store"), &store);

    for split in ["train.txt", "s3://bucket/tree/train.txt"] {
        let said =
            succeeds(&mut command(server.address(), &["stats", &inside, "--json", "--split-file", split]));
        assert!(said.contains("surface_pressure"), "{said}");
    }
}

#[test]
fn the_demo_is_the_same_in_a_bucket_as_in_a_directory() {
    let server = s3::Server::new();
    let local = tempfile::tempdir().unwrap();
    let store = local.path().join("store");
    succeeds(samplefs(["demo"]).arg(&store));
    succeeds(&mut command(server.address(), &["demo", "s3://bucket/demo"]));
    assert_same(&stored(&server, "demo"), &store);
}

const FILEMAP: &str = r#"{"surface_position": "points.pt", "surface_pressure": "pressure.pt"}"#;

fn filemap(directory: &Path) -> String {
    let path = directory.join("filemap.json");
    fs::write(&path, FILEMAP).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A sample of so many points whose values do not compress.
fn sample(directory: &Path, points: u64) {
    let mut state = points;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32) / 16_777_216.0
    };
    fs::create_dir_all(directory).unwrap();
    for (stem, shape) in [("points", &[points, 3][..]), ("pressure", &[points])] {
        let mut file = npy::frame(shape, DType::F32).prefix;
        file.extend((0..shape.iter().product()).flat_map(|_| random().to_le_bytes()));
        fs::write(directory.join(format!("{stem}.npy")), file).unwrap();
    }
}

#[test]
fn fields_longer_than_a_part_are_put_and_read_in_parts() {
    let server = s3::Server::new();
    let local = tempfile::tempdir().unwrap();
    let (tree, store) = (local.path().join("tree"), local.path().join("store"));
    // Positions of 18 MB: three parts of 8 MiB; a pressure of less than one.
    sample(&tree.join("large"), 1_500_000);
    let filemap = filemap(local.path());
    let options = ["--filemap", &filemap, "--compression-level", "1", "--dataset-name", "large"];
    let remote = server.put("tree", &tree);
    succeeds(&mut convert(server.address(), tree.to_str().unwrap(), store.to_str().unwrap(), &options));
    let proxy = Proxy::new(server.address(), Duration::ZERO);
    succeeds(&mut convert(proxy.address(), &remote, "s3://bucket/store", &options));
    assert_same(&stored(&server, "store"), &store);

    let log = proxy.take_log();
    let requests: Vec<_> = log.iter().map(|one| format!("{} {}", one.method, one.target)).collect();
    let count = |method: &str, part: &str, other: &str| {
        let meant = |request: &&String| {
            request.starts_with(method) && request.contains(part) && request.contains(other)
        };
        requests.iter().filter(meant).count()
    };
    assert_eq!(count("PUT", "position/c/0/0", "partNumber="), 2, "{requests:#?}");
    assert_eq!(count("POST", "position/c/0/0", "uploads"), 1, "{requests:#?}");
    assert_eq!(count("PUT", "pressure/c/0/0", ""), 1, "{requests:#?}");
    assert_eq!(count("PUT", "pressure/c/0/0", "partNumber="), 0, "{requests:#?}");
    // The end and the start of the long file, then its values; the short one whole.
    assert_eq!(count("GET", "points.npy", ""), 2 + 3, "{requests:#?}");
    assert_eq!(count("GET", "pressure.npy", ""), 1, "{requests:#?}");
    assert_eq!(count("HEAD", "", ""), 0, "{requests:#?}");
    assert_eq!(count("GET", "list-type=2", "prefix=tree"), 1, "one listing of the source: {requests:#?}");
}

#[test]
fn killed_at_any_point_the_same_command_goes_on_and_ends_with_the_same_store() {
    let server = s3::Server::new();
    let local = tempfile::tempdir().unwrap();
    let (from, undisturbed) = (local.path().join("source"), local.path().join("undisturbed"));
    for copy in 0..3 {
        copy_tree(&data("golden/shapenet_pt"), &from.join(format!("copy{copy}")));
    }
    fs::write(from.join("train.txt"), "param0\n").unwrap();
    let options = [&SHAPENET[..], &["--workers", "2"]].concat();
    let run = |to: &str| {
        let mut command = convert(server.address(), from.to_str().unwrap(), to, &options);
        command.stderr(Stdio::piped());
        command
    };
    succeeds(&mut run(undisturbed.to_str().unwrap()));
    let started = Instant::now();
    succeeds(&mut run("s3://bucket/undisturbed"));
    let whole_run = started.elapsed();
    assert_same(&stored(&server, "undisturbed"), &undisturbed);

    let (mut kills, mut half_made) = (0, 0);
    for round in 0..3u32 {
        let to = format!("s3://bucket/store{round}");
        let store = stored(&server, &format!("store{round}"));
        let step = whole_run * (5 + 3 * round) / 40;
        for attempt in 1u32.. {
            let mut child = run(&to).spawn().unwrap();
            let pause = step.saturating_mul(attempt.min(40)) / 2 + Duration::from_millis(u64::from(round));
            std::thread::sleep(pause);
            let killed = child.try_wait().unwrap().is_none();
            child.kill().unwrap();
            child.wait().unwrap();
            if !killed {
                break;
            }
            kills += 1;
            let there = if store.exists() { tree(&store) } else { Default::default() };
            let done = there.keys().filter(|path| is_metadata_of_a_sample(path)).count();
            assert!(done == 9 || !store.join("manifest.json").exists(), "a manifest before its samples");
            half_made += usize::from(0 < done && done < 9);
        }
        let (code, said) = output(&mut run(&to));
        assert!(matches!(code, Some(0 | 1)), "finished already, or finished now: {said}");
        assert_same(&store, &undisturbed);
    }
    assert!(kills > 6, "{kills} kills");
    assert!(half_made > 1, "half-made stores were seen {half_made} times");
}

fn is_metadata_of_a_sample(path: &Path) -> bool {
    let mut names = path.iter().rev();
    names.next().is_some_and(|name| name == "zarr.json")
        && names.next().is_some_and(|name| name.to_str().unwrap().ends_with(".zarr"))
}

#[test]
fn a_half_made_store_is_gone_on_with_and_what_an_earlier_run_left_of_a_sample_is_removed() {
    let server = s3::Server::new();
    let local = tempfile::tempdir().unwrap();
    let (from, undisturbed) = (local.path().join("source"), local.path().join("undisturbed"));
    for name in ["a", "b", "c"] {
        sample(&from.join(name), 50);
    }
    let filemap = filemap(local.path());
    let (source, to) = (from.to_str().unwrap(), "s3://bucket/store");
    let base = ["--filemap", &filemap, "--workers", "1", "--on-error", "fail", "--chunk-points", "10"];
    let options = [&base[..], &["--shard-points", "10"]].concat();
    let good = fs::read(from.join("b/pressure.npy")).unwrap();
    fs::write(from.join("b/pressure.npy"), "nothing").unwrap();
    let (code, said) = output(&mut convert(server.address(), source, to, &options));
    assert!(code == Some(1) && said.contains("sample b, surface_pressure"), "{said}");
    let store = stored(&server, "store");
    assert!(store.join("a.zarr/zarr.json").exists() && !store.join("manifest.json").exists());
    assert!(!tree(&store).keys().any(|path| path.starts_with("b.zarr")), "a broken sample leaves nothing");

    // As if killed amid sample b, when it had more points.
    let left = store.join("b.zarr/surface/pressure/c/9/0");
    fs::create_dir_all(left.parent().unwrap()).unwrap();
    fs::write(&left, "an old shard").unwrap();
    fs::write(from.join("b/pressure.npy"), good).unwrap();
    let (code, said) = output(&mut convert(
        server.address(),
        source,
        to,
        &[&options[..], &["--shuffle-seed", "7"]].concat(),
    ));
    assert!(code == Some(1) && said.contains("shuffle_seed was 0, is now 7"), "{said}");
    let said = succeeds(&mut convert(server.address(), source, to, &options));
    assert!(said.contains("1 samples are there from an earlier run"), "{said}");
    succeeds(&mut convert(server.address(), source, undisturbed.to_str().unwrap(), &options));
    assert_same(&store, &undisturbed);

    let before = tree(&store);
    let (code, said) = output(&mut convert(server.address(), source, to, &options));
    assert!(code == Some(1) && said.contains("finished store") && said.contains("--overwrite"), "{said}");
    assert_eq!(tree(&store), before);
    let other = [&base[..], &["--shuffle-seed", "7", "--shard-points", "20"]].concat();
    succeeds(&mut convert(server.address(), source, to, &[&other[..], &["--overwrite"]].concat()));
    let afresh = local.path().join("afresh");
    succeeds(&mut convert(server.address(), source, afresh.to_str().unwrap(), &other));
    assert_same(&store, &afresh);
}

#[test]
fn a_link_that_breaks_costs_time_and_changes_no_byte() {
    let server = s3::Server::new();
    let local = tempfile::tempdir().unwrap();
    let (tree, store) = (local.path().join("tree"), local.path().join("store"));
    // Long enough for parts.
    sample(&tree.join("large"), 900_000);
    (1..6).for_each(|points| sample(&tree.join(format!("small{points}")), points));
    let filemap = filemap(local.path());
    let options = ["--filemap", &filemap, "--compression-level", "1", "--dataset-name", "one"];
    let remote = server.put("tree", &tree);
    succeeds(&mut convert(server.address(), tree.to_str().unwrap(), store.to_str().unwrap(), &options));
    let proxy = Proxy::new(server.address(), Duration::ZERO);
    proxy.break_requests(150, 1);
    let options = [&options[..], &["--retry-timeout", "30"]].concat();
    succeeds(&mut convert(proxy.address(), &remote, "s3://bucket/store", &options));
    assert_same(&stored(&server, "store"), &store);
    let requests = proxy.take_log();
    assert!(requests.len() > 60, "{} requests", requests.len());
}

#[test]
fn two_runs_of_one_command_at_the_same_time_do_each_other_no_harm() {
    let server = s3::Server::new();
    let from = data("golden/shapenet_pt");
    let options = [&SHAPENET[..], &["--plain", "--workers", "1"]].concat();
    let run = || convert(server.address(), from.to_str().unwrap(), "s3://bucket/store", &options);
    let (mut one, mut other) = (run().spawn().unwrap(), run().spawn().unwrap());
    let ended = [one.wait().unwrap().code(), other.wait().unwrap().code()];
    assert!(ended.contains(&Some(0)), "{ended:?}");
    assert_same(&stored(&server, "store"), &data("golden/shapenet_store"));
}

#[test]
fn what_cannot_be_written_is_one_clear_error_and_no_secret_is_told() {
    let server = s3::Server::new();
    let local = tempfile::tempdir().unwrap();
    let tree = data("golden/shapenet_pt");
    let report = local.path().join("report.json");
    let proxy = Proxy::new(server.address(), Duration::ZERO);
    let fails = |to: &str, change: &dyn Fn(&mut Command), parts: &[&str]| {
        let options = [&SHAPENET[..], &["--retry-timeout", "1", "-vv", "--report"]].concat();
        let options = [&options[..], &[report.to_str().unwrap()]].concat();
        let mut command = convert(proxy.address(), tree.to_str().unwrap(), to, &options);
        change(&mut command);
        let (code, said) = output(&mut command);
        assert!(matches!(code, Some(1 | 2)), "{code:?} {said}");
        let errors: Vec<_> = said.lines().filter(|line| line.starts_with("error: ")).collect();
        assert!(errors.len() == 1 && said.contains("\nhint: "), "{said}");
        for part in parts {
            assert!(said.contains(part), "{part}: {said}");
        }
        if let Ok(text) = fs::read_to_string(&report) {
            assert!(!text.contains(s3::SECRET), "{text}");
        }
    };
    let wrong_key =
        |command: &mut Command| _ = command.env("AWS_SECRET_ACCESS_KEY", format!("{}x", s3::SECRET));
    fails("s3://bucket/store", &wrong_key, &["secret is wrong", "SignatureDoesNotMatch"]);
    fails("s3://nowhere/store", &|_| (), &["NoSuchBucket", "the bucket's name"]);
    fails("https://example.org/store", &|_| (), &["web server is only read from"]);
    proxy.deny("PUT");
    fails("s3://bucket/store", &|_| (), &["403", "cannot write s3://bucket/store"]);
    assert!(!stored(&server, "store").exists());

    // A source that is not there, and one that cannot be listed.
    let store = local.path().join("store");
    let from =
        |source: &str| output(&mut convert(server.address(), source, store.to_str().unwrap(), &SHAPENET));
    let (code, said) = from("s3://bucket/nothing");
    assert!(code == Some(1) && said.contains("no sample in s3://bucket/nothing"), "{said}");
    let (code, said) = from(&format!("http://me:{}@{}/tree", s3::SECRET, server.address()));
    assert!(code == Some(2) && said.contains("cannot be listed"), "{said}");
    assert!(!store.exists(), "nothing is begun for a source that cannot be read");
}

#[test]
fn a_key_does_not_stand_in_the_arguments_of_the_process() {
    let server = s3::Server::new();
    let source = server.put("tree", &data("golden/shapenet_pt"));
    let mut child = convert(server.address(), &source, "s3://bucket/store", &SHAPENET)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let arguments = fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
    assert!(!String::from_utf8_lossy(&arguments).contains(s3::SECRET));
    assert!(child.wait().unwrap().success());
}

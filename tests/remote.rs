//! Stores behind a network: few round trips, no bytes twice, faults that cost time and not numbers.

mod common;

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::proxy::{Exchange, Proxy, round_trips};
use common::{Mount, data, files, python, read, run, s3, web};
use samplefs::catalog::SampleId;
use samplefs::error::{ErrorKind, Result};
use samplefs::format::Format;
use samplefs::fs::{Filesystem, Options, Prefetch};
use samplefs::layout::names::FileNames;
use samplefs::store::access::Access;

/// Long enough that requests which need not wait for each other overlap on a busy machine.
const FAR: Duration = Duration::from_millis(100);

fn access(address: &str) -> Access {
    let environment = s3::environment().into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    Access {
        endpoint: Some(format!("http://{address}")),
        region: Some("us-east-1".to_owned()),
        allow_http: true,
        environment: environment.collect(),
        ..Access::default()
    }
}

/// A store in a bucket, seen as files by this process.
fn open(address: &str, access: &Access) -> Result<Filesystem> {
    let options = Options {
        names: FileNames::Auto,
        formats: &[Format::Pt],
        cache: 64 << 20,
        prefetch: Prefetch::Auto,
        metrics: Arc::default(),
    };
    Filesystem::open(samplefs::store::open(address, access)?, &options)
}

/// All files of a local store as they are, by path.
fn expected(store: &Path) -> BTreeMap<String, Vec<u8>> {
    let (fs, _) = common::open(store, &[Format::Pt], 64 << 20).unwrap();
    files(&fs).into_iter().map(|path| (path.clone(), read(&fs, &path).unwrap())).collect()
}

fn bytes(log: &[Exchange]) -> u64 {
    log.iter().map(|exchange| exchange.bytes).sum()
}

/// Bytes of the objects that hold a sample's values, and of its metadata.
fn stored(store: &Path, sample: &str) -> u64 {
    let objects = common::tree(&store.join(format!("{sample}.zarr")));
    let wanted = |path: &Path| path == "zarr.json" || path.iter().any(|name| name == "c");
    objects.iter().filter(|(path, _)| wanted(path)).map(|(_, bytes)| bytes.len() as u64).sum()
}

const SAMPLE: &str = "param0/c41ea2177b0cd65aaf5ee1a1938ca886";

#[test]
fn a_cold_sample_costs_a_few_round_trips_and_every_byte_once() {
    let server = s3::Server::new();
    let store = data("golden/shapenet_store");
    let address = server.put("shapenet", &store);
    let proxy = Proxy::new(server.address(), FAR);
    let fs = open(&address, &access(proxy.address())).unwrap();
    assert_eq!(proxy.take_log().len(), 2, "the manifest and one listing");

    let mut expected = expected(&store);
    expected.retain(|path, _| path.starts_with(SAMPLE));
    assert_eq!(expected.len(), 7);
    for (path, bytes) in expected {
        assert!(read(&fs, &path).unwrap() == bytes, "{path}");
    }
    let log = proxy.take_log();
    assert!(round_trips(&log) <= 3, "{log:#?}");
    assert!(log.iter().all(|exchange| exchange.method == "GET"), "{log:#?}");
    assert_eq!(log.len(), 1 + 7, "metadata, and each small field as a whole");
    assert_eq!(bytes(&log), stored(&store, SAMPLE));
}

#[test]
fn a_cold_view_costs_its_metadata_its_indexes_and_its_chunks() {
    let server = s3::Server::new();
    let store = data("golden/drivaer_store");
    let address = server.put("drivaer", &store);
    let proxy = Proxy::new(server.address(), FAR);
    let fs = open(&address, &access(proxy.address())).unwrap();
    proxy.take_log();

    let (local, counted) = common::open(&store, &[Format::Pt], 64 << 20).unwrap();
    let sample = local.snapshot().catalog().id(SampleId(0)).to_owned();
    let before = counted.bytes();
    let names: Vec<_> = files(&local).into_iter().filter(|path| path.starts_with(&sample)).collect();
    for name in &names {
        let view = name.replacen(&sample, &format!("{sample}/subsample_512_7"), 1);
        assert!(read(&fs, &view).unwrap() == read(&local, &view).unwrap(), "{view}");
    }
    let log = proxy.take_log();
    assert!(round_trips(&log) <= 3, "{log:#?}");
    // Neighbours come together with what little lies between them.
    let needed = counted.bytes() - before;
    assert!(bytes(&log) <= needed + needed / 10, "{} bytes where {needed} are needed", bytes(&log));
}

#[test]
fn torch_load_asks_for_no_more_than_reading_from_start_to_end() {
    let store = data("golden/shapenet_store");
    let server = web::Server::new(&store, Duration::ZERO);
    let mut requests = Vec::new();
    for torch in [false, true] {
        let proxy = Proxy::new(server.address(), Duration::ZERO);
        let mount = Mount::of(format!("http://{}", proxy.address()), &["--threads=2"]);
        let mut paths: Vec<_> =
            std::fs::read_dir(mount.path().join(SAMPLE)).unwrap().map(|e| e.unwrap().path()).collect();
        paths.sort();
        if torch {
            run(python("load.py").args(&paths));
        } else {
            paths.iter().for_each(|path| _ = std::fs::read(path).unwrap());
        }
        mount.unmount();
        let log = proxy.take_log();
        assert!(log.iter().all(|exchange| exchange.method == "GET"), "{log:#?}");
        requests.push(log.len());
    }
    assert!(requests[1] <= requests[0], "{requests:?}");
}

#[test]
fn requests_that_fail_cost_time_and_no_byte_is_wrong() {
    let seconds = std::env::var("SAMPLEFS_FAULT_SECONDS").map_or(10, |seconds| seconds.parse().unwrap());
    let store = data("golden/drivaer_store");
    let server = s3::Server::new();
    let address = server.put("drivaer", &store);
    let proxy = Proxy::new(server.address(), Duration::from_millis(1));
    // An attempt is silent for a sixth of this at most, so that stalls do not take all the time there is.
    let mut options = s3::options(proxy.address());
    options.extend(["--retry-timeout=30".to_owned(), "--memory-target=4M".to_owned()]);
    let mount = Mount::of(&address, &options);
    proxy.break_requests(100, 7);
    let (local, _) = common::open(&store, &[Format::Pt], 64 << 20).unwrap();
    let names = files(&local);
    let read_count = AtomicU64::new(0);
    let until = Instant::now() + Duration::from_secs(seconds);
    thread::scope(|scope| {
        for reader in 0..6u64 {
            let (local, names, mount, read_count) = (&local, &names, &mount, &read_count);
            scope.spawn(move || {
                // A view that nobody has read: no cache has it, the kernel's neither.
                for round in 0u64.. {
                    let seed = reader + 6 * round;
                    let view = format!("subsample_{}_{seed}/", 300 + 97 * (seed % 13));
                    for name in names.iter().filter(|name| name.contains('/')) {
                        if Instant::now() > until {
                            return;
                        }
                        let name = format!("{view}{name}");
                        let found =
                            std::fs::read(mount.path().join(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
                        assert!(found == read(local, &name).unwrap(), "{name}");
                        read_count.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    proxy.break_requests(0, 0);
    mount.unmount();
    assert!(read_count.into_inner() > 50, "too little was read to tell");
}

#[test]
fn a_dead_server_is_an_error_in_time_and_reads_work_again_when_it_is_back() {
    let store = data("golden/shapenet_store");
    let server = s3::Server::new();
    let address = server.put("shapenet", &store);
    let proxy = Proxy::new(server.address(), Duration::ZERO);
    let patience = Duration::from_secs(6);
    let fs = open(&address, &Access { patience, ..access(proxy.address()) }).unwrap();
    let path = format!("{SAMPLE}/volume_sdf.pt");
    proxy.set_dead(true);
    let error = read(&fs, &path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(
        error.to_string().contains("attempts in") && error.to_string().contains("s3://bucket"),
        "{error}"
    );
    proxy.set_dead(false);
    assert!(read(&fs, &path).unwrap() == expected(&store)[&path]);
}

#[test]
fn a_shard_that_was_replaced_is_stale_and_never_mixed() {
    let (_dir, store) = common::copy("golden/drivaer_store");
    let web = web::Server::new(&store, Duration::ZERO);
    let s3 = s3::Server::new();
    let in_bucket = s3.put("drivaer", &store);
    // One server refuses the version that is gone, the other does not know how to and sends the new one.
    let bucket = s3.bucket().join("drivaer");
    for (address, access, root) in [
        (format!("http://{}", web.address()), Access::default(), &store),
        (in_bucket, access(s3.address()), &bucket),
    ] {
        let objects = samplefs::store::open(&address, &access).unwrap();
        let options = Options {
            names: FileNames::Auto,
            formats: &[Format::Pt],
            cache: 1 << 20,
            prefetch: Prefetch::Off,
            metrics: Arc::default(),
        };
        let fs = Filesystem::open(objects, &options).unwrap();
        let sample = fs.snapshot().catalog().id(SampleId(0)).to_owned();
        let view = |seed| format!("{sample}/subsample_512_{seed}/volume_p.pt");
        let before: Vec<_> = (0..1).map(|seed| read(&fs, &view(seed)).unwrap()).collect();
        let array = root.join(format!("{sample}.zarr/volume/pressure/c"));
        for (path, mut shard) in common::tree(&array) {
            // As long as before, its index valid: only the version tells.
            shard[0] ^= 1;
            let new = array.join("new");
            std::fs::write(&new, shard).unwrap();
            std::fs::rename(new, array.join(path)).unwrap();
        }
        for (seed, before) in before.iter().enumerate() {
            match read(&fs, &view(seed)) {
                Ok(bytes) => assert!(bytes == *before, "{address}: bytes of another version"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Changed, "{address}: {error}"),
            }
        }
        let stale =
            (8..40).filter(|seed| read(&fs, &view(*seed)).is_err_and(|e| e.kind() == ErrorKind::Changed));
        assert!(stale.count() > 0, "{address}: nothing was found to be stale");
    }
}

#[test]
fn a_web_server_without_a_listing_is_enough() {
    let store = data("golden/shapenet_store");
    let server = web::Server::new(data("golden").as_path(), Duration::ZERO);
    let fs = open(&format!("http://{}/shapenet_store", server.address()), &Access::default()).unwrap();
    let found: BTreeMap<_, _> =
        files(&fs).into_iter().map(|path| (path.clone(), read(&fs, &path).unwrap())).collect();
    let mut expected = expected(&store);
    // Nothing tells which plain files there are.
    expected.retain(|path, _| path.contains('/'));
    assert!(found == expected);
}

#[test]
fn what_cannot_be_reached_is_one_error_with_a_hint_and_no_secret() {
    let server = s3::Server::new();
    server.put("shapenet", &data("golden/shapenet_store"));
    let options = s3::options(server.address());
    let secret = "wrong-secret-that-must-not-be-seen";
    let cases: [(&str, &str, &[&str], &str); 5] = [
        ("s3://bucket/shapenet", secret, &[], "access key or its secret is wrong"),
        ("s3://elsewhere/shapenet", s3::SECRET, &[], "samplefs convert"),
        ("s3://bucket/nothing", s3::SECRET, &[], "samplefs convert"),
        ("s3://bucket/shapenet", secret, &["--profile=nobody"], "list-profiles"),
        ("s3://bucket/shapenet", secret, &["--no-sign-request"], "credentials"),
    ];
    for (address, key, more, hint) in cases {
        let mut command = common::samplefs(["ls", address, "-vv"]);
        command.args(&options).args(more).envs(s3::environment()).env("AWS_SECRET_ACCESS_KEY", key);
        let output = command.output().unwrap();
        let said = common::stderr(&output);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{address} {more:?}: {said}");
        assert!(said.contains(hint), "{address} {more:?}: {said}");
        assert_eq!(said.matches("error: ").count(), 1, "{said}");
        assert!(!said.contains(secret) && !said.contains(s3::SECRET), "{said}");
    }
    let output =
        common::samplefs(["ls", "s3://bucket/a", "--endpoint-url=http://127.0.0.1:9"]).output().unwrap();
    assert!(common::stderr(&output).contains("--allow-http"), "{}", common::stderr(&output));
}

/// The bytes of every file of a mount of that address, and the requests that they took.
fn cached(address: &str, proxy: &Proxy, cache: &Path) -> (BTreeMap<PathBuf, Vec<u8>>, Vec<Exchange>) {
    let mut options = s3::options(proxy.address());
    options.push(format!("--cache={}", cache.display()));
    let mount = Mount::of(address, &options);
    let files = common::tree(mount.path());
    mount.unmount();
    (files, proxy.take_log())
}

#[test]
fn a_second_mount_reads_from_the_disk_cache_and_a_damaged_entry_is_fetched_anew() {
    let server = s3::Server::new();
    let address = server.put("drivaer", &data("golden/drivaer_store"));
    let proxy = Proxy::new(server.address(), Duration::ZERO);
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let (first, log) = cached(&address, &proxy, &cache);
    assert!(log.len() > 10, "{log:#?}");
    assert_eq!(std::fs::metadata(&cache).unwrap().mode() & 0o777, 0o700);

    let (second, log) = cached(&address, &proxy, &cache);
    assert!(first == second);
    // What is not there is asked for again: it may have been put back.
    let exists = |exchange: &Exchange| server.bucket().parent().unwrap().join(&exchange.target[1..]).exists();
    let from_store: Vec<_> =
        log.iter().filter(|exchange| exchange.target.contains(".zarr") && exists(exchange)).collect();
    assert!(from_store.is_empty(), "{from_store:#?}");

    let entries: Vec<_> =
        std::fs::read_dir(cache.join("objects")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(entries.len() > 10);
    for (position, entry) in entries.iter().enumerate() {
        let mut bytes = std::fs::read(entry).unwrap();
        let at = position * 7919 % bytes.len();
        bytes[at] ^= 0x10;
        if position % 5 == 0 {
            bytes.truncate(at);
        }
        std::fs::write(entry, bytes).unwrap();
    }
    let (third, log) = cached(&address, &proxy, &cache);
    assert!(first == third, "a damaged entry was served");
    assert!(log.iter().any(|exchange| exchange.target.contains(".zarr")));
}

#[test]
fn mounts_share_a_cache_that_stays_small_and_one_that_is_killed_leaves_it_whole() {
    let server = s3::Server::new();
    let address = server.put("drivaer", &data("golden/drivaer_store"));
    let dir = tempfile::tempdir().unwrap();
    let mut options = s3::options(server.address());
    options.extend([
        format!("--cache={}", dir.path().join("cache").display()),
        "--max-cache-size=64K".to_owned(),
    ]);
    let expected = expected(&data("golden/drivaer_store"));
    thread::scope(|scope| {
        for killed in [false, true, false] {
            let (options, address, expected) = (&options, &address, &expected);
            scope.spawn(move || {
                let mut mount = Mount::of(address, options);
                for (path, bytes) in expected {
                    assert!(std::fs::read(mount.path().join(path)).unwrap() == *bytes, "{path}");
                    if killed && path.contains("volume") {
                        mount.kill();
                        return;
                    }
                }
                mount.unmount();
            });
        }
    });
    // What leaves is chosen when a sixteenth has been written since last time, by each of three.
    let size: u64 = common::tree(dir.path()).values().map(|bytes| bytes.len() as u64).sum();
    assert!(size < 2 * (64 << 10), "{size} bytes are kept");
    let mount = Mount::of(&address, &options);
    for (path, bytes) in &expected {
        assert!(std::fs::read(mount.path().join(path)).unwrap() == *bytes, "{path}");
    }
    mount.unmount();
}

#[test]
fn a_cache_that_others_can_enter_is_refused_and_one_that_breaks_is_done_without() {
    let server = s3::Server::new();
    let address = server.put("shapenet", &data("golden/shapenet_store"));
    let dir = tempfile::tempdir().unwrap();
    let options = s3::options(server.address());
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = common::samplefs(["mount", &address, "/nonexistent", "--cache"]);
    let output = command.arg(dir.path()).args(&options).envs(s3::environment()).output().unwrap();
    assert!(common::stderr(&output).contains("is not private"), "{}", common::stderr(&output));

    let cache = dir.path().join("cache");
    let mut options = options;
    options.push(format!("--cache={}", cache.display()));
    let mount = Mount::of(&address, &options);
    std::fs::remove_dir_all(&cache).unwrap();
    for (path, bytes) in expected(&data("golden/shapenet_store")) {
        assert!(std::fs::read(mount.path().join(&path)).unwrap() == bytes, "{path}");
    }
    let log = mount.unmount();
    assert_eq!(log.matches("does not work").count(), 1, "{log}");
}

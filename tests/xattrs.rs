//! Extended attributes: what they tell, what they ask of the store, and the protocol of reading them.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use common::Mount;
use rustix::fs::{getxattr, getxattr_query, listxattr, listxattr_query};
use rustix::io::Errno;
use samplefs::format::Format;
use samplefs::fs::xattr::PREFIX;
use samplefs::fs::{Described, Filesystem, ROOT};

const STORE: &str = "golden/drivaer_store";
const FILE: &str = "E_S_WWC_WM_005/volume_U.pt";

fn told(fs: &Filesystem, path: &str) -> BTreeMap<&'static str, String> {
    let number = if path.is_empty() { ROOT } else { common::walk(fs, path).unwrap().number };
    fs.xattrs(number).unwrap().into_iter().collect()
}

#[test]
fn nodes_tell_what_they_are() {
    let (fs, _) = common::open(&common::data(STORE), &[Format::Pt, Format::Npy], 1 << 20).unwrap();
    let filemap = "the FileMap known for DrivAerNetDataset";
    let file = [
        ("sample", "E_S_WWC_WM_005"),
        ("shuffled", "true"),
        ("field", "volume_velocity"),
        ("domain", "volume"),
        ("array", "E_S_WWC_WM_005.zarr/volume/velocity"),
        ("dtype", "float32"),
        ("stored_dtype", "float16"),
        ("shape", "3277,3"),
        ("points", "3277"),
        ("filemap", filemap),
    ];
    let owned = |known: &[(&'static str, &str)]| known.iter().map(|(n, v)| (*n, (*v).to_owned())).collect();
    let mut expected: BTreeMap<_, _> = owned(&file);
    assert_eq!(told(&fs, FILE), expected);
    expected.insert("dtype", "float16".to_owned());
    assert_eq!(told(&fs, &FILE.replace(".pt", ".npy")), expected);

    let view = "subsample_surface=7,volume=100_3";
    expected
        .extend([("shape", "100,3"), ("points", "100"), ("subsample", view)].map(|(n, v)| (n, v.to_owned())));
    expected.insert("dtype", "float32".to_owned());
    assert_eq!(told(&fs, &format!("{view}/{FILE}")), expected);
    assert_eq!(told(&fs, "subsample_4096_7/E_S_WWC_WM_005/surface_p.pt")["shape"], "633");

    let sample = [("sample", "E_S_WWC_WM_005"), ("shuffled", "true")];
    assert_eq!(told(&fs, "E_S_WWC_WM_005"), owned(&sample));
    let root =
        [("dataset", "DrivAerNetDataset"), ("samples", "3"), ("format", "pt,npy"), ("filemap", filemap)];
    assert_eq!(told(&fs, ""), owned(&root));
    assert_eq!(told(&fs, "subsample_5_0")["subsample"], "subsample_5_0");
    assert!(told(&fs, "train_design_ids.txt").is_empty());
}

#[test]
fn attributes_ask_nothing_of_the_store_but_the_checksum_for_metadata() {
    let (_dir, store) = common::copy(STORE);
    common::record_checksums(&store);
    let (fs, counted) = common::open(&store, &[Format::Pt], 1 << 20).unwrap();
    let at_start = counted.requests();
    for path in common::files(&fs) {
        let number = common::walk(&fs, &path).unwrap().number;
        for (name, value) in fs.xattrs(number).unwrap() {
            assert_eq!(fs.xattr(number, format!("{PREFIX}{name}").as_bytes()).unwrap(), Some(value));
        }
        for other in
            ["security.selinux", "system.posix_acl_access", "user.samplefs.", "user.samplefs.none", "crc32"]
        {
            assert_eq!(fs.xattr(number, other.as_bytes()).unwrap(), None, "{other}");
        }
    }
    assert_eq!(counted.requests(), at_start);

    for path in [FILE.to_owned(), format!("subsample_512_1/{FILE}")] {
        let number = common::walk(&fs, &path).unwrap().number;
        let crc32 = fs.xattr(number, b"user.samplefs.crc32").unwrap().unwrap();
        let Described::File(shown) = fs.describe(number).unwrap() else { panic!("{path} is a file") };
        let start = shown.file.frame().prefix.len();
        let payload = &common::read(&fs, &path).unwrap()[start..][..shown.file.frame().payload as usize];
        assert_eq!(crc32, format!("{:08x}", crc32fast::hash(payload)), "{path}");
    }
    let (fs, counted) = common::open(&store, &[Format::Npy], 1 << 20).unwrap();
    let at_start = counted.requests();
    let float16 = common::walk(&fs, "E_S_WWC_WM_005/volume_U.npy").unwrap().number;
    assert_eq!(fs.xattr(float16, b"user.samplefs.crc32").unwrap(), None, "float16 is not what was summed");
    assert_eq!(counted.requests(), at_start);
}

#[test]
fn getfattr_lists_and_reads_them_through_a_mount() {
    let mount = Mount::new(&common::data(STORE), &[]);
    let file = mount.path().join(FILE);
    let listed = common::run(Command::new("getfattr").args(["-d", "--absolute-names"]).arg(&file));
    assert!(listed.contains("user.samplefs.shape=\"3277,3\"\n"), "{listed}");
    assert_eq!(listed.matches("user.samplefs.").count(), 10, "{listed}");

    let read = |name: &str, room: usize| {
        let mut value = vec![0; room];
        getxattr(&file, name, &mut value[..]).map(|size| (size, value))
    };
    assert_eq!(getxattr_query(&file, "user.samplefs.points"), Ok(4));
    assert_eq!(read("user.samplefs.points", 4).unwrap(), (4, b"3277".to_vec()));
    assert_eq!(read("user.samplefs.points", 3).unwrap_err(), Errno::RANGE);
    assert_eq!(read("user.samplefs.crc32", 9).unwrap_err(), Errno::NODATA, "none is recorded");
    assert_eq!(read("security.selinux", 9).unwrap_err(), Errno::NODATA);
    let names = listxattr_query(&file).unwrap();
    assert_eq!(listxattr(&file, &mut vec![0; names][..]).unwrap(), names);
    assert_eq!(listxattr(&file, &mut vec![0; names - 1][..]).unwrap_err(), Errno::RANGE);
    assert_eq!(listxattr(mount.path().join("train_design_ids.txt"), &mut [0; 9][..]).unwrap(), 0);
    mount.unmount();
}

#[test]
fn without_xattrs_the_kernel_knows_that_there_are_none() {
    let mount = Mount::new(&common::data(STORE), &["--no-xattrs"]);
    let read = |path: &Path| getxattr(path, "user.samplefs.points", &mut [0; 9][..]);
    assert_eq!(read(&mount.path().join(FILE)), Err(Errno::OPNOTSUPP));
    assert_eq!(listxattr(mount.path(), &mut [0; 9][..]), Err(Errno::OPNOTSUPP));
    mount.unmount();
}

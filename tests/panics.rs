//! Promise 8: a panic costs one request.

mod common;

use std::fs;
use std::sync::Arc;

use samplefs::error::Result;
use samplefs::format::Format;
use samplefs::fs::{Filesystem, Options, Prefetch};
use samplefs::fuse::{self, MountOptions, mounts};
use samplefs::layout::names::FileNames;
use samplefs::store::local::Local;
use samplefs::store::{Found, Objects, Part, PlainFile, Version};

const SAMPLE: &str = "E_S_WWC_WM_005";

/// A store with a defect: whoever reads a shard of velocities panics.
struct Defective(Local);

impl Objects for Defective {
    fn location(&self) -> String {
        self.0.location()
    }

    fn read(
        &self,
        path: &str,
        part: Part,
        expected: Option<&Version>,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Found>> {
        assert!(!path.contains("velocity/c/"), "the defect that this test plants");
        self.0.read(path, part, expected, buffer)
    }

    fn list(&self) -> Result<Vec<PlainFile>> {
        self.0.list()
    }
}

#[test]
fn a_panic_costs_one_request_and_the_mount_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Arc::new(Defective(Local::open(&common::data("golden/drivaer_store")).unwrap()));
    let options = Options {
        names: FileNames::Auto,
        formats: &[Format::Pt],
        cache: 1 << 20,
        prefetch: Prefetch::Auto,
        metrics: Arc::default(),
    };
    let filesystem = Arc::new(Filesystem::open(objects, &options).unwrap());
    let options = MountOptions {
        target: dir.path().canonicalize().unwrap(),
        source: "defective".to_owned(),
        allow_other: false,
        owner: (0, 0),
        threads: 2,
        grace: std::time::Duration::ZERO,
        xattrs: true,
    };
    let mounted = fuse::mount(filesystem, &options, None).unwrap();
    // More panics than there are threads: none of them may die of one.
    for _ in 0..4 {
        let error = fs::read(dir.path().join(SAMPLE).join("volume_U.pt")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EIO));
        let whole = fs::read(dir.path().join(SAMPLE).join("volume_p.pt")).unwrap();
        assert!(whole.starts_with(b"PK"));
    }
    mounts::unmount(&options.target).unwrap();
    mounted.wait(false).unwrap();
}

//! What the kernel forgets costs no memory: views go when no node of theirs is remembered.

mod common;

use samplefs::format::Format;
use samplefs::fs::{Filesystem, ROOT};

const SAMPLE: &str = "E_S_WWC_WM_005";

fn store() -> Filesystem {
    common::open(&common::data("golden/drivaer_store"), &[Format::Pt], 1 << 20).unwrap().0
}

#[test]
fn a_walk_over_100_000_views_returns_to_the_base_line() {
    let fs = store();
    let mut remembered = Vec::new();
    for seed in 0..100_000 {
        let view = fs.lookup(ROOT, format!("subsample_100_{seed}").as_bytes()).unwrap();
        let sample = fs.lookup(view.number, SAMPLE.as_bytes()).unwrap();
        remembered.extend([view.number, sample.number]);
    }
    assert_eq!(fs.views(), 100_000);
    remembered.into_iter().for_each(|number| fs.forget(number, 1));
    assert_eq!(fs.views(), 0);
}

#[test]
fn a_view_stays_while_any_node_seen_through_it_is_remembered() {
    let fs = store();
    let view = fs.lookup(ROOT, b"subsample_100_1").unwrap().number;
    let sample = fs.lookup(view, SAMPLE.as_bytes()).unwrap().number;
    let file = fs.lookup(sample, b"volume_p.pt").unwrap();
    fs.forget(view, 1);
    fs.forget(sample, 1);
    assert_eq!(fs.getattr(file.number).unwrap(), file);
    // A listing that gave the file away with its attributes counts as one more lookup.
    fs.remember(file.number);
    fs.forget(file.number, 1);
    assert_eq!(fs.views(), 1);
    fs.forget(file.number, 1);
    assert_eq!(fs.views(), 0);
    assert!(fs.getattr(file.number).is_err());
}

#[test]
fn names_that_are_not_there_leave_nothing_behind() {
    let fs = store();
    let view = fs.lookup(ROOT, b"subsample_100_1").unwrap().number;
    for name in ["nothing", "subsample_5_5", "manifest.json"] {
        assert!(fs.lookup(view, name.as_bytes()).is_err(), "{name}");
    }
    fs.forget(view, 1);
    assert_eq!(fs.views(), 0);
}

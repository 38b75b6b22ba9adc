//! Promise 1: a read is a slice of the file. Promise 2: the size is what getattr said.

mod common;

use proptest::prelude::*;
use samplefs::format::Format;
use samplefs::fs::Filesystem;

/// Every file of a golden store, as it is and through views.
fn all_files(fs: &Filesystem) -> Vec<String> {
    let files = common::files(fs);
    let views = ["subsample_300_7", "subsample_volume=1_18446744073709551615", "subsample_99999_0"];
    let seen = views.iter().flat_map(|view| files.iter().map(move |file| format!("{view}/{file}")));
    files.iter().cloned().chain(seen).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_slice_of_any_file_is_that_slice_of_the_whole(
        which in any::<prop::sample::Index>(),
        cuts in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 20),
        // None, less than a chunk, a few chunks, plenty.
        cache in prop::sample::select(vec![0usize, 1_000, 40_000, 1 << 24]),
        store in prop::sample::select(vec!["golden/shapenet_store", "golden/drivaer_store"]),
    ) {
        let (fs, _) = common::open(&common::data(store), &[Format::Pt, Format::Npy], cache).unwrap();
        let files = all_files(&fs);
        let path = &files[which.index(files.len())];
        let file = common::walk(&fs, path).unwrap();
        let whole = common::read(&fs, path).unwrap();
        prop_assert_eq!(whole.len() as u64, file.size);
        let mut slice = Vec::new();
        for (start, length) in cuts {
            let start = start.index(whole.len() + 10);
            let length = length.index(whole.len() + 10);
            fs.read(file.number, start as u64, length, &mut slice).unwrap();
            let end = (start + length).min(whole.len());
            prop_assert_eq!(&slice, &whole[start.min(end)..end], "{} {}+{}", path, start, length);
        }
    }
}

#[test]
fn reads_at_and_past_the_end_are_empty_and_never_overflow() {
    let (fs, _) = common::open(&common::data("golden/drivaer_store"), &[Format::Pt], 1 << 20).unwrap();
    let mut out = vec![1];
    for path in ["train_design_ids.txt", "E_S_WWC_WM_005/volume_p.pt"] {
        let file = common::walk(&fs, path).unwrap();
        for offset in [file.size, file.size + 1, u64::MAX] {
            fs.read(file.number, offset, usize::MAX, &mut out).unwrap();
            assert!(out.is_empty(), "{path} at {offset}");
        }
    }
}

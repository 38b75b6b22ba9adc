//! What people and loaders do with files works on a mount.

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use common::{Mount, data, python, run, tree};

const STORE: &str = "golden/drivaer_store";

#[test]
fn the_mount_is_the_legacy_tree_with_its_plain_files_and_without_the_manifest() {
    let mount = Mount::new(&data(STORE), &[]);
    let shown = tree(mount.path());
    let legacy = tree(&data("golden/drivaer_pt"));
    assert!(shown.keys().eq(legacy.keys()), "{:?}", shown.keys());
    for (name, content) in legacy.iter().filter(|(name, _)| name.extension().is_some_and(|e| e == "txt")) {
        assert_eq!(&shown[name], content, "{}", name.display());
        let through = mount.path().join("subsample_5_5").join(name);
        assert_eq!(&fs::read(through).unwrap(), content, "{} through a view", name.display());
    }
}

#[test]
fn copies_and_archives_hold_the_same_bytes() {
    let mount = Mount::new(&data(STORE), &["--format", "both"]);
    let shown = tree(mount.path());
    let dir = tempfile::tempdir().unwrap();
    for sparse in ["always", "never"] {
        let copy = dir.path().join(sparse);
        run(Command::new("cp").args(["-r", &format!("--sparse={sparse}")]).arg(mount.path()).arg(&copy));
        assert!(tree(&copy) == shown, "cp --sparse={sparse}");
    }
    for options in ["-cf", "-cSf"] {
        let (archive, copy) = (dir.path().join(options), dir.path().join(format!("out{options}")));
        fs::create_dir(&copy).unwrap();
        run(Command::new("tar").arg(options).arg(&archive).arg("-C").arg(mount.path()).arg("."));
        run(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&copy));
        assert!(tree(&copy) == shown, "tar {options}");
    }
    run(Command::new("chmod").args(["-R", "u+w"]).arg(dir.path()));
}

#[test]
fn find_sees_every_file_and_directory_once() {
    let mount = Mount::new(&data(STORE), &[]);
    let found =
        |arguments: &[&str]| run(Command::new("find").arg(mount.path()).args(arguments)).lines().count();
    assert_eq!(found(&["-type", "f"]), 3 * 8 + 5);
    assert_eq!(found(&["-type", "d"]), 1 + 3);
    assert_eq!(found(&["-name", "volume_U.pt"]), 3);
    assert_eq!(found(&["-name", "subsample*"]), 0);
}

#[test]
fn sums_and_inode_numbers_are_the_same_after_a_remount() {
    let seen = || {
        let mount = Mount::new(&data(STORE), &["--format", "both"]);
        let files =
            "find . subsample_100_3 E_S_WWC_WM_005/subsample_100_3 -type f -exec md5sum {} + | sort -k 2";
        let sums = run(Command::new("sh").args(["-c", files]).current_dir(mount.path()));
        let numbers = run(Command::new("sh")
            .args(["-c", "find . subsample_100_3 -printf '%i %p\\n' | sort -k 2"])
            .current_dir(mount.path()));
        (sums, numbers)
    };
    let (first, again) = (seen(), seen());
    assert_eq!(first, again);
    let numbers: Vec<&str> = first.1.lines().map(|line| line.split(' ').next().unwrap()).collect();
    let distinct: std::collections::BTreeSet<_> = numbers.iter().collect();
    // Plain files are the same file in every view.
    assert_eq!(numbers.len() - distinct.len(), 5, "{}", first.1);
}

#[test]
fn statfs_tells_the_datasets_logical_size() {
    let mount = Mount::new(&data(STORE), &[]);
    let said = run(Command::new("stat").args(["-f", "-c", "%b %S %f %c %l"]).arg(mount.path()));
    let said: Vec<u64> = said.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let [blocks, size, free, files, longest] = said[..] else { panic!("{said:?}") };
    // Three samples of 633, 681, 623 surface points of 7 values and 3277, 2740, 3226 volume points of 13.
    let points = 4 * ((633 + 681 + 623) * 7 + (3277 + 2740 + 3226) * 13);
    assert!((blocks * size).abs_diff(points) < size, "{said:?}");
    assert_eq!((free, files, longest), (0, 3 * 8 + 5 + 4, 255));
}

#[test]
fn views_are_found_by_name_only_where_they_can_be() {
    let mount = Mount::new(&data(STORE), &[]);
    let at = |path: &str| fs::metadata(mount.path().join(path)).map_err(|e| e.raw_os_error());
    let sample = "E_S_WWC_WM_005";
    for path in
        ["subsample_5_1", &format!("{sample}/subsample_5_1"), &format!("subsample_volume=5_1/{sample}")]
    {
        assert!(at(path).unwrap().is_dir(), "{path}");
    }
    for path in [
        "subsample_0_1",
        "subsample_05_1",
        "subsample_wing=5_1",
        "subsample_5_1/subsample_5_1",
        &format!("{sample}/subsample_5_1/subsample_5_1"),
        &format!("subsample_5_1/{sample}/subsample_5_1"),
        &format!("{sample}/subsample_5_1/train_design_ids.txt"),
        "manifest.json",
        "E_S_WWC_WM_005.zarr",
    ] {
        assert_eq!(at(path).err(), Some(Some(libc::ENOENT)), "{path}");
    }
    // One file, by either way.
    let one = at(&format!("{sample}/subsample_5_1/volume_p.pt")).unwrap();
    let other = at(&format!("subsample_5_1/{sample}/volume_p.pt")).unwrap();
    assert_eq!((one.ino(), one.size()), (other.ino(), other.size()));
}

#[test]
fn eight_forked_dataloader_workers_read_the_right_values() {
    let mount = Mount::new(&data(STORE), &[]);
    run(python("dataloader.py").arg(mount.path()));
    run(python("dataloader.py").arg(mount.path().join("subsample_600_11")));
}

#[test]
fn every_way_of_torch_and_numpy_to_load_a_tree_agrees() {
    let mount = Mount::new(&data(STORE), &["--format", "both"]);
    let read = run(python("read_tree.py").arg(mount.path()));
    let read: serde_json::Value = serde_json::from_str(&read).unwrap();
    assert_eq!(read.as_object().unwrap().len(), 3 * 8 * 2);
    // A view of all of it is as good a root for a legacy loader.
    let read = run(python("read_tree.py").arg(mount.path().join("subsample_surface=100_0")));
    assert!(read.contains("\"E_S_WWC_WM_005/surface_p.npy\""), "{read}");
}

#[test]
fn file_names_are_those_of_the_filemap_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let names = |filemap: &str| {
        let mount = Mount::new(&data(STORE), &["--filemap", filemap]);
        let listed = run(Command::new("ls").arg(mount.path().join("E_S_WWC_WM_005")));
        listed.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(names("auto").contains(&"volume_U.pt".to_owned()));
    assert!(names("drivaernet").contains(&"volume_wallShearStress.pt".to_owned()));
    assert!(names("canonical").contains(&"volume_velocity.pt".to_owned()));

    let attributes = ["surface_position", "surface_pressure", "surface_friction", "volume_position"];
    let attributes = attributes.iter().chain(&["volume_pressure", "volume_velocity", "volume_vorticity"]);
    let mut map: serde_json::Map<_, _> = attributes
        .chain(&["volume_friction"])
        .map(|a| ((*a).to_owned(), format!("my {a}.pt").into()))
        .collect();
    let file = dir.path().join("map.json");
    let write = |map: &serde_json::Map<String, serde_json::Value>| {
        fs::write(&file, serde_json::to_string(map).unwrap()).unwrap();
        file.to_str().unwrap().to_owned()
    };
    assert!(names(&write(&map)).contains(&"my volume_velocity.pt".to_owned()));

    let refused = |filemap: &str| {
        let output =
            common::samplefs(["mount", "--filemap", filemap]).arg(data(STORE)).arg(dir.path()).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(2));
        common::stderr(&output)
    };
    map.remove("volume_friction");
    let said = refused(&write(&map));
    assert!(said.contains("no file name for the field volume_friction"), "{said}");
    assert!(said.contains("hint: the FileMap names surface_position"), "{said}");
    map.insert("volume_heat".to_owned(), "x.pt".into());
    let said = refused(&write(&map));
    assert!(said.contains("volume_heat is no FileMap attribute") && said.contains("hint: known:"), "{said}");
    // A FileMap of another dataset does not name all that is stored.
    assert!(refused("shapenet-car").contains("no file name for the field surface_friction"));
}

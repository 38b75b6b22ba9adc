//! The directories that sample ids make.
//!
//! A million samples are a million directories, so each takes a few words: names are slices of
//! the ids, and the children of a directory are neighbours, sorted by name.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::Range;

use crate::catalog::{Catalog, SampleId};
use crate::error::{Error, Result};

/// A directory, by its position; 0 is the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DirId(pub u32);

struct Dir {
    parent: DirId,
    /// A sample whose id the name is a part of, and where it starts and ends there.
    named_by: SampleId,
    name: Range<u32>,
    children: Range<u32>,
    sample: Option<SampleId>,
}

/// All directories of a store.
pub struct Dirs {
    dirs: Vec<Dir>,
}

impl Dirs {
    /// The tree of a catalog's samples.
    ///
    /// # Errors
    /// Two samples of one id; more directories than 2^32.
    pub fn new(catalog: &Catalog) -> Result<Self> {
        let mut order: Vec<SampleId> = catalog.samples().collect();
        let id = |sample: SampleId| catalog.id(sample);
        order.sort_unstable_by(|a, b| by_components(id(*a), id(*b)));

        let root = Dir { parent: DirId(0), named_by: SampleId(0), name: 0..0, children: 0..0, sample: None };
        let mut dirs = vec![root];
        // Directories whose children are still to be made: which samples are below, and how many
        // bytes of their ids name the directory. Breadth first makes children neighbours.
        let mut open = VecDeque::from([(DirId(0), 0..order.len(), 0usize)]);
        while let Some((parent, below, depth)) = open.pop_front() {
            let first = dirs.len() as u32;
            let mut rest = &order[below.clone()];
            let mut at = below.start;
            while let Some(sample) = rest.first().copied() {
                let start = if depth == 0 { 0 } else { depth + 1 };
                if id(sample).len() <= depth {
                    // Its id ends here: the sample is the directory itself.
                    let dir = &mut dirs[parent.0 as usize];
                    if dir.sample.replace(sample).is_some() {
                        return Err(Error::invalid(format!("sample {:?} stands twice", id(sample))));
                    }
                    (rest, at) = (&rest[1..], at + 1);
                    continue;
                }
                let name = component(&id(sample)[start..]);
                let same = run(rest, |other| {
                    let after = id(*other)
                        .as_bytes()
                        .get(start..)
                        .and_then(|rest| rest.strip_prefix(name.as_bytes()));
                    after.is_some_and(|after| after.is_empty() || after[0] == b'/')
                });
                let end = start + name.len();
                let dir = DirId(
                    u32::try_from(dirs.len()).map_err(|_| Error::invalid("more than 2^32 directories"))?,
                );
                dirs.push(Dir {
                    parent,
                    named_by: sample,
                    name: start as u32..end as u32,
                    children: 0..0,
                    sample: None,
                });
                open.push_back((dir, at..at + same, end));
                (rest, at) = (&rest[same..], at + same);
            }
            dirs[parent.0 as usize].children = first..dirs.len() as u32;
        }
        Ok(Self { dirs })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.dirs.len()
    }

    /// The name within its parent; empty for the root.
    pub fn name<'a>(&self, dir: DirId, catalog: &'a Catalog) -> &'a str {
        let dir = self.dir(dir);
        if dir.name.is_empty() {
            return "";
        }
        &catalog.id(dir.named_by)[dir.name.start as usize..dir.name.end as usize]
    }

    /// The directory that holds it; the root holds itself.
    pub fn parent(&self, dir: DirId) -> DirId {
        self.dir(dir).parent
    }

    /// The sample whose files stand in it.
    pub fn sample(&self, dir: DirId) -> Option<SampleId> {
        self.dir(dir).sample
    }

    /// The numbers of the directories in it, sorted by name.
    pub fn children(&self, dir: DirId) -> Range<u32> {
        self.dir(dir).children.clone()
    }

    /// The directory of that name in it.
    pub fn child(&self, dir: DirId, name: &str, catalog: &Catalog) -> Option<DirId> {
        let Range { start, end } = self.dir(dir).children;
        let (mut low, mut high) = (start, end);
        while low < high {
            let middle = DirId(low + (high - low) / 2);
            match self.name(middle, catalog).cmp(name) {
                Ordering::Equal => return Some(middle),
                Ordering::Less => low = middle.0 + 1,
                Ordering::Greater => high = middle.0,
            }
        }
        None
    }

    fn dir(&self, dir: DirId) -> &Dir {
        &self.dirs[dir.0 as usize]
    }
}

/// The first component of a path.
fn component(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

/// How many elements at the start of a list that is partitioned so have a property. Few is the usual
/// answer, so the search begins there.
fn run<T>(list: &[T], has: impl Fn(&T) -> bool) -> usize {
    let mut step = 1;
    while list.get(step).is_some_and(&has) {
        step *= 2;
    }
    let (low, high) = (step / 2, step.min(list.len()));
    low + list[low..high].partition_point(has)
}

/// Orders ids so that those below one directory are neighbours: bytes, with `/` before all others.
fn by_components(a: &str, b: &str) -> Ordering {
    let key = |byte: u8| if byte == b'/' { 0 } else { u16::from(byte) + 1 };
    a.bytes().map(key).cmp(b.bytes().map(key))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    fn catalog(ids: &[String]) -> Catalog {
        Catalog { ids: ids.iter().collect(), ..Catalog::default() }
    }

    /// Every directory by its path, with the sample in it, from walking the tree.
    fn walk(dirs: &Dirs, catalog: &Catalog) -> BTreeMap<String, Option<SampleId>> {
        let mut found = BTreeMap::new();
        let mut open = vec![(DirId(0), String::new())];
        while let Some((dir, path)) = open.pop() {
            let children = || dirs.children(dir).map(DirId);
            let names: Vec<_> = children().map(|child| dirs.name(child, catalog)).collect();
            assert!(names.is_sorted(), "{names:?}");
            for child in children() {
                let name = dirs.name(child, catalog);
                assert_eq!(dirs.child(dir, name, catalog), Some(child));
                assert_eq!(dirs.parent(child), dir);
                open.push((child, format!("{path}/{name}")));
            }
            found.insert(path, dirs.sample(dir));
        }
        found
    }

    proptest! {
        #[test]
        fn the_tree_is_that_of_the_paths(
            ids in prop::collection::btree_set("[a-c.!-]{1,2}(/[a-c.!-]{1,2}){0,3}", 0..40),
        ) {
            let ids: Vec<String> = ids.into_iter().collect();
            let catalog = catalog(&ids);
            let mut model = BTreeMap::from([(String::new(), None)]);
            for (index, id) in ids.iter().enumerate() {
                for (end, _) in id.match_indices('/') {
                    model.entry(format!("/{}", &id[..end])).or_insert(None);
                }
                model.insert(format!("/{id}"), Some(SampleId(index as u32)));
            }
            let dirs = Dirs::new(&catalog).unwrap();
            prop_assert_eq!(dirs.count(), model.len());
            prop_assert_eq!(walk(&dirs, &catalog), model);
        }
    }

    #[test]
    fn names_that_are_not_there_are_not_found() {
        let catalog = catalog(&["b/c".into(), "d".into()]);
        let dirs = Dirs::new(&catalog).unwrap();
        for name in ["", "a", "b/c", "c", "e"] {
            assert_eq!(dirs.child(DirId(0), name, &catalog), None, "{name}");
        }
    }

    #[test]
    fn two_samples_of_one_id_are_refused() {
        let error = Dirs::new(&catalog(&["a/b".into(), "a".into(), "a/b".into()])).err().unwrap();
        assert!(error.to_string().contains("\"a/b\" stands twice"), "{error}");
    }
}

//! Inode numbers: computed from what a node is, so that they are the same at every mount of the
//! same store and no two nodes share one.
//!
//! A number less one is, from the low bits up: two bits for the kind, then the position within
//! the kind, and above those the slot of the view that the node is seen through (0
//! for none). The store decides how many bits a position takes; all the rest are the slot's.

use super::{DirId, Node, Scope};
use crate::catalog::{FieldId, SampleId};
use crate::format::Format;

/// The number of the mount's root in FUSE.
pub const ROOT: u64 = 1;

/// Which views there are is decided by who looks them up; this is the place of one among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u64);

/// Kinds of nodes: the low two bits.
const DATASET_DIR: u64 = 0;
const SAMPLE_DIR: u64 = 1;
const FILE: u64 = 2;
const PLAIN: u64 = 3;
const KIND_BITS: u32 = 2;

/// Formats a field can be shown in.
const FORMATS: u64 = 2;

/// How numbers are made for one store.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    dirs: u64,
    samples: u64,
    fields: u64,
    plain: u64,
    bits: u32,
}

impl Numbers {
    /// The numbers of a store of that many directories, samples, fields and plain files.
    pub fn new(dirs: usize, samples: usize, fields: usize, plain: usize) -> Self {
        let (dirs, samples) = (dirs as u64, samples as u64);
        let (fields, plain) = (fields as u64, plain as u64);
        let most = dirs.max(samples * fields * FORMATS).max(plain).max(1);
        // Bits that hold the largest position.
        let bits = KIND_BITS + (u64::BITS - most.leading_zeros());
        Self { dirs, samples, fields, plain, bits }
    }

    /// How many slots there are for views, slot 0 not among them.
    pub fn slots(&self) -> u64 {
        // One bit less than all: numbers stay positive as i64, for those who keep them so.
        (1 << (63 - self.bits)) - 1
    }

    /// The node's number.
    pub fn number(&self, node: &Node) -> u64 {
        let (view, kind, position) = match *node {
            Node::Dir { dir, scope: Scope::Dataset(view) } => (view, DATASET_DIR, u64::from(dir.0)),
            Node::Dir { dir, scope: Scope::Sample(view) } => (Some(view), SAMPLE_DIR, u64::from(dir.0)),
            Node::File { sample, field, format, view } => {
                let field = u64::from(sample.0) * self.fields + u64::from(field.0);
                (view, FILE, field * FORMATS + format as u64)
            }
            Node::Plain(index) => (None, PLAIN, u64::from(index)),
        };
        let slot = view.map_or(0, |slot| slot.0);
        (slot << self.bits | position << KIND_BITS | kind) + 1
    }

    /// The node of that number; `None` when no node of this store has it.
    pub fn node(&self, number: u64) -> Option<Node> {
        let raw = number.checked_sub(1)?;
        let slot = raw >> self.bits;
        let view = (slot > 0).then_some(Slot(slot));
        let position = (raw & ((1 << self.bits) - 1)) >> KIND_BITS;
        let dir = || (position < self.dirs).then_some(DirId(position as u32));
        match raw & ((1 << KIND_BITS) - 1) {
            DATASET_DIR => Some(Node::Dir { dir: dir()?, scope: Scope::Dataset(view) }),
            SAMPLE_DIR => Some(Node::Dir { dir: dir()?, scope: Scope::Sample(view?) }),
            FILE => {
                let (field, format) = (position / FORMATS, position % FORMATS);
                let format = if format == Format::Pt as u64 { Format::Pt } else { Format::Npy };
                let sample = field.checked_div(self.fields).filter(|sample| *sample < self.samples)?;
                let field = FieldId((field % self.fields) as u16);
                Some(Node::File { sample: SampleId(sample as u32), field, format, view })
            }
            _ => (view.is_none() && position < self.plain).then_some(Node::Plain(position as u32)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_root_has_the_number_that_fuse_gives_it() {
        let root = Node::Dir { dir: DirId(0), scope: Scope::Dataset(None) };
        assert_eq!(Numbers::new(1, 0, 0, 0).number(&root), ROOT);
    }

    #[test]
    fn a_million_samples_leave_billions_of_views() {
        let numbers = Numbers::new(1_000_001, 1_000_000, 7, 10);
        assert!(numbers.slots() > 1 << 36, "{}", numbers.slots());
    }

    prop_compose! {
        fn any_numbers()(dirs in 1usize..50, samples in 0usize..50, fields in 0usize..9, plain in 0usize..9)
            -> Numbers { Numbers::new(dirs, samples, fields, plain) }
    }

    proptest! {
        #[test]
        fn every_number_that_is_a_node_is_that_nodes_number(
            numbers in any_numbers(), number in prop_oneof![any::<u64>(), 0u64..5_000],
        ) {
            if let Some(node) = numbers.node(number) {
                prop_assert_eq!(numbers.number(&node), number);
            }
        }

        #[test]
        fn every_node_is_found_by_its_number(numbers in any_numbers(), slot in any::<u64>(), pick in any::<u64>()) {
            let view = Some(Slot(slot % numbers.slots() + 1)).filter(|slot| slot.0 % 3 > 0);
            let dir = DirId((pick % numbers.dirs) as u32);
            let mut nodes = vec![Node::Dir { dir, scope: Scope::Dataset(view) }];
            nodes.extend(view.map(|view| Node::Dir { dir, scope: Scope::Sample(view) }));
            if numbers.samples * numbers.fields > 0 {
                let sample = SampleId((pick % numbers.samples) as u32);
                let field = FieldId((pick % numbers.fields) as u16);
                let format = if pick % 2 == 0 { Format::Pt } else { Format::Npy };
                nodes.push(Node::File { sample, field, format, view });
            }
            if numbers.plain > 0 {
                nodes.push(Node::Plain((pick % numbers.plain) as u32));
            }
            for node in nodes {
                prop_assert_eq!(numbers.node(numbers.number(&node)), Some(node));
            }
        }
    }
}

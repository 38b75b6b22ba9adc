//! Inode numbers: computed from what a node is, so that no two nodes share one, and the same at
//! every mount of the same store that was not reloaded.
//!
//! A number less one is, from the low bits up: two bits for the kind, then the place within the
//! kind, and above those the slot of the view that the node is seen through (0 for none). A place
//! is the [serial number](super::serial) of a directory or plain file; that of a sample's file is its
//! directory's, then its field and format. So a sample's files are known by its directory: a sample
//! that changes is given another directory number, and with it other numbers for all its files.
//!
//! The store decides once how many bits each takes; all the rest are the slot's.

use super::serial::Serials;
use super::{DirId, Node, Scope};
use crate::catalog::FieldId;
use crate::error::{Error, Result};
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

/// Bits of a serial number: room for 2^26 directories, or 64 times as many as there are, to come and
/// go in reloads.
const SERIAL_BITS: u32 = 26;
const GROWTH_BITS: u32 = 6;

/// How numbers are made for one store.
#[derive(Clone, Debug)]
pub struct Numbers {
    dirs: Serials,
    plain: Serials,
    fields: u64,
    /// Bits of a serial number.
    serial_bits: u32,
    /// Bits of a field and its format.
    field_bits: u32,
}

impl Numbers {
    /// The numbers of a store of that many directories, fields and plain files.
    pub fn new(dirs: usize, fields: usize, plain: usize) -> Self {
        let bits = |number: u64| u64::BITS - number.leading_zeros();
        let serial_bits = (bits(dirs.max(plain) as u64) + GROWTH_BITS).clamp(SERIAL_BITS, u32::BITS);
        let fields = fields as u64;
        // At least twice as many fields may come.
        let field_bits = bits(fields * FORMATS) + 1;
        let (dirs, plain) = (Serials::new(dirs as u32), Serials::new(plain as u32));
        Self { dirs, plain, fields, serial_bits, field_bits }
    }

    /// The numbers after a reload: `dirs` and `plain` tell of each node the position that it had until
    /// then, if it is the same.
    ///
    /// # Errors
    /// When the bits do not suffice.
    pub fn follow(&self, dirs: &[Option<u32>], fields: usize, plain: &[Option<u32>]) -> Result<Self> {
        let fields = fields as u64;
        if fields * FORMATS > 1 << self.field_bits {
            return Err(Error::invalid(format!("{fields} fields are more than this mount can number"))
                .hint("mount the store again"));
        }
        let limit = 1 << self.serial_bits;
        let (dirs, plain) = (self.dirs.follow(dirs, limit)?, self.plain.follow(plain, limit)?);
        Ok(Self { dirs, plain, fields, ..*self })
    }

    /// How many slots there are for views, slot 0 not among them.
    pub fn slots(&self) -> u64 {
        // One bit less than all: numbers stay positive as i64, for those who keep them so.
        (1 << (63 - self.bits())) - 1
    }

    /// The serial numbers of directories.
    pub fn dirs(&self) -> &Serials {
        &self.dirs
    }

    /// The node's number.
    pub fn number(&self, node: &Node) -> u64 {
        let serial = |dir: DirId| u64::from(self.dirs.serial(dir.0));
        let (view, kind, place) = match *node {
            Node::Dir { dir, scope: Scope::Dataset(view) } => (view, DATASET_DIR, serial(dir)),
            Node::Dir { dir, scope: Scope::Sample(view) } => (Some(view), SAMPLE_DIR, serial(dir)),
            Node::File { dir, field, format, view } => {
                let field = u64::from(field.0) * FORMATS + format as u64;
                (view, FILE, serial(dir) << self.field_bits | field)
            }
            Node::Plain(index) => (None, PLAIN, u64::from(self.plain.serial(index))),
        };
        let slot = view.map_or(0, |slot| slot.0);
        (slot << self.bits() | place << KIND_BITS | kind) + 1
    }

    /// The node of that number; `None` when no node of this store has it, or none any more.
    pub fn node(&self, number: u64) -> Option<Node> {
        let raw = number.checked_sub(1)?;
        let view = self.slot(number);
        let place = (raw & ((1 << self.bits()) - 1)) >> KIND_BITS;
        let dir = |serial: u64| self.dirs.position(u32::try_from(serial).ok()?).map(DirId);
        match raw & ((1 << KIND_BITS) - 1) {
            DATASET_DIR => Some(Node::Dir { dir: dir(place)?, scope: Scope::Dataset(view) }),
            SAMPLE_DIR => Some(Node::Dir { dir: dir(place)?, scope: Scope::Sample(view?) }),
            FILE => {
                let (serial, field) = (place >> self.field_bits, place & ((1 << self.field_bits) - 1));
                let (field, format) = (field / FORMATS, field % FORMATS);
                let format = if format == Format::Pt as u64 { Format::Pt } else { Format::Npy };
                let field = FieldId(u16::try_from(field).ok().filter(|_| field < self.fields)?);
                Some(Node::File { dir: dir(serial)?, field, format, view })
            }
            _ if view.is_some() => None,
            _ => self.plain.position(u32::try_from(place).ok()?).map(Node::Plain),
        }
    }

    /// The slot of the view that a node is seen through, also when the node is no more.
    pub fn slot(&self, number: u64) -> Option<Slot> {
        let slot = number.checked_sub(1)? >> self.bits();
        (slot > 0).then_some(Slot(slot))
    }

    /// The number of a directory of the dataset as it is seen through a view.
    pub fn through(&self, dir: u64, view: Slot) -> u64 {
        (view.0 << self.bits()) + dir
    }

    fn bits(&self) -> u32 {
        KIND_BITS + self.serial_bits + self.field_bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_root_has_the_number_that_fuse_gives_it() {
        let root = Node::Dir { dir: DirId(0), scope: Scope::Dataset(None) };
        assert_eq!(Numbers::new(1, 0, 0).number(&root), ROOT);
    }

    #[test]
    fn a_million_samples_leave_a_billion_views() {
        let numbers = Numbers::new(1_000_001, 7, 10);
        assert!(numbers.slots() > 1_000_000_000, "{}", numbers.slots());
    }

    #[test]
    fn a_node_keeps_its_number_through_a_reload_and_one_that_is_gone_leaves_it_unused() {
        let before = Numbers::new(3, 2, 0);
        let file =
            |dir| Node::File { dir: DirId(dir), field: FieldId(1), format: Format::Npy, view: Some(Slot(9)) };
        let after = before.follow(&[Some(0), None, Some(2)], 2, &[]).unwrap();
        assert_eq!(after.number(&file(2)), before.number(&file(2)));
        assert_eq!(after.node(before.number(&file(1))), None);
        assert_eq!(after.slot(before.number(&file(1))), Some(Slot(9)));
        assert_ne!(after.number(&file(1)), before.number(&file(1)));
        assert!(before.follow(&[Some(0)], 9, &[]).is_err());
    }

    prop_compose! {
        fn any_numbers()(dirs in 1usize..50, fields in 0usize..9, plain in 0usize..9)
            -> (Numbers, u64, u64, u64) {
            (Numbers::new(dirs, fields, plain), dirs as u64, fields as u64, plain as u64)
        }
    }

    proptest! {
        #[test]
        fn every_number_that_is_a_node_is_that_nodes_number(
            numbers in any_numbers(), number in prop_oneof![any::<u64>(), 0u64..5_000],
        ) {
            let numbers = numbers.0;
            if let Some(node) = numbers.node(number) {
                prop_assert_eq!(numbers.number(&node), number);
            }
        }

        #[test]
        fn every_node_is_found_by_its_number(numbers in any_numbers(), slot in any::<u64>(), pick in any::<u64>()) {
            let (numbers, dirs, fields, plain) = numbers;
            let view = Some(Slot(slot % numbers.slots() + 1)).filter(|slot| slot.0 % 3 > 0);
            let dir = DirId((pick % dirs) as u32);
            let mut nodes = vec![Node::Dir { dir, scope: Scope::Dataset(view) }];
            nodes.extend(view.map(|view| Node::Dir { dir, scope: Scope::Sample(view) }));
            if fields > 0 {
                let field = FieldId((pick % fields) as u16);
                let format = if pick % 2 == 0 { Format::Pt } else { Format::Npy };
                nodes.push(Node::File { dir, field, format, view });
            }
            if plain > 0 {
                nodes.push(Node::Plain((pick % plain) as u32));
            }
            for node in nodes {
                prop_assert_eq!(numbers.node(numbers.number(&node)), Some(node));
            }
        }
    }
}

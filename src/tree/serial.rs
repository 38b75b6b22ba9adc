//! Serial numbers: the identity of a node through reloads, while its position among its kind moves.
//!
//! A number is given to one node and never again in the life of a mount, so that what was cached
//! under it, here or by the kernel, can only be that node's. A mount that was never reloaded counts
//! them in the order of positions and keeps no table.

use crate::error::{Error, Result};

/// The serial numbers of the nodes of one kind, by their positions.
#[derive(Clone, Debug)]
pub struct Serials {
    count: u32,
    /// The first number that was never given.
    next: u32,
    /// `None` while every position is its own number.
    table: Option<Table>,
}

#[derive(Clone, Debug)]
struct Table {
    /// By position.
    serials: Vec<u32>,
    /// Positions in the order of their numbers.
    positions: Vec<u32>,
}

impl Serials {
    /// The numbers of the first so many nodes.
    pub fn new(count: u32) -> Self {
        Self { count, next: count, table: None }
    }

    /// The numbers after a reload; `kept` tells of each node the position that it had until then, if
    /// it is the same node. The others are given numbers below `limit`.
    ///
    /// # Errors
    /// When so many were never left.
    pub fn follow(&self, kept: &[Option<u32>], limit: u64) -> Result<Self> {
        let mut next = u64::from(self.next);
        let number = |kept: &Option<u32>| match kept {
            Some(position) => self.serial(*position),
            None => {
                next += 1;
                (next - 1) as u32
            }
        };
        let serials: Vec<u32> = kept.iter().map(number).collect();
        if next >= limit {
            return Err(
                Error::invalid("this mount's inode numbers are used up").hint("mount the store again")
            );
        }
        let (count, next) = (serials.len() as u32, next as u32);
        if serials.iter().enumerate().all(|(position, serial)| position as u32 == *serial) {
            return Ok(Self { count, next, table: None });
        }
        let mut positions: Vec<u32> = (0..count).collect();
        positions.sort_unstable_by_key(|position| serials[*position as usize]);
        Ok(Self { count, next, table: Some(Table { serials, positions }) })
    }

    /// The number of the node at a position.
    pub fn serial(&self, position: u32) -> u32 {
        self.table.as_ref().map_or(position, |table| table.serials[position as usize])
    }

    /// The position of the node that has a number.
    pub fn position(&self, serial: u32) -> Option<u32> {
        match &self.table {
            None => (serial < self.count).then_some(serial),
            Some(Table { serials, positions }) => {
                let number = |position: &u32| serials[*position as usize];
                positions.binary_search_by_key(&serial, number).ok().map(|at| positions[at])
            }
        }
    }

    /// The first number that was never given.
    pub fn next(&self) -> u32 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_number_stays_with_its_node_and_is_never_given_again(
            count in 0u32..20,
            reloads in prop::collection::vec(prop::collection::vec(any::<(bool, prop::sample::Index)>(), 0..20), 0..6),
        ) {
            let mut serials = Serials::new(count);
            let mut count = count as usize;
            let mut gone: HashSet<u32> = HashSet::new();
            for reload in reloads {
                let mut left: Vec<u32> = (0..count as u32).collect();
                let kept: Vec<Option<u32>> = reload
                    .iter()
                    .map(|(keep, pick)| (*keep && !left.is_empty()).then(|| left.swap_remove(pick.index(left.len()))))
                    .collect();
                let after = serials.follow(&kept, 1 << 32).unwrap();
                for (position, kept) in kept.iter().enumerate() {
                    let number = after.serial(position as u32);
                    prop_assert_eq!(after.position(number), Some(position as u32));
                    prop_assert!(!gone.contains(&number));
                    match kept {
                        Some(old) => prop_assert_eq!(number, serials.serial(*old)),
                        None => prop_assert_eq!(serials.position(number), None),
                    }
                }
                gone.extend(left.iter().map(|position| serials.serial(*position)));
                for number in &gone {
                    prop_assert_eq!(after.position(*number), None);
                }
                (serials, count) = (after, kept.len());
            }
        }
    }

    #[test]
    fn what_only_grows_keeps_no_table() {
        let grown = Serials::new(2).follow(&[Some(0), Some(1), None], 4).unwrap();
        assert!(grown.table.is_none());
        assert_eq!((grown.serial(2), grown.position(3)), (2, None));
        assert!(grown.follow(&[None], 4).is_err());
    }
}

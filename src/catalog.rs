//! What a store holds, in words that fit every kind of store: domains, fields, samples.

use std::ops::Range;

use crate::dtype::DType;
use crate::subsample::Grid;

/// A sample, by its position in the store's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SampleId(pub u32);

/// A field, by its position in [`Catalog::fields`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldId(pub u16);

/// A point cloud whose fields share their rows.
#[derive(Clone, Debug)]
pub struct Domain {
    /// Its name.
    pub name: String,
}

impl AsRef<str> for Domain {
    fn as_ref(&self) -> &str {
        &self.name
    }
}

/// One quantity on the points of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name across the dataset, `<domain>_<name>`.
    pub canonical: String,
    /// Position of its domain in [`Catalog::domains`].
    pub domain: usize,
    /// The stored type.
    pub dtype: DType,
    /// Values a point.
    pub dim: u32,
    /// The name of its files, without the format's extension.
    pub stem: String,
}

/// Many names, one after the other in one piece of memory: a million small ones, scattered among what
/// a manifest is parsed into, would keep all of that from being given back.
#[derive(Clone, Debug, Default)]
pub struct Ids {
    text: String,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Ids {
    /// Adds one.
    pub fn push(&mut self, id: &str) {
        self.text.push_str(id);
        self.ends.push(self.text.len());
    }

    /// Gives back the room for more.
    pub fn shrink_to_fit(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The one at a position.
    pub fn get(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.text[start..self.ends[index]]
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.len()).map(|index| self.get(index))
    }
}

impl<S: AsRef<str>> FromIterator<S> for Ids {
    fn from_iter<I: IntoIterator<Item = S>>(ids: I) -> Self {
        let mut all = Self::default();
        ids.into_iter().for_each(|id| all.push(id.as_ref()));
        all
    }
}

/// Everything there is to see, held in memory: names, shapes and types, but no values.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// The dataset's name.
    pub dataset: String,
    /// Domains, in the order in which views draw from them.
    pub domains: Vec<Domain>,
    /// Fields, grouped by domain.
    pub fields: Vec<Field>,
    /// Where the names of fields' files come from, in words.
    pub names_from: String,
    /// Whether the rows of each domain stand in random order, the same for all its fields.
    pub shuffled: bool,
    /// Sample ids; `/` separates directories.
    pub ids: Ids,
    /// The rows of each domain of each sample, sample by sample; `None` where it lacks the domain.
    pub grids: Vec<Option<Grid>>,
}

impl Catalog {
    /// All samples, in the store's order.
    pub fn samples(&self) -> impl ExactSizeIterator<Item = SampleId> + use<> {
        (0..self.ids.len() as u32).map(SampleId)
    }

    /// The sample's id.
    pub fn id(&self, sample: SampleId) -> &str {
        self.ids.get(sample.0 as usize)
    }

    /// The field.
    pub fn field(&self, field: FieldId) -> &Field {
        &self.fields[field.0 as usize]
    }

    /// The sample's grids, one a domain.
    pub fn grids(&self, sample: SampleId) -> &[Option<Grid>] {
        let domains = self.domains.len();
        &self.grids[sample.0 as usize * domains..][..domains]
    }

    /// The rows of a field of a sample; `None` when the sample lacks the field.
    pub fn grid(&self, sample: SampleId, field: FieldId) -> Option<Grid> {
        self.grids(sample)[self.field(field).domain]
    }

    /// The fields that the sample has.
    pub fn fields_of(&self, sample: SampleId) -> impl Iterator<Item = FieldId> + '_ {
        (0..self.fields.len() as u16).map(FieldId).filter(move |field| self.grid(sample, *field).is_some())
    }
}

/// Where one field of one sample is: rows of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The array.
    pub array: ArrayRef,
    /// Its rows that belong to the sample.
    pub rows: Range<u64>,
}

/// An array of the store, and what it must turn out to be when its metadata is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrayRef {
    /// A number that no other array has, as [`ArrayRef::id`] makes it. What is cached of an array is
    /// cached under this number, so an array that changes must be given another.
    pub id: u64,
    /// The group that it belongs to, relative to the store's root.
    pub group: String,
    /// Its path within the group.
    pub name: String,
    /// Rows.
    pub rows: u64,
    /// Values a row.
    pub dim: u32,
    /// The stored type.
    pub dtype: DType,
    /// Rows of a chunk and of an object, as the store's index tells them; its metadata decides. Zero
    /// where the index does not tell.
    pub grid: [u64; 2],
}

impl ArrayRef {
    /// The number of the array that holds a field, in the group of that number.
    pub fn id(group: u32, field: FieldId) -> u64 {
        u64::from(group) << 16 | u64::from(field.0)
    }

    /// The number of the group, which its arrays share.
    pub fn group_id(&self) -> u32 {
        (self.id >> 16) as u32
    }
}

//! The moments of some of a choice's samples, in a file, to be merged with those of the others.
//!
//! A partial keeps every sample's moments apart: merged in the order of the ids they go through the
//! very additions of one run over all of them, and so give its very bits.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Totals;
use super::field::FieldMoments;
use crate::error::{Error, Result};

/// Which part of a run: of every `of` samples, the one at `index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// From 0 to `of` − 1.
    pub index: usize,
    /// How many parts there are; at least 1.
    pub of: usize,
}

impl Shard {
    /// A shard as it is typed, `<index>/<of>`.
    ///
    /// # Errors
    /// Text of another form, an index that is not below the count.
    pub fn parse(typed: &str) -> Result<Self> {
        let numbers = typed.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        let wrong = Error::usage(format!("there is no shard {typed}"));
        match numbers {
            Some((index, of)) if index < of => Ok(Self { index, of }),
            Some((_, of)) if of > 0 => Err(wrong.hint(format!("there are 0/{of} to {}/{of}", of - 1))),
            _ => Err(wrong.hint("a shard is i/n, from 0/4 to 3/4 for example")),
        }
    }
}

/// A partial result.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Partial {
    /// The form of this document: [`FORM`].
    samplefs_partial: u32,
    dataset: String,
    shard: Shard,
    /// How many samples all shards have together.
    samples_of_all: usize,
    fields: Vec<FieldKey>,
    samples: Vec<PartialSample>,
}

/// The only form of partials there is.
const FORM: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FieldKey {
    name: String,
    dim: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct PartialSample {
    id: String,
    /// One a field; null where the sample has none of it.
    fields: Vec<Option<FieldMoments>>,
}

impl Partial {
    /// A partial without samples yet; `fields` are names and numbers of components.
    pub fn new<'a>(
        dataset: &str,
        shard: Shard,
        samples_of_all: usize,
        fields: impl Iterator<Item = (&'a str, u32)>,
    ) -> Self {
        let fields = fields.map(|(name, dim)| FieldKey { name: name.to_owned(), dim }).collect();
        let dataset = dataset.to_owned();
        Self { samplefs_partial: FORM, dataset, shard, samples_of_all, fields, samples: Vec::new() }
    }

    /// Takes in the next field of the next sample, in order.
    pub fn add(&mut self, id: &str, moments: Option<FieldMoments>) {
        match self.samples.last_mut() {
            Some(sample) if sample.fields.len() < self.fields.len() => sample.fields.push(moments),
            _ => self.samples.push(PartialSample { id: id.to_owned(), fields: vec![moments] }),
        }
    }

    /// The file's text, on one line: no one reads it, and of many samples it is long.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("a partial has only string keys and finite numbers")
    }

    fn read(path: &Path) -> Result<Self> {
        let within = |e: Error| e.within(path.display());
        let text = std::fs::read(path).map_err(|e| Error::usage(format!("{}: {e}", path.display())))?;
        let partial: Self = serde_json::from_slice(&text).map_err(|e| {
            within(Error::invalid(format!("no partial statistics: {e}")))
                .hint("partials are what `samplefs stats --shard i/n --output-json FILE` writes")
        })?;
        let whole = |sample: &PartialSample| {
            sample.fields.len() == partial.fields.len()
                && sample.fields.iter().zip(&partial.fields).all(|(moments, key)| {
                    moments.as_ref().is_none_or(|m| m.components.len() == key.dim as usize)
                })
        };
        if partial.samplefs_partial != FORM || !partial.samples.iter().all(whole) {
            return Err(within(Error::invalid("these partial statistics are not whole or of another form")));
        }
        Ok(partial)
    }
}

/// The statistics of one run over all samples of these partials.
///
/// # Errors
/// Files that are no partials, partials of different runs, a shard that is missing or stands twice.
pub fn merge(paths: &[PathBuf]) -> Result<Totals> {
    let mut partials = Vec::new();
    for path in paths {
        partials.push((path, Partial::read(path)?));
    }
    partials.sort_by_key(|(_, partial)| partial.shard.index);
    let Some((first_path, first)) = partials.first() else {
        return Err(Error::usage("no partials to merge"));
    };
    let (of, all) = (first.shard.of, first.samples_of_all);
    for (path, partial) in &partials {
        let same = (&partial.dataset, partial.shard.of, partial.samples_of_all, &partial.fields)
            == (&first.dataset, of, all, &first.fields);
        if !same {
            let (one, other) = (first_path.display(), path.display());
            return Err(Error::usage(format!("{one} and {other} are parts of different runs")));
        }
    }
    let given: Vec<usize> = partials.iter().map(|(_, partial)| partial.shard.index).collect();
    if !given.iter().copied().eq(0..of) {
        return Err(
            Error::usage(format!("there are {of} shards, given are {given:?}")).hint("give every shard once")
        );
    }
    let mut totals = Totals::new(first.fields.iter().map(|key| (key.name.as_str(), key.dim)));
    let mut samples: Vec<&PartialSample> = partials.iter().flat_map(|(_, p)| &p.samples).collect();
    samples.sort_by_key(|sample| &sample.id);
    let distinct = samples.windows(2).all(|pair| pair[0].id != pair[1].id);
    if samples.len() != all || !distinct {
        return Err(Error::invalid(format!("{} samples where the run had {all}", samples.len())));
    }
    for sample in samples {
        for (field, moments) in sample.fields.iter().enumerate() {
            totals.add(&sample.id, field, moments.as_ref());
        }
    }
    Ok(totals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_counted_from_0() {
        assert_eq!(Shard::parse("0/1"), Ok(Shard { index: 0, of: 1 }));
        assert_eq!(Shard::parse("2/3"), Ok(Shard { index: 2, of: 3 }));
        assert_eq!(Shard::parse("3/3").unwrap_err().remedy(), Some("there are 0/3 to 2/3"));
        for typed in ["", "1", "/", "1/", "0/0", "-1/2", "a/b", "1/2/3"] {
            assert!(Shard::parse(typed).is_err(), "{typed}");
        }
    }
}

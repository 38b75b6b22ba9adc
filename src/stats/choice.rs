//! What statistics are made of: which samples and which fields were asked for.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::catalog::{Catalog, FieldId, SampleId};
use crate::error::{Error, Result};
use crate::store::access::Access;
use crate::store::address::Address;
use crate::store::{self, Objects, Part};

/// Ids of a hundred million samples; a longer file is no split file.
const SPLIT_LIMIT: u64 = 4 << 30;

/// What was asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Canonical names of the only fields wanted; empty for all.
    pub fields: Vec<String>,
    /// Canonical names of fields not wanted.
    pub excluded: Vec<String>,
    /// Ids of the only samples wanted.
    pub ids: Option<Vec<String>>,
    /// How many samples at most: the first of those ids, or of the store.
    pub limit: Option<usize>,
}

/// Samples and fields that are there.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice {
    /// Sorted by id: the order in which results are merged.
    pub samples: Vec<SampleId>,
    /// Sorted by name.
    pub fields: Vec<FieldId>,
    /// How many of the ids are not in the store.
    pub missing: usize,
}

impl Choice {
    /// What is there of what is wanted. An id that stands twice counts once.
    ///
    /// # Errors
    /// A field that is not stored, no field, no sample; what is stored is listed.
    pub fn of(catalog: &Catalog, wanted: &Wanted) -> Result<Self> {
        if catalog.ids.is_empty() {
            return Err(Error::usage("the store has no samples"));
        }
        let (mut samples, missing) = match &wanted.ids {
            None => (catalog.samples().collect(), 0),
            Some(ids) => known(catalog, ids),
        };
        samples.truncate(wanted.limit.unwrap_or(usize::MAX));
        if samples.is_empty() {
            let asked = wanted.ids.as_ref().map_or(0, Vec::len);
            let some: Vec<_> = catalog.ids.iter().take(3).collect();
            return Err(Error::usage(format!("no samples: {asked} ids were given, none is in the store"))
                .hint(format!("it holds {} samples: {} …", catalog.ids.len(), some.join(", "))));
        }
        samples.sort_unstable_by_key(|sample| catalog.id(*sample));
        Ok(Self { samples, fields: fields(catalog, wanted)?, missing })
    }

    /// Keeps every `of`-th sample, from the one at `index` on.
    pub fn keep_shard(&mut self, index: usize, of: usize) {
        self.samples = self.samples.iter().copied().skip(index).step_by(of).collect();
    }
}

fn known(catalog: &Catalog, ids: &[String]) -> (Vec<SampleId>, usize) {
    let by_id: HashMap<&str, SampleId> = catalog.samples().map(|s| (catalog.id(s), s)).collect();
    let mut seen = HashSet::new();
    let found = ids.iter().filter_map(|id| by_id.get(id.as_str()).copied());
    let samples = found.filter(|sample| seen.insert(*sample)).collect();
    (samples, ids.iter().filter(|id| !by_id.contains_key(id.as_str())).count())
}

fn fields(catalog: &Catalog, wanted: &Wanted) -> Result<Vec<FieldId>> {
    let name = |field: FieldId| catalog.field(field).canonical.as_str();
    let mut stored: Vec<FieldId> = (0..catalog.fields.len() as u16).map(FieldId).collect();
    stored.sort_unstable_by_key(|field| name(*field));
    let listed = || format!("stored: {}", stored.iter().map(|f| name(*f)).collect::<Vec<_>>().join(", "));
    for asked in wanted.fields.iter().chain(&wanted.excluded) {
        if !stored.iter().any(|field| name(*field) == asked) {
            return Err(Error::usage(format!("the store has no field {asked}")).hint(listed()));
        }
    }
    let among = |names: &[String], field: FieldId| names.iter().any(|asked| asked == name(field));
    let chosen = stored.iter().copied().filter(|field| {
        (wanted.fields.is_empty() || among(&wanted.fields, *field)) && !among(&wanted.excluded, *field)
    });
    let chosen: Vec<_> = chosen.collect();
    if chosen.is_empty() {
        return Err(Error::usage("no fields are left").hint(listed()));
    }
    Ok(chosen)
}

/// The ids in a split file, one a line; blank lines are ignored. It is given by an absolute path, a
/// URL, or its name beside the store's manifest.
///
/// # Errors
/// No such file, with those that stand beside the manifest; a file that is not UTF-8.
pub fn read_split(objects: &dyn Objects, typed: &str, access: &Access) -> Result<Vec<String>> {
    let failed = |e: Error| e.within(format!("split file {typed}"));
    let bytes = match typed.strip_prefix("file://") {
        Some(path) => read_outside(path).map_err(failed)?,
        None if typed.contains("://") => read_remote(typed, access)?,
        None if Path::new(typed).is_absolute() => read_outside(typed).map_err(failed)?,
        None => {
            let mut bytes = Vec::new();
            let found = objects.read(typed, Part::Whole { limit: SPLIT_LIMIT }, None, &mut bytes);
            if found.map_err(failed)?.is_none() {
                let beside: Vec<_> = objects.list()?.into_iter().map(|file| file.name).collect();
                return Err(failed(Error::usage("no such file beside the manifest"))
                    .hint(format!("there are: {}", beside.join(", "))));
            }
            bytes
        }
    };
    let text = String::from_utf8(bytes).map_err(|_| failed(Error::invalid("not UTF-8")))?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

fn read_remote(typed: &str, access: &Access) -> Result<Vec<u8>> {
    let (root, name) = typed.rsplit_once('/').unwrap_or((typed, ""));
    // Shown as an address is: what was typed may hold a password.
    let shown = format!("split file {}/{name}", Address::parse(root)?);
    let mut bytes = Vec::new();
    let found = store::open(root, access)?.read(name, Part::Whole { limit: SPLIT_LIMIT }, None, &mut bytes);
    match found.map_err(|e| e.within(&shown))? {
        Some(_) => Ok(bytes),
        None => Err(Error::usage("no such object").within(shown)),
    }
}

fn read_outside(path: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::usage(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Domain, Field};
    use crate::dtype::DType;

    fn catalog() -> Catalog {
        let field = |canonical: &str| Field {
            canonical: canonical.into(),
            domain: 0,
            dtype: DType::F32,
            dim: 1,
            stem: canonical.into(),
        };
        Catalog {
            domains: vec![Domain { name: "volume".into() }],
            fields: vec![field("volume_b"), field("volume_a"), field("volume_c")],
            ids: ["run_2", "run_10", "run_1"].into_iter().collect(),
            grids: vec![None; 3],
            ..Catalog::default()
        }
    }

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn chosen(wanted: &Wanted) -> (Vec<String>, Vec<String>, usize) {
        let catalog = catalog();
        let Choice { samples, fields, missing } = Choice::of(&catalog, wanted).unwrap();
        let ids = samples.into_iter().map(|sample| catalog.id(sample).to_owned()).collect();
        let names = fields.into_iter().map(|field| catalog.field(field).canonical.clone()).collect();
        (ids, names, missing)
    }

    #[test]
    fn all_is_chosen_and_sorted_unless_less_is_wanted() {
        let (ids, names, missing) = chosen(&Wanted::default());
        assert_eq!(ids, ["run_1", "run_10", "run_2"]);
        assert_eq!(names, ["volume_a", "volume_b", "volume_c"]);
        assert_eq!(missing, 0);
        let wanted = Wanted { fields: strings(&["volume_c", "volume_a"]), ..Wanted::default() };
        assert_eq!(chosen(&wanted).1, ["volume_a", "volume_c"]);
        let wanted = Wanted { excluded: strings(&["volume_a"]), ..wanted };
        assert_eq!(chosen(&wanted).1, ["volume_c"]);
    }

    #[test]
    fn a_limit_takes_the_first_asked_for_and_missing_ids_are_counted() {
        let ids = Some(strings(&["run_9", "run_2", "run_2", "run_1", "run_10", "gone"]));
        let wanted = Wanted { ids, limit: Some(2), ..Wanted::default() };
        let (ids, _, missing) = chosen(&wanted);
        assert_eq!((ids, missing), (strings(&["run_1", "run_2"]), 2));
    }

    #[test]
    fn shards_are_all_samples_once() {
        let mut shards: Vec<SampleId> = Vec::new();
        for index in 0..2 {
            let mut choice = Choice::of(&catalog(), &Wanted::default()).unwrap();
            choice.keep_shard(index, 2);
            shards.extend(choice.samples);
        }
        assert_eq!(shards, [SampleId(2), SampleId(0), SampleId(1)]);
    }

    #[test]
    fn what_is_not_stored_is_refused_with_what_is() {
        let unknown = strings(&["volume_x"]);
        for wanted in [
            Wanted { fields: unknown.clone(), ..Wanted::default() },
            Wanted { excluded: unknown, ..Wanted::default() },
            Wanted { excluded: strings(&["volume_a", "volume_b", "volume_c"]), ..Wanted::default() },
        ] {
            let error = Choice::of(&catalog(), &wanted).unwrap_err();
            assert_eq!(error.remedy(), Some("stored: volume_a, volume_b, volume_c"), "{error}");
        }
        let none = Wanted { ids: Some(strings(&["gone"])), ..Wanted::default() };
        assert!(Choice::of(&catalog(), &none).unwrap_err().remedy().unwrap().contains("run_2"));
    }
}

//! noether's `zarr_store`: one Zarr group a sample, one array a field, all in one manifest.

use std::collections::HashMap;
use std::num::NonZeroU64;

use super::StoreLayout;
use super::names::{FileNames, check_relative};
use crate::catalog::{ArrayRef, Catalog, Domain, Extent, Field, FieldId, SampleId};
use crate::dtype::DType;
use crate::error::{Error, ErrorKind, Result};
use crate::store::manifest::{ArrayLayout, DomainGrid, Manifest, SampleEntry};
use crate::store::{Found, Objects, manifest_text};
use crate::subsample::{Grid, spec};

/// A store's payload bytes are counted in 64 bits with room to spare for headers.
const MAX_BYTES: u64 = 1 << 62;

/// A noether store, as its manifest describes it.
pub struct Noether {
    catalog: Catalog,
    /// Path of each field's array within a sample's group.
    arrays: Vec<String>,
    /// Groups that are not called `<id>.zarr`.
    groups: HashMap<SampleId, String>,
    /// The largest shard of those that do not hold all of their array.
    shard_cap: Option<u64>,
}

impl Noether {
    /// Takes from a manifest what is needed to serve it, and checks it.
    ///
    /// # Errors
    /// No manifest; names that are no names or collide, types and shapes that cannot be, grids that
    /// contradict themselves. Each names the sample or field.
    pub fn open(objects: &dyn Objects, names: &FileNames) -> Result<(Self, Found)> {
        let mut begun = None;
        let read = manifest_text::read(objects, |manifest, id, entry| {
            let noether = match &mut begun {
                Some(noether) => noether,
                empty => empty.insert(Self::without_samples(manifest)?),
            };
            noether.add(id, entry)
        })?;
        let Some((manifest, found)) = read else {
            return Err(Error::new(ErrorKind::NotFound, "no such file")
                .hint("a store is a directory with a manifest.json; `samplefs convert` makes one"));
        };
        let mut noether = begun.map_or_else(|| Self::without_samples(&manifest), Ok)?;
        noether.catalog.names_from = name_files(&mut noether.catalog.fields, names, &manifest)?;
        noether.catalog.ids.shrink_to_fit();
        noether.catalog.grids.shrink_to_fit();
        Ok((noether, found))
    }

    /// The domains and fields of a manifest.
    fn without_samples(manifest: &Manifest) -> Result<Self> {
        let dataset = manifest.dataset_name.clone();
        let mut catalog = Catalog { dataset, shuffled: true, ..Catalog::default() };
        let mut arrays = Vec::new();
        for (name, domain) in manifest.domains.iter() {
            let index = catalog.domains.len();
            if manifest.domains.iter().filter(|(other, _)| *other == name).count() > 1 {
                return Err(Error::invalid(format!("domain {name} stands twice")));
            }
            catalog.domains.push(Domain { name: name.to_owned() });
            if domain.arrays.get(&domain.position).is_none() {
                return Err(Error::invalid(format!(
                    "domain {name} has no array for its position field {}",
                    domain.position
                )));
            }
            for (canonical, array) in domain.arrays.iter() {
                let field =
                    field(canonical, index, array).map_err(|e| e.within(format!("field {canonical}")))?;
                catalog.fields.push(field);
                arrays.push(array.array_name.clone());
            }
        }
        Ok(Self { catalog, arrays, groups: HashMap::new(), shard_cap: None })
    }

    /// Takes in the next sample.
    fn add(&mut self, id: String, entry: SampleEntry) -> Result<()> {
        let here = |e: Error| e.within(format!("sample {id:?}"));
        let catalog = &mut self.catalog;
        if catalog.ids.len() + 1 >= u32::MAX as usize {
            return Err(Error::invalid("more than 2^32 - 2 samples"));
        }
        check_id(&id).map_err(here)?;
        if entry.relpath.strip_suffix(".zarr") != Some(&id) {
            check_relative(&entry.relpath).map_err(|e| here(e.within("relpath")))?;
            self.groups.insert(SampleId(catalog.ids.len() as u32), entry.relpath);
        }
        for (domain, _) in entry.domains.iter() {
            if !catalog.domains.iter().any(|d| d.name == domain) {
                return Err(here(Error::invalid(format!("no such domain: {domain}"))));
            }
        }
        for (d, domain) in catalog.domains.iter().enumerate() {
            let grid = entry.domains.get(&domain.name).map(|raw| {
                if raw.shard_points < raw.n_points {
                    self.shard_cap = self.shard_cap.max(Some(raw.shard_points));
                }
                let fields = catalog.fields.iter().filter(|f| f.domain == d);
                grid(raw, fields).map_err(|e| here(e.within(format!("domain {}", domain.name))))
            });
            catalog.grids.push(grid.transpose()?);
        }
        catalog.ids.push(&id);
        Ok(())
    }
}

impl StoreLayout for Noether {
    fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    fn extent(&self, sample: SampleId, field: FieldId) -> Extent {
        let grid = self.catalog.grid(sample, field);
        let rows = grid.map_or(0, |grid| grid.points);
        let of_grid = |grid: Grid| {
            let (chunk, all) = (grid.chunk.get(), grid.chunks().saturating_mul(grid.chunk.get()));
            [chunk, self.shard_cap.map_or(all, |cap| all.min(cap.next_multiple_of(chunk)))]
        };
        let described = self.catalog.field(field);
        let group = self.groups.get(&sample).cloned();
        let array = ArrayRef {
            id: ArrayRef::id(sample.0, field),
            group: group.unwrap_or_else(|| format!("{}.zarr", self.catalog.id(sample))),
            name: self.arrays[field.0 as usize].clone(),
            rows,
            dim: described.dim,
            dtype: described.dtype,
            grid: grid.map_or([0; 2], of_grid),
        };
        Extent { array, rows: 0..rows }
    }
}

fn field(canonical: &str, domain: usize, array: &ArrayLayout) -> Result<Field> {
    check_relative(&array.array_name).map_err(|e| e.within("array_name"))?;
    if array.field != canonical {
        return Err(Error::invalid(format!("its array says that it holds {}", array.field)));
    }
    if array.dim == 0 {
        return Err(Error::invalid("dim is 0"));
    }
    let dtype = DType::stored(&array.dtype).ok_or_else(|| {
        let known: Vec<_> = DType::STORED.iter().map(|d| d.name()).collect();
        Error::invalid(format!("unknown dtype {}", array.dtype)).hint(format!("known: {}", known.join(", ")))
    })?;
    Ok(Field { canonical: canonical.to_owned(), domain, dtype, dim: array.dim, stem: String::new() })
}

/// Gives every field its file name, and checks that no two share a field or a file. Tells where
/// the names come from.
fn name_files(fields: &mut [Field], names: &FileNames, manifest: &Manifest) -> Result<String> {
    if fields.len() >= usize::from(u16::MAX) {
        return Err(Error::invalid(format!("{} fields are more than 2^16 - 2", fields.len())));
    }
    let canonical: Vec<&str> = fields.iter().map(|field| field.canonical.as_str()).collect();
    let (files, from) = names.resolve(manifest, &canonical)?;
    for (i, file) in files.iter().enumerate() {
        check_relative(file).map_err(|e| e.within(format!("field {}", canonical[i])))?;
        if file.contains('/') {
            return Err(Error::invalid(format!("field {}: {file:?} is no file name", canonical[i])));
        }
        for earlier in 0..i {
            if canonical[earlier] == canonical[i] {
                return Err(Error::invalid(format!("field {} stands twice", canonical[i])));
            }
            if files[earlier] == *file {
                let (one, other) = (canonical[earlier], canonical[i]);
                return Err(Error::invalid(format!("fields {one} and {other} are both called {file}")));
            }
        }
    }
    for (field, file) in fields.iter_mut().zip(files) {
        field.stem = file.strip_suffix(".pt").unwrap_or(&file).to_owned();
    }
    Ok(from)
}

fn check_id(id: &str) -> Result<()> {
    check_relative(id)?;
    if id.split('/').any(|component| component.starts_with(spec::PREFIX)) {
        return Err(Error::invalid(format!("a name that begins with {} would hide a view", spec::PREFIX))
            .hint("rename the sample and convert anew: views are found under such names"));
    }
    Ok(())
}

fn grid<'a>(raw: &DomainGrid, fields: impl Iterator<Item = &'a Field>) -> Result<Grid> {
    let DomainGrid { n_points, chunk_points, n_chunks, .. } = *raw;
    let chunk = match NonZeroU64::new(chunk_points) {
        Some(chunk) => chunk,
        // The writer's min(chunk_points, n_points) of an empty domain.
        None if n_points == 0 => NonZeroU64::MIN,
        None => return Err(Error::invalid(format!("{n_points} points in chunks of 0"))),
    };
    let grid = Grid { points: n_points, chunk };
    if n_chunks != grid.chunks() {
        let counted = grid.chunks();
        return Err(Error::invalid(format!(
            "n_chunks is {n_chunks}, but {n_points} points in chunks of {chunk} make {counted}"
        )));
    }
    for field in fields {
        // Eight bytes is the widest value, stored or served.
        let bytes = n_points.checked_mul(u64::from(field.dim)).and_then(|n| n.checked_mul(8));
        if bytes.is_none_or(|bytes| bytes > MAX_BYTES) {
            return Err(Error::invalid(format!(
                "{n_points} points of {} values in {} are more than a file can hold",
                field.dim, field.canonical
            )));
        }
    }
    Ok(grid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::local::Local;

    fn manifest(edit: impl Fn(&mut serde_json::Value)) -> Result<Noether> {
        let text = include_str!("../../tests/golden/shapenet_store/manifest.json");
        let mut json: serde_json::Value = serde_json::from_str(text).unwrap();
        edit(&mut json);
        let store = tempfile::tempdir().unwrap();
        std::fs::write(store.path().join("manifest.json"), json.to_string()).unwrap();
        let objects = Local::open(store.path()).unwrap();
        Noether::open(&objects, &FileNames::Auto).map(|(noether, _)| noether)
    }

    /// The message for the golden manifest with `sample`'s entry renamed to `id`.
    fn refused(edit: impl Fn(&mut serde_json::Value)) -> String {
        manifest(edit).err().expect("this manifest must be refused").to_string()
    }

    const SAMPLE: &str = "param0/c41ea2177b0cd65aaf5ee1a1938ca886";

    #[test]
    fn the_golden_manifest_is_read_as_it_stands() {
        let layout = manifest(|_| {}).unwrap();
        let catalog = layout.catalog();
        let sample = catalog.samples().next().unwrap();
        assert_eq!(catalog.id(sample), SAMPLE);
        assert_eq!(catalog.fields_of(sample).count(), 7);
        let extent = layout.extent(sample, FieldId(3));
        assert_eq!((extent.array.name.as_str(), extent.rows), ("volume/position", 0..2396));
        assert_eq!(extent.array.group, format!("{SAMPLE}.zarr"));
        assert_eq!(catalog.field(FieldId(0)).stem, "surface_points");
    }

    #[test]
    fn ids_that_are_no_paths_or_hide_views_are_refused() {
        for id in ["/etc/passwd", "a/../b", "", "a//b", "nul\0", "x/subsample_5_1", "subsample_"] {
            let message = refused(|json| {
                let entry = json["samples"][SAMPLE].clone();
                json["samples"] = serde_json::json!({ id: entry });
            });
            assert!(message.contains(&format!("{id:?}")), "{message}");
        }
    }

    #[test]
    fn relpaths_and_array_names_that_leave_the_root_are_refused() {
        let message = refused(|json| json["samples"][SAMPLE]["relpath"] = "../other.zarr".into());
        assert!(message.contains("relpath") && message.contains(SAMPLE), "{message}");
        let array = |json: &mut serde_json::Value| {
            json["domains"]["volume"]["arrays"]["volume_sdf"]["array_name"] = "/x".into();
        };
        assert!(refused(array).contains("field volume_sdf"));
    }

    #[test]
    fn shapes_that_overflow_or_contradict_themselves_are_refused() {
        let grid = |key: &'static str, value: u64| {
            refused(move |json| json["samples"][SAMPLE]["domains"]["volume"][key] = value.into())
        };
        assert!(grid("n_chunks", 9).contains("make 10"));
        assert!(grid("chunk_points", 0).contains("chunks of 0"));
        let message = refused(|json| {
            let grid = &mut json["samples"][SAMPLE]["domains"]["volume"];
            (grid["n_points"], grid["chunk_points"], grid["n_chunks"]) =
                (u64::MAX.into(), u64::MAX.into(), 1.into());
        });
        assert!(message.contains("more than a file can hold"), "{message}");
    }

    #[test]
    fn types_versions_and_domains_that_are_unknown_are_refused() {
        assert!(refused(|json| json["format_version"] = 2.into()).contains("format_version is 2"));
        let dtype = |json: &mut serde_json::Value| {
            json["domains"]["volume"]["arrays"]["volume_sdf"]["dtype"] = "complex64".into();
        };
        assert!(refused(dtype).contains("unknown dtype complex64"));
        let domain = |json: &mut serde_json::Value| {
            let grid = json["samples"][SAMPLE]["domains"]["volume"].clone();
            json["samples"][SAMPLE]["domains"]["wake"] = grid;
        };
        assert!(refused(domain).contains("no such domain: wake"));
    }

    #[test]
    fn names_come_from_the_record_then_the_dataset_then_the_fields() {
        let stem = |layout: &Noether| layout.catalog().field(FieldId(0)).stem.clone();
        let recorded = manifest(|json| {
            let fields = ["surface_position", "surface_pressure", "surface_normals"];
            let fields = fields.into_iter().chain(["volume_position", "volume_velocity"]);
            let fields = fields.chain(["volume_normals", "volume_sdf"]);
            json["filemap"] = fields.map(|f| (f, format!("my_{f}.pt"))).collect();
        });
        assert_eq!(stem(&recorded.unwrap()), "my_surface_position");
        assert_eq!(stem(&manifest(|json| json["dataset_name"] = "Mine".into()).unwrap()), "surface_position");
        let partial = refused(|json| json["filemap"] = serde_json::json!({"surface_position": "p.pt"}));
        assert!(partial.contains("no file name for the field surface_pressure"), "{partial}");
        let evil = refused(|json| json["filemap"] = serde_json::json!({"surface_position": "../p.pt"}));
        assert!(evil.contains("filemap: surface_position"), "{evil}");
    }
}

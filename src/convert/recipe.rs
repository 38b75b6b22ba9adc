//! What a store is made with: everything that decides its bytes, but for the samples themselves.

use std::num::NonZeroU64;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::filemap::{FieldSpec, FileMap};
use crate::store::manifest::{
    ArrayLayout, DomainGrid, DomainLayout, Entries, FORMAT_VERSION, Manifest, SampleEntry,
};
use crate::subsample::mt19937::Mt19937;
use crate::subsample::randperm::randperm;

/// The options that shape a store.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The dataset class that the manifest names.
    pub dataset_name: String,
    /// The fields and their files.
    pub filemap: FileMap,
    /// Rows a chunk, where a sample has as many.
    pub chunk_points: NonZeroU64,
    /// At most so many rows a shard; `None` for one shard an array.
    pub shard_points: Option<NonZeroU64>,
    /// Seed of every permutation.
    pub shuffle_seed: i64,
    /// Type of position fields.
    pub coords_dtype: DType,
    /// Type of the other fields.
    pub values_dtype: DType,
    /// Types of single fields, by canonical name.
    pub field_dtypes: Vec<(String, DType)>,
    /// zstd's level through blosc, 0 to 9.
    pub compression_level: u8,
    /// Leave out what the reference does not write.
    pub plain: bool,
}

/// A domain and its fields in FileMap order.
pub struct Domain {
    /// The domain's name.
    pub name: &'static str,
    /// The field with the coordinates.
    pub position: &'static FieldSpec,
    /// All fields, the position among them.
    pub fields: Vec<&'static FieldSpec>,
}

impl Recipe {
    /// The reference's defaults for a FileMap.
    pub fn new(dataset_name: impl Into<String>, filemap: FileMap) -> Self {
        Self {
            dataset_name: dataset_name.into(),
            filemap,
            chunk_points: NonZeroU64::new(4096).expect("not zero"),
            shard_points: None,
            shuffle_seed: 0,
            coords_dtype: DType::F32,
            values_dtype: DType::F16,
            field_dtypes: Vec::new(),
            compression_level: 5,
            plain: false,
        }
    }

    /// The domains in the manifest's order, which is that of their names.
    ///
    /// # Errors
    /// A FileMap with a domain that has no position, or a type for a field that it does not have.
    pub fn domains(&self) -> Result<Vec<Domain>> {
        let fields: Vec<_> = self.filemap.files().map(|(spec, _)| spec).collect();
        let canonical: Vec<_> = fields.iter().map(|spec| spec.canonical()).collect();
        if let Some((unknown, _)) = self.field_dtypes.iter().find(|(name, _)| !canonical.contains(name)) {
            return Err(Error::usage(format!("there is no field {unknown:?}"))
                .hint(format!("the FileMap has {}", canonical.join(", "))));
        }
        let mut names: Vec<_> = fields.iter().map(|spec| spec.domain).collect();
        names.sort_unstable();
        names.dedup();
        let domain = |name: &'static str| {
            let fields: Vec<_> = fields.iter().copied().filter(|spec| spec.domain == name).collect();
            let position = fields.iter().copied().find(|spec| spec.is_position()).ok_or_else(|| {
                Error::usage(format!("the FileMap has {} but no {name}_position", fields[0].canonical()))
            })?;
            Ok(Domain { name, position, fields })
        };
        names.into_iter().map(domain).collect()
    }

    /// The type that a field is stored in.
    pub fn dtype(&self, field: &FieldSpec) -> DType {
        let canonical = field.canonical();
        let own = self.field_dtypes.iter().rev().find(|(name, _)| *name == canonical);
        let default = if field.is_position() { self.coords_dtype } else { self.values_dtype };
        own.map_or(default, |(_, dtype)| *dtype)
    }

    /// The chunk and shard grid of a domain of so many points, at least one.
    pub fn grid(&self, points: u64) -> DomainGrid {
        let chunk = self.chunk_points.get().min(points);
        let chunks = points.div_ceil(chunk);
        let whole = chunks * chunk;
        let shard = self.shard_points.map_or(whole, |cap| whole.min((cap.get() / chunk).max(1) * chunk));
        DomainGrid { n_points: points, chunk_points: chunk, shard_points: shard, n_chunks: chunks }
    }

    /// As [`order`], with the recipe's seed.
    ///
    /// # Errors
    /// As [`order`].
    pub fn order(&self, sample: &str, domain: &str, points: u64) -> Result<Vec<u32>> {
        order(self.shuffle_seed, sample, domain, points)
    }

    /// The manifest of a store of these samples.
    ///
    /// # Errors
    /// As [`domains`](Self::domains).
    pub fn manifest(&self, samples: Vec<(String, Entries<DomainGrid>)>) -> Result<Manifest> {
        let array = |field: &FieldSpec| ArrayLayout {
            array_name: format!("{}/{}", field.domain, field.name),
            field: field.canonical(),
            dtype: self.dtype(field).name().to_owned(),
            dim: field.dim,
        };
        let layout = |domain: Domain| {
            let arrays = domain.fields.iter().map(|field| (field.canonical(), array(field))).collect();
            let layout = DomainLayout { position: domain.position.canonical(), arrays: Entries(arrays) };
            (domain.name.to_owned(), layout)
        };
        let entry = |(id, domains): (String, Entries<DomainGrid>)| {
            let relpath = relpath(&id);
            (id, SampleEntry { relpath, domains })
        };
        let files = || self.filemap.files().map(|(field, file)| (field.canonical(), file.to_owned()));
        Ok(Manifest {
            dataset_name: self.dataset_name.clone(),
            format_version: FORMAT_VERSION,
            shuffle_seed: self.shuffle_seed,
            coords_dtype: self.coords_dtype.name().to_owned(),
            values_dtype: self.values_dtype.name().to_owned(),
            compressor: format!("blosc-zstd-{}", self.compression_level),
            domains: Entries(self.domains()?.into_iter().map(layout).collect()),
            samples: Entries(samples.into_iter().map(entry).collect()),
            filemap: (!self.plain).then(|| Entries(files().collect())),
        })
    }

    /// The recipe as a flat JSON object, for comparing one with another.
    pub fn to_json(&self) -> Value {
        let mut object = json!({
            "dataset_name": self.dataset_name,
            "chunk_points": self.chunk_points,
            "shard_points": self.shard_points,
            "shuffle_seed": self.shuffle_seed,
            "compression_level": self.compression_level,
            "plain": self.plain,
        });
        for (field, file) in self.filemap.files() {
            object[format!("file of {}", field.canonical())] = file.into();
            object[format!("dtype of {}", field.canonical())] = self.dtype(field).name().into();
        }
        object
    }
}

/// The permutation of a domain's points: stored row i is input row `order[i]`. The reference seeds
/// torch's generator with a hash of seed, sample and domain.
///
/// # Errors
/// More points than 32 bits count: 2^32 of them have 48 GiB of positions alone.
pub fn order(shuffle_seed: i64, sample: &str, domain: &str, points: u64) -> Result<Vec<u32>> {
    let points = u32::try_from(points).map_err(|_| {
        Error::invalid(format!("{points} points, a domain of a sample has at most {}", u32::MAX))
    })?;
    let hash = Sha256::digest(format!("{shuffle_seed}:{sample}:{domain}"));
    let seed = u64::from_le_bytes(std::array::from_fn(|i| hash[i])) % (i64::MAX as u64);
    Ok(randperm(points, &mut Mt19937::new(seed)))
}

/// Where a sample's group stands under the store's root.
pub fn relpath(sample: &str) -> String {
    format!("{sample}.zarr")
}

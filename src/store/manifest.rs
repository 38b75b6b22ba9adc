//! `manifest.json`: the whole store's index, as the reference's `StoreManifest` writes and reads it.
//!
//! Unknown keys are ignored at every level, by the reference and here: that is where extensions
//! go. `filemap` is one, written by `convert`.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};

/// The manifest's name under the store's root.
pub const NAME: &str = "manifest.json";

/// The only format version there is.
pub const FORMAT_VERSION: u64 = 1;

/// The top level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The dataset class that the store was made from.
    pub dataset_name: String,
    /// [`FORMAT_VERSION`].
    #[serde(default = "format_version")]
    pub format_version: u64,
    /// Seed of the permutations that points were shuffled with.
    pub shuffle_seed: i64,
    /// Type of position arrays, unless an array says otherwise.
    #[serde(default = "coords_dtype")]
    pub coords_dtype: String,
    /// Type of the other arrays, unless an array says otherwise.
    #[serde(default = "values_dtype")]
    pub values_dtype: String,
    /// `blosc-zstd-<level>`.
    #[serde(default = "compressor")]
    pub compressor: String,
    /// Domain name → its arrays.
    pub domains: Entries<DomainLayout>,
    /// Sample id → its group and grids.
    #[serde(default)]
    pub samples: Entries<SampleEntry>,
    /// Extension: canonical field name → file name in a sample's directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filemap: Option<Entries<String>>,
}

/// The arrays of one domain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DomainLayout {
    /// Canonical name of the coordinate field.
    pub position: String,
    /// Canonical field name → its array.
    pub arrays: Entries<ArrayLayout>,
}

/// One array of every sample that has the domain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArrayLayout {
    /// Path within the sample's group, `<domain>/<name>`.
    pub array_name: String,
    /// Canonical field name.
    pub field: String,
    /// Stored type.
    pub dtype: String,
    /// Values a point.
    pub dim: u32,
}

/// One sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleEntry {
    /// The sample's group, relative to the root.
    pub relpath: String,
    /// Domain name → the grid that all its arrays share.
    pub domains: Entries<DomainGrid>,
}

/// The point axis of one domain of one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainGrid {
    /// Rows.
    pub n_points: u64,
    /// Rows a chunk.
    pub chunk_points: u64,
    /// Rows a shard, whole chunks.
    pub shard_points: u64,
    /// Chunks, the short last one included.
    pub n_chunks: u64,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// Text that is no manifest, or one of another format version.
    pub fn parse(json: &[u8]) -> Result<Self> {
        let manifest: Self = serde_json::from_slice(json).map_err(|e| Error::invalid(e.to_string()))?;
        if manifest.format_version != FORMAT_VERSION {
            return Err(Error::invalid(format!(
                "format_version is {}, this samplefs reads {FORMAT_VERSION}",
                manifest.format_version
            ))
            .hint("a newer samplefs may read it"));
        }
        Ok(manifest)
    }

    /// The manifest's text, byte for byte as the reference writes it.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a manifest has only string keys and finite numbers")
    }
}

fn format_version() -> u64 {
    FORMAT_VERSION
}

fn coords_dtype() -> String {
    "float32".to_owned()
}

fn values_dtype() -> String {
    "float16".to_owned()
}

fn compressor() -> String {
    "blosc-zstd".to_owned()
}

/// A JSON object in the order in which it stands in the file: order is meaning here (domains are
/// drawn in it). A name may stand twice; who cares must look.
#[derive(Clone, Debug, PartialEq)]
pub struct Entries<T>(pub Vec<(String, T)>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Entries<T> {
    /// The entry of that name.
    pub fn get(&self, name: &str) -> Option<&T> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl<T: Serialize> Serialize for Entries<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct InOrder<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = Entries<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Entries<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(InOrder(PhantomData))
    }
}

//! A sample's Zarr group: one read gives the metadata of all its arrays, where it is consolidated.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::array::Array;
use super::{Objects, Part};
use crate::catalog::ArrayRef;
use crate::error::{Error, Result};

/// No `zarr.json` comes near this; more is not read.
const METADATA_LIMIT: u64 = 256 << 20;

/// A group's consolidated metadata, parsed no further than each node's text.
pub struct Group {
    nodes: HashMap<String, Box<RawValue>>,
}

#[derive(Deserialize)]
struct GroupJson {
    zarr_format: u64,
    node_type: String,
    #[serde(default)]
    consolidated_metadata: Option<Consolidated>,
}

#[derive(Deserialize)]
struct Consolidated {
    metadata: HashMap<String, Box<RawValue>>,
}

impl Group {
    /// Reads the group's `zarr.json`.
    ///
    /// # Errors
    /// When there is none or it describes no Zarr v3 group.
    pub fn read(objects: &dyn Objects, path: &str) -> Result<Self> {
        let path = format!("{path}/zarr.json");
        let json = read_metadata(objects, &path)?;
        let group: GroupJson = serde_json::from_slice(&json)
            .map_err(|e| Error::invalid(format!("{path}: no Zarr group metadata: {e}")))?;
        if group.zarr_format != 3 || group.node_type != "group" {
            return Err(Error::invalid(format!(
                "{path}: describes a Zarr v{} {}, not a v3 group",
                group.zarr_format, group.node_type
            )));
        }
        Ok(Self { nodes: group.consolidated_metadata.map(|c| c.metadata).unwrap_or_default() })
    }

    /// The array: from the consolidated metadata, else from the array's own `zarr.json`.
    ///
    /// # Errors
    /// As [`Array::new`], or when there is no such array.
    pub fn array(&self, objects: &dyn Objects, expected: &ArrayRef) -> Result<Array> {
        let own;
        let json = match self.nodes.get(&expected.name) {
            Some(node) => node.get(),
            None => {
                let path = format!("{}/{}/zarr.json", expected.group, expected.name);
                own = String::from_utf8(read_metadata(objects, &path)?)
                    .map_err(|_| Error::invalid(format!("{path}: not UTF-8")))?;
                &own
            }
        };
        Array::new(json, expected)
    }

    /// Holds the array's own `zarr.json` against its copy here, where there are both.
    ///
    /// # Errors
    /// When they differ: what the group says of the array is not what was written with its chunks.
    pub fn check_copy(&self, objects: &dyn Objects, array: &ArrayRef) -> Result<()> {
        let Some(copy) = self.nodes.get(&array.name) else { return Ok(()) };
        let path = format!("{}/{}/zarr.json", array.group, array.name);
        let mut own = Vec::new();
        if objects.read(&path, Part::Whole { limit: METADATA_LIMIT }, None, &mut own)?.is_none() {
            return Ok(());
        }
        let parse = |json: &[u8]| serde_json::from_slice::<Value>(json);
        let own = parse(&own).map_err(|e| Error::invalid(format!("{path}: {e}")))?;
        if parse(copy.get().as_bytes()).is_ok_and(|copy| copy == own) {
            return Ok(());
        }
        Err(Error::invalid(format!("{path} differs from its copy in the sample's zarr.json"))
            .hint("the array's directory is another one's or was rewritten: convert the sample anew"))
    }

    /// Bytes in memory, roughly: what a cache counts.
    pub fn weight(&self) -> usize {
        self.nodes.iter().map(|(name, node)| name.len() + node.get().len() + 64).sum()
    }
}

fn read_metadata(objects: &dyn Objects, path: &str) -> Result<Vec<u8>> {
    let mut json = Vec::new();
    match objects.read(path, Part::Whole { limit: METADATA_LIMIT }, None, &mut json)? {
        Some(_) => Ok(json),
        None => Err(Error::invalid(format!("{path} is missing"))
            .hint("the manifest lists it: restore it, or convert the sample anew")),
    }
}

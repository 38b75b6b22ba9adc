//! A sample's Zarr group: one read gives the metadata of all its arrays, where it is consolidated.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::array::Array;
use super::{Found, Objects, Part};
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
    /// Reads the group's `zarr.json`; also tells which version it is.
    ///
    /// # Errors
    /// When there is none or it describes no Zarr v3 group.
    pub fn read(objects: &dyn Objects, path: &str) -> Result<(Self, Found)> {
        let path = metadata_path(path);
        let (json, found) = read_metadata(objects, &path)?;
        let group: GroupJson = serde_json::from_slice(&json)
            .map_err(|e| Error::invalid(format!("{path}: no Zarr group metadata: {e}")))?;
        if group.zarr_format != 3 || group.node_type != "group" {
            return Err(Error::invalid(format!(
                "{path}: describes a Zarr v{} {}, not a v3 group",
                group.zarr_format, group.node_type
            )));
        }
        let nodes = group.consolidated_metadata.map(|c| c.metadata).unwrap_or_default();
        Ok((Self { nodes }, found))
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
                own = String::from_utf8(read_metadata(objects, &path)?.0)
                    .map_err(|_| Error::invalid(format!("{path}: not UTF-8")))?;
                &own
            }
        };
        Array::new(json, expected)
    }

    /// Holds the array's own `zarr.json`, where there is one beside its copy here, against what is
    /// expected and what the copy made of it.
    ///
    /// # Errors
    /// When they differ: the chunks are not those that the group and the manifest speak of.
    pub fn check_copy(&self, objects: &dyn Objects, expected: &ArrayRef, copy: &Array) -> Result<()> {
        if !self.nodes.contains_key(&expected.name) {
            return Ok(());
        }
        let path = format!("{}/{}/zarr.json", expected.group, expected.name);
        let hint =
            "the directory is another array's or was rewritten: restore it, or convert the sample anew";
        let wrong = |e: Error| e.within(&path).hint(hint);
        let mut own = Vec::new();
        if objects.read(&path, Part::Whole { limit: METADATA_LIMIT }, None, &mut own)?.is_none() {
            return Ok(());
        }
        let own = str::from_utf8(&own).map_err(|_| wrong(Error::invalid("not UTF-8")))?;
        if !Array::new(own, expected).map_err(wrong)?.agrees_with(copy) {
            return Err(wrong(Error::invalid("it differs from its copy in the sample's zarr.json")));
        }
        Ok(())
    }

    /// Bytes in memory, roughly: what a cache counts.
    pub fn weight(&self) -> usize {
        self.nodes.iter().map(|(name, node)| name.len() + node.get().len() + 64).sum()
    }
}

/// Where the metadata of a group is.
pub fn metadata_path(group: &str) -> String {
    format!("{group}/zarr.json")
}

fn read_metadata(objects: &dyn Objects, path: &str) -> Result<(Vec<u8>, Found)> {
    let mut json = Vec::new();
    match objects.read(path, Part::Whole { limit: METADATA_LIMIT }, None, &mut json)? {
        Some(found) => Ok((json, found)),
        None => Err(Error::invalid(format!("{path} is missing"))
            .hint("the manifest lists it: restore it, or convert the sample anew")),
    }
}

//! Which file in a sample's directory holds which field: noether's `FileMap`.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// One attribute of noether's `FileMap`: the field that it names (`FIELD_SPECS` of the reference).
#[derive(Debug, PartialEq, Eq)]
pub struct FieldSpec {
    /// The attribute's name.
    pub attribute: &'static str,
    /// The field's domain.
    pub domain: &'static str,
    /// Its name within the domain.
    pub name: &'static str,
    /// Values a point.
    pub dim: u32,
}

impl FieldSpec {
    const fn new(attribute: &'static str, domain: &'static str, name: &'static str, dim: u32) -> Self {
        Self { attribute, domain, name, dim }
    }

    /// The field's name across the dataset, `<domain>_<name>`.
    pub fn canonical(&self) -> String {
        format!("{}_{}", self.domain, self.name)
    }

    /// Whether this is its domain's coordinate field.
    pub fn is_position(&self) -> bool {
        self.name == "position"
    }
}

/// The fields in FileMap order.
pub const FIELD_SPECS: [FieldSpec; 14] = [
    FieldSpec::new("surface_position", "surface", "position", 3),
    FieldSpec::new("surface_pressure", "surface", "pressure", 1),
    FieldSpec::new("surface_friction", "surface", "friction", 3),
    FieldSpec::new("surface_normals", "surface", "normals", 3),
    FieldSpec::new("surface_area", "surface", "area", 1),
    FieldSpec::new("volume_position", "volume", "position", 3),
    FieldSpec::new("volume_pressure", "volume", "pressure", 1),
    FieldSpec::new("volume_velocity", "volume", "velocity", 3),
    FieldSpec::new("volume_vorticity", "volume", "vorticity", 3),
    FieldSpec::new("volume_normals", "volume", "normals", 3),
    FieldSpec::new("surface_position_stl", "surface_stl", "position", 3),
    FieldSpec::new("surface_position_stl_resampled", "surface_stl_resampled", "position", 3),
    FieldSpec::new("volume_friction", "volume", "friction", 3),
    FieldSpec::new("volume_distance_to_surface", "volume", "sdf", 1),
];

/// Attributes of a FileMap that name no point field and are never stored.
const NOT_STORED: [&str; 1] = ["design_parameters"];

/// A FileMap that samplefs knows by name.
struct Known {
    name: &'static str,
    /// The reference's dataset classes that use it; the first is what `convert` writes.
    datasets: &'static [&'static str],
    files: &'static [(&'static str, &'static str)],
}

const KNOWN: [Known; 4] = [
    Known {
        name: "shapenet-car",
        datasets: &["ShapeNetCarDataset"],
        files: &[
            ("surface_position", "surface_points.pt"),
            ("surface_pressure", "surface_pressure.pt"),
            ("surface_normals", "surface_normals.pt"),
            ("volume_position", "volume_points.pt"),
            ("volume_velocity", "volume_velocity.pt"),
            ("volume_normals", "volume_normals.pt"),
            ("volume_distance_to_surface", "volume_sdf.pt"),
        ],
    },
    Known {
        name: "caeml",
        datasets: &["DrivAerMLDataset", "AhmedMLDataset"],
        files: &[
            ("surface_position", "surface_position_vtp.pt"),
            ("surface_pressure", "surface_pressure.pt"),
            ("surface_friction", "surface_wallshearstress.pt"),
            ("volume_position", "volume_cell_position.pt"),
            ("volume_pressure", "volume_cell_totalpcoeff.pt"),
            ("volume_velocity", "volume_cell_velocity.pt"),
            ("volume_vorticity", "volume_cell_vorticity.pt"),
        ],
    },
    Known {
        name: "drivaernet",
        datasets: &["DrivAerNetDataset"],
        files: &[
            ("surface_position", "surface_position.pt"),
            ("surface_pressure", "surface_p.pt"),
            ("surface_friction", "surface_wallShearStress.pt"),
            ("volume_position", "volume_position.pt"),
            ("volume_pressure", "volume_p.pt"),
            ("volume_velocity", "volume_U.pt"),
            ("volume_vorticity", "volume_vorticity.pt"),
            ("volume_friction", "volume_wallShearStress.pt"),
        ],
    },
    Known {
        name: "emmi-wing",
        datasets: &["EmmiWingDataset"],
        files: &[
            ("surface_position", "surface_position.pt"),
            ("surface_pressure", "surface_pressure.pt"),
            ("surface_friction", "surface_wall_shear_stress.pt"),
            ("volume_position", "volume_position.pt"),
            ("volume_pressure", "volume_pressure.pt"),
            ("volume_velocity", "volume_velocity.pt"),
            ("volume_vorticity", "volume_vorticity.pt"),
            ("design_parameters", "design_parameters.pt"),
        ],
    },
];

/// File names of the fields of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMap {
    files: Vec<(&'static FieldSpec, String)>,
    /// Files of a sample that are named but not stored: legacy trees hold them, stores do not.
    unstored: Vec<String>,
}

impl FileMap {
    /// The names of the FileMaps that [`known`](Self::known) has.
    pub fn names() -> impl Iterator<Item = &'static str> {
        KNOWN.iter().map(|known| known.name)
    }

    /// The FileMap of that name.
    pub fn known(name: &str) -> Option<Self> {
        KNOWN.iter().find(|known| known.name == name).map(Known::filemap)
    }

    /// The FileMap that the reference's dataset class of that name uses.
    pub fn of_dataset(class: &str) -> Option<Self> {
        KNOWN.iter().find(|known| known.datasets.contains(&class)).map(Known::filemap)
    }

    /// The dataset class that goes with a known FileMap.
    pub fn dataset(name: &str) -> Option<&'static str> {
        KNOWN.iter().find(|known| known.name == name).map(|known| known.datasets[0])
    }

    /// Reads a FileMap from JSON: an object of attribute → file name. An attribute whose value is
    /// null is not there, as in the reference.
    pub fn from_json(text: &[u8]) -> Result<Self> {
        let object: Map<String, Value> = serde_json::from_slice(text)
            .map_err(|e| Error::usage(format!("not a JSON object of FileMap attributes: {e}")))?;
        let mut entries = Vec::new();
        for (attribute, file) in &object {
            match file {
                Value::Null => {}
                Value::String(file) => entries.push((attribute.as_str(), file.as_str())),
                other => return Err(Error::usage(format!("{attribute}: {other} is no file name"))),
            }
        }
        Self::from_entries(&entries)
    }

    fn from_entries(entries: &[(&str, &str)]) -> Result<Self> {
        let mut unstored = Vec::new();
        for (i, (attribute, file)) in entries.iter().enumerate() {
            check_file_name(file).map_err(|e| e.within(attribute))?;
            if let Some((other, _)) = entries[..i].iter().find(|(_, f)| f == file) {
                return Err(Error::usage(format!("{other} and {attribute} are both in {file}")));
            }
            if NOT_STORED.contains(attribute) {
                unstored.push((*file).to_owned());
            } else if !FIELD_SPECS.iter().any(|spec| spec.attribute == *attribute) {
                let known: Vec<_> = FIELD_SPECS.iter().map(|spec| spec.attribute).chain(NOT_STORED).collect();
                return Err(Error::usage(format!("{attribute} is no FileMap attribute"))
                    .hint(format!("known: {}", known.join(", "))));
            }
        }
        let named = |spec: &&'static FieldSpec| entries.iter().find(|(a, _)| *a == spec.attribute);
        let files = FIELD_SPECS
            .iter()
            .filter_map(|spec| named(&spec).map(|(_, file)| (spec, (*file).to_owned())))
            .collect();
        Ok(Self { files, unstored })
    }

    /// The stored fields and their files, in FileMap order.
    pub fn files(&self) -> impl Iterator<Item = (&'static FieldSpec, &str)> {
        self.files.iter().map(|(spec, file)| (*spec, file.as_str()))
    }

    /// Files that belong to a sample but are never stored.
    pub fn unstored(&self) -> &[String] {
        &self.unstored
    }

    /// The file of a field, by its canonical name.
    pub fn file(&self, canonical: &str) -> Option<&str> {
        self.files().find(|(spec, _)| spec.canonical() == canonical).map(|(_, file)| file)
    }
}

impl Known {
    fn filemap(&self) -> FileMap {
        FileMap::from_entries(self.files).expect("the table of known FileMaps is well-formed")
    }
}

/// Whether `name` can stand as a file of a sample: one path component that ends in `.pt`.
///
/// # Errors
/// What is wrong with it.
pub fn check_file_name(name: &str) -> Result<()> {
    let wrong = if name.contains(['/', '\0']) {
        "a file name has no '/' and no NUL"
    } else if name.len() > 255 {
        "a file name has at most 255 bytes"
    } else if name.strip_suffix(".pt").is_none_or(str::is_empty) {
        "a field's file name ends in .pt"
    } else {
        return Ok(());
    };
    Err(Error::usage(format!("{name:?}: {wrong}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_filemap_names_each_domains_position() {
        for known in &KNOWN {
            let map = known.filemap();
            for (spec, _) in map.files() {
                let position = format!("{}_position", spec.domain);
                assert!(map.file(&position).is_some(), "{}: {position}", known.name);
            }
        }
    }

    #[test]
    fn datasets_find_their_filemaps() {
        assert_eq!(FileMap::of_dataset("AhmedMLDataset"), FileMap::known("caeml"));
        assert_eq!(FileMap::dataset("caeml"), Some("DrivAerMLDataset"));
        assert_eq!(FileMap::of_dataset("OtherDataset"), None);
    }

    #[test]
    fn the_sdf_is_known_by_its_attribute_and_stored_by_its_short_name() {
        assert_eq!(FileMap::known("shapenet-car").unwrap().file("volume_sdf"), Some("volume_sdf.pt"));
    }

    #[test]
    fn an_unknown_attribute_is_refused_with_the_known_ones() {
        let error = FileMap::from_json(br#"{"surface_temperature": "t.pt"}"#).unwrap_err();
        assert!(error.to_string().contains("surface_temperature"), "{error}");
        assert!(error.remedy().unwrap().contains("volume_distance_to_surface"));
    }

    #[test]
    fn file_names_that_are_no_names_are_refused() {
        let long = "x".repeat(253) + ".pt";
        for name in ["../x.pt", "a/b.pt", "", ".pt", "x.npy", "x", "x\0.pt", long.as_str()] {
            assert!(check_file_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn two_fields_in_one_file_are_refused() {
        let error =
            FileMap::from_json(br#"{"surface_position": "x.pt", "surface_area": "x.pt"}"#).unwrap_err();
        assert!(error.to_string().contains("both in x.pt"), "{error}");
    }
}

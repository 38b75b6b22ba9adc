//! A stored field against the file that it was made from: every stored row must be the cast of its
//! source row under the permutation that seed, sample and domain give.

use super::check::{Findings, Subject};
use crate::catalog::{FieldId, SampleId};
use crate::convert::cast::cast;
use crate::convert::file;
use crate::convert::files::Files;
use crate::convert::recipe;
use crate::convert::tensor::Tensor;
use crate::dtype::DType;
use crate::error::{Error, ErrorKind, Result};
use crate::format::Format;
use crate::read::Payload;

/// How far stored values lie from their sources at most.
#[derive(Clone, Copy, Debug, Default)]
pub struct CastError {
    /// The largest |stored − source|.
    pub absolute: f64,
    /// The largest |stored − source| / |source|, where the source is not 0.
    pub relative: f64,
}

impl CastError {
    /// The larger of two.
    pub fn add(&mut self, other: Self) {
        self.absolute = self.absolute.max(other.absolute);
        self.relative = self.relative.max(other.relative);
    }
}

/// Compares one field of one sample, chunk by chunk; the source is read into memory whole.
pub fn compare(
    subject: &Subject<'_>,
    tree: &dyn Files,
    sample: SampleId,
    field: FieldId,
    findings: &mut Findings,
) -> CastError {
    let catalog = subject.layout.catalog();
    let described = catalog.field(field);
    let points = catalog.grid(sample, field).map_or(0, |grid| grid.points);
    let source = match source(tree, catalog.id(sample), &described.stem, points, described.dim) {
        Ok(source) => source,
        Err(e) => {
            findings.push(None, &e.hint("give the tree that the store was converted from"));
            return CastError::default();
        }
    };
    let domain = &catalog.domains[described.domain].name;
    let order = match recipe::order(subject.manifest.shuffle_seed, catalog.id(sample), domain, points) {
        Ok(order) => order,
        Err(e) => {
            findings.push(None, &e);
            return CastError::default();
        }
    };
    let whole = Payload::served_whole(subject.layout.extent(sample, field));
    let payload = Payload { served: whole.array.dtype, ..whole };
    let chunk = catalog.grid(sample, field).map_or(1, |grid| grid.chunk.get());
    let mut worst = CastError::default();
    for (index, rows) in (0..).zip(order.chunks(chunk as usize)) {
        let mut stored = vec![0; rows.len() * described.dim as usize * described.dtype.size()];
        // A chunk that cannot be read has been found by now.
        if subject.reader.read(&payload, index * chunk * payload.size() / points, &mut stored).is_err() {
            continue;
        }
        match compare_rows(&source, rows, described.dim, described.dtype, &stored) {
            Ok(error) => worst.add(error),
            Err(e) => findings.push(Some(index), &e),
        }
    }
    worst
}

/// The tensor in a sample's directory, of either format.
fn source(tree: &dyn Files, sample: &str, stem: &str, points: u64, dim: u32) -> Result<Tensor> {
    let path = |format: Format| format!("{sample}/{}", format.file_name(stem));
    let size = points * u64::from(dim) * 4;
    let read = |path: &str| file::read(tree, path, size, Vec::new());
    let (mut path, other) = (path(Format::Pt), path(Format::Npy));
    let tensor = match read(&path) {
        Err(missing) if missing.kind() == ErrorKind::NotFound => match read(&other) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(missing),
            tensor => {
                path = other;
                tensor
            }
        },
        tensor => tensor,
    }?;
    let layout = tensor.layout();
    if layout.rows as u64 != points || layout.columns < dim as usize {
        let shape = format!("its shape is {layout}, stored are {points} rows of {dim}");
        return Err(Error::invalid(format!("{}/{path}: {shape}", tree.location())));
    }
    Ok(tensor)
}

fn compare_rows(
    source: &Tensor,
    rows: &[u32],
    dim: u32,
    stored_as: DType,
    stored: &[u8],
) -> Result<CastError> {
    let from = source.layout().dtype;
    let (mut values, mut expected) = (Vec::new(), Vec::new());
    source.gather(rows.iter().map(|row| *row as usize), dim as usize, &mut values);
    let out_of_range =
        |_| Error::invalid(format!("its source has values that {} cannot hold", stored_as.name()));
    cast(from, stored_as, &values, &mut expected).map_err(out_of_range)?;
    let (source, expected) = (wide(from, &values), wide(stored_as, &expected));
    let mut worst = CastError::default();
    for (at, ((source, expected), stored)) in source.zip(expected).zip(wide(stored_as, stored)).enumerate() {
        if expected.to_bits() != stored.to_bits() && !(expected.is_nan() && stored.is_nan()) {
            let row = rows[at / dim as usize];
            return Err(Error::invalid(format!(
                "{stored:e} is stored where row {row} of its source is {source:e}"
            ))
            .hint("convert the sample anew"));
        }
        let off = (stored - source).abs();
        // NaN and infinities are equal to their sources by now, and off by no number.
        if off.is_finite() {
            let relative = if source == 0.0 { 0.0 } else { off / source.abs() };
            worst.add(CastError { absolute: off, relative });
        }
    }
    Ok(worst)
}

/// Values as float64.
fn wide(dtype: DType, values: &[u8]) -> impl Iterator<Item = f64> {
    let mut wide = Vec::with_capacity(values.len() / dtype.size() * 8);
    // Nothing is out of float64's range.
    _ = cast(dtype, DType::F64, values, &mut wide);
    let (words, _) = wide.as_chunks();
    words.iter().map(|word| f64::from_le_bytes(*word)).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::tensor::Layout;
    use half::f16;

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    /// Compares float16 values with a column of float32, its rows in reverse.
    fn compare_reversed(source: &[f32], stored: &[f32]) -> Result<CastError> {
        let rows = source.len() as u64;
        let layout = Layout::contiguous(DType::F32, &[rows], rows).unwrap();
        let tensor = Tensor::new(layout, bytes(source)).unwrap();
        let order: Vec<u32> = (0..rows as u32).rev().collect();
        let stored: Vec<u8> = stored.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect();
        compare_rows(&tensor, &order, 1, DType::F16, &stored)
    }

    #[test]
    fn casts_are_found_right_nan_included_and_their_error_is_the_largest() {
        let off = 1.0 + f32::EPSILON;
        let error = compare_reversed(&[off, f32::NAN, 0.0, 2.5], &[2.5, 0.0, f32::NAN, 1.0]).unwrap();
        assert_eq!(error.absolute, f64::from(f32::EPSILON));
        assert_eq!(error.relative, f64::from(f32::EPSILON) / f64::from(off));
    }

    #[test]
    fn another_value_another_sign_of_zero_and_another_order_are_told() {
        assert!(compare_reversed(&[1.0, 2.0], &[2.0, 1.0]).is_ok());
        for stored in [[1.0, 2.0], [2.0, 1.001], [2.0, f32::NAN]] {
            let error = compare_reversed(&[1.0, 2.0], &stored).unwrap_err();
            assert!(error.to_string().contains("is stored where row"), "{error}");
        }
        assert!(compare_reversed(&[0.0], &[-0.0]).is_err());
        let error = compare_reversed(&[1e9], &[f32::INFINITY]).unwrap_err();
        assert!(error.to_string().contains("float16 cannot hold"), "{error}");
    }
}

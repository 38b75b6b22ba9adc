//! One field of one sample in memory: the bytes of its storage, and how rows lie in them.

use std::fmt;
use std::ops::Range;

use crate::dtype::DType;
use crate::error::{Error, Result};

/// How the values of a two-axis tensor lie in a storage; every count is in values, not bytes.
///
/// No value lies outside of the storage: [`new`](Self::new) has checked that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Type of the values.
    pub dtype: DType,
    /// Points.
    pub rows: usize,
    /// Values a point.
    pub columns: usize,
    row_stride: usize,
    column_stride: usize,
    offset: usize,
}

impl Layout {
    /// A tensor of that shape and strides over a storage of `values` values, from `offset` on.
    /// One axis of length N counts as the shape (N, 1).
    ///
    /// # Errors
    /// More than two axes or none, or values outside of the storage.
    pub fn new(dtype: DType, shape: &[u64], strides: &[u64], offset: u64, values: u64) -> Result<Self> {
        let (rows, columns, row_stride, column_stride) = match (shape, strides) {
            ([rows], [stride]) => (*rows, 1, *stride, 1),
            ([rows, columns], [row_stride, column_stride]) => (*rows, *columns, *row_stride, *column_stride),
            _ => {
                let found = if shape.len() == strides.len() {
                    format!("{} axes", shape.len())
                } else {
                    format!("{} axes with {} strides", shape.len(), strides.len())
                };
                return Err(Error::invalid(format!("a field has one axis or two, found {found}")));
            }
        };
        if rows > 0 && columns > 0 {
            let furthest = |length: u64, stride: u64| u128::from(length - 1) * u128::from(stride);
            let end = (u128::from(offset) + 1)
                .saturating_add(furthest(rows, row_stride))
                .saturating_add(furthest(columns, column_stride));
            if end > u128::from(values) {
                return Err(Error::invalid(format!(
                    "shape ({rows}, {columns}) reaches value {end} of a storage of {values}"
                )));
            }
        }
        let size = |value: u64| {
            usize::try_from(value).map_err(|_| Error::invalid(format!("{value} exceeds the address space")))
        };
        Ok(Self {
            dtype,
            rows: size(rows)?,
            columns: size(columns)?,
            row_stride: size(row_stride)?,
            column_stride: size(column_stride)?,
            offset: size(offset)?,
        })
    }

    /// A C-ordered tensor that fills its storage.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn contiguous(dtype: DType, shape: &[u64], values: u64) -> Result<Self> {
        let columns = shape.get(1).copied().unwrap_or(1);
        let strides = if shape.len() == 1 { vec![1] } else { vec![columns, 1] };
        Self::new(dtype, shape, &strides, 0, values)
    }
}

/// The shape as Python writes it.
impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {})", self.rows, self.columns)
    }
}

/// A tensor whose storage has been read.
pub struct Tensor {
    layout: Layout,
    storage: Vec<u8>,
}

impl Tensor {
    /// Values over the storage that they were laid out for, little-endian.
    ///
    /// # Errors
    /// A storage of another length than the layout was checked against is refused when it is too
    /// short for the last value.
    pub fn new(layout: Layout, storage: Vec<u8>) -> Result<Self> {
        let values = (storage.len() / layout.dtype.size()) as u64;
        let shape = [layout.rows as u64, layout.columns as u64];
        let strides = [layout.row_stride as u64, layout.column_stride as u64];
        Layout::new(layout.dtype, &shape, &strides, layout.offset as u64, values)?;
        Ok(Self { layout, storage })
    }

    /// Type and shape.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// How many values the storage has: a view may show fewer, or some of them many times.
    pub fn values(&self) -> usize {
        self.storage.len() / self.layout.dtype.size()
    }

    /// The storage, to be used again.
    pub fn into_storage(self) -> Vec<u8> {
        self.storage
    }

    /// The first `columns` values of consecutive rows, C-ordered, in the tensor's own type: of the
    /// storage where they lie like that, else copied to `buffer`.
    ///
    /// # Panics
    /// When a row or `columns` lies outside of the shape.
    pub fn rows<'a>(&'a self, rows: Range<usize>, columns: usize, buffer: &'a mut Vec<u8>) -> &'a [u8] {
        let Layout { dtype, row_stride, column_stride, offset, .. } = self.layout;
        if (row_stride, column_stride) == (columns, 1) {
            let (first, count) = (offset + rows.start * columns, rows.len() * columns);
            return &self.storage[first * dtype.size()..][..count * dtype.size()];
        }
        self.gather(rows, columns, buffer);
        buffer
    }

    /// Replaces `out` by the first `columns` values of the given rows, C-ordered, in the
    /// tensor's own type.
    ///
    /// # Panics
    /// When a row or `columns` lies outside of the shape.
    pub fn gather(&self, rows: impl ExactSizeIterator<Item = usize>, columns: usize, out: &mut Vec<u8>) {
        let layout = &self.layout;
        assert!(columns <= layout.columns, "{columns} columns of {layout}");
        let size = layout.dtype.size();
        // Every byte is written below; what was there before need not be cleared.
        out.resize(rows.len() * columns * size, 0);
        for (row, out) in rows.zip(out.chunks_exact_mut((columns * size).max(1))) {
            let first = layout.offset + row * layout.row_stride;
            if layout.column_stride == 1 {
                out.copy_from_slice(&self.storage[first * size..][..out.len()]);
                continue;
            }
            for (column, out) in out.chunks_exact_mut(size).enumerate() {
                let place = first + column * layout.column_stride;
                out.copy_from_slice(&self.storage[place * size..][..size]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn gathered_rows_are_the_values_that_strides_and_offset_point_at(
            (rows, columns) in (1u64..30, 1u64..5), (row_stride, column_stride) in (0u64..9, 0u64..9),
            offset in 0u64..5, picks in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        ) {
            let values = offset + (rows - 1) * row_stride + (columns - 1) * column_stride + 1;
            let storage: Vec<u8> = (0..values as u16).flat_map(u16::to_le_bytes).collect();
            let (shape, strides) = ([rows, columns], [row_stride, column_stride]);
            let layout = Layout::new(DType::U16, &shape, &strides, offset, values).unwrap();
            let tensor = Tensor::new(layout, storage).unwrap();
            let picks: Vec<usize> = picks.iter().map(|p| p.index(rows as usize)).collect();
            let values = |bytes: &[u8]| -> Vec<u64> {
                bytes.as_chunks().0.iter().map(|v| u64::from(u16::from_le_bytes(*v))).collect()
            };
            let of_row = |r: usize| (0..columns).map(move |c| offset + r as u64 * row_stride + c * column_stride);
            let mut out = vec![7];
            tensor.gather(picks.iter().copied(), columns as usize, &mut out);
            prop_assert_eq!(values(&out), picks.into_iter().flat_map(of_row).collect::<Vec<_>>());
            let run = rows as usize / 3..rows as usize;
            let got = values(tensor.rows(run.clone(), columns as usize, &mut out));
            prop_assert_eq!(got, run.flat_map(of_row).collect::<Vec<_>>());
            let values = offset + (rows - 1) * row_stride + (columns - 1) * column_stride + 1;
            prop_assert!(Layout::new(DType::U16, &shape, &strides, offset, values - 1).is_err());
        }
    }

    #[test]
    fn shapes_that_no_storage_can_hold_are_refused() {
        for (shape, strides) in [
            (&[1 << 60][..], &[1][..]),
            (&[1 << 60, 3], &[3, 1]),
            (&[u64::MAX, u64::MAX], &[u64::MAX, u64::MAX]),
            (&[], &[]),
            (&[1, 1, 1], &[1, 1, 1]),
            (&[2, 2], &[1]),
        ] {
            assert!(Layout::new(DType::F32, shape, strides, 0, 1000).is_err(), "{shape:?}");
        }
    }
}

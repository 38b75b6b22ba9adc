//! `samplefs demo`: a small store of real physics, the exact potential flow around bodies of
//! differing shape, laid out like ShapeNet-Car: surface pressure and normals; velocity, distance to
//! the surface and its direction in the volume.
//!
//! The samples go through `convert`'s own run and writer; only their source computes instead of
//! reading. Shapes and points come from one seeded generator: the store is the same everywhere.

mod flow;

use std::num::NonZeroU64;

use clap::Args;
use sha2::{Digest, Sha256};

use crate::convert::failure::{Attempt, Failure};
use crate::convert::recipe::Recipe;
use crate::convert::source::Source;
use crate::convert::tensor::{Layout, Tensor};
use crate::convert::{Run, Summary, run as convert};
use crate::dtype::DType;
use crate::error::{Error, ErrorKind, Result};
use crate::filemap::{FieldSpec, FileMap};
use crate::output;
use crate::store::access::Access;
use crate::store::address::Address;
use crate::store::destination;
use crate::subsample::mt19937::Mt19937;
use flow::{Ellipsoid, Vector, difference, dot, unit};

/// The FileMap whose fields the demo fills.
const FILEMAP: &str = "shapenet-car";

/// How many bodies; two to a directory.
const SAMPLES: u32 = 6;

/// Points on a body's surface.
const SURFACE: usize = 3586;

/// Points around a body.
const VOLUME: usize = 8192;

/// Small enough that a view of a few thousand points draws among several chunks.
const CHUNK: u64 = 1024;

/// Half the edges of the box in which volume points lie.
const BOX: Vector = [6.0, 3.0, 3.0];

/// Options of `demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// The store to write: a path or a URL (s3://, gs://, az://, abfs://, oci://, file://), of a place that is
    /// empty or does not exist
    store: String,
}

/// Runs the command; its exit code.
///
/// # Errors
/// A place that cannot be written or holds something else.
pub fn run(args: &DemoArgs, access: Access) -> Result<u8> {
    let store = Address::parse(&args.store)?;
    let summary = write(&store, access)?;
    output::say(format_args!("{} samples, {} points in {store}", summary.written, summary.points));
    Ok(0)
}

/// Writes the demo store to a place that is empty or does not exist.
///
/// # Errors
/// As [`convert::run`](crate::convert::run).
pub fn write(store: &Address, access: Access) -> Result<Summary> {
    let filemap = FileMap::known(FILEMAP)
        .ok_or_else(|| Error::new(ErrorKind::Internal, "the demo's FileMap is not known"))?;
    let dataset = FileMap::dataset(FILEMAP).unwrap_or_default();
    let recipe =
        Recipe { chunk_points: NonZeroU64::new(CHUNK).expect("not zero"), ..Recipe::new(dataset, filemap) };
    let store = destination::open(store, &access)?;
    convert(&Bodies::new(), &*store, &recipe, &Run { access, ..Run::default() })
}

/// Ellipsoids of car-like proportions, one a sample.
struct Bodies {
    ids: Vec<String>,
    bodies: Vec<Ellipsoid>,
}

impl Bodies {
    fn new() -> Self {
        let mut random = Random(Mt19937::new(0));
        let mut samples: Vec<_> = (0..SAMPLES)
            .map(|i| {
                let between = |low: f64, high: f64, share: f64| low + (high - low) * share;
                let axes = [
                    between(1.6, 2.6, random.share()),
                    between(0.7, 1.1, random.share()),
                    between(0.5, 0.9, random.share()),
                ];
                (format!("param{}/{}", i / 2, name(axes)), Ellipsoid { axes })
            })
            .collect();
        samples.sort_by(|(one, _), (other, _)| one.cmp(other));
        let (ids, bodies) = samples.into_iter().unzip();
        Self { ids, bodies }
    }

    /// The values of a field at each point of its domain; `None` for a field that the demo's
    /// FileMap does not have.
    fn values(&self, sample: usize, field: &FieldSpec) -> Option<Vec<f64>> {
        let body = self.bodies[sample];
        // Each domain's points come from a generator of their own: fields are computed one by one.
        let mut random = Random(Mt19937::new(1 + sample as u64));
        let each = |points: Vec<Vector>, value: &dyn Fn(Vector) -> Vec<f64>| {
            Some(points.into_iter().flat_map(value).collect())
        };
        let surface = |random: &mut Random| (0..SURFACE).map(|_| body.surface(random.direction())).collect();
        let volume = |random: &mut Random| (0..VOLUME).map(|_| random.outside(&body)).collect();
        let off = |point| difference(point, body.nearest(point));
        match (field.domain, field.name) {
            ("surface", "position") => each(surface(&mut random), &|p| p.to_vec()),
            ("surface", "normals") => each(surface(&mut random), &|p| body.normal(p).to_vec()),
            ("surface", "pressure") => {
                each(surface(&mut random), &|p| vec![Ellipsoid::pressure_coefficient(body.velocity(p))])
            }
            ("volume", "position") => each(volume(&mut random), &|p| p.to_vec()),
            ("volume", "velocity") => each(volume(&mut random), &|p| body.velocity(p).to_vec()),
            ("volume", "normals") => each(volume(&mut random), &|p| unit(off(p)).to_vec()),
            ("volume", "sdf") => each(volume(&mut random), &|p| vec![dot(off(p), off(p)).sqrt()]),
            _ => None,
        }
    }
}

/// A name like those of ShapeNet's models, from the shape.
fn name(axes: Vector) -> String {
    let bytes: Vec<u8> = axes.iter().flat_map(|axis| axis.to_le_bytes()).collect();
    Sha256::digest(bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl Source for Bodies {
    fn name(&self) -> String {
        "demo".to_owned()
    }

    fn samples(&self) -> &[String] {
        &self.ids
    }

    fn bytes(&self, _sample: usize) -> u64 {
        // Seven values a surface point, ten a volume point, float32.
        4 * (7 * SURFACE + 10 * VOLUME) as u64
    }

    fn largest(&self) -> u64 {
        (VOLUME * 3 * size_of::<f64>()) as u64
    }

    fn load(&self, sample: usize, field: &FieldSpec, mut buffer: Vec<u8>) -> Attempt<Tensor> {
        let tensor = || {
            let values = self
                .values(sample, field)
                .ok_or_else(|| Error::new(ErrorKind::Internal, "not a field of the demo"))?;
            let (columns, count) = (u64::from(field.dim), values.len() as u64);
            buffer.clear();
            buffer.extend(values.iter().flat_map(|value| (*value as f32).to_le_bytes()));
            Tensor::new(Layout::contiguous(DType::F32, &[count / columns, columns], count)?, buffer)
        };
        tensor().map_err(|e| Failure::field(field, e))
    }
}

/// Random shapes and points.
struct Random(Mt19937);

impl Random {
    /// Uniform in 0..1, 32 bits fine.
    fn share(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / 4_294_967_296.0
    }

    fn in_box(&mut self, half: Vector) -> Vector {
        half.map(|edge| edge * (2.0 * self.share() - 1.0))
    }

    /// Uniform on the unit sphere: a point of the ball's shell, pushed outwards.
    fn direction(&mut self) -> Vector {
        loop {
            let point = self.in_box([1.0; 3]);
            if (0.01..=1.0).contains(&dot(point, point)) {
                return unit(point);
            }
        }
    }

    /// Uniform in the box around a body, off its surface so that the direction away from it exists.
    fn outside(&mut self, body: &Ellipsoid) -> Vector {
        loop {
            let point = self.in_box(BOX);
            if body.is_outside(point.map(|x| x / 1.001)) {
                return point;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_filemap_has_finite_values_of_its_shape() {
        let bodies = Bodies::new();
        for (field, _) in FileMap::known(FILEMAP).unwrap().files() {
            let points = if field.domain == "surface" { SURFACE } else { VOLUME };
            for sample in 0..bodies.ids.len() {
                let values = bodies.values(sample, field).unwrap();
                assert_eq!(values.len(), points * field.dim as usize, "{}", field.canonical());
                assert!(values.iter().all(|value| value.is_finite()), "{}", field.canonical());
            }
        }
    }

    #[test]
    fn the_store_is_written_the_same_every_time_and_is_not_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let read = |name: &str| std::fs::read(directory.path().join(name)).unwrap();
        let write = |name: &str| write(&Address::Local(directory.path().join(name)), Access::default());
        for name in ["one", "other"] {
            let summary = write(name).unwrap();
            assert_eq!((summary.written, summary.skipped.len()), (6, 0));
        }
        assert_eq!(read("one/manifest.json"), read("other/manifest.json"));
        let group = format!("{}.zarr", Bodies::new().ids[0]);
        for array in ["surface/pressure", "volume/velocity"] {
            let shard = format!("{group}/{array}/c/0/0");
            assert_eq!(read(&format!("one/{shard}")), read(&format!("other/{shard}")));
        }
        assert!(write("one").is_err());
    }
}

//! Reading a field with nothing around it: what decoding itself costs, for `scripts/bench`.
//!
//! `decode_floor STORE SAMPLE FIELD THREADS RUNS` reads the field chunk by chunk, one pread, one decode and one
//! cast to float32 each, into memory that is used again, and prints the seconds of each run as a JSON list.
//! Fields are called by their canonical names; chunks must have the form that `convert` writes.

use std::error::Error;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use samplefs::catalog::FieldId;
use samplefs::dtype::DType;
use samplefs::layout::names::FileNames;
use samplefs::rows::{self, SERVED};
use samplefs::store::array::Array;
use samplefs::store::blosc::Decoder;
use samplefs::store::group::Group;
use samplefs::store::shard::ShardIndex;
use samplefs::store::{Objects, local::Local};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [store, sample, field, threads, runs] = &arguments[..] else {
        return Err("decode_floor STORE SAMPLE FIELD THREADS RUNS".into());
    };
    let objects = Local::open(Path::new(store))?;
    let array = array(&objects, sample, field)?;
    let chunks = chunks(&objects, Path::new(store), &array)?;
    let threads: usize = threads.parse()?;
    let mut seconds = Vec::new();
    for _ in 0..runs.parse()? {
        let started = Instant::now();
        std::thread::scope(|scope| {
            let work = |first| {
                scope.spawn({
                    let (chunks, array) = (&chunks, &array);
                    move || decode(array, chunks.iter().skip(first).step_by(threads))
                })
            };
            let workers: Vec<_> = (0..threads).map(work).collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("no panic"))
        })?;
        seconds.push(started.elapsed().as_secs_f64());
    }
    Ok(serde_json::to_writer(std::io::stdout(), &seconds)?)
}

fn array(objects: &dyn Objects, sample: &str, field: &str) -> Outcome<Array> {
    let layout = samplefs::layout::open(objects, &FileNames::Canonical)?.layout;
    let catalog = layout.catalog();
    let sample = catalog.samples().find(|id| catalog.id(*id) == sample).ok_or("no such sample")?;
    let field = catalog.fields.iter().position(|known| known.canonical == *field).ok_or("no such field")?;
    let wanted = layout.extent(sample, FieldId(field as u16)).array;
    Ok(Group::read(objects, &wanted.group)?.0.array(objects, &wanted)?)
}

/// Where every chunk is: the file of its shard, and its bytes there.
fn chunks(objects: &dyn Objects, root: &Path, array: &Array) -> Outcome<Vec<(File, Range<u64>)>> {
    let layout = array.shards().ok_or("not sharded")?;
    let mut found = Vec::new();
    for chunk in 0..array.chunks() {
        let place = array.place(chunk);
        let path = array.object_path(place.object);
        let mut bytes = Vec::new();
        let object = objects.read(&path, layout.part(), None, &mut bytes)?.ok_or("a shard is missing")?;
        let index = ShardIndex::parse(&bytes, layout, object.size, object.version)?;
        let ShardIndex::Present { chunks, .. } = index else { return Err("a shard is missing".into()) };
        let range = chunks[place.slot.unwrap_or(0) as usize].clone().ok_or("a chunk is missing")?;
        found.push((File::open(root.join(path))?, range));
    }
    Ok(found)
}

fn decode<'a>(array: &Array, chunks: impl Iterator<Item = &'a (File, Range<u64>)>) -> Outcome<()> {
    let mut decoder = Decoder::new().ok_or("no memory")?;
    let mut values = vec![0; array.codec.decoded_size()];
    let mut served = vec![0; values.len() / array.dtype.size() * SERVED];
    let mut encoded = Vec::new();
    for (file, range) in chunks {
        encoded.resize((range.end - range.start) as usize, 0);
        file.read_exact_at(&mut encoded, range.start)?;
        decoder.decode(&encoded, &mut values).ok_or("not the form that convert writes")?;
        if array.dtype != DType::F32 {
            rows::widen(array.dtype, &values, &mut served);
        }
    }
    Ok(())
}

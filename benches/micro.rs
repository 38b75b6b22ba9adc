//! What a read, a listing and a conversion are made of, each by itself: `cargo bench`, or
//! `cargo bench -- decode` for some.

use std::num::NonZeroU64;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use samplefs::dtype::DType;
use samplefs::format::Format;
use samplefs::read::cache::Cache;
use samplefs::read::plan::Rows;
use samplefs::rows;
use samplefs::store::blosc::{Decoder, Encoder};
use samplefs::subsample::mt19937::Mt19937;
use samplefs::subsample::randperm::{randperm, randperm_prefix};
use samplefs::subsample::{Grid, Run, ViewSpec, select};

fn main() {
    divan::main();
}

/// Rows a chunk: the default, and one for large samples.
const CHUNKS: [usize; 2] = [4_096, 16_384];

/// Three components of a smooth field, in a stored type.
fn field(rows: usize, dtype: DType) -> Vec<u8> {
    let values = (0..rows * 3).map(|i| ((i as f32 * 0.37).sin() * 30.0).round() / 8.0);
    match dtype {
        DType::F16 => values.flat_map(|value| half::f16::from_f32(value).to_le_bytes()).collect(),
        _ => values.flat_map(f32::to_le_bytes).collect(),
    }
}

#[divan::bench(args = CHUNKS)]
fn decode_float32(bencher: Bencher<'_, '_>, rows: usize) {
    decode(bencher, &field(rows, DType::F32), 4);
}

#[divan::bench(args = CHUNKS)]
fn decode_float16(bencher: Bencher<'_, '_>, rows: usize) {
    decode(bencher, &field(rows, DType::F16), 2);
}

fn decode(bencher: Bencher<'_, '_>, values: &[u8], size: u8) {
    let chunk = Encoder::default().encode(values, size, 5).to_vec();
    let mut decoder = Decoder::new().expect("memory for a context");
    let mut out = vec![0; values.len()];
    bencher
        .counter(BytesCount::new(values.len()))
        .bench_local(|| decoder.decode(black_box(&chunk), &mut out).expect("a chunk just encoded"));
}

#[divan::bench(args = CHUNKS)]
fn encode_float16(bencher: Bencher<'_, '_>, rows: usize) {
    let values = field(rows, DType::F16);
    let mut encoder = Encoder::default();
    bencher
        .counter(BytesCount::new(values.len()))
        .bench_local(|| encoder.encode(black_box(&values), 2, 5).len());
}

#[divan::bench(args = CHUNKS)]
fn widen_float16(bencher: Bencher<'_, '_>, rows: usize) {
    let values = field(rows, DType::F16);
    let mut out = vec![0; values.len() * 2];
    bencher
        .counter(BytesCount::new(out.len()))
        .bench_local(|| rows::widen(DType::F16, black_box(&values), &mut out));
}

#[divan::bench(args = CHUNKS)]
fn crc32_of_float16(bencher: Bencher<'_, '_>, rows: usize) {
    let values = field(rows, DType::F16);
    bencher
        .counter(BytesCount::new(values.len() * 2))
        .bench_local(|| rows::served_crc32(DType::F16, black_box(&values)));
}

/// The pieces of a request of 1 MiB in the middle of 1.6 million rows of three float32.
#[divan::bench]
fn plan(bencher: Bencher<'_, '_>) {
    let rows = Rows::new([Run { start: 0, len: 1_600_000 }]);
    bencher.bench_local(|| rows.pieces(black_box(9 << 20..10 << 20), 12, 16_384).count());
}

/// Which rows a view of 4,096 of 29,000 points shows.
#[divan::bench]
fn draw_a_view(bencher: Bencher<'_, '_>) {
    let chunk = NonZeroU64::new(4_096).expect("not zero");
    let grids = [Some(Grid { points: 3_600, chunk }), Some(Grid { points: 29_000, chunk })];
    let view = ViewSpec::parse("subsample_4096_7", &["surface", "volume"]).expect("a view's name");
    bencher.bench_local(|| select(black_box(&view), &grids, 1).expect("a small grid").len());
}

#[divan::bench(threads = [1, 2])]
fn cache_hit(bencher: Bencher<'_, '_>) {
    let cache = Cache::new(1 << 20);
    for key in 0..1_000u64 {
        cache.get(key, || Ok((key, 100))).map(|_| ()).expect("it loads");
    }
    bencher.bench(|| {
        let got = cache.get(black_box(500), || unreachable!("it is there"));
        got.map(|got| *got.value()).expect("a hit")
    });
}

#[divan::bench(args = [98, 29_000, 1_600_000])]
fn permute(n: u32) -> Vec<u32> {
    randperm(n, &mut Mt19937::new(7))
}

/// The first chunk of a view of many.
#[divan::bench(args = [98, 29_000, 1_600_000])]
fn permute_the_first(n: u64) -> Option<Vec<u64>> {
    randperm_prefix(n, 1, &mut Mt19937::new(7))
}

/// All but the payload of a `.pt` of 29,000 points.
#[divan::bench]
fn pt_layout(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| Format::Pt.frame(black_box(29_000), 3, DType::F16).size());
}

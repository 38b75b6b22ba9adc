//! Mutants: what a hostile or damaged file may look like, the same in every run.
//!
//! `SAMPLEFS_FUZZ_SECONDS` says how long to go on (2 where it is not set).

use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use samplefs::subsample::mt19937::Mt19937;
use serde_json::{Value, json};

/// Numbers at which lengths and offsets tend to go wrong.
pub const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 60,
    i64::MAX as u64,
    u64::MAX,
];

/// Reproducible choices.
pub struct Random(Mt19937);

impl Random {
    /// The choices of the n-th mutant.
    pub fn of(mutant: u64) -> Self {
        Self(Mt19937::new(mutant))
    }

    /// A number below a bound; 0 below 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0.next_u32() as usize % bound.max(1)
    }

    /// One of some.
    pub fn pick<'a, T>(&mut self, some: &'a [T]) -> &'a T {
        &some[self.below(some.len())]
    }

    /// A place in a file: most often near its ends, where everything but values stands.
    fn place(&mut self, length: usize) -> usize {
        match self.below(8) {
            0 => self.below(length),
            1..4 => self.below(length.min(700)),
            _ => length.saturating_sub(1 + self.below(length.min(900))),
        }
    }
}

/// Gives the number of each mutant to `try_one`, which says whether it was accepted, until the time is up.
/// No more than `memory` bytes of addresses can be had meanwhile.
pub fn run(memory: u64, mut try_one: impl FnMut(u64) -> bool) {
    let seconds = std::env::var("SAMPLEFS_FUZZ_SECONDS").map_or(2, |text| text.parse().expect("seconds"));
    let maximum = getrlimit(Resource::As).maximum;
    let current = Some(maximum.map_or(memory, |most| most.min(memory)));
    setrlimit(Resource::As, Rlimit { current, maximum }).expect("a limit can be lowered");
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut mutants, mut accepted) = (0u64, 0u64);
    while Instant::now() < until {
        accepted += u64::from(try_one(mutants));
        mutants += 1;
    }
    samplefs::output::say(format_args!("{mutants} mutants, {accepted} accepted"));
    assert!(accepted > 0 && accepted < mutants, "the mutants try nothing");
}

/// Changes some bytes, also into some of another file.
pub fn mutate(file: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let length = file.len();
    if length == 0 {
        return file.extend_from_slice(other);
    }
    let at = random.place(length);
    let end = length.min(at + 1 + random.below(40));
    match random.below(8) {
        0 => file[at] ^= 1 << random.below(8),
        1 => file[at] = random.below(256) as u8,
        2 | 3 => {
            let edge = random.pick(&EDGES).to_le_bytes();
            let width = [1, 2, 4, 8][random.below(4)].min(length - at);
            file[at..at + width].copy_from_slice(&edge[..width]);
        }
        4 => drop(file.drain(at..end)),
        5 => {
            let part = file[at..end].to_vec();
            let to = random.place(length);
            file.splice(to..to, part);
        }
        6 => {
            let from = random.place(other.len());
            let part = &other[from..other.len().min(from + 1 + random.below(300))];
            file.splice(at..end, part.iter().copied());
        }
        _ => file.truncate(at),
    }
}

/// Changes one value of a document: to an edge, to another of its values, or to nothing.
pub fn mutate_json(document: &mut Value, random: &mut Random) {
    let other = somewhere(document, random).clone();
    let at = somewhere(document, random);
    *at = match (random.below(10), &*at) {
        (0, _) => Value::Null,
        (1, _) => json!([]),
        (2, _) => json!({}),
        (3, _) => json!(-(random.below(3) as i64)),
        (4, _) => json!(1e308),
        (5, Value::String(text)) => {
            let mut bytes = text.clone().into_bytes();
            mutate(&mut bytes, b"../x/\0c/0_=,", random);
            json!(String::from_utf8_lossy(&bytes))
        }
        (6, Value::Number(number)) => {
            json!(number.as_u64().unwrap_or(0).wrapping_add(random.below(5) as u64).wrapping_sub(2))
        }
        (7, Value::Object(entries)) if !entries.is_empty() => {
            let mut entries = entries.clone();
            let name = entries.keys().nth(random.below(entries.len())).cloned().expect("it is not empty");
            entries.shift_remove(&name);
            Value::Object(entries)
        }
        (8, _) => other,
        _ => json!(random.pick(&EDGES)),
    };
}

/// Some value of a document: the document itself now and then.
fn somewhere<'a>(value: &'a mut Value, random: &mut Random) -> &'a mut Value {
    let below = match value {
        Value::Object(entries) => entries.len(),
        Value::Array(entries) => entries.len(),
        _ => 0,
    };
    if below == 0 || random.below(6) == 0 {
        return value;
    }
    let at = random.below(below);
    let next = match value {
        Value::Object(entries) => entries.values_mut().nth(at),
        other => other.get_mut(at),
    };
    somewhere(next.expect("a place below the length"), random)
}

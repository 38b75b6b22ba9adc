//! The name of a view, `subsample_<n>_<seed>` or `subsample_<domain>=<n>[,…]_<seed>`, and back.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What every view's name begins with; no sample may be called so.
pub const PREFIX: &str = "subsample_";

/// Which points a view shows: how many of each domain, drawn with which seed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ViewSpec {
    /// How many points.
    pub counts: Counts,
    /// What `torch.Generator().manual_seed` is given.
    pub seed: u64,
}

/// How many points a view shows of each domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Counts {
    /// The same number of every domain.
    Every(u64),
    /// A number for some domains, by their position in the manifest, ascending; the others are whole.
    Each(Vec<(usize, u64)>),
}

impl ViewSpec {
    /// The view of that name, among domains of these names in manifest order.
    ///
    /// There is one spelling of each view: counts from 1, seeds from 0 to 2^64 − 1, both without
    /// sign or leading zeros; domains in manifest order, each at most once. Everything else is
    /// `None`.
    pub fn parse<D: AsRef<str>>(name: &str, domains: &[D]) -> Option<Self> {
        let (counts, seed) = name.strip_prefix(PREFIX)?.rsplit_once('_')?;
        let seed = number(seed)?;
        let counts = if counts.contains('=') {
            let mut each: Vec<(usize, u64)> = Vec::new();
            for part in counts.split(',') {
                let (domain, count) = part.rsplit_once('=')?;
                let index = domains.iter().position(|d| d.as_ref() == domain)?;
                if each.last().is_some_and(|(last, _)| *last >= index) {
                    return None;
                }
                each.push((index, number(count).filter(|n| *n > 0)?));
            }
            Counts::Each(each)
        } else {
            Counts::Every(number(counts).filter(|n| *n > 0)?)
        };
        Some(Self { counts, seed })
    }

    /// How many points the view asks of a domain; `None` for all of them.
    pub fn count(&self, domain: usize) -> Option<u64> {
        match &self.counts {
            Counts::Every(n) => Some(*n),
            Counts::Each(each) => each.iter().find(|(d, _)| *d == domain).map(|(_, n)| *n),
        }
    }

    /// The view's name: what [`parse`](Self::parse) reads.
    pub fn name<'a, D: AsRef<str>>(&'a self, domains: &'a [D]) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| {
            f.write_str(PREFIX)?;
            match &self.counts {
                Counts::Every(n) => write!(f, "{n}")?,
                Counts::Each(each) => {
                    for (i, (domain, n)) in each.iter().enumerate() {
                        let comma = if i == 0 { "" } else { "," };
                        write!(f, "{comma}{}={n}", domains[*domain].as_ref())?;
                    }
                }
            }
            write!(f, "_{}", self.seed)
        })
    }
}

/// A decimal number in its only spelling.
fn number(text: &str) -> Option<u64> {
    let plain = text == "0" || !text.starts_with(['0', '+']);
    plain.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DOMAINS: [&str; 3] = ["surface", "surface_stl", "volume"];

    fn parse(name: &str) -> Option<ViewSpec> {
        ViewSpec::parse(name, &DOMAINS)
    }

    #[test]
    fn the_documented_names_are_understood() {
        let all = parse("subsample_4096_7").unwrap();
        assert_eq!(all, ViewSpec { counts: Counts::Every(4096), seed: 7 });
        let some = parse("subsample_surface=3586,volume=4096_18446744073709551615").unwrap();
        assert_eq!((some.count(0), some.count(1), some.count(2)), (Some(3586), None, Some(4096)));
        assert_eq!(some.seed, u64::MAX);
        assert_eq!(parse("subsample_surface_stl=5_0").unwrap().count(1), Some(5));
    }

    #[test]
    fn any_other_spelling_is_no_view() {
        for name in [
            "subsample_",
            "subsample_4096",
            "subsample_4096_",
            "subsample_0_1",
            "subsample_04_1",
            "subsample_4_01",
            "subsample_+4_1",
            "subsample_4_+1",
            "subsample_-4_1",
            "subsample_4_-1",
            "subsample_ 4_1",
            "subsample_4_1 ",
            "subsample_4_18446744073709551616",
            "subsample_18446744073709551616_1",
            "subsample_4_1_1",
            "subsample__1",
            "subsample_wing=4_1",
            "subsample_surface=0_1",
            "subsample_surface=_1",
            "subsample_surface=4,_1",
            "subsample_surface=4,surface=4_1",
            "subsample_volume=4,surface=4_1",
            "subsample_surface=4,5_1",
            "subsample_٤_1",
            "Subsample_4_1",
        ] {
            assert_eq!(parse(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn every_view_has_one_name_and_every_name_one_view(
            every in prop::option::of(1u64..), some in prop::collection::btree_map(0usize..3, 1u64.., 1..=3),
            seed in any::<u64>(),
        ) {
            let counts = every.map_or(Counts::Each(some.into_iter().collect()), Counts::Every);
            let view = ViewSpec { counts, seed };
            prop_assert_eq!(parse(&view.name(&DOMAINS).to_string()), Some(view));
        }

        #[test]
        fn a_name_that_is_understood_is_the_one_that_is_written(name in "subsample_[a-z=,_0-9+]{0,24}") {
            if let Some(view) = parse(&name) {
                prop_assert_eq!(view.name(&DOMAINS).to_string(), name);
            }
        }
    }
}

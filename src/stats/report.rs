//! Statistics for machines, in the reference's flat keys, and for people, as a table.

use std::fmt::Write;

use serde::{Serialize, Serializer};

use super::Totals;
use super::field::{Component, FieldMoments};

/// The reference's keys in the reference's order (`statistics_to_dict`).
pub struct Flat(Vec<(String, Entry)>);

/// What stands behind a key.
#[derive(Serialize)]
#[serde(untagged)]
enum Entry {
    /// One number a component; null where there is none.
    Numbers(Vec<Option<f64>>),
    Count(u64),
}

/// A key's ending and the statistic that it stands for.
type Statistic = (&'static str, fn(&Component) -> Option<f64>);

const STATISTICS: [Statistic; 6] = [
    ("mean", |c| c.linear.mean()),
    ("std", |c| c.linear.std()),
    ("min", |c| c.linear.min()),
    ("max", |c| c.linear.max()),
    ("logscale_mean", |c| c.logscale.mean()),
    ("logscale_std", |c| c.logscale.std()),
];

impl Flat {
    /// The keys of those fields; the bounds stand there when one of them is a position.
    pub fn of(totals: &Totals) -> Self {
        let mut entries = Vec::new();
        for (name, moments) in totals.fields() {
            for (key, of) in STATISTICS {
                let numbers = moments.components.iter().map(of).collect();
                entries.push((format!("{name}_{key}"), Entry::Numbers(numbers)));
            }
            entries.push((format!("{name}_count"), Entry::Count(moments.rows)));
            if moments.nonfinite > 0 {
                entries.push((format!("{name}_nonfinite_count"), Entry::Count(moments.nonfinite)));
            }
        }
        if let Some((min, max)) = bounds(totals) {
            entries.push(("raw_pos_min".to_owned(), Entry::Numbers(vec![Some(min)])));
            entries.push(("raw_pos_max".to_owned(), Entry::Numbers(vec![Some(max)])));
        }
        Self(entries)
    }

    /// As a `stats.yaml`: block lists, and floats in the one form that YAML 1.1 takes for floats, with
    /// a point and a signed exponent.
    pub fn yaml(&self) -> String {
        let mut text = String::new();
        for (key, entry) in &self.0 {
            match entry {
                Entry::Count(count) => _ = writeln!(text, "{key}: {count}"),
                Entry::Numbers(numbers) => {
                    _ = writeln!(text, "{key}:");
                    for number in numbers {
                        let number = number.map_or("null".to_owned(), yaml_float);
                        _ = writeln!(text, "- {number}");
                    }
                }
            }
        }
        text
    }
}

impl Serialize for Flat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, entry)| (key, entry)))
    }
}

fn yaml_float(number: f64) -> String {
    // Debug writes the shortest digits that give the same float back, with a point or an exponent.
    let text = format!("{number:?}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let point = if digits.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with('-') { "" } else { "+" };
    format!("{digits}{point}e{sign}{exponent}")
}

/// The least and the greatest coordinate of all position fields together.
fn bounds(totals: &Totals) -> Option<(f64, f64)> {
    let positions = totals.fields().filter(|(name, _)| name.ends_with("_position"));
    let components: Vec<_> = positions.flat_map(|(_, moments)| &moments.components).collect();
    let min = components.iter().filter_map(|c| c.linear.min()).reduce(f64::min)?;
    let max = components.iter().filter_map(|c| c.linear.max()).reduce(f64::max)?;
    Some((min, max))
}

/// A number with six digits that count.
fn readable(x: f64) -> String {
    match x.abs() {
        0.0 => "0".to_owned(),
        small if small < 1e-3 => format!("{x:.5e}"),
        size if size < 1e6 => format!("{x:.*}", (5.0 - size.log10().floor()) as usize),
        _ => format!("{x:.5e}"),
    }
}

/// A table for people: a line a component, then the bounds of positions.
pub fn table(totals: &Totals) -> String {
    let widest = totals.fields().map(|(name, _)| name.len()).max().unwrap_or(0).max("field".len());
    let mut text = String::new();
    _ = write!(text, "{:widest$} component", "field");
    for heading in ["mean", "std", "min", "max", "log mean", "log std", "count"] {
        _ = write!(text, " {heading:>13}");
    }
    text.push('\n');
    for (name, FieldMoments { components, .. }) in totals.fields() {
        for (index, component) in components.iter().enumerate() {
            _ = write!(text, "{name:widest$} {index:>9}");
            for (_, of) in STATISTICS {
                let number = of(component).map_or("-".to_owned(), readable);
                _ = write!(text, " {number:>13}");
            }
            _ = writeln!(text, " {:>13}", component.linear.count);
        }
    }
    if let Some((min, max)) = bounds(totals) {
        _ = writeln!(text, "positions lie between {min} and {max}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_the_table_keep_six_digits_that_count() {
        for (x, text) in [
            (0.0, "0"),
            (0.0123456789, "0.0123457"),
            (-1.23456789, "-1.23457"),
            (36.7571949, "36.7572"),
            (123456.789, "123457"),
            (1234567.89, "1.23457e6"),
            (-0.000123456789, "-1.23457e-4"),
        ] {
            assert_eq!(readable(x), text);
        }
    }

    #[test]
    fn yaml_floats_have_a_point_and_a_signed_exponent() {
        for (number, text) in [
            (1e-5, "1.0e-5"),
            (-1.25e-7, "-1.25e-7"),
            (1e30, "1.0e+30"),
            (2.5e300, "2.5e+300"),
            (3.0, "3.0"),
            (-0.5, "-0.5"),
            (123456.75, "123456.75"),
        ] {
            assert_eq!(yaml_float(number), text);
        }
    }
}

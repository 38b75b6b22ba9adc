//! The pages that say what holds, held to what there is.

use std::fs;
use std::path::Path;

/// What stands between backquotes.
fn quoted(page: &str) -> impl Iterator<Item = &str> {
    page.split('`').skip(1).step_by(2)
}

#[test]
fn every_test_that_the_semantics_name_exists() {
    let page = include_str!("../SEMANTICS.md");
    let named: Vec<_> = quoted(page).filter_map(|text| text.split_once("::")).collect();
    assert!(named.len() > 20, "the page lost its tests");
    for (file, test) in named {
        let source = fs::read_to_string(file).unwrap_or_else(|e| panic!("{file}: {e}"));
        let after = source.split_once(&format!("fn {test}(")).map(|(before, _)| before);
        let before = after.unwrap_or_else(|| panic!("{file} has no test {test}"));
        assert!(before.trim_end().ends_with("#[test]"), "{file}: {test} is no test");
    }
}

#[test]
fn every_promise_of_the_readme_stands_among_the_semantics() {
    let promises = include_str!("../README.md").split("\n## Promises\n").nth(1).unwrap();
    let promises = promises.split("\n## ").next().unwrap();
    let count = promises.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).count();
    let page = include_str!("../SEMANTICS.md");
    let rows = (1..).take_while(|number| page.contains(&format!("\n| {number} | "))).count();
    assert!(count > 5 && rows == count, "{count} promises, {rows} of them in SEMANTICS.md");
}

#[test]
fn every_limit_that_the_security_page_names_exists() {
    let page = include_str!("../SECURITY.md");
    let rows = page.lines().filter(|line| line.starts_with('|') && line.contains("`src/"));
    let mut checked = 0;
    for row in rows {
        let [.., file, constant] = quoted(row).collect::<Vec<_>>()[..] else { panic!("{row}") };
        let source = fs::read_to_string(Path::new(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert!(source.contains(&format!("const {constant}: ")), "{file} has no {constant}");
        checked += 1;
    }
    assert!(checked > 8, "the page lost its limits");
}

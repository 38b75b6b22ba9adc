//! The views in use, in a file that a process leaves to the next one that serves the same mount.
//!
//! The first line says which mount it is; every other is a view and its slot. It is written when a view
//! is first entered, so that it is there also when the process is killed.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::subsample::ViewSpec;
use crate::tree::Slot;

/// Lines that may be out of date before all is written anew, beside as many as are not.
const SLACK: usize = 1024;

/// The most bytes that a journal may have to be read.
const LIMIT: u64 = 1 << 30;

/// Views and their slots.
type Listed = Vec<(Slot, ViewSpec)>;

/// A file of views.
pub struct Journal {
    file: File,
    title: String,
    lines: usize,
}

impl Journal {
    /// A journal of no views yet, in an empty file.
    pub fn new(file: File, title: &str) -> Self {
        Self { file, title: title.to_owned(), lines: 0 }
    }

    /// Goes on with a journal, if it has that title: the journal and its views.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn resume(mut file: File, title: &str) -> io::Result<Option<(Self, Listed)>> {
        let mut text = String::new();
        file.seek(SeekFrom::Start(0))?;
        (&file).take(LIMIT).read_to_string(&mut text)?;
        let mut lines = text.lines();
        if lines.next() != Some(title) {
            return Ok(None);
        }
        // A line that was cut short is that of a view that was not yet answered.
        let views: Vec<_> = lines.filter_map(|line| serde_json::from_str(line).ok()).collect();
        let views: Vec<_> = views.into_iter().map(|(slot, spec)| (Slot(slot), spec)).collect();
        Ok(Some((Self { file, title: title.to_owned(), lines: views.len() }, views)))
    }

    /// Adds a view.
    ///
    /// # Errors
    /// No memory.
    pub fn add(&mut self, slot: Slot, spec: &ViewSpec) -> io::Result<()> {
        self.lines += 1;
        self.file.write_all(line(slot, spec).as_bytes())
    }

    /// Writes all anew when most of it is of views that are no longer in use.
    ///
    /// # Errors
    /// No memory.
    pub fn tidy<'a>(
        &mut self,
        count: usize,
        views: impl Iterator<Item = (Slot, &'a ViewSpec)>,
    ) -> io::Result<()> {
        if self.lines <= 2 * count + SLACK { Ok(()) } else { self.write(views) }
    }

    /// Leaves nothing to the next process.
    pub fn give_up(&self) {
        // When even that fails, the file has some line that was cut short, and all before it.
        _ = self.file.set_len(0);
    }

    /// Writes all anew.
    ///
    /// # Errors
    /// No memory.
    pub fn write<'a>(&mut self, views: impl Iterator<Item = (Slot, &'a ViewSpec)>) -> io::Result<()> {
        let mut text = format!("{}\n", self.title);
        self.lines = 0;
        for (slot, spec) in views {
            text += &line(slot, spec);
            self.lines += 1;
        }
        // In this order no moment is without the views that are in use.
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(text.as_bytes())?;
        self.file.set_len(text.len() as u64)
    }
}

fn line(slot: Slot, spec: &ViewSpec) -> String {
    let line = serde_json::to_string(&(slot.0, spec)).expect("numbers and lists of numbers are JSON");
    line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subsample::Counts;

    fn view(seed: u64) -> ViewSpec {
        ViewSpec { counts: Counts::Each(vec![(0, 5), (2, u64::MAX)]), seed }
    }

    #[test]
    fn a_journal_tells_the_next_process_what_it_was_told() {
        let file = tempfile::tempfile().unwrap();
        let mut journal = Journal::new(file.try_clone().unwrap(), "a title");
        journal.write(std::iter::empty()).unwrap();
        for seed in 0..3 {
            journal.add(Slot(seed + 7), &view(seed)).unwrap();
        }
        let again = || file.try_clone().unwrap();
        assert!(Journal::resume(again(), "another title").unwrap().is_none());
        let (mut journal, views) = Journal::resume(again(), "a title").unwrap().unwrap();
        assert_eq!(views, (0..3).map(|seed| (Slot(seed + 7), view(seed))).collect::<Vec<_>>());
        journal.add(Slot(1), &view(9)).unwrap();
        assert_eq!(Journal::resume(again(), "a title").unwrap().unwrap().1.len(), 4);
    }

    #[test]
    fn it_stays_small_however_many_views_come_and_go() {
        let file = tempfile::tempfile().unwrap();
        let mut journal = Journal::new(file.try_clone().unwrap(), "t");
        let kept = view(u64::MAX);
        for seed in 0..10_000 {
            journal.add(Slot(seed), &view(seed)).unwrap();
            journal.tidy(1, std::iter::once((Slot(1 << 40), &kept))).unwrap();
        }
        assert!(file.metadata().unwrap().len() < 200_000);
        let (_, views) = Journal::resume(file, "t").unwrap().unwrap();
        assert!(views.contains(&(Slot(1 << 40), kept)));
    }
}

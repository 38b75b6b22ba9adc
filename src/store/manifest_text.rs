//! A manifest read piece by piece: that of a million samples is half a gigabyte of text, which is
//! never held whole.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::RawValue;

use super::manifest::{self, Manifest, SampleEntry};
use super::{Found, Objects, Part, Wanted};
use crate::error::{Error, ErrorKind, Result};

/// Fetched at a time: on another continent few enough requests, here still in the last cache when it is parsed.
const PIECE: u64 = 8 << 20;

/// More than this is not read: the manifest of ten million samples.
const LIMIT: u64 = 4 << 30;

/// Reads the manifest of a store, but gives its samples, in their order, to `sample`, with what else
/// the manifest says as far as it is known by then: all but extensions. `None` when there is no manifest.
///
/// # Errors
/// Those of the store and of `sample`; text that is no manifest, or one of another format version.
pub fn read(
    objects: &dyn Objects,
    mut sample: impl FnMut(&Manifest, String, SampleEntry) -> Result<()>,
) -> Result<Option<(Manifest, Found)>> {
    let Some(mut text) = Text::open(objects)? else { return Ok(None) };
    let mut head = String::from("{");
    // Where the samples are when what they need to be understood comes after them.
    let mut postponed = None;
    let mut seen = false;
    text.members(&mut |text, name| {
        if name != "samples" {
            let value: Box<RawValue> = text.value()?;
            let comma = if head.len() > 1 { "," } else { "" };
            head.push_str(&format!("{comma}{}:{}", serde_json::Value::from(name), value.get()));
            return Ok(());
        }
        if std::mem::replace(&mut seen, true) {
            return Err(Error::invalid("samples stand twice"));
        }
        if let Ok(known) = Manifest::parse(format!("{head}}}").as_bytes()) {
            return text.samples(&mut |id, entry| sample(&known, id, entry));
        }
        postponed = Some(text.position());
        text.members(&mut |text, _| text.value::<IgnoredAny>().map(|_| ()))
    })?;
    text.end()?;
    head.push('}');
    let manifest = Manifest::parse(head.as_bytes())?;
    if let Some(position) = postponed {
        text.seek(position);
        text.samples(&mut |id, entry| sample(&manifest, id, entry))?;
    }
    Ok(Some((manifest, text.found)))
}

/// The text, of which a part is held.
struct Text<'a> {
    objects: &'a dyn Objects,
    found: Found,
    held: Vec<u8>,
    /// What was fetched last, kept for its memory.
    piece: Vec<u8>,
    /// Where in the object the held part ends.
    fetched: u64,
    /// How much of the held part is done with.
    at: usize,
}

impl<'a> Text<'a> {
    fn open(objects: &'a dyn Objects) -> Result<Option<Self>> {
        let mut held = Vec::new();
        // Most manifests are short: one request. Of a long one the size must be known.
        let whole = objects.read(manifest::NAME, Part::Whole { limit: PIECE }, None, &mut held);
        let found = match whole {
            Ok(found) => found,
            Err(e) if e.kind() != ErrorKind::Invalid => return Err(e),
            Err(_) => {
                let found = objects.read(manifest::NAME, Part::Last(1), None, &mut held)?;
                held.clear();
                found
            }
        };
        let Some(found) = found else { return Ok(None) };
        Part::Whole { limit: LIMIT }.of(found.size)?;
        Ok(Some(Self { objects, found, fetched: held.len() as u64, held, piece: Vec::new(), at: 0 }))
    }

    /// Where in the object the next byte is.
    fn position(&self) -> u64 {
        self.fetched - (self.held.len() - self.at) as u64
    }

    /// Goes back to a position.
    fn seek(&mut self, position: u64) {
        self.held.clear();
        (self.at, self.fetched) = (0, position);
    }

    /// Holds more of the text; false at its end.
    fn more(&mut self) -> Result<bool> {
        self.held.drain(..self.at);
        self.at = 0;
        // At least as much again, so that a value of any length is not begun anew too often.
        let end = self.found.size.min(self.fetched + PIECE.max(self.held.len() as u64));
        if end == self.fetched {
            return Ok(false);
        }
        let version = Some(&self.found.version);
        let next = end..self.found.size.min(end + PIECE);
        if !next.is_empty() {
            // A store far away brings it while this piece is parsed.
            let (path, version) = (manifest::NAME.to_owned(), version.cloned());
            self.objects.expect(&[Wanted { path, part: Part::Span(next), version, first: None }], true);
        }
        let part = Part::Span(self.fetched..end);
        if self.objects.read(manifest::NAME, part, version, &mut self.piece)?.is_none() {
            return Err(Error::invalid("it went away while it was read"));
        }
        self.held.extend_from_slice(&self.piece);
        self.fetched = end;
        Ok(true)
    }

    /// The next byte that is not white space, which is passed over.
    fn token(&mut self) -> Result<u8> {
        loop {
            let rest = &self.held[self.at..];
            if let Some(skipped) = rest.iter().position(|byte| !byte.is_ascii_whitespace()) {
                self.at += skipped + 1;
                return Ok(self.held[self.at - 1]);
            }
            self.at = self.held.len();
            if !self.more()? {
                return Err(self.wrong("EOF while parsing"));
            }
        }
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        let found = self.token()?;
        if found == byte { Ok(()) } else { Err(self.wrong(format_args!("expected {:?}", char::from(byte)))) }
    }

    /// The value that comes next.
    fn value<T: DeserializeOwned>(&mut self) -> Result<T> {
        loop {
            let mut values = serde_json::Deserializer::from_slice(&self.held[self.at..]).into_iter();
            let value = values.next();
            let length = values.byte_offset();
            match value {
                // A number that the held part ends with may go on.
                Some(Ok(value)) if self.at + length < self.held.len() => {
                    self.at += length;
                    return Ok(value);
                }
                Some(Err(e)) if !e.is_eof() => {
                    return Err(Error::invalid(format!("{e}, counted from byte {}", self.position())));
                }
                _ => {}
            }
            if !self.more()? {
                return Err(self.wrong("EOF while parsing a value"));
            }
        }
    }

    /// The members of the object that comes next: gives `each` their names, and it takes the values.
    fn members(&mut self, each: &mut dyn FnMut(&mut Self, String) -> Result<()>) -> Result<()> {
        self.expect(b'{')?;
        if self.token()? == b'}' {
            return Ok(());
        }
        self.at -= 1;
        loop {
            let name = self.value()?;
            self.expect(b':')?;
            each(self, name)?;
            match self.token()? {
                b',' => {}
                b'}' => return Ok(()),
                _ => return Err(self.wrong("expected ',' or '}'")),
            }
        }
    }

    fn samples(&mut self, each: &mut dyn FnMut(String, SampleEntry) -> Result<()>) -> Result<()> {
        self.members(&mut |text, id| {
            let entry = text.value().map_err(|e| e.within(format!("sample {id:?}")))?;
            each(id, entry)
        })
    }

    /// Nothing must follow.
    fn end(&mut self) -> Result<()> {
        match self.token() {
            Ok(_) => Err(self.wrong("text after the end")),
            Err(_) => Ok(()),
        }
    }

    fn wrong(&self, what: impl std::fmt::Display) -> Error {
        Error::invalid(format!("{what}, near byte {}", self.position()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::SystemTime;

    use super::*;
    use crate::store::{PlainFile, Version};

    /// A manifest in memory that counts the longest part asked for.
    #[derive(Default)]
    struct Memory {
        text: Vec<u8>,
        longest: AtomicU64,
    }

    impl Objects for Memory {
        fn location(&self) -> String {
            "memory".to_owned()
        }

        fn read(
            &self,
            _: &str,
            part: Part,
            _: Option<&Version>,
            buffer: &mut Vec<u8>,
        ) -> Result<Option<Found>> {
            let size = self.text.len() as u64;
            let range = part.of(size)?;
            self.longest.fetch_max(range.end - range.start, Ordering::Relaxed);
            *buffer = self.text[range.start as usize..range.end as usize].to_vec();
            Ok(Some(Found { size, version: Version::Tag("v".into()), modified: SystemTime::UNIX_EPOCH }))
        }

        fn list(&self) -> Result<Vec<PlainFile>> {
            Ok(Vec::new())
        }
    }

    /// The samples that are given out, and the rest.
    fn streamed(text: impl Into<Vec<u8>>) -> Result<(Manifest, u64)> {
        let memory = Memory { text: text.into(), ..Memory::default() };
        let mut samples = Vec::new();
        let read = read(&memory, |known, id, entry| {
            assert_eq!(known.domains.iter().count(), 2);
            samples.push((id, entry));
            Ok(())
        })?;
        let (mut manifest, _) = read.expect("it is there");
        assert_eq!(manifest.samples.iter().count(), 0);
        manifest.samples.0 = samples;
        Ok((manifest, memory.longest.into_inner()))
    }

    fn golden() -> serde_json::Value {
        serde_json::from_str(include_str!("../../tests/golden/shapenet_store/manifest.json")).unwrap()
    }

    #[test]
    fn what_is_read_in_pieces_is_what_is_read_at_once_wherever_the_samples_stand() {
        let mut json = golden();
        let samples = json.as_object_mut().unwrap().shift_remove("samples").unwrap();
        json["filemap"] = serde_json::json!({ "surface_position": "\"\\}{ä.pt" });
        for place in 0..=json.as_object().unwrap().len() {
            let mut members: Vec<_> = json.as_object().unwrap().clone().into_iter().collect();
            members.insert(place, ("samples".to_owned(), samples.clone()));
            let json: serde_json::Value = members.into_iter().collect::<serde_json::Map<_, _>>().into();
            for text in [json.to_string(), format!(" {json:#}\n")] {
                let (read, _) = streamed(text.as_str()).unwrap();
                assert_eq!(read, Manifest::parse(text.as_bytes()).unwrap());
            }
        }
    }

    #[test]
    fn a_text_longer_than_a_piece_is_never_held_whole() {
        let mut json = golden();
        let entry = json["samples"].as_object().unwrap().values().next().unwrap().clone();
        let ids = (0..60_000).map(|i| format!("some/sample {i} of \"many\""));
        json["samples"] = ids.map(|id| (id, entry.clone())).collect::<serde_json::Map<_, _>>().into();
        let text = format!("{json:#}");
        assert!(text.len() as u64 > 2 * PIECE);
        let (read, longest) = streamed(text.as_str()).unwrap();
        assert!(read == Manifest::parse(text.as_bytes()).unwrap());
        assert!(longest <= PIECE, "{longest} bytes at once");
    }

    #[test]
    fn what_is_no_manifest_is_refused_wherever_it_breaks() {
        let text = golden().to_string();
        for end in (0..text.len()).step_by(7) {
            assert!(streamed(&text[..end]).is_err(), "cut at {end}");
        }
        let twice = text.replacen("\"samples\"", "\"samples\":{},\"samples\"", 1);
        let entry = text.replacen("\"n_points\":", "\"n_points\":\"many\",\"n\":", 1);
        let more = format!("{text} {{}}");
        for (text, said) in [(twice, "samples stand twice"), (entry, "invalid type"), (more, "after the end")]
        {
            let error = streamed(text).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}

//! Objects on their way into a bucket: one request for a small one, parts for a large one, several at once
//! while the next is made.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use object_store::multipart::PartId;
use object_store::{MultipartId, PutMode, PutPayload};
use tokio::task::JoinHandle;

use super::Bucket;
use crate::error::{Error, ErrorKind, Result};
use crate::store::destination::{Batch, ObjectWriter};

/// A part of a large object, and the largest object that is put in one request. Services take parts from
/// 5 MiB on; at this size what a request costs beside its bytes is small.
const PART: u64 = 8 << 20;

/// S3 takes no more parts an object; others take more.
const PARTS: u64 = 10_000;

/// Requests of one batch at once.
const AT_ONCE: usize = 16;

/// Bytes of small objects, or of parts, that are on their way at once.
const ON_THE_WAY: u64 = 2 * PART;

/// Bytes that a batch holds at most: those and the part that is being filled.
pub const HELD: u64 = ON_THE_WAY + PART;

/// Requests under way, the oldest first, and the bytes that they hold.
pub struct Uploads<'a> {
    bucket: &'a Bucket,
    under_way: VecDeque<(u64, JoinHandle<Result<()>>)>,
    held: u64,
}

impl<'a> Uploads<'a> {
    /// None yet.
    pub fn new(bucket: &'a Bucket) -> Self {
        Self { bucket, under_way: VecDeque::new(), held: 0 }
    }

    /// Begins a request that holds so many bytes, once those before it leave room.
    fn begin(
        &mut self,
        bytes: u64,
        room: u64,
        request: impl Future<Output = Result<()>> + Send + 'static,
    ) -> Result<()> {
        while self.under_way.len() >= AT_ONCE || self.held + bytes > room {
            if !self.wait_for_oldest()? {
                break;
            }
        }
        self.held += bytes;
        self.under_way.push_back((bytes, self.bucket.runtime.spawn(request)));
        Ok(())
    }

    /// Whether there was one.
    fn wait_for_oldest(&mut self) -> Result<bool> {
        let Some((bytes, request)) = self.under_way.pop_front() else { return Ok(false) };
        self.held -= bytes;
        let ended = self.bucket.runtime.block_on(request);
        ended.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Internal, "a request ended by a defect; see the log"))
        })?;
        Ok(true)
    }
}

impl Batch for Uploads<'_> {
    fn put(&mut self, path: &str, content: Vec<u8>) -> Result<()> {
        let (requests, path) = (Arc::clone(&self.bucket.requests), path.to_owned());
        let content = PutPayload::from(content);
        self.begin(content.content_length() as u64, ON_THE_WAY, async move {
            requests.put(&path, content, &PutMode::Overwrite).await.map(|_| ())
        })
    }

    fn create(&mut self, path: &str, longest: u64) -> Result<Box<dyn ObjectWriter + '_>> {
        // Equal parts, as some services ask for.
        let part = PART.max(longest.div_ceil(PARTS)) as usize;
        let path = path.to_owned();
        Ok(Box::new(Upload { uploads: self, path, part, length: 0, buffer: Vec::new(), multipart: None }))
    }

    fn finish(&mut self) -> Result<()> {
        while self.wait_for_oldest()? {}
        Ok(())
    }
}

impl Drop for Uploads<'_> {
    /// What is given up is not sent to its end.
    fn drop(&mut self) {
        self.under_way.iter().for_each(|(_, request)| request.abort());
    }
}

/// An object of which the last part is not yet full.
struct Upload<'u, 'a> {
    uploads: &'u mut Uploads<'a>,
    path: String,
    /// Bytes a part.
    part: usize,
    /// Bytes in all parts that were put.
    length: u64,
    buffer: Vec<u8>,
    multipart: Option<Multipart>,
}

struct Multipart {
    id: MultipartId,
    /// How many parts were begun.
    count: usize,
    /// Those that are there, by number.
    parts: Arc<Mutex<Vec<Option<PartId>>>>,
}

impl Upload<'_, '_> {
    /// Sends the buffer as the next part.
    fn send_part(&mut self) -> Result<()> {
        let bucket = self.uploads.bucket;
        let multipart = match &mut self.multipart {
            Some(multipart) => multipart,
            empty => {
                let id = bucket.runtime.block_on(bucket.requests.create_multipart(&self.path))?;
                empty.insert(Multipart { id, count: 0, parts: Arc::default() })
            }
        };
        let content = PutPayload::from(std::mem::take(&mut self.buffer));
        let bytes = content.content_length() as u64;
        self.length += bytes;
        let number = multipart.count;
        multipart.count += 1;
        let (requests, path, id) = (Arc::clone(&bucket.requests), self.path.clone(), multipart.id.clone());
        let parts = Arc::clone(&multipart.parts);
        self.uploads.begin(bytes, 2 * self.part as u64, async move {
            let part = requests.put_part(&path, &id, number, content).await?;
            let mut parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
            if parts.len() <= number {
                parts.resize(number + 1, None);
            }
            parts[number] = Some(part);
            Ok(())
        })
    }

    fn complete(&mut self) -> Result<()> {
        if !self.buffer.is_empty() {
            self.send_part()?;
        }
        self.uploads.finish()?;
        let Some(multipart) = &self.multipart else { return Ok(()) };
        let parts: Vec<_> =
            std::mem::take(&mut *multipart.parts.lock().unwrap_or_else(PoisonError::into_inner));
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        let bucket = self.uploads.bucket;
        let complete = bucket.requests.complete_multipart(&self.path, &multipart.id, &parts, self.length);
        bucket.runtime.block_on(complete)?;
        self.multipart = None;
        Ok(())
    }
}

impl ObjectWriter for Upload<'_, '_> {
    fn append(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            // The last part is sent at the end, so that an object of one part is put in one request.
            if self.buffer.len() == self.part {
                self.send_part()?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.part - self.buffer.len()));
            let needed = self.buffer.len() + now.len();
            if needed > self.buffer.capacity() {
                // Doubling, but never beyond a part.
                let capacity = needed.next_power_of_two().min(self.part);
                self.buffer.reserve_exact(capacity - self.buffer.len());
            }
            self.buffer.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        if self.multipart.is_some() {
            return self.complete();
        }
        let content = std::mem::take(&mut self.buffer);
        self.uploads.put(&self.path, content)
    }
}

impl Drop for Upload<'_, '_> {
    fn drop(&mut self) {
        if let Some(Multipart { id, .. }) = &self.multipart {
            // A part that comes after the end of its upload would stay for good.
            while !self.uploads.under_way.is_empty() {
                _ = self.uploads.wait_for_oldest();
            }
            let bucket = self.uploads.bucket;
            bucket.runtime.block_on(bucket.requests.abort_multipart(&self.path, id));
        }
    }
}

//! Requests that list and change what is below a prefix of a bucket.

use std::cell::Cell;
use std::fs::File;
use std::ops::ControlFlow;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{MultipartId, PutMode, PutPayload};
use tokio::time::timeout;

use super::Bucket;
use super::request::{Failure, Requests, SLOWEST, cause, classified};
use super::upload::{self, Uploads};
use crate::error::{Error, Result};
use crate::store::destination::{Batch, Destination};
use crate::store::{Listed, Objects, Part};

/// Objects removed by one request at most, where the service can remove several.
const REMOVED: usize = 1000;

/// What cloud services can do and plain web servers cannot.
pub trait Cloud: MultipartStore + PaginatedListStore {}

impl<T: MultipartStore + PaginatedListStore> Cloud for T {}

type Outcome<T> = std::result::Result<T, Failure>;

impl Requests {
    fn cloud(&self) -> Result<&dyn Cloud> {
        self.cloud.as_deref().ok_or_else(|| {
            Error::usage(format!("{}: a web server cannot be listed or written", self.shown()))
                .hint("use a path or an object store")
        })
    }

    /// Waits for the answer to a request that brings so many bytes.
    async fn answer<T>(
        &self,
        bytes: u64,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> std::result::Result<T, Lost> {
        let time = self.silence() + Duration::from_secs(bytes / SLOWEST);
        match timeout(time, request).await {
            Ok(answer) => answer.map_err(Lost::Error),
            Err(_) => Err(Lost::Late),
        }
    }

    /// Puts an object in one request; false when `mode` forbids it.
    pub(super) async fn put(&self, path: &str, content: PutPayload, mode: &PutMode) -> Result<bool> {
        let location = self.location(path)?;
        let what = format!("write {}/{path}", self.shown());
        self.tried(&what, || self.attempt_to_put(&location, &content, mode)).await
    }

    async fn attempt_to_put(&self, location: &Path, content: &PutPayload, mode: &PutMode) -> Outcome<bool> {
        let size = content.content_length() as u64;
        let put = |mode: &PutMode| self.store.put_opts(location, content.clone(), mode.clone().into());
        match self.answer(size, put(mode)).await {
            Ok(_) => Ok(true),
            Err(Lost::Error(object_store::Error::AlreadyExists { .. })) => Ok(false),
            // Another's conditional request for the same object is being answered.
            Err(Lost::Error(e)) if *mode == PutMode::Create && cause(&e).starts_with("409") => {
                Err(Failure::Passing(cause(&e)))
            }
            // A service without conditional requests: what can be done is to look.
            Err(Lost::Error(e)) if *mode == PutMode::Create && is_not_supported(&e) => {
                if self.size(location).await?.is_some() {
                    return Ok(false);
                }
                self.answer(size, put(&PutMode::Overwrite)).await.map_err(Lost::classified)?;
                Ok(true)
            }
            Err(lost) => Err(lost.classified()),
        }
    }

    pub(super) async fn create_multipart(&self, path: &str) -> Result<MultipartId> {
        let (cloud, location) = (self.cloud()?, self.location(path)?);
        let begin =
            || async { self.answer(0, cloud.create_multipart(&location)).await.map_err(Lost::classified) };
        self.tried(&format!("begin {}/{path}", self.shown()), begin).await
    }

    pub(super) async fn put_part(
        &self,
        path: &str,
        id: &MultipartId,
        number: usize,
        content: PutPayload,
    ) -> Result<PartId> {
        let (cloud, location) = (self.cloud()?, self.location(path)?);
        let size = content.content_length() as u64;
        let put = || async {
            let request = cloud.put_part(&location, id, number, content.clone());
            self.answer(size, request).await.map_err(Lost::classified)
        };
        self.tried(&format!("write part {} of {}/{path}", number + 1, self.shown()), put).await
    }

    pub(super) async fn complete_multipart(
        &self,
        path: &str,
        id: &MultipartId,
        parts: &[PartId],
        size: u64,
    ) -> Result<()> {
        let (cloud, location) = (self.cloud()?, self.location(path)?);
        let lost_before = Cell::new(false);
        let complete = || async {
            let request = cloud.complete_multipart(&location, id, parts.to_vec());
            match self.answer(0, request).await.map_err(Lost::classified) {
                Ok(_) => Ok(()),
                // An attempt whose answer was lost may have completed it: then nobody knows the parts any more.
                Err(Failure::Final(_)) if lost_before.get() && self.size(&location).await? == Some(size) => {
                    Ok(())
                }
                Err(failure) => {
                    lost_before.set(true);
                    Err(failure)
                }
            }
        };
        self.tried(&format!("complete {}/{path}", self.shown()), complete).await
    }

    /// Gives up the parts that were put. Trying once is enough: parts are no object, and are cleared away
    /// by the bucket's own rules.
    pub(super) async fn abort_multipart(&self, path: &str, id: &MultipartId) {
        let (Ok(cloud), Ok(location)) = (self.cloud(), self.location(path)) else { return };
        if let Err(lost) = self.answer(0, cloud.abort_multipart(&location, id)).await {
            let cause = lost.cause();
            tracing::warn!("{}/{path}: parts of it are left in the bucket: {cause}", self.shown());
        }
    }

    /// A page of the names below a path.
    async fn page(&self, below: &str, token: Option<String>) -> Result<PaginatedListResult> {
        let cloud = self.cloud()?;
        let parts = [self.prefix.as_ref(), below];
        let prefix: String =
            parts.iter().filter(|part| !part.is_empty()).map(|part| format!("{part}/")).collect();
        let prefix = (!prefix.is_empty()).then_some(prefix);
        let list = || async {
            let options = PaginatedListOptions { page_token: token.clone(), ..Default::default() };
            self.answer(0, cloud.list_paginated(prefix.as_deref(), options)).await.map_err(Lost::classified)
        };
        self.tried(&format!("list {}", self.shown()), list).await
    }

    async fn remove(&self, paths: &[String]) -> Result<()> {
        let locations = paths.iter().map(|path| self.location(path)).collect::<Result<Vec<_>>>()?;
        let remove = || async {
            let locations = stream::iter(locations.clone().into_iter().map(Ok)).boxed();
            let mut removed = self.store.delete_stream(locations);
            while let Some(one) =
                self.answer(0, async { Ok(removed.next().await) }).await.map_err(Lost::classified)?
            {
                match one {
                    Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(error) => return Err(classified(error)),
                }
            }
            Ok(())
        };
        self.tried(&format!("remove objects of {}", self.shown()), remove).await
    }
}

/// Why there is no good answer.
enum Lost {
    Error(object_store::Error),
    Late,
}

impl Lost {
    fn classified(self) -> Failure {
        match self {
            Self::Error(error) => classified(error),
            Self::Late => Failure::Passing(self.cause()),
        }
    }

    fn cause(&self) -> String {
        match self {
            Self::Error(error) => cause(error),
            Self::Late => "no answer in time".to_owned(),
        }
    }
}

fn is_not_supported(error: &object_store::Error) -> bool {
    use object_store::Error as E;
    matches!(error, E::NotSupported { .. } | E::NotImplemented { .. }) || cause(error).starts_with("501")
}

impl Listed for Bucket {
    fn walk(&self, below: &str, visit: &mut dyn FnMut(&str, u64) -> ControlFlow<()>) -> Result<()> {
        let prefix = self.requests.prefix.as_ref();
        let mut token = None;
        loop {
            let page = self.runtime.block_on(self.requests.page(below, token))?;
            for object in &page.result.objects {
                let path = object.location.as_ref();
                let path = path.strip_prefix(prefix).unwrap_or(path).trim_start_matches('/');
                if visit(path, object.size).is_break() {
                    return Ok(());
                }
            }
            token = page.page_token;
            if token.is_none() {
                return Ok(());
            }
        }
    }
}

impl Destination for Bucket {
    fn location(&self) -> String {
        Objects::location(self)
    }

    fn get(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let mut content = Vec::new();
        let found = self.read(path, Part::Whole { limit: u64::MAX }, None, &mut content)?;
        Ok(found.map(|_| content))
    }

    fn exists(&self, path: &str) -> Result<bool> {
        let location = self.requests.location(path)?;
        let what = format!("look for {}/{path}", self.requests.shown());
        let size = self.requests.tried(&what, || self.requests.size(&location));
        Ok(self.runtime.block_on(size)?.is_some())
    }

    fn put(&self, path: &str, content: &[u8]) -> Result<()> {
        let content = PutPayload::from(content.to_vec());
        self.runtime.block_on(self.requests.put(path, content, &PutMode::Overwrite))?;
        Ok(())
    }

    fn put_new(&self, path: &str, content: &[u8]) -> Result<bool> {
        let payload = PutPayload::from(content.to_vec());
        if self.runtime.block_on(self.requests.put(path, payload, &PutMode::Create))? {
            return Ok(true);
        }
        // It may be ours, put by an attempt whose answer was lost.
        Ok(self.get(path)?.is_some_and(|there| there == content))
    }

    fn batch(&self) -> Box<dyn Batch + '_> {
        Box::new(Uploads::new(self))
    }

    fn batch_holds(&self) -> u64 {
        upload::HELD
    }

    /// An object that was put lasts.
    fn settle(&self) -> Result<()> {
        Ok(())
    }

    fn list(&self, below: &str, visit: &mut dyn FnMut(&str) -> ControlFlow<()>) -> Result<()> {
        self.walk(below, &mut |path, _| visit(path))
    }

    fn remove(&self, paths: &[String]) -> Result<()> {
        paths.chunks(REMOVED).try_for_each(|paths| self.runtime.block_on(self.requests.remove(paths)))
    }

    /// Buckets have no locks.
    fn lock(&self, _path: &str) -> Result<Option<File>> {
        Ok(None)
    }
}

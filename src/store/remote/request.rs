//! One request, tried until it succeeds, is refused, or its time is up.

use std::error::Error as _;
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::write::Cloud;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Found, Part, PlainFile, RELOAD, Version, manifest};

/// The first pause before a request is tried again; it doubles from one to the next.
const PAUSE: Duration = Duration::from_millis(50);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// The part of all its time that a request waits for the next bytes of one attempt: 10 s of a minute.
const ATTEMPTS: u32 = 6;

/// Bytes a second below which a body counts as stalled, though it trickles.
pub(super) const SLOWEST: u64 = 64 << 10;

/// Requests to the objects below one prefix.
pub struct Requests {
    pub(super) store: Arc<dyn ObjectStore>,
    /// The same, where more than reading can be asked of it.
    pub(super) cloud: Option<Arc<dyn Cloud>>,
    pub(super) prefix: Path,
    /// The root as a person would write it.
    shown: String,
    /// How long a request is tried.
    patience: Duration,
    /// Whether "the last so many bytes" is understood; Azure does not.
    suffixes: AtomicBool,
}

/// Bytes of an object, as they came.
pub struct Body {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Where they stand in the object.
    pub range: Range<u64>,
    /// The object.
    pub found: Found,
}

/// Why an attempt failed.
pub(super) enum Failure {
    /// Trying again cannot help.
    Final(Error),
    /// It may; what happened, in words.
    Passing(String),
}

impl Requests {
    /// Requests to a store's objects below `prefix`.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        prefix: &str,
        shown: String,
        patience: Duration,
        cloud: Option<Arc<dyn Cloud>>,
    ) -> Result<Self> {
        let prefix = Path::parse(prefix).map_err(|e| Error::usage(format!("{shown}: {e}")))?;
        Ok(Self { store, cloud, prefix, shown, patience, suffixes: AtomicBool::new(true) })
    }

    /// The root as a person would write it.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Gets a part of an object; `None` when there is no such object.
    ///
    /// # Errors
    /// As [`Objects::read`](crate::store::Objects::read); [`Unavailable`](ErrorKind::Unavailable) when
    /// the time was up, with the cause of the last attempt's failure and the number of attempts.
    pub async fn get(&self, path: &str, part: &Part, expected: Option<&Version>) -> Result<Option<Body>> {
        let location = self.location(path)?;
        let what = match part {
            Part::Whole { .. } => format!("get {}/{path}", self.shown),
            Part::Span(range) => format!("get bytes {}..{} of {}/{path}", range.start, range.end, self.shown),
            Part::Last(count) => format!("get the last {count} bytes of {}/{path}", self.shown),
        };
        self.tried(&what, || self.attempt(&location, part, expected)).await
    }

    /// The plain objects directly below the root; none where it cannot be listed.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn list(&self) -> Result<Vec<PlainFile>> {
        if self.cloud.is_none() {
            tracing::debug!("{} cannot be listed: plain files beside the manifest are not shown", self.shown);
            return Ok(Vec::new());
        }
        let listed = self.tried(&format!("list {}", self.shown), || self.attempt_to_list()).await;
        match listed {
            Err(error) if error.kind() == ErrorKind::Denied => {
                let hint = "grant the right to list the bucket to see them";
                tracing::warn!(hint, "{error}: plain files beside the manifest are not shown");
                Ok(Vec::new())
            }
            listed => listed,
        }
    }

    async fn attempt_to_list(&self) -> std::result::Result<Vec<PlainFile>, Failure> {
        // Many pages can stand behind this one call: silence on the connection ends it, not a time for all.
        let listed = self.store.list_with_delimiter(Some(&self.prefix)).await;
        let plain = |meta: ObjectMeta| {
            let name = meta.location.filename()?.to_owned();
            let found = found(&meta);
            let wanted = name != manifest::NAME && meta.location.prefix_matches(&self.prefix);
            wanted.then_some(PlainFile {
                name,
                size: found.size,
                version: found.version,
                modified: found.modified,
            })
        };
        let mut files: Vec<_> = listed.map_err(classified)?.objects.into_iter().filter_map(plain).collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// Tries until it succeeds, fails for good, or the time is up.
    pub(super) async fn tried<T, F>(&self, what: &str, attempt: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, Failure>>,
    {
        let start = Instant::now();
        let mut attempts = 0;
        loop {
            // An attempt ends by itself: it waits for no byte for ever.
            let cause = match attempt().await {
                Ok(value) => return Ok(value),
                Err(Failure::Final(error)) => return Err(error.within(format!("cannot {what}"))),
                Err(Failure::Passing(cause)) => cause,
            };
            attempts += 1;
            let pause = pause(attempts);
            if start.elapsed() + pause >= self.patience {
                let attempts =
                    if attempts == 1 { "1 attempt".to_owned() } else { format!("{attempts} attempts") };
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    format!("cannot {what}: {cause}, {attempts} in {:.1} s", start.elapsed().as_secs_f64()),
                )
                .hint("the store does not answer; reads work again as soon as it does"));
            }
            tracing::debug!(attempts, "cannot {what}: {cause}; trying again");
            sleep(pause).await;
        }
    }

    async fn attempt(
        &self,
        location: &Path,
        part: &Part,
        expected: Option<&Version>,
    ) -> std::result::Result<Option<Body>, Failure> {
        let range = match part {
            Part::Whole { .. } => None,
            Part::Span(range) => Some(GetRange::Bounded(range.clone())),
            Part::Last(count) if self.suffixes.load(Ordering::Relaxed) => Some(GetRange::Suffix(*count)),
            Part::Last(count) => match self.size(location).await? {
                Some(size) => Some(GetRange::Bounded(size.saturating_sub(*count)..size)),
                None => return Ok(None),
            },
        };
        let if_match = expected.and_then(strong).map(str::to_owned);
        let options = GetOptions { range, if_match, ..GetOptions::default() };
        let result = match self.response(location, options).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(object_store::Error::NotSupported { .. } | object_store::Error::NotImplemented { .. })
                if matches!(part, Part::Last(_)) && self.suffixes.swap(false, Ordering::Relaxed) =>
            {
                return Err(Failure::Passing("the last bytes cannot be asked for".to_owned()));
            }
            result => result.map_err(classified)?,
        };
        let found = found(&result.meta);
        if expected.is_some_and(|expected| *expected != found.version && *expected != untagged(&result.meta))
        {
            return Err(Failure::Final(changed()));
        }
        // Asked of the size that the response tells, before its body is read.
        let range = part.of(found.size).map_err(Failure::Final)?;
        if result.range != range {
            let Range { start, end } = result.range;
            return Err(Failure::Passing(format!("the answer has bytes {start}..{end}")));
        }
        let bytes = self.body(result, range.end - range.start).await?;
        Ok(Some(Body { bytes, range, found }))
    }

    /// The size of an object, by its first byte: a request that costs no more than asking for the size alone.
    pub(super) async fn size(&self, location: &Path) -> std::result::Result<Option<u64>, Failure> {
        let options = GetOptions { range: Some(GetRange::Bounded(0..1)), ..GetOptions::default() };
        match self.response(location, options).await {
            Ok(result) => Ok(Some(result.meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(classified(error)),
        }
    }

    /// The head of a response.
    async fn response(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        let late = || object_store::Error::Generic { store: "", source: "no answer in time".into() };
        timeout(self.silence(), self.store.get_opts(location, options)).await.unwrap_or_else(|_| Err(late()))
    }

    /// Reads a body of `size` bytes, which the caller has found plausible.
    async fn body(&self, result: GetResult, size: u64) -> std::result::Result<Vec<u8>, Failure> {
        // Room is made as bytes come: a size is only a claim until then.
        const AT_ONCE: u64 = 16 << 20;
        let stalls = |_| Failure::Passing("the answer stalls".to_owned());
        let deadline = Instant::now() + self.silence() + Duration::from_secs(size / SLOWEST);
        let mut bytes = Vec::with_capacity(size.min(AT_ONCE) as usize);
        let mut stream = result.into_stream().map_err(classified);
        loop {
            let silent = deadline.min(Instant::now() + self.silence());
            let Some(part) = timeout_at(silent, stream.next()).await.map_err(stalls)? else { break };
            let part = part?;
            if (bytes.len() + part.len()) as u64 > size {
                return Err(Failure::Passing(format!("the answer has more than {size} bytes")));
            }
            bytes.extend_from_slice(&part);
        }
        if bytes.len() as u64 == size {
            Ok(bytes)
        } else {
            Err(Failure::Passing(format!("the answer has {} of {size} bytes", bytes.len())))
        }
    }

    pub(super) fn silence(&self) -> Duration {
        self.patience / ATTEMPTS
    }

    pub(super) fn location(&self, path: &str) -> Result<Path> {
        let full =
            if self.prefix.as_ref().is_empty() { path.to_owned() } else { format!("{}/{path}", self.prefix) };
        Path::parse(full).map_err(|e| Error::invalid(format!("{path:?} is no name of an object: {e}")))
    }
}

/// What an error of the store means to us.
pub(super) fn classified(error: object_store::Error) -> Failure {
    use object_store::Error as E;
    let cause = cause(&error);
    match error {
        E::NotFound { .. } => Failure::Final(Error::new(ErrorKind::NotFound, cause)),
        E::Precondition { .. } | E::NotModified { .. } => Failure::Final(changed()),
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => Failure::Final(denied(cause)),
        E::Generic { .. } | E::JoinError { .. } => match status(&cause) {
            Some(416) => Failure::Final(
                Error::invalid("the object is shorter than it should be")
                    .hint("the object is truncated: restore or convert the sample anew"),
            ),
            Some(301 | 307 | 400) => Failure::Final(
                denied(cause)
                    .hint("check --region, --endpoint-url and the credentials: the server refuses them"),
            ),
            Some(code) if code < 500 && code != 408 && code != 429 => Failure::Final(denied(cause)),
            _ if cause.contains("non-partial response") => Failure::Final(
                Error::new(ErrorKind::Unavailable, "the server does not answer requests for parts of a file")
                    .hint("serve the store from a web server that supports Range, or from an object store"),
            ),
            _ => Failure::Passing(cause),
        },
        _ => Failure::Final(Error::new(ErrorKind::Unavailable, cause)),
    }
}

fn denied(cause: String) -> Error {
    let hint = if cause.contains("ExpiredToken") || cause.contains("expired") {
        "the credentials have expired: renew them"
    } else if cause.contains("SignatureDoesNotMatch") || cause.contains("InvalidAccessKeyId") {
        "the access key or its secret is wrong"
    } else {
        "check the credentials, the bucket's name and its policy; S3 also answers so for an object that does not \
         exist where listing is not granted"
    };
    Error::new(ErrorKind::Denied, cause).hint(hint)
}

fn changed() -> Error {
    Error::new(ErrorKind::Changed, "it changed since it was first read").hint(RELOAD)
}

/// What went wrong, in words that hold no address: addresses can be signed.
///
/// object_store's own text for a failed request names its URL; that of its source does not.
pub(super) fn cause(error: &object_store::Error) -> String {
    let Some(outer) = error.source() else { return "it failed".to_owned() };
    let mut inner = outer.source().unwrap_or(outer);
    let text = inner.to_string();
    if let Some(start) = text.find("status code: ") {
        let status = &text[start + "status code: ".len()..];
        let (status, body) = status.split_once(": ").unwrap_or((status, ""));
        let said = [tag(body, "Code"), tag(body, "Message")];
        let said: Vec<_> = said.into_iter().flatten().collect();
        return if said.is_empty() { status.to_owned() } else { format!("{status} ({})", said.join(": ")) };
    }
    // The innermost cause is the one that people know: "connection refused", "unknown issuer".
    while let Some(deeper) = inner.source() {
        inner = deeper;
    }
    inner.to_string()
}

/// The text of an element of a server's answer, cut to a sane length.
fn tag<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    const LONGEST: usize = 200;
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once("</")?;
    Some(text.char_indices().nth(LONGEST).map_or(text, |(end, _)| &text[..end]))
}

/// The status code with which a cause begins.
fn status(cause: &str) -> Option<u16> {
    cause.get(..3)?.parse().ok()
}

/// A pause before the next attempt: doubling, and somewhere between half of it and all of it, so that
/// many readers do not come back together.
fn pause(attempts: u32) -> Duration {
    let longest = PAUSE.saturating_mul(1 << attempts.min(10)).min(LONGEST_PAUSE);
    let random = RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64;
    longest.mul_f64(0.5 + random / 2.0)
}

fn found(meta: &ObjectMeta) -> Found {
    let modified = SystemTime::from(meta.last_modified);
    let version = meta.e_tag.as_ref().map_or_else(|| untagged(meta), |tag| Version::Tag(tag.as_str().into()));
    Found { size: meta.size, version, modified }
}

/// As much of an identity as a web server or a listing without tags tells. Seconds are all that the
/// answer to a request has of what a listing tells more exactly.
fn untagged(meta: &ObjectMeta) -> Version {
    Version::Tag(format!("{}/{}", meta.last_modified.timestamp(), meta.size).into())
}

/// The tag, where it can be asked to match: a weak one never does (RFC 9110, 13.1.1).
fn strong(version: &Version) -> Option<&str> {
    match version {
        Version::Tag(tag) if tag.starts_with('"') => Some(tag),
        _ => None,
    }
}

//! Where a store is: what was typed, taken apart.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Error, Result};

/// The schemes that are known, for messages.
const SCHEMES: &str = "a path, file://, s3://, gs://, az://, abfs://, oci:// or http(s)://";

/// The place of a store or of a tree of sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A directory of this machine.
    Local(PathBuf),
    /// Objects below a prefix, in a cloud or behind a web server.
    Remote(Remote),
}

/// A prefix of objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Who keeps them.
    pub service: Service,
    /// The path of the root there, without slashes around it; empty for all of it.
    pub prefix: String,
}

/// Who keeps objects, and in which container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// `s3://bucket/prefix`: Amazon S3 and what speaks like it.
    S3 {
        /// The bucket.
        bucket: String,
    },
    /// `gs://bucket/prefix`: Google Cloud Storage.
    Gcs {
        /// The bucket.
        bucket: String,
    },
    /// `az://container/prefix`, `abfs://container@account.dfs.core.windows.net/prefix`: Azure.
    Azure {
        /// The container.
        container: String,
        /// The account and its domain, where the address names them.
        account: Option<String>,
    },
    /// `oci://bucket@namespace/prefix`: Oracle's S3-compatible endpoint.
    Oci {
        /// The bucket.
        bucket: String,
        /// The tenancy's namespace.
        namespace: String,
    },
    /// `https://host/prefix`: any web server that answers ranges. Read only.
    Http {
        /// Scheme, host and port; who logs in by `user:password@` has them here.
        origin: String,
    },
}

impl Address {
    /// Takes apart what was typed.
    ///
    /// # Errors
    /// A scheme that is not known, a part that is missing. What could be a secret is not repeated.
    pub fn parse(typed: &str) -> Result<Self> {
        let Some((scheme, rest)) = typed.split_once("://") else {
            return Ok(Self::Local(typed.into()));
        };
        if scheme == "file" {
            return match rest.strip_prefix("localhost").unwrap_or(rest) {
                path if path.starts_with('/') => Ok(Self::Local(path.into())),
                _ => Err(Error::usage(format!("{typed}: a file URL is file:// and an absolute path"))),
            };
        }
        let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/').to_owned();
        let malformed = |form: &str| Error::usage(format!("{scheme}://… is not of the form {form}"));
        let named = |name: &str, form| {
            if name.is_empty() || name.contains(['@', ':']) {
                Err(malformed(form))
            } else {
                Ok(name.to_owned())
            }
        };
        let service = match scheme {
            "s3" | "s3a" => Service::S3 { bucket: named(authority, "s3://bucket/prefix")? },
            "gs" | "gcs" => Service::Gcs { bucket: named(authority, "gs://bucket/prefix")? },
            "az" | "azure" | "abfs" | "abfss" => {
                let (container, account) = match authority.split_once('@') {
                    Some((container, account)) => (container, Some(account.to_owned())),
                    None => (authority, None),
                };
                let form = "az://container/prefix or abfs://container@account.dfs.core.windows.net/prefix";
                Service::Azure { container: named(container, form)?, account }
            }
            "oci" => {
                let form = "oci://bucket@namespace/prefix";
                let (bucket, namespace) = authority.split_once('@').ok_or_else(|| malformed(form))?;
                Service::Oci { bucket: named(bucket, form)?, namespace: named(namespace, form)? }
            }
            "http" | "https" => {
                if authority.is_empty() {
                    return Err(malformed("https://host/prefix"));
                }
                if prefix.contains(['?', '#']) {
                    return Err(Error::usage(format!(
                        "{scheme}://…: a query cannot be part of a store's address"
                    ))
                    .hint("a signed address opens one object; a store is many"));
                }
                Service::Http { origin: format!("{scheme}://{authority}") }
            }
            _ => {
                return Err(Error::usage(format!("stores at {scheme}:// are not supported"))
                    .hint(format!("a store is {SCHEMES}")));
            }
        };
        Ok(Self::Remote(Remote { service, prefix }))
    }

    /// The last name in it: that of the directory, or of the bucket.
    pub fn name(&self) -> String {
        match self {
            Self::Local(path) => {
                let path = path.canonicalize().unwrap_or_else(|_| path.clone());
                path.file_name().unwrap_or_default().to_string_lossy().into_owned()
            }
            Self::Remote(remote) => remote.to_string().rsplit('/').next().unwrap_or_default().to_owned(),
        }
    }
}

impl From<PathBuf> for Address {
    fn from(path: PathBuf) -> Self {
        Self::Local(path)
    }
}

/// As a person would write it, without a password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            Self::Remote(remote) => remote.fmt(f),
        }
    }
}

/// As a person would write it, without a password.
impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.service {
            Service::S3 { bucket } => write!(f, "s3://{bucket}")?,
            Service::Gcs { bucket } => write!(f, "gs://{bucket}")?,
            Service::Azure { container, account: None } => write!(f, "az://{container}")?,
            Service::Azure { container, account: Some(account) } => {
                write!(f, "abfs://{container}@{account}")?;
            }
            Service::Oci { bucket, namespace } => write!(f, "oci://{bucket}@{namespace}")?,
            Service::Http { origin } => {
                let (scheme, authority) = origin.split_once("://").unwrap_or(("http", origin));
                let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
                write!(f, "{scheme}://{host}")?;
            }
        }
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(typed: &str) -> Remote {
        match Address::parse(typed).unwrap() {
            Address::Remote(remote) => remote,
            Address::Local(path) => panic!("{typed} is {path:?}"),
        }
    }

    #[test]
    fn paths_and_file_urls_are_local() {
        for (typed, path) in
            [("store", "store"), ("/a/b", "/a/b"), ("file:///a", "/a"), ("file://localhost/a", "/a")]
        {
            assert_eq!(Address::parse(typed).unwrap(), Address::Local(path.into()), "{typed}");
        }
        assert!(Address::parse("file://a").is_err());
    }

    #[test]
    fn urls_are_taken_apart_and_written_as_they_were_typed() {
        let s3 = remote("s3://bucket/a prefix/b%20c/");
        assert_eq!(s3.service, Service::S3 { bucket: "bucket".into() });
        assert_eq!(s3.prefix, "a prefix/b%20c");
        for typed in [
            "s3://bucket/a/b",
            "s3://bucket",
            "gs://bucket/a",
            "az://container/a",
            "abfs://container@account.dfs.core.windows.net/a",
            "oci://bucket@namespace/a",
            "https://host:8443/a/b",
            "http://127.0.0.1:9000/a",
        ] {
            assert_eq!(remote(typed).to_string(), typed);
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        assert_eq!(remote("https://me:hunter2@host/store").to_string(), "https://host/store");
        for typed in ["s3://key:hunter2@bucket/a", "https://host/a?sig=hunter2", "ftp://me:hunter2@host/a"] {
            let error = Address::parse(typed).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn addresses_that_lack_a_part_are_refused_with_the_form() {
        for (typed, form) in [
            ("s3:///a", "s3://bucket"),
            ("oci://bucket/a", "bucket@namespace"),
            ("http:///a", "https://host"),
        ] {
            let error = Address::parse(typed).unwrap_err();
            assert!(error.to_string().contains(form), "{error}");
        }
    }
}

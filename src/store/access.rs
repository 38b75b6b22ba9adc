//! How to reach a store that is not on this machine: what was typed and what the environment says.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How long a request is tried, unless told otherwise.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Variables of the environment that are looked at, by how their names begin.
pub const PREFIXES: [&str; 5] = ["AWS_", "GOOGLE_", "AZURE_", "OCI_", "HOME"];

/// Endpoint, credentials and patience.
#[derive(Clone)]
pub struct Access {
    /// The server to use instead of the cloud's own.
    pub endpoint: Option<String>,
    /// The bucket's region.
    pub region: Option<String>,
    /// The profile of `~/.aws` to use.
    pub profile: Option<String>,
    /// Send requests unsigned.
    pub anonymous: bool,
    /// Put the bucket into the path, not the host name.
    pub path_style: bool,
    /// Allow requests without TLS.
    pub allow_http: bool,
    /// Certificates to trust beside the system's, in PEM.
    pub ca_bundle: Option<PathBuf>,
    /// How long a request is tried before it fails.
    pub patience: Duration,
    /// Bytes that may be held ahead of their readers.
    pub ahead_budget: u64,
    /// The variables that clouds' own tools read.
    pub environment: BTreeMap<String, String>,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: None,
            profile: None,
            anonymous: false,
            path_style: false,
            allow_http: false,
            ca_bundle: None,
            patience: PATIENCE,
            ahead_budget: 64 << 20,
            environment: BTreeMap::new(),
        }
    }
}

impl Access {
    /// A variable of the environment that is set and not empty.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// Without the environment: it holds secrets.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, region, profile, anonymous, path_style, allow_http, ca_bundle, .. } = self;
        f.debug_struct("Access")
            .field("endpoint", endpoint)
            .field("region", region)
            .field("profile", profile)
            .field("anonymous", anonymous)
            .field("path_style", path_style)
            .field("allow_http", allow_http)
            .field("ca_bundle", ca_bundle)
            .finish_non_exhaustive()
    }
}

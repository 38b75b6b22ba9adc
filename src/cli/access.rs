//! How to reach a store that is not on this machine, as options of every command that takes one.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::store::access;

/// Options for stores in object storage and on web servers.
#[derive(Debug, Args)]
#[command(next_help_heading = "Remote stores")]
pub struct AccessArgs {
    /// The server of an S3-compatible store, of an emulator, or of another endpoint of the cloud.
    #[arg(long, value_name = "URL")]
    pub endpoint_url: Option<String>,

    /// The bucket's region. [default: AWS_REGION, the profile's, or what the bucket says]
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,

    /// The profile of ~/.aws/config and ~/.aws/credentials to use. [default: AWS_PROFILE]
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,

    /// Send requests without credentials, to public stores.
    #[arg(long)]
    pub no_sign_request: bool,

    /// Put the bucket's name into the path of requests, not into the host name.
    #[arg(long)]
    pub force_path_style: bool,

    /// Allow an endpoint without TLS.
    #[arg(long)]
    pub allow_http: bool,

    /// Trust the certificates in this PEM file too.
    #[arg(long, value_name = "FILE")]
    pub ca_bundle: Option<PathBuf>,

    /// Try a failing request again for so many seconds before the read fails.
    #[arg(long, value_name = "SECONDS", default_value_t = access::PATIENCE.as_secs(),
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub retry_timeout: u64,
}

impl AccessArgs {
    /// How long a failing request is tried.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.retry_timeout)
    }
}

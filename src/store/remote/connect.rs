//! From an address and what is known of credentials to a client of the service.
//!
//! Every variable that object_store knows is handed on under its own name, so that what works with
//! the clouds' own tools works here.

use std::fs;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, resolve_bucket_region};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::{Certificate, ClientOptions, ObjectStore, RetryConfig};

use super::profile::Profile;
use super::request::{Requests, cause};
use super::write::Cloud;
use crate::error::{Error, ErrorKind, Result};
use crate::store::access::Access;
use crate::store::address::{Remote, Service};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// Connections kept open for the next request.
const IDLE: usize = 96;

/// Makes the client. Sends nothing, but for a bucket of S3 of which nobody told the region.
///
/// # Errors
/// Options or credentials that cannot be used; what is missing is named.
pub async fn connect(address: &Remote, access: &Access) -> Result<Requests> {
    let shown = address.to_string();
    let within = |e: Error| e.within(&shown);
    let options = client(access).map_err(within)?;
    let (store, cloud) = match &address.service {
        Service::S3 { bucket } => both(s3(bucket, access, options).await.map_err(within)?),
        Service::Oci { bucket, namespace } => {
            let access = oracle(namespace, access).map_err(within)?;
            both(s3(bucket, &access, options).await.map_err(within)?)
        }
        Service::Gcs { bucket } => both(gcs(bucket, access, options).map_err(within)?),
        Service::Azure { container, account } => {
            both(azure(container, account.as_deref(), access, options).map_err(within)?)
        }
        Service::Http { origin } => {
            let options = if origin.starts_with("http://") { options.with_allow_http(true) } else { options };
            let builder = HttpBuilder::new().with_url(origin).with_client_options(options).with_retry(once());
            // A listing would be WebDAV's, which few web servers speak.
            let store: Arc<dyn ObjectStore> = Arc::new(builder.build().map_err(refused).map_err(within)?);
            (store, None)
        }
    };
    Requests::new(store, &address.prefix, shown, access.patience, cloud)
}

/// A client as what reads and as what lists and writes.
fn both<C: ObjectStore + Cloud>(client: C) -> (Arc<dyn ObjectStore>, Option<Arc<dyn Cloud>>) {
    let client = Arc::new(client);
    (Arc::clone(&client) as Arc<dyn ObjectStore>, Some(client))
}

/// Trying again is ours: with one deadline, and a count of the attempts.
fn once() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

fn client(access: &Access) -> Result<ClientOptions> {
    let endpoint = access.endpoint.as_deref().unwrap_or_default();
    if endpoint.starts_with("http://") && !access.allow_http {
        return Err(Error::usage("the endpoint is http://, without TLS")
            .hint("add --allow-http if its network can be trusted, or use https://"));
    }
    let mut options = ClientOptions::new()
        .with_allow_http(access.allow_http)
        .with_connect_timeout(CONNECT)
        // A request's bytes have their own deadline: one for all would end large ones on slow links.
        .with_timeout_disabled()
        .with_pool_max_idle_per_host(IDLE);
    let bundle = access.ca_bundle.clone().or_else(|| access.variable("AWS_CA_BUNDLE").map(Into::into));
    if let Some(path) = bundle {
        let named = |e: &dyn std::fmt::Display| Error::usage(format!("CA bundle {}: {e}", path.display()));
        let pem = fs::read(&path).map_err(|e| named(&e))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|e| named(&cause(&e)))?;
        if certificates.is_empty() {
            return Err(named(&"it holds no certificate in PEM"));
        }
        options = certificates.into_iter().fold(options, ClientOptions::with_root_certificate);
    }
    Ok(options)
}

/// The variables with a prefix, under the names that a builder knows; others are not for it.
fn variables<K: FromStr>(access: &Access, prefix: &str) -> impl Iterator<Item = (K, String)> {
    let known =
        access.environment.iter().filter(move |(name, value)| name.starts_with(prefix) && !value.is_empty());
    known.filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value.clone())))
}

async fn s3(bucket: &str, access: &Access, options: ClientOptions) -> Result<object_store::aws::AmazonS3> {
    let mut builder = AmazonS3Builder::new().with_client_options(options.clone()).with_retry(once());
    for (key, value) in variables(access, "AWS_") {
        builder = builder.with_config(key, value);
    }
    builder = builder.with_bucket_name(bucket);

    let profile = Profile::load(access)?;
    let own = ["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE"]
        .iter()
        .any(|name| access.variable(name).is_some());
    if access.anonymous {
        builder = builder.with_skip_signature(true);
    } else if let Some(profile) = profile.as_ref().filter(|_| access.profile.is_some() || !own)
        && let Some(credentials) = profile.credentials()?
    {
        builder = builder.with_credentials(credentials);
    }

    let said = |option: &Option<String>, names: &[&str], key: &str| {
        let variable = || names.iter().find_map(|name| access.variable(name)).map(str::to_owned);
        option.clone().or_else(variable).or_else(|| profile.as_ref()?.setting(key))
    };
    let endpoint =
        said(&access.endpoint, &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"], "endpoint_url");
    let region = said(&access.region, &["AWS_REGION", "AWS_DEFAULT_REGION"], "region");
    match (&region, &endpoint) {
        (Some(region), _) => builder = builder.with_region(region),
        // Servers of one's own take any.
        (None, Some(_)) => {}
        (None, None) => {
            let found = resolve_bucket_region(bucket, &options).await.map_err(|e| {
                Error::usage(format!("no region is known, and asking for the bucket's failed: {}", cause(&e)))
                    .hint("give --region, AWS_REGION or a profile with a region, and check the bucket's name")
            })?;
            tracing::debug!("the bucket is in {found}");
            builder = builder.with_region(found);
        }
    }
    match endpoint {
        Some(endpoint) => builder = builder.with_endpoint(endpoint),
        // A dot in the name does not fit the certificate of the bucket's own host.
        None if !access.path_style && !bucket.contains('.') => {
            builder = builder.with_virtual_hosted_style_request(true);
        }
        None => {}
    }
    builder.build().map_err(refused)
}

/// Oracle's S3-compatible endpoint of a tenancy.
fn oracle(namespace: &str, access: &Access) -> Result<Access> {
    let names = ["OCI_REGION", "OCI_CLI_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"];
    let region = access.region.as_deref().or_else(|| names.iter().find_map(|name| access.variable(name)));
    let region = region.ok_or_else(|| {
        Error::usage("no region is known").hint("give --region or OCI_REGION, such as eu-frankfurt-1")
    })?;
    let own = format!("https://{namespace}.compat.objectstorage.{region}.oraclecloud.com");
    Ok(Access {
        endpoint: Some(access.endpoint.clone().unwrap_or(own)),
        region: Some(region.to_owned()),
        path_style: true,
        ..access.clone()
    })
}

fn gcs(
    bucket: &str,
    access: &Access,
    options: ClientOptions,
) -> Result<object_store::gcp::GoogleCloudStorage> {
    let mut builder = GoogleCloudStorageBuilder::new().with_client_options(options).with_retry(once());
    for (key, value) in variables(access, "GOOGLE_") {
        builder = builder.with_config(key, value);
    }
    if let Some(endpoint) = &access.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    builder.with_bucket_name(bucket).with_skip_signature(access.anonymous).build().map_err(refused)
}

fn azure(
    container: &str,
    account: Option<&str>,
    access: &Access,
    options: ClientOptions,
) -> Result<object_store::azure::MicrosoftAzure> {
    let mut builder = MicrosoftAzureBuilder::new().with_client_options(options).with_retry(once());
    for (key, value) in variables(access, "AZURE_") {
        builder = builder.with_config(key, value);
    }
    if let Some(account) = account {
        builder = builder.with_account(account.split_once('.').map_or(account, |(account, _)| account));
    }
    if let Some(endpoint) = &access.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    if access.anonymous {
        builder = builder.with_skip_signature(true);
    }
    builder.with_container_name(container).build().map_err(refused)
}

/// A client that could not be made: something is missing or malformed.
fn refused(error: object_store::Error) -> Error {
    let cause = cause(&error);
    let hint = if cause.contains("ccount") {
        "set AZURE_STORAGE_ACCOUNT_NAME, or write abfs://container@account.dfs.core.windows.net/prefix"
    } else {
        "the README tells which variables each service reads"
    };
    Error::new(ErrorKind::Usage, cause).hint(hint)
}

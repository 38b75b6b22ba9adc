//! A real S3 server on loopback, in this process: signatures are checked, objects are files of a directory.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tempfile::TempDir;

/// The one key that the server knows, and its secret.
pub const KEY: &str = "samplefs-test-key";
/// The secret of [`KEY`]: planted to be looked for where no secret may be.
pub const SECRET: &str = "samplefs-test-secret-that-must-not-be-seen";

/// The bucket that there is.
pub const BUCKET: &str = "bucket";

/// A server, which ends with the test's process.
pub struct Server {
    dir: TempDir,
    address: String,
}

impl Server {
    /// Starts a server with an empty bucket.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(BUCKET)).unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(dir.path()).unwrap());
        service.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = service.build();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        std::thread::spawn(move || {
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((connection, _)) = listener.accept().await {
                    // Without it every small answer waits for the client's delayed acknowledgement.
                    connection.set_nodelay(true).unwrap();
                    let service = service.clone();
                    tokio::spawn(async move {
                        let http = Builder::new(TokioExecutor::new());
                        // A client may leave at any time.
                        _ = http.serve_connection(TokioIo::new(connection), service).await;
                    });
                }
            });
        });
        Self { dir, address }
    }

    /// Where it listens: host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The directory of the bucket's objects.
    pub fn bucket(&self) -> PathBuf {
        self.dir.path().join(BUCKET)
    }

    /// Puts all files of a directory below a prefix of the bucket; the address of that prefix.
    pub fn put(&self, prefix: &str, from: &Path) -> String {
        super::copy_tree(from, &self.bucket().join(prefix));
        format!("s3://{BUCKET}/{prefix}")
    }
}

/// Options that reach a server at that address.
pub fn options(address: &str) -> Vec<String> {
    vec![
        format!("--endpoint-url=http://{address}"),
        "--allow-http".to_owned(),
        "--region=us-east-1".to_owned(),
    ]
}

/// The environment with the key, and nothing of the machine's own.
pub fn environment() -> [(&'static str, &'static str); 5] {
    [
        ("AWS_ACCESS_KEY_ID", KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_CONFIG_FILE", "/nonexistent"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]
}

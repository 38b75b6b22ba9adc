//! A web server on loopback for the files of a directory: ranges, entity tags, If-Match, nothing else.
//! Fast enough to be measured against, which servers that hash what they send are not.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// A server, which ends with its process.
pub struct Server {
    address: String,
    shared: Arc<Shared>,
}

struct Shared {
    root: PathBuf,
    delay: Duration,
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Server {
    /// Serves a directory, each request so late.
    pub fn new(root: &Path, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (requests, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        let shared = Arc::new(Shared { root: root.to_owned(), delay, requests, bytes });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                let shared = Arc::clone(&accepting);
                // A client that leaves in the middle ends its thread.
                thread::spawn(move || _ = serve(&shared, client.unwrap()));
            }
        });
        Self { address, shared }
    }

    /// Where it listens: host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Bytes of bodies sent so far.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }
}

fn serve(shared: &Shared, client: TcpStream) -> std::io::Result<()> {
    // Without it every small answer waits for the client's delayed acknowledgement.
    client.set_nodelay(true)?;
    let mut answers = client.try_clone()?;
    let mut requests = BufReader::new(client);
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if requests.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            head.push(line.trim_end().to_owned());
        }
        shared.requests.fetch_add(1, Ordering::Relaxed);
        thread::sleep(shared.delay);
        let field = |name: &str| {
            let fields = head.iter().filter_map(|line| line.split_once(':'));
            fields
                .into_iter()
                .find(|(found, _)| found.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim())
        };
        let target = head[0].split_whitespace().nth(1).unwrap_or("/");
        let path = target.split('?').next().unwrap_or(target).trim_start_matches('/');
        let file = File::open(inside(&shared.root, path));
        let Some((file, meta)) = file.ok().and_then(|file| file.metadata().ok().map(|meta| (file, meta)))
        else {
            answers.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")?;
            continue;
        };
        let tag = format!("\"{:x}-{:x}-{:x}\"", meta.ino(), meta.mtime_nsec(), meta.len());
        if !meta.is_file() || field("if-match").is_some_and(|wanted| wanted != tag) {
            answers.write_all(b"HTTP/1.1 412 Precondition Failed\r\ncontent-length: 0\r\n\r\n")?;
            continue;
        }
        let size = meta.len();
        let (status, range) = match field("range").map(|text| range(text, size)) {
            None => ("200 OK", 0..size),
            Some(Some(range)) => ("206 Partial Content", range),
            Some(None) => {
                answers.write_all(b"HTTP/1.1 416 Range Not Satisfiable\r\ncontent-length: 0\r\n\r\n")?;
                continue;
            }
        };
        let mut bytes = vec![0; (range.end - range.start) as usize];
        file.read_exact_at(&mut bytes, range.start)?;
        write!(
            answers,
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\netag: {tag}\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
             content-range: bytes {}-{}/{size}\r\n\r\n",
            bytes.len(),
            range.start,
            range.end.saturating_sub(1),
        )?;
        answers.write_all(&bytes)?;
        shared.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if head[0].ends_with("HTTP/1.0") {
            return Ok(());
        }
    }
}

/// The path below the root; what would lead out leads nowhere.
fn inside(root: &Path, path: &str) -> PathBuf {
    let path = Path::new(path);
    if path.components().all(|part| matches!(part, Component::Normal(_))) {
        fs::canonicalize(root.join(path)).unwrap_or_default()
    } else {
        PathBuf::new()
    }
}

fn range(text: &str, size: u64) -> Option<Range<u64>> {
    let (start, end) = text.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (start, end) {
        ("", last) => size.saturating_sub(last.parse().ok()?)..size,
        (start, "") => start.parse().ok()?..size,
        (start, end) => start.parse().ok()?..(end.parse::<u64>().ok()? + 1).min(size),
    };
    (range.start < range.end).then_some(range)
}

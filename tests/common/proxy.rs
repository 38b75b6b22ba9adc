//! A proxy on loopback before a real server: it counts requests, delays them, and breaks them on purpose.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A request that went through, or was broken.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// GET, HEAD, PUT …
    pub method: String,
    /// The path and query, as the client sent them.
    pub target: String,
    /// The Range header, if there was one.
    pub range: Option<String>,
    /// Whether it had an If-Match header.
    pub if_match: bool,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// When it came and when its answer had been sent, since the proxy began.
    pub span: (Duration, Duration),
}

/// What is done to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is reset before an answer.
    Reset,
    /// 503, as S3 says that it is busy.
    Busy,
    /// Half of the answer, then nothing, until the client gives up.
    Stall,
    /// Half of the answer, then the connection ends.
    Cut,
    /// An answer that is whole and shorter than it should be.
    Short,
}

const FAULTS: [Fault; 5] = [Fault::Reset, Fault::Busy, Fault::Stall, Fault::Cut, Fault::Short];

/// A proxy, which ends with the test's process.
pub struct Proxy {
    address: String,
    shared: Arc<Shared>,
}

struct Shared {
    server: String,
    delay: Duration,
    begun: Instant,
    log: Mutex<Vec<Exchange>>,
    /// Of a thousand requests, so many are broken.
    faults: AtomicU64,
    random: AtomicU64,
    /// Connections are refused answers while it is set: the server is dead.
    dead: AtomicBool,
    /// Requests of this method are denied.
    denied: Mutex<String>,
}

impl Proxy {
    /// A proxy before the server at that address that holds each request back for so long.
    pub fn new(server: &str, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            server: server.to_owned(),
            delay,
            begun: Instant::now(),
            log: Mutex::default(),
            faults: AtomicU64::new(0),
            random: AtomicU64::new(0),
            dead: AtomicBool::new(false),
            denied: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                let shared = Arc::clone(&accepting);
                // A client that leaves in the middle ends its thread.
                thread::spawn(move || _ = shared.serve(client.unwrap()));
            }
        });
        Self { address, shared }
    }

    /// Where it listens: host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Breaks so many of a thousand requests from now on, by chance from a seed.
    pub fn break_requests(&self, of_a_thousand: u64, seed: u64) {
        self.shared.random.store(seed, Ordering::Relaxed);
        self.shared.faults.store(of_a_thousand, Ordering::Relaxed);
    }

    /// Answers nothing any more, or does again.
    pub fn set_dead(&self, dead: bool) {
        self.shared.dead.store(dead, Ordering::Relaxed);
    }

    /// Denies all requests of a method from now on.
    pub fn deny(&self, method: &str) {
        method.clone_into(&mut self.shared.denied.lock().unwrap());
    }

    /// What went through since this was last asked.
    pub fn take_log(&self) -> Vec<Exchange> {
        std::mem::take(&mut self.shared.log.lock().unwrap())
    }
}

/// The most requests that were each begun after the one before had been answered: round trips that a
/// reader waited for one after the other.
pub fn round_trips(log: &[Exchange]) -> usize {
    let mut spans: Vec<_> = log.iter().map(|exchange| exchange.span).collect();
    spans.sort_by_key(|(_, end)| *end);
    let mut last = Duration::ZERO;
    let mut chain = 0;
    for (start, end) in spans {
        if start >= last {
            chain += 1;
            last = end;
        }
    }
    chain
}

impl Shared {
    fn serve(&self, client: TcpStream) -> std::io::Result<()> {
        client.set_nodelay(true)?;
        let mut answers = client.try_clone()?;
        let mut requests = BufReader::new(client);
        while let Some(head) = head_of(&mut requests)? {
            let start = self.begun.elapsed();
            let mut body = vec![0; length_of(&head).unwrap_or(0)];
            if field(&head, "expect").is_some() {
                answers.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            requests.read_exact(&mut body)?;
            thread::sleep(self.delay);
            if self.dead.load(Ordering::Relaxed) {
                return answers.shutdown(Shutdown::Both);
            }
            if head.split(' ').next() == Some(&**self.denied.lock().unwrap()) {
                let text = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
                let length = text.len();
                write!(answers, "HTTP/1.1 403 Forbidden\r\ncontent-length: {length}\r\n\r\n{text}")?;
                continue;
            }
            let fault = self.fault();
            let sent = match fault {
                Some(Fault::Reset) => {
                    // Unread or not, what was sent is answered by nothing.
                    return answers.shutdown(Shutdown::Both);
                }
                Some(Fault::Busy) => {
                    let text =
                        "<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>";
                    let length = text.len();
                    write!(answers, "HTTP/1.1 503 Slow Down\r\ncontent-length: {length}\r\n\r\n{text}")?;
                    0
                }
                _ => self.forward(&head, &body, &mut answers, fault)?,
            };
            let mut words = head.split_whitespace();
            let mut word = || words.next().unwrap_or_default().to_owned();
            let (method, target) = (word(), word());
            let range = field(&head, "range").map(str::to_owned);
            let if_match = field(&head, "if-match").is_some();
            let span = (start, self.begun.elapsed());
            self.log.lock().unwrap().push(Exchange { method, target, range, if_match, bytes: sent, span });
            if matches!(fault, Some(Fault::Cut)) {
                return answers.shutdown(Shutdown::Both);
            }
            if matches!(fault, Some(Fault::Stall)) {
                // Until the client has had enough.
                _ = requests.read(&mut [0]);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Has the server answer, and passes that on, whole or broken; bytes of the body that were sent.
    fn forward(
        &self,
        head: &str,
        body: &[u8],
        answers: &mut TcpStream,
        fault: Option<Fault>,
    ) -> std::io::Result<u64> {
        let mut server = TcpStream::connect(&self.server)?;
        server.set_nodelay(true)?;
        // In the older version an answer ends where the connection does.
        let line_end = head.find("\r\n").unwrap_or(head.len());
        let line = head[..line_end].replace("HTTP/1.1", "HTTP/1.0");
        server.write_all(line.as_bytes())?;
        server.write_all(&head.as_bytes()[line_end..])?;
        server.write_all(body)?;
        let mut answer = BufReader::new(server);
        let Some(answer_head) = head_of(&mut answer)? else { return Ok(0) };
        let mut content = Vec::new();
        answer.read_to_end(&mut content)?;
        let is_head = head.starts_with("HEAD ");
        let whole = if is_head { length_of(&answer_head).unwrap_or(0) } else { content.len() };
        let sent = match fault {
            Some(Fault::Stall | Fault::Cut | Fault::Short) => content.len() / 2,
            _ => content.len(),
        };
        let told = if fault == Some(Fault::Short) { sent } else { whole };
        let mut lines = answer_head.split("\r\n");
        let status = lines.next().unwrap_or_default().replacen("HTTP/1.0", "HTTP/1.1", 1);
        let mut out = format!("{status}\r\ncontent-length: {told}\r\n");
        for line in lines.filter(|line| !line.is_empty()) {
            let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
            if !["content-length", "connection", "transfer-encoding"].contains(&name.as_str()) {
                out += line;
                out += "\r\n";
            }
        }
        answers.write_all(format!("{out}\r\n").as_bytes())?;
        answers.write_all(&content[..sent])?;
        Ok(sent as u64)
    }

    /// What is done to the next request: by SplitMix64 of a counter, so that a seed tells all.
    fn fault(&self) -> Option<Fault> {
        let of_a_thousand = self.faults.load(Ordering::Relaxed);
        let step = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mut word = (step ^ (step >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        (word % 1000 < of_a_thousand).then(|| FAULTS[(word / 1000 % FAULTS.len() as u64) as usize])
    }
}

/// The head of a message, with its empty line; `None` when the other side has closed.
fn head_of(from: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut head = String::new();
    loop {
        let before = head.len();
        if from.read_line(&mut head)? == 0 {
            return Ok(None);
        }
        if &head[before..] == "\r\n" {
            return Ok(Some(head));
        }
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn length_of(head: &str) -> Option<usize> {
    field(head, "content-length")?.parse().ok()
}

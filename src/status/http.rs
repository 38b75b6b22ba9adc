//! Just enough of HTTP/1.1 for a scrape: one connection at a time, a request's head within bounds of
//! size and time, one answer, and the connection is closed.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::metrics::exposition::MEDIA_TYPE;

/// How long a client may take for its request, and again for taking the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most bytes of a request's head.
const LIMIT: usize = 8 << 10;

/// Answers every request with the metrics, as they are then.
pub fn serve(listener: &TcpListener, text: impl Fn() -> String) {
    for stream in listener.incoming() {
        match stream {
            Ok(stream) => _ = answer(stream, &text),
            // One that went away, or a process out of descriptors: the next may do better.
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn answer(mut stream: TcpStream, text: impl Fn() -> String) -> std::io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let head = head(&mut stream)?;
    let (status, body) = match request(&head) {
        Some(("GET" | "HEAD", "/metrics")) => ("200 OK", text()),
        Some(("GET" | "HEAD", _)) => ("404 Not Found", "metrics are at /metrics\n".to_owned()),
        Some(_) => ("405 Method Not Allowed\r\nAllow: GET, HEAD", String::new()),
        None => ("400 Bad Request", String::new()),
    };
    let media = if status.starts_with("200") { MEDIA_TYPE } else { "text/plain; charset=utf-8" };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {media}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    if head.starts_with(b"HEAD ") { Ok(()) } else { stream.write_all(body.as_bytes()) }
}

/// The bytes up to the blank line, or as many as came before the client stopped, slept or went too far.
fn head(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let deadline = Instant::now() + PATIENCE;
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") && head.len() < LIMIT {
        let left = deadline.saturating_duration_since(Instant::now());
        // No time left is no timeout that a socket takes.
        stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => head.extend_from_slice(&piece[..count]),
            Err(e) => return Err(e),
        }
    }
    Ok(head)
}

/// Method and path of a request.
fn request(head: &[u8]) -> Option<(&str, &str)> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let mut words = str::from_utf8(line).ok()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let path = target.split('?').next()?;
    (version.starts_with("HTTP/1.") && words.next().is_none()).then_some((method, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_line_is_taken_apart_and_any_other_refused() {
        assert_eq!(request(b"GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"), Some(("GET", "/metrics")));
        assert_eq!(request(b"POST / HTTP/1.0\r\n\r\n"), Some(("POST", "/")));
        for head in [
            &b""[..],
            b"GET\r\n",
            b"GET /\r\n",
            b"GET / HTTP/2\r\n",
            b"GET / x HTTP/1.1\r\n",
            b"\xff / HTTP/1.1",
        ] {
            assert_eq!(request(head), None);
        }
    }
}

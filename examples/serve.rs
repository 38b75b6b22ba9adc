//! Serves a directory on loopback for measurements: `serve DIR DELAY_MS` says its address and answers each
//! request so late, for as long as its standard input stays open.

#[path = "../tests/common/web.rs"]
mod web;

use std::io::{Read, Write, stdin, stdout};
use std::path::Path;
use std::time::Duration;

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(directory), Some(Ok(delay))) = (args.next(), args.next().map(|delay| delay.parse())) else {
        return Err(std::io::Error::other("serve DIR DELAY_MS"));
    };
    let server = web::Server::new(Path::new(&directory), Duration::from_millis(delay));
    writeln!(stdout(), "{}", server.address())?;
    stdout().flush()?;
    stdin().read_to_end(&mut Vec::new())?;
    writeln!(stdout(), "{} {}", server.requests(), server.bytes())
}

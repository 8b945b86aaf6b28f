//! Just enough HTTP to ask a server how it is.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Also the longest wait for one read, so that a stopped server does not hold up its caller.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The body of a GET.
pub(crate) fn get(server: SocketAddr, path: &str) -> io::Result<String> {
    ask(server, "GET", path, "")
}

/// The body of the answer, when the status is 200 or 204. Any other status is an error that shows the body.
pub(super) fn ask(server: SocketAddr, method: &str, path: &str, body: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&server, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // Version 1.0: the answer comes unchunked and ends with the connection.
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.0\r\nHost: {server}\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all((head + body).as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&String::from_utf8_lossy(&answer))
}

fn parse(answer: &str) -> io::Result<String> {
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.lines().next().unwrap_or_default();
    if matches!(status.split(' ').nth(1), Some("200" | "204")) {
        Ok(body.to_owned())
    } else {
        Err(io::Error::other(format!("{status}: {}", body.trim())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        assert_eq!(parse("HTTP/1.0 200 OK\r\nA: b\r\n\r\nbody\n").unwrap(), "body\n");
        assert_eq!(parse("HTTP/1.0 204 No Content\r\n\r\n").unwrap(), "");
        let refused = parse("HTTP/1.0 503 Service Unavailable\r\n\r\n{\"health\":\"false\"}\n").unwrap_err();
        assert_eq!(refused.to_string(), "HTTP/1.0 503 Service Unavailable: {\"health\":\"false\"}");
        assert!(parse("HTTP/1.0 200 OK\r\n").is_err());
    }
}

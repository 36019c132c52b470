//! The plain HTTP client with which the tests set servers up, so that nothing of the library is in between.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

/// An answer: its status, headers as they came, and body.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Sends one request to `address` (host:port) and reads the answer; an error for no answer within `patience`, a reset,
/// or half a body.
pub fn request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    patience: Duration,
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(patience))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("content-length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat())?;
    read_answer(&mut BufReader::new(stream))
}

/// Reads the answer to one request.
pub fn read_answer(from: &mut impl BufRead) -> io::Result<Answer> {
    let (first, headers) = read_head(from)?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status line: {first:?}")))?;
    let body = if status == 204 { Vec::new() } else { read_body(from, &headers, true)? };
    Ok(Answer { status, headers, body })
}

/// The first line and the headers of a request or an answer.
pub fn read_head(from: &mut impl BufRead) -> io::Result<(String, Vec<(String, String)>)> {
    let first = read_line(from)?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(from)?;
        if line.is_empty() {
            return Ok((first, headers));
        }
        let (name, value) = line.split_once(':').ok_or_else(|| io::Error::other(format!("no header: {line:?}")))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
}

fn read_line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    if !line.ends_with('\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

/// The body behind a head; without a length, `to_end` says whether it continues until the connection closes or is
/// empty.
pub fn read_body(from: &mut impl BufRead, headers: &[(String, String)], to_end: bool) -> io::Result<Vec<u8>> {
    let header = |name: &str| headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let mut body = Vec::new();
    if header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        loop {
            let line = read_line(from)?;
            let size = usize::from_str_radix(line.split(';').next().unwrap_or_default(), 16);
            let start = body.len();
            body.resize(start + size.map_err(io::Error::other)?, 0);
            let done = body.len() == start;
            from.read_exact(&mut body[start..])?;
            read_line(from)?;
            if done {
                return Ok(body);
            }
        }
    }
    match header("content-length") {
        Some(len) => {
            body.resize(len.parse().map_err(io::Error::other)?, 0);
            from.read_exact(&mut body)?;
        }
        None if to_end => {
            from.read_to_end(&mut body)?;
        }
        None => {}
    }
    Ok(body)
}

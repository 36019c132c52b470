//! RESP 2, the protocol of Redis and Valkey: commands as arrays of bulk strings, and replies.

use crate::error::{Error, Result, Status};
use crate::http::RawStream;

/// The longest line: a number, a status, or an error.
const MAX_LINE: usize = 4096;
/// The most elements of an array.
const MAX_ELEMENTS: i64 = 1 << 20;
/// How deep arrays are nested at most.
const MAX_DEPTH: u32 = 3;
/// The bytes that are read at once.
const CHUNK: usize = 16 << 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Nil,
    Number(i64),
    /// A bulk string or a status.
    Bytes(Vec<u8>),
    Error(String),
    Array(Vec<Reply>),
}

impl Reply {
    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Reply::Number(number) => u64::try_from(*number).ok(),
            Reply::Bytes(text) => std::str::from_utf8(text).ok()?.parse().ok(),
            _ => None,
        }
    }

    pub(super) fn array(self) -> Option<Vec<Reply>> {
        match self {
            Reply::Array(elements) => Some(elements),
            _ => None,
        }
    }
}

/// Encodes a command.
pub(super) fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).bytes());
        bytes.extend(*word);
        bytes.extend(b"\r\n");
    }
    bytes
}

/// What was received and not parsed yet.
pub(super) struct Received {
    bytes: Vec<u8>,
    at: usize,
    /// The longest bulk string that is accepted.
    max_bulk: usize,
}

impl Received {
    pub(super) fn new(max_bulk: usize) -> Received {
        Received { bytes: Vec::new(), at: 0, max_bulk }
    }

    /// Reads one reply.
    pub(super) fn reply(&mut self, stream: &mut RawStream) -> Result<Reply> {
        let reply = self.parse(stream, 0);
        self.bytes.drain(..self.at);
        self.at = 0;
        reply
    }

    fn parse(&mut self, stream: &mut RawStream, depth: u32) -> Result<Reply> {
        let line = self.line(stream)?;
        let (kind, text) = line.split_first().ok_or_else(malformed)?;
        let text = std::str::from_utf8(text).map_err(|_| malformed())?;
        let number = || text.parse::<i64>().map_err(|_| malformed());
        match kind {
            b'+' => Ok(Reply::Bytes(text.as_bytes().to_vec())),
            b'-' => Ok(Reply::Error(text.to_owned())),
            b':' => number().map(Reply::Number),
            b'$' if number()? == -1 => Ok(Reply::Nil),
            b'$' => {
                let length = usize::try_from(number()?).ok().filter(|length| *length <= self.max_bulk);
                self.bulk(stream, length.ok_or_else(malformed)?).map(Reply::Bytes)
            }
            b'*' if number()? == -1 => Ok(Reply::Nil),
            b'*' => {
                let count = number()?;
                if !(0..=MAX_ELEMENTS).contains(&count) || depth >= MAX_DEPTH {
                    return Err(malformed());
                }
                (0..count).map(|_| self.parse(stream, depth + 1)).collect::<Result<_>>().map(Reply::Array)
            }
            _ => Err(malformed()),
        }
    }

    /// The next line, without its end.
    fn line(&mut self, stream: &mut RawStream) -> Result<Vec<u8>> {
        let mut searched = self.at;
        loop {
            if let Some(end) = self.bytes[searched..].windows(2).position(|end| end == b"\r\n") {
                let line = self.bytes[self.at..searched + end].to_vec();
                self.at = searched + end + 2;
                return Ok(line);
            }
            if self.bytes.len() - self.at > MAX_LINE {
                return Err(malformed());
            }
            searched = self.bytes.len().saturating_sub(1).max(self.at);
            self.receive(stream)?;
        }
    }

    fn bulk(&mut self, stream: &mut RawStream, length: usize) -> Result<Vec<u8>> {
        while self.bytes.len() - self.at < length + 2 {
            self.receive(stream)?;
        }
        let (bytes, end) = self.bytes[self.at..self.at + length + 2].split_at(length);
        if end != b"\r\n" {
            return Err(malformed());
        }
        let bytes = bytes.to_vec();
        self.at += length + 2;
        Ok(bytes)
    }

    fn receive(&mut self, stream: &mut RawStream) -> Result<()> {
        let filled = self.bytes.len();
        self.bytes.resize(filled + CHUNK, 0);
        let received = stream.receive(&mut self.bytes[filled..]);
        self.bytes.truncate(filled + received.as_ref().map_or(0, |count| *count));
        received.map(drop)
    }
}

pub(super) fn malformed() -> Error {
    Error::new(Status::Protocol, "its reply is not that of Redis or Valkey; check `share_url`")
}

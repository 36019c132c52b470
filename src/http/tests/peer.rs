//! Test servers: threads that run a closure for each connection.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

/// A server on this machine. It runs until the program ends.
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Peer {
    /// Calls `serve` on a new thread for each connection.
    pub(super) fn new(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (serve, count) = (Arc::new(serve), connections.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, SeqCst);
                let serve = serve.clone();
                thread::spawn(move || serve(stream));
            }
        });
        Peer { address, connections }
    }

    /// Responds to each request with what `respond` returns for its header and body.
    pub(super) fn responding(respond: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Peer {
        Peer::new(move |stream| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while let Some(request) = read_request(&mut reader) {
                if (&stream).write_all(&respond(&request)).is_err() {
                    return;
                }
            }
        })
    }

    /// Reads one request, then calls `serve`.
    pub(super) fn after_request(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Peer {
        Peer::new(move |stream| {
            if read_request(&mut BufReader::new(stream.try_clone().unwrap())).is_some() {
                serve(stream);
            }
        })
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns how many connections were accepted so far.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

/// Returns header and body of the next request.
pub(super) fn read_request(reader: &mut impl BufRead) -> Option<String> {
    let mut request = String::new();
    loop {
        let start = request.len();
        if reader.read_line(&mut request).ok()? == 0 {
            return None;
        }
        if request[start..].trim_end().is_empty() {
            break;
        }
    }
    let length =
        request.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    request.push_str(std::str::from_utf8(&body).unwrap());
    Some(request)
}

/// A response with this body.
pub(super) fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

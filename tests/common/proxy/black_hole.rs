//! Addresses without a listener.

use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// An address on this machine to which a connection never comes about: the system drops what is sent there.
pub struct BlackHole {
    address: String,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl BlackHole {
    pub fn open() -> BlackHole {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // SAFETY: a system call on a socket that `listener` holds open.
        let shortened = unsafe { libc::listen(listener.as_raw_fd(), 0) };
        assert_eq!(shortened, 0);
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        // Its queue is full as soon as one of them gets no answer.
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            assert!(waiting.len() < 10, "the queue does not fill");
            waiting.push(stream);
        }
        BlackHole { address: address.to_string(), _listener: listener, _waiting: waiting }
    }

    /// host:port
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// host:port where connections are refused.
pub fn closed_address() -> String {
    format!("127.0.0.1:{}", crate::common::servers::process::free_port())
}

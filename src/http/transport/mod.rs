//! Connections for ureq: DNS, proxies and TLS, each step within the deadline.

mod buffers;
mod connector;
mod dns;
mod insecure;
mod stream;
mod tls;

pub(super) use connector::Connector;
pub(super) use dns::look_up;
#[cfg(test)]
pub(super) use stream::TcpSocket;

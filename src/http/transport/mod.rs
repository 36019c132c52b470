//! Connections for ureq: DNS, proxies and TLS, each step within the deadline.

mod buffers;
mod connector;
mod dialer;
mod dns;
mod insecure;
mod stream;
mod tls;

pub(super) use connector::Connector;
pub(crate) use dialer::{Dialer, RawStream, Server};
pub(super) use dns::look_up;
#[cfg(test)]
pub(super) use stream::TcpSocket;

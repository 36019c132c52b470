//! An HTTP client over ureq: a deadline for the whole exchange, TLS roots, proxies, and bounded bodies that are wiped.
//!
//! A [`Client`] lives for one load. It reuses its connections within the load and closes them when it is dropped, so no
//! connection stays open between loads. One call of [`Client::send`] is one attempt; [`retry`] decides about further
//! ones.
//!
//! The library's own buffers are wiped: those of connections, response bodies, and private keys. The copies that ureq
//! makes of headers, and rustls of decrypted data, are wiped only by the allocator of the C library.
//!
//! | module | contains |
//! |---|---|
//! | `client` | [`Client`]: sends a request and reads the response |
//! | `message`, `headers` | requests, responses, and the headers that need checking or parsing |
//! | `settings`, `limits` | TLS roots, proxies, sizes |
//! | `url` | URLs of servers, checked; [`url::Origin`]: scheme, host and port |
//! | `proxy`, `no_proxy` | which proxy a request goes through |
//! | `transport` | DNS, sockets, TLS, proxy tunnels; [`Dialer`]: streams to servers that do not speak HTTP |
//! | `retry` | attempts, delays, quota |
//! | `error` | errors of connections, TLS and ureq as errors of this library |

mod client;
mod error;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod headers;
mod limits;
mod message;
mod no_proxy;
mod proxy;
pub(crate) mod retry;
mod settings;
mod transport;
pub(crate) mod url;

pub(crate) use client::{Client, look_up};
pub(crate) use error::is_untrusted_certificate;
pub(crate) use headers::{is_transient_status, parse_date, retry_after};
pub(crate) use message::{HttpRequest, HttpResponse};
#[cfg(feature = "kubernetes")]
pub(crate) use settings::is_pem;
pub(crate) use settings::{ClientSettings, Proxy, Roots};
pub(crate) use transport::{Dialer, RawStream, Server};

#[cfg(test)]
mod tests;

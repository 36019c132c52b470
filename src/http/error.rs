//! Errors of connections, TLS and ureq as errors of this library.

use std::fmt;
use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, InvalidMessage};

use crate::error::{Error, Status};
use crate::http::limits::MAX_HEADER;
use crate::http::url::Origin;

/// Converts the error of one step of a connection. `doing` is the step: "connecting to" and the like. `limit` is the
/// time limit of the step, if it is shorter than the deadline.
pub(super) fn from_io(error: io::Error, doing: &str, origin: &dyn fmt::Display, limit: Option<Duration>) -> Error {
    if is_timeout(&error) {
        return match limit {
            Some(limit) => unavailable(format!("{doing} {origin} took longer than {limit:?}"), 0),
            None => timed_out(&format!("while {doing} {origin}")),
        };
    }
    let cause = error.get_ref();
    if let Some(error) = cause.and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
        return from_tls(error, origin);
    }
    if let Some(error) = cause.and_then(|cause| cause.downcast_ref::<Error>()) {
        return error.clone();
    }
    let message = match error.kind() {
        io::ErrorKind::UnexpectedEof => format!("{doing} {origin} failed: the server closed the connection too early"),
        _ => format!("{doing} {origin} failed: {error}"),
    };
    unavailable(message, error.raw_os_error().unwrap_or(0))
}

/// Whether our own deadline passed. The system also reports "timed out", with an error number, for a peer that was
/// silent for minutes.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none()
}

/// Converts an error of ureq. An error of this library that went through ureq is returned as it was.
pub(super) fn from_ureq(error: ureq::Error, origin: &Origin) -> Error {
    match error {
        ureq::Error::Other(error) => match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(_) => protocol(format!("the request to {origin} failed")),
        },
        ureq::Error::Timeout(_) => timed_out(&format!("while waiting for {origin}")),
        ureq::Error::Io(error) => from_io(error, "reading the response from", origin, None),
        ureq::Error::LargeResponseHeader(..) => {
            protocol(format!("the header of the response from {origin} is longer than {MAX_HEADER} bytes"))
        }
        // Its details may contain parts of the response, so they are not shown.
        ureq::Error::Protocol(error) if error.to_string().contains("too many") => {
            protocol(format!("the response from {origin} has too many headers"))
        }
        ureq::Error::Protocol(_) => {
            let hint = if origin.tls { "" } else { "; if the server expects TLS, use https://" };
            protocol(format!("the response from {origin} is not HTTP/1.1{hint}"))
        }
        // The connection ended within the line before a chunk.
        ureq::Error::BodyStalled => {
            from_io(io::ErrorKind::UnexpectedEof.into(), "reading the response from", origin, None)
        }
        error @ (ureq::Error::Http(_) | ureq::Error::BadUri(_)) => {
            Error::new(Status::Config, format!("the request to {origin} cannot be sent: {error}"))
        }
        error => protocol(format!("the response from {origin} cannot be read: {error}")),
    }
}

/// The start of the message of every error that the peer's certificate causes.
const UNTRUSTED: &str = "the certificate of";

/// Whether the peer's certificate was not accepted, so that trusting another authority may be the remedy.
pub(crate) fn is_untrusted_certificate(error: &Error) -> bool {
    error.status() == Status::AccessDenied && error.message().starts_with(UNTRUSTED)
}

fn from_tls(error: &rustls::Error, origin: &dyn fmt::Display) -> Error {
    let denied = |why: String| Error::new(Status::AccessDenied, format!("{UNTRUSTED} {origin} {why}"));
    match error {
        rustls::Error::InvalidCertificate(error) => denied(certificate_problem(error)),
        rustls::Error::NoCertificatesPresented => denied("is missing".to_owned()),
        rustls::Error::AlertReceived(alert) => from_alert(*alert, origin),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            protocol(format!("{origin} does not speak TLS; if it is a plain HTTP server, use http://"))
        }
        rustls::Error::PeerIncompatible(error) => {
            protocol(format!("{origin} does not support TLS 1.2 or newer with safe ciphers: {error:?}"))
        }
        error => protocol(format!("TLS with {origin} failed: {error}")),
    }
}

fn certificate_problem(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => "is signed by an authority that is not trusted here".to_owned(),
        // Often an authority that was created again under the same name.
        CertificateError::BadSignature => {
            "has a signature that does not match the trusted authority of that name: another authority signed it, or \
             with a key that is too short (RSA needs 2048 bits)"
                .to_owned()
        }
        CertificateError::NotValidForName => "is for another name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            // Each comes as `DnsName("vault.example.com")`.
            let bare = |name: &String| name.replace("DnsName(", "").replace("IpAddress(", "").replace(['"', ')'], "");
            let presented: Vec<_> = presented.iter().map(bare).collect();
            format!("is for {}, not for {}", presented.join(", "), expected.to_str())
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "has expired (or the clock of this machine is wrong)".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet (or the clock of this machine is wrong)".to_owned()
        }
        CertificateError::Revoked => "was revoked".to_owned(),
        error => format!("cannot be trusted: {error}"),
    }
}

fn from_alert(alert: AlertDescription, origin: &dyn fmt::Display) -> Error {
    match alert {
        AlertDescription::CertificateRequired => {
            Error::new(Status::AccessDenied, format!("{origin} requires a client certificate, and none is configured"))
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => Error::new(
            Status::AccessDenied,
            format!("{origin} rejects our client certificate (or its absence): TLS alert {alert:?}"),
        ),
        AlertDescription::ProtocolVersion => protocol(format!("{origin} does not support TLS 1.2 or newer")),
        AlertDescription::HandshakeFailure => protocol(format!(
            "{origin} rejects the TLS handshake (alert HandshakeFailure): it may require a client certificate, or only \
             unsafe ciphers"
        )),
        alert => protocol(format!("{origin} ended TLS with the alert {alert:?}")),
    }
}

pub(super) fn unavailable(message: String, detail: i32) -> Error {
    Error::new(Status::Unavailable, message).with_detail(detail).with_retryable(true)
}

pub(super) fn protocol(message: String) -> Error {
    Error::new(Status::Protocol, message)
}

/// The deadline passed.
pub(super) fn timed_out(when: &str) -> Error {
    Error::new(Status::Timeout, format!("timed out {when}")).with_retryable(true)
}

//! What went wrong on the way, in the words of this library.

use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, InvalidMessage};

use crate::error::{Error, Status};
use crate::http::buffers::LONGEST_HEAD;
use crate::http::url::Origin;

/// A step that the system, the peer or TLS made fail: `doing` is "connecting to" and the like. `limit` is the time that
/// the step had, if it had less than the deadline allows.
pub(super) fn of_io(error: io::Error, doing: &str, origin: &Origin, limit: Option<Duration>) -> Error {
    if is_late(&error) {
        return match limit {
            Some(limit) => unavailable(format!("{doing} {origin} took longer than {limit:?}"), 0),
            None => late(&format!("while {doing} {origin}")),
        };
    }
    let cause = error.get_ref();
    if let Some(error) = cause.and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
        return of_tls(error, origin);
    }
    if let Some(error) = cause.and_then(|cause| cause.downcast_ref::<Error>()) {
        return error.clone();
    }
    let message = match error.kind() {
        io::ErrorKind::UnexpectedEof => format!("{doing} {origin} failed: it closed the connection too early"),
        _ => format!("{doing} {origin} failed: {error}"),
    };
    unavailable(message, error.raw_os_error().unwrap_or(0))
}

/// Whether our own time was up. The system too says "timed out", with a number, when a peer was silent for minutes.
pub(super) fn is_late(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none()
}

/// What ureq says when neither of us knew better.
pub(super) fn of_ureq(error: ureq::Error, origin: &Origin) -> Error {
    match error {
        ureq::Error::Other(error) => match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(_) => protocol(format!("the request to {origin} failed")),
        },
        ureq::Error::Timeout(_) => late(&format!("while waiting for {origin}")),
        ureq::Error::Io(error) => of_io(error, "reading the answer of", origin, None),
        ureq::Error::LargeResponseHeader(..) => {
            protocol(format!("the head of the answer of {origin} is longer than {LONGEST_HEAD} bytes"))
        }
        // Its details may hold parts of the answer, and so are not shown.
        ureq::Error::Protocol(error) if error.to_string().contains("too many") => {
            protocol(format!("the answer of {origin} has too many headers"))
        }
        ureq::Error::Protocol(_) => {
            let hint = if origin.tls { "" } else { "; does it want https?" };
            protocol(format!("what {origin} answers is not HTTP/1.1{hint}"))
        }
        // It ended within the line before a chunk.
        ureq::Error::BodyStalled => of_io(io::ErrorKind::UnexpectedEof.into(), "reading the answer of", origin, None),
        error @ (ureq::Error::Http(_) | ureq::Error::BadUri(_)) => {
            Error::new(Status::Config, format!("the request to {origin} cannot be sent: {error}"))
        }
        error => protocol(format!("the answer of {origin} cannot be read: {error}")),
    }
}

/// How the message of an error begins whose cause is the certificate of the peer.
const UNTRUSTED: &str = "the certificate of";

/// Whether the peer's certificate was not accepted, so that other trusted authorities may be the remedy.
pub(crate) fn is_untrusted_certificate(error: &Error) -> bool {
    error.status() == Status::AccessDenied && error.message().starts_with(UNTRUSTED)
}

fn of_tls(error: &rustls::Error, origin: &Origin) -> Error {
    let denied = |why: String| Error::new(Status::AccessDenied, format!("{UNTRUSTED} {origin} {why}"));
    match error {
        rustls::Error::InvalidCertificate(error) => denied(of_certificate(error)),
        rustls::Error::NoCertificatesPresented => denied("is missing".to_owned()),
        rustls::Error::AlertReceived(alert) => of_alert(*alert, origin),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            protocol(format!("{origin} does not speak TLS; does it want http?"))
        }
        rustls::Error::PeerIncompatible(error) => {
            protocol(format!("{origin} speaks no TLS that is safe (1.2 or newer): {error:?}"))
        }
        error => protocol(format!("TLS with {origin} failed: {error}")),
    }
}

fn of_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => "is signed by an authority that is not trusted here".to_owned(),
        // Often an authority that was made anew under its old name.
        CertificateError::BadSignature => {
            "has a signature that the trusted authority of that name does not confirm: it is of another authority, or of \
             a key that is too short (RSA needs 2048 bits)"
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

fn of_alert(alert: AlertDescription, origin: &Origin) -> Error {
    match alert {
        AlertDescription::CertificateRequired => {
            Error::new(Status::AccessDenied, format!("{origin} wants a client certificate, and none is set"))
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => Error::new(
            Status::AccessDenied,
            format!("{origin} does not accept our client certificate (or its absence): TLS alert {alert:?}"),
        ),
        AlertDescription::ProtocolVersion => protocol(format!("{origin} speaks no TLS that is safe (1.2 or newer)")),
        AlertDescription::HandshakeFailure => protocol(format!(
            "{origin} refuses TLS (alert HandshakeFailure): it may want a client certificate, or ciphers that are not safe"
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
pub(super) fn late(when: &str) -> Error {
    Error::new(Status::Timeout, format!("the time was up {when}")).with_retryable(true)
}

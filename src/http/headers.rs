//! Headers that are checked or parsed.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use ureq::http::{HeaderName, HeaderValue};

use crate::error::{Error, Result, Status};
use crate::http::limits::MAX_LINE;
use crate::http::message::HttpResponse;

/// Returns a request header. One that would end its line, or that servers interpret differently, is refused.
pub(super) fn checked(name: &str, value: &str) -> Result<(HeaderName, HeaderValue)> {
    let invalid = |why: String| Error::new(Status::Config, why);
    let checked_name =
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid(format!("{name:?} is not a valid header name")))?;
    if let Some(position) = value.bytes().position(|byte| !matches!(byte, b' '..=b'~')) {
        let why = format!(
            "invalid value of header {name}: byte {} is a line break, a control character or not ASCII",
            position + 1
        );
        return Err(invalid(why));
    }
    if name.len() + value.len() > MAX_LINE {
        return Err(invalid(format!("header {name} is longer than {MAX_LINE} bytes")));
    }
    let mut value = HeaderValue::from_str(value).map_err(|_| invalid(format!("invalid value of header {name}")))?;
    value.set_sensitive(true);
    Ok((checked_name, value))
}

/// Returns how long the server asks to wait: `x-amz-retry-after` in milliseconds, or `Retry-After` in seconds or as a
/// date.
pub(crate) fn retry_after(response: &HttpResponse) -> Option<Duration> {
    if let Some(milliseconds) = response.header("x-amz-retry-after").and_then(|text| text.trim().parse().ok()) {
        return Some(Duration::from_millis(milliseconds));
    }
    let text = response.header("retry-after")?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            // The difference of two times of the server does not depend on our clock.
            let now = response.header("date").and_then(parse_date).unwrap_or_else(SystemTime::now);
            Some(parse_date(text)?.duration_since(now).unwrap_or_default())
        }
    }
}

/// Parses an HTTP date, as in the header `Date`.
pub(crate) fn parse_date(text: &str) -> Option<SystemTime> {
    OffsetDateTime::parse(text.trim(), &Rfc2822).ok().map(SystemTime::from)
}

/// Whether this status reports a failure of the server, or of a gateway in front of it, that may pass.
pub(crate) fn is_transient_status(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret_memory::SecretBytes;

    fn response(headers: &[(&str, &str)]) -> HttpResponse {
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        HttpResponse { status: 503, headers, body: SecretBytes::copy_from(b"").unwrap() }
    }

    #[test]
    fn retry_after_is_seconds_milliseconds_or_a_date() {
        let now = ("Date", "Sat, 21 Nov 2026 07:00:00 GMT");
        for (headers, wait) in [
            (&[][..], None),
            (&[("Retry-After", "7")], Some(7_000)),
            (&[("retry-after", " 0 ")], Some(0)),
            (&[("x-amz-retry-after", "250")], Some(250)),
            (&[("Retry-After", "7"), ("X-Amz-Retry-After", "250")], Some(250)),
            (&[("Retry-After", "7"), ("X-Amz-Retry-After", "soon")], Some(7_000)),
            (&[now, ("Retry-After", "Sat, 21 Nov 2026 07:01:30 GMT")], Some(90_000)),
            (&[now, ("Retry-After", "Sat, 21 Nov 2026 06:00:00 GMT")], Some(0)),
            (&[("Retry-After", "Sat, 01 Jan 2000 00:00:00 GMT")], Some(0)),
            (&[("Retry-After", "-1")], None),
            (&[("Retry-After", "1.5")], None),
            (&[("Retry-After", "later")], None),
            (&[("Retry-After", "99999999999999999999")], None),
        ] {
            assert_eq!(retry_after(&response(headers)), wait.map(Duration::from_millis), "{headers:?}");
        }
    }

    #[test]
    fn date_is_parsed() {
        let time = parse_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs(), 784_111_777);
        for text in ["", "now", "Sun, 06 Nov 1994", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }
}

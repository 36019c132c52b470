//! Headers of requests and answers.

use std::time::{Duration, SystemTime};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use ureq::http::{HeaderName, HeaderValue};

use crate::error::{Error, Result, Status};
use crate::http::Response;
use crate::http::buffers::LONGEST_LINE;

/// A header as it is sent. One that would break out of its line, or that servers read in different ways, is refused.
pub(super) fn checked(name: &str, value: &str) -> Result<(HeaderName, HeaderValue)> {
    let refused = |why: String| Error::new(Status::Config, why);
    let checked_name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| refused(format!("{name:?} cannot be the name of a header")))?;
    if let Some(position) = value.bytes().position(|byte| !matches!(byte, b' '..=b'~')) {
        let why = format!(
            "the value of header {name} cannot be sent: byte {} is a line break, a control character or not ASCII",
            position + 1
        );
        return Err(refused(why));
    }
    if name.len() + value.len() > LONGEST_LINE {
        return Err(refused(format!("header {name} is longer than {LONGEST_LINE} bytes")));
    }
    let mut value =
        HeaderValue::from_str(value).map_err(|_| refused(format!("the value of header {name} cannot be sent")))?;
    value.set_sensitive(true);
    Ok((checked_name, value))
}

/// The time that the server asks to wait: `x-amz-retry-after` in milliseconds, or `Retry-After` in seconds or as a date.
pub(crate) fn retry_after(response: &Response) -> Option<Duration> {
    if let Some(milliseconds) = response.header("x-amz-retry-after").and_then(|text| text.trim().parse().ok()) {
        return Some(Duration::from_millis(milliseconds));
    }
    let text = response.header("retry-after")?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            // The difference between two times of the server does not depend on our clock.
            let now = response.header("date").and_then(date).unwrap_or_else(SystemTime::now);
            Some(date(text)?.duration_since(now).unwrap_or_default())
        }
    }
}

/// The time in a header such as `Date`.
pub(crate) fn date(text: &str) -> Option<SystemTime> {
    DateTime::from_str(text.trim(), Format::HttpDate).ok().and_then(|time| SystemTime::try_from(time).ok())
}

/// Whether an answer with this status may be followed by a better one: the server, or one on the way to it, is ill.
pub(crate) fn is_transient_status(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret_memory::SecretBytes;

    fn answer(headers: &[(&str, &str)]) -> Response {
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Response { status: 503, headers, body: SecretBytes::copy_from(b"").unwrap() }
    }

    #[test]
    fn a_server_says_how_long_to_wait_in_several_ways() {
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
            assert_eq!(retry_after(&answer(headers)), wait.map(Duration::from_millis), "{headers:?}");
        }
    }

    #[test]
    fn a_date_is_read() {
        let time = date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs(), 784_111_777);
        for text in ["", "now", "Sun, 06 Nov 1994", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(date(text), None, "{text}");
        }
    }
}

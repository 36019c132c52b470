//! Entry points of the fuzzers, see [`crate::fuzzing`].

use super::message::HttpResponse;
use super::url::{Url, parse_request_url};
use super::{Client, ClientSettings, HttpRequest, parse_date, retry_after};
use crate::fuzz_input::deadline;
use crate::secret_memory::SecretBytes;

/// Parses a URL of a server. One with a password is refused, and an error does not show it.
pub fn url(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Url::parse(text) {
        Ok(_) => {
            let authority = text.split_once("://").map_or("", |(_, rest)| rest);
            let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
            assert!(!authority.contains('@'), "{text}");
        }
        Err(error) => assert!(!error.to_string().contains("CANARY")),
    }
    if let Err(error) = parse_request_url(text) {
        assert!(!error.to_string().contains("CANARY"));
    }
}

/// Parses the headers that a response may have.
pub fn http_headers(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = parse_date(text);
    let Ok(body) = SecretBytes::copy_from(b"") else { return };
    let (date, after) = text.split_once('\n').unwrap_or((text, text));
    for name in ["retry-after", "x-amz-retry-after"] {
        let headers = vec![("date".to_owned(), date.to_owned()), (name.to_owned(), after.to_owned())];
        let _ = retry_after(&HttpResponse::new(503, headers, body.clone()));
    }
}

/// Reads the response of the server at this address of the machine.
pub fn http_response(port: u16) {
    let settings = ClientSettings { max_body: 1 << 16, ..ClientSettings::default() };
    let url = format!("http://127.0.0.1:{port}/");
    let request = HttpRequest { method: "GET", url: &url, headers: &[], body: b"", connect_timeout: None };
    if let Ok(response) = Client::new(settings).send(&request, deadline()) {
        assert!(response.body.len() <= 1 << 16);
    }
}

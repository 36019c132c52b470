//! Entry points of the fuzzers, see [`crate::fuzzing`].

use super::service_error::ServiceError;
use super::{ini, times, xml};
use crate::http::HttpResponse;
use crate::secret_memory::SecretBytes;
use crate::secrets::json::SecretObject;

/// The secret that no error may quote.
const CANARY: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY";

/// Parses the response of a service, in JSON or XML, as a success and as an error. The canary stands for the secrets of
/// the request: it is in no message.
pub fn aws_response(data: &[u8]) {
    let Ok(body) = SecretBytes::copy_from(data) else { return };
    if let Some(fields) = SecretObject::parse(data) {
        for name in ["SecretString", "Credentials", "Errors", "Expiration"] {
            let _ = (fields.text(name), fields.object(name), fields.objects(name), times::time(&fields, name));
            let _ = times::milliseconds(&fields, name);
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = (xml::text(text, &["AssumeRoleResponse", "AssumeRoleResult"]), times::parse_time(text));
    }
    for status in [200, 400, 503] {
        let error = ServiceError::parse(&HttpResponse::new(status, Vec::new(), body.clone()), &[CANARY.as_bytes()]);
        let shown = error.describe();
        assert!(!shown.contains(CANARY), "{shown}");
        let _ = (error.kind(), error.retry_class(), error.may_be_clock_skew());
    }
}

/// Parses a file in the format of `~/.aws/config`. A line with a problem exists.
pub fn credential_file(data: &[u8]) {
    ini::fuzz(data);
}

//! Answers that say no: which error it is, in whatever form it comes.

use std::time::Duration;

use super::fields::Fields;
use crate::http::retry::Again;
use crate::http::{Response, is_transient_status, retry_after};

/// An answer of AWS that is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// AWS's name of the error, empty where the answer is not AWS's.
    pub(super) code: String,
    /// Its sentence, where that can hold no secret.
    pub(super) message: String,
    pub(super) request_id: Option<String>,
    pub(super) after: Option<Duration>,
}

/// What a refusal means for whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// There is no such thing.
    Missing,
    /// The credentials have expired, or AWS does not know them (any more).
    Expired,
    /// The signature is wrong: the secret key, or the clock.
    BadSignature,
    /// Somebody's policy forbids it.
    Denied,
    /// KMS does not decrypt it.
    Decryption,
    Throttled,
    /// The service is ill.
    Ill,
    /// Whoever answered sends us elsewhere.
    Redirect,
    Other,
}

const EXPIRED: &[&str] = &[
    "ExpiredToken",
    "ExpiredTokenException",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "TokenRefreshRequired",
];
const BAD_SIGNATURE: &[&str] = &[
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "RequestTimeTooSkewed",
    "RequestInTheFuture",
    "RequestExpired",
    "AuthFailure",
];
const DENIED: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "NotAuthorized",
    "UnauthorizedException",
    "ForbiddenException",
    "OptInRequired",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
];
const THROTTLED: &[&str] = &[
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottledException",
    "TooManyRequestsException",
    "ProvisionedThroughputExceededException",
    "TransactionInProgressException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "RequestThrottled",
    "SlowDown",
    "PriorRequestNotComplete",
    "EC2ThrottledException",
];
const ILL: &[&str] = &[
    "InternalServiceError",
    "InternalFailure",
    "InternalError",
    "InternalServerError",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "RequestTimeout",
    "RequestTimeoutException",
    "IDPCommunicationError",
];
/// Those that a wrong clock can cause.
const BY_CLOCK: &[&str] = &[
    "RequestTimeTooSkewed",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "AuthFailure",
    "AccessDeniedException",
    "RequestExpired",
    "RequestInTheFuture",
];

impl Refusal {
    /// Reads the error from JSON or XML, whatever the content type says. What holds one of `secrets` is left out.
    pub(super) fn of(response: &Response, secrets: &[&[u8]]) -> Refusal {
        let (code, message) = from_json(&response.body).or_else(|| from_xml(&response.body)).unwrap_or_default();
        let in_header = || response.header("x-amzn-errortype").map(bare_code).unwrap_or_default();
        let code = if code.is_empty() { in_header() } else { code };
        // AWS repeats the whole request, its session token included, to who has signed it wrongly.
        let quotable = !BAD_SIGNATURE.contains(&code.as_str());
        let request_id = ["x-amzn-requestid", "x-amz-request-id"].iter().find_map(|name| response.header(name));
        Refusal {
            status: response.status,
            message: if quotable { tidy(&message, secrets) } else { String::new() },
            request_id: request_id.map(|id| tidy(id, secrets)).filter(|id| !id.is_empty()),
            after: retry_after(response),
            code: tidy(&code, secrets),
        }
    }

    /// What one answer for many says of one of them.
    pub(super) fn of_part(part: &Fields, status: u16) -> Refusal {
        let text = |name| part.text(name).unwrap_or_default();
        let (code, message) = (bare_code(text("ErrorCode")), tidy(text("Message"), &[]));
        Refusal { status, code, message, request_id: None, after: None }
    }

    /// By the error's name; the HTTP status counts only where that says nothing.
    pub(super) fn kind(&self) -> Kind {
        let named = |list: &[&str]| list.contains(&self.code.as_str());
        match self.code.as_str() {
            "ResourceNotFoundException" => Kind::Missing,
            "InvalidRequestException" if self.message.contains("marked deleted") => Kind::Missing,
            "InvalidRequestException" if self.message.contains("marked for deletion") => Kind::Missing,
            "DecryptionFailure" => Kind::Decryption,
            _ if named(EXPIRED) => Kind::Expired,
            _ if named(BAD_SIGNATURE) => Kind::BadSignature,
            _ if named(DENIED) => Kind::Denied,
            _ if named(THROTTLED) => Kind::Throttled,
            _ if named(ILL) => Kind::Ill,
            _ => match self.status {
                300..=399 => Kind::Redirect,
                429 => Kind::Throttled,
                500.. | 408 => Kind::Ill,
                401 | 403 => Kind::Denied,
                _ => Kind::Other,
            },
        }
    }

    pub(super) fn again(&self) -> Again {
        match self.kind() {
            Kind::Throttled => Again::Throttled,
            Kind::Ill if self.is_worth_retrying() => Again::Transient,
            _ => Again::Never,
        }
    }

    fn is_worth_retrying(&self) -> bool {
        is_transient_status(self.status) || ILL.contains(&self.code.as_str())
    }

    pub(super) fn may_be_the_clock(&self) -> bool {
        BY_CLOCK.contains(&self.code.as_str())
    }

    /// The error for a person: `AccessDeniedException: User … is not authorized …  (request 1234)`.
    pub(super) fn words(&self) -> String {
        let what = match (self.code.as_str(), self.message.as_str()) {
            ("", _) => format!("HTTP status {} without an error of AWS", self.status),
            (code, "") => code.to_owned(),
            (code, message) => format!("{code}: {message}"),
        };
        match &self.request_id {
            Some(id) => format!("{what} (request {id})"),
            None => what,
        }
    }
}

fn from_json(body: &[u8]) -> Option<(String, String)> {
    let fields = Fields::parse(body)?;
    let code = ["__type", "code", "Code", "error"].iter().find_map(|name| fields.text(name)).unwrap_or_default();
    let message = ["message", "Message", "error_description"].iter().find_map(|name| fields.text(name));
    Some((bare_code(code), message.unwrap_or_default().to_owned()))
}

fn from_xml(body: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(body).ok()?;
    let document = roxmltree::Document::parse(text.trim_start()).ok()?;
    let first = |name| document.descendants().find(|node| node.tag_name().name() == name).and_then(|node| node.text());
    Some((bare_code(first("Code")?), first("Message").unwrap_or_default().to_owned()))
}

/// `com.amazon#ThrottlingException:http://…` is `ThrottlingException`.
fn bare_code(code: &str) -> String {
    let code = code.rsplit('#').next().unwrap_or_default();
    code.split(':').next().unwrap_or_default().trim().to_owned()
}

/// One line of at most 300 characters, or nothing where one of the secrets is in it.
pub(super) fn tidy(message: &str, secrets: &[&[u8]]) -> String {
    let holds =
        |secret: &&[u8]| secret.len() >= 8 && message.as_bytes().windows(secret.len()).any(|part| part == *secret);
    if secrets.iter().any(holds) {
        return String::new();
    }
    message
        .lines()
        .next()
        .unwrap_or_default()
        .trim()
        .chars()
        .filter(|character| !character.is_control())
        .take(300)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str) -> (String, String) {
        from_json(body.as_bytes()).or_else(|| from_xml(body.as_bytes())).unwrap_or_default()
    }

    #[test]
    fn codes_come_from_json_and_xml() {
        for (body, code, message) in [
            (r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#, "ThrottlingException", "Rate exceeded"),
            (r#"{"__type":"com.amazon.coral#AccessDeniedException","Message":"no"}"#, "AccessDeniedException", "no"),
            (r#"{"__type":"ns#Code:http://internal/","message":null}"#, "Code", ""),
            (r#"{"code":"NotFound","message":"no such role"}"#, "NotFound", "no such role"),
            (
                "<ErrorResponse xmlns=\"https://sts/\"><Error><Type>Sender</Type><Code>ExpiredToken</Code>\
                 <Message>a &lt;b&gt; &amp; c</Message></Error><RequestId>1</RequestId></ErrorResponse>",
                "ExpiredToken",
                "a <b> & c",
            ),
            (
                "\n<?xml version=\"1.0\"?><ErrorResponse><Errors><Error><Code>SignatureDoesNotMatch</Code>\
                 <Message><![CDATA[x]]></Message></Error></Errors></ErrorResponse>",
                "SignatureDoesNotMatch",
                "x",
            ),
            ("<html><body>Bad Gateway</body></html>", "", ""),
            ("<!DOCTYPE x [<!ENTITY e \"x\">]><Code>&e;</Code>", "", ""),
            ("<Code>half", "", ""),
            ("", "", ""),
        ] {
            assert_eq!(of(body), (code.to_owned(), message.to_owned()), "{body}");
        }
    }

    fn refusal(status: u16, code: &str, message: &str) -> Refusal {
        Refusal { status, code: code.to_owned(), message: message.to_owned(), request_id: None, after: None }
    }

    #[test]
    fn the_name_of_an_error_counts_before_the_http_status() {
        for (status, code, kind) in [
            (400, "ResourceNotFoundException", Kind::Missing),
            (404, "ResourceNotFoundException", Kind::Missing),
            (400, "ThrottlingException", Kind::Throttled),
            (400, "ExpiredTokenException", Kind::Expired),
            (403, "InvalidClientTokenId", Kind::Expired),
            (403, "SignatureDoesNotMatch", Kind::BadSignature),
            (400, "AccessDeniedException", Kind::Denied),
            (400, "DecryptionFailure", Kind::Decryption),
            (500, "InternalServiceError", Kind::Ill),
            (400, "RequestTimeout", Kind::Ill),
            (429, "", Kind::Throttled),
            (503, "", Kind::Ill),
            (503, "SlowDown", Kind::Throttled),
            (302, "", Kind::Redirect),
            (403, "", Kind::Denied),
            (400, "InvalidParameterException", Kind::Other),
        ] {
            assert_eq!(refusal(status, code, "").kind(), kind, "{status} {code}");
        }
        let deleted = "You can't perform this operation on the secret because it was marked for deletion.";
        assert_eq!(refusal(400, "InvalidRequestException", deleted).kind(), Kind::Missing);
        let deleted = "… secret is currently marked deleted.";
        assert_eq!(refusal(400, "InvalidRequestException", deleted).kind(), Kind::Missing);
        assert_eq!(refusal(400, "InvalidRequestException", "else").kind(), Kind::Other);
        assert_eq!(refusal(501, "", "").again(), Again::Never);
        assert_eq!(refusal(400, "IDPCommunicationError", "").again(), Again::Transient);
    }

    #[test]
    fn a_message_is_one_line_without_secrets() {
        assert_eq!(tidy("first\r\nsecond", &[]), "first");
        assert_eq!(tidy(&"x".repeat(1000), &[]).len(), 300);
        assert_eq!(tidy("your token CANARYCANARY is bad", &[b"CANARYCANARY"]), "");
        assert_eq!(tidy("a\u{1b}[31m", &[]), "a[31m");
    }
}

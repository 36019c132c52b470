//! Parses error responses of AWS (JSON and XML), and distinguishes them from those of proxies.

use std::time::Duration;

use super::errors::sanitize;
use super::xml;
use crate::error::{Error, Status};
use crate::http::retry::RetryClass;
use crate::http::{HttpResponse, is_transient_status, retry_after};
use crate::secrets::json::SecretObject;

/// An error response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServiceError {
    pub(super) status: u16,
    /// The error code, empty if the response has none.
    pub(super) code: String,
    /// Whether the code has the form that AWS uses. The errors of proxies, firewalls, load balancers and captive
    /// portals have other forms, and are not decisions of AWS.
    pub(super) from_aws: bool,
    /// The message, empty if it may contain a secret.
    pub(super) message: String,
    pub(super) request_id: Option<String>,
    pub(super) retry_after: Option<Duration>,
}

/// What an error means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorKind {
    /// The secret does not exist.
    NotFound,
    /// The credentials have expired, or AWS does not (or no longer) know them.
    ExpiredCredentials,
    /// The signature is wrong, because of the secret access key or the clock.
    BadSignature,
    /// A policy denies it.
    AccessDenied,
    /// KMS cannot decrypt the secret.
    Decryption,
    Throttled,
    /// The service fails.
    Unavailable,
    Redirect,
    Other,
}

const EXPIRED_CREDENTIALS: &[&str] = &[
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
const ACCESS_DENIED: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "NotAuthorized",
    "UnauthorizedException",
    "ForbiddenException",
    "OptInRequired",
    "IDPRejectedClaim",
    "InvalidGrantException",
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
const UNAVAILABLE: &[&str] = &[
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
/// Codes that always mean a wrong clock.
const CLOCK_SKEW: &[&str] = &["RequestTimeTooSkewed", "RequestInTheFuture", "RequestExpired"];
/// Codes that a wrong clock can cause.
const MAYBE_CLOCK_SKEW: &[&str] = &[
    "RequestTimeTooSkewed",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "AuthFailure",
    "AccessDeniedException",
    "RequestExpired",
    "RequestInTheFuture",
];

impl ServiceError {
    /// Parses a response in JSON or XML, whatever its content type. Parts that contain one of `secrets` are dropped.
    pub(super) fn parse(response: &HttpResponse, secrets: &[&[u8]]) -> ServiceError {
        let body = &*response.body;
        let mut parsed = from_json(body).or_else(|| from_xml(body)).unwrap_or_default();
        if let Some(code) = response.header("x-amzn-errortype").map(bare_code).filter(|code| !code.is_empty())
            && !parsed.from_aws
        {
            parsed = ErrorParts { code, from_aws: true, ..parsed };
        }
        let ErrorParts { code, message, from_aws } = parsed;
        // For a wrong signature, the message contains the whole request with its session token.
        let is_shown = !BAD_SIGNATURE.contains(&code.as_str());
        let request_id = ["x-amzn-requestid", "x-amz-request-id"].iter().find_map(|name| response.header(name));
        ServiceError {
            status: response.status,
            message: if is_shown { sanitize(&message, secrets) } else { String::new() },
            request_id: request_id.map(|id| sanitize(id, secrets)).filter(|id| !id.is_empty()),
            retry_after: retry_after(response),
            code: sanitize(&code, secrets),
            from_aws,
        }
    }

    /// The error of one secret in the response to BatchGetSecretValue.
    pub(super) fn of_batch_item(item: &SecretObject, status: u16) -> ServiceError {
        let text = |name| item.text(name).unwrap_or_default();
        let (code, message) = (bare_code(text("ErrorCode")), sanitize(text("Message"), &[]));
        let from_aws = !code.is_empty();
        ServiceError { status, code, from_aws, message, request_id: None, retry_after: None }
    }

    /// Classifies by the error code, or by the HTTP status if the code is not known.
    pub(super) fn kind(&self) -> ErrorKind {
        let named = |list: &[&str]| list.contains(&self.code.as_str());
        match self.code.as_str() {
            _ if !self.from_aws => self.foreign_kind(),
            "ResourceNotFoundException" => ErrorKind::NotFound,
            "InvalidRequestException" if ["delet", "Delet"].iter().any(|word| self.message.contains(word)) => {
                ErrorKind::NotFound
            }
            // If STS cannot reach the identity provider, the message says that it could not retrieve the verification
            // key.
            "InvalidIdentityToken" if !self.message.contains("verification key") => ErrorKind::AccessDenied,
            "DecryptionFailure" => ErrorKind::Decryption,
            _ if named(EXPIRED_CREDENTIALS) => ErrorKind::ExpiredCredentials,
            _ if named(BAD_SIGNATURE) => ErrorKind::BadSignature,
            _ if named(ACCESS_DENIED) => ErrorKind::AccessDenied,
            _ if named(THROTTLED) => ErrorKind::Throttled,
            _ if named(UNAVAILABLE) => ErrorKind::Unavailable,
            _ => self.kind_by_status(),
        }
    }

    /// Classifies an error that does not come from AWS. It is an outage or unknown.
    fn foreign_kind(&self) -> ErrorKind {
        let named = |list: &[&str]| list.contains(&self.code.as_str());
        match self.code.as_str() {
            _ if named(THROTTLED) => ErrorKind::Throttled,
            _ if named(UNAVAILABLE) => ErrorKind::Unavailable,
            _ => self.kind_by_status(),
        }
    }

    fn kind_by_status(&self) -> ErrorKind {
        match self.status {
            300..=399 => ErrorKind::Redirect,
            429 => ErrorKind::Throttled,
            500.. | 408 => ErrorKind::Unavailable,
            _ => ErrorKind::Other,
        }
    }

    /// Whether AWS itself denies access, so that a cached value must not be used any longer.
    pub(super) fn is_denial(&self) -> bool {
        let denied = matches!(
            self.kind(),
            ErrorKind::AccessDenied | ErrorKind::ExpiredCredentials | ErrorKind::BadSignature | ErrorKind::Decryption
        );
        denied && self.from_aws && !CLOCK_SKEW.contains(&self.code.as_str())
    }

    pub(super) fn retry_class(&self) -> RetryClass {
        match self.kind() {
            ErrorKind::Throttled => RetryClass::Throttled,
            ErrorKind::Unavailable if self.is_transient() => RetryClass::Transient,
            _ => RetryClass::Never,
        }
    }

    fn is_transient(&self) -> bool {
        is_transient_status(self.status) || UNAVAILABLE.contains(&self.code.as_str())
    }

    pub(super) fn may_be_clock_skew(&self) -> bool {
        self.from_aws && MAYBE_CLOCK_SKEW.contains(&self.code.as_str())
    }

    /// The status for a failed request for credentials: AWS denies them, or the response is not from AWS.
    pub(super) fn status_for_credentials(&self) -> Status {
        if self.from_aws { Status::AccessDenied } else { Status::Protocol }
    }

    /// Converts to an error with this message. `default` is the status for errors whose code does not determine one.
    pub(super) fn to_error(&self, default: Status, message: String) -> Error {
        let status = match self.kind() {
            ErrorKind::Throttled | ErrorKind::Unavailable => Status::Unavailable,
            ErrorKind::ExpiredCredentials
            | ErrorKind::BadSignature
            | ErrorKind::AccessDenied
            | ErrorKind::Decryption => Status::AccessDenied,
            ErrorKind::NotFound | ErrorKind::Redirect | ErrorKind::Other => default,
        };
        let retryable = status == Status::Unavailable;
        let error = Error::new(status, message).with_detail(self.status.into()).with_retryable(retryable);
        if self.is_denial() { error.authoritative() } else { error }
    }

    /// Returns a text for messages: `AccessDeniedException: User … is not authorized … (request 1234)`.
    pub(super) fn describe(&self) -> String {
        let what = match (self.code.as_str(), self.message.as_str()) {
            _ if !self.from_aws => return self.describe_foreign(),
            (code, "") => code.to_owned(),
            (code, message) => format!("{code}: {message}"),
        };
        match &self.request_id {
            Some(id) => format!("{what} (request {id})"),
            None => what,
        }
    }

    fn describe_foreign(&self) -> String {
        let plain = format!("HTTP status {} without an AWS error", self.status);
        match (self.code.as_str(), self.message.as_str()) {
            ("", _) => plain,
            (code, "") => format!("{plain} ({code})"),
            (code, message) => format!("{plain} ({code}: {message})"),
        }
    }
}

/// The parts of an error response.
#[derive(Debug, Default, PartialEq)]
struct ErrorParts {
    code: String,
    message: String,
    from_aws: bool,
}

fn from_json(body: &[u8]) -> Option<ErrorParts> {
    let fields = SecretObject::parse(body)?;
    let by_type = fields.text("__type").map(bare_code).filter(|code| !code.is_empty());
    let from_aws = by_type.is_some();
    // Container endpoints use `code`, IAM Identity Center uses `error`.
    let other = || ["code", "Code", "error"].iter().find_map(|name| fields.text(name)).map(bare_code);
    let message = ["message", "Message", "error_description"].iter().find_map(|name| fields.text(name));
    let code = by_type.or_else(other).unwrap_or_default();
    Some(ErrorParts { code, message: message.unwrap_or_default().to_owned(), from_aws })
}

fn from_xml(body: &[u8]) -> Option<ErrorParts> {
    let document = std::str::from_utf8(body).ok()?;
    let code = bare_code(&xml::text(document, &["Error", "Code"])?);
    let message = xml::text(document, &["Error", "Message"]);
    let message = message.map(|message| message.to_string()).unwrap_or_default();
    (!code.is_empty()).then_some(ErrorParts { code, message, from_aws: true })
}

/// Returns `ThrottlingException` for `com.amazon#ThrottlingException:http://…`.
fn bare_code(code: &str) -> String {
    let code = code.rsplit('#').next().unwrap_or_default();
    code.split(':').next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_parsed_from_json_and_xml() {
        for (body, code, message, from_aws) in [
            (r#"{"__type":"ThrottlingException","message":"too fast"}"#, "ThrottlingException", "too fast", true),
            (r#"{"__type":"com.amazon.coral#AccessDenied","Message":"no"}"#, "AccessDenied", "no", true),
            (r#"{"__type":"ns#Code:http://internal/","message":null}"#, "Code", "", true),
            (r#"{"code":"AccessDenied","message":"no such role"}"#, "AccessDenied", "no such role", false),
            (r#"{"code":403,"message":"blocked"}"#, "403", "blocked", false),
            (r#"{"__type":""}"#, "", "", false),
            (
                "<ErrorResponse xmlns=\"https://sts/\"><Error><Type>Sender</Type><Code>ExpiredToken</Code>\
                 <Message>a &lt;b&gt; &amp; c</Message></Error><RequestId>1</RequestId></ErrorResponse>",
                "ExpiredToken",
                "a <b> & c",
                true,
            ),
            (
                "\n<?xml version=\"1.0\"?><ErrorResponse><Errors><Error><Code>SignatureDoesNotMatch</Code>\
                 <Message><![CDATA[x]]></Message></Error></Errors></ErrorResponse>",
                "SignatureDoesNotMatch",
                "x",
                true,
            ),
            ("<html><body>Bad Gateway</body></html>", "", "", false),
            ("<html><Code>AccessDenied</Code></html>", "", "", false),
            ("", "", "", false),
        ] {
            let parsed = from_json(body.as_bytes()).or_else(|| from_xml(body.as_bytes())).unwrap_or_default();
            assert_eq!(parsed, ErrorParts { code: code.to_owned(), message: message.to_owned(), from_aws }, "{body}");
        }
    }

    fn service_error(status: u16, code: &str, message: &str) -> ServiceError {
        let from_aws = !code.is_empty();
        ServiceError {
            status,
            code: code.to_owned(),
            from_aws,
            message: message.to_owned(),
            request_id: None,
            retry_after: None,
        }
    }

    #[test]
    fn error_in_another_form_is_not_a_decision_of_aws() {
        for code in ["AccessDeniedException", "ExpiredToken", "ResourceNotFoundException", "SignatureDoesNotMatch", ""]
        {
            let other = ServiceError { from_aws: false, ..service_error(403, code, "") };
            assert_eq!(other.kind(), ErrorKind::Other, "{code}");
            assert!(!other.is_denial() && !other.may_be_clock_skew(), "{code}");
        }
        for (code, denial) in [
            ("AccessDeniedException", true),
            ("ExpiredToken", true),
            ("SignatureDoesNotMatch", true),
            ("DecryptionFailure", true),
            ("RequestTimeTooSkewed", false),
            ("MissingAuthenticationTokenException", false),
            ("InvalidRequestException", false),
            ("ThrottlingException", false),
            ("InternalFailure", false),
        ] {
            assert_eq!(service_error(400, code, "").is_denial(), denial, "{code}");
        }
    }

    #[test]
    fn error_code_counts_before_the_http_status() {
        for (status, code, kind) in [
            (400, "ResourceNotFoundException", ErrorKind::NotFound),
            (404, "ResourceNotFoundException", ErrorKind::NotFound),
            (400, "ThrottlingException", ErrorKind::Throttled),
            (400, "ExpiredTokenException", ErrorKind::ExpiredCredentials),
            (403, "InvalidClientTokenId", ErrorKind::ExpiredCredentials),
            (403, "SignatureDoesNotMatch", ErrorKind::BadSignature),
            (400, "AccessDeniedException", ErrorKind::AccessDenied),
            (400, "DecryptionFailure", ErrorKind::Decryption),
            (500, "InternalServiceError", ErrorKind::Unavailable),
            (400, "RequestTimeout", ErrorKind::Unavailable),
            (429, "", ErrorKind::Throttled),
            (503, "", ErrorKind::Unavailable),
            (503, "SlowDown", ErrorKind::Throttled),
            (302, "", ErrorKind::Redirect),
            (403, "", ErrorKind::Other),
            (404, "", ErrorKind::Other),
            (400, "InvalidParameterException", ErrorKind::Other),
        ] {
            assert_eq!(service_error(status, code, "").kind(), kind, "{status} {code}");
        }
        let deleted = "You can't perform this operation on the secret because it was marked for deletion.";
        assert_eq!(service_error(400, "InvalidRequestException", deleted).kind(), ErrorKind::NotFound);
        for deleted in
            ["… secret is currently marked deleted.", "… because it was deleted.", "… scheduled for deletion."]
        {
            assert_eq!(service_error(400, "InvalidRequestException", deleted).kind(), ErrorKind::NotFound);
        }
        let unreachable = "Couldn't retrieve verification key from your identity provider, please reference …";
        assert_eq!(service_error(400, "InvalidIdentityToken", unreachable).kind(), ErrorKind::Other);
        let unknown = "No OpenIDConnect provider found in your account for https://…";
        assert_eq!(service_error(400, "InvalidIdentityToken", unknown).kind(), ErrorKind::AccessDenied);
        assert_eq!(service_error(400, "InvalidRequestException", "else").kind(), ErrorKind::Other);
        assert_eq!(service_error(501, "", "").retry_class(), RetryClass::Never);
        assert_eq!(service_error(400, "IDPCommunicationError", "").retry_class(), RetryClass::Transient);
    }
}

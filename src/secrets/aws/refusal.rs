//! Parses error answers of AWS (JSON and XML), and distinguishes them from those of proxies.

use std::time::Duration;

use super::fields::Fields;
use super::xml;
use crate::http::retry::Again;
use crate::http::{Response, is_transient_status, retry_after};

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// The name of the error, empty where the answer has none.
    pub(super) code: String,
    /// Whether the code is in the form that AWS itself writes. Proxies, firewalls, load balancers and captive portals
    /// answer in other forms, and what they say is not AWS's decision.
    pub(super) by_aws: bool,
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
/// Those that say nothing but that a clock is wrong.
const CLOCK: &[&str] = &["RequestTimeTooSkewed", "RequestInTheFuture", "RequestExpired"];
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
        let body = &*response.body;
        let mut found = from_json(body).or_else(|| from_xml(body)).unwrap_or_default();
        if let Some(code) = response.header("x-amzn-errortype").map(bare_code).filter(|code| !code.is_empty())
            && !found.by_aws
        {
            found = Found { code, by_aws: true, ..found };
        }
        let Found { code, message, by_aws } = found;
        // AWS repeats the whole request, its session token included, to who has signed it wrongly.
        let quotable = !BAD_SIGNATURE.contains(&code.as_str());
        let request_id = ["x-amzn-requestid", "x-amz-request-id"].iter().find_map(|name| response.header(name));
        Refusal {
            status: response.status,
            message: if quotable { tidy(&message, secrets) } else { String::new() },
            request_id: request_id.map(|id| tidy(id, secrets)).filter(|id| !id.is_empty()),
            after: retry_after(response),
            code: tidy(&code, secrets),
            by_aws,
        }
    }

    /// What one answer for many says of one of them.
    pub(super) fn of_part(part: &Fields, status: u16) -> Refusal {
        let text = |name| part.text(name).unwrap_or_default();
        let (code, message) = (bare_code(text("ErrorCode")), tidy(text("Message"), &[]));
        let by_aws = !code.is_empty();
        Refusal { status, code, by_aws, message, request_id: None, after: None }
    }

    /// By the error's name; the HTTP status counts only where that says nothing.
    pub(super) fn kind(&self) -> Kind {
        let named = |list: &[&str]| list.contains(&self.code.as_str());
        match self.code.as_str() {
            _ if !self.by_aws => self.kind_of_other(),
            "ResourceNotFoundException" => Kind::Missing,
            "InvalidRequestException" if ["delet", "Delet"].iter().any(|word| self.message.contains(word)) => {
                Kind::Missing
            }
            // Of a provider that STS cannot reach it says that the verification key could not be retrieved.
            "InvalidIdentityToken" if !self.message.contains("verification key") => Kind::Denied,
            "DecryptionFailure" => Kind::Decryption,
            _ if named(EXPIRED) => Kind::Expired,
            _ if named(BAD_SIGNATURE) => Kind::BadSignature,
            _ if named(DENIED) => Kind::Denied,
            _ if named(THROTTLED) => Kind::Throttled,
            _ if named(ILL) => Kind::Ill,
            _ => self.kind_of_status(),
        }
    }

    /// Of an answer that is not in AWS's form: it can be an outage, and no more.
    fn kind_of_other(&self) -> Kind {
        let named = |list: &[&str]| list.contains(&self.code.as_str());
        match self.code.as_str() {
            _ if named(THROTTLED) => Kind::Throttled,
            _ if named(ILL) => Kind::Ill,
            _ => self.kind_of_status(),
        }
    }

    fn kind_of_status(&self) -> Kind {
        match self.status {
            300..=399 => Kind::Redirect,
            429 => Kind::Throttled,
            500.. | 408 => Kind::Ill,
            _ => Kind::Other,
        }
    }

    /// Whether AWS itself denies it, so that an earlier answer must not be used any more.
    pub(super) fn is_denial(&self) -> bool {
        let denied = matches!(self.kind(), Kind::Denied | Kind::Expired | Kind::BadSignature | Kind::Decryption);
        denied && self.by_aws && !CLOCK.contains(&self.code.as_str())
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
        self.by_aws && BY_CLOCK.contains(&self.code.as_str())
    }

    /// The error for a person: `AccessDeniedException: User … is not authorized …  (request 1234)`.
    pub(super) fn words(&self) -> String {
        let what = match (self.code.as_str(), self.message.as_str()) {
            _ if !self.by_aws => return self.words_of_other(),
            (code, "") => code.to_owned(),
            (code, message) => format!("{code}: {message}"),
        };
        match &self.request_id {
            Some(id) => format!("{what} (request {id})"),
            None => what,
        }
    }

    fn words_of_other(&self) -> String {
        let plain = format!("HTTP status {} without an error of AWS", self.status);
        match (self.code.as_str(), self.message.as_str()) {
            ("", _) => plain,
            (code, "") => format!("{plain} ({code})"),
            (code, message) => format!("{plain} ({code}: {message})"),
        }
    }
}

/// What an error answer holds.
#[derive(Debug, Default, PartialEq)]
struct Found {
    code: String,
    message: String,
    by_aws: bool,
}

fn from_json(body: &[u8]) -> Option<Found> {
    let fields = Fields::parse(body)?;
    let by_type = fields.text("__type").map(bare_code).filter(|code| !code.is_empty());
    let by_aws = by_type.is_some();
    // Containers have `code`, logins `error`.
    let other = || ["code", "Code", "error"].iter().find_map(|name| fields.text(name)).map(bare_code);
    let message = ["message", "Message", "error_description"].iter().find_map(|name| fields.text(name));
    let code = by_type.or_else(other).unwrap_or_default();
    Some(Found { code, message: message.unwrap_or_default().to_owned(), by_aws })
}

fn from_xml(body: &[u8]) -> Option<Found> {
    let document = std::str::from_utf8(body).ok()?;
    let code = bare_code(&xml::text(document, &["Error", "Code"])?);
    let message = xml::text(document, &["Error", "Message"]);
    let message = message.map(|message| message.to_string()).unwrap_or_default();
    (!code.is_empty()).then_some(Found { code, message, by_aws: true })
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

    #[test]
    fn codes_come_from_json_and_xml() {
        for (body, code, message, by_aws) in [
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
            let found = from_json(body.as_bytes()).or_else(|| from_xml(body.as_bytes())).unwrap_or_default();
            assert_eq!(found, Found { code: code.to_owned(), message: message.to_owned(), by_aws }, "{body}");
        }
    }

    fn refusal(status: u16, code: &str, message: &str) -> Refusal {
        let by_aws = !code.is_empty();
        Refusal { status, code: code.to_owned(), by_aws, message: message.to_owned(), request_id: None, after: None }
    }

    #[test]
    fn an_error_in_another_form_is_not_a_decision_of_aws() {
        for code in ["AccessDeniedException", "ExpiredToken", "ResourceNotFoundException", "SignatureDoesNotMatch", ""]
        {
            let other = Refusal { by_aws: false, ..refusal(403, code, "") };
            assert_eq!(other.kind(), Kind::Other, "{code}");
            assert!(!other.is_denial() && !other.may_be_the_clock(), "{code}");
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
            assert_eq!(refusal(400, code, "").is_denial(), denial, "{code}");
        }
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
            (403, "", Kind::Other),
            (404, "", Kind::Other),
            (400, "InvalidParameterException", Kind::Other),
        ] {
            assert_eq!(refusal(status, code, "").kind(), kind, "{status} {code}");
        }
        let deleted = "You can't perform this operation on the secret because it was marked for deletion.";
        assert_eq!(refusal(400, "InvalidRequestException", deleted).kind(), Kind::Missing);
        for deleted in
            ["… secret is currently marked deleted.", "… because it was deleted.", "… scheduled for deletion."]
        {
            assert_eq!(refusal(400, "InvalidRequestException", deleted).kind(), Kind::Missing);
        }
        let unreachable = "Couldn't retrieve verification key from your identity provider, please reference …";
        assert_eq!(refusal(400, "InvalidIdentityToken", unreachable).kind(), Kind::Other);
        let unknown = "No OpenIDConnect provider found in your account for https://…";
        assert_eq!(refusal(400, "InvalidIdentityToken", unknown).kind(), Kind::Denied);
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

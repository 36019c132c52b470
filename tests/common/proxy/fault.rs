//! What can go wrong.

use std::time::Duration;

use serde_json::json;

/// What a proxy does with a request (or, passing bytes on, with a connection).
#[derive(Clone, Debug, Default)]
pub enum Fault {
    /// Nothing goes wrong.
    #[default]
    Pass,
    /// The request is taken and never answered.
    Hang,
    /// The connection is closed before anything is read.
    Refuse,
    /// The connection is reset before anything is read.
    ResetBefore,
    /// The server answers, and the connection is reset instead of the answer.
    ResetAfter,
    /// The server answers, and the connection is closed after the head and half the body.
    Half,
    /// The server answers, and its answer comes at one byte a second.
    Slow,
    /// The same, with the head at once.
    SlowBody,
    /// The server answers, and its answer comes when [`Proxy::heal`](super::Proxy::heal) is called.
    Hold,
    /// Only where bytes are passed on: the connection is closed after so many bytes from the server.
    Cut(usize),
    /// It takes so long before the request reaches the server.
    Delay(Duration),
    /// This answer, and the server does not hear of the request.
    Answer(Reply),
    /// A redirect (307) to the place itself, with a longer path each time.
    RedirectForever,
    /// 200 with a body of this many bytes, announced in Content-Length.
    Huge(u64),
    /// 200 with a body that has no end.
    Endless,
    /// The server's answer, with the header Date off by so many seconds.
    Date(i64),
    /// The server's clock is off by so many seconds: a request with an X-Amz-Date more than five minutes from that is
    /// refused as by AWS (400, InvalidSignatureException, with the header Date), any other passes. Date is that
    /// clock's.
    Clock(i64),
    /// Lines that are not HTTP.
    Garbage,
}

/// An answer that no server gave.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn new(status: u16) -> Reply {
        Reply { status, headers: Vec::new(), body: Vec::new() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Reply {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Reply {
        self.body = body.into();
        self
    }
}

impl From<Reply> for Fault {
    fn from(reply: Reply) -> Fault {
        Fault::Answer(reply)
    }
}

impl Fault {
    pub(super) fn is_of_connections(&self) -> bool {
        use Fault::{Cut, Delay, Hang, Pass, Refuse, ResetBefore, Slow};
        matches!(self, Pass | Hang | Refuse | ResetBefore | Slow | Cut(_) | Delay(_))
    }

    /// This status with an empty body.
    pub fn status(status: u16) -> Fault {
        Reply::new(status).into()
    }

    /// The same with `Retry-After`.
    pub fn retry_after(status: u16, value: &str) -> Fault {
        Reply::new(status).header("Retry-After", value).into()
    }

    /// An error of AWS as AWS sends it: `aws(400, "ThrottlingException")`, `aws(400, "ExpiredTokenException")`.
    pub fn aws(status: u16, code: &str) -> Fault {
        let body = json!({"__type": code, "message": "made by the proxy of the tests"});
        Reply::new(status).header("Content-Type", "application/x-amz-json-1.1").body(body.to_string()).into()
    }

    /// An error of AWS in XML, as STS and moto send it.
    pub fn aws_xml(status: u16, code: &str) -> Fault {
        let body = format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>made by the proxy</Message></Error></ErrorResponse>"
        );
        Reply::new(status).header("Content-Type", "text/xml").body(body).into()
    }

    /// An error of Vault: `vault(403, &["permission denied"])`.
    pub fn vault(status: u16, errors: &[&str]) -> Fault {
        Reply::new(status).body(json!({"errors": errors}).to_string()).into()
    }

    /// A redirect to a URL (307 keeps the method).
    pub fn redirect(status: u16, url: &str) -> Fault {
        Reply::new(status).header("Location", url).into()
    }
}

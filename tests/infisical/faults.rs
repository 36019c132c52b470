//! Faults between client and server, of `common::remote::faults`. The login passes the same proxy, so that the first
//! request with a fault is the login; with a token, it is the one for the secrets.

use std::cell::RefCell;

use serde_json::json;
use st_secrets::{Source, Status};

use crate::common::open;
use crate::common::proxy::{Fault, Proxy, Reply};
use crate::common::remote::alone;
use crate::common::remote::faults::Case;
use crate::{Infisical, PLACE, at};

/// An error in the form of Infisical.
fn own_error(code: u16, name: &str) -> Reply {
    let body = json!({"reqId": "r", "statusCode": code, "error": name, "message": "made by the proxy"});
    Reply::new(code).body(body.to_string())
}

/// Requests with a token, without a login.
fn case(server: &Infisical) -> Case<'_> {
    let token = server.file("token");
    Case {
        source: Source::Infisical,
        address: server.address(),
        key: "HF_TOKEN",
        open: Box::new(move |url, more| {
            open(&[&PLACE, &[("infisical_url", url), ("infisical_token_file", &*token)][..], more].concat()).unwrap()
        }),
        foreign: "is not from Infisical",
        redirect: "redirects are not followed",
        denied: (own_error(403, "PermissionDenied"), "give the token a role in the project"),
        missing: (own_error(404, "NotFound"), "does not exist"),
        throttled: (own_error(429, "RateLimitError"), "RateLimitError"),
        more: vec![
            (Fault::Endless, Status::Protocol, "longer than"),
            (own_error(500, "InternalServerError").into(), Status::Unavailable, "InternalServerError"),
            (own_error(422, "ValidationFailure").into(), Status::Protocol, "ValidationFailure"),
            (own_error(401, "UnauthorizedError").into(), Status::AccessDenied, "UnauthorizedError"),
            // Another server with the same framework.
            (own_error(404, "Not Found").into(), Status::Protocol, "is not from Infisical"),
            (Reply::new(403).body(r#"{"error": "forbidden"}"#).into(), Status::Protocol, "is not from Infisical"),
        ],
    }
}

#[test]
fn fault_is_reported_in_time_with_its_status() {
    alone!(|| case(&Infisical::start()).is_reported_in_time_with_its_status());
}

#[test]
fn transient_failure_and_throttling_are_repeated() {
    alone!(|| case(&Infisical::start()).is_repeated());
}

#[test]
fn fault_of_the_login_is_reported_in_time() {
    alone!(|| {
        let server = Infisical::start();
        let place = RefCell::new(String::new());
        // The URL is also that of the login, and nothing is requested after a login that failed.
        let case = Case { open: Box::new(|_, more| at(&place.borrow(), &server, more)), ..case(&server) };
        let denied = (own_error(401, "UnauthorizedError"), "the login of the client ID client-reader at");
        let log_in_at = |tokens: &Proxy| *place.borrow_mut() = tokens.url();
        case.of_the_login_is_reported("", log_in_at, "is not from Infisical", denied);
    });
}

#[test]
fn unreachable_server_times_out() {
    alone!(|| case(&Infisical::start()).times_out_without_a_server());
}

#[test]
fn cached_value_is_used_during_an_outage_and_not_after_a_denial() {
    alone!(|| case(&Infisical::start()).is_served_stale_during_an_outage_only());
}

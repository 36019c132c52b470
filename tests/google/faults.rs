//! Faults between client and server, of `common::remote::faults`.

use serde_json::json;
use st_secrets::{Manager, Source, Status};

use crate::common::proxy::{Fault, Proxy, Reply};
use crate::common::remote::alone;
use crate::common::remote::faults::Case;
use crate::common::write;
use crate::{Google, at};

const ONE: &str = r#"[{"google_secret": "db-password", "as": "K"}]"#;

/// An error in Google's form.
fn google_error(code: u16, status: &str) -> Reply {
    let body = json!({"error": {"code": code, "message": "made by the proxy", "status": status}});
    Reply::new(code).body(body.to_string())
}

fn case(google: &Google) -> Case<'_> {
    with_file(google, google.file("service_account"))
}

fn with_file(google: &Google, file: String) -> Case<'_> {
    let open = move |url: &str, more: &[(&str, &str)]| -> Manager { at(url, ONE, &file, more) };
    Case {
        source: Source::Google,
        address: google.address(),
        key: "K",
        open: Box::new(open),
        foreign: "is not from Secret Manager",
        redirect: "redirects are not followed",
        denied: (google_error(403, "PERMISSION_DENIED"), "grant roles/"),
        missing: (google_error(404, "NOT_FOUND"), "it does not exist"),
        throttled: (google_error(429, "RESOURCE_EXHAUSTED"), "RESOURCE_EXHAUSTED"),
        more: vec![
            (Fault::Endless, Status::Protocol, "longer than"),
            (google_error(503, "UNAVAILABLE").into(), Status::Unavailable, "UNAVAILABLE"),
            (google_error(400, "INVALID_ARGUMENT").into(), Status::Protocol, "INVALID_ARGUMENT"),
        ],
    }
}

#[test]
fn fault_is_reported_in_time_with_its_status() {
    alone!(|| case(&Google::start()).is_reported_in_time_with_its_status());
}

#[test]
fn transient_failure_and_throttling_are_repeated() {
    alone!(|| case(&Google::start()).is_repeated());
}

#[test]
fn fault_of_the_token_server_is_reported_in_time() {
    alone!(|| {
        let google = Google::start();
        let directory = crate::common::temp();
        let file = directory.path().join("user.json");
        let user = std::fs::read_to_string(google.file("user")).unwrap();
        let case = with_file(&google, file.to_str().unwrap().to_owned());
        let denied = Reply::new(400).body(r#"{"error": "invalid_grant"}"#);
        let log_in_at = |tokens: &Proxy| drop(write(&file, &user.replace(&google.address(), tokens.address())));
        case.of_the_login_is_reported(&google.url(), log_in_at, "is not from Google", (denied, "invalid_grant"));
    });
}

#[test]
fn unreachable_server_times_out() {
    alone!(|| case(&Google::start()).times_out_without_a_server());
}

#[test]
fn cached_value_is_used_during_an_outage_and_not_after_a_denial() {
    alone!(|| case(&Google::start()).is_served_stale_during_an_outage_only());
}

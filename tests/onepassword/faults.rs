//! Faults between client and server, of `common::remote::faults`.

use serde_json::json;
use st_secrets::{Source, Status};

use crate::common::proxy::{Fault, Reply};
use crate::common::remote::alone;
use crate::common::remote::faults::Case;
use crate::{DATABASE, OnePassword, at};

/// An error in the form of a Connect server.
fn own_error(code: u16) -> Reply {
    Reply::new(code).body(json!({"status": code, "message": "made by the proxy"}).to_string())
}

fn case(server: &OnePassword) -> Case<'_> {
    Case {
        source: Source::OnePassword,
        address: server.address(),
        key: "HF_TOKEN",
        open: Box::new(|url, more| at(url, server, &[&[("onepassword_item", DATABASE)], more].concat())),
        foreign: "is not from 1Password Connect",
        redirect: "redirects are not followed",
        denied: (own_error(403), "give the token access to the vault"),
        missing: (own_error(404), "does not exist"),
        throttled: (own_error(429), "the server is throttling"),
        more: vec![
            (Fault::Endless, Status::Protocol, "longer than"),
            (own_error(503).into(), Status::Unavailable, "HTTP status 503"),
            (own_error(400).into(), Status::Protocol, "made by the proxy"),
            (own_error(401).into(), Status::AccessDenied, "does not accept the token"),
            (Reply::new(403).body(r#"{"status": 404, "message": "x"}"#).into(), Status::Protocol, "is not from"),
        ],
    }
}

#[test]
fn fault_is_reported_in_time_with_its_status() {
    alone!(|| case(&OnePassword::start()).is_reported_in_time_with_its_status());
}

#[test]
fn transient_failure_and_throttling_are_repeated() {
    alone!(|| case(&OnePassword::start()).is_repeated());
}

#[test]
fn unreachable_server_times_out() {
    alone!(|| case(&OnePassword::start()).times_out_without_a_server());
}

#[test]
fn cached_value_is_used_during_an_outage_and_not_after_a_denial() {
    alone!(|| case(&OnePassword::start()).is_served_stale_during_an_outage_only());
}

//! Faults between client and server, of `common::remote::faults`.

use serde_json::json;
use st_secrets::{Source, Status};

use crate::common::proxy::Reply;
use crate::common::remote::alone;
use crate::common::remote::faults::Case;
use crate::{Kubernetes, at};

/// An error in the form of the API server.
fn own_error(code: u16, reason: &str) -> Reply {
    let details = json!({"name": "train", "kind": "secrets"});
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "made by the proxy",
        "reason": reason, "details": details, "code": code,
    });
    Reply::new(code).body(body.to_string())
}

fn case(server: &Kubernetes) -> Case<'_> {
    Case {
        source: Source::Kubernetes,
        address: server.address(),
        key: "HF_TOKEN",
        open: Box::new(|url, more| at(url, server, &[&[("kubernetes_secret", "train")], more].concat())),
        foreign: "is not from a Kubernetes API server",
        redirect: "is not from a Kubernetes API server",
        denied: (own_error(403, "Forbidden"), "give the account a Role"),
        missing: (own_error(404, "NotFound"), "it does not exist"),
        throttled: (own_error(429, "TooManyRequests"), "limits the rate"),
        more: vec![
            (own_error(503, "ServiceUnavailable").into(), Status::Unavailable, "made by the proxy"),
            (own_error(410, "Expired").into(), Status::Unavailable, "has expired"),
            (own_error(401, "Unauthorized").into(), Status::AccessDenied, "does not accept the credentials"),
        ],
    }
}

#[test]
fn fault_is_reported_in_time_with_its_status() {
    alone!(|| case(&Kubernetes::start()).is_reported_in_time_with_its_status());
}

#[test]
fn transient_failure_and_throttling_are_repeated() {
    alone!(|| case(&Kubernetes::start()).is_repeated());
}

#[test]
fn unreachable_server_times_out() {
    alone!(|| case(&Kubernetes::start()).times_out_without_a_server());
}

#[test]
fn cached_value_is_used_during_an_outage_and_not_after_a_denial() {
    alone!(|| case(&Kubernetes::start()).is_served_stale_during_an_outage_only());
}

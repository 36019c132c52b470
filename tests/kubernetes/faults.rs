//! Faults between client and server: each is reported in time, with the right status, and closes its connections.

use std::time::{Duration, Instant};

use serde_json::json;
use st_secrets::{Options, Source, Status};

use crate::common::proxy::{BlackHole, Fault, Proxy, Reply};
use crate::common::text;
use crate::common::time::PATIENCE;
use crate::{Kubernetes, REFRESH, alone, at, read};

const TRAIN: (&str, &str) = ("kubernetes_secret", "train");

/// An error in the form of the API server.
fn own_error(code: u16, reason: &str) -> Reply {
    let details = json!({"name": "train", "kind": "secrets"});
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "made by the proxy",
        "reason": reason, "details": details, "code": code,
    });
    Reply::new(code).body(body.to_string())
}

#[test]
fn fault_is_reported_in_time_with_its_status() {
    alone!(|| {
        let server = Kubernetes::start();
        let proxy = Proxy::to(&server.address());
        let elsewhere = Proxy::to(&server.address());
        for (fault, status, words) in [
            (Fault::Hang, Status::Timeout, "timed out"),
            (Fault::SlowBody, Status::Timeout, "timed out"),
            (Fault::Half, Status::Unavailable, "closed the connection"),
            (Fault::Refuse, Status::Unavailable, "failed"),
            (Fault::ResetBefore, Status::Unavailable, "failed"),
            (Fault::ResetAfter, Status::Unavailable, "failed"),
            (Fault::Garbage, Status::Protocol, "is not HTTP"),
            (Fault::status(500), Status::Unavailable, "HTTP 500"),
            (own_error(429, "TooManyRequests").into(), Status::Unavailable, "limits the rate"),
            (own_error(503, "ServiceUnavailable").into(), Status::Unavailable, "made by the proxy"),
            (own_error(410, "Expired").into(), Status::Unavailable, "has expired"),
            (own_error(401, "Unauthorized").into(), Status::AccessDenied, "does not accept the credentials"),
            (own_error(403, "Forbidden").into(), Status::AccessDenied, "give the account a Role"),
            (own_error(404, "NotFound").into(), Status::NotFound, "it does not exist"),
            (Fault::status(403), Status::Protocol, "is not from a Kubernetes API server"),
            (Fault::status(404), Status::Protocol, "is not from a Kubernetes API server"),
            (Reply::new(200).body("<html>").into(), Status::Protocol, "is not from a Kubernetes API server"),
            (Reply::new(200).body("{}").into(), Status::Protocol, "is not from a Kubernetes API server"),
            (Fault::redirect(307, &elsewhere.url()), Status::Protocol, "is not from a Kubernetes API server"),
        ] {
            proxy.always(fault.clone());
            // A request that is throttled is repeated until the timeout.
            let timeout = match &fault {
                _ if status == Status::Timeout => "1.5",
                Fault::Answer(reply) if reply.status == 429 => "6",
                _ => "60",
            };
            let secrets = at(&proxy.url(), &server, &[TRAIN, ("timeout", timeout)]);
            let start = Instant::now();
            let error = secrets.get("HF_TOKEN").unwrap_err();
            assert!(start.elapsed() < PATIENCE, "{fault:?}: {:?}", start.elapsed());
            assert_eq!(error.status(), status, "{fault:?}: {error}");
            assert!(error.message().contains(words) && !error.message().contains("CANARY"), "{fault:?}: {error}");
            if status != Status::NotFound {
                assert_eq!(error.source_provider(), Source::Kubernetes, "{error:?}");
            }
            let is_outage = matches!(status, Status::Unavailable | Status::Timeout);
            assert_eq!(error.is_retryable(), is_outage, "{fault:?}: {error}");
            drop(secrets);
            proxy.wait_until_closed();
        }
        assert_eq!(elsewhere.connections(), 0, "redirects are not followed");
    });
}

#[test]
fn transient_failure_and_throttling_are_repeated() {
    alone!(|| {
        let server = Kubernetes::start();
        let proxy = Proxy::to(&server.address());
        let secrets = at(&proxy.url(), &server, &[TRAIN, ("timeout", "60")]);
        for fault in [Fault::status(503), Fault::ResetAfter, Fault::retry_after(429, "1"), Fault::Half] {
            proxy.next(1, fault.clone());
            let before = proxy.requests().len();
            assert!(read(&secrets, "HF_TOKEN").is_ok(), "{fault:?}");
            assert!(proxy.requests().len() > before, "{fault:?}");
        }
    });
}

#[test]
fn unreachable_server_times_out() {
    alone!(|| {
        let server = Kubernetes::start();
        let secrets = at(&BlackHole::open().url(), &server, &[TRAIN]);
        let (start, limit) = (Instant::now(), Duration::from_millis(700));
        let error = secrets.get_with("HF_TOKEN", &Options { timeout: Some(limit), ..Options::default() }).unwrap_err();
        assert!(matches!(error.status(), Status::Timeout | Status::Unavailable), "{error}");
        assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    });
}

#[test]
fn cached_value_is_used_during_an_outage_and_not_after_a_denial() {
    alone!(|| {
        let server = Kubernetes::start();
        let proxy = Proxy::to(&server.address());
        let secrets = at(&proxy.url(), &server, &[TRAIN]);
        assert_eq!(text(&secrets, "HF_TOKEN").as_deref(), Some("CANARY-hf"));
        for fault in [Fault::status(503), Fault::Refuse, Fault::status(403), Fault::status(404)] {
            proxy.always(fault.clone());
            let secret = secrets.get_with("HF_TOKEN", &REFRESH);
            let secret = secret.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
            assert!(secret.is_stale(), "{fault:?}");
        }
        for (fault, status) in
            [(own_error(403, "Forbidden"), Status::AccessDenied), (own_error(404, "NotFound"), Status::NotFound)]
        {
            proxy.heal();
            secrets.refresh(None).unwrap();
            assert!(secrets.get("HF_TOKEN").is_ok());
            proxy.always(fault);
            assert_eq!(secrets.get_with("HF_TOKEN", &REFRESH).unwrap_err().status(), status);
            assert_eq!(secrets.get("HF_TOKEN").unwrap_err().status(), status);
        }
    });
}

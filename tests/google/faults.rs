//! Faults between client and server: each is reported in time, with the right status, and closes its connections.

use std::time::{Duration, Instant};

use serde_json::json;
use st_secrets::{Options, Source, Status};

use crate::common::proxy::{BlackHole, Fault, Proxy, Reply};
use crate::common::time::PATIENCE;
use crate::common::{text, write};
use crate::{Google, REFRESH, alone, at, read};

const ONE: &str = r#"[{"google_secret": "db-password", "as": "K"}]"#;

/// An error in Google's form.
fn google_error(code: u16, status: &str) -> Reply {
    let body = json!({"error": {"code": code, "message": "made by the proxy", "status": status}});
    Reply::new(code).body(body.to_string())
}

#[test]
fn fault_is_reported_in_time_with_its_status() {
    alone!(|| {
        let google = Google::start();
        let proxy = Proxy::to(&google.address());
        let elsewhere = Proxy::to(&google.address());
        for (fault, status, words) in [
            (Fault::Hang, Status::Timeout, "timed out"),
            (Fault::SlowBody, Status::Timeout, "timed out"),
            (Fault::Half, Status::Unavailable, "closed the connection"),
            (Fault::Refuse, Status::Unavailable, "failed"),
            (Fault::ResetBefore, Status::Unavailable, "failed"),
            (Fault::ResetAfter, Status::Unavailable, "failed"),
            (Fault::Garbage, Status::Protocol, "is not HTTP"),
            (Fault::Endless, Status::Protocol, "longer than"),
            (Fault::status(500), Status::Unavailable, "HTTP status 500"),
            (Fault::status(503), Status::Unavailable, "HTTP status 503"),
            (google_error(429, "RESOURCE_EXHAUSTED").into(), Status::Unavailable, "RESOURCE_EXHAUSTED"),
            (google_error(503, "UNAVAILABLE").into(), Status::Unavailable, "UNAVAILABLE"),
            (google_error(400, "INVALID_ARGUMENT").into(), Status::Protocol, "INVALID_ARGUMENT"),
            (google_error(403, "PERMISSION_DENIED").into(), Status::AccessDenied, "grant roles/"),
            (google_error(404, "NOT_FOUND").into(), Status::NotFound, "it does not exist"),
            (Fault::status(403), Status::Protocol, "is not from Secret Manager"),
            (Fault::status(404), Status::Protocol, "is not from Secret Manager"),
            (Reply::new(200).body("<html>").into(), Status::Protocol, "is not from Secret Manager"),
            (Reply::new(200).body("{}").into(), Status::Protocol, "is not from Secret Manager"),
            (Fault::redirect(307, &elsewhere.url()), Status::Protocol, "redirects are not followed"),
        ] {
            proxy.always(fault.clone());
            // A fault that ends with the timeout would otherwise last longer than the test waits.
            // A request that is throttled is repeated until the timeout.
            let timeout = match &fault {
                _ if status == Status::Timeout => "1.5",
                Fault::Answer(reply) if reply.status == 429 => "6",
                _ => "60",
            };
            let secrets = at(&proxy.url(), ONE, &google.file("service_account"), &[("timeout", timeout)]);
            let start = Instant::now();
            let error = secrets.get("K").unwrap_err();
            assert!(start.elapsed() < PATIENCE, "{fault:?}: {:?}", start.elapsed());
            assert_eq!(error.status(), status, "{fault:?}: {error}");
            assert!(error.message().contains(words) && !error.message().contains("CANARY"), "{fault:?}: {error}");
            if status != Status::NotFound {
                assert_eq!(error.source_provider(), Source::Google, "{error:?}");
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
        let google = Google::start();
        let proxy = Proxy::to(&google.address());
        let secrets = at(&proxy.url(), ONE, &google.file("service_account"), &[]);
        for fault in [Fault::status(503), Fault::ResetAfter, Fault::retry_after(429, "1"), Fault::Half] {
            proxy.next(1, fault.clone());
            let before = proxy.requests().len();
            assert!(read(&secrets, "K").is_ok(), "{fault:?}");
            assert!(proxy.requests().len() > before, "{fault:?}");
        }
        let start = Instant::now();
        proxy.next(1, Fault::retry_after(503, "3"));
        assert!(read(&secrets, "K").is_ok());
        assert!(start.elapsed() >= Duration::from_secs(3), "Retry-After is respected");
    });
}

#[test]
fn fault_of_the_token_server_is_reported_in_time() {
    alone!(|| {
        let google = Google::start();
        let tokens = Proxy::to(&google.address());
        let user = std::fs::read_to_string(google.file("user")).unwrap();
        let directory = crate::common::temp();
        let user = write(&directory.path().join("user.json"), &user.replace(&google.address(), tokens.address()));
        for (fault, status, words) in [
            (Fault::Hang, Status::Timeout, "timed out"),
            (Fault::Refuse, Status::Unavailable, "failed"),
            (Fault::status(500), Status::Unavailable, "HTTP status 500"),
            (Fault::status(403), Status::Protocol, "is not from Google"),
            (Reply::new(200).body("{}").into(), Status::Protocol, "is not from Google"),
            (Reply::new(400).body(r#"{"error": "invalid_grant"}"#).into(), Status::AccessDenied, "invalid_grant"),
        ] {
            tokens.always(fault.clone());
            let timeout = if status == Status::Timeout { "1.5" } else { "60" };
            let secrets = at(&google.url(), ONE, user.to_str().unwrap(), &[("timeout", timeout)]);
            let error = secrets.get("K").unwrap_err();
            assert_eq!((error.status(), error.source_provider()), (status, Source::Google), "{fault:?}: {error}");
            assert!(error.message().contains(words) && !error.message().contains("CANARY"), "{fault:?}: {error}");
        }
    });
}

#[test]
fn unreachable_server_times_out() {
    alone!(|| {
        let google = Google::start();
        let unreachable = BlackHole::open();
        let secrets = at(&unreachable.url(), ONE, &google.file("service_account"), &[]);
        let (start, limit) = (Instant::now(), Duration::from_millis(700));
        let error = secrets.get_with("K", &Options { timeout: Some(limit), ..Options::default() }).unwrap_err();
        assert_eq!(error.status(), Status::Timeout, "{error}");
        assert!((limit..PATIENCE / 2).contains(&start.elapsed()), "{:?}", start.elapsed());
    });
}

#[test]
fn cached_value_is_used_during_an_outage_and_not_after_a_denial() {
    alone!(|| {
        let google = Google::start();
        let proxy = Proxy::to(&google.address());
        let secrets = at(&proxy.url(), ONE, &google.file("service_account"), &[]);
        assert_eq!(text(&secrets, "K").as_deref(), Some("CANARY-second-value"));
        for fault in [Fault::status(503), Fault::Refuse, Fault::status(403), Fault::status(404)] {
            proxy.always(fault.clone());
            let secret = secrets.get_with("K", &REFRESH);
            let secret = secret.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
            assert!(secret.is_stale(), "{fault:?}");
        }
        for (fault, status) in [
            (google_error(403, "PERMISSION_DENIED"), Status::AccessDenied),
            (google_error(404, "NOT_FOUND"), Status::NotFound),
        ] {
            proxy.heal();
            secrets.refresh(None).unwrap();
            assert!(secrets.get("K").is_ok());
            proxy.always(fault);
            assert_eq!(secrets.get_with("K", &REFRESH).unwrap_err().status(), status);
            assert_eq!(secrets.get("K").unwrap_err().status(), status);
        }
    });
}

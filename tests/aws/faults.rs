//! Behind a proxy that makes faults: each ends in time, as what it is, and leaves nothing open.

use std::time::{Duration, Instant};

use st_secrets::{Manager, Options, Source, Status};

use crate::common::open;
use crate::common::proxy::{BlackHole, Fault, Proxy, Reply};
use crate::common::servers::{Variables, moto, set_variables};
use crate::common::time::PATIENCE;
use crate::{READ, REFRESH, alone, logged, user_and_secret, variable};

fn prepare() -> Variables {
    user_and_secret(READ, r#"{"A": "1"}"#)
}

fn behind(proxy: &Proxy, timeout: &str) -> Manager {
    open(&[("providers", r#"["aws"]"#), ("aws_endpoint_url", &proxy.url()), ("timeout", timeout)]).unwrap()
}

#[test]
fn a_fault_ends_in_time_as_what_it_is() {
    alone!(prepare, || {
        let proxy = Proxy::to(moto().address());
        let elsewhere = Proxy::to(moto().address());
        let short = Duration::from_millis(800);
        for (fault, status, words) in [
            (Fault::Hang, Status::Timeout, "the time was up"),
            (Fault::Slow, Status::Timeout, "the time was up"),
            (Fault::SlowBody, Status::Timeout, "the time was up"),
            (Fault::Half, Status::Unavailable, "closed the connection"),
            (Fault::Refuse, Status::Unavailable, "failed"),
            (Fault::ResetBefore, Status::Unavailable, "failed"),
            (Fault::ResetAfter, Status::Unavailable, "failed"),
            (Fault::Garbage, Status::Protocol, "is not HTTP"),
            (Fault::Huge(1 << 40), Status::Protocol, "longer than"),
            (Fault::Endless, Status::Protocol, "longer than"),
            (Fault::status(500), Status::Unavailable, "HTTP status 500"),
            (Fault::status(502), Status::Unavailable, "HTTP status 502"),
            (Fault::status(503), Status::Unavailable, "HTTP status 503"),
            (Fault::status(429), Status::Unavailable, "HTTP status 429"),
            (Fault::aws(400, "ThrottlingException"), Status::Unavailable, "ThrottlingException"),
            (Fault::aws_xml(503, "SlowDown"), Status::Unavailable, "SlowDown"),
            (Fault::aws(500, "InternalServiceError"), Status::Unavailable, "InternalServiceError"),
            (Fault::aws(400, "DecryptionFailure"), Status::AccessDenied, "allow kms:Decrypt on its key"),
            (Fault::aws(400, "AccessDeniedException"), Status::AccessDenied, "secretsmanager:GetSecretValue"),
            (Fault::aws(400, "ExpiredTokenException"), Status::AccessDenied, "have expired"),
            (Fault::aws(400, "InvalidSignatureException"), Status::AccessDenied, "clock"),
            (Fault::aws(400, "InvalidParameterException"), Status::Protocol, "InvalidParameterException"),
            (Fault::status(404), Status::Protocol, "HTTP status 404 without an error of AWS"),
            (Reply::new(200).body("<html>").into(), Status::Protocol, "no JSON object"),
            (Reply::new(200).body("{}").into(), Status::Protocol, "has no value"),
            (Fault::redirect(307, &elsewhere.url()), Status::Protocol, "a redirect is not followed"),
            (Fault::RedirectForever, Status::Protocol, "a redirect is not followed"),
        ] {
            proxy.always(fault.clone());
            // What ends with the call's time would go on for longer than the test waits.
            let timeout = if status == Status::Timeout { short } else { PATIENCE };
            let secrets = behind(&proxy, &timeout.as_secs_f64().to_string());
            let start = Instant::now();
            let error = secrets.get("A").unwrap_err();
            assert!(start.elapsed() < PATIENCE, "{fault:?}: {:?}", start.elapsed());
            assert_eq!((error.status(), error.source_layer()), (status, Source::Aws), "{fault:?}: {error}");
            assert!(error.message().contains(words), "{fault:?}: {error}");
            let outage = matches!(status, Status::Unavailable | Status::Timeout);
            assert_eq!(error.is_retryable(), outage, "{fault:?}: {error}");
            proxy.wait_until_closed();
        }
        assert_eq!(elsewhere.connections(), 0);
        proxy.heal();
        assert!(behind(&proxy, "120").get("A").is_ok());
    });
}

#[test]
fn what_passes_is_tried_again() {
    alone!(prepare, || {
        let proxy = Proxy::to(moto().address());
        for (fault, attempts) in [
            (Fault::status(500), 3),
            (Fault::ResetAfter, 3),
            (Fault::Half, 3),
            (Fault::aws(400, "ThrottlingException"), 3),
            (Fault::aws(400, "RequestTimeout"), 3),
            (Fault::aws(400, "AccessDeniedException"), 1),
            (Fault::status(501), 1),
        ] {
            proxy.forget();
            proxy.next(2, fault.clone());
            let got = behind(&proxy, "120").get("A");
            assert_eq!(proxy.requests().len(), attempts, "{fault:?}");
            assert_eq!(got.is_ok(), attempts == 3, "{fault:?}");
            proxy.heal();
        }
        proxy.forget();
        let signatures: Vec<_> = {
            proxy.next(2, Fault::retry_after(503, "1"));
            behind(&proxy, "120").get("A").unwrap();
            proxy.requests().iter().map(|request| request.header("x-amz-date").unwrap().to_owned()).collect()
        };
        assert_eq!(signatures.len(), 3);
        assert!(signatures[0] < signatures[2], "signed anew for each attempt: {signatures:?}");
        proxy.forget();
        proxy.always(Fault::status(500));
        set_variables([("AWS_MAX_ATTEMPTS", "2")]);
        assert!(behind(&proxy, "120").get("A").is_err());
        assert_eq!(proxy.requests().len(), 2);
        let own = [("providers", r#"["aws"]"#), ("aws_endpoint_url", &*proxy.url()), ("max_attempts", "1")];
        assert!(open(&own).unwrap().get("A").is_err());
        assert_eq!(proxy.requests().len(), 3);
    });
}

#[test]
fn a_wrong_clock_costs_one_request_and_once() {
    alone!(prepare, || {
        for offset in [7200, -86_400] {
            let proxy = Proxy::to(moto().address());
            proxy.always(Fault::Clock(offset));
            let secrets = behind(&proxy, "120");
            let got = secrets.get("A");
            assert!(got.is_ok(), "{}", got.unwrap_err());
            assert_eq!(proxy.requests().len(), 2);
            secrets.refresh(None).unwrap();
            assert_eq!(proxy.requests().len(), 3, "it is remembered");
            // Somebody sets the clock right.
            proxy.heal();
            proxy.always(Fault::Clock(0));
            secrets.refresh(None).unwrap();
            assert_eq!(proxy.requests().len(), 5);
        }
        let proxy = Proxy::to(moto().address());
        proxy.always(Fault::Clock(7200));
        set_variables([("AWS_DISABLE_CLOCK_SKEW_CORRECTION", "true")]);
        let error = behind(&proxy, "120").get("A").unwrap_err();
        assert_eq!(error.status(), Status::AccessDenied);
        assert!(error.message().contains("or the clock of this machine is"), "{error}");
        assert_eq!(proxy.requests().len(), 1);
    });
}

#[test]
fn a_denial_with_the_right_time_is_not_tried_again() {
    alone!(prepare, || {
        let proxy = Proxy::to(moto().address());
        proxy.next(2, Fault::aws(400, "AccessDeniedException"));
        assert_eq!(behind(&proxy, "120").get("A").unwrap_err().status(), Status::AccessDenied);
        assert_eq!(proxy.requests().len(), 1);
    });
}

#[test]
fn nobody_there_ends_in_time() {
    alone!(prepare, || {
        let nobody = BlackHole::open();
        let secrets = open(&[("providers", r#"["aws"]"#), ("aws_endpoint_url", &nobody.url())]).unwrap();
        let (start, limit) = (Instant::now(), Duration::from_millis(700));
        let error = secrets.get_with("A", &Options { timeout: Some(limit), ..Options::default() }).unwrap_err();
        assert_eq!(error.status(), Status::Timeout, "{error}");
        // Left to itself, the system tries to connect for two minutes.
        assert!((limit..PATIENCE / 2).contains(&start.elapsed()), "{:?}", start.elapsed());
    });
}

#[test]
fn an_outage_is_bridged_and_a_denial_is_not() {
    alone!(prepare, || {
        let proxy = Proxy::to(moto().address());
        let secrets = behind(&proxy, "120");
        assert!(secrets.get("A").is_ok());
        for fault in [Fault::status(503), Fault::aws(400, "ThrottlingException"), Fault::Hang, Fault::Refuse] {
            proxy.always(fault.clone());
            // Enough for a server that answers, and short for one that does not.
            let hasty = Options { timeout: Some(Duration::from_secs(5)), ..REFRESH };
            let got = secrets.get_with("A", if matches!(fault, Fault::Hang) { &hasty } else { &REFRESH });
            assert!(got.is_ok(), "{fault:?}: {}", got.unwrap_err());
            proxy.heal();
            secrets.refresh(None).unwrap();
        }
        proxy.always(Fault::aws(400, "AccessDeniedException"));
        assert_eq!(secrets.get_with("A", &REFRESH).unwrap_err().status(), Status::AccessDenied);
        proxy.always(Fault::status(503));
        assert_eq!(secrets.get_with("A", &REFRESH).unwrap_err().status(), Status::Unavailable, "nothing is left");
        proxy.always(Fault::aws(400, "ResourceNotFoundException"));
        assert_eq!(secrets.get_with("A", &REFRESH).unwrap_err().status(), Status::NotFound);
    });
}

#[test]
fn a_message_that_repeats_a_secret_is_not_passed_on() {
    alone!(prepare, || {
        let proxy = Proxy::to(moto().address());
        let secret = variable("AWS_SECRET_ACCESS_KEY");
        let lines = logged();
        for code in ["AccessDeniedException", "InvalidSignatureException", "Other", &secret] {
            let body = format!(r#"{{"__type": "{code}", "message": "your key {secret} is\nno good"}}"#);
            proxy.always(Reply::new(400).header("x-amzn-requestid", &secret).body(body));
            let error = behind(&proxy, "120").get("A").unwrap_err();
            assert!(!error.message().contains(&secret), "{error}");
        }
        assert!(!lines.lock().unwrap().contains(&secret));
    });
}

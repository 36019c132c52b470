//! Faults between client and server: each is reported in time, with the right status, and closes its connections.

use std::time::{Duration, Instant};

use st_secrets::{GetOptions, Manager, Source, Status};

use crate::common::proxy::{BlackHole, Fault, Proxy, Reply};
use crate::common::remote::faults::of_transport;
use crate::common::servers::{Variables, moto, set_variables, unique};
use crate::common::time::PATIENCE;
use crate::common::{open, text};
use crate::{READ, REFRESH, alone, aws, aws_file, key, logged, secret_and, user_and_secret, variable};

fn prepare() -> Variables {
    user_and_secret(READ, r#"{"A": "1"}"#)
}

fn behind(proxy: &Proxy, timeout: &str) -> Manager {
    open(&[("providers", r#"["aws"]"#), ("aws_endpoint_url", &proxy.url()), ("timeout", timeout)]).unwrap()
}

fn is_throttling(fault: &Fault) -> bool {
    let Fault::Answer(reply) = fault else { return false };
    let body = String::from_utf8_lossy(&reply.body);
    reply.status == 429 || ["Throttl", "SlowDown"].iter().any(|word| body.contains(word))
}

#[test]
fn fault_is_reported_in_time_with_its_status() {
    alone!(prepare, || {
        let proxy = Proxy::to(moto().address());
        let elsewhere = Proxy::to(moto().address());
        let short = Duration::from_millis(800);
        let mut rows = of_transport();
        rows.extend([
            (Fault::Slow, Status::Timeout, "timed out"),
            (Fault::Huge(1 << 40), Status::Protocol, "longer than"),
            (Fault::Endless, Status::Protocol, "longer than"),
            (Fault::status(502), Status::Unavailable, "HTTP status 502"),
            (Fault::status(429), Status::Unavailable, "HTTP status 429"),
            (Fault::aws(400, "ThrottlingException"), Status::Unavailable, "ThrottlingException"),
            (Fault::aws_xml(503, "SlowDown"), Status::Unavailable, "SlowDown"),
            (Fault::aws(500, "InternalServiceError"), Status::Unavailable, "InternalServiceError"),
            (Fault::aws(400, "DecryptionFailure"), Status::AccessDenied, "allow kms:Decrypt on its key"),
            (Fault::aws(400, "AccessDeniedException"), Status::AccessDenied, "secretsmanager:GetSecretValue"),
            (Fault::aws(400, "ExpiredTokenException"), Status::AccessDenied, "have expired"),
            (Fault::aws(400, "InvalidSignatureException"), Status::AccessDenied, "clock"),
            (Fault::aws(400, "InvalidParameterException"), Status::Protocol, "InvalidParameterException"),
            (Fault::status(404), Status::Protocol, "HTTP status 404 without an AWS error"),
            (Reply::new(200).body("<html>").into(), Status::Protocol, "not a JSON object"),
            (Reply::new(200).body("{}").into(), Status::Protocol, "has neither SecretString nor SecretBinary"),
            (Fault::redirect(307, &elsewhere.url()), Status::Protocol, "redirects are not followed"),
            (Fault::RedirectForever, Status::Protocol, "redirects are not followed"),
        ]);
        for (fault, status, words) in rows {
            proxy.always(fault.clone());
            // A fault that ends with the timeout would otherwise last longer than the test waits.
            // One that is throttled is repeated until the timeout.
            let timeout = match status {
                Status::Timeout => short,
                _ if is_throttling(&fault) => Duration::from_secs(5),
                _ => PATIENCE,
            };
            let secrets = behind(&proxy, &timeout.as_secs_f64().to_string());
            let start = Instant::now();
            let error = secrets.get("A").unwrap_err();
            assert!(start.elapsed() < PATIENCE, "{fault:?}: {:?}", start.elapsed());
            assert_eq!((error.status(), error.source_provider()), (status, Source::Aws), "{fault:?}: {error}");
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
fn transient_failure_is_retried() {
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
        assert!(signatures[0] < signatures[2], "each attempt has its own signature: {signatures:?}");
        proxy.forget();
        proxy.always(Fault::status(500));
        set_variables([("AWS_MAX_ATTEMPTS", "2")]);
        assert!(behind(&proxy, "120").get("A").is_err());
        assert_eq!(proxy.requests().len(), 2);
        let own = [("providers", r#"["aws"]"#), ("aws_endpoint_url", &*proxy.url()), ("max_attempts", "1")];
        assert!(open(&own).unwrap().get("A").is_err());
        assert_eq!(proxy.requests().len(), 3);
        proxy.forget();
        // Without a backoff every call queries AWS.
        let secrets = open(&[("providers", r#"["aws"]"#), ("aws_endpoint_url", &*proxy.url()), ("max_backoff", "0")]);
        let attempts = [(); 3].map(|()| {
            proxy.forget();
            assert!(secrets.as_ref().unwrap().get("A").is_err());
            proxy.requests().len()
        });
        assert_eq!(attempts, [2, 1, 1], "requests are repeated until a load has failed");
    });
}

#[test]
fn clock_skew_costs_one_request_once() {
    alone!(prepare, || {
        for offset in [7200, -86_400] {
            let proxy = Proxy::to(moto().address());
            proxy.always(Fault::Clock(offset));
            let secrets = behind(&proxy, "120");
            let got = secrets.get("A");
            assert!(got.is_ok(), "{}", got.unwrap_err());
            assert_eq!(proxy.requests().len(), 2);
            secrets.refresh(None).unwrap();
            assert_eq!(proxy.requests().len(), 3, "the offset is remembered");
            // The clock is corrected.
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
fn denial_without_clock_skew_is_not_retried() {
    alone!(prepare, || {
        let proxy = Proxy::to(moto().address());
        proxy.next(2, Fault::aws(400, "AccessDeniedException"));
        assert_eq!(behind(&proxy, "120").get("A").unwrap_err().status(), Status::AccessDenied);
        assert_eq!(proxy.requests().len(), 1);
    });
}

#[test]
fn unreachable_server_times_out() {
    alone!(prepare, || {
        let unreachable = BlackHole::open();
        let secrets = open(&[("providers", r#"["aws"]"#), ("aws_endpoint_url", &unreachable.url())]).unwrap();
        let (start, limit) = (Instant::now(), Duration::from_millis(700));
        let error = secrets.get_with("A", &GetOptions { timeout: Some(limit), ..GetOptions::default() }).unwrap_err();
        assert_eq!(error.status(), Status::Timeout, "{error}");
        // The timeout of the system is two minutes.
        assert!((limit..PATIENCE / 2).contains(&start.elapsed()), "{:?}", start.elapsed());
    });
}

#[test]
fn cached_value_is_used_during_an_outage_and_not_after_a_denial() {
    alone!(prepare, || {
        let proxy = Proxy::to(moto().address());
        let secrets = behind(&proxy, "120");
        assert!(secrets.get("A").is_ok());
        for fault in [Fault::status(503), Fault::aws(400, "ThrottlingException"), Fault::Hang, Fault::Refuse] {
            proxy.always(fault.clone());
            // Long enough for a server that responds, and short for one that does not.
            let hasty = GetOptions { timeout: Some(Duration::from_secs(5)), ..REFRESH };
            let got = secrets.get_with("A", if matches!(fault, Fault::Hang) { &hasty } else { &REFRESH });
            assert!(got.is_ok(), "{fault:?}: {}", got.unwrap_err());
            proxy.heal();
            secrets.refresh(None).unwrap();
        }
        proxy.always(Fault::aws(400, "AccessDeniedException"));
        assert_eq!(secrets.get_with("A", &REFRESH).unwrap_err().status(), Status::AccessDenied);
        proxy.always(Fault::status(503));
        assert_eq!(secrets.get_with("A", &REFRESH).unwrap_err().status(), Status::Unavailable, "no value is left");
        proxy.always(Fault::aws(400, "ResourceNotFoundException"));
        assert_eq!(secrets.get_with("A", &REFRESH).unwrap_err().status(), Status::NotFound);
    });
}

#[test]
fn message_that_contains_a_secret_is_dropped() {
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

/// Responses that are not decisions of AWS, whatever they contain.
fn others() -> Vec<Fault> {
    let html = "<html><head><title>403 Forbidden</title><br><Code>AccessDenied</Code></html>";
    let page = |status| Reply::new(status).header("Content-Type", "text/html").body(html);
    let mut others: Vec<Fault> = [200, 400, 401, 403, 404, 407, 421, 451].map(|status| page(status).into()).into();
    others.extend([
        page(302).header("Location", "http://portal.example/login").into(),
        Fault::status(408),
        Fault::status(404),
        Reply::new(403).body(r#"{"code": "AccessDeniedException", "message": "blocked"}"#).into(),
        Reply::new(404).body(r#"{"error": "ResourceNotFoundException"}"#).into(),
        Reply::new(403).body("<Code>AccessDenied</Code>").into(),
        Reply::new(200).body("{}").into(),
        Fault::Garbage,
        Fault::Endless,
        Fault::aws(400, "InvalidRequestException"),
        Fault::aws(400, "MissingAuthenticationTokenException"),
        Fault::aws(500, "InternalFailure"),
    ]);
    others
}

#[test]
fn only_a_decision_of_aws_ends_the_use_of_a_value() {
    alone!(prepare, || {
        let proxy = Proxy::to(moto().address());
        let secrets = behind(&proxy, "20");
        for fault in others() {
            proxy.heal();
            secrets.refresh(None).unwrap();
            proxy.always(fault.clone());
            let got = secrets.get_with("A", &REFRESH);
            assert!(got.as_ref().is_ok_and(|secret| secret.is_stale() || secret.is_cached()), "{fault:?}: {got:?}");
            let error = behind(&proxy, "20").get("A").unwrap_err();
            let allowed = [Status::Protocol, Status::Unavailable];
            assert!(allowed.contains(&error.status()), "{fault:?}: {error}");
            assert!(!error.message().contains("secretsmanager:GetSecretValue"), "{fault:?}: {error}");
        }
        let in_header = Reply::new(400).header("x-amzn-errortype", "AccessDeniedException:http://internal/").body("no");
        for fault in [
            Fault::aws(400, "AccessDeniedException"),
            Fault::aws_xml(403, "AccessDenied"),
            in_header.into(),
            Fault::aws(400, "ExpiredTokenException"),
            Fault::aws(400, "UnrecognizedClientException"),
            Fault::aws_xml(403, "SignatureDoesNotMatch"),
            Fault::aws(400, "DecryptionFailure"),
        ] {
            proxy.heal();
            secrets.refresh(None).unwrap();
            proxy.always(fault.clone());
            assert_eq!(secrets.get_with("A", &REFRESH).unwrap_err().status(), Status::AccessDenied, "{fault:?}");
            proxy.always(Fault::status(503));
            let error = secrets.get_with("A", &REFRESH).unwrap_err();
            assert_eq!(error.status(), Status::Unavailable, "{fault:?}: {error}");
        }
    });
}

#[test]
fn batch_call_denied_by_a_gateway_is_tried_again() {
    alone!(
        || {
            let names: Vec<String> = (0..6).map(|_| unique("secret")).collect();
            names.iter().for_each(|name| drop(moto().secret(name, r#"{"A": "1"}"#)));
            let user = moto().user(&["secretsmanager:GetSecretValue", "secretsmanager:BatchGetSecretValue"]);
            let mut variables = moto().variables(&user);
            variables.push(("SIMPLETUNER_AWS_SECRET_NAME".into(), serde_json::json!(names).to_string()));
            variables
        },
        || {
            let proxy = Proxy::to(moto().address());
            let secrets = behind(&proxy, "20");
            let target = |index: usize| proxy.requests()[index].header("x-amz-target").unwrap().to_owned();
            proxy.next(1, Fault::status(403));
            assert!(secrets.get("A").is_ok(), "one by one");
            assert_eq!(proxy.requests().len(), 7);
            secrets.refresh(None).unwrap();
            assert_eq!((proxy.requests().len(), &*target(7)), (8, "secretsmanager.BatchGetSecretValue"));
        },
    );
}

#[test]
fn broken_file_or_program_is_an_outage() {
    alone!(|| secret_and(&[("GOOD", moto().user(READ))]), || {
        let good = key("GOOD");
        let whole = format!("[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n", good.id, good.secret);
        let no_authority = aws_file("empty.pem", "");
        for (file, broken) in [
            ("credentials", "CANARY\u{0}".to_owned()),
            ("credentials", whole[..whole.find("aws_secret").unwrap()].to_owned()),
            ("credentials", String::new()),
            ("config", "[default\n".to_owned()),
            (
                "config",
                format!("[default]\nca_bundle = {}\nendpoint_url = https://127.0.0.1:1\n", no_authority.display()),
            ),
            ("config", "[default]\nregion = no region\n".to_owned()),
        ] {
            aws_file("credentials", &whole);
            aws_file("config", "");
            let secrets = aws();
            assert_eq!(text(&secrets, "A").as_deref(), Some("1"));
            if broken.contains("endpoint_url") {
                set_variables([("AWS_ENDPOINT_URL", ""), ("AWS_DEFAULT_REGION", "us-east-1")]);
            } else if broken.contains("region") {
                set_variables([("AWS_DEFAULT_REGION", ""), ("AWS_ENDPOINT_URL", &*moto().url())]);
            }
            aws_file(file, &broken);
            let got = secrets.get_with("A", &REFRESH);
            assert!(got.is_ok(), "{broken:?}: {}", got.unwrap_err());
            set_variables([("AWS_ENDPOINT_URL", &*moto().url()), ("AWS_DEFAULT_REGION", "us-east-1")]);
        }
        let output = serde_json::json!({"Version": 1, "AccessKeyId": good.id, "SecretAccessKey": good.secret});
        aws_file("keys", &output.to_string());
        aws_file("credentials", "");
        let program = format!("cat {}/.aws/keys", variable("HOME"));
        aws_file("config", &format!("[default]\ncredential_process = {program}\n"));
        let secrets = aws();
        assert_eq!(text(&secrets, "A").as_deref(), Some("1"));
        for program in ["false", "echo {}", "/no/such/program"] {
            aws_file("config", &format!("[default]\ncredential_process = {program}\n"));
            assert!(secrets.get_with("A", &REFRESH).is_ok(), "{program}");
        }
    });
}

#[test]
fn role_denied_by_sts_ends_the_use_of_a_value() {
    alone!(
        || {
            let mut variables = secret_and(&[("USER", moto().user(&["sts:AssumeRole"]))]);
            variables.push(("READER".into(), moto().role(READ)));
            variables
        },
        || {
            let (user, reader) = (key("USER"), variable("READER"));
            let keys = format!("aws_access_key_id = {}\naws_secret_access_key = {}\n", user.id, user.secret);
            // Another session name requires new keys.
            let use_session = |name: &str| {
                let role = format!("role_arn = {reader}\nrole_session_name = {name}\nsource_profile = base\n");
                aws_file("config", &format!("[default]\n{role}[profile base]\n{keys}"));
            };
            let sts = Proxy::to(moto().address());
            set_variables([("AWS_ENDPOINT_URL_STS", sts.url())]);
            use_session("first");
            let secrets = aws();
            assert_eq!(text(&secrets, "A").as_deref(), Some("1"));
            let html = Reply::new(403).body("<html><Error>AccessDenied</Error></html>");
            for (number, (fault, is_denied)) in [
                (html.into(), false),
                (Fault::status(404), false),
                (Fault::aws_xml(503, "ServiceUnavailable"), false),
                (Reply::new(200).body("<html></html>").into(), false),
                (Fault::aws_xml(403, "AccessDenied"), true),
            ]
            .into_iter()
            .enumerate()
            {
                sts.always(fault.clone());
                use_session(&format!("session-{number}"));
                let got = secrets.get_with("A", &REFRESH);
                assert_eq!(got.is_err(), is_denied, "{fault:?}: {got:?}");
            }
        },
    );
}

#[test]
fn large_xml_error_takes_no_longer_than_its_transfer() {
    alone!(prepare, || {
        let attributes: String = (0..200_000).map(|number| format!(" a{number}=\"\"")).collect();
        let proxy = Proxy::to(moto().address());
        let start = Instant::now();
        for body in [format!("<Error{attributes}><Code>AccessDenied</Code></Error>"), "<a>".repeat(1_000_000)] {
            proxy.always(Reply::new(403).body(body));
            let error = behind(&proxy, "30").get("A").unwrap_err();
            assert_eq!(error.status(), Status::Protocol, "{error}");
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    });
}

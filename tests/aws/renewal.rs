//! Credentials that expire.

use std::time::Duration;

use crate::common::proxy::{Fault, Proxy};
use crate::common::servers::{moto, set_variables};
use crate::common::time::advance;
use crate::{READ, alone, aws, container_response, in_seconds, key, secret_and};

#[test]
fn keys_rejected_by_aws_are_replaced_once() {
    alone!(
        || {
            let role = moto().role(READ);
            secret_and(&[("FIRST", moto().assume(&role)), ("SECOND", moto().assume(&role))])
        },
        || {
            let container = Proxy::to("127.0.0.1:1");
            let proxy = Proxy::to(moto().address());
            set_variables([("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.url()), ("AWS_ENDPOINT_URL", proxy.url())]);
            let later = in_seconds(3600);
            container.always(container_response(&key("SECOND"), later));
            for refusal in ["ExpiredTokenException", "InvalidSignatureException"] {
                container.forget();
                container.next(1, container_response(&key("FIRST"), later));
                let secrets = aws();
                secrets.refresh(None).unwrap();
                for code in [refusal, "UnrecognizedClientException"] {
                    proxy.forget();
                    proxy.next(1, Fault::aws(400, code));
                    let refreshed = secrets.refresh(None);
                    // The second time there are no others, so the error of AWS is returned.
                    assert_eq!(refreshed.is_ok(), code == refusal, "{refreshed:?}");
                }
                assert_eq!(container.requests().len(), 3);
                assert_eq!(proxy.requests().len(), 1);
            }
        },
    );
}

#[test]
fn rejection_is_reported_if_there_are_no_other_keys() {
    alone!(|| secret_and(&[("GOOD", moto().user(READ))]), || {
        let container = Proxy::to("127.0.0.1:1");
        let proxy = Proxy::to(moto().address());
        set_variables([("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.url()), ("AWS_ENDPOINT_URL", proxy.url())]);
        container.next(1, container_response(&key("GOOD"), in_seconds(3600)));
        let secrets = aws();
        assert!(secrets.get("A").is_ok());
        container.always(Fault::status(400));
        proxy.always(Fault::aws(400, "UnrecognizedClientException"));
        let options = st_secrets::GetOptions { refresh: true, ..Default::default() };
        let error = secrets.get_with("A", &options).unwrap_err();
        assert_eq!(error.status(), st_secrets::Status::AccessDenied, "{error}");
        for part in ["UnrecognizedClientException", "there are no other credentials", "the container endpoint"] {
            assert!(error.message().contains(part), "{error}");
        }
    });
}

#[test]
fn keys_are_refreshed_before_they_expire() {
    alone!(|| secret_and(&[("SESSION", moto().assume(&moto().role(READ)))]), || {
        let container = Proxy::to("127.0.0.1:1");
        set_variables([("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.url())]);
        let session = key("SESSION");
        container.next(1, container_response(&session, in_seconds(900)));
        let secrets = aws();
        secrets.refresh(None).unwrap();
        secrets.refresh(None).unwrap();
        assert_eq!(container.requests().len(), 1, "they are fresh");
        advance(Duration::from_secs(700));
        // In the last third of their lifetime a refresh is tried; if it fails, the old keys are used.
        container.next(1, Fault::status(400));
        secrets.refresh(None).unwrap();
        assert_eq!(container.requests().len(), 2);
        container.next(1, container_response(&session, in_seconds(3600)));
        secrets.refresh(None).unwrap();
        secrets.refresh(None).unwrap();
        assert_eq!(container.requests().len(), 3);
        // Shortly before they expire, a refresh is necessary.
        container.next(1, container_response(&session, in_seconds(900)));
        let secrets = aws();
        secrets.refresh(None).unwrap();
        advance(Duration::from_secs(901));
        container.always(Fault::status(400));
        let error = secrets.refresh(None).unwrap_err();
        assert!(error.message().contains("no AWS credentials from the container endpoint"), "{error}");
    });
}

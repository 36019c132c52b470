//! Faults between client and server, of `common::remote::faults`.

use serde_json::json;
use st_secrets::{Source, Status};

use crate::common::proxy::{Fault, Proxy, Reply};
use crate::common::remote::alone;
use crate::common::remote::faults::Case;
use crate::common::servers::set_variables;
use crate::{Azure, application, at};

const ONE: &str = r#"[{"azure_secret": "HF-TOKEN", "as": "K"}]"#;

/// An error in Azure's form.
fn azure_error(code: u16, status: &str) -> Reply {
    let body = json!({"error": {"code": status, "message": "made by the proxy"}});
    Reply::new(code).body(body.to_string())
}

fn case(azure: &Azure) -> Case<'_> {
    set_variables(application(azure));
    Case {
        source: Source::Azure,
        address: azure.address(),
        key: "K",
        open: Box::new(|url, more| at(url, ONE, more)),
        foreign: "is not from Key Vault",
        redirect: "redirects are not followed",
        denied: (azure_error(403, "Forbidden"), "Key Vault Secrets User"),
        missing: (azure_error(404, "SecretNotFound"), "it does not exist"),
        throttled: (azure_error(429, "Throttled"), "Throttled"),
        more: vec![
            (Fault::Endless, Status::Protocol, "longer than"),
            (azure_error(503, "ServiceUnavailable").into(), Status::Unavailable, "ServiceUnavailable"),
            (azure_error(400, "BadParameter").into(), Status::Protocol, "BadParameter"),
        ],
    }
}

#[test]
fn fault_is_reported_in_time_with_its_status() {
    alone!(|| case(&Azure::start()).is_reported_in_time_with_its_status());
}

#[test]
fn transient_failure_and_throttling_are_repeated() {
    alone!(|| case(&Azure::start()).is_repeated());
}

#[test]
fn fault_of_the_login_server_is_reported_in_time() {
    alone!(|| {
        let azure = Azure::start();
        let denied = Reply::new(400).body(r#"{"error": "invalid_grant"}"#);
        let log_in_at = |tokens: &Proxy| set_variables([("AZURE_AUTHORITY_HOST", tokens.url())]);
        let foreign = "is not from Microsoft Entra ID";
        case(&azure).of_the_login_is_reported(&azure.url(), log_in_at, foreign, (denied, "invalid_grant"));
    });
}

#[test]
fn unreachable_server_times_out() {
    alone!(|| case(&Azure::start()).times_out_without_a_server());
}

#[test]
fn cached_value_is_used_during_an_outage_and_not_after_a_denial() {
    alone!(|| case(&Azure::start()).is_served_stale_during_an_outage_only());
}

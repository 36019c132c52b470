//! The role of the setting `aws_role_arn`, which is assumed with the credentials that are found.

use std::time::Duration;

use st_secrets::{Manager, Status};

use crate::common::proxy::{Fault, Proxy, Reply};
use crate::common::servers::{Variables, moto, set_variables};
use crate::common::time::advance;
use crate::common::{open, text};
use crate::{READ, REFRESH, alone, aws_file, key, refused_by, secret_and, variable};

/// A user that may only assume roles, and a role that may only read secrets.
fn user_and_role() -> Variables {
    let mut variables = secret_and(&[("USER", moto().user(&["sts:AssumeRole"])), ("OTHER", moto().user(&[]))]);
    variables.push(("READER".into(), moto().role(READ)));
    variables.push(("MIDDLE".into(), moto().role(&["sts:AssumeRole"])));
    variables
}

fn with_role(settings: &[(&str, &str)]) -> Manager {
    let role = variable("READER");
    let own = [("providers", r#"["aws"]"#), ("timeout", "120"), ("aws_role_arn", &*role)];
    open(&[&own, settings].concat()).unwrap()
}

fn forms(sts: &Proxy) -> Vec<String> {
    let forms = sts.requests().iter().map(|request| String::from_utf8(request.body.clone()).unwrap()).collect();
    sts.forget();
    forms
}

#[test]
fn role_is_assumed_with_the_credentials_that_are_found() {
    alone!(user_and_role, || {
        let sts = Proxy::to(moto().address());
        set_variables([("AWS_ENDPOINT_URL_STS", sts.url())]);
        let user = key("USER");
        let keys = format!("aws_access_key_id = {}\naws_secret_access_key = {}\n", user.id, user.secret);
        let profile = format!("[default]\nrole_arn = {}\nsource_profile = keys\n", variable("MIDDLE"));
        aws_file("config", &format!("{profile}[profile keys]\n{keys}"));
        let secrets = with_role(&[("aws_external_id", "shared:secret/1"), ("aws_role_session_name", "trainer")]);
        assert_eq!(text(&secrets, "A").as_deref(), Some("1"), "on top of the role of the profile");
        let requests = forms(&sts);
        assert_eq!(requests.len(), 2);
        assert!(!requests[0].contains("ExternalId"), "{}", requests[0]);
        for part in ["Action=AssumeRole&", "%3Arole%2F", "&RoleSessionName=trainer&", "&ExternalId=shared%3Asecret%2F1"]
        {
            assert!(requests[1].contains(part), "{part}: {}", requests[1]);
        }
        set_variables(user.variables());
        set_variables([("AWS_ROLE_SESSION_NAME", "by-variable")]);
        let secrets = with_role(&[]);
        assert_eq!(text(&secrets, "A").as_deref(), Some("1"), "on top of the variables");
        let requests = forms(&sts);
        assert_eq!(requests.len(), 1);
        assert!(requests[0].contains("&RoleSessionName=by-variable"), "{}", requests[0]);
        let without = open(&[("providers", r#"["aws"]"#)]).unwrap();
        assert_eq!(without.get("A").unwrap_err().status(), Status::AccessDenied, "the user itself reads nothing");
    });
}

#[test]
fn session_of_the_role_is_cached_and_renewed() {
    alone!(user_and_role, || {
        let (sts, proxy) = (Proxy::to(moto().address()), Proxy::to(moto().address()));
        set_variables([("AWS_ENDPOINT_URL_STS", sts.url())]);
        set_variables(key("USER").variables());
        let secrets = with_role(&[("aws_endpoint_url", &proxy.url())]);
        secrets.refresh(None).unwrap();
        secrets.refresh(None).unwrap();
        assert_eq!(forms(&sts).len(), 1);
        // In the last quarter of an hour a renewal is tried, and the old session is used if it fails.
        advance(Duration::from_secs(2800));
        sts.next(1, Fault::status(400));
        secrets.refresh(None).unwrap();
        assert_eq!(forms(&sts).len(), 1);
        secrets.refresh(None).unwrap();
        secrets.refresh(None).unwrap();
        assert_eq!(forms(&sts).len(), 1);
        proxy.next(1, Fault::aws(400, "ExpiredTokenException"));
        secrets.refresh(None).unwrap();
        assert_eq!(forms(&sts).len(), 1, "a session that AWS rejects is replaced");
        advance(Duration::from_secs(3700));
        sts.always(Fault::aws_xml(403, "AccessDenied"));
        refused_by(&secrets, Status::AccessDenied, &["`aws_role_arn`", "AssumeRole at", "AccessDenied"]);
    });
}

#[test]
fn role_that_is_denied_is_named_with_its_setting() {
    alone!(user_and_role, || {
        let (other, reader) = (key("OTHER"), variable("READER"));
        set_variables(other.variables());
        let holder = "`aws_role_arn`, assumed with the credentials of the variables AWS_ACCESS_KEY_ID";
        let words = [holder, &*format!("(role {reader})"), "AssumeRole at", "AccessDenied"];
        let error = refused_by(&with_role(&[]), Status::AccessDenied, &words);
        assert!(!error.message().contains(&other.secret), "{error}");
        let sts = Proxy::to(moto().address());
        set_variables([("AWS_ENDPOINT_URL_STS", sts.url())]);
        set_variables(key("USER").variables());
        let secrets = with_role(&[]);
        assert_eq!(text(&secrets, "A").as_deref(), Some("1"));
        // A gateway is not AWS.
        advance(Duration::from_secs(3700));
        sts.always(Reply::new(403).body("<html></html>"));
        assert!(secrets.get_with("A", &REFRESH).unwrap().is_stale());
    });
}

#[test]
fn check_shows_the_identity_of_the_role() {
    alone!(user_and_role, || {
        set_variables(key("USER").variables());
        let secrets = with_role(&[("aws_role_session_name", "trainer")]);
        let report = secrets.check();
        let role = variable("READER");
        let name = role.rsplit('/').next().unwrap();
        for part in [&*format!("assumed-role/{name}/trainer"), "the credentials of `aws_role_arn`", "can be read"] {
            assert!(report.contains(part), "{part}: {report}");
        }
        let description = secrets.describe();
        assert!(description.contains("`aws_role_arn`") && description.contains(&role), "{description}");
    });
}

#[test]
fn invalid_role_is_refused_when_the_manager_opens() {
    let role = "arn:aws:iam::123456789012:role/reader";
    for (settings, words) in [
        (
            &[("aws_role_arn", "reader")][..],
            "the configuration key `aws_role_arn`: \"reader\" is not the ARN of a role",
        ),
        (
            &[("aws_role_arn", role), ("aws_role_session_name", "a b")],
            "`aws_role_session_name`: \"a b\" is not a valid session name",
        ),
        (&[("aws_role_arn", role), ("aws_external_id", "CANARY CANARY")], "`aws_external_id` must be an external id"),
        (&[("aws_external_id", "CANARY")], "`aws_external_id` needs `aws_role_arn`"),
        (&[("aws_role_session_name", "trainer")], "`aws_role_session_name` needs `aws_role_arn`"),
    ] {
        let own = [("providers", r#"["aws"]"#), ("aws_secret_name", "app")];
        let error = open(&[&own, settings].concat()).err().unwrap();
        assert_eq!(error.status(), Status::Config, "{error}");
        assert!(error.message().contains(words), "{words}: {error}");
        assert!(!error.message().contains("CANARY"), "{error}");
    }
}

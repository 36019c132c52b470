//! Keys and roles in profiles.

use std::fs;
use std::path::Path;

use st_secrets::Status;

use crate::common::proxy::{Proxy, closed_address};
use crate::common::servers::{Key, moto, set_variables};
use crate::common::{open, text};
use crate::{READ, REFRESH, alone, aws, aws_file, key, reads, refused, secret_alone, secret_and, variable};

#[test]
fn keys_are_in_the_credentials_file_or_the_config_file() {
    alone!(|| secret_and(&[("GOOD", moto().user(READ)), ("BAD", moto().user(&[]))]), || {
        let section = |header: &str, key: &Key| {
            format!("[{header}]\naws_access_key_id = {}\naws_secret_access_key={} # c\n", key.id, key.secret)
        };
        let (good, bad) = (key("GOOD"), key("BAD"));
        aws_file("config", &section("default", &good));
        reads();
        aws_file("credentials", &section("default", &bad));
        let path = Path::new(&variable("HOME")).join(".aws/credentials");
        let place = format!("profile `default` in {}, line 2", path.display());
        refused(Status::AccessDenied, &[&place]);
        aws_file("config", &section("profile work", &bad));
        aws_file("credentials", &(section("default", &bad) + &section("work", &good)));
        set_variables([("AWS_DEFAULT_PROFILE", "work")]);
        reads();
        // A profile in the configuration takes precedence over keys in variables; a profile in a variable does not.
        set_variables(bad.variables());
        refused(Status::AccessDenied, &["the variables AWS_ACCESS_KEY_ID"]);
        let secrets = open(&[("providers", r#"["aws"]"#), ("aws_profile", "work")]).unwrap();
        assert_eq!(text(&secrets, "A").as_deref(), Some("1"));
    });
}

#[test]
fn replaced_credentials_file_is_used_by_the_next_load() {
    alone!(|| secret_and(&[("GOOD", moto().user(READ)), ("BAD", moto().user(&[]))]), || {
        let put = |key: &Key| {
            let text = format!("[default]\naws_access_key_id={}\naws_secret_access_key={}\n", key.id, key.secret);
            let new = aws_file("credentials.new", &text);
            fs::rename(&new, new.with_file_name("credentials")).unwrap();
        };
        put(&key("GOOD"));
        let secrets = aws();
        assert_eq!(text(&secrets, "A").as_deref(), Some("1"));
        put(&key("BAD"));
        assert_eq!(secrets.get_with("A", &REFRESH).unwrap_err().status(), Status::AccessDenied);
        put(&key("GOOD"));
        secrets.refresh(None).unwrap();
    });
}

#[test]
fn role_is_assumed_through_other_profiles() {
    alone!(
        || {
            let mut variables = secret_and(&[("USER", moto().user(&["sts:AssumeRole"]))]);
            variables.push(("READER".into(), moto().role(READ)));
            variables.push(("MIDDLE".into(), moto().role(&["sts:AssumeRole"])));
            variables
        },
        || {
            let user = key("USER");
            let (reader, middle) = (variable("READER"), variable("MIDDLE"));
            let config = format!(
                "[default]\nrole_arn = {reader}\nsource_profile = middle\nexternal_id = shared:secret/1\n\
                 role_session_name = trainer\nduration_seconds = 900\n\
                 [profile middle]\nrole_arn = {middle}\nsource_profile = base\n\
                 [profile self]\nrole_arn = {reader}\nsource_profile = self\n\
                 aws_access_key_id = {id}\naws_secret_access_key = {secret}\n\
                 [profile environment]\nrole_arn = {reader}\ncredential_source = Environment\n",
                id = user.id,
                secret = user.secret
            );
            aws_file("config", &config);
            aws_file(
                "credentials",
                &format!("[base]\naws_access_key_id={}\naws_secret_access_key={}\n", user.id, user.secret),
            );
            let proxy = Proxy::to(moto().address());
            set_variables([("AWS_ENDPOINT_URL_STS", proxy.url())]);
            let secrets = aws();
            assert_eq!(text(&secrets, "A").as_deref(), Some("1"));
            let forms: Vec<_> = proxy.requests().iter().map(|r| String::from_utf8(r.body.clone()).unwrap()).collect();
            assert_eq!(forms.len(), 2);
            assert!(
                forms[1].starts_with("Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A"),
                "{}",
                forms[1]
            );
            for part in ["&RoleSessionName=trainer&", "&ExternalId=shared%3Asecret%2F1", "&DurationSeconds=900"] {
                assert!(forms[1].contains(part), "{}", forms[1]);
            }
            secrets.refresh(None).unwrap();
            assert_eq!(proxy.requests().len(), 2, "the session is used by the second load");
            set_variables([("AWS_PROFILE", "self")]);
            reads();
            set_variables([("AWS_PROFILE", "environment")]);
            refused(
                Status::Config,
                &["profile `environment`", "`credential_source`: \"Environment\" has no credentials here"],
            );
            // Keys in variables take precedence over a profile in a variable, so the configuration names the profile.
            set_variables(user.variables());
            let own = [("providers", r#"["aws"]"#), ("aws_profile", "environment")];
            assert_eq!(text(&open(&own).unwrap(), "A").as_deref(), Some("1"));
        },
    );
}

#[test]
fn role_denied_by_sts_names_the_profile_and_the_role() {
    alone!(
        || {
            let mut variables = secret_and(&[("USER", moto().user(&[]))]);
            variables.push(("READER".into(), moto().role(READ)));
            variables
        },
        || {
            let (user, reader) = (key("USER"), variable("READER"));
            aws_file(
                "config",
                &format!(
                    "[default]\nrole_arn = {reader}\nsource_profile = base\n\
                 [profile base]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
                    user.id, user.secret
                ),
            );
            let error = refused(
                Status::AccessDenied,
                &["profile `default` in ", ", line 2 (role ", &reader, "AssumeRole at", "AccessDenied"],
            );
            assert!(!error.message().contains(&user.secret), "{error}");
            set_variables([("AWS_ENDPOINT_URL_STS", format!("http://{}", closed_address()))]);
            refused(Status::Unavailable, &["profile `default` in ", "AssumeRole"]);
        },
    );
}

/// A chain of profiles, each with a role and the next as its source.
fn chain(length: usize) -> String {
    let role = "role_arn = arn:aws:iam::123456789012:role/reader";
    let profile = |number: usize| format!("[profile p{number}]\n{role}\nsource_profile = p{}\n", number + 1);
    let profiles: String = (0..length).map(profile).collect();
    format!("[default]\n{role}\nsource_profile = p0\n{profiles}")
}

#[test]
fn keys_of_a_source_profile_take_precedence_over_its_role() {
    alone!(
        || {
            let mut variables = secret_and(&[("USER", moto().user(&["sts:AssumeRole"]))]);
            variables.push(("READER".into(), moto().role(READ)));
            variables
        },
        || {
            let (user, reader) = (key("USER"), variable("READER"));
            let role = format!("role_arn = {reader}\n");
            let keys = format!("aws_access_key_id = {}\naws_secret_access_key = {}\n", user.id, user.secret);
            let other = "role_arn = arn:aws:iam::123456789012:role/none\n";
            for profiles in [
                format!("[default]\n{role}source_profile = b\n[profile b]\n{keys}{other}source_profile = nobody\n"),
                format!("[default]\n{role}source_profile = b\n[profile b]\n{keys}{other}source_profile = b\n"),
                format!("[default]\n{role}source_profile = b\n[profile b]\n{keys}{other}source_profile = default\n"),
                format!("[default]\n{role}{keys}source_profile = default\n"),
            ] {
                aws_file("config", &profiles);
                let proxy = Proxy::to(moto().address());
                set_variables([("AWS_ENDPOINT_URL_STS", proxy.url())]);
                reads();
                let signature = proxy.requests()[0].header("authorization").unwrap().to_owned();
                assert!(signature.contains(&format!("Credential={}/", user.id)), "{profiles}");
                assert_eq!(proxy.requests().len(), 1, "{profiles}");
            }
        },
    );
}

#[test]
fn unreadable_file_fails_only_if_it_is_needed() {
    alone!(|| secret_and(&[("GOOD", moto().user(READ))]), || {
        let file = aws_file("file", "");
        let home = variable("HOME");
        for (path, why) in [(home.as_str(), "not a file"), (&format!("{}/x", file.display()), "Not a directory")] {
            set_variables([("AWS_CONFIG_FILE", path)]);
            set_variables(key("GOOD").variables());
            reads();
            let check = aws().check();
            assert!(check.contains("treated as empty") && check.contains(why), "{check}");
            set_variables([("AWS_ACCESS_KEY_ID", "")]);
            refused(Status::Config, &["there are no AWS credentials", path, why]);
            set_variables([("AWS_PROFILE", "work")]);
            refused(Status::Config, &["there is no profile \"work\"", path, why]);
            // The profile exists, and its keys may be in the file that cannot be read.
            set_variables([("AWS_CONFIG_FILE", ""), ("AWS_SHARED_CREDENTIALS_FILE", path)]);
            aws_file("config", "[profile work]\nregion = us-east-1\n");
            refused(Status::Config, &["there are no credentials in the profile `work`", path, why]);
            set_variables([("AWS_PROFILE", ""), ("AWS_SHARED_CREDENTIALS_FILE", "")]);
        }
    });
}

#[test]
fn web_identity_of_a_profile_uses_the_session_name_of_the_variable() {
    alone!(secret_alone, || {
        let token = aws_file("token", "TOKEN");
        let role = "arn:aws:iam::123456789012:role/reader";
        let identity = format!("[default]\nrole_arn = {role}\nweb_identity_token_file = {}\n", token.display());
        for (own, name) in [("", "by-variable"), ("role_session_name = own\n", "own")] {
            aws_file("config", &format!("{identity}{own}"));
            let sts = Proxy::alone();
            set_variables([("AWS_ENDPOINT_URL_STS", &*sts.url()), ("AWS_ROLE_SESSION_NAME", "by-variable")]);
            refused(Status::Protocol, &["AssumeRoleWithWebIdentity", "HTTP status 404 without an AWS error"]);
            let form = String::from_utf8(sts.requests()[0].body.clone()).unwrap();
            assert!(form.contains(&format!("&RoleSessionName={name}&")), "{form}");
        }
    });
}

#[test]
fn invalid_profile_is_refused_with_its_location() {
    const ROLE: &str = "arn:aws:iam::123456789012:role/reader";
    alone!(secret_alone, || {
        let proxy = Proxy::to(moto().address());
        set_variables([("AWS_ENDPOINT_URL", proxy.url())]);
        for (config, words) in [
            (
                format!("[default]\nrole_arn = {ROLE}\n"),
                "`role_arn` needs one of `source_profile` and `credential_source`; it has neither",
            ),
            (
                format!("[default]\nrole_arn = {ROLE}\nsource_profile = a\ncredential_source = Environment\n"),
                "it has both",
            ),
            (format!("[default]\nrole_arn = {ROLE}\nsource_profile = nobody\n"), "there is no profile \"nobody\""),
            (
                format!("[default]\nrole_arn = {ROLE}\nsource_profile = default\n"),
                "names its own profile, which has no keys",
            ),
            (
                format!(
                    "[default]\nrole_arn = {ROLE}\nsource_profile = b\n[profile b]\nrole_arn = {ROLE}\nsource_profile = default\n"
                ),
                "the profiles are sources of each other: default -> b -> default",
            ),
            (
                format!("[default]\nrole_arn = {ROLE}\nsource_profile = b\n[profile b]\nregion = x\n"),
                "\"b\" is a profile without credentials",
            ),
            (
                format!("[default]\nrole_arn = {ROLE}\ncredential_source = Nowhere\n"),
                "\"Nowhere\" is not one of Environment",
            ),
            (
                format!("[default]\nrole_arn = {ROLE}\nmfa_serial = arn:aws:iam::1:mfa/x\nsource_profile = b\n"),
                "`mfa_serial`",
            ),
            ("[default]\nrole_arn = reader\nsource_profile = b\n".to_owned(), "is not the ARN of a role"),
            (format!("[default]\nrole_arn = {ROLE}\nsource_profile = b\nduration_seconds = 60\n"), "from 900 to 43200"),
            (
                format!("[default]\nrole_arn = {ROLE}\nsource_profile = b\nrole_session_name = a b\n"),
                "is not a valid session name",
            ),
            ("[default]\naws_access_key_id = AKIA\n".to_owned(), "`aws_secret_access_key` is missing"),
            (
                "[default]\naws_access_key_id = AKIA\naws_secret_access_key = CANARY CANARY\n".to_owned(),
                "secret access key is empty, or contains",
            ),
            (
                "[default]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n".to_owned(),
                "there is no [sso-session s]",
            ),
            (
                "[default]\nsso_start_url = https://x\nsso_region = eu-west-1\n".to_owned(),
                "`sso_account_id` is missing",
            ),
            ("[default]\nweb_identity_token_file = /token\n".to_owned(), "`web_identity_token_file` needs `role_arn`"),
            (chain(6000), "the chain of source profiles is longer than 32"),
            ("[default]\ncredential_process = \"/bin/x\n".to_owned(), "a quotation mark is not closed"),
            ("[default]\nservices = s\naws_access_key_id = AKIA\n".to_owned(), "`aws_secret_access_key` is missing"),
            ("[default\naws_access_key_id = CANARY\n".to_owned(), "config, line 1: the section name has no closing"),
            ("[default]\nCANARY\n".to_owned(), "config, line 2: this is not of the form `name = value`"),
        ] {
            aws_file("config", &config);
            let error = refused(Status::Config, &[words, "config"]);
            aws().describe();
            assert!(!error.message().contains("CANARY"), "{error}");
        }
        assert_eq!(proxy.requests().len(), 0);
    });
}

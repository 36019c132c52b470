//! Where AWS credentials come from: every source, on moto, and what is wrong with them.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use common::proxy::{BlackHole, Fault, Proxy, Reply, closed_address};
use common::servers::{Key, Moto, Variables, in_clean_environment, moto, set_variables, unique};
use common::{open, temp, text, write};
use serde_json::{Value, json};
use st_secrets::{Error, Manager, Options, Status, log};

const READ: &[&str] = &["secretsmanager:GetSecretValue"];
const REFRESH: Options = Options { timeout: None, refresh: true, cached_only: false };

/// A secret, and where moto is. There are no credentials.
fn secret_alone() -> Variables {
    let name = unique("secret");
    moto().secret(&name, r#"{"A": "1"}"#);
    vec![
        ("SIMPLETUNER_AWS_SECRET_NAME".into(), name),
        ("AWS_DEFAULT_REGION".into(), "us-east-1".into()),
        ("AWS_ENDPOINT_URL".into(), moto().url()),
        ("AWS_EC2_METADATA_DISABLED".into(), "true".into()),
    ]
}

/// The same, with keys in variables that the library does not read.
fn secret_and(keys: &[(&str, Key)]) -> Variables {
    let mut variables = secret_alone();
    for (name, key) in keys {
        variables.push((format!("{name}_ID"), key.id.clone()));
        variables.push((format!("{name}_SECRET"), key.secret.clone()));
        variables.push((format!("{name}_TOKEN"), key.token.clone().unwrap_or_default()));
    }
    variables
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap()
}

fn key(name: &str) -> Key {
    let token = Some(variable(&format!("{name}_TOKEN"))).filter(|token| !token.is_empty());
    Key::new(&variable(&format!("{name}_ID")), &variable(&format!("{name}_SECRET")), token.as_deref())
}

/// `~/.aws/{name}` with this text.
fn aws_file(name: &str, text: &str) -> PathBuf {
    let folder = Path::new(&variable("HOME")).join(".aws");
    fs::create_dir_all(&folder).unwrap();
    write(&folder.join(name), text)
}

fn aws() -> Manager {
    open(&[("providers", r#"["aws"]"#), ("timeout", "5")]).unwrap()
}

fn refused(status: Status, words: &[&str]) -> Error {
    let error = aws().get_with("A", &REFRESH).unwrap_err();
    assert_eq!(error.status(), status, "{error}");
    for word in words {
        assert!(error.message().contains(word), "{word:?} in: {error}");
    }
    error
}

fn reads() {
    let secrets = aws();
    let got = secrets.get("A");
    assert!(got.is_ok(), "{}", got.unwrap_err());
    assert_eq!(text(&secrets, "A").as_deref(), Some("1"));
}

/// What the library logs from now on, at its finest level.
fn logged() -> Arc<Mutex<String>> {
    let lines: Arc<Mutex<String>> = Arc::default();
    let kept = lines.clone();
    log::set(log::Level::Trace, move |_, _, message| {
        let mut lines = kept.lock().unwrap();
        lines.push_str(message);
        lines.push('\n');
    });
    lines
}

fn in_seconds(seconds: i64) -> SystemTime {
    let now = SystemTime::now();
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { now - distance } else { now + distance }
}

/// `2026-11-21T02:49:45Z`
fn iso(time: SystemTime) -> String {
    let output = std::process::Command::new("date")
        .args(["-u", "+%Y-%m-%dT%H:%M:%SZ", "-d"])
        .arg(format!("@{}", time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()))
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn keys_stand_in_the_credentials_file_or_the_config_file() {
    in_clean_environment(
        "keys_stand_in_the_credentials_file_or_the_config_file",
        || secret_and(&[("GOOD", moto().user(READ)), ("BAD", moto().user(&[]))]),
        || {
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
            // The profile of own settings goes before keys in variables; that of a variable does not.
            set_variables(bad.variables());
            refused(Status::AccessDenied, &["the variables AWS_ACCESS_KEY_ID"]);
            let secrets = open(&[("providers", r#"["aws"]"#), ("aws_profile", "work")]).unwrap();
            assert_eq!(text(&secrets, "A").as_deref(), Some("1"));
        },
    );
}

#[test]
fn a_credentials_file_that_is_replaced_serves_from_the_next_load_on() {
    in_clean_environment(
        "a_credentials_file_that_is_replaced_serves_from_the_next_load_on",
        || secret_and(&[("GOOD", moto().user(READ)), ("BAD", moto().user(&[]))]),
        || {
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
        },
    );
}

#[test]
fn a_role_is_assumed_through_other_profiles() {
    in_clean_environment(
        "a_role_is_assumed_through_other_profiles",
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
                "[default]\nrole_arn = {reader}\nsource_profile = middle\nexternal_id = shared secret/1\n\
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
            for part in ["&RoleSessionName=trainer&", "&ExternalId=shared+secret%2F1", "&DurationSeconds=900"] {
                assert!(forms[1].contains(part), "{}", forms[1]);
            }
            secrets.refresh(None).unwrap();
            assert_eq!(proxy.requests().len(), 2, "the session serves the second load");
            set_variables([("AWS_PROFILE", "self")]);
            reads();
            set_variables([("AWS_PROFILE", "environment")]);
            refused(
                Status::Config,
                &["profile `environment`", "`credential_source`: Environment has no credentials here"],
            );
            // Keys in variables go before the profile of a variable, so own settings name it.
            set_variables(user.variables());
            let own = [("providers", r#"["aws"]"#), ("aws_profile", "environment")];
            assert_eq!(text(&open(&own).unwrap(), "A").as_deref(), Some("1"));
        },
    );
}

#[test]
fn a_role_that_sts_refuses_names_the_profile_and_the_role() {
    in_clean_environment(
        "a_role_that_sts_refuses_names_the_profile_and_the_role",
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

#[test]
fn profiles_that_cannot_work_are_refused_with_their_place() {
    const ROLE: &str = "arn:aws:iam::123456789012:role/reader";
    in_clean_environment("profiles_that_cannot_work_are_refused_with_their_place", secret_alone, || {
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
            (format!("[default]\nrole_arn = {ROLE}\nsource_profile = default\n"), "names itself and has no keys"),
            (
                format!(
                    "[default]\nrole_arn = {ROLE}\nsource_profile = b\n[profile b]\nrole_arn = {ROLE}\nsource_profile = default\n"
                ),
                "the profiles name each other as sources: default -> b -> default",
            ),
            (
                format!("[default]\nrole_arn = {ROLE}\nsource_profile = b\n[profile b]\nregion = x\n"),
                "has no credentials",
            ),
            (format!("[default]\nrole_arn = {ROLE}\ncredential_source = Nowhere\n"), "\"Nowhere\" is none of"),
            (
                format!("[default]\nrole_arn = {ROLE}\nmfa_serial = arn:aws:iam::1:mfa/x\nsource_profile = b\n"),
                "`mfa_serial`",
            ),
            ("[default]\nrole_arn = reader\nsource_profile = b\n".to_owned(), "is not the ARN of a role"),
            (format!("[default]\nrole_arn = {ROLE}\nsource_profile = b\nduration_seconds = 60\n"), "from 900 to 43200"),
            (
                format!("[default]\nrole_arn = {ROLE}\nsource_profile = b\nrole_session_name = a b\n"),
                "cannot name a session",
            ),
            ("[default]\naws_access_key_id = AKIA\n".to_owned(), "`aws_secret_access_key` is missing"),
            (
                "[default]\naws_access_key_id = AKIA\naws_secret_access_key = CANARY CANARY\n".to_owned(),
                "secret access key is empty, or holds",
            ),
            (
                "[default]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n".to_owned(),
                "there is no [sso-session s]",
            ),
            (
                "[default]\nsso_start_url = https://x\nsso_region = eu-west-1\n".to_owned(),
                "`sso_account_id` is missing",
            ),
            ("[default]\nlogin_session = arn:aws:iam::1:user/x\n".to_owned(), "`login_session`"),
            ("[default]\ncredential_process = \"/bin/x\n".to_owned(), "a quotation mark is not closed"),
            ("[default]\nservices = s\naws_access_key_id = AKIA\n".to_owned(), "`aws_secret_access_key` is missing"),
            ("[default\naws_access_key_id = CANARY\n".to_owned(), "config, line 1: the section's name has no closing"),
            ("[default]\nCANARY\n".to_owned(), "config, line 2: this is not of the form `name = value`"),
        ] {
            aws_file("config", &config);
            let error = refused(Status::Config, &[words, "config"]);
            assert!(!error.message().contains("CANARY"), "{error}");
        }
        assert_eq!(proxy.requests().len(), 0);
    });
}

/// A program that runs this shell script.
fn program(script: &str) -> String {
    let path = aws_file(&unique("program"), &format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    format!("[default]\ncredential_process = '{}' \"an argument\"\n", path.display())
}

#[test]
fn a_program_prints_credentials() {
    in_clean_environment(
        "a_program_prints_credentials",
        || secret_and(&[("USER", moto().user(READ))]),
        || {
            let user = key("USER");
            let lines = logged();
            let output = json!({"Version": 1, "AccessKeyId": user.id, "SecretAccessKey": user.secret,
                "Expiration": iso(in_seconds(3600))});
            let count = Path::new(&variable("HOME")).join("count");
            let script = format!(
                "[ \"$1\" = 'an argument' ] || exit 3\necho x >>{}\necho a word >&2\necho '{}' >&2\ncat <<'END'\n{output}\nEND",
                count.display(),
                user.secret
            );
            aws_file("config", &program(&script));
            let secrets = aws();
            assert_eq!(text(&secrets, "A").as_deref(), Some("1"));
            secrets.refresh(None).unwrap();
            assert_eq!(fs::read_to_string(&count).unwrap(), "x\n", "its credentials serve the second load");
            let lines = lines.lock().unwrap();
            assert!(lines.contains("`credential_process` says: a word"), "{lines}");
            assert!(!lines.contains(&user.secret), "{lines}");
        },
    );
}

#[test]
fn a_program_that_fails_is_named_and_its_output_is_not_shown() {
    in_clean_environment("a_program_that_fails_is_named_and_its_output_is_not_shown", secret_alone, || {
        let keys = r#""AccessKeyId": "AKIACANARY", "SecretAccessKey": "CANARY""#;
        for (script, status, words) in [
            ("echo CANARY >&2; exit 7".to_owned(), Status::Unavailable, "ended with exit status: 7"),
            ("kill -9 $$".to_owned(), Status::Unavailable, "signal: 9"),
            ("echo CANARY".to_owned(), Status::Protocol, "is no JSON object"),
            (format!("echo '{{{keys}}}'"), Status::Protocol, "no `\"Version\": 1`"),
            (format!("echo '{{\"Version\": 2, {keys}}}'"), Status::Protocol, "no `\"Version\": 1`"),
            ("echo '{\"Version\": 1, \"AccessKeyId\": \"CANARY\"}'".to_owned(), Status::Protocol, "lacks"),
            (
                format!("echo '{{\"Version\": 1, \"Expiration\": \"soon\", {keys}}}'"),
                Status::Protocol,
                "must be a time",
            ),
            (
                format!("echo '{{\"Version\": 1, \"Expiration\": \"2020-01-01T00:00:00Z\", {keys}}}'"),
                Status::AccessDenied,
                "has expired",
            ),
            ("yes CANARY".to_owned(), Status::Protocol, "prints more than 65536 bytes"),
            ("yes CANARY >&2".to_owned(), Status::Timeout, "did not end in time"),
        ] {
            aws_file("config", &program(&script));
            let secrets = open(&[("providers", r#"["aws"]"#), ("timeout", "1.5")]).unwrap();
            let error = secrets.get("A").unwrap_err();
            assert_eq!(error.status(), status, "{script}: {error}");
            assert!(error.message().contains(words) && error.message().contains("profile `default` in "), "{error}");
            assert!(!error.message().contains("CANARY"), "{error}");
        }
        aws_file("config", "[default]\ncredential_process = /no/such/program\n");
        refused(Status::Config, &["cannot start /no/such/program"]);
    });
}

#[test]
fn a_program_that_hangs_is_killed_with_all_that_it_started() {
    in_clean_environment("a_program_that_hangs_is_killed_with_all_that_it_started", secret_alone, || {
        let file = Path::new(&variable("HOME")).join("pids");
        let hang = format!("sleep 1000 &\necho $$ $! >{}\nwait", file.display());
        let closed = format!("exec >&- 2>&-\n{hang}");
        for script in [hang, closed] {
            aws_file("config", &program(&script));
            let secrets = open(&[("providers", r#"["aws"]"#)]).unwrap();
            let (start, limit) = (Instant::now(), Duration::from_millis(700));
            let open_files = fs::read_dir("/proc/self/fd").unwrap().count();
            let error = secrets.get_with("A", &Options { timeout: Some(limit), ..Options::default() }).unwrap_err();
            assert_eq!(error.status(), Status::Timeout, "{error}");
            assert!(start.elapsed() < limit + Duration::from_millis(100), "{:?}", start.elapsed());
            for pid in fs::read_to_string(&file).unwrap().split_whitespace() {
                // A grandchild needs a moment to die, and somebody else takes its status.
                let state = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                let killed = || state().is_empty() || state().contains(") Z ");
                let end = Instant::now() + Duration::from_secs(5);
                while !killed() {
                    assert!(Instant::now() < end, "{}", state());
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
            assert_eq!(fs::read_dir("/proc/self/fd").unwrap().count(), open_files);
            let children = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
            assert_eq!(children, "", "nothing is left to wait for");
        }
    });
}

#[test]
fn a_web_identity_becomes_a_role() {
    in_clean_environment("a_web_identity_becomes_a_role", Vec::new, || {
        // moto cannot check a web identity; so this one checks nothing.
        let moto = Moto::start();
        moto.secret("training", r#"{"A": "1"}"#);
        let role = moto.role(READ);
        let token = temp();
        let token_file = write(&token.path().join("token"), "first.CANARY.token\n");
        let proxy = Proxy::to(moto.address());
        set_variables([
            ("SIMPLETUNER_AWS_SECRET_NAME", "training"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", &moto.url()),
            ("AWS_ENDPOINT_URL_STS", &proxy.url()),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", token_file.to_str().unwrap()),
            ("AWS_ROLE_ARN", &role),
        ]);
        reads();
        let request = &proxy.requests()[0];
        assert_eq!(request.header("authorization"), None, "it is not signed");
        let form = String::from_utf8(request.body.clone()).unwrap();
        assert!(form.contains("&WebIdentityToken=first.CANARY.token"), "{form}");
        // As AWS may repeat what it was sent.
        let told = "<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>first.CANARY.token is bad</Message></Error></ErrorResponse>";
        proxy.always(Reply::new(400).body(told));
        let lines = logged();
        let error = refused(Status::AccessDenied, &["web identity", &role, "InvalidIdentityToken"]);
        assert!(!error.message().contains("CANARY"), "{error}");
        assert!(!lines.lock().unwrap().contains("CANARY"));
        proxy.heal();
        proxy.forget();
        proxy.next(1, Fault::aws_xml(400, "IDPCommunicationError"));
        write(&token_file, "second");
        reads();
        assert_eq!(proxy.requests().len(), 2, "tried again");
        assert!(proxy.requests()[1].body.ends_with(b"&WebIdentityToken=second"), "the file is read anew");
        for (token, words) in [("", "holds no token"), ("a\r\nX-Evil: 1", "holds no token")] {
            write(&token_file, token);
            refused(Status::Config, &[words]);
        }
        set_variables([("AWS_ROLE_SESSION_NAME", "a b")]);
        refused(Status::Config, &["AWS_ROLE_SESSION_NAME: \"a b\" cannot name a session"]);
        set_variables([("AWS_ROLE_SESSION_NAME", ""), ("AWS_ROLE_ARN", "")]);
        refused(Status::Config, &["AWS_ROLE_ARN is not"]);
    });
}

fn container_answer(key: &Key, expires: SystemTime) -> Fault {
    let body =
        json!({"AccessKeyId": key.id, "SecretAccessKey": key.secret, "Token": key.token, "Expiration": iso(expires)});
    Reply::new(200).body(body.to_string()).into()
}

#[test]
fn a_container_has_an_endpoint_with_a_token() {
    in_clean_environment(
        "a_container_has_an_endpoint_with_a_token",
        || secret_and(&[("SESSION", moto().assume(&moto().role(READ)))]),
        || {
            let container = Proxy::to("127.0.0.1:1");
            container.always(container_answer(&key("SESSION"), in_seconds(3600)));
            let folder = temp();
            let file = write(&folder.path().join("token"), "CANARY/one\n");
            set_variables([
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*format!("{}/v1/credentials", container.url())),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.to_str().unwrap()),
                // It is not asked for these.
                ("HTTP_PROXY", "http://127.0.0.1:1"),
                ("NO_PROXY", moto().address().split(':').next().unwrap()),
            ]);
            reads();
            let request = &container.requests()[0];
            assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/v1/credentials"));
            assert_eq!(request.header("authorization"), Some("CANARY/one"), "without the line's end");
            write(&file, "CANARY/two");
            reads();
            assert_eq!(container.requests()[1].header("authorization"), Some("CANARY/two"), "read anew");
            container.forget();
            container.next(1, Fault::status(503));
            reads();
            assert_eq!(container.requests().len(), 2, "tried again");
            let told = r#"{"code": "AccessDenied", "message": "CANARY/two is bad"}"#;
            for (fault, status, words) in [
                (Reply::new(401).body(told).into(), Status::AccessDenied, "AccessDenied; is its token right?"),
                (Fault::redirect(302, &moto().url()), Status::AccessDenied, "a redirect is not followed"),
                (Reply::new(200).body("{}").into(), Status::Protocol, "has no AccessKeyId"),
                (Reply::new(200).body("CANARY").into(), Status::Protocol, "has no AccessKeyId"),
                (Fault::Endless, Status::Protocol, "longer than 65536 bytes"),
                (Fault::Refuse, Status::Unavailable, "no AWS credentials from the container's endpoint 127.0.0.1"),
            ] {
                container.always(fault);
                let error = refused(status, &[words]);
                assert!(!error.message().contains("CANARY"), "{error}");
            }
            write(&file, "CANARY\r\nX-Evil: 1");
            refused(Status::Config, &["holds no token"]);
            container.forget();
            for url in ["http://10.0.0.1/x", "http://169.254.169.254/x", "http://example.invalid/x"] {
                set_variables([("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)]);
                let error = aws().get_with("A", &REFRESH).unwrap_err();
                assert!(matches!(error.status(), Status::Config | Status::Unavailable), "{error}");
            }
            assert!(container.requests().is_empty());
        },
    );
}

#[test]
fn an_instance_gives_the_keys_of_its_role_and_its_region() {
    in_clean_environment("an_instance_gives_the_keys_of_its_role_and_its_region", Vec::new, || {
        let moto = Moto::start();
        moto.secret("training", r#"{"A": "1"}"#);
        let metadata = Proxy::to(moto.address());
        set_variables([
            ("SIMPLETUNER_AWS_SECRET_NAME", "training"),
            ("AWS_ENDPOINT_URL", &moto.url()),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata.url()),
            ("HTTP_PROXY", "http://127.0.0.1:1"),
            ("NO_PROXY", moto.address()),
        ]);
        metadata.next(1, Reply::new(200).body("token"));
        metadata.next(1, Reply::new(200).body("us-east-1"));
        let secrets = aws();
        assert_eq!(text(&secrets, "A").as_deref(), Some("1"));
        let requests = metadata.requests();
        let asked: Vec<_> = requests.iter().map(|request| format!("{} {}", request.method, request.path)).collect();
        let role = asked.last().unwrap().strip_prefix("GET /latest/meta-data/iam/security-credentials/").unwrap();
        assert!(!role.is_empty(), "{asked:?}");
        assert_eq!(
            asked[..4],
            [
                "PUT /latest/api/token",
                "GET /latest/meta-data/placement/region",
                "PUT /latest/api/token",
                "GET /latest/meta-data/iam/security-credentials/",
            ]
        );
        assert_eq!(requests[0].header("x-aws-ec2-metadata-token-ttl-seconds"), Some("21600"));
        assert_eq!(requests[1].header("x-aws-ec2-metadata-token"), Some("token"));
        set_variables([("AWS_REGION", "us-east-1")]);
        let token = || Reply::new(200).body("token").into();
        let list = || Reply::new(200).body("a-role\nanother").into();
        let denied = r#"{"Code": "AssumeRoleUnauthorizedAccess", "Message": "EC2 cannot assume the role"}"#;
        for (answers, status, words) in [
            (vec![Fault::status(403)], Status::Config, "it is switched off"),
            (vec![Fault::status(400)], Status::AccessDenied, "HTTP status 400"),
            (vec![token(), Fault::status(404)], Status::Config, "the instance has no role"),
            (
                vec![token(), list(), Reply::new(200).body(denied).into()],
                Status::AccessDenied,
                "AssumeRoleUnauthorizedAccess",
            ),
            (vec![token(), list(), Reply::new(200).body("[]").into()], Status::Protocol, "no JSON object"),
            (vec![token(), list(), Fault::status(500)], Status::Unavailable, "HTTP status 500"),
            (vec![Fault::redirect(302, &moto.url())], Status::AccessDenied, "HTTP status 302"),
        ] {
            answers.into_iter().for_each(|answer| metadata.next(1, answer));
            refused(status, &[words, "the instance metadata at http://127.0.0.1:"]);
        }
        metadata.next(1, Fault::status(503));
        reads();
    });
}

#[test]
fn old_keys_of_an_instance_serve_while_there_are_no_new_ones() {
    in_clean_environment(
        "old_keys_of_an_instance_serve_while_there_are_no_new_ones",
        || secret_and(&[("SESSION", moto().assume(&moto().role(READ)))]),
        || {
            let metadata = Proxy::to("127.0.0.1:1");
            let session = key("SESSION");
            let answer = |expires| {
                let keys = json!({"Code": "Success", "AccessKeyId": session.id, "SecretAccessKey": session.secret,
                    "Token": session.token, "Expiration": iso(expires)});
                metadata.next(2, Reply::new(200).body("one-line"));
                metadata.next(1, Reply::new(200).body(keys.to_string()));
            };
            set_variables([("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*metadata.url()), ("AWS_EC2_METADATA_DISABLED", "")]);
            // Expired when they come: as an instance gives them whose service cannot get new ones.
            answer(in_seconds(-60));
            let secrets = aws();
            secrets.refresh(None).unwrap();
            secrets.refresh(None).unwrap();
            assert_eq!(metadata.requests().len(), 3, "they serve for some minutes");
            // So short that new ones are needed at once.
            answer(in_seconds(1));
            let secrets = aws();
            secrets.refresh(None).unwrap();
            std::thread::sleep(Duration::from_millis(1100));
            metadata.always(Fault::status(500));
            secrets.refresh(None).unwrap();
        },
    );
}

#[test]
fn an_instance_that_is_none_costs_little_time_and_once() {
    in_clean_environment("an_instance_that_is_none_costs_little_time_and_once", secret_alone, || {
        let nobody = BlackHole::open();
        set_variables([("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*nobody.url()), ("AWS_EC2_METADATA_DISABLED", "")]);
        let secrets = open(&[("providers", r#"["aws"]"#), ("timeout", "30")]).unwrap();
        let start = Instant::now();
        let error = secrets.get("A").unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        assert_eq!(error.status(), Status::Config, "{error}");
        for word in ["there are no AWS credentials", "AWS_ACCESS_KEY_ID", &nobody.url(), "does not answer"] {
            assert!(error.message().contains(word), "{error}");
        }
        let start = Instant::now();
        assert!(secrets.refresh(None).is_err());
        assert!(start.elapsed() < Duration::from_millis(200), "it is remembered: {:?}", start.elapsed());
        set_variables([("AWS_EC2_METADATA_DISABLED", "true")]);
        refused(Status::Config, &["AWS_EC2_METADATA_DISABLED says not to ask"]);
    });
}

#[test]
fn a_login_becomes_the_keys_of_a_role() {
    in_clean_environment(
        "a_login_becomes_the_keys_of_a_role",
        || secret_and(&[("SESSION", moto().assume(&moto().role(READ)))]),
        || {
            aws_file(
                "config",
                "[default]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Reader Role\n\
                [sso-session corp]\nsso_start_url = https://portal.example/start\nsso_region = us-east-1\n",
            );
            let session = key("SESSION");
            let portal = Proxy::to("127.0.0.1:1");
            let milliseconds = in_seconds(3600).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64;
            let keys = json!({"roleCredentials": {"accessKeyId": session.id, "secretAccessKey": session.secret,
                "sessionToken": session.token, "expiration": milliseconds}});
            portal.always(Reply::new(200).body(keys.to_string()));
            let oidc = Proxy::to("127.0.0.1:1");
            set_variables([("AWS_ENDPOINT_URL_SSO", portal.url()), ("AWS_ENDPOINT_URL_SSO_OIDC", oidc.url())]);
            let remedy = "aws sso login --profile default";
            refused(Status::AccessDenied, &["there is no login; run: ", remedy]);
            // The name of the file is the SHA-1 of the session's name, `corp`.
            let folder = Path::new(&variable("HOME")).join(".aws/sso/cache");
            fs::create_dir_all(&folder).unwrap();
            let sum =
                std::process::Command::new("sh").args(["-c", "printf corp | sha1sum | cut -c-40"]).output().unwrap();
            let cache = folder.join(String::from_utf8(sum.stdout).unwrap().trim().to_owned() + ".json");
            write(&cache, &json!({"accessToken": "CANARYTOKEN", "expiresAt": iso(in_seconds(3600))}).to_string());
            reads();
            let request = &portal.requests()[0];
            assert_eq!(request.path, "/federation/credentials?role_name=Reader+Role&account_id=123456789012");
            assert_eq!(request.header("x-amz-sso_bearer_token"), Some("CANARYTOKEN"));
            assert_eq!(request.header("authorization"), None);
            portal.next(1, Reply::new(401).body(r#"{"__type":"UnauthorizedException","message":"CANARYTOKEN"}"#));
            let error =
                refused(Status::AccessDenied, &["profile `default` in ", "the login has expired; run: ", remedy]);
            assert!(!error.message().contains("CANARY"), "{error}");
            write(&cache, &json!({"accessToken": "CANARYTOKEN", "expiresAt": iso(in_seconds(-5))}).to_string());
            refused(Status::AccessDenied, &["the login has expired; run: ", remedy]);
            assert_eq!(oidc.requests().len(), 0);
            // One that may be renewed is, and the tools of AWS find the new one.
            write(
                &cache,
                &json!({"startUrl": "kept", "accessToken": "CANARYTOKEN", "expiresAt": iso(in_seconds(-5)),
                "clientId": "id", "clientSecret": "CANARYCLIENT", "refreshToken": "CANARYREFRESH"})
                .to_string(),
            );
            let renewed = json!({"accessToken": "CANARYSECOND", "expiresIn": 3600, "refreshToken": "CANARYNEXT"});
            oidc.next(1, Reply::new(200).body(renewed.to_string()));
            let lines = logged();
            reads();
            let asked: Value = serde_json::from_slice(&oidc.requests()[0].body).unwrap();
            assert_eq!(
                asked,
                json!({"clientId": "id", "clientSecret": "CANARYCLIENT", "grantType": "refresh_token",
                "refreshToken": "CANARYREFRESH"})
            );
            let kept: Value = serde_json::from_str(&fs::read_to_string(&cache).unwrap()).unwrap();
            assert_eq!((&kept["accessToken"], &kept["refreshToken"]), (&json!("CANARYSECOND"), &json!("CANARYNEXT")));
            assert_eq!(kept["startUrl"], "kept");
            assert!(kept["expiresAt"].as_str().unwrap() > iso(in_seconds(3000)).as_str());
            assert!(!lines.lock().unwrap().contains("CANARY"), "{lines:?}");
            write(&cache, "CANARY");
            let error = refused(Status::Protocol, &["holds no login"]);
            assert!(!error.message().contains("CANARY"), "{error}");
        },
    );
}

#[test]
fn keys_that_aws_refuses_as_expired_are_fetched_anew_once() {
    in_clean_environment(
        "keys_that_aws_refuses_as_expired_are_fetched_anew_once",
        || {
            let role = moto().role(READ);
            secret_and(&[("FIRST", moto().assume(&role)), ("SECOND", moto().assume(&role))])
        },
        || {
            let container = Proxy::to("127.0.0.1:1");
            let proxy = Proxy::to(moto().address());
            set_variables([("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.url()), ("AWS_ENDPOINT_URL", proxy.url())]);
            let later = in_seconds(3600);
            container.next(1, container_answer(&key("FIRST"), later));
            container.always(container_answer(&key("SECOND"), later));
            let secrets = aws();
            secrets.refresh(None).unwrap();
            for code in ["ExpiredTokenException", "UnrecognizedClientException"] {
                proxy.forget();
                proxy.next(1, Fault::aws(400, code));
                let refreshed = secrets.refresh(None);
                // The second time there are no others, so that the refusal stands.
                assert_eq!(refreshed.is_ok(), code == "ExpiredTokenException", "{refreshed:?}");
            }
            assert_eq!(container.requests().len(), 3);
            assert_eq!(proxy.requests().len(), 1);
        },
    );
}

#[test]
fn keys_that_live_for_seconds_are_renewed_before_they_end() {
    in_clean_environment(
        "keys_that_live_for_seconds_are_renewed_before_they_end",
        || secret_and(&[("SESSION", moto().assume(&moto().role(READ)))]),
        || {
            let container = Proxy::to("127.0.0.1:1");
            set_variables([("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.url())]);
            let session = key("SESSION");
            container.next(1, container_answer(&session, in_seconds(6)));
            let secrets = aws();
            secrets.refresh(None).unwrap();
            secrets.refresh(None).unwrap();
            assert_eq!(container.requests().len(), 1, "they are fresh");
            std::thread::sleep(Duration::from_millis(4200));
            // In their last third new ones are asked for, and the old ones serve if there are none.
            container.next(1, Fault::status(400));
            secrets.refresh(None).unwrap();
            assert_eq!(container.requests().len(), 2);
            container.next(1, container_answer(&session, in_seconds(3600)));
            secrets.refresh(None).unwrap();
            secrets.refresh(None).unwrap();
            assert_eq!(container.requests().len(), 3);
        },
    );
}

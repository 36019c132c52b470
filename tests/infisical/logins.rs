//! Universal auth and tokens, how long each is used, and where they are found.

use std::fs;
use std::time::Duration;

use serde_json::json;
use st_secrets::Status;

use crate::common::open;
use crate::common::proxy::Proxy;
use crate::common::remote::{Shown, alone, check};
use crate::common::servers::infisical::PROJECT;
use crate::common::servers::set_variables;
use crate::common::time::advance;
use crate::common::{temp, temp_in_memory, write};
use crate::{Infisical, PLACE, at, read, refused};

const LOGIN: &str = "/api/v1/auth/universal-auth/login";

fn logins(proxy: &Proxy) -> usize {
    proxy.requests().iter().filter(|request| request.path == LOGIN).count()
}

#[test]
fn token_is_used_until_shortly_before_its_end() {
    alone!(|| {
        let server = Infisical::start();
        let proxy = Proxy::to(&server.address());
        let secrets = at(&proxy.url(), &server, &[("cache_ttl", "0")]);
        for _ in 0..3 {
            read(&secrets, "HF_TOKEN").unwrap();
        }
        assert_eq!((logins(&proxy), proxy.requests().len()), (1, 4));
        advance(Duration::from_secs(3200));
        read(&secrets, "HF_TOKEN").unwrap();
        assert_eq!(logins(&proxy), 1, "more than five minutes are left");
        advance(Duration::from_secs(200));
        read(&secrets, "HF_TOKEN").unwrap();
        assert_eq!(logins(&proxy), 2, "less than five minutes were left");
    });
}

#[test]
fn token_that_the_server_ends_is_replaced_once() {
    alone!(|| {
        let server = Infisical::start();
        let proxy = Proxy::to(&server.address());
        let secrets = at(&proxy.url(), &server, &[]);
        for (number, change) in ["expire", "revoke"].into_iter().enumerate() {
            assert!(read(&secrets, "HF_TOKEN").is_ok());
            assert_eq!(logins(&proxy), number + 1);
            server.steer(change);
            assert_eq!(read(&secrets, "HF_TOKEN").unwrap().0, b"CANARY-hf", "{change}");
            assert_eq!(logins(&proxy), number + 2, "{change}");
        }
        // A token without an end is used for more than one load.
        server.steer("lifetime?seconds=0");
        server.steer("revoke");
        assert!(read(&secrets, "HF_TOKEN").is_ok() && read(&secrets, "HF_TOKEN").is_ok());
        assert_eq!(logins(&proxy), 4);
        // A denial is not the token's.
        let denied = at(&proxy.url(), &server, &[("infisical_environment", "forbidden")]);
        refused(&denied, "HF_TOKEN", Status::AccessDenied, &["PermissionDenied", "give the client ID client-reader"]);
        assert_eq!(logins(&proxy), 5);
        refused(&denied, "HF_TOKEN", Status::AccessDenied, &["PermissionDenied"]);
        assert_eq!(logins(&proxy), 5);
    });
}

#[test]
fn login_that_is_rejected_is_a_denial() {
    alone!(|| {
        let server = Infisical::start();
        let directory = temp();
        let file = write(&directory.path().join("secret"), "CANARY-wrong-secret\n");
        let more = [("infisical_client_secret_file", file.to_str().unwrap())];
        let secrets = at(&server.url(), &server, &more);
        let words = ["the login of the client ID client-reader at", "Invalid credentials", "check the client ID"];
        refused(&secrets, "HF_TOKEN", Status::AccessDenied, &words);
        assert_eq!(check(&secrets)["state"], "failed");
        // A new secret in the file is used at once.
        write(&file, &fs::read_to_string(server.file("reader")).unwrap());
        assert_eq!(read(&secrets, "HF_TOKEN").unwrap().0, b"CANARY-hf");
    });
}

#[test]
fn credentials_and_place_are_found_in_the_variables_of_infisicals_tools() {
    alone!(|| {
        let server = Infisical::start();
        let read_file = |name: &str| fs::read_to_string(server.file(name)).unwrap().trim().to_owned();
        let settings = [("providers", r#"["infisical"]"#), ("infisical_environment", "prod")];
        set_variables([("INFISICAL_API_URL", format!("{}/api", server.url()))]);
        refused(
            &open(&settings).unwrap(),
            "HF_TOKEN",
            Status::Config,
            &["`infisical_project` or INFISICAL_PROJECT_ID"],
        );
        set_variables([("INFISICAL_PROJECT_ID", PROJECT)]);
        refused(&open(&settings).unwrap(), "HF_TOKEN", Status::Config, &["no credentials for Infisical"]);
        set_variables([("INFISICAL_TOKEN", read_file("token"))]);
        assert_eq!(read(&open(&settings).unwrap(), "HF_TOKEN").unwrap().0, b"CANARY-hf");
        let client = "INFISICAL_UNIVERSAL_AUTH_CLIENT";
        set_variables([(format!("{client}_ID"), "client-stranger".to_owned())]);
        refused(&open(&settings).unwrap(), "HF_TOKEN", Status::Config, &["INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET"]);
        set_variables([(format!("{client}_SECRET"), read_file("stranger"))]);
        refused(&open(&settings).unwrap(), "HF_TOKEN", Status::AccessDenied, &["PermissionDenied", "client-stranger"]);
        // A setting comes before the variables.
        let token = read_file("token");
        let secrets = open(&[&settings[..], &[("infisical_token", token.as_str())]].concat()).unwrap();
        assert_eq!(read(&secrets, "HF_TOKEN").unwrap().0, b"CANARY-hf");
    });
}

#[test]
fn jwt_of_a_machine_identity_logs_in() {
    alone!(|| {
        let server = Infisical::start();
        let proxy = Proxy::to(&server.address());
        let directory = temp();
        for auth in ["kubernetes", "oidc", "jwt"] {
            let file = write(&directory.path().join(auth), &format!("CANARY-jwt.{auth}.reader\n"));
            let url = proxy.url();
            let own = [
                ("infisical_url", &*url),
                ("infisical_auth", auth),
                ("infisical_identity_id", "client-reader"),
                ("infisical_jwt_file", file.to_str().unwrap()),
            ];
            let secrets = open(&[&PLACE[..], &own].concat()).unwrap();
            proxy.forget();
            assert_eq!(read(&secrets, "HF_TOKEN").unwrap().0, b"CANARY-hf", "{auth}");
            assert_eq!(proxy.requests()[0].path, format!("/api/v1/auth/{auth}-auth/login"));
            // The JWT in the file is replaced.
            write(&file, "CANARY-jwt.of-another\n");
            let words =
                ["the login of the identity client-reader at", "Invalid credentials", "the audience of the JWT"];
            refused(&secrets, "HF_TOKEN", Status::AccessDenied, &words);
            write(&file, &format!("CANARY-jwt.{auth}.stranger"));
            let stranger = [&own[..], &[("infisical_identity_id", "client-stranger")]].concat();
            let secrets = open(&[&PLACE[..], &stranger].concat()).unwrap();
            refused(&secrets, "HF_TOKEN", Status::AccessDenied, &["PermissionDenied", "the identity client-stranger"]);
        }
        let theirs = server.peer_with("client-reader", "CANARY-jwt.oidc.reader", &json!([["prod", "/", "HF_TOKEN"]]));
        assert_eq!(theirs[0][0], "CANARY-hf", "{theirs}");
    });
}

#[test]
fn token_without_a_login_that_has_expired_is_a_denial() {
    alone!(|| {
        let server = Infisical::start();
        server.steer("expire");
        let (url, token) = (server.url(), server.file("token"));
        let own = [("infisical_url", url.as_str()), ("infisical_token_file", token.as_str())];
        let secrets = open(&[&PLACE[..], &own].concat()).unwrap();
        refused(&secrets, "HF_TOKEN", Status::AccessDenied, &["TokenError", "has expired", "the token"]);
    });
}

#[test]
fn processes_share_one_login_and_one_load() {
    alone!(|| {
        let server = Infisical::start();
        let proxy = Proxy::to(&server.address());
        let directory = temp_in_memory();
        let share = directory.path().join("share");
        let more = [("share", "host"), ("share_dir", share.to_str().unwrap())];
        let (one, two) = (at(&proxy.url(), &server, &more), at(&proxy.url(), &server, &more));
        assert!(!one.get("HF_TOKEN").unwrap().is_shared());
        assert!(two.get("HF_TOKEN").unwrap().is_shared());
        assert_eq!(proxy.requests().len(), 2);
        let other = at(&proxy.url(), &server, &[&more[..], &[("infisical_path", "/train")]].concat());
        assert_eq!(read(&other, "HF_TOKEN").unwrap().0, b"CANARY-train");
        assert_eq!((logins(&proxy), proxy.requests().len()), (1, 3), "the login is shared");
        let secret = server.file("stranger");
        let stranger = [("infisical_client_id", "client-stranger"), ("infisical_client_secret_file", &*secret)];
        let stranger = at(&proxy.url(), &server, &[&more[..], &stranger].concat());
        refused(&stranger, "HF_TOKEN", Status::AccessDenied, &["client-stranger"]);
    });
}

#[test]
fn no_output_has_a_value_or_a_credential() {
    alone!(|| {
        let server = Infisical::start();
        let shown = Shown::start();
        let secrets = at(&server.url(), &server, &[("infisical_path", r#"["/train", "/"]"#)]);
        shown.has_no_secret(&secrets, &["HF_TOKEN", "HIDDEN", "NONE"], "the client ID client-reader");
        shown.log_has("/api/v3/secrets/raw");
    });
}

//! TLS: trusted certificates, the expected name, the client certificate.

use serde_json::json;
use st_secrets::{Manager, Status};

use crate::common::servers::bao::Bao;
use crate::common::servers::set_variables;
use crate::{alone, at};

fn value(secrets: &Manager) -> st_secrets::Result<Vec<u8>> {
    secrets.get("A").map(|secret| secret.value().to_vec())
}

/// Asserts the error for a server that is not trusted, which names the settings.
fn assert_untrusted(secrets: &Manager, what: &str) {
    let error = value(secrets).unwrap_err();
    assert_eq!(error.status(), Status::AccessDenied, "{error}");
    assert!(error.message().contains(what), "{error}");
    assert!(error.message().contains("vault_ca_cert") && error.message().contains("VAULT_TLS_SERVER_NAME"), "{error}");
}

#[test]
fn server_is_trusted_by_its_ca_and_name() {
    alone!(|| {
        let bao = Bao::start_tls();
        bao.put("secret", "simpletuner", &json!({"A": "value"}));
        let (ca, other) = (bao.certificate("ca.pem"), bao.certificate("other-ca.pem"));
        let token = ("vault_token", bao.root());
        let trusting = ("vault_ca_cert", &*ca);
        assert_eq!(value(&at(&bao.tls_url(), &[token, trusting])).unwrap(), b"value");
        assert_untrusted(&at(&bao.tls_url(), &[token]), "signed by an authority that is not trusted");
        assert_untrusted(&at(&bao.tls_url(), &[token, ("vault_ca_cert", &other)]), "authority that is not trusted");
        assert_untrusted(&at(&bao.wrong_name_url(), &[token, trusting]), "is for elsewhere.test, not for 127.0.0.1");
        assert_untrusted(&at(&bao.expired_url(), &[token, trusting]), "has expired");
        let error = value(&at(&bao.tls_url(), &[token, ("vault_ca_cert", "/nowhere/ca.pem")])).unwrap_err();
        assert!(error.message().contains("/nowhere/ca.pem"), "{error}");
        let error = value(&at(&bao.tls_url().replace("https", "http"), &[token])).unwrap_err();
        assert!(!error.message().contains(bao.root()), "{error}");
    });
}

#[test]
fn tls_variables_are_read() {
    alone!(|| {
        let bao = Bao::start_tls();
        bao.put("secret", "simpletuner", &json!({"A": "value"}));
        let token = [("vault_token", bao.root())];
        set_variables([("VAULT_CACERT", bao.certificate("ca.pem"))]);
        assert_eq!(value(&at(&bao.tls_url(), &token)).unwrap(), b"value");
        let missing = value(&at(&bao.client_tls_url(), &token)).unwrap_err();
        assert!(missing.message().contains("VAULT_CLIENT_CERT"), "{missing}");
        set_variables([
            ("VAULT_CLIENT_CERT", bao.certificate("client.pem")),
            ("VAULT_CLIENT_KEY", bao.certificate("client.key")),
        ]);
        assert_eq!(value(&at(&bao.client_tls_url(), &token)).unwrap(), b"value");
        set_variables([("VAULT_TLS_SERVER_NAME", "elsewhere.test")]);
        assert_eq!(value(&at(&bao.wrong_name_url(), &token)).unwrap(), b"value");
        set_variables([("VAULT_TLS_SERVER_NAME", "")]);
        set_variables([("BAO_CACERT", "")]);
        let pem = std::fs::read_to_string(bao.certificate("ca.pem")).unwrap();
        set_variables([("VAULT_CACERT_BYTES", pem)]);
        assert_eq!(value(&at(&bao.tls_url(), &token)).unwrap(), b"value");
        set_variables([("VAULT_CACERT_BYTES", "")]);
        let directory = crate::common::temp();
        std::fs::copy(bao.certificate("ca.pem"), directory.path().join("ca.pem")).unwrap();
        for place in [directory.path().to_owned(), directory.path().join("ca.pem")] {
            set_variables([("VAULT_CAPATH", place.to_str().unwrap())]);
            assert_eq!(value(&at(&bao.tls_url(), &token)).unwrap(), b"value");
        }
        set_variables([("VAULT_CAPATH", ""), ("VAULT_SKIP_VERIFY", "true")]);
        let unverified = at(&bao.expired_url(), &token);
        assert_eq!(value(&unverified).unwrap(), b"value");
        let report = crate::check(&unverified);
        assert_eq!(report["state"], "warning");
        assert!(report["advice"].as_str().unwrap().contains("VAULT_SKIP_VERIFY"), "{report:#}");
    });
}

//! With TLS: trusted authorities, client certificates, and misbehaving peers.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::process::Command;
use std::sync::{Mutex, mpsc};
use std::thread;

use super::authority::{Authority, secured};
use super::peer::{Peer, ok, read_request};
use super::*;
use crate::http::Roots;

const HERE: &str = "DNS:localhost,IP:127.0.0.1";

fn trusting(roots: Roots) -> Client {
    Client::new(ClientSettings { roots, ..settings() })
}

/// A client that trusts the authority, with further settings.
fn trusting_with(authority: &Authority, change: impl FnOnce(&mut ClientSettings)) -> Client {
    let mut settings = ClientSettings { roots: Roots::File(named(authority.path("ca.pem"))), ..settings() };
    change(&mut settings);
    Client::new(settings)
}

#[test]
fn server_of_a_trusted_authority_is_accepted() {
    let authority = Authority::new();
    authority.issue("server", HERE);
    let server = authority.serve("server", "");
    let pem = fs::read_to_string(authority.path("ca.pem")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("other.txt"), "not a certificate").unwrap();
    fs::write(directory.path().join("ca.crt"), &pem).unwrap();
    let tree = tempfile::tempdir().unwrap();
    fs::create_dir_all(tree.path().join("team/own")).unwrap();
    fs::write(tree.path().join("team/own/ca.crt"), &pem).unwrap();
    std::os::unix::fs::symlink("..", tree.path().join("team/up")).unwrap();
    for roots in [
        Roots::File(named(authority.path("ca.pem"))),
        Roots::Pem(named(pem)),
        Roots::Directory(named(directory.path())),
        Roots::Directory(named(directory.path().join("ca.crt"))),
        Roots::Directory(named(tree.path())),
    ] {
        let response = get(&trusting(roots), &server.url()).unwrap();
        assert_eq!(response.status, 200);
        assert!(response.body.starts_with(b"<HTML>"));
    }
    let by_address = format!("https://127.0.0.1:{}/", server.port);
    get(&trusting(Roots::File(named(authority.path("ca.pem")))), &by_address).unwrap();
}

#[test]
fn tls_1_2_is_accepted_and_tls_1_1_is_refused() {
    let authority = Authority::new();
    authority.issue("server", HERE);
    let client = trusting_with(&authority, |_| ());
    get(&client, &authority.serve("server", "-tls1_2").url()).unwrap();
    let old = authority.serve("server", "-tls1_1 -cipher ALL:@SECLEVEL=0");
    let error = get(&client, &old.url()).err().unwrap();
    assert_eq!(error.status(), Status::Protocol, "{error}");
    assert_eq!(error.message(), format!("https://localhost:{} does not support TLS 1.2 or newer", old.port));
}

#[test]
fn untrusted_certificate_is_reported_with_the_reason() {
    let authority = Authority::new();
    authority.issue("server", HERE);
    authority.issue("other", "DNS:vault.example.com");
    authority.issue_until("expired", HERE, "20200102000000Z");
    let stranger = Authority::named("stranger");
    let namesake = Authority::new();
    for (server, trusted, why) in [
        (authority.serve("server", ""), &stranger, "is signed by an authority that is not trusted here"),
        (
            authority.serve("server", ""),
            &namesake,
            "has a signature that does not match the trusted authority of that name",
        ),
        (authority.serve("other", ""), &authority, "is for vault.example.com, not for localhost"),
        (authority.serve("expired", ""), &authority, "has expired (or the clock of this machine is wrong)"),
    ] {
        let error = get(&trusting_with(trusted, |_| ()), &server.url()).err().unwrap();
        assert_eq!(error.status(), Status::AccessDenied, "{error}");
        assert!(!error.is_retryable());
        let begin = format!("the certificate of https://localhost:{} {why}", server.port);
        assert!(error.message().starts_with(&begin), "{error}");
        // It is accepted with `skip_verify`.
        let careless = trusting_with(trusted, |settings| settings.skip_verify = true);
        assert_eq!(get(&careless, &server.url()).unwrap().status, 200);
        let server_on_1_2 = authority.serve("server", "-tls1_2");
        assert_eq!(get(&careless, &server_on_1_2.url()).unwrap().status, 200);
    }
}

#[test]
fn server_name_may_differ_from_the_host() {
    let authority = Authority::new();
    authority.issue("vault", "DNS:vault.example.com");
    let server =
        authority.serve("vault", "-servername vault.example.com -servername_fatal -cert2 vault.pem -key2 vault.key");
    let named = |name: &str| trusting_with(&authority, |settings| settings.server_name = Some(name.to_owned()));
    get(&named("vault.example.com"), &server.url()).unwrap();
    let error = get(&named("not a name"), &server.url()).err().unwrap();
    assert_eq!(error.status(), Status::Config);
    assert_eq!(error.message(), "\"not a name\" is not a valid TLS server name");
}

#[test]
fn client_certificate_is_sent_whatever_the_form_of_its_key() {
    let authority = Authority::new();
    authority.issue("server", HERE);
    authority.issue("client", "DNS:client");
    authority.openssl("pkcs8 -topk8 -nocrypt -in client.key -out client.pkcs8");
    authority.openssl("ec -in client.key -out client.sec1");
    authority.openssl("req -config ca.cnf -newkey rsa:2048 -nodes -keyout rsa.key -out rsa.csr -subj /CN=rsa");
    authority.openssl("rsa -traditional -in rsa.key -out rsa.pkcs1");
    authority.openssl("ca -batch -config ca.cnf -cert ca.pem -keyfile ca.key -in rsa.csr -out rsa.pem -notext -days 2");
    authority.openssl("ec -in client.key -aes128 -passout pass:x -out client.locked");
    let shown = |chain: &str, key: &str| {
        trusting_with(&authority, |settings| {
            settings.client_certificate = Some((named(authority.path(chain)), named(authority.path(key))));
        })
    };
    for version in ["-tls1_3", "-tls1_2"] {
        let strict = authority.serve("server", &format!("{version} -Verify 1 -verify_return_error -CAfile ca.pem"));
        for (chain, key) in [("client.pem", "client.pkcs8"), ("client.pem", "client.sec1"), ("rsa.pem", "rsa.pkcs1")] {
            let client = shown(chain, key);
            assert_eq!(get(&client, &strict.url()).unwrap().status, 200, "{key}");
        }
        for _ in 0..3 {
            let error = get(&trusting_with(&authority, |_| ()), &strict.url()).err().unwrap();
            // TLS 1.2 has no alert of its own for it.
            let status = if version == "-tls1_3" { Status::AccessDenied } else { Status::Protocol };
            assert_eq!(error.status(), status, "{error}");
            assert!(error.message().contains("client certificate"), "{error}");
        }
    }
    let server = authority.serve("server", "");
    for (chain, key, why) in [
        ("client.pem", "client.locked", "client.locked contains no private key in PEM, or an encrypted one"),
        ("client.pem", "rsa.key", "rsa.key is not the private key of "),
        ("client.key", "client.key", "client.key contains no certificate in PEM"),
        ("client.pem", "none.key", "none.key: No such file"),
    ] {
        let error = get(&shown(chain, key), &server.url()).err().unwrap();
        assert!(matches!(error.status(), Status::Config | Status::Io), "{error:?}");
        assert!(error.message().contains(why), "{error}");
    }
}

#[test]
fn alert_during_a_request_is_reported() {
    let authority = Authority::new();
    authority.issue("server", HERE);
    let config = authority.strict_server_config("server");
    // Sends an alert, and closes the connection although there is more to read, which resets it.
    let peer = Peer::new(move |stream| drop(secured(&config, stream).flush()));
    let body = vec![b'x'; 16 * MIB];
    let url = format!("https://{}/", peer.address);
    let request = HttpRequest { method: "POST", url: &url, headers: &[], body: &body, connect_timeout: None };
    for _ in 0..10 {
        let error = trusting_with(&authority, |_| ()).send(&request, patience()).err().unwrap();
        assert_eq!(error.status(), Status::AccessDenied, "{error}");
        assert_eq!(
            error.message(),
            format!("https://{} requires a client certificate, and none is configured", peer.address)
        );
    }
}

#[test]
fn invalid_roots_are_refused_before_anything_is_sent() {
    let peer = Peer::responding(|_| ok(""));
    let url = format!("https://{}/", peer.address);
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        fs::write(directory.path().join(name), text).unwrap();
        named(directory.path().join(name))
    };
    let shown = directory.path().display();
    let damaged = "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n";
    let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let empty = tempfile::tempdir().unwrap();
    for (roots, why) in [
        (
            Roots::File(named(directory.path().join("none.pem"))),
            format!("X: cannot open {shown}/none.pem: No such file"),
        ),
        (Roots::File(file("empty.pem", "")), format!("X: {shown}/empty.pem contains no certificate")),
        (Roots::File(file("damaged.pem", damaged)), format!("X: {shown}/damaged.pem is not valid PEM")),
        (
            Roots::File(file("no.pem", no_certificate)),
            format!("X: {shown}/no.pem contains an invalid certificate (number 1): "),
        ),
        (Roots::Directory(named(empty.path())), format!("X: {} contains no certificate", empty.path().display())),
        (
            Roots::Directory(named(directory.path().join("none"))),
            format!("X: cannot read the directory {shown}/none: No such file"),
        ),
        (Roots::Pem(named("x")), "X contains no certificate".to_owned()),
    ] {
        let error = get(&trusting(roots), &url).err().unwrap();
        assert!(error.message().starts_with(&why), "{error}");
        assert!(matches!(error.status(), Status::Config | Status::Io), "{error:?}");
    }
    assert_eq!(peer.connections(), 0);
}

/// The roots of the system depend on the environment, which a test must not change, so the test runs itself again.
#[test]
fn ssl_cert_file_replaces_the_roots_of_the_system() {
    if let Ok(url) = std::env::var("ST_TEST_URL") {
        match get(&trusting(Roots::Platform), &url) {
            Ok(response) => assert_eq!(response.status, 200),
            Err(error) => panic!("{:?}: {error}", error.status()),
        }
        return;
    }
    let authority = Authority::new();
    authority.issue("server", HERE);
    let server = authority.serve("server", "");
    let with = |file: &str| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "http::tests::tls::ssl_cert_file_replaces_the_roots_of_the_system"]);
        command.env("ST_TEST_URL", server.url()).env("SSL_CERT_FILE", authority.path(file)).env_remove("SSL_CERT_DIR");
        let done = command.output().unwrap();
        (
            done.status.success(),
            String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr),
        )
    };
    let (passed, text) = with("ca.pem");
    assert!(passed, "{text}");
    let (passed, text) = with("none.pem");
    assert!(!passed && text.contains("Config: cannot read any CA certificate on this system"), "{text}");
    let (passed, text) = with("server.key");
    assert!(!passed && text.contains("Config: there is no CA certificate on this system"), "{text}");
}

#[test]
fn server_without_tls_is_reported() {
    let peer = Peer::new(|mut stream| {
        let _ = stream.read(&mut [0; 10]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        // Closing it with unread bytes would reset it.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let authority = Authority::new();
    let error = get(&trusting_with(&authority, |_| ()), &format!("https://{}/", peer.address)).err().unwrap();
    assert_eq!(error.status(), Status::Protocol);
    assert_eq!(
        error.message(),
        format!("https://{} does not speak TLS; if it is a plain HTTP server, use http://", peer.address)
    );
}

#[test]
fn endless_handshake_ends_with_the_deadline() {
    let authority = Authority::new();
    for class in ["", "\x16"] {
        let peer = Peer::new(move |mut stream| {
            let _ = stream.read(&mut [0; 10]);
            let _ = stream.write_all(b"\x16\x03\x03\x40\x00");
            while stream.write_all(class.as_bytes()).is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
        });
        let client = trusting_with(&authority, |_| ());
        let url = format!("https://{}/", peer.address);
        let error = fails_in_time(|deadline| get_within(&client, &url, deadline));
        assert_timed_out(&error, &format!("while setting up TLS with https://{}", peer.address));
    }
}

#[test]
fn slow_tls_peer_does_not_delay_a_request_past_its_deadline() {
    let authority = Authority::new();
    authority.issue("server", HERE);
    let silent = authority.peer("server", |mut stream| {
        let _ = stream.flush();
        thread::sleep(PATIENCE);
    });
    let trickling = authority.peer("server", |mut stream| {
        let mut more = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        while more.is_ok() {
            thread::sleep(Duration::from_millis(50));
            more = stream.write_all(b"x");
        }
    });
    let client = trusting_with(&authority, |_| ());
    let large = vec![b'x'; 16 * MIB];
    for (peer, body) in [(&silent, &b""[..]), (&silent, &large), (&trickling, b"")] {
        let url = format!("https://{}/", peer.address);
        let request = HttpRequest { method: "POST", url: &url, headers: &[], body, connect_timeout: None };
        fails_in_time(|deadline| client.send(&request, deadline));
    }
}

#[test]
fn tls_connections_are_reused_and_closed_with_the_client() {
    let authority = Authority::new();
    authority.issue("server", HERE);
    let (closed, closes) = mpsc::channel();
    let closed = Mutex::new(closed);
    let peer = authority.peer("server", move |stream| {
        let mut lines = BufReader::new(stream);
        while let Some(request) = read_request(&mut lines) {
            lines.get_mut().write_all(&ok(&request)).unwrap();
        }
        closed.lock().unwrap().send(()).unwrap();
    });
    let client = trusting_with(&authority, |_| ());
    for _ in 0..3 {
        get(&client, &format!("https://{}/", peer.address)).unwrap();
    }
    assert_eq!(peer.connections(), 1);
    assert!(closes.try_recv().is_err(), "closed while the client exists");
    drop(client);
    closes.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn truncated_body_is_an_error() {
    let authority = Authority::new();
    authority.issue("server", HERE);
    // Without a length, only TLS marks the end of the body.
    for is_whole in [true, false] {
        let peer = authority.peer("server", move |mut stream| {
            let _ = stream.read(&mut [0; 1000]);
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n{\"half\":").unwrap();
            if is_whole {
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            }
        });
        let response = get(&trusting_with(&authority, |_| ()), &format!("https://{}/", peer.address));
        match response {
            Ok(response) => assert!(is_whole && &*response.body == b"{\"half\":"),
            Err(error) => assert!(!is_whole && error.status() == Status::Unavailable, "{error}"),
        }
    }
}

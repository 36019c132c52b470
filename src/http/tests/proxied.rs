//! Through proxies.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread;

use super::authority::{Authority, secured};
use super::peer::{Peer, ok, read_request};
use super::*;
use crate::http::Roots;

/// The headers of the requests that a proxy received.
type Seen = Arc<Mutex<Vec<String>>>;

fn through(url: String) -> ClientSettings {
    ClientSettings { proxy: Proxy::Always(named(url)), ..settings() }
}

/// A proxy that responds to `CONNECT` with `response` and, if that is a success, opens the tunnel.
fn connecting(response: &'static [u8]) -> (Peer, Seen) {
    let seen = Seen::default();
    let log = seen.clone();
    let proxy = Peer::new(move |mut client| {
        // One byte at a time: what follows the header is not for the proxy.
        let Some(head) = read_request(&mut BufReader::with_capacity(1, client.try_clone().unwrap())) else { return };
        log.lock().unwrap().push(head.clone());
        client.write_all(response).unwrap();
        if !response.starts_with(b"HTTP/1.1 200 ") {
            return;
        }
        let mut server = TcpStream::connect(head.split(' ').nth(1).unwrap()).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Both);
        });
        let _ = std::io::copy(&mut server, &mut client);
        let _ = client.shutdown(std::net::Shutdown::Both);
    });
    (proxy, seen)
}

#[test]
fn https_goes_through_a_tunnel_with_the_credentials_of_the_proxy() {
    let authority = Authority::new();
    authority.issue("server", "DNS:localhost,IP:127.0.0.1");
    let server = authority.serve("server", "");
    let (proxy, seen) = connecting(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n");
    let settings = through(format!("http://ann:p%40ss%3a@{}", proxy.address));
    let client = Client::new(ClientSettings { roots: Roots::File(named(authority.path("ca.pem"))), ..settings });
    let response = get(&client, &server.url()).unwrap();
    assert_eq!(response.status, 200);
    let heads = seen.lock().unwrap();
    let [head] = &heads[..] else { panic!("{heads:?}") };
    assert!(head.starts_with(&format!("CONNECT localhost:{} HTTP/1.1\r\n", server.port)), "{head}");
    // ann:p@ss:
    assert!(head.contains("\r\nProxy-Authorization: Basic YW5uOnBAc3M6\r\n"), "{head}");
    assert!(!head.contains("SECRET"), "{head}");
}

#[test]
fn http_is_forwarded_with_the_absolute_url() {
    let proxy = Peer::responding(ok);
    let client = Client::new(through(format!("http://ann:pass@{}", proxy.address)));
    for _ in 0..2 {
        let request = HttpRequest {
            method: "POST",
            url: "http://vault.example.com:8200/v1/auth/login?x=1",
            headers: &[("X-Vault-Namespace", Zeroizing::new("team".to_owned()))],
            body: b"GET / HTTP/1.1\r\n\r\n",
            connect_timeout: None,
        };
        let seen = client.send(&request, patience()).unwrap().body;
        let seen = std::str::from_utf8(&seen).unwrap();
        let begin = "POST http://vault.example.com:8200/v1/auth/login?x=1 HTTP/1.1\r\n\
                     Proxy-Authorization: Basic YW5uOnBhc3M=\r\n";
        assert!(seen.starts_with(begin), "{seen}");
        assert!(seen.contains("\r\nhost: vault.example.com:8200\r\n"), "{seen}");
        assert!(seen.ends_with("\r\n\r\nGET / HTTP/1.1\r\n\r\n"), "{seen}");
    }
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn proxy_that_refuses_is_named() {
    let authority = Authority::new();
    for (response, status, retryable) in [
        (&b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"[..], Status::AccessDenied, false),
        (b"HTTP/1.1 407 Authentification n\xe9cessaire\r\nX-Reason: \xe9\r\n\r\n", Status::AccessDenied, false),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", Status::AccessDenied, false),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", Status::Unavailable, true),
        (b"SSH-2.0\r\n\r\n", Status::Unavailable, true),
        (b"HTTP/1.1 200\r\n", Status::Unavailable, true),
    ] {
        let (proxy, _) = connecting(response);
        let settings = through(format!("ann:SECRET@{}", proxy.address));
        let client = Client::new(ClientSettings { roots: Roots::File(named(authority.path("ca.pem"))), ..settings });
        let error = get(&client, "https://vault.example.com/").err().unwrap();
        assert_eq!((error.status(), error.is_retryable()), (status, retryable), "{error}");
        assert!(error.message().contains(&format!("http://{}", proxy.address)), "{error}");
        assert!(!error.message().contains("SECRET"), "{error}");
    }
}

#[test]
fn unreachable_proxy_is_distinguished_from_an_unreachable_server() {
    for (address, message) in [
        ("127.0.0.1:1", "connecting to the proxy http://127.0.0.1:1 failed: "),
        ("no-such.invalid:3128", "resolving the host of the proxy http://no-such.invalid:3128 failed: "),
    ] {
        let client = Client::new(through(format!("http://ann:SECRET@{address}")));
        let error = get(&client, "http://vault.example.com/").err().unwrap();
        assert_eq!(error.status(), Status::Unavailable, "{error}");
        assert!(error.message().starts_with(message), "{error}");
    }
}

#[test]
fn slow_proxy_does_not_delay_a_request_past_its_deadline() {
    let authority = Authority::new();
    let proxy = Peer::after_request(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 ");
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    let settings = through(format!("http://{}", proxy.address));
    let client = Client::new(ClientSettings { roots: Roots::File(named(authority.path("ca.pem"))), ..settings });
    let error = fails_in_time(|deadline| get_within(&client, "https://vault.example.com/", deadline));
    assert_timed_out(&error, &format!("while requesting a tunnel from the proxy http://{}", proxy.address));
}

#[test]
fn invalid_proxy_url_fails_the_requests_that_would_go_there() {
    let client = Client::new(through("socks5://ann:SECRET@10.0.0.1:1080".to_owned()));
    let error = get(&client, "http://vault.example.com/").err().unwrap();
    assert_eq!(error.status(), Status::Config);
    assert_eq!(error.message(), "X has an unsupported scheme; only http:// and https:// are supported");
}

#[test]
fn proxy_may_use_tls() {
    let authority = Authority::new();
    authority.issue("server", "DNS:localhost,IP:127.0.0.1");
    let proxy = tls_proxy(&authority);
    let settings = through(format!("https://localhost:{}", proxy.address.port()));
    let client = Client::new(ClientSettings { roots: Roots::File(named(authority.path("ca.pem"))), ..settings });
    // TLS within TLS for https, plain HTTP within TLS for http.
    assert_eq!(&*get(&client, "https://localhost/").unwrap().body, b"from the server");
    let body = get(&client, "http://vault.example.com/").unwrap().body;
    assert!(body.starts_with(b"GET http://vault.example.com/ HTTP/1.1\r\n"));
}

/// A proxy behind TLS that is also the server.
fn tls_proxy(authority: &Authority) -> Peer {
    let config = authority.server_config("server");
    authority.peer("server", move |stream| {
        let mut lines = BufReader::with_capacity(1, stream);
        let head = read_request(&mut lines).unwrap();
        let mut stream = lines.into_inner();
        if !head.starts_with("CONNECT localhost:443 ") {
            stream.write_all(&ok(&head)).unwrap();
            return;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let mut server = secured(&config, stream);
        read_request(&mut BufReader::new(&mut server)).unwrap();
        server.write_all(&ok("from the server")).unwrap();
    })
}

//! Without TLS: requests, responses, and misbehaving peers.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Instant;

use super::peer::{Peer, ok};
use super::*;
use crate::http::client::MAX_ERROR_BODY;
use crate::http::transport::TcpSocket;
use crate::log::{self, Level};

#[test]
fn two_requests_share_one_connection() {
    let peer = Peer::responding(|request| ok(&request.to_ascii_uppercase()));
    let client = client();
    let response = get(&client, &peer.url("/v1/secret?list=true")).unwrap();
    assert_eq!(response.status, 200);
    let request = String::from_utf8(response.body.to_vec()).unwrap();
    assert!(request.starts_with("GET /V1/SECRET?LIST=TRUE HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("X-VAULT-TOKEN: HVS.SECRET\r\n"), "{request}");
    assert!(request.contains("USER-AGENT: ST-SECRETS/"), "{request}");
    assert!(!request.contains("ACCEPT-ENCODING"), "{request}");
    assert!(!request.contains("CONTENT-LENGTH"), "{request}");
    get(&client, &peer.url("/")).unwrap();
    assert_eq!(peer.connections(), 1);
}

#[test]
fn body_is_sent_in_full_and_with_its_length() {
    let peer = Peer::responding(ok);
    let client = client();
    let large = "x".repeat(200_000);
    for (method, body) in [("POST", r#"{"SecretId":"train"}"#), ("PUT", ""), ("POST", &large)] {
        let request =
            HttpRequest { method, url: &peer.url("/"), headers: &[], body: body.as_bytes(), connect_timeout: None };
        let echoed = client.send(&request, patience()).unwrap().body;
        let echoed = std::str::from_utf8(&echoed).unwrap();
        let (head, echoed_body) = echoed.split_once("\r\n\r\n").unwrap();
        let length = format!("content-length: {}", body.len());
        assert!(head.to_ascii_lowercase().lines().any(|line| line == length), "{head}");
        assert!(echoed_body == body);
    }
}

#[test]
fn every_status_is_returned_and_no_redirect_is_followed() {
    for (line, status) in
        [("307 Temporary Redirect", 307), ("404 Not Found", 404), ("503 Service Unavailable", 503), ("299 Odd", 299)]
    {
        let peer = Peer::responding(move |_| {
            format!("HTTP/1.1 {line}\r\nLocation: /again\r\nContent-Length: 4\r\n\r\nbody").into_bytes()
        });
        let response = get(&client(), &peer.url("/")).unwrap();
        assert_eq!(response.status, status);
        assert_eq!(response.header("LOCATION"), Some("/again"));
        assert_eq!(response.header("X-None"), None);
        assert_eq!(&*response.body, b"body");
        assert_eq!(peer.connections(), 1);
    }
}

#[test]
fn chunked_body_and_body_without_length_are_read() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let until_closed = "HTTP/1.0 200 OK\r\n\r\nabcde";
    for response in [chunked, until_closed] {
        let peer = Peer::after_request(move |mut stream| drop(stream.write_all(response.as_bytes())));
        assert_eq!(&*get(&client(), &peer.url("/")).unwrap().body, b"abcde");
    }
}

#[test]
fn dropped_client_closes_its_connections() {
    let (closed, closes) = mpsc::channel();
    let closed = Mutex::new(closed);
    let peer = Peer::after_request(move |mut stream| {
        stream.write_all(&ok("")).unwrap();
        let end = stream.read(&mut [0]).unwrap();
        closed.lock().unwrap().send(end).unwrap();
    });
    let client = client();
    get(&client, &peer.url("/")).unwrap();
    assert!(closes.recv_timeout(Duration::from_millis(50)).is_err(), "closed while the client exists");
    drop(client);
    assert_eq!(closes.recv_timeout(PATIENCE), Ok(0));
}

/// A peer that sends `first`, then `again` every 50 ms until the client disconnects.
fn trickle(first: &'static str, class: &'static str) -> Peer {
    Peer::after_request(move |mut stream| {
        let _ = stream.write_all(first.as_bytes());
        while stream.write_all(class.as_bytes()).is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    })
}

#[test]
fn slow_peer_does_not_delay_a_request_past_its_deadline() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let peers = [
        trickle("", ""),
        trickle("HTTP/1.1 200", " "),
        trickle("HTTP/1.1 200 OK\r\n", "X-Y: z\r\n"),
        trickle("", "HTTP/1.1 100 Continue\r\n\r\n"),
        trickle("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "x"),
        trickle("HTTP/1.1 200 OK\r\n\r\n", "x"),
        trickle(chunked, "1\r\nx\r\n"),
        trickle(chunked, "0"),
    ];
    thread::scope(|scope| {
        for peer in &peers {
            scope.spawn(|| {
                let error = fails_in_time(|deadline| get_within(&client(), &peer.url("/"), deadline));
                assert_timed_out(&error, &format!("while waiting for http://{}", peer.address));
            });
        }
    });
}

#[test]
fn peer_that_does_not_read_does_not_delay_a_request_past_its_deadline() {
    // Reads a little now and then, so every write makes some progress.
    let peer = Peer::new(|mut stream| {
        let mut buffer = vec![0; 10_000];
        while stream.read(&mut buffer).is_ok_and(|count| count > 0) {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let body = vec![b'x'; 64 * MIB];
    let request = HttpRequest { method: "POST", url: &peer.url("/"), headers: &[], body: &body, connect_timeout: None };
    fails_in_time(|deadline| client().send(&request, deadline));
}

/// An address that accepts no connections, because its backlog is full.
fn black_hole() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok();
    let waiting = std::iter::from_fn(connect).collect();
    (listener, waiting)
}

#[test]
fn connect_timeout_applies_within_the_deadline() {
    let (listener, _waiting) = black_hole();
    let address = listener.local_addr().unwrap();
    let url = format!("http://{address}/");
    let error = fails_in_time(|deadline| get_within(&client(), &url, deadline));
    assert_timed_out(&error, &format!("while connecting to http://{address}"));

    let limit = Some(Duration::from_millis(100));
    let start = Instant::now();
    let request = HttpRequest { method: "GET", url: &url, headers: &[], body: b"", connect_timeout: limit };
    let error = client().send(&request, patience()).err().unwrap();
    assert_eq!(error.status(), Status::Unavailable, "{error}");
    assert!(error.is_retryable());
    assert_eq!(error.message(), format!("connecting to http://{address} took longer than 100ms"));
    assert!(start.elapsed() < PATIENCE / 2);
}

#[test]
fn refused_connection_is_retryable() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = get(&client(), &format!("http://{address}/?token=SECRET")).err().unwrap();
    assert_eq!((error.status(), error.detail(), error.is_retryable()), (Status::Unavailable, libc::ECONNREFUSED, true));
    assert_eq!(
        error.message(),
        format!("connecting to http://{address} failed: Connection refused (os error {})", libc::ECONNREFUSED)
    );
}

#[test]
fn every_address_of_a_host_is_tried() {
    let peer = Peer::responding(|_| ok(""));
    let (hole, _waiting) = black_hole();
    let refusing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let addresses = [refusing, hole.local_addr().unwrap(), peer.address];
    let deadline = Some(Instant::now() + Duration::from_secs(5));
    assert!(TcpSocket::connect(&addresses, deadline).is_ok());
    // `localhost` is often ::1 too, where no server listens.
    get(&client(), &format!("http://localhost:{}/", peer.address.port())).unwrap();
}

#[test]
fn truncated_response_is_retryable() {
    let half = |text: &'static str| Peer::after_request(move |mut stream| drop(stream.write_all(text.as_bytes())));
    for peer in [
        half(""),
        half("HTTP/1.1 200 OK\r\nContent-Le"),
        half("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
        half("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
        half("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n4"),
        // Closing a socket with unread bytes resets it.
        Peer::new(|mut stream| drop(stream.read(&mut [0]))),
        Peer::new(|mut stream| {
            let _ = stream.read(&mut [0]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhalf");
            thread::sleep(Duration::from_millis(50));
        }),
    ] {
        let error = get(&client(), &peer.url("/")).err().unwrap();
        assert_eq!(error.status(), Status::Unavailable, "{error}");
        assert!(error.is_retryable());
        assert!(error.message().contains(&format!("http://{}", peer.address)), "{error}");
    }
}

#[test]
fn response_that_is_too_long_is_refused() {
    let limited = Client::new(ClientSettings { max_body: 10, ..settings() });
    let peer = Peer::responding(|request| ok(if request.contains("/ten") { "0123456789" } else { "0123456789a" }));
    assert_eq!(get(&limited, &peer.url("/ten")).unwrap().body.len(), 10);
    let error = get(&limited, &peer.url("/eleven")).err().unwrap();
    assert_eq!(error.status(), Status::Protocol);
    assert_eq!(error.message(), format!("the response from http://{} is longer than 10 bytes", peer.address));

    let endless = |first: &'static str, class: &'static str| {
        Peer::after_request(move |mut stream| {
            let _ = stream.write_all(first.as_bytes());
            while stream.write_all(class.repeat(100).as_bytes()).is_ok() {}
        })
    };
    for peer in [
        endless("HTTP/1.1 200 OK\r\n\r\n", "xxxx"),
        endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "4\r\nxxxx\r\n"),
        endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "4"),
        endless("HTTP/1.1 200 OK\r\n", "X-Y: z\r\n"),
        endless("HTTP/1.1 200 OK\r\nX: ", "xxxx"),
        endless("", "xxxx"),
    ] {
        let error = get(&client(), &peer.url("/")).err().unwrap();
        assert_eq!(error.status(), Status::Protocol, "{error}");
    }
}

#[test]
fn error_body_that_is_too_long_is_dropped() {
    let long = "x".repeat(MAX_ERROR_BODY);
    let peer = Peer::responding(move |request| {
        let body = format!("{long}{}", if request.contains("/longer") { "x" } else { "" });
        format!("HTTP/1.1 404 Not Found\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    });
    let lengths = ["/long", "/longer"].map(|path| get(&client(), &peer.url(path)).unwrap());
    assert_eq!(lengths.map(|response| (response.status, response.body.len())), [(404, MAX_ERROR_BODY), (404, 0)]);
    let endless = Peer::after_request(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    let response = get(&client(), &endless.url("/")).unwrap();
    assert_eq!((response.status, response.body.len()), (503, 0));
}

#[test]
fn too_many_headers_are_reported() {
    let peer = Peer::after_request(move |mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        let _ = stream.write_all("A: b\r\n".repeat(1000).as_bytes());
        let _ = stream.write_all(b"Content-Length: 0\r\n\r\n");
        let _ = stream.read(&mut [0]);
    });
    let error = get(&client(), &peer.url("/")).err().unwrap();
    assert_eq!(error.message(), format!("the response from http://{} has too many headers", peer.address));
}

#[test]
fn response_that_is_not_http_is_reported() {
    for text in ["SSH-2.0-OpenSSH_9.2\r\n", "\x15\x03\x01\x00\x02\x02\x50", "HTTP/1.1 abc\r\n\r\n"] {
        let peer = Peer::after_request(move |mut stream| {
            let _ = stream.write_all(text.as_bytes());
            let _ = stream.read(&mut [0]);
        });
        let error = get(&client(), &peer.url("/")).err().unwrap();
        assert_eq!(error.status(), Status::Protocol, "{error}");
        assert_eq!(
            error.message(),
            format!(
                "the response from http://{} is not HTTP/1.1; if the server expects TLS, use https://",
                peer.address
            )
        );
        assert!(!error.is_retryable());
    }
}

#[test]
fn invalid_header_is_refused_before_anything_is_sent() {
    let peer = Peer::responding(|_| ok(""));
    let client = client();
    let long = "x".repeat(40_000);
    for (name, value, why) in [
        ("X-Vault-Token", "hvs.SECRET\r\nX-Evil: 1", "invalid value of header X-Vault-Token: byte 11 is"),
        ("X-Vault-Token", "SECRET\n", "byte 7 is a line break"),
        ("X-Vault-Token", "SECRET\0", "byte 7 is a line break"),
        ("X-Vault-Token", "SECRET\u{fc}", "byte 7 is a line break, a control character or not ASCII"),
        ("X-Vault-Token", long.as_str(), "header X-Vault-Token is longer than 31744 bytes"),
        ("X Vault", "SECRET", "\"X Vault\" is not a valid header name"),
        ("X\r\nY", "SECRET", "is not a valid header name"),
        ("", "SECRET", "\"\" is not a valid header name"),
    ] {
        let headers = [(name, Zeroizing::new(value.to_owned()))];
        let request =
            HttpRequest { method: "GET", url: &peer.url("/"), headers: &headers, body: b"", connect_timeout: None };
        let error = client.send(&request, patience()).err().unwrap();
        assert_eq!(error.status(), Status::Config);
        assert!(error.message().contains(why), "{error}");
        assert!(!error.message().contains("SECRET"), "{error}");
    }
    assert_eq!(peer.connections(), 0);
}

#[test]
fn request_after_its_deadline_is_not_sent() {
    let peer = Peer::responding(|_| ok(""));
    let error = get_within(&client(), &peer.url("/"), Deadline::after(Duration::ZERO)).err().unwrap();
    assert_eq!(error.status(), Status::Timeout);
    assert_eq!(peer.connections(), 0);
    // A deadline that cannot be represented never passes.
    get_within(&client(), &peer.url("/"), Deadline::after(Duration::MAX)).unwrap();
}

#[test]
fn log_contains_neither_headers_nor_query_nor_body() {
    let peer = Peer::responding(|_| ok("SECRET"));
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = lines.clone();
    log::set(Level::Trace, move |_, target, line| sink.lock().unwrap().push(format!("{target}: {line}")));
    get(&client(), &peer.url("/v1/secret?password=SECRET")).unwrap();
    get_within(&client(), &peer.url("/?x=SECRET"), Deadline::after(Duration::ZERO)).err().unwrap();
    let discreet = Client::new(ClientSettings { secret_paths: true, ..settings() });
    get(&discreet, &peer.url("/v2/SECRET")).unwrap();
    log::clear();
    let lines = lines.lock().unwrap();
    // Other tests run at the same time.
    let ours: Vec<_> = lines.iter().filter(|line| line.contains(&peer.address.to_string())).collect();
    let begin = format!("http: GET http://{}", peer.address);
    assert!(ours[0].starts_with(&format!("{begin}/v1/secret: 200 (")), "{ours:?}");
    assert!(ours[1].starts_with(&format!("{begin}/: timed out before the request to http://")), "{ours:?}");
    assert!(ours[2].starts_with(&format!("{begin}: 200 (")), "{ours:?}");
    assert!(lines.iter().all(|line| !line.contains("SECRET")), "{lines:?}");
}

//! The faults of the test proxy, as a plain client sees them.

mod common;

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::proxy::{BlackHole, Fault, Proxy, Reply, closed_address};
use common::servers::http::{self, Answer};
use common::servers::{Tls, bao, moto, peers, unique};
use serde_json::json;

const HEALTH: &str = "/v1/sys/health";
/// How long a client waits for a response that never comes.
const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = common::time::PATIENCE;

fn ask(proxy: &Proxy, patience: Duration) -> io::Result<Answer> {
    http::request(proxy.address(), "GET", HEALTH, &[("x-vault-token", "root")], b"", patience)
}

fn kind(answer: io::Result<Answer>) -> ErrorKind {
    answer.map(|answer| answer.status).unwrap_err().kind()
}

#[test]
fn requests_are_forwarded_and_recorded() {
    let proxy = Proxy::to(bao().address());
    assert_eq!(ask(&proxy, LONG).unwrap().status, 200);
    let requests = proxy.requests();
    assert_eq!((requests[0].method.as_str(), requests[0].path.as_str()), ("GET", HEALTH));
    assert_eq!(requests[0].header("X-Vault-Token"), Some("root"));
    proxy.forget();
    assert!(proxy.requests().is_empty());
    proxy.wait_until_closed();
}

#[test]
fn connection_is_reused() {
    let proxy = Proxy::to(bao().address());
    let stream = TcpStream::connect(proxy.address()).unwrap();
    let mut from = io::BufReader::new(&stream);
    for _ in 0..3 {
        { &stream }.write_all(format!("GET {HEALTH} HTTP/1.1\r\nhost: here\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(http::read_answer(&mut from).unwrap().status, 200);
    }
    assert_eq!((proxy.requests().len(), proxy.connections(), proxy.open()), (3, 1, 1));
    drop(from);
    drop(stream);
    proxy.wait_until_closed();
}

#[test]
fn signed_requests_are_forwarded_unchanged() {
    let name = unique("signed");
    moto().secret(&name, r#"{"HF_TOKEN":"hf_1","n":1.50}"#);
    let key = moto().user(&["secretsmanager:GetSecretValue"]);
    let proxy = Proxy::to(moto().address());
    let tls = Tls::to(proxy.address(), &[]);
    for (url, ca) in [(proxy.url(), None), (tls.url(), Some(tls.certificate("ca.pem")))] {
        let key = json!({"id": key.id, "secret": key.secret});
        let read = peers(&json!({"aws": {"endpoint": url, "key": key, "ca": ca, "secrets": [{"SecretId": name}]}}));
        assert_eq!(read["aws"][0]["values"], json!({"HF_TOKEN": "aGZfMQ==", "n": "MS41MA=="}), "{read}");
    }
    assert!(proxy.requests()[0].header("authorization").unwrap().starts_with("AWS4-HMAC-SHA256"));
}

#[test]
fn faults_are_for_some_requests_or_all() {
    let proxy = Proxy::to(bao().address());
    let status = || ask(&proxy, LONG).unwrap().status;
    proxy.next(2, Fault::status(500));
    proxy.next(1, Fault::retry_after(503, "1"));
    assert_eq!([status(), status(), status(), status()], [500, 500, 503, 200]);
    proxy.always(Fault::status(429));
    assert_eq!([status(), status()], [429, 429]);
    proxy.heal();
    assert_eq!(status(), 200);
}

#[test]
fn responses_are_generated() {
    let proxy = Proxy::to(bao().address());
    proxy.next(1, Fault::aws(400, "ThrottlingException"));
    let answer = ask(&proxy, LONG).unwrap();
    assert_eq!(answer.status, 400);
    assert!(String::from_utf8(answer.body).unwrap().contains(r#""__type":"ThrottlingException""#));
    proxy.next(1, Fault::redirect(307, "http://elsewhere.test/"));
    assert_eq!(ask(&proxy, LONG).unwrap().header("location"), Some("http://elsewhere.test/"));
    proxy.next(1, Fault::RedirectForever);
    assert_eq!(ask(&proxy, LONG).unwrap().header("location"), Some("/v1/sys/health/again"));
    proxy.next(1, Reply::new(200).header("X-Own", "a").body("b"));
    let answer = ask(&proxy, LONG).unwrap();
    assert_eq!((answer.header("x-own"), answer.body.as_slice()), (Some("a"), &b"b"[..]));
    proxy.next(1, Fault::Huge(1_000_000));
    assert_eq!(ask(&proxy, LONG).unwrap().body.len(), 1_000_000);
    proxy.next(1, Fault::Garbage);
    assert!(ask(&proxy, LONG).is_err());
}

#[test]
fn paths_have_their_own_responses() {
    let endpoint = Proxy::alone();
    endpoint.at("GET /credentials", Reply::new(200).body(r#"{"AccessKeyId":"a"}"#));
    endpoint.next(1, Fault::status(500));
    let status = |path: &str| {
        http::request(endpoint.address(), "GET", path, &[], b"", LONG).map(|answer| answer.status).unwrap()
    };
    assert_eq!([status("/credentials"), status("/credentials?x=1"), status("/")], [500, 200, 404]);
}

#[test]
fn connections_break() {
    let proxy = Proxy::to(bao().address());
    for (fault, seen) in [
        (Fault::Refuse, vec![ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe]),
        (Fault::ResetBefore, vec![ErrorKind::ConnectionReset, ErrorKind::BrokenPipe]),
        (Fault::ResetAfter, vec![ErrorKind::ConnectionReset]),
        (Fault::Half, vec![ErrorKind::UnexpectedEof]),
        (Fault::Hang, vec![ErrorKind::WouldBlock]),
        (Fault::Slow, vec![ErrorKind::WouldBlock]),
        (Fault::SlowBody, vec![ErrorKind::WouldBlock]),
        (Fault::Delay(LONG), vec![ErrorKind::WouldBlock]),
    ] {
        proxy.next(1, fault.clone());
        let patience = if matches!(fault, Fault::Half | Fault::ResetAfter) { LONG } else { SHORT };
        let kind = kind(ask(&proxy, patience));
        assert!(seen.contains(&kind), "{fault:?}: {kind:?}");
    }
    assert_eq!(ask(&proxy, LONG).unwrap().status, 200);
    proxy.wait_until_closed();
}

#[test]
fn slow_response_sends_one_byte_a_second() {
    let proxy = Proxy::to(bao().address());
    proxy.next(1, Fault::Slow);
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    stream.write_all(format!("GET {HEALTH} HTTP/1.1\r\nhost: here\r\n\r\n").as_bytes()).unwrap();
    let start = Instant::now();
    let mut three = [0; 3];
    stream.read_exact(&mut three).unwrap();
    assert_eq!(&three, b"HTT");
    assert!(start.elapsed() >= Duration::from_millis(1500));
}

#[test]
fn endless_body_continues() {
    let proxy = Proxy::to(bao().address());
    proxy.next(1, Fault::Endless);
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    stream.write_all(format!("GET {HEALTH} HTTP/1.1\r\nhost: here\r\n\r\n").as_bytes()).unwrap();
    stream.read_exact(&mut vec![0; 5_000_000]).unwrap();
    drop(stream);
    proxy.wait_until_closed();
}

#[test]
fn client_that_disconnects_leaves_nothing_open() {
    let own = common::servers::Bao::start();
    let proxy = Proxy::to(own.address());
    own.pause();
    assert_eq!(kind(ask(&proxy, SHORT)), ErrorKind::WouldBlock);
    proxy.wait_until_closed();
    own.resume();
    assert_eq!(ask(&proxy, LONG).unwrap().status, 200);
}

#[test]
fn clock_offset_is_simulated() {
    let proxy = Proxy::to(bao().address());
    let ask = |date: &str| {
        let headers = [("x-amz-date", date)];
        http::request(proxy.address(), "GET", HEALTH, &headers, b"", LONG).unwrap()
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    // 2001-09-09T01:46:40Z.
    let offset = 1_000_000_000 - now;
    proxy.next(1, Fault::Date(offset));
    assert!(ask("").header("date").unwrap().starts_with("Sun, 09 Sep 2001 01:46:"));
    proxy.always(Fault::Clock(offset));
    assert_eq!(ask("20010909T014640Z").status, 200);
    assert_eq!(ask("20010909T014230Z").status, 200);
    let late = ask("20010909T013640Z");
    assert!(late.status == 400 && late.header("date").unwrap().starts_with("Sun, 09 Sep 2001 01:46:"));
}

#[test]
fn tcp_proxy_has_its_own_faults() {
    let proxy = Proxy::tcp(bao().address());
    assert_eq!(ask(&proxy, LONG).unwrap().status, 200);
    for (fault, seen) in [
        (Fault::Hang, ErrorKind::WouldBlock),
        (Fault::Slow, ErrorKind::WouldBlock),
        (Fault::Cut(20), ErrorKind::UnexpectedEof),
    ] {
        proxy.next(1, fault.clone());
        assert_eq!(kind(ask(&proxy, SHORT)), seen, "{fault:?}");
    }
    proxy.next(1, Fault::ResetBefore);
    assert!(ask(&proxy, SHORT).is_err());
    proxy.wait_until_closed();
}

#[test]
fn forward_proxy_records_where_clients_connect() {
    let proxy = Proxy::forward();
    proxy.route("vault.example:80", bao().address());
    proxy.route("vault.example:443", bao().address());
    let url = format!("http://vault.example{HEALTH}");
    assert_eq!(http::request(proxy.address(), "GET", &url, &[], b"", LONG).unwrap().status, 200);
    assert_eq!(http::request(proxy.address(), "CONNECT", "closed.example:1", &[], b"", LONG).unwrap().status, 502);

    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    stream.write_all(b"CONNECT vault.example:443 HTTP/1.1\r\nhost: vault.example\r\n\r\n").unwrap();
    let mut from = io::BufReader::new(&stream);
    assert!(http::read_head(&mut from).unwrap().0.contains("200"));
    { &stream }.write_all(format!("GET {HEALTH} HTTP/1.1\r\nhost: here\r\n\r\n").as_bytes()).unwrap();
    assert_eq!(http::read_answer(&mut from).unwrap().status, 200);
    let asked: Vec<_> = proxy.requests().into_iter().map(|request| (request.method, request.path)).collect();
    assert_eq!(asked[0], ("GET".into(), url));
    assert_eq!(asked[2], ("CONNECT".into(), "vault.example:443".into()));
}

#[test]
fn black_hole_accepts_no_connection() {
    let hole = BlackHole::open();
    let address = hole.address().parse().unwrap();
    assert_eq!(TcpStream::connect_timeout(&address, SHORT).unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(TcpStream::connect(closed_address()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

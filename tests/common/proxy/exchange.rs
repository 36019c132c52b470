//! One connection of a client, from its first request to its last.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use super::{Fault, Kind, Reply, Request, Shared, date};
use crate::common::servers::http::{self, Answer};

/// Past these X-Amz-Date is refused, as by AWS.
const FIVE_MINUTES: i64 = 300;

pub(super) fn serve(shared: &Shared, client: &TcpStream, number: usize) -> io::Result<()> {
    if shared.kind == Kind::Tcp {
        return tunnel(shared, client, &shared.upstream, &shared.fault("", ""));
    }
    if let Some(fault) = shared.fault_at_door() {
        return break_off(client, &fault);
    }
    let mut from = BufReader::new(client);
    loop {
        let (first, headers) = http::read_head(&mut from)?;
        let mut words = first.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let body = http::read_body(&mut from, &headers, false)?;
        let request = Request { method, path, headers, body, connection: number };
        shared.record(request.clone());
        if !exchange(shared, client, &request)? {
            return Ok(());
        }
    }
}

/// Answers one request; whether the connection continues.
fn exchange(shared: &Shared, client: &TcpStream, request: &Request) -> io::Result<bool> {
    let fault = shared.fault(&request.method, &request.path);
    match &fault {
        Fault::Refuse | Fault::ResetBefore => return break_off(client, &fault).map(|()| false),
        Fault::Hang => return wait_for_end(client).map(|()| false),
        Fault::Answer(reply) => return send(client, &made(reply)).map(|()| keeps_alive(request)),
        Fault::RedirectForever => {
            let reply = Reply::new(307).header("Location", &format!("{}/again", request.path));
            return send(client, &made(&reply)).map(|()| keeps_alive(request));
        }
        Fault::Huge(len) => return flood(client, Some(*len)).map(|()| false),
        Fault::Endless => return flood(client, None).map(|()| false),
        Fault::Garbage => return { client }.write_all(b"\x16\x03\x01 this is not HTTP\r\n\r\n").map(|()| false),
        Fault::Clock(offset) if is_off(request, *offset) => {
            let code = r#"{"__type":"InvalidSignatureException","message":"Signature expired"}"#;
            let reply = Reply::new(400).header("Date", &date::http(date::now(*offset))).body(code);
            return send(client, &made(&reply)).map(|()| keeps_alive(request));
        }
        Fault::Delay(time) => delay(shared, client, *time)?,
        _ => {}
    }
    if request.method == "CONNECT" {
        let Ok(server) = TcpStream::connect(shared.route(&request.path)) else {
            return send(client, &made(&Reply::new(502))).map(|()| false);
        };
        { client }.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
        return pass_on(shared, client, &server, &fault).map(|()| false);
    }
    let mut answer = match ask_server(shared, client, request) {
        Ok(answer) => answer,
        // Where the server refuses, resets or ends, so does the proxy.
        Err(_) => return break_off(client, &Fault::ResetAfter).map(|()| false),
    };
    if let Fault::Date(offset) | Fault::Clock(offset) = fault {
        answer.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
        answer.headers.push(("Date".into(), date::http(date::now(offset))));
    }
    match fault {
        Fault::Hold => {
            shared.hold()?;
            return send(client, &answer).map(|()| keeps_alive(request));
        }
        Fault::ResetAfter => break_off(client, &fault)?,
        Fault::Half => {
            let (head, body) = (head(&answer), &answer.body);
            { client }.write_all(&[head.as_bytes(), &body[..body.len() / 2]].concat())?;
        }
        Fault::Slow => trickle(shared, client, &[head(&answer).as_bytes(), &answer.body].concat())?,
        Fault::SlowBody => {
            { client }.write_all(head(&answer).as_bytes())?;
            trickle(shared, client, &answer.body)?;
        }
        _ => return send(client, &answer).map(|()| keeps_alive(request)),
    }
    Ok(false)
}

/// Passes a request on with the headers as they are, because a signature may cover them.
fn ask_server(shared: &Shared, client: &TcpStream, request: &Request) -> io::Result<Answer> {
    let (address, path) = match request.path.strip_prefix("http://") {
        Some(rest) if shared.kind == Kind::Forward => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let target = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
            (shared.route(&target), if path.is_empty() { "/" } else { path })
        }
        _ => (shared.upstream.clone(), request.path.as_str()),
    };
    let server = TcpStream::connect(address)?;
    let _kept = shared.keep(&server)?;
    let mut head = format!("{} {path} HTTP/1.1\r\n", request.method);
    for (name, value) in &request.headers {
        let replaced = ["connection", "content-length", "transfer-encoding", "proxy-connection", "proxy-authorization"];
        if !replaced.iter().any(|other| name.eq_ignore_ascii_case(other)) {
            head += &format!("{name}: {value}\r\n");
        }
    }
    head += &format!("connection: close\r\ncontent-length: {}\r\n\r\n", request.body.len());
    { &server }.write_all(&[head.as_bytes(), &request.body].concat())?;
    wait_for_answer(client, &server)?;
    http::read_answer(&mut BufReader::new(&server))
}

/// Waits for the first byte of an answer; an error when the client is gone before.
fn wait_for_answer(client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    server.set_read_timeout(Some(Duration::from_millis(50)))?;
    while server.peek(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
        check_presence(client)?;
    }
    server.set_read_timeout(None)
}

/// Waits; an error when the client is gone before.
fn delay(shared: &Shared, client: &TcpStream, time: Duration) -> io::Result<()> {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        shared.sleep(left.min(Duration::from_millis(50)))?;
        check_presence(client)?;
    }
    Ok(())
}

fn check_presence(client: &TcpStream) -> io::Result<()> {
    client.set_nonblocking(true)?;
    let waits = client.peek(&mut [0]);
    client.set_nonblocking(false)?;
    match waits {
        Ok(0) => Err(io::ErrorKind::ConnectionAborted.into()),
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    }
}

fn is_off(request: &Request, offset: i64) -> bool {
    let signed = request.header("x-amz-date").and_then(date::from_amz);
    signed.is_some_and(|signed| (signed - date::now(offset)).abs() > FIVE_MINUTES)
}

fn keeps_alive(request: &Request) -> bool {
    !request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
}

fn made(reply: &Reply) -> Answer {
    Answer { status: reply.status, headers: reply.headers.clone(), body: reply.body.clone() }
}

fn head(answer: &Answer) -> String {
    let mut head = format!("HTTP/1.1 {} of-the-tests\r\n", answer.status);
    for (name, value) in &answer.headers {
        if !["connection", "content-length", "transfer-encoding"].iter().any(|own| name.eq_ignore_ascii_case(own)) {
            head += &format!("{name}: {value}\r\n");
        }
    }
    if answer.status != 204 {
        head += &format!("content-length: {}\r\n", answer.body.len());
    }
    head + "\r\n"
}

fn send(mut client: &TcpStream, answer: &Answer) -> io::Result<()> {
    client.write_all(&[head(answer).as_bytes(), &answer.body].concat())
}

fn trickle(shared: &Shared, mut client: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    for byte in bytes {
        client.write_all(&[*byte])?;
        shared.sleep(Duration::from_secs(1))?;
    }
    Ok(())
}

/// A body of `len` bytes, or without an end.
fn flood(mut client: &TcpStream, len: Option<u64>) -> io::Result<()> {
    let piece = [b' '; 0x4000];
    let kind = len.map_or("transfer-encoding: chunked".to_owned(), |len| format!("content-length: {len}"));
    client.write_all(format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{kind}\r\n\r\n").as_bytes())?;
    match len {
        None => loop {
            client.write_all(&[b"4000\r\n", &piece[..], b"\r\n"].concat())?;
        },
        Some(len) => {
            let mut left = len;
            while left > 0 {
                let now = left.min(piece.len() as u64);
                client.write_all(&piece[..now as usize])?;
                left -= now;
            }
            Ok(())
        }
    }
}

/// Closes, or resets, the connection.
fn break_off(client: &TcpStream, fault: &Fault) -> io::Result<()> {
    if matches!(fault, Fault::Refuse) {
        return client.shutdown(Shutdown::Both);
    }
    let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
    let size = size_of::<libc::linger>() as libc::socklen_t;
    // SAFETY: the socket is open as long as `client` is, and `at_once` is a linger of this size for the whole call. The
    // reset goes out when the last handle of the socket is closed.
    let set = unsafe {
        libc::setsockopt(client.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, (&raw const at_once).cast(), size)
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads on until the client, or the proxy, ends.
fn wait_for_end(mut client: &TcpStream) -> io::Result<()> {
    io::copy(&mut client, &mut io::sink()).map(|_| ())
}

/// Passes bytes on, with the fault of a connection.
fn tunnel(shared: &Shared, client: &TcpStream, upstream: &str, fault: &Fault) -> io::Result<()> {
    match fault {
        Fault::Hang => return wait_for_end(client),
        Fault::Refuse | Fault::ResetBefore => return break_off(client, fault),
        Fault::Delay(time) => delay(shared, client, *time)?,
        _ => {}
    }
    pass_on(shared, client, &TcpStream::connect(upstream)?, fault)
}

/// Passes bytes on in both directions until one side ends.
fn pass_on(shared: &Shared, client: &TcpStream, server: &TcpStream, fault: &Fault) -> io::Result<()> {
    let _kept = shared.keep(server)?;
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = io::copy(&mut { client }, &mut { server });
            // A client that ends its side is gone, even if the server says nothing.
            let _ = server.shutdown(Shutdown::Both);
        });
        let _ = match fault {
            Fault::Cut(len) => io::copy(&mut { server }.take(*len as u64), &mut { client }).map(|_| ()),
            Fault::Slow => slowly(shared, server, client),
            _ => io::copy(&mut { server }, &mut { client }).map(|_| ()),
        };
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    });
    Ok(())
}

fn slowly(shared: &Shared, mut server: &TcpStream, client: &TcpStream) -> io::Result<()> {
    let mut byte = [0];
    while server.read(&mut byte)? == 1 {
        trickle(shared, client, &byte)?;
    }
    Ok(())
}

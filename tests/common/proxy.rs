//! A test proxy in front of a real server, which records requests and injects faults.
//!
//! ```ignore
//! let proxy = Proxy::to(moto().address());           // HTTP; the client's URL is proxy.url()
//! proxy.next(2, Fault::status(503));                 // for the next two requests, then as before
//! proxy.always(Fault::Hang);                         // until it is changed
//! proxy.at("GET /v1/app", Reply::new(200).body("{}")); // for one path, until it is changed
//! proxy.heal();                                      // everything passes again
//! assert_eq!(proxy.requests()[0].header("x-vault-token"), None);
//! assert_eq!(proxy.connections(), 1);                // requests share a connection where the client keeps it
//! proxy.wait_until_closed();                         // nothing stays open
//! ```
//!
//! | proxy | passes on |
//! |---|---|
//! | [`Proxy::to`] | HTTP requests to one server, with one fault each |
//! | [`Proxy::alone`] | nothing: it answers as set by [`Proxy::at`], and 404 |
//! | [`Proxy::tcp`] | bytes, so TLS too, with one fault for each connection: `Pass`, `Hang`, `Refuse`, `ResetBefore`, `Delay`, `Slow`, `Cut` |
//! | [`Proxy::forward`] | whatever the client names, by CONNECT or with a whole URL, as `HTTPS_PROXY` and `HTTP_PROXY` do; [`Proxy::route`] leads a host elsewhere |
//!
//! [`BlackHole`] is an address where not even a connection comes about; [`closed_address`] one that refuses.
//! Threads and sockets of all of them end on drop.

mod black_hole;
mod date;
mod exchange;
mod fault;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use black_hole::{BlackHole, closed_address};
pub use fault::{Fault, Reply};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// As the client wrote it: with the query; for a forward proxy `host:port` or the whole URL.
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Which connection it came on, from 0.
    pub connection: usize,
}

impl Request {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// See the top of this file.
pub struct Proxy {
    address: String,
    shared: Arc<Shared>,
    door: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Http,
    Tcp,
    Forward,
}

struct Shared {
    kind: Kind,
    upstream: String,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    next: VecDeque<Fault>,
    places: HashMap<String, Fault>,
    default: Fault,
    routes: HashMap<String, String>,
    requests: Vec<Request>,
    connections: usize,
    open: usize,
    sockets: HashMap<usize, TcpStream>,
    next_socket: usize,
    workers: Vec<JoinHandle<()>>,
    /// How many answers are held back, and how often they were released.
    held: usize,
    heals: usize,
    ended: bool,
}

impl Proxy {
    /// In front of an HTTP server at host:port.
    pub fn to(upstream: &str) -> Proxy {
        Proxy::start(Kind::Http, upstream)
    }

    /// In front of any server at host:port.
    pub fn tcp(upstream: &str) -> Proxy {
        Proxy::start(Kind::Tcp, upstream)
    }

    /// In front of nothing: 404 wherever [`Proxy::at`] says nothing else.
    pub fn alone() -> Proxy {
        let proxy = Proxy::to("");
        proxy.always(Fault::status(404));
        proxy
    }

    /// The proxy of a company.
    pub fn forward() -> Proxy {
        Proxy::start(Kind::Forward, "")
    }

    fn start(kind: Kind, upstream: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (state, changed) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { kind, upstream: upstream.to_owned(), state, changed });
        let own = Arc::clone(&shared);
        let door = thread::spawn(move || own.accept(&listener));
        Proxy { address, shared, door: Some(door) }
    }

    /// host:port
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// This fault for the next `count` requests, behind those that were ordered before.
    pub fn next(&self, count: usize, fault: impl Into<Fault>) {
        let fault = fault.into();
        self.check(&fault);
        self.shared.lock().next.extend(std::iter::repeat_n(fault, count));
    }

    /// This fault for every request that no [`Proxy::next`] speaks of.
    pub fn always(&self, fault: impl Into<Fault>) {
        let fault = fault.into();
        self.check(&fault);
        self.shared.lock().default = fault;
    }

    fn check(&self, fault: &Fault) {
        let is_of_bytes = fault.is_of_connections();
        assert!(self.shared.kind != Kind::Tcp || is_of_bytes, "{fault:?} is a fault of a request, not of a connection");
        assert!(self.shared.kind != Kind::Http || !matches!(fault, Fault::Cut(_)), "Cut is a fault of a connection");
    }

    /// This fault for every request to one place, `"GET /latest/meta-data/"` say, that no [`Proxy::next`] speaks of.
    /// With [`Fault::Answer`] it replaces what no real server here offers, such as the endpoint for containers.
    pub fn at(&self, place: &str, fault: impl Into<Fault>) {
        let fault = fault.into();
        self.check(&fault);
        self.shared.lock().places.insert(place.to_owned(), fault);
    }

    /// From now on everything passes.
    pub fn heal(&self) {
        let mut state = self.shared.lock();
        state.next.clear();
        state.places.clear();
        state.default = Fault::Pass;
        state.heals += 1;
        drop(state);
        self.shared.changed.notify_all();
    }

    /// A forward proxy connects to `address` where a client names `target` (host:port, `*` for all).
    pub fn route(&self, target: &str, address: &str) {
        self.shared.lock().routes.insert(target.to_owned(), address.to_owned());
    }

    /// The requests that came, in their order.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// Forgets the requests that came.
    pub fn forget(&self) {
        self.shared.lock().requests.clear();
    }

    /// How many connections came.
    pub fn connections(&self) -> usize {
        self.shared.lock().connections
    }

    /// How many connections the clients have open now.
    pub fn open(&self) -> usize {
        self.shared.lock().open
    }

    /// Waits until so many requests came.
    pub fn wait_for_requests(&self, count: usize) {
        self.wait_until("requests do not come", |state| state.requests.len() >= count);
    }

    /// Waits until so many answers of the server are held back.
    pub fn wait_for_held(&self, count: usize) {
        self.wait_until("no answers are held back", |state| state.held >= count);
    }

    /// Waits until no client has a connection open.
    pub fn wait_until_closed(&self) {
        self.wait_until("connections stay open", |state| state.open == 0);
    }

    fn wait_until(&self, otherwise: &str, is_so: impl Fn(&State) -> bool) {
        let end = Instant::now() + super::time::PATIENCE;
        let mut state = self.shared.lock();
        while !is_so(&state) {
            assert!(Instant::now() < end, "{otherwise}");
            let waited = self.shared.changed.wait_timeout(state, Duration::from_millis(50));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        {
            let mut state = self.shared.lock();
            state.ended = true;
            for (_, socket) in state.sockets.drain() {
                let _ = socket.shutdown(Shutdown::Both);
            }
        }
        self.shared.changed.notify_all();
        // Wakes the door up.
        let _ = TcpStream::connect(&self.address);
        let _ = self.door.take().map(JoinHandle::join);
        let workers = std::mem::take(&mut self.shared.lock().workers);
        for worker in workers {
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Shared>, listener: &TcpListener) {
        for client in listener.incoming() {
            let mut state = self.lock();
            if state.ended {
                return;
            }
            let Ok(client) = client else { continue };
            let number = state.connections;
            state.connections += 1;
            state.open += 1;
            let shared = Arc::clone(self);
            state.workers.push(thread::spawn(move || {
                // What goes wrong on a connection, a client that gave up say, is its end and nothing else.
                if let Ok(kept) = shared.keep(&client) {
                    let _ = exchange::serve(&shared, &client, number);
                    drop(kept);
                }
                drop(client);
                shared.lock().open -= 1;
                shared.changed.notify_all();
            }));
        }
    }

    /// The fault for this request, the next one.
    fn fault(&self, method: &str, path: &str) -> Fault {
        let mut state = self.lock();
        if let Some(fault) = state.next.pop_front() {
            return fault;
        }
        let path = path.split('?').next().unwrap_or(path);
        state.places.get(&format!("{method} {path}")).unwrap_or(&state.default).clone()
    }

    /// The fault that strikes before a request is read, if the next one is of this kind.
    fn fault_at_door(&self) -> Option<Fault> {
        let mut state = self.lock();
        let next = state.next.front().unwrap_or(&state.default);
        if !matches!(next, Fault::Refuse | Fault::ResetBefore) {
            return None;
        }
        let always = state.default.clone();
        Some(state.next.pop_front().unwrap_or(always))
    }

    fn record(&self, request: Request) {
        self.lock().requests.push(request);
        self.changed.notify_all();
    }

    /// Where a forward proxy goes for `target`.
    fn route(&self, target: &str) -> String {
        let state = self.lock();
        state.routes.get(target).or_else(|| state.routes.get("*")).cloned().unwrap_or_else(|| target.to_owned())
    }

    /// Keeps a socket for as long as it serves, so that clients that wait for it end with the proxy.
    fn keep(&self, socket: &TcpStream) -> io::Result<Kept<'_>> {
        let mut state = self.lock();
        if state.ended {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let number = state.next_socket;
        state.next_socket += 1;
        state.sockets.insert(number, socket.try_clone()?);
        Ok(Kept { shared: self, number })
    }

    /// Waits until everything passes again; an error when the proxy ends.
    fn hold(&self) -> io::Result<()> {
        let mut state = self.lock();
        let heals = state.heals;
        state.held += 1;
        self.changed.notify_all();
        while !state.ended && state.heals == heals {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.held -= 1;
        if state.ended { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    /// Sleeps; an error when the proxy ends.
    fn sleep(&self, time: Duration) -> io::Result<()> {
        let end = Instant::now() + time;
        let mut state = self.lock();
        while !state.ended {
            let Some(left) = end.checked_duration_since(Instant::now()) else { return Ok(()) };
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}

struct Kept<'a> {
    shared: &'a Shared,
    number: usize,
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        self.shared.lock().sockets.remove(&self.number);
    }
}

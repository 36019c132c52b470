//! Faults between client and server: each is reported in time, with the right status, and closes its connections.

use std::time::{Duration, Instant};

use st_secrets::{GetOptions, Manager, Source, Status};

use super::{REFRESH, read};
use crate::common::proxy::{BlackHole, Fault, Proxy, Reply};
use crate::common::time::PATIENCE;

/// A fault, the status of the error, and words of its message.
pub type Row<'a> = (Fault, Status, &'a str);

/// The faults that every provider reports in the same way: of connections, and of servers that are unavailable.
pub fn of_transport<'a>() -> Vec<Row<'a>> {
    vec![
        (Fault::Hang, Status::Timeout, "timed out"),
        (Fault::SlowBody, Status::Timeout, "timed out"),
        (Fault::Half, Status::Unavailable, "closed the connection"),
        (Fault::Refuse, Status::Unavailable, "failed"),
        (Fault::ResetBefore, Status::Unavailable, "failed"),
        (Fault::ResetAfter, Status::Unavailable, "failed"),
        (Fault::Garbage, Status::Protocol, "is not HTTP"),
        (Fault::status(500), Status::Unavailable, "500"),
        (Fault::status(503), Status::Unavailable, "503"),
    ]
}

/// Opens a manager that asks this URL, with these settings besides.
pub type Open<'a> = dyn Fn(&str, &[(&str, &str)]) -> Manager + 'a;

/// A provider whose requests pass a proxy.
pub struct Case<'a> {
    pub source: Source,
    /// The server behind the proxy: host:port.
    pub address: String,
    /// A key that can be read there.
    pub key: &'a str,
    pub open: Box<Open<'a>>,
    /// What the message says about a response of another program.
    pub foreign: &'a str,
    /// What it says about a redirect.
    pub redirect: &'a str,
    /// The server's own responses: the key is denied, is missing, and the client is throttled.
    pub denied: (Reply, &'a str),
    pub missing: (Reply, &'a str),
    pub throttled: (Reply, &'a str),
    /// What else this provider distinguishes.
    pub more: Vec<Row<'a>>,
}

impl Case<'_> {
    fn rows(&self, elsewhere: &Proxy) -> Vec<Row<'_>> {
        let own = |(reply, words): &(Reply, _), status| (Fault::from(reply.clone()), status, *words);
        let mut rows = of_transport();
        rows.extend([
            own(&self.throttled, Status::Unavailable),
            own(&self.denied, Status::AccessDenied),
            own(&self.missing, Status::NotFound),
            (Fault::status(403), Status::Protocol, self.foreign),
            (Fault::status(404), Status::Protocol, self.foreign),
            (Reply::new(200).body("<html>").into(), Status::Protocol, self.foreign),
            (Reply::new(200).body("{}").into(), Status::Protocol, self.foreign),
            (Fault::redirect(307, &elsewhere.url()), Status::Protocol, self.redirect),
        ]);
        rows.extend(self.more.iter().cloned());
        rows
    }

    /// Reads the key once through a proxy with each fault.
    pub fn is_reported_in_time_with_its_status(&self) {
        let (proxy, elsewhere) = (Proxy::to(&self.address), Proxy::to(&self.address));
        for (fault, status, words) in self.rows(&elsewhere) {
            proxy.always(fault.clone());
            let start = Instant::now();
            self.fails(&proxy.url(), &fault, status, words);
            assert!(start.elapsed() < PATIENCE, "{fault:?}: {:?}", start.elapsed());
            proxy.wait_until_closed();
        }
        assert_eq!(elsewhere.connections(), 0, "redirects are not followed");
    }

    /// Checks the error of a manager that asks this URL.
    pub fn fails(&self, url: &str, fault: &Fault, status: Status, words: &str) {
        // A fault that ends with the timeout would otherwise last longer than the test waits.
        // A request that is throttled is repeated until the timeout.
        let timeout = match fault {
            _ if status == Status::Timeout => "1.5",
            Fault::Answer(reply) if reply.status == 429 => "6",
            _ => "60",
        };
        let is_throttled = timeout == "6";
        let error = loop {
            let secrets = (self.open)(url, &[("timeout", timeout)]);
            let error = secrets.get(self.key).unwrap_err();
            // The last attempt may begin with too little time for a response.
            if !(is_throttled && error.status() == Status::Timeout) {
                break error;
            }
        };
        assert_eq!(error.status(), status, "{fault:?}: {error}");
        assert!(error.message().contains(words) && !error.message().contains("CANARY"), "{fault:?}: {error}");
        if status != Status::NotFound {
            assert_eq!(error.source_provider(), self.source, "{fault:?}: {error:?}");
        }
        let is_outage = matches!(status, Status::Unavailable | Status::Timeout);
        assert_eq!(error.is_retryable(), is_outage, "{fault:?}: {error}");
    }

    /// Fails one request, which is repeated.
    pub fn is_repeated(&self) {
        let proxy = Proxy::to(&self.address);
        let secrets = (self.open)(&proxy.url(), &[]);
        for fault in [Fault::status(503), Fault::ResetAfter, Fault::retry_after(429, "1"), Fault::Half] {
            proxy.next(1, fault.clone());
            let before = proxy.requests().len();
            assert!(read(&secrets, self.source, self.key).is_ok(), "{fault:?}");
            assert!(proxy.requests().len() > before, "{fault:?}");
        }
        let start = Instant::now();
        proxy.next(1, Fault::retry_after(503, "3"));
        assert!(read(&secrets, self.source, self.key).is_ok());
        assert!(start.elapsed() >= Duration::from_secs(3), "Retry-After is respected");
    }

    /// Asks an address that does not answer.
    pub fn times_out_without_a_server(&self) {
        let unreachable = BlackHole::open();
        let secrets = (self.open)(&unreachable.url(), &[]);
        let (start, limit) = (Instant::now(), Duration::from_millis(700));
        let error =
            secrets.get_with(self.key, &GetOptions { timeout: Some(limit), ..GetOptions::default() }).unwrap_err();
        assert_eq!(error.status(), Status::Timeout, "{error}");
        assert!((limit..PATIENCE / 2).contains(&start.elapsed()), "{:?}", start.elapsed());
    }

    /// Reads the key, and again during outages and after denials.
    pub fn is_served_stale_during_an_outage_only(&self) {
        let proxy = Proxy::to(&self.address);
        let secrets = (self.open)(&proxy.url(), &[]);
        assert!(secrets.get(self.key).is_ok());
        for fault in [Fault::status(503), Fault::Refuse, Fault::status(403), Fault::status(404)] {
            proxy.always(fault.clone());
            let secret = secrets.get_with(self.key, &REFRESH);
            let secret = secret.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
            assert!(secret.is_stale(), "{fault:?}");
        }
        for ((reply, _), status) in [(&self.denied, Status::AccessDenied), (&self.missing, Status::NotFound)] {
            proxy.heal();
            secrets.refresh(None).unwrap();
            assert!(secrets.get(self.key).is_ok());
            proxy.always(reply.clone());
            assert_eq!(secrets.get_with(self.key, &REFRESH).unwrap_err().status(), status);
            assert_eq!(secrets.get(self.key).unwrap_err().status(), status);
        }
    }

    /// Checks the faults of the server that issues tokens. `url` is that of the secrets, and `log_in_at` makes the
    /// managers that are opened from then on log in elsewhere. `foreign` is what messages say of another program there.
    pub fn of_the_login_is_reported(
        &self,
        url: &str,
        log_in_at: impl Fn(&Proxy),
        foreign: &str,
        (denied, words): (Reply, &str),
    ) {
        let tokens = Proxy::to(&self.address);
        log_in_at(&tokens);
        for (fault, status, words) in [
            (Fault::Hang, Status::Timeout, "timed out"),
            (Fault::Refuse, Status::Unavailable, "failed"),
            (Fault::status(500), Status::Unavailable, "HTTP status 500"),
            (Fault::status(403), Status::Protocol, foreign),
            (Reply::new(200).body("{}").into(), Status::Protocol, foreign),
            (self.throttled.0.clone().into(), Status::Unavailable, "the server is throttling"),
            (denied.into(), Status::AccessDenied, words),
        ] {
            tokens.always(fault.clone());
            self.fails(url, &fault, status, words);
        }
    }
}

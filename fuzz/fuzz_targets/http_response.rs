//! The response of a server that sends any bytes, then ends the connection.
#![no_main]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Mutex, OnceLock};

static RESPONSE: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Returns the port of the server, which it starts in a thread.
fn port() -> u16 {
    static PORT: OnceLock<u16> = OnceLock::new();
    *PORT.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut stream = stream;
                // A request without a body is one packet.
                let _ = stream.read(&mut [0; 4096]);
                let response = RESPONSE.lock().expect("no other thread has panicked").clone();
                let _ = stream.write_all(&response);
            }
        });
        port
    })
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    *RESPONSE.lock().expect("no other thread has panicked") = data.to_vec();
    st_secrets::fuzzing::http_response(port());
});

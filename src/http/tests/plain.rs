//! Without TLS: requests, answers, faults, deadlines.

use super::peer::{Peer, ok};
use super::*;

#[test]
fn two_requests_share_one_connection() {
    let peer = Peer::answering(|request| ok(&request.to_ascii_uppercase()));
    let client = client();
    let answer = get(&client, &peer.url("/v1/secret?list=true")).unwrap();
    assert_eq!(answer.status, 200);
    let request = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(request.starts_with("GET /V1/SECRET?LIST=TRUE HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("X-VAULT-TOKEN: HVS.SECRET\r\n"), "{request}");
    assert!(request.contains("USER-AGENT: ST-SECRETS/"), "{request}");
    assert!(!request.contains("ACCEPT-ENCODING"), "{request}");
    get(&client, &peer.url("/")).unwrap();
    assert_eq!(peer.connections(), 1);
}

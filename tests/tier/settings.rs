//! Settings of the tier.

use serde_json::{Value, json};
use st_secrets::{Config, Manager};

use crate::cluster::KEY;

fn refused(settings: Value) -> String {
    let mut config = Config::new();
    config.parse(&settings.to_string()).unwrap();
    Manager::open(&config).err().unwrap().message().to_owned()
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let url = "redis://user:CANARY@127.0.0.1:1";
    for (settings, reason) in [
        (json!({"share_url": url, "share_key": KEY}), "needs the setting `share`"),
        (json!({"share_url": url, "share": "host"}), "needs `share_key`"),
        (json!({"share_url": "CANARY", "share": "host", "share_key": KEY}), "must be redis://host:port"),
        (json!({"share_url": "etcd://:CANARY@one", "share": "host", "share_key": KEY}), "etcd://host:port,host:port"),
        (json!({"share_url": url, "share": "host", "share_key": "CANARY"}), "must be 32 bytes in base64"),
        (
            json!({"share_url": url, "share": "host", "share_key": KEY, "share_client_cert": "/c"}),
            "needs `share_client_key`",
        ),
    ] {
        let message = refused(settings);
        assert!(message.contains(reason) && !message.contains("CANARY"), "{message}");
    }
}

//! Long runs, for `make soak`: ten minutes, or as many seconds as `SOAK_SECONDS` says.

mod common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::open;
use common::proxy::{Proxy, Reply};
use common::servers::{Key, in_clean_environment, moto, set_variables, unique};
use serde_json::json;

/// How long each of the credentials is good.
const LIFE: Duration = Duration::from_secs(60);

fn seconds() -> u64 {
    std::env::var("SOAK_SECONDS").map_or(600, |seconds| seconds.parse().unwrap())
}

/// What a container's endpoint answers: a key that is good for [`LIFE`] from now.
fn answer(key: &Key) -> Reply {
    let end = (SystemTime::now() + LIFE).duration_since(UNIX_EPOCH).unwrap().as_secs();
    let days = end / 86_400;
    // Days since 1970 to a date, by H. Hinnant's `civil_from_days`.
    let (era, day) = ((days + 719_468) / 146_097, (days + 719_468) % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let in_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let (day, month) = (in_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (end / 3600 % 24, end / 60 % 60, end % 60);
    let expiration = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
    let body =
        json!({"AccessKeyId": key.id, "SecretAccessKey": key.secret, "Token": key.token, "Expiration": expiration});
    Reply::new(200).body(body.to_string())
}

#[test]
fn credentials_of_a_minute_serve_eight_threads_without_a_gap() {
    in_clean_environment("credentials_of_a_minute_serve_eight_threads_without_a_gap", Vec::new, || {
        let name = unique("soak");
        moto().secret(&name, r#"{"A": "value"}"#);
        let role = moto().role(&["secretsmanager:GetSecretValue"]);
        let (container, aws) = (Proxy::alone(), Proxy::to(moto().address()));
        set_variables([
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.url()),
            ("AWS_ENDPOINT_URL", aws.url()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("SIMPLETUNER_AWS_SECRET_NAME", name),
        ]);
        let secrets = open(&[("providers", r#"["aws"]"#), ("cache_ttl", "0.5")]).unwrap();
        let (stop, gets) = (AtomicBool::new(false), AtomicU64::new(0));
        let end = Instant::now() + Duration::from_secs(seconds());
        let mut key = moto().assume(&role);
        container.always(answer(&key));
        let mut issued: HashMap<String, Instant> = HashMap::new();
        let (mut loads, mut fetches) = (0, 0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while !stop.load(Relaxed) {
                        let secret = secrets.get("A").unwrap_or_else(|error| panic!("{error}"));
                        assert!(!secret.is_stale() && !secret.is_degraded());
                        gets.fetch_add(1, Relaxed);
                        thread::sleep(Duration::from_millis(1));
                    }
                });
            }
            while Instant::now() < end {
                for _ in 0..20 {
                    container.always(answer(&key));
                    issued.insert(key.token.clone().unwrap(), Instant::now());
                    thread::sleep(Duration::from_secs(1));
                    for request in aws.requests() {
                        let age = issued[request.header("x-amz-security-token").unwrap()].elapsed();
                        assert!(age < LIFE, "credentials were used {age:?} after they were obtained");
                        loads += 1;
                    }
                    fetches += container.requests().len();
                    aws.forget();
                    container.forget();
                }
                key = moto().assume(&role);
            }
            stop.store(true, Relaxed);
        });
        let most = seconds() / 30 + 2;
        println!("{} gets, {loads} loads, {fetches} fetches of credentials", gets.load(Relaxed));
        assert!(loads > seconds() / 2, "{loads} loads");
        assert!((fetches as u64) <= most, "{fetches} fetches of credentials in {} s", seconds());
    });
}

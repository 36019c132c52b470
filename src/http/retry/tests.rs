//! Delays and limits, with random numbers and a clock of the tests.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;
use crate::error::Status;
use crate::jitter::tests::with_random;

const HOUR: Duration = Duration::from_secs(3600);

fn failed(class: RetryClass) -> FailedAttempt {
    FailedAttempt { error: Error::new(Status::Unavailable, "down"), class, retry_after: None }
}

/// Runs attempts that all fail, with the longest delays, and returns the delays. Time passes by delays only.
fn delays_within(
    retry: &Retry,
    attempts: Attempts,
    time: Duration,
    fail: impl Fn(u32) -> FailedAttempt,
) -> Vec<Duration> {
    let (delays, left) = (RefCell::new(Vec::new()), Cell::new(time));
    let wait = |delay| {
        delays.borrow_mut().push(delay);
        left.set(left.get().checked_sub(delay).expect("a delay after the deadline"));
    };
    let error = with_random(1.0, || retry.run_with(attempts, || left.get(), wait, |number| Err::<(), _>(fail(number))));
    assert_eq!(error.unwrap_err().message(), "down");
    delays.into_inner()
}

fn delays(retry: &Retry, number: u32, class: RetryClass, retry_after: Option<Duration>) -> Vec<Duration> {
    let fail = |_| FailedAttempt { retry_after, ..failed(class) };
    delays_within(retry, Attempts::at_most(number), HOUR, fail)
}

fn milliseconds<const N: usize>(times: [u64; N]) -> Vec<Duration> {
    times.map(Duration::from_millis).to_vec()
}

fn decorrelated() -> Retry {
    Retry::new(RetryDelay::Decorrelated)
}

fn steady() -> Retry {
    Retry::new(RetryDelay::Steady)
}

#[test]
fn delays_grow_up_to_20_s() {
    assert_eq!(delays(&decorrelated(), 4, RetryClass::Transient, None), milliseconds([150, 450, 1_350]));
    for retry in [decorrelated(), steady()] {
        assert_eq!(delays(&retry, 5, RetryClass::Throttled, None), milliseconds([3_000, 9_000, 20_000, 20_000]));
    }
    assert_eq!(delays(&steady(), 3, RetryClass::Transient, None), milliseconds([1_500, 1_500]));
    assert_eq!(delays(&decorrelated(), 1, RetryClass::Transient, None), milliseconds([]));
    assert_eq!(delays(&decorrelated(), 3, RetryClass::Never, None), milliseconds([]));
}

#[test]
fn delays_of_clients_that_were_throttled_together_differ() {
    for retry_after in [None, Some(Duration::from_secs(1))] {
        for retry in [decorrelated(), steady()] {
            let failed = FailedAttempt { retry_after, ..failed(RetryClass::Throttled) };
            let delay = |_| {
                let mut progress =
                    Progress { number: 1, immediate: 0, transient: 0, previous_delay: Duration::ZERO, paid: 0 };
                retry.next(&mut progress, Attempts::at_most(2), &failed, HOUR).unwrap()
            };
            let delays: std::collections::HashSet<Duration> = (0..100).map(delay).collect();
            assert!(delays.len() > 90, "{retry_after:?}");
            let range = Duration::from_secs(1)..=Duration::from_secs(3);
            assert!(delays.iter().all(|delay| range.contains(delay)), "{retry_after:?}: {delays:?}");
        }
    }
}

#[test]
fn throttled_attempts_continue_until_the_deadline() {
    let patient = Attempts::of_setting(None, Patience::UntilDeadline);
    for retry in [decorrelated(), steady()] {
        for seconds in [2, 10, 30, 300] {
            let time = Duration::from_secs(seconds);
            let delays = delays_within(&retry, patient, time, |_| failed(RetryClass::Throttled));
            let waited: Duration = delays.iter().sum();
            assert!(waited + Duration::from_secs(1) >= time, "{seconds} s: {delays:?}");
            let longest = (time / 4).clamp(Duration::from_secs(1), LONGEST_DELAY);
            assert!(delays.iter().all(|delay| *delay <= longest), "{seconds} s: {delays:?}");
        }
        // However many loads are throttled, later ones are as patient.
        for _ in 0..100 {
            let delays = delays_within(&retry, patient, HOUR / 60, |_| failed(RetryClass::Throttled));
            assert!(delays.len() > 3, "{delays:?}");
        }
    }
}

#[test]
fn attempts_are_limited_by_the_setting_or_by_transient_failures() {
    let count = |setting, patience, classes: &[RetryClass]| {
        let fail = |number: u32| failed(classes[(number as usize - 1) % classes.len()]);
        1 + delays_within(&steady(), Attempts::of_setting(setting, patience), HOUR / 60, fail).len()
    };
    let (transient, throttled) = (RetryClass::Transient, RetryClass::Throttled);
    for patience in [Patience::UntilDeadline, Patience::Brief] {
        assert_eq!(count(None, patience, &[transient]), 3);
        assert_eq!(count(Some(2), patience, &[throttled]), 2);
        assert_eq!(count(Some(5), patience, &[throttled, transient]), 5);
    }
    assert_eq!(count(None, Patience::Brief, &[throttled]), 3);
    assert_eq!(count(None, Patience::Brief, &[throttled, transient]), 3);
    assert_eq!(count(None, Patience::UntilDeadline, &[throttled, transient]), 6, "three of them transient");
}

#[test]
fn retry_after_is_respected_with_a_random_time_on_top() {
    let asked = |retry: &Retry, class, retry_after| {
        let retry_after = Some(Duration::from_millis(retry_after));
        delays(retry, 3, class, retry_after)
    };
    let (transient, throttled) = (RetryClass::Transient, RetryClass::Throttled);
    assert_eq!(asked(&decorrelated(), transient, 700), milliseconds([800, 1_100]));
    assert_eq!(asked(&decorrelated(), transient, 60_000), milliseconds([5_100, 5_400]));
    assert_eq!(asked(&decorrelated(), throttled, 60_000), milliseconds([7_000, 13_000]));
    assert_eq!(asked(&steady(), transient, 700), milliseconds([1_200, 1_200]));
    assert_eq!(asked(&steady(), throttled, 60_000), milliseconds([62_000, 68_000]));
    let forever = |_| FailedAttempt { retry_after: Some(Duration::MAX), ..failed(throttled) };
    assert_eq!(delays_within(&steady(), Attempts::at_most(9), HOUR, forever), milliseconds([]));
}

#[test]
fn success_ends_the_attempts() {
    let attempt = |number| if number < 3 { Err(failed(RetryClass::Transient)) } else { Ok(number) };
    let result = decorrelated().run_with(Attempts::at_most(3), || HOUR, |_| (), attempt);
    assert_eq!(result.unwrap(), 3);
}

#[test]
fn wait_that_lasts_too_long_ends_with_the_last_error() {
    let (left, sent) = (Cell::new(Duration::from_secs(60)), Cell::new(0));
    let attempt = |number| {
        sent.set(number);
        Err::<(), _>(failed(RetryClass::Throttled))
    };
    let result = steady().run_with(Attempts::at_most(3), || left.get(), |_| left.set(Duration::ZERO), attempt);
    assert_eq!((result.unwrap_err().message(), sent.get()), ("down", 1));
}

#[test]
fn attempt_after_the_deadline_is_not_waited_for() {
    for class in [RetryClass::Transient, RetryClass::Throttled] {
        let delays = delays_within(&steady(), Attempts::at_most(3), Duration::from_millis(900), |_| failed(class));
        assert_eq!(delays, milliseconds([]));
    }
}

#[test]
fn immediate_retry_has_no_delay_and_costs_no_attempt() {
    let never = |_: Duration| panic!("waited");
    let attempt = |number| if number < 4 { Err(failed(RetryClass::Immediate)) } else { Ok(number) };
    assert_eq!(decorrelated().run_with(Attempts::at_most(2), || HOUR, never, attempt).unwrap(), 4);
    let attempts = Cell::new(0);
    let result = decorrelated().run_with(
        Attempts::at_most(2),
        || HOUR,
        never,
        |number| {
            attempts.set(number);
            Err::<(), _>(failed(RetryClass::Immediate))
        },
    );
    assert_eq!(result.unwrap_err().message(), "down");
    assert_eq!(attempts.get(), 1 + MAX_IMMEDIATE);
}

#[test]
fn quota_bounds_retries_until_a_success() {
    let retry = decorrelated();
    let retries = |class| delays(&retry, 3, class, None).len();
    // 500 tokens are enough for 35 retries of 14.
    let paid: usize = (0..30).map(|_| retries(RetryClass::Transient)).sum();
    assert_eq!(paid, 35);
    assert_eq!(retries(RetryClass::Transient), 0);
    assert_eq!(retries(RetryClass::Throttled), 2, "throttling costs nothing");
    for _ in 0..4 {
        retry.run(Attempts::at_most(3), Deadline::after(HOUR), |_| Ok(())).unwrap();
    }
    assert_eq!(retries(RetryClass::Transient), 1);
    // A retry that succeeds costs nothing.
    retry.refund(14);
    for _ in 0..10 {
        let attempt = |number| if number == 1 { Err(failed(RetryClass::Transient)) } else { Ok(()) };
        retry.run_with(Attempts::at_most(3), || HOUR, |_| (), attempt).unwrap();
    }
    let paid: usize = (0..100).map(|_| delays(&steady(), 2, RetryClass::Transient, None).len()).sum();
    assert_eq!(paid, 100);
}

/// Numbers from 0 to 1 that are the same in each run (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The bucket of tokens with which AWS limits calls: refilled at a rate, with room for those of one second.
struct Bucket {
    per_second: f64,
    tokens: f64,
    updated: Duration,
}

impl Bucket {
    fn take(&mut self, now: Duration) -> bool {
        let refill = (now - self.updated).as_secs_f64() * self.per_second;
        (self.tokens, self.updated) = ((self.tokens + refill).min(self.per_second), now);
        let is_left = self.tokens >= 1.0;
        self.tokens -= if is_left { 1.0 } else { 0.0 };
        is_left
    }
}

/// What becomes of a crowd.
struct Crowd {
    failed: usize,
    attempts: usize,
    /// When the last process succeeds.
    last: Duration,
}

/// Processes that start within 50 ms and make one call each, at a server that allows 600 calls a second.
fn crowd(processes: usize, timeout: Duration, delay: RetryDelay, retry_after: Option<Duration>) -> Crowd {
    let (mut numbers, retry) = (Numbers(processes as u64), Retry::new(delay));
    let mut bucket = Bucket { per_second: 600.0, tokens: 600.0, updated: Duration::ZERO };
    let throttled = FailedAttempt { retry_after, ..failed(RetryClass::Throttled) };
    let attempts = Attempts::of_setting(None, Patience::UntilDeadline);
    let new = || Progress { number: 1, immediate: 0, transient: 0, previous_delay: Duration::ZERO, paid: 0 };
    let mut all: Vec<(Duration, Progress)> =
        (0..processes).map(|_| (Duration::from_millis(50).mul_f64(numbers.next()), new())).collect();
    let mut calls: BinaryHeap<_> =
        all.iter().enumerate().map(|(process, (start, _))| Reverse((*start, process))).collect();
    let mut crowd = Crowd { failed: 0, attempts: 0, last: Duration::ZERO };
    while let Some(Reverse((now, process))) = calls.pop() {
        crowd.attempts += 1;
        if bucket.take(now) {
            crowd.last = now;
            continue;
        }
        let (start, progress) = &mut all[process];
        let remaining = (*start + timeout).saturating_sub(now);
        match with_random(numbers.next(), || retry.next(progress, attempts, &throttled, remaining)) {
            Some(delay) => calls.push(Reverse((now + delay, process))),
            None => crowd.failed += 1,
        }
        progress.number += 1;
    }
    crowd
}

#[test]
fn crowd_gets_through_the_quota_of_a_server() {
    let second = Duration::from_secs(1);
    for (processes, timeout, least_possible, attempts) in
        [(700, 10, 1, 2), (4_000, 10, 6, 4), (10_000, 30, 16, 5), (17_000, 43, 28, 6), (60_000, 300, 99, 10)]
    {
        for (delay, retry_after) in [
            (RetryDelay::Decorrelated, None),
            (RetryDelay::Decorrelated, Some(second)),
            (RetryDelay::Steady, Some(second)),
        ] {
            let crowd = crowd(processes, timeout * second, delay, retry_after);
            let what = format!("{processes} {delay:?} {retry_after:?}: {:?}, {} attempts", crowd.last, crowd.attempts);
            assert_eq!(crowd.failed, 0, "{what}");
            assert!(crowd.last <= least_possible * second * 5 / 4 + 3 * second, "{what}");
            assert!(crowd.attempts <= attempts * processes, "{what}");
        }
    }
}

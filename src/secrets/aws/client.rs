//! Calls of AWS services: signed for every attempt, retried, with the server's time if our clock is wrong.

use std::time::SystemTime;

use super::call::AwsCall;
use super::clock_offsets::{ClockOffset, ClockOffsets};
use super::endpoint::displayed_origin;
use super::service_error::ServiceError;
use super::signer::signature_headers;
use crate::clock::{Deadline, Instant};
use crate::error::{Error, Status};
use crate::http::retry::{Attempts, FailedAttempt, Retry, RetryClass};
use crate::http::{Client, HttpRequest, HttpResponse};

/// A successful response, and the time when it came by the server's clock.
pub(super) struct AwsResponse {
    pub(super) response: HttpResponse,
    pub(super) server_time: SystemTime,
}

/// Why a call failed.
pub(super) enum CallError {
    /// The service, or something in front of it, responded with an error.
    Service(ServiceError),
    /// There was no response in time.
    Transport(Error),
}

/// The client of one load: connections, retries and clock offsets.
pub(super) struct AwsClient<'a> {
    pub(super) http: Client,
    pub(super) clock_offsets: &'a ClockOffsets,
    pub(super) retry: &'a Retry,
    pub(super) attempts: Attempts,
    pub(super) correct_clock_skew: bool,
}

impl AwsClient<'_> {
    /// Makes a call, with retries.
    pub(super) fn call(&self, call: &AwsCall<'_>, deadline: Deadline) -> Result<AwsResponse, CallError> {
        let mut last_error = None;
        let mut corrected = false;
        let result = self.retry.run(self.attempts, deadline, |_| {
            last_error = None;
            let sent = SystemTime::now();
            let start = Instant::now();
            let response = self.send(call, sent, deadline)?;
            let offset = ClockOffset::of(&response, sent, start.elapsed());
            if (200..300).contains(&response.status) {
                let now = SystemTime::now();
                return Ok(AwsResponse { response, server_time: offset.map_or(now, |offset| offset.apply(now)) });
            }
            let service_error = ServiceError::parse(&response, &call.secrets());
            let mut class = service_error.retry_class();
            if self.correct_clock_skew && !corrected && call.credentials.is_some() && service_error.may_be_clock_skew()
            {
                corrected = self.clock_offsets.update(call.url, offset);
                if corrected {
                    class = RetryClass::Immediate;
                }
            }
            if class == RetryClass::Throttled && !call.waits_if_throttled {
                class = RetryClass::Never;
            }
            let message = format!("{} responds with {}", displayed_origin(call.url), service_error.describe());
            let error = service_error.to_error(Status::Protocol, message);
            let retry_after = service_error.retry_after;
            last_error = Some(service_error);
            Err(FailedAttempt { error, class, retry_after })
        });
        result.map_err(|error| last_error.map_or(CallError::Transport(error), CallError::Service))
    }

    fn send(&self, call: &AwsCall<'_>, now: SystemTime, deadline: Deadline) -> Result<HttpResponse, FailedAttempt> {
        let &AwsCall { method, url, body, .. } = call;
        let mut headers = call.headers.to_vec();
        if let Some(credentials) = call.credentials {
            let time = self.clock_offsets.get(url).apply(now);
            headers.extend(signature_headers(call, credentials, time).map_err(FailedAttempt::permanent)?);
        }
        let request = HttpRequest { method, url, headers: &headers, body, connect_timeout: None };
        self.http.send(&request, deadline).map_err(FailedAttempt::from_error)
    }
}

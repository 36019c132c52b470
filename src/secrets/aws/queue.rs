//! A queue of SQS to which EventBridge sends changes of secrets, for calls that listen. Any message counts as a change.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{AwsResponse, CallError};
use super::endpoint::Service;
use super::identifiers::checked_region;
use super::json_service::ReadError;
use super::session::AwsSession;
use super::state::AwsState;
use super::watched_files::WatchedFiles;
use crate::clock::Deadline;
use crate::config::Config;
use crate::error::Result;
use crate::fork_safe::Mutex;
use crate::http::retry::Patience;
use crate::http::url::Url;
use crate::log::{self, Level};
use crate::settings::{InvalidSetting, Setting};

/// The queue is asked again when it has answered.
pub(super) const INTERVAL: Duration = Duration::from_millis(500);
/// How long SQS waits for a message, if the call has three times as long. A call that listens does nothing else
/// meanwhile.
const WAIT: Duration = Duration::from_secs(1);
/// The most messages that SQS returns at once.
const MOST: usize = 10;

/// The queue of the setting `aws_queue_url`.
pub(super) struct ChangeQueue {
    url: String,
    /// That of the URL; `None` if the host is not one of SQS.
    region: Option<String>,
    /// The handles of messages that were received and not announced yet.
    received: Mutex<Vec<String>>,
}

impl ChangeQueue {
    pub(super) fn read(config: &Config) -> Result<Option<ChangeQueue>, InvalidSetting> {
        let Some(setting) = config.setting("aws_queue_url")? else { return Ok(None) };
        let invalid = |why: &str| {
            setting.invalid(format!("is not the URL of a queue, as `aws sqs get-queue-url` prints it: {why}"))
        };
        let Url { uri, .. } = Url::parse(setting.text()).map_err(|error| invalid(&error.to_string()))?;
        if uri.path().trim_matches('/').is_empty() {
            return Err(invalid("it has no path"));
        }
        let mut labels = uri.host().unwrap_or_default().split('.');
        let region = labels.next().filter(|service| matches!(*service, "sqs" | "sqs-fips")).and_then(|_| labels.next());
        let region = region.map(|region| checked_region(&Setting::new(setting.origin.clone(), region))).transpose()?;
        Ok(Some(ChangeQueue { url: setting.text().to_owned(), region, received: Mutex::default() }))
    }

    /// Whether there is a message. It remains in the queue until [`ChangeQueue::delete`].
    pub(super) fn receive(&self, state: &AwsState, deadline: Deadline) -> Result<bool> {
        if !self.received.lock().is_empty() {
            return Ok(true);
        }
        let wait = if deadline.remaining() >= WAIT * 3 { WAIT.as_secs() } else { 0 };
        let body = json!({"QueueUrl": self.url, "MaxNumberOfMessages": MOST, "WaitTimeSeconds": wait});
        let response = self.call(state, "ReceiveMessage", &body, deadline)?;
        let messages = response["Messages"].as_array().map_or(&[][..], Vec::as_slice);
        messages.iter().for_each(log_change);
        let handles = messages.iter().filter_map(|message| message["ReceiptHandle"].as_str().map(str::to_owned));
        self.received.lock().extend(handles);
        Ok(!messages.is_empty())
    }

    /// Deletes what was received. What cannot be deleted comes again, which is logged.
    pub(super) fn delete(&self, state: &AwsState, deadline: Deadline) {
        let handles = std::mem::take(&mut *self.received.lock());
        for handle in handles {
            let body = json!({"QueueUrl": self.url, "ReceiptHandle": handle});
            if let Err(error) = self.call(state, "DeleteMessage", &body, deadline) {
                log::emit(Level::Warn, "aws", || {
                    format!("a change that was announced will be announced again: {error}")
                });
            }
        }
    }

    /// Whether messages can be received. None is taken from other readers.
    pub(super) fn check(&self, state: &AwsState, deadline: Deadline) -> Result<()> {
        let body = json!({"QueueUrl": self.url, "MaxNumberOfMessages": 1, "VisibilityTimeout": 0});
        self.call(state, "ReceiveMessage", &body, deadline).map(drop)
    }

    fn call(&self, state: &AwsState, action: &str, body: &Value, deadline: Deadline) -> Result<Value> {
        let files = WatchedFiles::default();
        let session = AwsSession::open(state, None, &files, deadline, Patience::Brief)?;
        let region = self.region.as_deref().unwrap_or(&session.region);
        let mut cached = session.credentials()?;
        let what = format!("the queue {}", self.url);
        let answer = session.ask(
            Service::Sqs,
            region,
            &mut cached,
            |service| match service.call(action, body, false) {
                // An empty answer is one without messages.
                Ok(AwsResponse { response, .. }) if response.body.is_empty() => Ok(Value::Null),
                Ok(AwsResponse { response, .. }) => serde_json::from_slice(&response.body)
                    .map_err(|_| ReadError::from(service.malformed(&what, "the response is not JSON"))),
                Err(CallError::Transport(error)) => Err(service.unreachable(&what, error).into()),
                Err(CallError::Service(error)) => Err(service.refused(&what, action, &error)),
            },
            |answer| answer.as_mut().err(),
        )?;
        answer.map_err(|failed| failed.error)
    }
}

/// Logs which secret has changed, if that is an event of Secrets Manager.
fn log_change(message: &Value) {
    log::emit(Level::Info, "aws", || {
        let event: Value =
            message["Body"].as_str().and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
        match event["detail"]["name"].as_str().or(event["resources"][0].as_str()) {
            Some(name) => format!("the queue reports a change of {name:?}"),
            None => "the queue reports a change".to_owned(),
        }
    });
}

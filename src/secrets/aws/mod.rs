//! The AWS layer: secrets of AWS Secrets Manager, each a JSON object of names and values.
//!
//! | part | does |
//! |---|---|
//! | `settings`, `names` | what is asked for, of whom and where; refused before a byte is sent where it cannot be right |
//! | `environment`, `ini`, `profiles` | the variables and files that the AWS tools share |
//! | `endpoint` | the hosts of services in each partition |
//! | `credentials` | who we are: where keys come from, and when there are new ones |
//! | `wire`, `refusal` | signed calls, with retries; answers that say no |
//! | `client`, `sts` | the services |
//! | `load` | one load of all secrets |

use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::document::{Document, DocumentSource};
use super::layer::Finding;
use crate::clock::Deadline;
use crate::config::Config;
use crate::error::{Result, Source};
use crate::http::retry::{Backoff, Retry};

mod check;
mod client;
mod credentials;
mod endpoint;
mod environment;
mod fields;
mod ini;
mod load;
mod metadata;
mod names;
mod profiles;
mod refusal;
mod settings;
mod sts;
mod wire;

use environment::Environment;
use settings::{Own, Settings};

const DEFAULT_ATTEMPTS: u32 = 3;

/// Secrets Manager as a source of one document.
pub(crate) struct AwsSource {
    own: Own,
    environment: Environment,
    memory: Memory,
}

/// What is kept from load to load.
struct Memory {
    keys: credentials::Kept,
    machine: metadata::Machine,
    clocks: wire::Clocks,
    retry: Retry,
    /// BatchGetSecretValue was refused before.
    single_calls: AtomicBool,
    /// The region of the last load, for messages.
    region: Mutex<Option<String>>,
}

impl AwsSource {
    /// `None` where no secret is named. Nothing but own settings is looked at.
    pub(crate) fn open(config: &Config) -> Result<Option<AwsSource>> {
        AwsSource::open_in(config, Environment::Process)
    }

    fn open_in(config: &Config, environment: Environment) -> Result<Option<AwsSource>> {
        let read = || -> Result<Option<AwsSource>> {
            let Some(own) = Own::read(config, &environment)? else { return Ok(None) };
            let attempts = match environment.text("AWS_MAX_ATTEMPTS")? {
                Some(text) => text.parse().ok().filter(|attempts| *attempts > 0).ok_or_else(|| {
                    names::config("the variable AWS_MAX_ATTEMPTS must be a whole number of 1 or more")
                })?,
                None => DEFAULT_ATTEMPTS,
            };
            let memory = Memory {
                keys: credentials::Kept::default(),
                machine: metadata::Machine::default(),
                clocks: wire::Clocks::default(),
                retry: Retry::new(config.count("max_attempts", attempts), Backoff::Exponential),
                single_calls: AtomicBool::new(false),
                region: Mutex::new(None),
            };
            Ok(Some(AwsSource { own, environment, memory }))
        };
        read().map_err(|error| error.with_source(Source::Aws))
    }

    /// `secret "app/prod" in us-east-1`, as far as the region is known; an ARN has its own.
    fn named(&self) -> String {
        let names: Vec<String> = self.own.names.iter().map(|name| format!("{:?}", name.text)).collect();
        let what = format!("{} {}", if names.len() == 1 { "secret" } else { "secrets" }, names.join(", "));
        match &*self.memory.region.lock() {
            Some(region) if self.own.names.iter().any(|name| name.region.is_none()) => format!("{what} in {region}"),
            _ => what,
        }
    }
}

impl DocumentSource for AwsSource {
    fn name(&self) -> &'static str {
        "aws"
    }

    fn source(&self) -> Source {
        Source::Aws
    }

    fn place(&self) -> String {
        self.named()
    }

    fn load(&self, deadline: Deadline) -> Result<Document> {
        load::load(self, deadline).map_err(|error| error.with_source(Source::Aws))
    }

    fn describe(&self) -> Map<String, Value> {
        let names: Vec<&str> = self.own.names.iter().map(|name| name.text.as_str()).collect();
        let mut told = Map::from_iter([("secrets".to_owned(), json!(names))]);
        if let Err(error) = self.describe_settings(&mut told) {
            told.insert("problem".to_owned(), json!(error.message()));
        }
        told
    }

    fn check(&self, deadline: Deadline) -> Finding {
        check::check(self, deadline)
    }
}

impl AwsSource {
    fn describe_settings(&self, told: &mut Map<String, Value>) -> Result<()> {
        let settings = Settings::read(&self.own, &self.environment)?;
        told.insert("profile".to_owned(), json!(settings.profile_name));
        let known = self.memory.region.lock().clone();
        if let Some(region) = settings.region()?.or(known) {
            let endpoint = settings.endpoint(endpoint::Service::SecretsManager, &region)?;
            told.insert("region".to_owned(), json!(region));
            told.insert("endpoint".to_owned(), json!(endpoint.url));
        }
        told.insert("credentials".to_owned(), json!(credentials::plan(&settings)?.place()));
        Ok(())
    }
}

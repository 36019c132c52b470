//! The AWS provider: secrets of AWS Secrets Manager, each a JSON object of names and values.
//!
//! | part | does |
//! |---|---|
//! | `settings`, `names` | what is asked for, of whom and where; refused before a byte is sent where it cannot be right |
//! | `environment`, `ini`, `profiles` | the variables and files that the AWS tools share |
//! | `watch` | whether those files have changed since a load failed |
//! | `endpoint` | the hosts of services in each partition |
//! | `credentials` | who we are: where keys come from, and when there are new ones |
//! | `wire`, `refusal`, `xml` | signed calls, with retries; error answers |
//! | `client`, `sts` | the services |
//! | `load` | one load of all secrets |

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::document::{Document, DocumentSource};
use super::provider::Health;
use crate::clock::Deadline;
use crate::config::Config;
use crate::error::{Result, Source};
use crate::files;
use crate::fork;
use crate::http::retry::{Backoff, Retry};
use crate::log::{self, Level};

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
mod watch;
mod wire;
mod xml;

use environment::Environment;
use profiles::Profiles;
use settings::{Own, Settings};
use watch::Watch;

/// Secrets Manager as a source of one document.
pub(crate) struct AwsSource {
    /// The error is of a variable that cannot be used: the provider fails, and the others work.
    aws: Result<Aws>,
}

/// What is asked for, and what is kept from load to load.
struct Aws {
    own: Own,
    environment: Environment,
    keys: credentials::Kept,
    machine: metadata::Machine,
    clocks: wire::Clocks,
    retry: Retry,
    /// BatchGetSecretValue was refused before.
    single_calls: AtomicBool,
    /// The region of the last load, for messages.
    region: Mutex<Option<String>>,
    /// The last profiles that told who we are.
    profiles: Mutex<Option<Arc<Profiles>>>,
    /// The files of the last load, if that failed.
    failed_with: Mutex<Option<Watch>>,
}

impl AwsSource {
    /// `None` where no secret is named. Nothing but own settings is looked at; the error is one of the configuration's.
    pub(crate) fn open(config: &Config) -> Result<Option<AwsSource>> {
        let environment = Environment::Process;
        let own = match Own::read(config, &environment) {
            Ok(Some(own)) => own,
            Ok(None) => return Ok(None),
            Err(refused) if refused.in_config => return Err(refused.error.with_source(Source::Aws)),
            Err(refused) => return Ok(Some(AwsSource { aws: Err(refused.error) })),
        };
        Ok(Some(AwsSource { aws: Ok(Aws::new(own, environment)) }))
    }

    fn aws(&self) -> Result<&Aws> {
        self.aws.as_ref().map_err(|error| error.clone().with_source(Source::Aws))
    }
}

/// Whether the settings tell who we are, by more than leaving it to the machine.
fn is_whole(settings: &Result<Settings<'_>>) -> bool {
    let plan = settings.as_ref().ok().and_then(|settings| credentials::plan(settings).ok());
    plan.is_some_and(|plan| !plan.is_last_resort())
}

impl DocumentSource for AwsSource {
    fn name(&self) -> &'static str {
        "aws"
    }

    fn source(&self) -> Source {
        Source::Aws
    }

    fn place(&self) -> String {
        let _guard = fork::protect();
        match &self.aws {
            Ok(aws) => aws.named(),
            Err(_) => "AWS, whose settings cannot be used".to_owned(),
        }
    }

    fn load(&self, deadline: Deadline) -> Result<Document> {
        let _guard = fork::protect();
        let aws = self.aws()?;
        let watch = Watch::default();
        let loaded = load::load(aws, &watch, deadline).map_err(|error| error.with_source(Source::Aws));
        let complete = loaded.as_ref().is_ok_and(|document| document.incomplete().is_none());
        *aws.failed_with.lock() = (!complete).then_some(watch);
        loaded
    }

    fn has_new_credentials(&self) -> bool {
        let _guard = fork::protect();
        let Ok(aws) = &self.aws else { return false };
        aws.failed_with.lock().as_ref().is_some_and(Watch::has_changed)
    }

    fn describe(&self) -> Map<String, Value> {
        let _guard = fork::protect();
        let mut told = Map::new();
        if let Err(error) = self.aws().and_then(|aws| aws.describe(&mut told)) {
            told.insert("problem".to_owned(), json!(error.message()));
        }
        told
    }

    fn check(&self, deadline: Deadline) -> Health {
        let _guard = fork::protect();
        match self.aws() {
            Ok(aws) => check::check(aws, deadline),
            Err(error) => check::failed(&error),
        }
    }
}

impl Aws {
    fn new(own: Own, environment: Environment) -> Aws {
        Aws {
            own,
            environment,
            keys: credentials::Kept::default(),
            machine: metadata::Machine::default(),
            clocks: wire::Clocks::default(),
            retry: Retry::new(1, Backoff::Exponential),
            single_calls: AtomicBool::new(false),
            region: Mutex::new(None),
            profiles: Mutex::new(None),
            failed_with: Mutex::new(None),
        }
    }

    /// The settings as variables and files are now; as files were before, where one seems to be half written: a program
    /// that does not rename empties it first.
    fn settings(&self) -> Result<Settings<'_>> {
        let read = || Settings::read(&self.own, &self.environment);
        let mut settings = read();
        if is_whole(&settings) || !Profiles::are_new(&self.environment) {
            return self.noted(settings);
        }
        files::settle();
        settings = read();
        let before = self.profiles.lock().clone();
        if let Some(before) = before.filter(|_| !is_whole(&settings)) {
            log::emit(Level::Warn, "aws", || {
                let why = settings.as_ref().err().map_or("no credentials in it", |error| error.message());
                format!("a file that was changed just now is not used yet: {why}")
            });
            return Settings::with(&self.own, &self.environment, before);
        }
        self.noted(settings)
    }

    /// Remembers the profiles of good settings.
    fn noted<'a>(&self, settings: Result<Settings<'a>>) -> Result<Settings<'a>> {
        if is_whole(&settings)
            && let Ok(settings) = &settings
        {
            *self.profiles.lock() = Some(settings.profiles.clone());
        }
        settings
    }

    /// `secret "app/prod" in us-east-1`, as far as the region is known; an ARN has its own.
    fn named(&self) -> String {
        let names: Vec<String> = self.own.names.iter().map(|name| format!("{:?}", name.text)).collect();
        let what = format!("{} {}", if names.len() == 1 { "secret" } else { "secrets" }, names.join(", "));
        match &*self.region.lock() {
            Some(region) if self.own.names.iter().any(|name| name.region.is_none()) => format!("{what} in {region}"),
            _ => what,
        }
    }

    fn describe(&self, told: &mut Map<String, Value>) -> Result<()> {
        let names: Vec<&str> = self.own.names.iter().map(|name| name.text.as_str()).collect();
        told.insert("secrets".to_owned(), json!(names));
        let settings = self.settings()?;
        told.insert("profile".to_owned(), json!(settings.profile_name));
        let known = self.region.lock().clone();
        if let Some(region) = settings.region()?.or(known) {
            let endpoint = settings.endpoint(endpoint::Service::SecretsManager, &region)?;
            told.insert("region".to_owned(), json!(region));
            told.insert("endpoint".to_owned(), json!(endpoint.url));
        }
        told.insert("credentials".to_owned(), json!(credentials::plan(&settings)?.place()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use std::time::Duration;

    use super::*;

    /// A source with these variables besides those that name a secret and a region.
    fn source(directory: &Path, variables: &[(&str, &str)]) -> Aws {
        let home = directory.to_str().unwrap();
        let fixed = [("HOME", home), ("AWS_REGION", "us-east-1"), ("SIMPLETUNER_AWS_SECRET_NAME", "app")];
        let environment = Environment::fixed(&[&fixed, variables].concat());
        let own = Own::read(&Config::new(), &environment).unwrap().unwrap();
        Aws::new(own, environment)
    }

    #[test]
    fn a_file_that_is_half_written_is_not_used_yet() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials");
        let aws = source(directory.path(), &[("AWS_SHARED_CREDENTIALS_FILE", path.to_str().unwrap())]);
        let place = || aws.settings().and_then(|settings| Ok(credentials::plan(&settings)?.place().to_owned()));
        let whole = "[default]\naws_access_key_id = AKIA\naws_secret_access_key = x\n";
        let halves = ["", "[defau", "[default]\n", "[default]\naws_access_key_id = AKIA\naws_secr"];
        std::fs::write(&path, "[default]\naws_access_key_id = AKIA\n").unwrap();
        assert!(place().unwrap_err().message().contains("aws_secret_access_key"), "there is nothing before it");
        std::fs::write(&path, whole).unwrap();
        let good = place().unwrap();
        for half in halves {
            std::fs::write(&path, half).unwrap();
            assert_eq!(place().unwrap(), good, "{half:?}");
        }
        // A minute later it is what its writer wants it to be.
        let earlier = std::time::SystemTime::now() - Duration::from_secs(60);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(earlier).unwrap();
        assert!(place().is_err());
        std::fs::write(&path, "").unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(earlier).unwrap();
        assert_ne!(place().unwrap(), good, "the instance is asked");
        std::fs::write(&path, whole).unwrap();
        assert_eq!(place().unwrap(), good);
    }

    #[test]
    fn files_that_change_after_a_failure_are_new_credentials() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials");
        let token = directory.path().join("token");
        std::fs::write(&token, "").unwrap();
        let identity = [
            ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
            ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r"),
        ];
        let file = [("AWS_SHARED_CREDENTIALS_FILE", path.to_str().unwrap()), ("AWS_EC2_METADATA_DISABLED", "true")];
        for (variables, path) in [(&file, &path), (&identity, &token)] {
            let source = AwsSource { aws: Ok(source(directory.path(), variables)) };
            assert!(!source.has_new_credentials(), "nothing has failed");
            assert!(source.load(Deadline::after(Duration::from_secs(30))).is_err());
            assert!(!source.has_new_credentials());
            source.describe();
            std::fs::write(path, "[default]\n").unwrap();
            source.describe();
            assert!(source.has_new_credentials(), "{path:?}");
            assert!(source.load(Deadline::after(Duration::from_secs(30))).is_err());
            assert!(!source.has_new_credentials(), "the new ones were tried");
        }
    }
}

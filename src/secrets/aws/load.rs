//! One load: all secrets, each in its region, as one document.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Aws;
use super::client::{Answered, Batch, Found, Secret, SecretsManager, Trouble};
use super::credentials::{self, Context, Lease, Plan};
use super::endpoint::{Service, is_in_clear};
use super::metadata::Metadata;
use super::names::{Name, config};
use super::profiles::Profiles;
use super::settings::{Endpoint, Settings};
use super::watch::Watch;
use super::wire::Wire;
use crate::clock::Deadline;
use crate::error::{Error, Result, Source};
use crate::files;
use crate::http::Client;
use crate::log::{self, Level};
use crate::secrets::document::Document;

/// What one load, or one check, works with.
pub(super) struct Session<'a> {
    aws: &'a Aws,
    pub(super) settings: Settings<'a>,
    /// Where secrets without a region of their own are, and STS.
    pub(super) region: String,
    pub(super) wire: Wire<'a>,
    metadata: Metadata<'a>,
    watch: &'a Watch,
    deadline: Deadline,
}

/// Answers for secrets in the order of their names: up to the first that is an error, none is `None`.
type Answers = Vec<Option<Result<Secret>>>;

impl<'a> Session<'a> {
    /// `watch` gets the files that credentials come from.
    pub(super) fn open(aws: &'a Aws, watch: &'a Watch, deadline: Deadline) -> Result<Session<'a>> {
        let paths = Profiles::paths(&aws.environment)?;
        paths.iter().flatten().for_each(|path| watch.note(path));
        let settings = aws.settings()?;
        for why in &settings.profiles.unreadable {
            log::emit(Level::Warn, "aws", || format!("a file of the AWS tools counts as empty: {why}"));
        }
        let metadata = Metadata::new(&aws.machine);
        let region = match settings.region()? {
            Some(region) => Some(region),
            None => credentials::region_of_instance(&settings, &metadata, deadline)?,
        };
        let region = region.ok_or_else(|| {
            config(format!(
                "there is no AWS region: set AWS_REGION, `aws_region` in the configuration, or `region` in the profile `{}`",
                settings.profile_name
            ))
        })?;
        *aws.region.lock() = Some(region.clone());
        let disabled = "AWS_DISABLE_CLOCK_SKEW_CORRECTION";
        let wire = Wire {
            client: Client::new(settings.http()?),
            clocks: &aws.clocks,
            retry: &aws.retry,
            max_attempts: settings.max_attempts,
            correct_clocks: !settings.flag(disabled, "disable_clock_skew_correction")?,
        };
        Ok(Session { aws, settings, region, wire, metadata, watch, deadline })
    }

    pub(super) fn keys(&self) -> Result<Arc<Lease>> {
        self.aws.keys.obtain(self.plan(&self.settings)?, &self.context())
    }

    fn plan(&self, settings: &Settings<'_>) -> Result<Plan> {
        let plan = credentials::plan(settings)?;
        plan.files().for_each(|path| self.watch.note(path));
        Ok(plan)
    }

    /// Other keys than those that AWS has refused, as variables and files are now.
    fn other_keys(&self, refused: &Lease) -> Result<Option<Arc<Lease>>> {
        // Half of a file may have been read.
        if Profiles::are_new(&self.aws.environment) {
            files::settle();
        }
        let settings = self.aws.settings()?;
        let context = Context { settings: &settings, ..self.context() };
        self.aws.keys.renew(refused, self.plan(&settings)?, &context)
    }

    fn context(&self) -> Context<'_> {
        Context {
            settings: &self.settings,
            region: &self.region,
            wire: &self.wire,
            metadata: &self.metadata,
            deadline: self.deadline,
        }
    }

    /// What AWS says of these secrets of one region. If the keys are refused as stale, once more with others.
    pub(super) fn secrets(&self, region: &str, names: &[&Name], lease: &mut Arc<Lease>) -> Result<Answers> {
        let endpoint = self.settings.endpoint(Service::SecretsManager, region)?;
        warn_if_in_clear(&endpoint);
        let mut answers = self.secrets_with(region, names, &endpoint, lease);
        let refused = answers.iter_mut().flatten().find_map(|answer| answer.as_mut().err());
        if let Some(Trouble { error, stale_keys: true }) = refused {
            log::emit(Level::Info, "aws", || format!("AWS refuses the credentials, others are looked for: {error}"));
            match self.other_keys(lease) {
                Ok(Some(other)) => {
                    *lease = other;
                    answers = self.secrets_with(region, names, &endpoint, lease);
                }
                Ok(None) => {}
                Err(failure) if failure.is_authoritative() => *error = failure,
                // AWS's word stands, whatever keeps other credentials away.
                Err(failure) => {
                    let message = |refused: &str| format!("{refused}; there are no other credentials: {failure}");
                    *error = error.clone().map_message(message);
                }
            }
        }
        let plain = |answer: Answered| answer.map_err(|trouble| trouble.error);
        Ok(answers.into_iter().map(|answer| answer.map(plain)).collect())
    }

    fn secrets_with(&self, region: &str, names: &[&Name], endpoint: &Endpoint, lease: &Lease) -> Vec<Option<Answered>> {
        let own = &self.aws.own;
        let manager = SecretsManager {
            wire: &self.wire,
            region,
            endpoint,
            keys: &lease.keys,
            holder: lease.place(),
            version_id: own.version_id.as_deref(),
            version_stage: own.version_stage.as_deref(),
            deadline: self.deadline,
        };
        let single = &self.aws.single_calls;
        // The call for many knows the current version alone.
        let at_once = names.len() > 1 && own.version_stage.is_none() && !single.load(Ordering::Relaxed);
        let mut answers: Vec<Option<Answered>> = names.iter().map(|_| None).collect();
        if at_once {
            match manager.get_many(names) {
                Ok(Batch::Answered(secrets)) => answers = secrets,
                Ok(Batch::NotAllowed { why, by_aws }) => {
                    log::emit(Level::Info, "aws", || format!("secrets are read one by one: {why}"));
                    single.fetch_or(by_aws, Ordering::Relaxed);
                }
                Err(trouble) => answers[0] = Some(Err(trouble)),
            }
        }
        for (name, answer) in names.iter().zip(&mut answers) {
            // What comes after an error is not used.
            if answer.get_or_insert_with(|| manager.get(name)).is_err() {
                break;
            }
        }
        answers
    }
}

fn warn_if_in_clear(endpoint: &Endpoint) {
    if is_in_clear(&endpoint.url) {
        log::emit(Level::Warn, "aws", || {
            format!("{} is not encrypted: secrets can be read on their way", endpoint.url)
        });
    }
}

/// All secrets as one document; of two that have one name, the one that comes first in the list counts.
pub(super) fn load(aws: &Aws, watch: &Watch, deadline: Deadline) -> Result<Document> {
    let session = Session::open(aws, watch, deadline)?;
    let mut lease = session.keys()?;
    let names = &aws.own.names;
    let region_of = |name: &'_ Name| name.region.clone().unwrap_or_else(|| session.region.clone());
    let mut answers: Answers = names.iter().map(|_| None).collect();
    for index in 0..names.len() {
        match &answers[index] {
            Some(Ok(_)) => continue,
            Some(Err(_)) => break,
            None => {}
        }
        let region = region_of(&names[index]);
        let same: Vec<usize> = (index..names.len()).filter(|other| region_of(&names[*other]) == region).collect();
        let asked: Vec<&Name> = same.iter().map(|index| &names[*index]).collect();
        let answered = session.secrets(&region, &asked, &mut lease).unwrap_or_else(|error| vec![Some(Err(error))]);
        same.into_iter().zip(answered).for_each(|(index, answer)| answers[index] = answer);
        if answers[index].as_ref().is_some_and(Result::is_err) {
            break;
        }
    }
    document(names, answers)
}

/// An error where nothing is known of any key: of the first secrets none is there, and the next cannot be read.
fn document(names: &[Name], answers: Answers) -> Result<Document> {
    let single = answers.len() == 1;
    let mut document = Document::new(None);
    let (mut found, mut missing) = (0, Vec::new());
    for (name, answer) in names.iter().zip(answers) {
        match answer {
            Some(Ok(Secret::Found(secret))) => {
                found += 1;
                if single {
                    document.version.clone_from(&secret.version);
                }
                add(&mut document, secret);
            }
            Some(Ok(Secret::Missing(why))) if single => return Ok(Document::missing(why)),
            Some(Ok(Secret::Missing(why))) => missing.push(format!("{:?}: {why}", name.text)),
            Some(Err(error)) if found == 0 => return Err(error),
            Some(Err(error)) => {
                log::emit(Level::Warn, "aws", || format!("keys that no earlier secret has cannot be read: {error}"));
                document.set_incomplete(error.with_source(Source::Aws));
                break;
            }
            None => break,
        }
    }
    if missing.len() == names.len() {
        return Ok(Document::missing(missing.join("; ")));
    }
    for why in missing {
        log::emit(Level::Warn, "aws", || format!("one secret of several is passed over: {why}"));
    }
    Ok(document)
}

fn add(document: &mut Document, secret: Found) {
    document.add(secret.entries, secret.version);
    for (key, error) in secret.broken {
        log::emit(Level::Warn, "aws", || format!("{key:?} cannot be used: {error}"));
        document.add_broken(&key, error.with_source(Source::Aws));
    }
}

/// An error that a check tells of, with what to do about it where its message does not say so.
pub(super) fn advice(error: &Error) -> Option<&'static str> {
    use crate::error::Status::{AccessDenied, Config, Timeout, Unavailable};
    match error.status() {
        Unavailable | Timeout => {
            Some("see that the endpoint can be reached from here, through a proxy or VPC endpoint")
        }
        AccessDenied => Some("see who is asking with: aws sts get-caller-identity"),
        Config => Some("correct the setting that is named"),
        _ => None,
    }
}

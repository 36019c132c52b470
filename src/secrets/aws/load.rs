//! One load: all secrets, each in its region, as one document.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use super::client::{Batch, Secret, SecretsManager, Trouble};
use super::credentials::{self, Context, Lease};
use super::endpoint::{Service, is_in_clear};
use super::metadata::Metadata;
use super::names::{Name, config};
use super::profiles::Profiles;
use super::settings::{Endpoint, Settings};
use super::wire::Wire;
use super::{Aws, HALF_WRITTEN};
use crate::clock::Deadline;
use crate::error::{Error, Result};
use crate::fork;
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
    deadline: Deadline,
}

impl<'a> Session<'a> {
    pub(super) fn open(aws: &'a Aws, deadline: Deadline) -> Result<Session<'a>> {
        let settings = aws.settings()?;
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
            correct_clocks: !settings.flag(disabled, "disable_clock_skew_correction")?,
        };
        Ok(Session { aws, settings, region, wire, metadata, deadline })
    }

    pub(super) fn keys(&self) -> Result<Arc<Lease>> {
        self.aws.keys.obtain(credentials::plan(&self.settings)?, &self.context())
    }

    /// Other keys than those that AWS has refused, as variables and files are now.
    fn other_keys(&self, refused: &Lease) -> Result<Option<Arc<Lease>>> {
        // Half of a file may have been read.
        if Profiles::are_new(&self.aws.environment) {
            fork::outside(|| thread::sleep(HALF_WRITTEN));
        }
        let settings = self.aws.settings()?;
        let context = Context { settings: &settings, ..self.context() };
        self.aws.keys.renew(refused, credentials::plan(&settings)?, &context)
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
    pub(super) fn secrets(&self, region: &str, names: &[&Name], lease: &mut Arc<Lease>) -> Result<Vec<Secret>> {
        let endpoint = self.settings.endpoint(Service::SecretsManager, region)?;
        warn_if_in_clear(&endpoint);
        match self.secrets_with(region, names, &endpoint, lease) {
            Err(Trouble { error, stale_keys: true }) => {
                log::emit(Level::Info, "aws", || {
                    format!("AWS refuses the credentials, others are looked for: {error}")
                });
                match self.other_keys(lease)? {
                    Some(other) => *lease = other,
                    None => return Err(error),
                }
                self.secrets_with(region, names, &endpoint, lease).map_err(|trouble| trouble.error)
            }
            answer => answer.map_err(|trouble| trouble.error),
        }
    }

    fn secrets_with(
        &self,
        region: &str,
        names: &[&Name],
        endpoint: &Endpoint,
        lease: &Lease,
    ) -> std::result::Result<Vec<Secret>, Trouble> {
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
        let mut answers: Vec<Option<Secret>> = names.iter().map(|_| None).collect();
        if at_once {
            match manager.get_many(names)? {
                Batch::Answered(secrets) => answers = secrets,
                Batch::NotAllowed(why) => {
                    log::emit(Level::Info, "aws", || format!("secrets are read one by one from now on: {why}"));
                    single.store(true, Ordering::Relaxed);
                }
            }
        }
        names.iter().zip(answers).map(|(name, answer)| answer.map_or_else(|| manager.get(name), Ok)).collect()
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
pub(super) fn load(aws: &Aws, deadline: Deadline) -> Result<Document> {
    let session = Session::open(aws, deadline)?;
    let mut lease = session.keys()?;
    let names = &aws.own.names;
    let region_of = |name: &'_ Name| name.region.clone().unwrap_or_else(|| session.region.clone());
    let mut answers: Vec<Option<Secret>> = names.iter().map(|_| None).collect();
    for index in 0..names.len() {
        if answers[index].is_some() {
            continue;
        }
        let region = region_of(&names[index]);
        let same: Vec<usize> = (index..names.len()).filter(|other| region_of(&names[*other]) == region).collect();
        let asked: Vec<&Name> = same.iter().map(|index| &names[*index]).collect();
        let answered = session.secrets(&region, &asked, &mut lease)?;
        same.into_iter().zip(answered).for_each(|(index, answer)| answers[index] = Some(answer));
    }
    Ok(document(names, answers.into_iter().flatten().collect()))
}

fn document(names: &[Name], answers: Vec<Secret>) -> Document {
    let single = answers.len() == 1;
    let mut document = Document::new(None);
    let mut missing = Vec::new();
    for (name, answer) in names.iter().zip(answers) {
        match answer {
            Secret::Found(entries, version) => {
                if single {
                    document.version.clone_from(&version);
                }
                document.add(entries, version);
            }
            Secret::Missing(why) if single => return Document::missing(why),
            Secret::Missing(why) => missing.push(format!("{:?}: {why}", name.text)),
        }
    }
    if missing.len() == names.len() {
        return Document::missing(missing.join("; "));
    }
    for why in missing {
        log::emit(Level::Warn, "aws", || format!("one secret of several is passed over: {why}"));
    }
    document
}

/// An error that a check tells of, with what to do about it where its message does not say so.
pub(super) fn advice(error: &Error) -> Option<&'static str> {
    use crate::error::Status::{AccessDenied, Config, Timeout, Unavailable};
    match error.status() {
        Unavailable | Timeout => {
            Some("see that the endpoint can be reached from here, through a proxy or VPC endpoint")
        }
        AccessDenied => Some("see who is asking with: aws sts get-caller-identity"),
        Config => Some("mend the setting that is named"),
        _ => None,
    }
}

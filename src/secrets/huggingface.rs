//! The Hugging Face provider: the secret `HF_TOKEN` under the other names that Hugging Face's tools and SimpleTuner
//! read, and in the file that `hf auth login` writes.
//!
//! The order of the variables and the path of the file are those of `huggingface_hub` (`utils/_auth.py`,
//! `constants.py`); the names that it does not read come after its own, in SimpleTuner's order (`job_submission.py`).
//! The provider is the last of the default chain, so an alias never takes precedence over the secret `HF_TOKEN` of
//! another provider.

use std::ffi::{CStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::file::ReadOrder;
use super::provider::{Health, HealthState, Known, LookupLimits, Names, Peeked, SecretProvider};
use super::secret::{ProviderId, Secret};
use super::stats::LoadCounts;
use super::well_known::HF_TOKEN;
use crate::clock::{CoarseInstant, Deadline, Instant};
use crate::config::Config;
use crate::error::{Error, Result, Source};
use crate::files::{self, Fingerprint, LoosePermissions};
use crate::fork::{self, PublishedGuard};
use crate::fork_safe::Mutex;
use crate::log::{self, Level};
use crate::paths;
use crate::secret_memory::SecretBytes;
use crate::settings::Environment;
use crate::sys;

static ID: ProviderId = ProviderId::builtin("huggingface", Source::HuggingFace);

/// The variables, in the order in which they are read.
const VARIABLES: [&CStr; 5] =
    [c"HF_TOKEN", c"HUGGING_FACE_HUB_TOKEN", c"HUGGINGFACE_HUB_TOKEN", c"HUGGINGFACEHUB_API_TOKEN", c"HF_API_TOKEN"];
/// How long the state of the file is used before it is checked for changes.
const RECHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The maximum size of the file.
const MAX_SIZE: usize = 64 << 10;
/// How long a report waits for a file that is being written.
const REPORT_TIME: Duration = Duration::from_secs(1);

pub(crate) struct HuggingFaceProvider {
    strict: bool,
    file: Mutex<LatestFile>,
    counts: LoadCounts,
}

/// The latest state of the file.
#[derive(Default)]
struct LatestFile {
    file: Option<Arc<TokenFile>>,
    /// The number of the check that found it.
    check: Option<u64>,
    checks: ReadOrder,
}

/// The token file at one time.
#[derive(Clone)]
struct TokenFile {
    path: PathBuf,
    checked_at: CoarseInstant,
    /// `None` if there is no file.
    fingerprint: Option<Fingerprint>,
    /// `None` if there is no file, or it is empty.
    token: Result<Option<SecretBytes>>,
    loose_permissions: Option<LoosePermissions>,
}

impl HuggingFaceProvider {
    pub(crate) fn open(config: &Config) -> HuggingFaceProvider {
        let strict = config.flag("strict_permissions").unwrap_or(false);
        HuggingFaceProvider { strict, file: Mutex::default(), counts: LoadCounts::default() }
    }

    /// The state of the file, checked at most `max_age` ago. `None` if there is no place for one: no home directory.
    fn file(&self, max_age: Duration, deadline: Deadline) -> Option<Arc<TokenFile>> {
        let location = location()?;
        let (previous, check) = {
            let mut latest = self.file.lock();
            let previous = latest.file.clone().filter(|file| file.path == location.path);
            if let Some(file) = previous.as_ref().filter(|file| file.checked_at.elapsed() < max_age) {
                return Some(file.clone());
            }
            (previous, latest.checks.begin())
        };
        let began = Instant::now();
        let file = fork::unprotected(|| TokenFile::read(location, previous.as_deref(), self.strict, deadline));
        let is_new = previous.is_none_or(|previous| previous.fingerprint != file.fingerprint);
        if is_new && file.fingerprint.is_some() {
            self.counts.add(began.elapsed(), file.token.is_err());
        }
        let file = Arc::new(file);
        self.store(check, file.clone());
        if let Some(loose_permissions) = file.loose_permissions.as_ref().filter(|_| is_new) {
            log::emit(Level::Warn, ID.name(), || loose_permissions.warning());
        }
        Some(file)
    }

    /// Stores the result of a check, unless a later check has been stored or the cache has been cleared meanwhile.
    fn store(&self, check: u64, file: Arc<TokenFile>) {
        let mut latest = self.file.lock();
        if latest.checks.may_replace(check, latest.check) {
            latest.check = Some(check);
            let before = latest.file.replace(file);
            drop(latest);
            drop(before);
        }
    }

    fn report(&self) -> Option<Arc<TokenFile>> {
        self.file(RECHECK_INTERVAL, Deadline::after(REPORT_TIME))
    }
}

impl TokenFile {
    /// Reads the file, unless it is as in `previous`. Called while forks are allowed.
    fn read(location: Location, previous: Option<&TokenFile>, strict: bool, deadline: Deadline) -> TokenFile {
        let (path, checked_at) = (location.path, CoarseInstant::now());
        let new = |fingerprint, token, loose_permissions| TokenFile {
            path: path.clone(),
            checked_at,
            fingerprint,
            token,
            loose_permissions,
        };
        let failed = |error: Error| Err(error.with_source(Source::HuggingFace));
        let fingerprint = match std::fs::metadata(&path) {
            Ok(metadata) => Fingerprint::of(&metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return new(None, Ok(None), None),
            // A home that is not a directory, or that this user may not enter, cannot contain the file.
            Err(error) if location.is_default && is_closed(&error) => return new(None, Ok(None), None),
            Err(error) => return new(None, failed(Error::io("look at", &path, &error)), None),
        };
        if let Some(previous) = previous.filter(|previous| previous.fingerprint == Some(fingerprint)) {
            return TokenFile { checked_at, ..previous.clone() };
        }
        // huggingface_hub empties the file before it writes the new token.
        let read = || read_token(&path, strict);
        let is_whole = |read: &Result<(Option<SecretBytes>, _)>| !matches!(read, Ok((None, _)));
        match files::read_settled(|| files::is_new(&path), deadline, read, is_whole) {
            Ok((token, loose_permissions)) => new(Some(fingerprint), Ok(token), loose_permissions),
            // A shortage of memory or descriptors may end without a change of the file.
            Err(error) if files::is_shortage(&error) => new(None, failed(error), None),
            Err(error) => new(Some(fingerprint), failed(error), None),
        }
    }

    /// Why there is no token in it.
    fn problem(&self) -> String {
        let path = self.path.display();
        match (&self.token, self.fingerprint) {
            (Err(error), _) => error.message().to_owned(),
            (Ok(_), Some(_)) => format!("{path} is empty"),
            (Ok(_), None) => format!("{path} does not exist"),
        }
    }
}

fn read_token(path: &Path, strict: bool) -> Result<(Option<SecretBytes>, Option<LoosePermissions>)> {
    let contents = files::read(path, MAX_SIZE)?;
    let loose_permissions = LoosePermissions::of(path, &contents.metadata);
    if let Some(loose_permissions) = loose_permissions.as_ref().filter(|_| strict) {
        return Err(loose_permissions.refusal());
    }
    let token = contents.bytes.trim_ascii();
    let token = (!token.is_empty()).then(|| SecretBytes::copy_from(token)).transpose()?;
    Ok((token, loose_permissions))
}

/// Where the file is looked for.
struct Location {
    path: PathBuf,
    /// No variable names it.
    is_default: bool,
}

/// The path of the file, as `huggingface_hub` determines it. An empty variable counts as not set.
fn location() -> Option<Location> {
    let named = [("HF_TOKEN_PATH", ""), ("HF_HOME", "token"), ("XDG_CACHE_HOME", "huggingface/token")];
    for (name, below) in named {
        if let Some(value) = Environment::Process.non_empty(name) {
            let path = expand(value);
            return Some(Location { path: if below.is_empty() { path } else { path.join(below) }, is_default: false });
        }
    }
    let path = paths::home()?.join(".cache/huggingface/token");
    Some(Location { path, is_default: true })
}

/// Replaces a leading `~`, then variables.
fn expand(value: OsString) -> PathBuf {
    let path = paths::expand_home(Path::new(&value));
    match path.to_str() {
        Some(text) => PathBuf::from(paths::expand_variables(text, |name| Environment::Process.raw(name))),
        None => path,
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied)
}

/// Whether this is `HF_TOKEN`, as the environment provider would spell it.
#[inline]
fn is_token(key: &str) -> bool {
    let is_equal = |(given, own): (u8, u8)| match given {
        b'-' | b'.' => own == b'_',
        _ => given.to_ascii_uppercase() == own,
    };
    key.len() == HF_TOKEN.len() && key.bytes().zip(HF_TOKEN.bytes()).all(is_equal)
}

/// Passes the first variable that is set, and its value without the white space around it, to `take`.
fn with_variable<R>(take: impl FnOnce(&'static str, &[u8]) -> R) -> Option<R> {
    let mut take = Some(take);
    let mut look_at = |name: &'static CStr, value: &[u8]| {
        let value = value.trim_ascii();
        let take = take.take_if(|_| !value.is_empty())?;
        Some(take(name.to_str().unwrap_or_default(), value))
    };
    VARIABLES.into_iter().find_map(|name| sys::with_variable(name.to_bytes_with_nul(), |value| look_at(name, value))?)
}

impl SecretProvider for HuggingFaceProvider {
    fn id(&self) -> &ProviderId {
        &ID
    }

    fn serves(&self, key: &str) -> bool {
        is_token(key)
    }

    fn find(&self, key: &str, request: &LookupLimits) -> Result<Option<Secret>> {
        if !is_token(key) {
            return Ok(None);
        }
        if let Some(value) = with_variable(|_, value| SecretBytes::copy_from(value)) {
            return value.map(|value| Some(Secret::new(value)));
        }
        let max_age = if request.refresh { Duration::ZERO } else { RECHECK_INTERVAL };
        match self.file(max_age, request.deadline()) {
            Some(file) => Ok(file.token.clone()?.map(Secret::new)),
            None => Ok(None),
        }
    }

    fn loads(&self) -> Option<&LoadCounts> {
        Some(&self.counts)
    }

    fn peek(&self, key: &str, _: &PublishedGuard, _: CoarseInstant, take: &mut dyn FnMut(Peeked<'_>)) -> Known {
        if !is_token(key) {
            return Known::Absent;
        }
        match with_variable(|_, value| take(Peeked::Foreign(value))) {
            Some(()) => Known::Found,
            None => Known::Unknown,
        }
    }

    fn place(&self, _: &str) -> String {
        let file = self.report().map_or_else(|| "there is no home directory".to_owned(), |file| file.problem());
        format!("no variable such as HUGGING_FACE_HUB_TOKEN is set, and {file}")
    }

    fn refresh(&self, request: &LookupLimits) -> Result<()> {
        match self.file(Duration::ZERO, request.deadline()) {
            Some(file) => file.token.clone().map(drop),
            None => Ok(()),
        }
    }

    fn clear_cache(&self) {
        let mut latest = self.file.lock();
        latest.checks.invalidate();
        let before = latest.file.take();
        drop(latest);
        drop(before);
    }

    fn describe(&self) -> Map<String, Value> {
        let file = self.report();
        let mut fields = Map::from_iter([
            ("variable".to_owned(), json!(with_variable(|name, _| name))),
            ("path".to_owned(), json!(file.as_ref().map(|file| file.path.to_string_lossy()))),
            ("exists".to_owned(), json!(file.as_ref().is_some_and(|file| file.fingerprint.is_some()))),
        ]);
        if let Some(Err(error)) = file.as_ref().map(|file| &file.token) {
            fields.insert("error".to_owned(), json!(error.message()));
        }
        fields
    }

    /// That of the file: variables are not listed, as by the environment provider.
    fn names(&self, request: &LookupLimits) -> Option<Names> {
        let token = self.file(RECHECK_INTERVAL, request.deadline()).map_or(Ok(None), |file| file.token.clone());
        Some(match token {
            Ok(token) => Names { names: token.iter().map(|_| HF_TOKEN.to_owned()).collect(), error: None },
            Err(error) => Names { names: Vec::new(), error: Some(error) },
        })
    }

    fn check(&self, request: &LookupLimits) -> Health {
        if let Some(name) = with_variable(|name, _| name) {
            return Health::new(HealthState::Ok, format!("{HF_TOKEN} is the variable {name}"));
        }
        let Some(file) = self.file(Duration::ZERO, request.deadline()) else {
            return Health::new(HealthState::Absent, self.place(HF_TOKEN));
        };
        match (&file.token, &file.loose_permissions) {
            (Err(error), _) => Health::new(HealthState::Failed, error.message()),
            (Ok(None), _) => Health::new(HealthState::Absent, self.place(HF_TOKEN)),
            (Ok(Some(_)), Some(loose_permissions)) => {
                Health::new(HealthState::Warning, loose_permissions.detail.clone())
                    .with_advice(loose_permissions.remedy.clone())
            }
            (Ok(Some(_)), None) => Health::new(HealthState::Ok, format!("{HF_TOKEN} is in {}", file.path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_check_replaces_neither_a_later_one_nor_a_cleared_cache() {
        let _guard = fork::protect();
        let provider = HuggingFaceProvider::open(&Config::new());
        let begin = || provider.file.lock().checks.begin();
        let store = |check, path: &str| {
            let (path, checked_at) = (PathBuf::from(path), CoarseInstant::now());
            let file = TokenFile { path, checked_at, fingerprint: None, token: Ok(None), loose_permissions: None };
            provider.store(check, Arc::new(file));
        };
        let latest = || provider.file.lock().file.as_ref().map(|file| file.path.clone());
        let (late, later) = (begin(), begin());
        store(later, "later");
        store(late, "late");
        assert_eq!(latest(), Some(PathBuf::from("later")));
        let late = begin();
        provider.clear_cache();
        store(late, "late");
        assert_eq!(latest(), None);
        store(begin(), "new");
        assert_eq!(latest(), Some(PathBuf::from("new")));
    }

    #[test]
    fn is_token_takes_the_spellings_of_the_variable() {
        for key in ["HF_TOKEN", "hf-token", "hf_token", "Hf.Token"] {
            assert!(is_token(key), "{key}");
        }
        for key in ["", "HF_TOKE", "HF_TOKEN2", "HFXTOKEN", "HF TOKEN", "HF-TOKE-", "\u{37f}F_TOKEN"] {
            assert!(!is_token(key), "{key}");
        }
    }
}

//! Parameters of Systems Manager, read by path.

use std::sync::Arc;

use serde_json::{Value, json};

use super::endpoint::Service;
use super::json_service::{JsonService, ReadError};
use super::parameter_paths::ParameterPaths;
use super::session::AwsSession;
use crate::error::{Result, Source};
use crate::fork;
use crate::log::{self, Level};
use crate::secret_memory::SecretBytes;
use crate::secrets::document::Document;

const ACTION: &str = "GetParametersByPath";
/// More pages than an account has parameters.
const MAX_PAGES: usize = 2000;

/// A parameter: its key, its value and its version.
type Parameter = (String, SecretBytes, Option<Arc<str>>);

/// Loads the parameters below all paths as one document. If several paths have a key, the first takes precedence.
pub(super) fn load(session: &AwsSession<'_>, paths: &ParameterPaths) -> Result<Document> {
    let mut cached = session.credentials()?;
    let (mut document, mut missing) = (Document::new(None), Vec::new());
    for path in &paths.0 {
        let read = |service: JsonService<'_>| read(&service, path);
        let result = session.ask(Service::Ssm, &session.region, &mut cached, read, |result| result.as_mut().err())?;
        match result {
            Ok(parameters) if parameters.is_empty() => missing.push(format!("there is no parameter below {path:?}")),
            Ok(parameters) => {
                for (key, value, version) in parameters {
                    document.add_entry(&key, value, version);
                }
            }
            Err(failed) if document.len() == 0 => return Err(failed.error),
            Err(ReadError { error, .. }) => {
                log::emit(Level::Warn, "aws", || format!("keys that no earlier path has cannot be read: {error}"));
                document.set_incomplete(error.with_source(Source::AwsParameters));
                break;
            }
        }
    }
    if missing.len() == paths.0.len() {
        return Ok(Document::missing(missing.join("; ")));
    }
    for why in missing {
        log::emit(Level::Warn, "aws", || format!("one path of several is skipped: {why}"));
    }
    Ok(document)
}

/// Reads the parameters below a path, at any depth. The key is the name below the path.
fn read(service: &JsonService<'_>, path: &str) -> Result<Vec<Parameter>, ReadError> {
    let what = format!("parameters below {path:?}");
    let bare = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    let mut body = json!({"Path": bare, "Recursive": true, "WithDecryption": true});
    let mut found = Vec::new();
    for _ in 0..MAX_PAGES {
        let page = service.ask(&what, ACTION, &body)?;
        if page.get("Parameters").is_none() {
            let why = "the response has no list of parameters; check that the endpoint is Systems Manager";
            return Err(service.malformed(&what, why).into());
        }
        for item in fork::unprotected(|| page.objects("Parameters").unwrap_or_default()) {
            let key = item.text("Name").and_then(|name| name.strip_prefix(path)).filter(|key| !key.is_empty());
            let (Some(key), Some(value)) = (key, item.get("Value")) else {
                return Err(service.malformed(&what, "the response has a parameter that is not below it").into());
            };
            found.push((key.to_owned(), value.clone(), item.text("Version").map(Arc::from)));
        }
        match page.text("NextToken") {
            Some(next) => body["NextToken"] = Value::from(next),
            None => return Ok(found),
        }
    }
    Err(service.malformed(&what, &format!("the response has more than {MAX_PAGES} pages")).into())
}

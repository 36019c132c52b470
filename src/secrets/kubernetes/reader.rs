//! Secrets by name or by label, as one document.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::client::KubernetesSession;
use super::settings::SecretSelection;
use crate::error::{Error, Result, Source, Status};
use crate::fork;
use crate::http::url::percent_encode;
use crate::secret_memory::SecretBytes;
use crate::secrets::document::Document;
use crate::secrets::json::JsonObject;
use crate::secrets::merge::merge;

/// How many Secrets one page of a list has.
const PAGE: usize = 100;
const MAX_PAGES: usize = 1000;

/// Reads all Secrets. If several contain a key, the first one supplies it.
pub(super) fn read(session: &KubernetesSession<'_>, target: &SecretSelection) -> Result<Document> {
    match target {
        SecretSelection::Named(names) => named(session, names),
        SecretSelection::Selected(selector) => selected(session, selector),
    }
}

fn named(session: &KubernetesSession<'_>, names: &[String]) -> Result<Document> {
    let parts = names.iter().map(|name| (name.clone(), one(session, name)));
    merge("kubernetes", Source::Kubernetes, parts)
}

fn one(session: &KubernetesSession<'_>, name: &str) -> Result<Document> {
    let Some(body) = session.get(&format!("secrets/{name}"), "get")? else {
        let namespace = &session.namespace;
        let what = format!("it does not exist; `kubectl get secrets -n {namespace}` lists those that do");
        return Ok(Document::missing(what));
    };
    fork::unprotected(|| {
        let object = JsonObject::parse(&body).ok_or_else(|| session.not_kubernetes(200))?;
        if object.text("kind").as_deref() != Some("Secret") {
            return Err(session.not_kubernetes(200));
        }
        let mut document = Document::new(None);
        document.version = add(session, &mut document, &object)?;
        Ok(document)
    })
}

fn selected(session: &KubernetesSession<'_>, selector: &str) -> Result<Document> {
    let mut document = Document::new(None);
    let (mut next, mut found) = (String::new(), 0);
    for _ in 0..MAX_PAGES {
        let (selector, next_page) = (percent_encode(selector), percent_encode(&next));
        let mut path = format!("secrets?labelSelector={selector}&limit={PAGE}");
        if !next.is_empty() {
            path = format!("{path}&continue={next_page}");
        }
        let body = session.get(&path, "list")?.ok_or_else(|| session.not_kubernetes(404))?;
        let (count, following) = fork::unprotected(|| page(session, &mut document, &body))?;
        found += count;
        match following.filter(|next| !next.is_empty()) {
            Some(following) => next = following,
            None if found == 0 => return Ok(Document::missing("there is none")),
            None => return Ok(document),
        }
    }
    Err(session.error(Status::Protocol, 200, format!("the list has more than {MAX_PAGES} pages")))
}

/// Adds the Secrets of a page. Returns how many there are, and where the next page begins.
fn page(
    session: &KubernetesSession<'_>,
    document: &mut Document,
    body: &SecretBytes,
) -> Result<(usize, Option<String>)> {
    let not_kubernetes = || session.not_kubernetes(200);
    let object = JsonObject::parse(body).ok_or_else(not_kubernetes)?;
    if object.text("kind").as_deref() != Some("SecretList") {
        return Err(not_kubernetes());
    }
    let items: Vec<&RawValue> = match object.raw("items") {
        Some(items) => serde_json::from_str(items).map_err(|_| not_kubernetes())?,
        None => Vec::new(),
    };
    for item in &items {
        add(session, document, &JsonObject::parse(item.get().as_bytes()).ok_or_else(not_kubernetes)?)?;
    }
    Ok((items.len(), object.object("metadata").and_then(|metadata| metadata.text("continue"))))
}

/// Adds the values of one Secret, and returns its version.
fn add(session: &KubernetesSession<'_>, document: &mut Document, secret: &JsonObject<'_>) -> Result<Option<Arc<str>>> {
    let metadata = secret.object("metadata").ok_or_else(|| session.not_kubernetes(200))?;
    let version: Option<Arc<str>> = metadata.text("resourceVersion").map(Arc::from);
    let Some(data) = secret.raw("data") else { return Ok(version) };
    let data = JsonObject::parse(data.as_bytes()).ok_or_else(|| session.not_kubernetes(200))?;
    for (key, raw) in data.members() {
        if session.deadline.has_passed() {
            let what = "timed out while reading the values";
            return Err(session.error(Status::Timeout, 0, what).with_retryable(true));
        }
        match decode(raw) {
            Some(value) => document.add_entry(&key, value?, version.clone()),
            None => {
                let what = format!("the value of {key:?} is not base64, as the API server sends it");
                document.add_broken(&key, session.error(Status::Protocol, 200, what));
            }
        }
    }
    Ok(version)
}

/// Decodes a value; `None` if it is not base64.
fn decode(raw: &str) -> Option<Result<SecretBytes, Error>> {
    if raw == "null" {
        return Some(SecretBytes::copy_from(b""));
    }
    let text: Zeroizing<String> = Zeroizing::new(serde_json::from_str(raw).ok()?);
    let bytes = Zeroizing::new(STANDARD.decode(text.as_bytes()).ok()?);
    Some(SecretBytes::copy_from(&bytes))
}

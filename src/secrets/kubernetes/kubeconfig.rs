//! kubeconfig files: the API server and the user of the current context.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::exec_plugin::{ExecPlugin, trimmed};
use super::server::{ApiServer, KubernetesLogin, Namespace, is_namespace};
use crate::clock::Deadline;
use crate::error::{Error, Result, Status};
use crate::files;
use crate::fork;
use crate::http::url::percent_encode;
use crate::http::{Proxy, Roots};
use crate::secrets::entries::Problem;
use crate::secrets::file::parse_yaml;
use crate::secrets::json::SecretObject;
use crate::settings::{Setting, SettingOrigin};

const MAX_FILE: usize = 4 << 20;
/// The name of the extension of a cluster that is passed to programs.
const EXTENSION: &str = "client.authentication.k8s.io/exec";

/// The files, of which the first that has an entry supplies it.
pub(super) struct Kubeconfig(Vec<(PathBuf, SecretObject)>);

/// A named entry, and the file that it is from.
struct KubeconfigEntry<'a> {
    object: SecretObject,
    path: &'a Path,
    /// `the user "ci" in /home/me/.kube/config`
    shown: String,
}

impl Kubeconfig {
    /// Reads the files. Those that do not exist are skipped.
    pub(super) fn read(paths: &[PathBuf], deadline: Deadline) -> Result<Kubeconfig> {
        let mut read = Vec::new();
        for path in paths.iter().filter(|path| path.exists()) {
            let contents = fork::unprotected(|| files::read(path, MAX_FILE))?;
            let text = std::str::from_utf8(&contents.bytes).map_err(|_| invalid(path, "is not text in UTF-8"))?;
            let entries = fork::unprotected(|| parse_yaml(text, deadline)).map_err(|problem| match problem {
                Problem::Text { position, message } => {
                    let at = position.map_or(String::new(), |at| format!(", line {}, column {}", at.line, at.column));
                    invalid(path, &format!("is not valid YAML{at}: {message}"))
                }
                Problem::TimedOut => Error::new(Status::Timeout, "timed out while reading a kubeconfig"),
                Problem::OutOfMemory(error) => error,
            })?;
            read.push((path.clone(), SecretObject::from(entries)));
        }
        match read.is_empty() {
            false => Ok(Kubeconfig(read)),
            true => {
                let shown: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
                Err(Error::new(Status::Config, format!("there is no kubeconfig at {}", shown.join(", "))))
            }
        }
    }

    /// The server and the user of the current context. The namespace is that of the context, else `default`.
    pub(super) fn server(&self) -> Result<ApiServer> {
        let (path, context) =
            self.0.iter().find_map(|(path, file)| Some((path, file.text("current-context")?))).ok_or_else(|| {
                invalid(&self.0[0].0, "has no current-context; run `kubectl config use-context NAME`")
            })?;
        let context = self.entry(path, "contexts", "context", context)?;
        let name = |member| {
            context.object.text(member).ok_or_else(|| invalid_entry(&context.shown, &format!("names no {member}")))
        };
        let cluster = self.entry(context.path, "clusters", "cluster", name("cluster")?)?;
        let user = self.entry(context.path, "users", "user", name("user")?)?;
        let namespace = context.object.text("namespace").unwrap_or("default");
        if !is_namespace(namespace) {
            return Err(invalid_entry(&context.shown, "has a namespace that is not a name"));
        }
        let address = cluster.object.text("server").ok_or_else(|| invalid_entry(&cluster.shown, "has no server"))?;
        let named = |member: &str| SettingOrigin::Named(format!("{member} of {}", cluster.shown));
        let roots = match pem(&cluster, "certificate-authority")? {
            Some((setting, true)) => Roots::Pem(setting),
            Some((setting, false)) => Roots::File(setting),
            None => Roots::Platform,
        };
        let (login, certificate) = login(&user, &cluster)?;
        let address = Setting::new(named("server"), address);
        let mut server = ApiServer::new(&address, Namespace::Given(namespace.to_owned()), login, roots, certificate)
            .map_err(|invalid| invalid.error)?;
        server.origin = format!("the login of {}", user.shown);
        server.impersonation = impersonation(&user)?;
        server.transport.skip_verify = cluster.object.text("insecure-skip-tls-verify") == Some("true");
        server.transport.server_name = cluster.object.text("tls-server-name").map(str::to_owned);
        if let Some(url) = cluster.object.text("proxy-url") {
            server.transport.proxy = Proxy::Always(Setting::new(named("proxy-url"), url));
        }
        Ok(server)
    }

    fn entry(&self, from: &Path, list: &str, member: &'static str, name: &str) -> Result<KubeconfigEntry<'_>> {
        for (path, file) in &self.0 {
            let entries = file.objects(list).unwrap_or_default();
            if let Some(entry) = entries.iter().find(|entry| entry.text("name") == Some(name)) {
                let shown = format!("the {member} {name:?} in {}", path.display());
                let object = entry.object(member).ok_or_else(|| invalid_entry(&shown, "is empty"))?;
                return Ok(KubeconfigEntry { object, path, shown });
            }
        }
        Err(invalid(from, &format!("names the {member} {name:?}, which does not exist")))
    }
}

/// With what a user logs in, and the client certificate.
fn login(
    user: &KubeconfigEntry<'_>,
    cluster: &KubeconfigEntry<'_>,
) -> Result<(KubernetesLogin, Option<(Setting, Setting)>)> {
    let object = &user.object;
    let certificate = match (pem(user, "client-certificate")?, pem(user, "client-key")?) {
        (Some((certificate, _)), Some((key, _))) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err(invalid_entry(&user.shown, "has a client certificate or a key, but not both")),
    };
    let login = match (object.text("tokenFile"), object.get("token").filter(|token| !token.is_empty())) {
        (Some(path), _) => KubernetesLogin::TokenFile(beside(user.path, path)),
        (None, Some(token)) if token.iter().all(u8::is_ascii_graphic) => KubernetesLogin::Token(token.clone()),
        (None, Some(_)) => return Err(invalid_entry(&user.shown, "has a token with spaces or non-ASCII characters")),
        (None, None) => match object.object("exec") {
            Some(exec) => {
                let directory = user.path.parent().unwrap_or(Path::new("/"));
                let wants_cluster = exec.text("provideClusterInfo") == Some("true");
                let cluster = wants_cluster.then(|| for_program(cluster)).transpose()?;
                let plugin = ExecPlugin::read(&user.shown, &exec, cluster, directory);
                KubernetesLogin::Program(plugin.map_err(|what| invalid_entry(&user.shown, &what))?)
            }
            None if certificate.is_none() && ["username", "auth-provider"].iter().any(|n| object.get(n).is_some()) => {
                let what = "logs in with a password or an auth-provider, which are not supported; use exec or a token";
                return Err(invalid_entry(&user.shown, what));
            }
            None => KubernetesLogin::None,
        },
    };
    Ok((login, certificate))
}

/// The cluster in the form of `KUBERNETES_EXEC_INFO`. It has the contents of the file with the authority.
fn for_program(cluster: &KubeconfigEntry<'_>) -> Result<Value> {
    let object = &cluster.object;
    let text = |name: &str| Some((name.to_owned(), json!(object.text(name)?)));
    let mut members: Map<_, _> = ["server", "tls-server-name", "proxy-url"].into_iter().filter_map(text).collect();
    if let Some((authority, is_contents)) = pem(cluster, "certificate-authority")? {
        let encoded = match is_contents {
            true => STANDARD.encode(authority.text()),
            false => STANDARD.encode(&*fork::unprotected(|| files::read(&authority.path(), MAX_FILE))?.bytes),
        };
        members.insert("certificate-authority-data".to_owned(), json!(encoded));
    }
    if object.text("insecure-skip-tls-verify") == Some("true") {
        members.insert("insecure-skip-tls-verify".to_owned(), json!(true));
    }
    let extensions = object.objects("extensions").unwrap_or_default();
    let own = extensions.iter().find(|extension| extension.text("name") == Some(EXTENSION));
    if let Some(extension) = own.and_then(|own| serde_json::from_str(own.text("extension")?).ok()) {
        members.insert("config".to_owned(), extension);
    }
    Ok(members.into())
}

/// The impersonation headers, as kubectl sends them.
fn impersonation(user: &KubeconfigEntry<'_>) -> Result<Vec<(String, String)>> {
    let invalid = |what: &str| invalid_entry(&user.shown, what);
    let list = |member: &str, text: Option<&str>| {
        let list = text.map_or(Ok(Vec::new()), serde_json::from_str::<Vec<String>>);
        list.map_err(|_| invalid(&format!("has {member:?} with a value that is not a list of texts")))
    };
    let mut headers = Vec::new();
    for (member, name) in [("as", "Impersonate-User"), ("as-uid", "Impersonate-Uid")] {
        headers.extend(user.object.text(member).map(|value| (name.to_owned(), value.to_owned())));
    }
    let groups = list("as-groups", user.object.text("as-groups"))?;
    headers.extend(groups.into_iter().map(|group| ("Impersonate-Group".to_owned(), group)));
    if let Some(text) = user.object.get("as-user-extra") {
        let extra = SecretObject::parse(text).ok_or_else(|| invalid("has an \"as-user-extra\" that is not a map"))?;
        for (key, values) in extra.texts() {
            let name = format!("Impersonate-Extra-{}", percent_encode(key));
            let values = list("as-user-extra", Some(values))?;
            headers.extend(values.into_iter().map(|value| (name.clone(), value)));
        }
    }
    match headers.is_empty() || user.object.text("as").is_some() {
        true => Ok(headers),
        false => Err(invalid("has as-uid, as-groups or as-user-extra without \"as\"")),
    }
}

/// A file in PEM, or its contents, and whether it is the contents.
fn pem(entry: &KubeconfigEntry<'_>, member: &str) -> Result<Option<(Setting, bool)>> {
    let origin = SettingOrigin::Named(format!("{member} of {}", entry.shown));
    if let Some(data) = entry.object.get(&format!("{member}-data")).filter(|data| !data.is_empty()) {
        // The data may have line breaks. The buffer has its final size, because growing it would leave copies.
        let mut encoded = Zeroizing::new(Vec::with_capacity(data.len()));
        encoded.extend(data.iter().filter(|byte| !byte.is_ascii_whitespace()));
        let bytes = STANDARD.decode(&*encoded).ok().map(Zeroizing::new);
        let text = bytes.as_ref().and_then(|bytes| std::str::from_utf8(bytes).ok());
        let text = text.filter(|text| text.contains("-----BEGIN")).map(trimmed);
        let what = format!("has a \"{member}-data\" that is not PEM in base64");
        let value = text.ok_or_else(|| invalid_entry(&entry.shown, &what))?;
        return Ok(Some((Setting { origin, value }, true)));
    }
    let path = entry.object.text(member).map(|path| beside(entry.path, path));
    Ok(path.map(|path| (Setting::new(origin, &path.to_string_lossy()), false)))
}

/// A path, which is relative to the directory of the file that names it.
fn beside(file: &Path, path: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("/")).join(path)
}

fn invalid(path: &Path, what: &str) -> Error {
    Error::new(Status::Config, format!("the kubeconfig {} {what}", path.display()))
}

fn invalid_entry(shown: &str, what: &str) -> Error {
    Error::new(Status::Config, format!("{shown} {what}"))
}

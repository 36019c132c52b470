//! Programs that print the credentials of a kubeconfig's user.

use std::path::Path;

use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::clock::Deadline;
use crate::error::{Error, Result, Status};
use crate::secret_memory::SecretBytes;
use crate::secrets::credential_program;
use crate::secrets::json::SecretObject;
use crate::settings::{Setting, SettingOrigin};
use crate::share::Identity;

const VERSIONS: [&str; 2] = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];
const INFO: &str = "KUBERNETES_EXEC_INFO";
/// What the variables begin with that may select the identity, besides those of the kubeconfig.
const DECISIVE: [&[u8]; 6] = [b"AAD_", b"AWS_", b"AZURE_", b"CLOUDSDK_", b"GOOGLE_", b"KUBE"];

/// A program of a kubeconfig.
pub(super) struct ExecPlugin {
    /// For messages: `the user "ci" in /home/me/.kube/config`.
    user: String,
    version: &'static str,
    words: Vec<String>,
    variables: Vec<(String, String)>,
}

/// What requests are sent with: a token, a client certificate with its key, or both.
pub(super) struct KubernetesCredentials {
    pub(super) token: Option<SecretBytes>,
    pub(super) certificate: Option<(Setting, Setting)>,
}

impl ExecPlugin {
    /// Reads the member `exec` of a user. Relative paths are relative to the directory of the file. The cluster is
    /// passed to the program.
    pub(super) fn read(
        user: &str,
        exec: &SecretObject,
        cluster: Option<Value>,
        directory: &Path,
    ) -> Result<ExecPlugin, String> {
        let version = exec.text("apiVersion").unwrap_or_default();
        let version = VERSIONS.into_iter().find(|known| *known == version);
        let version = version.ok_or_else(|| format!("has an \"exec\" whose apiVersion is not {}", VERSIONS[0]))?;
        if exec.text("interactiveMode") == Some("Always") {
            return Err("has an \"exec\" that asks for input (interactiveMode: Always)".to_owned());
        }
        let command = exec.text("command").ok_or("has an \"exec\" without a command")?;
        let command = match command.contains('/') {
            true => directory.join(command.trim_start_matches("./")).to_string_lossy().into_owned(),
            false => command.to_owned(),
        };
        let mut words = vec![command];
        let arguments = exec.text("args").map_or(Ok(Vec::new()), serde_json::from_str::<Vec<String>>);
        words.extend(arguments.map_err(|_| "has an \"exec\" whose args are not a list of texts")?);
        let mut spec = json!({"interactive": false});
        if let Some(cluster) = cluster {
            spec["cluster"] = cluster;
        }
        let info = json!({"kind": "ExecCredential", "apiVersion": version, "spec": spec});
        let mut variables = vec![(INFO.to_owned(), info.to_string())];
        for variable in exec.objects("env").unwrap_or_default() {
            let text = |name| variable.text(name).unwrap_or_default().to_owned();
            variables.push((text("name"), text("value")));
        }
        let is_valid = |name: &str| !name.is_empty() && !name.contains(['=', '\0']);
        match variables.iter().all(|(name, value)| is_valid(name) && !value.contains('\0')) {
            true => Ok(ExecPlugin { user: user.to_owned(), version, words, variables }),
            false => Err("has an \"exec\" with an invalid variable in \"env\"".to_owned()),
        }
    }

    pub(super) fn run(&self, deadline: Deadline) -> Result<KubernetesCredentials> {
        let (what, program) = (format!("the credentials of {}", self.user), &self.words[0]);
        let failed = |status, why: &str| Error::new(status, format!("{what}: {program} {why}"));
        let (printed, failure) = credential_program::run(&what, &self.words, &self.variables, deadline)?;
        if let Some(status) = failure {
            let why = format!("failed with {status}; run it to see why");
            return Err(failed(Status::Unavailable, &why).with_retryable(true));
        }
        let object = SecretObject::parse(&printed);
        let is_own = |object: &SecretObject| {
            object.text("kind") == Some("ExecCredential") && object.text("apiVersion") == Some(self.version)
        };
        let object = object.filter(is_own).ok_or_else(|| {
            failed(Status::Protocol, &format!("printed no ExecCredential of the version {}", self.version))
        })?;
        let status = object.object("status");
        let get = |name: &str| status.as_ref().and_then(|status| status.get(name)).filter(|value| !value.is_empty());
        let token = get("token").cloned();
        if token.as_ref().is_some_and(|token| !token.iter().all(u8::is_ascii_graphic)) {
            return Err(failed(Status::Protocol, "printed a token with spaces or characters that are not ASCII"));
        }
        let pem = |name: &str| {
            let text = std::str::from_utf8(get(name)?).ok()?;
            Some(Setting { origin: SettingOrigin::Named(format!("{name} of {program}")), value: trimmed(text) })
        };
        let certificate = pem("clientCertificateData").zip(pem("clientKeyData"));
        match token.is_none() && certificate.is_none() {
            true => Err(failed(Status::Protocol, "printed neither a token nor a client certificate with its key")),
            false => Ok(KubernetesCredentials { token, certificate }),
        }
    }

    /// Adds what the credentials depend on. The program is not run.
    pub(super) fn identify(&self, identity: &mut Identity) -> Result<()> {
        let is_decisive = |name: &[u8]| DECISIVE.iter().any(|start| name.starts_with(start));
        identity
            .add_program(&self.words, is_decisive)
            .map_err(|error| Error::new(Status::Io, format!("cannot find the current directory: {error}")))?;
        for (name, value) in &self.variables {
            identity.add("variable", name);
            identity.add_secret(value.as_bytes())?;
        }
        Ok(())
    }
}

/// The text from its first block in PEM on.
pub(super) fn trimmed(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.find("-----BEGIN").map_or(text, |start| &text[start..]).to_owned())
}

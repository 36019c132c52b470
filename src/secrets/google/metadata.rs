//! The metadata server of Google Cloud: the service account of a machine, container or function.

use std::fs;

use crate::error::{Error, Result, Status};
use crate::http::HttpResponse;
use crate::secrets::cloud::{Call, Session, header, not_the_server};
use crate::settings::Environment;

const DEFAULT_HOST: &str = "metadata.google.internal";
/// Files in which the firmware of a virtual machine names its maker.
const PRODUCT_NAME: &str = "/sys/class/dmi/id/product_name";
/// Variables that Google sets where its code runs: Cloud Run, jobs, functions, App Engine.
const SERVICES: [&str; 4] = ["K_SERVICE", "CLOUD_RUN_JOB", "FUNCTION_TARGET", "GAE_SERVICE"];

/// The metadata server.
pub(super) struct Metadata {
    host: String,
}

impl Metadata {
    /// The server, if a variable names it or this is a machine of Google's, which is found without a request.
    pub(super) fn find(environment: &Environment) -> Result<Option<Metadata>> {
        if let Some(setting) = environment.first(&["GCE_METADATA_HOST", "GCE_METADATA_ROOT"])? {
            let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
            if !setting.text().bytes().all(is_host) {
                return Err(setting.invalid_value("is not a host, with or without a port").into());
            }
            return Ok(Some(Metadata { host: setting.text().to_owned() }));
        }
        let is_disabled = environment.setting("NO_GCE_CHECK")?.is_some_and(|setting| setting.text() == "true");
        let is_service = || SERVICES.iter().any(|name| environment.raw(name).is_some());
        let is_machine = || fs::read_to_string(PRODUCT_NAME).is_ok_and(|name| name.trim_start().starts_with("Google"));
        let is_there = !is_disabled && (is_service() || is_machine());
        Ok(is_there.then(|| Metadata { host: DEFAULT_HOST.to_owned() }))
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Asks for a path below `computeMetadata/v1`.
    pub(super) fn get(&self, session: &Session<'_>, path: &str) -> Result<HttpResponse> {
        let what = format!("the metadata server {}", self.host);
        let url = format!("http://{}/computeMetadata/v1/{path}", self.host);
        let headers = [header("Metadata-Flavor", "Google")];
        let call = Call { method: "GET", url: &url, headers: &headers, body: b"", is_local: true };
        let response = session.send(&what, &call)?;
        match response.status {
            _ if response.header("Metadata-Flavor") != Some("Google") => {
                Err(not_the_server(&what, response.status, "Google's metadata server"))
            }
            200 => Ok(response),
            404 => {
                let message = format!(
                    "{what}: this machine has no service account; attach one, or set \
                                       GOOGLE_APPLICATION_CREDENTIALS"
                );
                Err(Error::new(Status::Config, message).with_detail(404))
            }
            status => {
                let message = format!("{what}: HTTP status {status}");
                Err(Error::new(Status::Protocol, message).with_detail(status.into()))
            }
        }
    }
}

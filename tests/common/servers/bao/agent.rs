//! An agent of OpenBao.

use std::fs;

use super::super::process::Process;
use super::{Bao, program};

/// Listens at a socket in the file system, and adds its token to requests that have none. Ends when it is dropped.
pub struct Agent {
    directory: tempfile::TempDir,
    _process: Process,
}

impl Agent {
    pub fn url(&self) -> String {
        format!("unix://{}", self.directory.path().join("agent.sock").display())
    }
}

impl Bao {
    /// An agent with this token. As the documents recommend, it requires the header `X-Vault-Request`.
    pub fn agent(&self, token: &str) -> Agent {
        let directory = crate::common::temp();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        fs::write(path("token"), token).unwrap();
        let config = format!(
            "vault {{\n  address = \"{}\"\n}}\n\
             auto_auth {{\n  method \"token_file\" {{\n    config = {{\n      token_file_path = \"{}\"\n    }}\n  }}\n}}\n\
             api_proxy {{\n  use_auto_auth_token = true\n}}\n\
             listener \"unix\" {{\n  address = \"{}\"\n  tls_disable = true\n  require_request_header = true\n}}\n",
            self.url(),
            path("token"),
            path("agent.sock"),
        );
        fs::write(path("agent.hcl"), config).unwrap();
        let mut command = program();
        command.args(["agent", "-config", &path("agent.hcl")]);
        let mut process = Process::start(command, &directory.path().join("log"));
        let has_token = |log: &str| log.contains("authentication successful");
        assert!(process.wait(has_token), "the agent does not start:\n{}", process.log());
        Agent { directory, _process: process }
    }
}

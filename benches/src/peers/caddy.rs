//! caddy: a `map` of keys and `respond`. As it is packaged it has no rate limit.

use std::fmt::Write as _;

use super::install;
use super::peer::{CommandLine, Files, Installed, Peer, STREAM_PATH};
use crate::protocol::Protocol;

/// The system's caddy or PyPI's.
pub(super) fn installed() -> anyhow::Result<Installed> {
    let tool = install::caddy()?;
    let about = tool.output(&["version"])?;
    let version = about.split_whitespace().next().unwrap_or_default().trim_start_matches('v');
    let name = format!("caddy {version}");
    Ok(Installed { peer: Peer::Caddy, name, tool, protocols: Protocol::ALL.to_vec() })
}

/// Writes the configuration; the environment gives it one thread and keeps its files in the folder.
pub(super) fn configure(files: &Files) -> anyhow::Result<CommandLine> {
    let mut keys = String::new();
    for (partner, authorization) in &files.keys {
        writeln!(keys, "    \"{authorization}\" {partner}")?;
    }
    let mut handles = String::new();
    for (endpoint, fields) in files.responses.configured() {
        writeln!(
            handles,
            "  handle {} {{\n    header {{\n      content-type application/json",
            endpoint.path
        )?;
        for (name, value) in fields {
            writeln!(handles, "      {name} `{value}`")?;
        }
        writeln!(handles, "    }}\n    respond `{}` 200\n  }}", endpoint.body)?;
    }
    let (certificate, private_key) = (files.certificate.display(), files.private_key.display());
    let (http, https) = (files.http.port(), files.https.port());
    let home = files.folder.display().to_string();
    let config = format!(
        "\
{{
  admin off
  auto_https off
  persist_config off
  default_bind 127.0.0.1
  log {{
    level ERROR
  }}
}}
(api) {{
  map {{header.Authorization}} {{partner}} {{
{keys}    default \"\"
  }}
  @unauthorized vars {{partner}} \"\"
  handle @unauthorized {{
    respond 401
  }}
{handles}  handle {STREAM_PATH} {{
    root * {home}
    file_server
  }}
}}
http://localhost:{http} {{
  import api
}}
https://localhost:{https} {{
  tls {certificate} {private_key} {{
    protocols tls1.3
  }}
  import api
}}
"
    );
    let file = files.write("Caddyfile", &config)?;
    Ok(CommandLine {
        variables: vec![
            ("GOMAXPROCS", "1".to_owned()),
            ("HOME", home.clone()),
            ("XDG_CONFIG_HOME", home.clone()),
            ("XDG_DATA_HOME", home),
        ],
        ..CommandLine::new(["run", "--adapter", "caddyfile", "--config", &file])
    })
}

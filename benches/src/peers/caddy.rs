//! caddy: a `map` of keys and `respond`. As it is packaged it has no rate limit.

use std::fmt::Write as _;
use std::process::Command;

use super::files::{Files, STREAM_PATH};

/// Writes the configuration; the environment gives it one thread and keeps its files in the folder.
pub(super) fn configure(files: &Files, command: &mut Command) -> anyhow::Result<()> {
    let keys = files.keys(|partner, authorization| format!("    \"{authorization}\" {partner}\n"));
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
    command.args(["run", "--adapter", "caddyfile", "--config", &file]).env("GOMAXPROCS", "1");
    command.envs(["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"].map(|name| (name, &home)));
    Ok(())
}

//! caddy: a `map` of keys and `respond`. As it is packaged it has no rate limit.

use std::fmt::Write as _;

use super::{Installed, Launch, PARTNER, Peer, Place, install};
use crate::answer;
use crate::protocol::Protocol;

/// The system's caddy or PyPI's, which speaks everything.
pub(super) fn installed() -> anyhow::Result<Installed> {
    let tool = install::caddy()?;
    let about = tool.says(&["version"])?;
    let version = about.split_whitespace().next().unwrap_or_default().trim_start_matches('v');
    let name = format!("caddy {version}");
    Ok(Installed { peer: Peer::Caddy, name, tool, protocols: Protocol::ALL.to_vec() })
}

/// Writes the configuration; the environment gives it one thread and keeps its own files in the folder.
pub(super) fn launch(place: &Place) -> anyhow::Result<Launch> {
    let mut fields = String::new();
    for (name, value) in place.answer.configured() {
        writeln!(fields, "        {name} `{value}`")?;
    }
    let (certificate, private_key) = (place.certificate.display(), place.private_key.display());
    let (path, body, key) = (answer::PATH, answer::BODY, answer::PLACEHOLDER_AUTHORIZATION);
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
    \"{key}\" {PARTNER}
    default \"\"
  }}
  @stranger vars {{partner}} \"\"
  handle @stranger {{
    respond 401
  }}
  handle {path} {{
    header {{
        content-type application/json
{fields}    }}
    respond `{body}` 200
  }}
}}
http://localhost:{} {{
  import api
}}
https://localhost:{} {{
  tls {certificate} {private_key} {{
    protocols tls1.3
  }}
  import api
}}
",
        place.http.port(),
        place.https.port()
    );
    let file = place.write("Caddyfile", &config)?;
    let home = place.folder.display().to_string();
    Ok(Launch {
        arguments: ["run", "--adapter", "caddyfile", "--config", &file].map(str::to_owned).to_vec(),
        variables: vec![
            ("GOMAXPROCS", "1".to_owned()),
            ("HOME", home.clone()),
            ("XDG_CONFIG_HOME", home.clone()),
            ("XDG_DATA_HOME", home),
        ],
    })
}

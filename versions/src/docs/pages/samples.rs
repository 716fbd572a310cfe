//! Code samples in four languages, and how to set the API key in a shell. A test runs them as printed.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use super::Site;
use super::page::{Block, Code};
use crate::docs::{Location, Parameter};
use crate::{Entry, Route};

/// Characters that need no percent-encoding (RFC 3986 §2.3).
const UNRESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An example call.
pub(super) struct Call<'a> {
    method: &'a str,
    address: String,
    content: Option<Value>,
    /// Whether the response has a body.
    has_reply: bool,
    /// The file of the authority that the server's certificate needs, where clients do not trust that one anyway.
    authority: Option<&'a str>,
    /// The variable that holds the key.
    variable: &'a str,
}

impl<'a> Call<'a> {
    /// A call of an endpoint where the API is, with the required parameters only.
    pub(super) fn new(site: &'a Site<'_>, entry: &'a Entry, parameters: &[Parameter]) -> Self {
        let base = format!("{}/{}", site.api_url, entry.version);
        Self { authority: site.authority(), ..Self::of(&entry.route, parameters, &base, site.key_variable) }
    }

    fn of(route: &'a Route, parameters: &[Parameter], base: &str, variable: &'a str) -> Self {
        let mut address = format!("{base}{}", route.path);
        let mut query = String::new();
        let mut content = Map::new();
        for part in parameters {
            let Some(example) = &part.example else { continue };
            let text = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
            let encoded = utf8_percent_encode(&text, &UNRESERVED);
            match part.place {
                Location::Path => {
                    address = address.replace(&format!("{{{}}}", part.name), &encoded.to_string());
                }
                Location::Query if part.required => {
                    let sign = if query.is_empty() { '?' } else { '&' };
                    let _ = write!(query, "{sign}{}={encoded}", part.name);
                }
                Location::Query => {}
                Location::Content => {
                    content.insert(part.name.clone(), example.clone());
                }
            }
        }
        let content = crate::has_content(&route.method).then_some(Value::Object(content));
        let (method, has_reply) = (route.method.as_str(), route.media_type.is_some());
        Self { method, address: address + &query, content, has_reply, authority: None, variable }
    }

    /// One sample per language.
    pub(super) fn samples(&self) -> [Block; 4] {
        let sample = |label, language, text| Block::Code(Code { label, language, text });
        [
            sample("curl", "sh", self.curl()),
            sample("JavaScript", "js", self.javascript()),
            sample("Python", "python", self.python()),
            sample("PowerShell", "powershell", self.powershell()),
        ]
    }

    pub(super) fn curl(&self) -> String {
        let Self { method, address, content, authority, variable, .. } = self;
        let mut text = format!("curl --silent --show-error {}", cacert(*authority));
        if *method != "GET" && !(*method == "POST" && content.is_some()) {
            let _ = write!(text, "--request {method} ");
        }
        let _ = write!(text, "\\\n  --header \"Authorization: Bearer ${variable}\" \\\n  ");
        if let Some(content) = content {
            let content = content.to_string().replace('\'', r"'\''");
            let _ = write!(text, "--header 'Content-Type: application/json' \\\n  --data '{content}' \\\n  ");
        }
        let _ = write!(text, "'{address}'");
        text
    }

    fn javascript(&self) -> String {
        let Self { method, address, content, has_reply, authority, variable } = self;
        let mut text = String::new();
        if let Some(file) = authority {
            // Node reads its authorities once, at its start.
            let _ = writeln!(text, "// Start Node with NODE_EXTRA_CA_CERTS={}", shell_word(file));
        }
        let _ = writeln!(text, "const response = await fetch(\"{address}\", {{");
        if *method != "GET" {
            let _ = writeln!(text, "  method: \"{method}\",");
        }
        let kind = if content.is_some() { ",\n    \"Content-Type\": \"application/json\",\n  " } else { " " };
        let open = if content.is_some() { "\n    " } else { " " };
        let _ =
            writeln!(text, "  headers: {{{open}Authorization: `Bearer ${{process.env.{variable}}}`{kind}}},");
        if let Some(content) = content {
            let _ = writeln!(text, "  body: JSON.stringify({content}),");
        }
        text.push_str(
            "});\nif (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);\n\
             console.log(",
        );
        text.push_str(if *has_reply { "await response.json());" } else { "response.status);" });
        text
    }

    fn python(&self) -> String {
        let Self { method, address, content, has_reply, authority, variable } = self;
        let mut text = format!(
            "import os\n\nimport requests\n\nresponse = requests.{}(\n    \"{address}\",\n    \
             headers={{\"Authorization\": \"Bearer \" + os.environ[\"{variable}\"]}},\n",
            method.to_ascii_lowercase()
        );
        if let Some(content) = content {
            let _ = writeln!(text, "    json={},", python_literal(content));
        }
        if let Some(file) = authority {
            let _ = writeln!(text, "    verify={},", Value::from(*file));
        }
        text.push_str("    timeout=10,\n)\nresponse.raise_for_status()\nprint(response.");
        text.push_str(if *has_reply { "json())" } else { "status_code)" });
        text
    }

    fn powershell(&self) -> String {
        let Self { method, address, content, authority, variable, .. } = self;
        let mut text = String::new();
        if let Some(file) = authority {
            let _ = writeln!(text, "# Trust this authority first: {file}");
        }
        let _ = write!(
            text,
            "$call = @{{\n    Method  = \"{method}\"\n    Uri     = \"{address}\"\n    \
             Headers = @{{ Authorization = \"Bearer $env:{variable}\" }}\n"
        );
        if let Some(content) = content {
            let content = content.to_string().replace('\'', "''");
            let _ = write!(text, "    ContentType = \"application/json\"\n    Body    = '{content}'\n");
        }
        text.push_str("}\nInvoke-RestMethod @call | ConvertTo-Json -Depth 10");
        text
    }
}

/// The option of curl that names the file of an authority, with a space after it; empty without one.
#[must_use]
pub fn cacert(authority: Option<&str>) -> String {
    authority.map_or_else(String::new, |file| format!("--cacert {} ", shell_word(file)))
}

/// Text as one word of a shell.
fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// How to set the key in each shell.
pub(super) fn exports(variable: &str, secret: &str) -> [Block; 3] {
    let export = |label, language, text| Block::Code(Code { label, language, text });
    [
        export("bash and zsh", "sh", format!("export {variable}=\"{secret}\"")),
        export("fish", "fish", format!("set -gx {variable} \"{secret}\"")),
        export("PowerShell", "powershell", format!("$env:{variable} = \"{secret}\"")),
    ]
}

fn python_literal(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(python_literal).collect::<Vec<_>>().join(", "))
        }
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                format!("{}: {}", Value::from(name.as_str()), python_literal(value))
            };
            format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(", "))
        }
        // JSON's escapes are valid in Python, other than surrogate pairs, which serde_json never writes.
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn part(name: &str, place: Location, required: bool, example: Value) -> Parameter {
        Parameter {
            name: name.to_owned(),
            place,
            required,
            description: String::new(),
            schema: Value::Null,
            example: Some(example),
        }
    }

    #[test]
    fn a_call_has_its_required_parameters_in_place() {
        let mut route = crate::v2026_11_01::RELEASE.added[0].clone();
        route.path = "/things/{id}.json";
        let parts = [
            part("id", Location::Path, true, json!("a/b")),
            part("limit", Location::Query, true, json!(7)),
            part("kind", Location::Query, true, json!("x y&z")),
            part("other", Location::Query, false, json!("left out")),
        ];
        let call = Call::of(&route, &parts, "https://api.example/2026-11-01", "API_KEY");
        assert_eq!(call.address, "https://api.example/2026-11-01/things/a%2Fb.json?limit=7&kind=x%20y%26z");
        assert!(call.content.is_none());
        route.method = http::Method::POST;
        let parts =
            [part("id", Location::Path, true, json!(1)), part("it's", Location::Content, false, json!(null))];
        let call = Call::of(&route, &parts, "", "API_KEY");
        assert!(call.curl().contains(r#"--data '{"it'\''s":null}'"#), "{}", call.curl());
        assert!(call.python().contains(r#"json={"it's": None}"#), "{}", call.python());
        assert!(call.powershell().contains(r#"Body    = '{"it''s":null}'"#), "{}", call.powershell());
        assert!(call.javascript().contains(r#"JSON.stringify({"it's":null})"#), "{}", call.javascript());
    }

    #[test]
    fn samples_name_the_authority_only_where_there_is_one() {
        let route = &crate::v2026_11_01::RELEASE.added[0];
        let plain = Call::of(route, &[], "https://api.example/2026-11-01", "API_KEY");
        let local = Call {
            authority: Some("/it's/ca.pem"),
            ..Call::of(route, &[], "https://localhost:8443", "API_KEY")
        };
        for (text, plain, clue) in [
            (local.curl(), plain.curl(), r"--cacert '/it'\''s/ca.pem' "),
            (local.javascript(), plain.javascript(), r"NODE_EXTRA_CA_CERTS='/it'\''s/ca.pem'"),
            (local.python(), plain.python(), "verify=\"/it's/ca.pem\","),
            (local.powershell(), plain.powershell(), "/it's/ca.pem"),
        ] {
            assert!(text.contains(clue), "{text}");
            assert!(!plain.contains("ca.pem") && !plain.contains("cacert"), "{plain}");
        }
    }
}

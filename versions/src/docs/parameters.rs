//! The parameters of an endpoint: path, query, and the fields of a JSON body.
//!
//! As [`crate::Endpoint::Request`] says: fields that the path names come from the path, the others from the
//! JSON content if the method has one, otherwise from the query.

use serde_json::{Map, Value};

use super::schemas;
use crate::{Route, has_content};

/// Where a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// In the path.
    Path,
    /// In the query.
    Query,
    /// In the JSON body.
    Content,
}

/// One parameter of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub place: Location,
    /// Whether it is required.
    pub required: bool,
    /// Its description for partners; empty if the declaration has none.
    pub description: String,
    /// The JSON schema of its values.
    pub schema: Value,
    /// An example value, if one is declared or follows from the schema.
    pub example: Option<Value>,
}

/// The declaration of an endpoint contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeclarationError {
    /// The path names a field that the request does not have.
    #[error("`{endpoint}`: the path names `{{{placeholder}}}`, which is not a field of the request")]
    NoMember {
        /// The endpoint's name.
        endpoint: &'static str,
        /// The name in the path.
        placeholder: String,
    },
    /// The path has a catch-all parameter.
    #[error("`{endpoint}`: the path has the catch-all `{{{placeholder}}}`, which no document can describe")]
    CatchAll {
        /// The endpoint's name.
        endpoint: &'static str,
        /// The placeholder.
        placeholder: String,
    },
    /// The request is not a struct of independent fields.
    #[error("`{endpoint}`: the request is not a plain list of fields; declare it as a struct")]
    NoStruct {
        /// The endpoint's name.
        endpoint: &'static str,
    },
    /// The example is not JSON.
    #[error("`{endpoint}`: the example cannot be written: {reason}")]
    Example {
        /// The endpoint's name.
        endpoint: &'static str,
        /// The serializer's error.
        reason: String,
    },
}

/// The fields of an endpoint's request: those of the path first, in its order, then the others as they are
/// declared. Each schema is self-contained.
///
/// # Errors
/// [`DeclarationError`], if path and request contradict each other.
pub fn parameters(route: &Route) -> Result<Vec<Parameter>, DeclarationError> {
    let mut generator = schemas::settings().with(|all| all.inline_subschemas = true).into_generator();
    let schema = (route.request_schema)(&mut generator).to_value();
    let endpoint = route.name;
    if ["oneOf", "anyOf", "allOf", "$ref", "$defs"].iter().any(|word| schema.get(word).is_some()) {
        return Err(DeclarationError::NoStruct { endpoint });
    }
    let nothing = Map::new();
    let members = schema["properties"].as_object().unwrap_or(&nothing);
    let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    let parameter = |name: &str, schema: &Value, place| Parameter {
        name: name.to_owned(),
        place,
        required: place == Location::Path || required.iter().any(|required| required == name),
        description: without_null(schema)["description"].as_str().unwrap_or_default().to_owned(),
        schema: if place == Location::Content { schema.clone() } else { without_null(schema) },
        example: example(schema),
    };
    let placeholders = placeholders(route.path);
    let mut parameters = Vec::with_capacity(members.len());
    for placeholder in &placeholders {
        let placeholder = (*placeholder).to_owned();
        if placeholder.starts_with('*') {
            return Err(DeclarationError::CatchAll { endpoint, placeholder });
        }
        match members.get(&placeholder) {
            Some(schema) => parameters.push(parameter(&placeholder, schema, Location::Path)),
            None => return Err(DeclarationError::NoMember { endpoint, placeholder }),
        }
    }
    let place = if has_content(&route.method) { Location::Content } else { Location::Query };
    let others = members.iter().filter(|(name, _)| !placeholders.contains(&name.as_str()));
    parameters.extend(others.map(|(name, schema)| parameter(name, schema, place)));
    Ok(parameters)
}

/// Whether a request with any other field is refused.
pub(super) fn refuses_others(route: &Route) -> bool {
    let mut generator = schemas::settings().into_generator();
    (route.request_schema)(&mut generator).to_value()["additionalProperties"] == false
}

/// The names between braces; doubled braces are literal.
fn placeholders(path: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = path;
    while let Some(open) = rest.find('{') {
        rest = &rest[open + 1..];
        if let Some(behind) = rest.strip_prefix('{') {
            rest = behind;
            continue;
        }
        let Some((name, behind)) = rest.split_once('}') else { break };
        names.push(name);
        rest = behind;
    }
    names
}

/// The schema of a field as text, without null: it may be left out, but no text means null.
fn without_null(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(types) = schema["type"].as_array() {
        let types: Vec<_> = types.iter().filter(|name| *name != "null").cloned().collect();
        schema["type"] = if let [only] = types.as_slice() { only.clone() } else { types.into() };
    }
    let Some(forms) = schema["anyOf"].as_array() else { return schema };
    let forms: Vec<_> = forms.iter().filter(|form| form["type"] != "null").cloned().collect();
    match (forms.as_slice(), schema.as_object_mut()) {
        // The field's description precedes that of its type, of which only the list of values is kept.
        ([Value::Object(only)], Some(member)) => {
            member.shift_remove("anyOf");
            let list =
                only.get("description").and_then(Value::as_str).and_then(|text| text.split_once("\n\n"));
            if let (Some(Value::String(text)), Some((_, list))) = (member.get_mut("description"), list) {
                text.push_str("\n\n");
                text.push_str(list);
            }
            for (word, value) in only {
                member.entry(word).or_insert_with(|| value.clone());
            }
        }
        _ => schema["anyOf"] = forms.into(),
    }
    schema
}

/// The first declared example, or the first possible value.
fn example(schema: &Value) -> Option<Value> {
    let first = |word: &str| schema[word].as_array().and_then(|values| values.first());
    let value = first("examples").or_else(|| schema.get("default")).filter(|value| !value.is_null());
    let value = value.or_else(|| schema.get("const")).or_else(|| first("enum")).cloned();
    value.or_else(|| ["oneOf", "anyOf"].into_iter().find_map(first).and_then(example))
}

#[cfg(test)]
mod tests {
    use http::Method;
    use permissions::ApiAccessPermission;
    use schemars::JsonSchema;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::{Catalog, Context, Endpoint, Error, Handler, RELEASES};

    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only its form is used")]
    struct Wanted {
        /// How many.
        #[schemars(example = 7)]
        limit: Option<u8>,
        kind: Kind,
        /// The thing's number.
        id: u32,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Small,
        Large,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(untagged)]
    #[expect(dead_code, reason = "only its form is used")]
    enum Either {
        Small { id: u32 },
        Large { name: String },
    }

    macro_rules! endpoint {
        ($type:ident, $method:ident, $path:literal, $request:ty) => {
            struct $type;

            impl Endpoint for $type {
                const NAME: &'static str = "thing";
                const METHOD: Method = Method::$method;
                const PATH: &'static str = $path;
                const PERMISSION: ApiAccessPermission = ApiAccessPermission::PING_READ;
                const SUMMARY: &'static str = "Says yes.";

                type Request = $request;
                type Response = bool;

                fn example() -> bool {
                    true
                }
            }

            impl Handler for $type {
                async fn handle(_: &Context<'_>, _: $request) -> Result<bool, Error> {
                    Ok(true)
                }
            }
        };
    }

    endpoint!(Read, GET, "/things/{id}.json", Wanted);
    endpoint!(Make, POST, "/{{}}/{kind}/{id}.json", Wanted);
    endpoint!(Wrong, GET, "/things/{number}.json", Wanted);
    endpoint!(All, GET, "/things/{*id}", Wanted);
    endpoint!(NotAStruct, GET, "/things.json", Either);

    #[test]
    fn null_is_possible_in_content_but_not_in_text() {
        let limit =
            |route| parameters(&route).unwrap().into_iter().find(|part| part.name == "limit").unwrap().schema;
        assert_eq!(limit(Route::native::<Read>())["type"], "integer");
        assert_eq!(limit(Route::native::<Make>())["type"], json!(["integer", "null"]));
        let one = json!({ "anyOf": [{ "enum": ["a"], "description": "Type." }, { "type": "null" }], "description": "Member." });
        assert_eq!(without_null(&one), json!({ "enum": ["a"], "description": "Member." }));
        let two = json!({ "anyOf": [{ "const": 1 }, { "const": 2 }, { "type": "null" }] });
        assert_eq!(without_null(&two), json!({ "anyOf": [{ "const": 1 }, { "const": 2 }] }));
    }

    fn names(route: &Route) -> Vec<(String, Location, bool)> {
        let parameters = parameters(route).unwrap();
        parameters.into_iter().map(|part| (part.name, part.place, part.required)).collect()
    }

    #[test]
    fn the_path_comes_first_and_the_rest_from_query_or_content() {
        let part = |name: &str, place, required| (name.to_owned(), place, required);
        assert_eq!(
            names(&Route::native::<Read>()),
            [
                part("id", Location::Path, true),
                part("limit", Location::Query, false),
                part("kind", Location::Query, true)
            ]
        );
        assert_eq!(
            names(&Route::native::<Make>()),
            [
                part("kind", Location::Path, true),
                part("id", Location::Path, true),
                part("limit", Location::Content, false)
            ]
        );
    }

    #[test]
    fn a_field_has_its_description_and_an_example() {
        let parameters = parameters(&Route::native::<Read>()).unwrap();
        let listed: Vec<_> =
            parameters.iter().map(|part| (part.description.as_str(), part.example.clone())).collect();
        assert_eq!(
            listed,
            [("The thing's number.", None), ("How many.", Some(json!(7))), ("", Some(json!("small")))]
        );
        assert_eq!(parameters[0].schema["type"], "integer");
    }

    #[test]
    fn a_path_that_contradicts_its_request_is_refused() {
        for (route, expected) in [
            (Route::native::<Wrong>(), "`thing`: the path names `{number}`, which is not a field"),
            (Route::native::<All>(), "`thing`: the path has the catch-all `{*id}`"),
            (Route::native::<NotAStruct>(), "`thing`: the request is not a plain list of fields"),
        ] {
            let error = parameters(&route).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    /// Documents and samples depend on these.
    #[test]
    fn every_endpoint_of_every_date_can_be_described() {
        for entry in Catalog::new(RELEASES).unwrap().entries() {
            let parameters =
                parameters(&entry.route).unwrap_or_else(|error| panic!("{}: {error}", entry.version));
            for part in parameters {
                let place = format!("{}: `{}` of `{}`", entry.version, part.name, entry.route.name);
                assert!(!part.description.is_empty(), "{place} has no description");
                assert!(!part.required || part.example.is_some(), "{place} is required and has no example");
            }
        }
    }
}

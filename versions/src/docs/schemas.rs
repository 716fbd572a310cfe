//! How JSON schemas are generated: in forms that generators of clients understand.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::Value;

/// The settings of every schema in documents and on pages.
pub(super) fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|all| all.transforms.push(Box::new(RecursiveTransform(plain_enum))))
}

/// Turns a `oneOf` of string constants, which many generators cannot read, into an `enum`; the descriptions of the
/// values become a list in the description of the schema.
fn plain_enum(schema: &mut Schema) {
    let Some(forms) = schema.get("oneOf").and_then(Value::as_array) else { return };
    let values: Option<Vec<_>> =
        forms.iter().map(|form| form.get("const").filter(|value| value.is_string()).cloned()).collect();
    let Some(values) = values else { return };
    let described = |form: &Value| {
        let description = form["description"].as_str()?.split_whitespace().collect::<Vec<_>>().join(" ");
        Some(format!("- `{}`: {description}", form["const"].as_str()?))
    };
    let list: Vec<_> = forms.iter().filter_map(described).collect();
    let description = schema.get("description").and_then(Value::as_str).map(str::to_owned);
    let paragraphs = [description.unwrap_or_default(), list.join("\n")];
    let paragraphs: Vec<_> = paragraphs.into_iter().filter(|paragraph| !paragraph.is_empty()).collect();
    schema.remove("oneOf");
    schema.remove("description");
    schema.insert("type".to_owned(), "string".into());
    schema.insert("enum".to_owned(), values.into());
    if !paragraphs.is_empty() {
        schema.insert("description".to_owned(), paragraphs.join("\n\n").into());
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde_json::json;

    use super::*;

    /// A size.
    #[derive(JsonSchema)]
    #[serde(rename_all = "lowercase")]
    #[expect(dead_code, reason = "only its schema is used")]
    enum Size {
        /// Fits
        /// a hand.
        Small,
        /// Does not.
        Large,
    }

    #[derive(JsonSchema)]
    #[serde(rename_all = "lowercase")]
    #[expect(dead_code, reason = "only its schema is used")]
    enum Thing {
        /// By name.
        Name(String),
        /// By number.
        Number(u8),
    }

    #[test]
    fn an_enum_is_a_list_of_values_and_keeps_their_descriptions() {
        let schema = settings().into_generator().into_root_schema_for::<Vec<Size>>().to_value();
        assert_eq!(
            schema["$defs"]["Size"],
            json!({
                "type": "string",
                "enum": ["small", "large"],
                "description": "A size.\n\n- `small`: Fits a hand.\n- `large`: Does not.",
            })
        );
    }

    #[test]
    fn other_alternatives_stay_as_they_are() {
        let schema = settings().into_generator().into_root_schema_for::<Thing>().to_value();
        assert_eq!(schema["oneOf"].as_array().map(Vec::len), Some(2), "{schema}");
    }
}

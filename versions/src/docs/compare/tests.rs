//! Tests of every kind of difference, in both directions.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn found(before: &Value, after: &Value) -> Vec<(String, Turn)> {
    let document = json!({ "$defs": {
        "Kind": { "oneOf": [{ "const": "small" }, { "const": "large" }] },
        "Tree": { "type": "object", "properties": { "leaf": { "type": "string" }, "tree": { "$ref": "#/$defs/Tree" } } },
    }});
    let side = |schema| Side { schema, document: &document };
    compare(side(before), side(after)).into_iter().map(|finding| (finding.place, finding.turn)).collect()
}

/// Narrowing is the reverse of widening, so every case is tested in both directions.
#[test]
fn what_is_wider_in_one_direction_is_narrower_in_the_other() {
    for (narrow, wide) in [
        (json!({ "type": "string" }), json!({ "type": ["string", "null"] })),
        (json!({ "type": "string" }), json!({ "anyOf": [{ "type": "null" }, { "type": "string" }] })),
        (json!({ "type": "string" }), json!({})),
        (json!({ "const": "small" }), json!({ "enum": ["small", "large"] })),
        (json!({ "const": "small" }), json!({ "$ref": "#/$defs/Kind" })),
        (json!({ "$ref": "#/$defs/Kind" }), json!({ "type": "string" })),
        (json!({ "const": 1 }), json!({ "type": "integer" })),
        (json!({ "const": 1.5 }), json!({ "type": "number" })),
        (json!({ "const": true }), json!({ "type": "boolean" })),
        (json!({ "type": "integer" }), json!({ "type": "number" })),
        (json!({ "type": "string", "format": "date" }), json!({ "type": "string" })),
        (json!({ "type": "string", "pattern": "^a$" }), json!({ "type": "string" })),
        (json!({ "type": "number", "minimum": 1 }), json!({ "type": "number", "minimum": 0 })),
        (json!({ "type": "string", "maxLength": 9 }), json!({ "type": "string", "maxLength": 10 })),
        (
            json!({ "type": "integer", "format": "uint8", "minimum": 0, "maximum": 255 }),
            json!({ "type": "integer", "format": "uint32", "minimum": 0 }),
        ),
        (
            json!({ "type": "integer", "format": "uint32", "minimum": 0 }),
            json!({ "type": "integer", "format": "int64" }),
        ),
        (json!({ "type": "object", "additionalProperties": false }), json!({ "type": "object" })),
    ] {
        assert_eq!(found(&narrow, &wide), [(String::new(), Turn::Widened)], "{narrow} {wide}");
        assert_eq!(found(&wide, &narrow), [(String::new(), Turn::Narrowed)], "{wide} {narrow}");
    }
}

#[test]
fn equivalent_schemas_do_not_differ() {
    for (one, other) in [
        (json!({ "type": "string", "const": "a" }), json!({ "enum": ["a"], "description": "A." })),
        (json!({ "$ref": "#/$defs/Kind" }), json!({ "enum": ["large", "small"] })),
        (json!({ "$ref": "#/$defs/Tree" }), json!({ "$ref": "#/$defs/Tree", "description": "A tree." })),
        (json!(true), json!({})),
    ] {
        assert_eq!(found(&one, &other), [], "{one} {other}");
    }
}

#[test]
fn gaining_and_losing_values_is_a_change() {
    for (one, other) in [
        (json!({ "type": "string" }), json!({ "type": "number" })),
        (json!({ "type": "string" }), json!({ "type": "object" })),
        (json!({ "enum": ["a", "b"] }), json!({ "enum": ["b", "c"] })),
        (json!({ "type": "string", "pattern": "a" }), json!({ "type": "string", "pattern": "b" })),
        (json!({ "type": "integer", "format": "int8" }), json!({ "type": "integer", "format": "uint8" })),
    ] {
        assert_eq!(found(&one, &other), [(String::new(), Turn::Changed)], "{one} {other}");
        assert_eq!(found(&other, &one), [(String::new(), Turn::Changed)], "{other} {one}");
    }
}

#[test]
fn fields_are_compared_wherever_they_are() {
    let thing = |properties: Value, required: Value| json!({ "type": "object", "properties": properties, "required": required });
    let text = json!({ "type": "string" });
    let before = thing(json!({ "gone": text, "kept": text, "loose": text }), json!(["gone", "kept"]));
    let after =
        thing(json!({ "kept": text, "loose": text, "new": text, "maybe": text }), json!(["loose", "new"]));
    let expected = |place: &str| {
        [
            ("gone", Turn::Removed),
            ("kept", Turn::Optional),
            ("loose", Turn::Required),
            ("new", Turn::Added { required: true }),
            ("maybe", Turn::Added { required: false }),
        ]
        .map(|(name, turn)| (format!("{place}{name}"), turn))
    };
    assert_eq!(found(&before, &after), expected(""));
    let list = |items: &Value| thing(json!({ "list": { "type": "array", "items": items } }), json!([]));
    assert_eq!(found(&list(&before), &list(&after)), expected("list[]."));
    let map = |rest: &Value| json!({ "type": "object", "additionalProperties": rest });
    assert_eq!(found(&map(&before), &map(&after)), expected("*."));
    let maybe = |some: &Value| json!({ "anyOf": [some, { "type": "null" }] });
    assert_eq!(found(&maybe(&before), &maybe(&after)), expected(""));
}

#[test]
fn a_choice_of_objects_is_compared_by_all_their_fields() {
    let one = |name: &str| json!({ "type": "object", "properties": { name: { "type": "string" } }, "required": [name] });
    let two = json!({ "oneOf": [one("ipv4"), one("ipv6")] });
    assert_eq!(
        found(&two, &one("ipv4")),
        [("ipv6".to_owned(), Turn::Removed), ("ipv4".to_owned(), Turn::Required)]
    );
}

/// Schemas as they are generated from types, with some nesting.
fn schemas() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({})),
        Just(json!({ "type": "string" })),
        Just(json!({ "type": ["string", "null"] })),
        Just(json!({ "type": "string", "format": "date" })),
        Just(json!({ "type": "integer", "format": "uint8", "minimum": 0, "maximum": 255 })),
        Just(json!({ "type": "number", "minimum": 0 })),
        Just(json!({ "enum": ["small", "large"] })),
        Just(json!({ "const": "small" })),
        Just(json!({ "const": 7 })),
        Just(json!({ "$ref": "#/$defs/Kind" })),
        Just(json!({ "$ref": "#/$defs/Tree" })),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let members = proptest::collection::btree_map("[abc]", (inner.clone(), any::<bool>()), 0..3);
        let object = members.prop_map(|members| {
            let required: Vec<_> =
                members.iter().filter(|(_, (_, required))| *required).map(|(name, _)| name).collect();
            let properties: Map<_, _> =
                members.iter().map(|(name, (schema, _))| (name.clone(), schema.clone())).collect();
            json!({ "type": "object", "properties": properties, "required": required })
        });
        prop_oneof![
            object,
            inner.clone().prop_map(|items| json!({ "type": "array", "items": items })),
            inner.prop_map(|some| json!({ "anyOf": [some, { "type": "null" }] })),
        ]
    })
}

fn mirrored(turn: Turn) -> Turn {
    match turn {
        // Whether a removed field was required is not reported, because its removal is breaking in any case.
        Turn::Added { .. } => Turn::Removed,
        Turn::Removed => Turn::Added { required: false },
        Turn::Optional => Turn::Required,
        Turn::Required => Turn::Optional,
        Turn::Widened => Turn::Narrowed,
        Turn::Narrowed => Turn::Widened,
        Turn::Changed => Turn::Changed,
    }
}

proptest! {
    #[test]
    fn a_schema_does_not_differ_from_itself(schema in schemas()) {
        prop_assert_eq!(found(&schema, &schema), []);
    }

    #[test]
    fn the_reverse_comparison_mirrors_the_differences(one in schemas(), other in schemas()) {
        let sorted = |mut findings: Vec<(String, Turn)>| {
            for (_, turn) in &mut findings {
                if let Turn::Added { required } = turn {
                    *required = false;
                }
            }
            findings.sort_by_key(|finding| format!("{finding:?}"));
            findings
        };
        let there = found(&one, &other).into_iter().map(|(place, turn)| (place, mirrored(turn))).collect();
        prop_assert_eq!(sorted(there), sorted(found(&other, &one)));
    }
}

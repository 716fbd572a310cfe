//! What every list has in common: a page, and the cursor of the next one.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::management::Page;
use crate::{Error, ErrorCode};

/// How many items a page has unless the caller asks for another number.
const DEFAULT: u16 = 100;
/// The longest cursor, in characters.
const CURSOR_MAX: usize = 64;
/// The most items of a page.
const MAX: u16 = 1_000;

/// How many items to return.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "u16")]
pub struct Limit(u16);

impl JsonSchema for Limit {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Limit".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": MAX, "default": DEFAULT })
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl TryFrom<u16> for Limit {
    type Error = &'static str;

    fn try_from(count: u16) -> Result<Self, &'static str> {
        if (1..=MAX).contains(&count) { Ok(Self(count)) } else { Err("a page has 1 to 1000 items") }
    }
}

/// The page after this cursor, with one item more than is returned: whether it is there says whether a page follows.
pub(super) fn page(after: Option<String>, limit: Limit) -> Result<Page, Error> {
    if after.as_ref().is_some_and(|after| after.chars().nth(CURSOR_MAX).is_some()) {
        return Err(Error::new(
            ErrorCode::MalformedRequest,
            "`after` is not the `next` of a page of this list.",
        ));
    }
    Ok(Page { after, count: usize::from(limit.0) + 1 })
}

/// Cuts a page to its length; returns the cursor of the next one.
pub(super) fn cut<T>(items: &mut Vec<T>, page_count: usize, cursor: impl Fn(&T) -> String) -> Option<String> {
    let has_more = items.len() >= page_count;
    items.truncate(page_count - 1);
    items.last().filter(|_| has_more).map(cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_cut_and_names_the_next_one() {
        let page = page(None, Limit::try_from(2).unwrap()).unwrap();
        let mut items = vec![1, 2, 3];
        assert_eq!(cut(&mut items, page.count, ToString::to_string), Some("2".to_owned()));
        assert_eq!(items, [1, 2]);
        let mut items = vec![1, 2];
        assert_eq!(cut(&mut items, page.count, ToString::to_string), None);
        assert!(Limit::try_from(0).is_err() && Limit::try_from(1_001).is_err());
        assert!(super::page(Some("x".repeat(65)), Limit::default()).is_err());
    }
}

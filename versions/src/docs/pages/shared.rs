//! Blocks that several pages share, rendered once in both formats.

use std::rc::Rc;

use super::page::{Block, Shared};
use super::{html, markdown};

/// Renders blocks for every page that shares them.
pub(super) fn shared(blocks: &[Block]) -> Rc<Shared> {
    let html: String = blocks.iter().map(html::block).collect();
    let markdown = markdown::shared(blocks);
    Rc::new(Shared { html: html.into(), markdown: markdown.into() })
}

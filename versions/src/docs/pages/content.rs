//! The content of a file in pieces, so that pieces that several pages share are in memory once.

use bytes::Bytes;

/// The content of a file, in pieces.
#[derive(Clone, Debug, Default)]
pub struct Content(Vec<Bytes>);

/// Marks the place of a shared piece in a text. Rendered text never contains it.
pub(super) const MARK: char = '\0';

impl Content {
    /// The content of a text in which each [`MARK`] is replaced by the next shared piece.
    pub(super) fn woven(text: &str, shared: impl IntoIterator<Item = Bytes>) -> Self {
        let mut shared = shared.into_iter();
        let mut pieces = Vec::new();
        for (number, own) in text.split(MARK).enumerate() {
            if number > 0 {
                pieces.extend(shared.next());
            }
            if !own.is_empty() {
                pieces.push(Bytes::copy_from_slice(own.as_bytes()));
            }
        }
        Self(pieces)
    }

    /// The pieces.
    #[must_use]
    pub fn pieces(&self) -> &[Bytes] {
        &self.0
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All pieces in one.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self.0.as_slice() {
            [only] => only.clone(),
            pieces => pieces.concat().into(),
        }
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        // Boxed first, to drop spare capacity.
        Self(vec![Bytes::from(text.into_boxed_str().into_boxed_bytes())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_pieces_replace_their_marks() {
        let shared = [b"one", b"two"].map(|piece| Bytes::from_static(piece));
        let content = Content::woven("a\0b\0", shared.clone());
        assert_eq!((content.to_bytes(), content.len()), (Bytes::from_static(b"aonebtwo"), 8));
        assert_eq!(content.pieces()[1].as_ptr(), shared[0].as_ptr(), "it is not copied");
        assert!(Content::default().is_empty());
    }
}

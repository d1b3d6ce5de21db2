//! How a call is cut into chunks: by documents, tiles of queries and heads, never by threads.

use super::problem::Problem;
use super::product::QUERIES;

/// Floats after which a part of working memory begins: a cache line's.
const LINE: usize = 16;

/// A document: its first row and its rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Document {
    pub first: usize,
    pub rows: usize,
}

/// The rows of a call one after another, as documents.
pub fn documents(problem: &Problem) -> impl Iterator<Item = Document> + '_ {
    let mut first = 0;
    core::iter::from_fn(move || {
        if first == problem.rows {
            return None;
        }
        let mut end = first + 1;
        while end < problem.rows && problem.start(end) == first {
            end += 1;
        }
        let document = Document {
            first,
            rows: end - first,
        };
        first = end;
        Some(document)
    })
}

/// A tile of queries: its document and its first query there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Queries {
    pub document: Document,
    pub first: usize,
}

impl Queries {
    /// How many they are.
    pub fn count(&self) -> usize {
        (self.document.rows - self.first).min(QUERIES)
    }
}

/// The tiles of queries of a call, in the order of the rows.
pub fn query_tiles(problem: &Problem) -> impl Iterator<Item = Queries> + '_ {
    documents(problem).flat_map(|document| {
        (0..document.rows)
            .step_by(QUERIES)
            .map(move |first| Queries { document, first })
    })
}

/// Hands out parts of working memory.
pub struct Parts {
    next: usize,
}

impl Parts {
    /// Nothing handed out yet.
    pub fn new() -> Parts {
        Parts { next: 0 }
    }

    /// Floats from the beginning to the next part of `floats` floats.
    pub fn take(&mut self, floats: usize) -> usize {
        let at = self.next;
        self.next += floats.next_multiple_of(LINE);
        at
    }

    /// Floats handed out.
    pub fn floats(&self) -> usize {
        self.next
    }
}

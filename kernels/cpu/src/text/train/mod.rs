//! Training of tokenizers: SentencePiece's byte pair encoding and the byte-level one.
//!
//! `corpus` counts words, `alphabet` and `validity` say what a SentencePiece piece may be, and
//! `pair_trainer` merges.

mod alphabet;
mod byte_table;
mod candidates;
mod corpus;
mod pair_index;
mod pair_trainer;
mod plateau;
mod reservoir;
mod script_table;
mod symbols;
mod trainer;
mod validity;
mod words;

pub use trainer::{Options, Progress, Summary, Trainer};
pub use validity::Validity;

//! Training of tokenizers: SentencePiece's byte pair encoding and the byte-level one.
//!
//! `corpus` counts words (`sentences` and `pretokens` say what a word is), `alphabet` and `validity`
//! say what a SentencePiece piece may be, `pair_trainer` merges, and `trainer` is a run of all that.

mod alphabet;
mod byte_table;
mod candidates;
mod corpus;
#[cfg(test)]
mod corpus_tests;
pub mod kernels;
mod meta_pieces;
mod options;
mod pair_index;
mod pair_trainer;
#[cfg(test)]
mod pair_trainer_tests;
mod plateau;
mod pretokens;
mod reservoir;
#[rustfmt::skip]
mod script_table;
mod sentences;
mod symbols;
mod trainer;
mod utf8_stream;
mod validity;
mod words;

//! Text to tokens.
//!
//! A tokenizer is described by a flat array (`blob.rs`), compiled once into tables, and then called
//! with many texts at a time. Two families: characters merge (`symbols.rs`: SentencePiece and its
//! like) or bytes merge inside the pieces of a split pattern (`bytes.rs`: tiktoken and its like). Both
//! cut the text into small pieces that are encoded each for itself, look most of them up whole, and
//! encode the rest in linear time (`backtrack.rs`; long ones block by block, `blocks.rs`), or by an
//! agenda where a vocabulary is irregular (`merge.rs`).

pub mod ahead;
pub mod backtrack;
mod begun;
pub mod blob;
pub mod blocks;
pub mod byte_characters;
pub mod byte_cuts;
pub mod bytes;
mod bytes_missing;
pub mod cache;
pub mod cache_long;
pub mod chars;
pub mod charsmap;
pub mod class;
pub mod direct;
pub mod few;
mod gather;
pub mod hash;
pub mod kernels;
pub mod lines;
pub mod merge;
pub mod normalize;
pub mod open;
pub mod output;
pub mod pairs;
pub mod queue;
pub mod rounds;
pub mod special;
pub mod split;
pub mod split_gpt2;
pub mod splits;
pub mod symbols;
pub mod symbols_cuts;
pub mod symbols_encode;
pub mod symbols_named;
#[cfg(test)]
mod tests;
pub mod tokenizer;
pub mod train;
pub mod trie;
#[rustfmt::skip]
pub mod unicode_generated;
pub mod units;
pub mod units_encode;
pub mod utf8;
pub mod vocabulary;
pub mod window;
pub mod words;
pub mod worker;

//! One vector trait, a file per instruction set.

//! Llamero's CPU kernels, for WebAssembly and for native processors.
//!
//! `abi_generated.rs` exports one function per row of `kernels/abi.ts`; each hands over to the op of
//! the same name in `ops/`. Kernels return a status and never panic across the border.
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

#[rustfmt::skip]
pub mod abi_generated;
pub mod context;
pub mod ops;
pub mod simd;

//! Llamero's CPU kernels, for WebAssembly and for native processors.
//!
//! `abi_generated.rs` exports one function per row of `kernels/abi.ts`; each hands over to the op of
//! the same name in `ops/`. Kernels return a status and never panic across the border.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![cfg_attr(target_arch = "wasm32", feature(stdarch_wasm_atomic_wait))]

extern crate alloc;

#[rustfmt::skip]
pub mod abi_generated;
pub mod context;
mod features;
#[cfg(any(target_arch = "wasm32", test))]
mod heap;
#[cfg(not(target_arch = "wasm32"))]
mod map_file;
mod memory;
#[cfg(unix)]
mod mpi;
pub mod ops;
#[cfg(not(target_arch = "wasm32"))]
mod os;
mod pool;
pub mod quant;
pub mod runtime;
pub mod simd;
pub mod text;
#[cfg(target_arch = "wasm32")]
mod wasm;

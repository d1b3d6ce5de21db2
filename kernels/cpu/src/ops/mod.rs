//! One file per op: the plain reference, the fast path, the tests.

mod convert;
mod convert_blocks;
mod matmul;
mod peak_fma;
mod peak_read;

pub use convert::convert;
pub use convert_blocks::quantize_weighted;
pub use matmul::{matmul, matmul_repacked, repack};
pub use peak_fma::peak_fma;
pub use peak_read::peak_read;

mod adafactor;
mod adamw;
mod argmax;
mod attention;
mod cache_element;
mod chunks;
mod elementwise;
mod embedding;
mod exp;
mod exp_sum;
mod gemm;
mod gradient_norm;
mod kv_store;
mod ln;
mod maximum;
mod moments;
mod norm;
mod reduce;
mod rope;
mod score;
mod softmax;
mod swiglu;
#[cfg(test)]
mod testing;
mod training;

pub use adafactor::{adafactor, adafactor_moments, adafactor_move};
pub use adamw::adamw;
pub use argmax::argmax;
pub use attention::attention;
pub use elementwise::{add, scale};
pub use embedding::embedding;
pub use gemm::{gemm, gemm_pack};
pub use gradient_norm::{clip_scale, square_sum, square_sums};
pub use kv_store::kv_store;
pub use norm::{layer_norm, rms_norm};
pub use rope::rope;
pub use score::score;
pub use softmax::softmax;
pub use swiglu::swiglu;
pub use training::{
    attention_backward, attention_forward, cross_entropy, cross_entropy_part, dropout,
    embedding_backward, layer_norm_backward, rms_norm_backward, score_part, swiglu_backward,
};

pub use crate::text::kernels::{
    text_begin, text_close, text_encode, text_lines, text_open, text_stream,
};
pub use crate::text::train::kernels::{
    text_train_close, text_train_feed, text_train_open, text_train_pieces, text_train_prepare,
    text_train_step,
};

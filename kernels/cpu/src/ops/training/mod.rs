//! What a training step needs beyond the forward ops and the products.

mod attention;
mod cross_entropy;
mod cross_entropy_part;
mod dropout;
mod embedding_backward;
mod norm_backward;
mod swiglu_backward;
mod targets;

pub use attention::{attention_backward, attention_forward};
pub use cross_entropy::cross_entropy;
pub use cross_entropy_part::{cross_entropy_part, score_part};
pub use dropout::dropout;
pub use embedding_backward::embedding_backward;
pub use norm_backward::{layer_norm_backward, rms_norm_backward};
pub use swiglu_backward::swiglu_backward;

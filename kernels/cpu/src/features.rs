//! What `info` says of the processor.

use alloc::string::String;
use alloc::vec::Vec;

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<&'static str> {
    let mut found = Vec::new();
    macro_rules! look {
        ($($name:tt)*) => { $(if is_x86_feature_detected!($name) { found.push($name); })* };
    }
    look!("avx" "avx2" "fma" "f16c" "avxvnni" "avx512f" "avx512bw" "avx512vl" "avx512vnni" "avx512bf16");
    found
}

#[cfg(target_arch = "aarch64")]
fn features() -> Vec<&'static str> {
    let mut found = Vec::new();
    macro_rules! look {
        ($($name:tt)*) => {
            $(if std::arch::is_aarch64_feature_detected!($name) { found.push($name); })*
        };
    }
    look!("neon" "fp16" "dotprod" "bf16" "i8mm" "sve");
    found
}

#[cfg(target_arch = "wasm32")]
fn features() -> Vec<&'static str> {
    Vec::from(["simd128", "relaxed-simd", "threads", "bulk-memory"])
}

#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "wasm32"
)))]
fn features() -> Vec<&'static str> {
    Vec::new()
}

/// A JSON object with the instruction set in use, the number of threads and the features found.
pub fn describe(threads: usize) -> String {
    let features = features();
    let list = if features.is_empty() {
        String::new()
    } else {
        alloc::format!("\"{}\"", features.join("\",\""))
    };
    let isa = crate::simd::isa().name();
    alloc::format!("{{\"isa\":\"{isa}\",\"threads\":{threads},\"features\":[{list}]}}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_description_names_isa_threads_and_features() {
        let text = super::describe(3);
        assert!(
            text.starts_with("{\"isa\":\"") && text.ends_with("]}"),
            "{text}"
        );
        assert!(text.contains("\"threads\":3,\"features\":["), "{text}");
    }
}

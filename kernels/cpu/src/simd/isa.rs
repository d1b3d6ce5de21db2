//! Which instruction sets there are, which of them this machine has, and how a generic body gets one
//! instance for each.

use super::{Scalar, Simd};

/// An instruction set that this build can use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Isa {
    /// No vector instructions beyond what the compiler uses on its own.
    Scalar,
    /// WebAssembly SIMD with the relaxed instructions: 128 bits.
    #[cfg(target_arch = "wasm32")]
    Wasm,
    /// AVX2, FMA and F16C: 256 bits.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F, BW, DQ and VL: 512 bits.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// Advanced SIMD of 64-bit Arm: 128 bits.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Isa {
    /// The instruction sets of this machine, the plainest first.
    pub fn available() -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.present())
    }

    /// Floats in a vector.
    pub fn lanes(self) -> usize {
        match self {
            Isa::Scalar => Scalar::LANES,
            #[cfg(target_arch = "wasm32")]
            Isa::Wasm => super::Wasm::LANES,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => super::Avx2::LANES,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => super::Avx512::LANES,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => super::Neon::LANES,
        }
    }

    /// The name that `LLAMERO_ISA` takes and that `info` reports.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            #[cfg(target_arch = "wasm32")]
            Isa::Wasm => "simd128",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => "avx512",
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => "neon",
        }
    }
}

#[cfg(target_arch = "wasm32")]
impl Isa {
    const ALL: [Isa; 2] = [Isa::Scalar, Isa::Wasm];

    fn present(self) -> bool {
        true
    }
}

#[cfg(target_arch = "x86_64")]
impl Isa {
    const ALL: [Isa; 3] = [Isa::Scalar, Isa::Avx2, Isa::Avx512];

    fn present(self) -> bool {
        match self {
            Isa::Scalar => true,
            Isa::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
            }
            Isa::Avx512 => {
                Isa::Avx2.present()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
        }
    }
}

#[cfg(target_arch = "aarch64")]
impl Isa {
    const ALL: [Isa; 2] = [Isa::Scalar, Isa::Neon];

    fn present(self) -> bool {
        true
    }
}

#[cfg(not(any(
    target_arch = "wasm32",
    target_arch = "x86_64",
    target_arch = "aarch64"
)))]
impl Isa {
    const ALL: [Isa; 1] = [Isa::Scalar];

    fn present(self) -> bool {
        true
    }
}

/// Whether an instruction set comes with products of bf16 pairs on this machine.
#[cfg(target_arch = "x86_64")]
pub fn multiplies_bf16(isa: Isa) -> bool {
    isa == Isa::Avx512 && is_x86_feature_detected!("avx512bf16")
}

/// Whether an instruction set comes with products of bf16 pairs on this machine.
#[cfg(not(target_arch = "x86_64"))]
pub fn multiplies_bf16(_: Isa) -> bool {
    false
}

/// The instruction set that kernels use here.
#[cfg(target_arch = "wasm32")]
pub fn isa() -> Isa {
    Isa::Wasm
}

/// The instruction set that kernels use here: the best one, or the one that the environment variable
/// `LLAMERO_ISA` names where this machine has it (for tests and comparisons). Found once.
#[cfg(not(target_arch = "wasm32"))]
pub fn isa() -> Isa {
    static CHOICE: std::sync::OnceLock<Isa> = std::sync::OnceLock::new();
    *CHOICE.get_or_init(|| {
        let wanted = std::env::var("LLAMERO_ISA").unwrap_or_default();
        let named = Isa::available().find(|isa| isa.name() == wanted);
        named.or(Isa::available().last()).unwrap_or(Isa::Scalar)
    })
}

/// Makes `fn NAME(isa: Isa, ...)` from a body that is generic over `Simd`: one instance per
/// instruction set, each compiled with that set enabled.
macro_rules! per_isa {
    ($(#[$meta:meta])* $vis:vis unsafe fn $name:ident = $body:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)?;) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        #[inline]
        $vis unsafe fn $name(isa: $crate::simd::Isa, $($arg: $ty),*) $(-> $ret)? {
            #[inline(never)]
            #[allow(clippy::too_many_arguments)]
            unsafe fn scalar($($arg: $ty),*) $(-> $ret)? {
                unsafe { $body::<$crate::simd::Scalar>($($arg),*) }
            }
            #[cfg(target_arch = "wasm32")]
            #[inline(never)]
            #[allow(clippy::too_many_arguments)]
            unsafe fn wasm($($arg: $ty),*) $(-> $ret)? {
                unsafe { $body::<$crate::simd::Wasm>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            #[allow(clippy::too_many_arguments)]
            unsafe fn avx2($($arg: $ty),*) $(-> $ret)? {
                unsafe { $body::<$crate::simd::Avx2>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
            #[allow(clippy::too_many_arguments)]
            unsafe fn avx512($($arg: $ty),*) $(-> $ret)? {
                unsafe { $body::<$crate::simd::Avx512>($($arg),*) }
            }
            #[cfg(target_arch = "aarch64")]
            #[target_feature(enable = "neon")]
            #[allow(clippy::too_many_arguments)]
            unsafe fn neon($($arg: $ty),*) $(-> $ret)? {
                unsafe { $body::<$crate::simd::Neon>($($arg),*) }
            }
            match isa {
                $crate::simd::Isa::Scalar => unsafe { scalar($($arg),*) },
                #[cfg(target_arch = "wasm32")]
                $crate::simd::Isa::Wasm => unsafe { wasm($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                $crate::simd::Isa::Avx2 => unsafe { avx2($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                $crate::simd::Isa::Avx512 => unsafe { avx512($($arg),*) },
                #[cfg(target_arch = "aarch64")]
                $crate::simd::Isa::Neon => unsafe { neon($($arg),*) },
            }
        }
    };
}
pub(crate) use per_isa;

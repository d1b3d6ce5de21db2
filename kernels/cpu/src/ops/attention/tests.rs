//! Attention against a dense softmax in double precision, and against itself in other groupings.

use super::attention_with;
use super::problem::Problem;
use crate::abi_generated::dtype;
use crate::ops::testing::{assert_close, context, numbers};
use crate::quant::BlockFormat;
use crate::quant::q8_0::Q8_0;
use crate::simd::Isa;
use crate::simd::float16::{f16_to_f32, f32_to_f16};

/// Blocks of q8_0.
fn blocks(x: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0u8; x.len() / 32 * Q8_0::BYTES];
    for (x, to) in x.chunks(32).zip(bytes.chunks_mut(Q8_0::BYTES)) {
        unsafe { Q8_0::quantize(x.as_ptr(), to.as_mut_ptr()) };
    }
    bytes
}

/// What is left of numbers after rounding to blocks of q8_0.
fn rounded(x: &[f32]) -> Vec<f32> {
    let mut wide = vec![0f32; x.len()];
    for (block, to) in blocks(x).chunks(Q8_0::BYTES).zip(wide.chunks_mut(32)) {
        unsafe { Q8_0::dequantize(block.as_ptr(), to.as_mut_ptr()) };
    }
    wide
}

/// Sequences with their keys and values, and the rows that ask: (sequence, position).
struct Scene {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    lengths: Vec<usize>,
    rows: Vec<(usize, usize)>,
    q: Vec<f32>,
    /// Per sequence [length, kv_heads, head_dim].
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
}

impl Scene {
    fn new(
        (heads, kv_heads, head_dim): (usize, usize, usize),
        lengths: &[usize],
        rows: Vec<(usize, usize)>,
    ) -> Scene {
        let seeded = |seed| {
            let one = |(i, &n): (usize, &usize)| numbers(n * kv_heads * head_dim, seed + i as u64);
            lengths.iter().enumerate().map(one).collect::<Vec<_>>()
        };
        Scene {
            heads,
            kv_heads,
            head_dim,
            lengths: lengths.to_vec(),
            q: numbers(rows.len() * heads * head_dim, 5),
            rows,
            keys: seeded(100),
            values: seeded(200),
        }
    }

    fn scale(&self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }

    /// Lays keys or values out in pages; what no position holds is NaN, so that reading it shows.
    fn paged(&self, of: &[Vec<f32>], page_size: usize) -> (Vec<f32>, Vec<i32>, usize, usize) {
        let max_pages = self
            .lengths
            .iter()
            .map(|n| n.div_ceil(page_size))
            .max()
            .unwrap();
        let pages = self
            .lengths
            .iter()
            .map(|n| n.div_ceil(page_size))
            .sum::<usize>()
            + 1;
        let width = page_size * self.head_dim;
        let mut cache = vec![f32::NAN; pages * self.kv_heads * width];
        // Entries that no row may use hold a page that does not exist.
        let mut table = vec![-7; self.lengths.len() * max_pages];
        let mut free = pages;
        for (s, rows) in of.iter().enumerate() {
            for page in 0..self.lengths[s].div_ceil(page_size) {
                free -= 1;
                table[s * max_pages + page] = free as i32;
                for place in 0..page_size.min(self.lengths[s] - page * page_size) {
                    for h in 0..self.kv_heads {
                        let from = ((page * page_size + place) * self.kv_heads + h) * self.head_dim;
                        let to = (free * self.kv_heads + h) * width + place * self.head_dim;
                        cache[to..to + self.head_dim]
                            .copy_from_slice(&rows[from..from + self.head_dim]);
                    }
                }
            }
        }
        (cache, table, pages, max_pages)
    }

    /// Runs the kernel on some of the rows.
    fn run(
        &self,
        isa: Isa,
        rows: core::ops::Range<usize>,
        page_size: usize,
        code: u32,
    ) -> Vec<f32> {
        let (keys, table, pages, max_pages) = self.paged(&self.keys, page_size);
        let (values, ..) = self.paged(&self.values, page_size);
        let halves = |x: &[f32]| x.iter().map(|&v| f32_to_f16(v)).collect::<Vec<u16>>();
        let (half_keys, half_values) = (halves(&keys), halves(&values));
        let (block_keys, block_values) = match code {
            dtype::Q8_0 => (blocks(&keys), blocks(&values)),
            _ => (Vec::new(), Vec::new()),
        };
        let (keys, values) = match code {
            dtype::F16 => (half_keys.as_ptr().cast(), half_values.as_ptr().cast()),
            dtype::Q8_0 => (block_keys.as_ptr(), block_values.as_ptr()),
            _ => (keys.as_ptr().cast(), values.as_ptr().cast()),
        };
        let sequence: Vec<i32> = self.rows[rows.clone()].iter().map(|r| r.0 as i32).collect();
        let position: Vec<i32> = self.rows[rows.clone()].iter().map(|r| r.1 as i32).collect();
        let width = self.heads * self.head_dim;
        let mut out = vec![7.0; rows.len() * width];
        let problem = Problem {
            out: out.as_mut_ptr(),
            q: self.q[rows.start * width..].as_ptr(),
            keys,
            values,
            page_table: table.as_ptr(),
            row_sequence: sequence.as_ptr(),
            row_position: position.as_ptr(),
            cache_dtype: code,
            rows: rows.len(),
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            pages,
            page_size,
            sequences: self.lengths.len(),
            max_pages,
            q_stride: width,
            out_stride: width,
            scale: self.scale(),
        };
        unsafe { attention_with(isa, context(), &problem) }.unwrap();
        out
    }

    /// The plain reference: a dense softmax in double precision.
    fn reference(&self, rounded: impl Fn(f32) -> f32) -> Vec<f64> {
        let mut out = Vec::new();
        for (row, head) in (0..self.rows.len()).flat_map(|r| (0..self.heads).map(move |h| (r, h))) {
            let (sequence, position) = self.rows[row];
            let kv_head = head / (self.heads / self.kv_heads);
            let q = &self.q[(row * self.heads + head) * self.head_dim..][..self.head_dim];
            let line = |of: &[Vec<f32>], j: usize| -> Vec<f64> {
                let at = (j * self.kv_heads + kv_head) * self.head_dim;
                let line = &of[sequence][at..at + self.head_dim];
                line.iter().map(|&v| f64::from(rounded(v))).collect()
            };
            let dot = |j: usize| -> f64 {
                let key = line(&self.keys, j);
                q.iter()
                    .zip(key)
                    .map(|(&q, k)| f64::from(q) * k)
                    .sum::<f64>()
            };
            let s: Vec<f64> = (0..=position)
                .map(|j| dot(j) * f64::from(self.scale()))
                .collect();
            let largest = s.iter().fold(f64::NEG_INFINITY, |m, &v| m.max(v));
            let e: Vec<f64> = s.iter().map(|v| (v - largest).exp()).collect();
            let total: f64 = e.iter().sum();
            let mut mean = vec![0.0; self.head_dim];
            for (j, e) in e.iter().enumerate() {
                for (m, v) in mean.iter_mut().zip(line(&self.values, j)) {
                    *m += e / total * v;
                }
            }
            out.extend(mean);
        }
        out
    }
}

/// All positions of a sequence as rows.
fn prompt(sequence: usize, length: usize) -> Vec<(usize, usize)> {
    (0..length).map(|p| (sequence, p)).collect()
}

#[test]
fn prompts_agree_with_a_dense_softmax_for_every_head_shape() {
    for shape in [
        (1, 1, 1),
        (4, 4, 12),
        (6, 2, 8),
        (4, 1, 16),
        (3, 1, 33),
        (2, 2, 64),
        (40, 1, 24),
    ] {
        for length in [1, 2, 63, 64, 65, 131] {
            let scene = Scene::new(shape, &[length], prompt(0, length));
            let want = scene.reference(|v| v);
            for isa in Isa::available() {
                let got = scene.run(isa, 0..length, 16, dtype::F32);
                assert_close(&got, &want, 1e-6, isa);
            }
        }
    }
}

#[test]
fn wide_heads_agree_in_single_and_half_precision() {
    for shape in [(4, 2, 128), (2, 1, 256), (5, 5, 100)] {
        let scene = Scene::new(shape, &[90], prompt(0, 90));
        let want = scene.reference(|v| v);
        let half = scene.reference(|v| f16_to_f32(f32_to_f16(v)));
        for isa in Isa::available() {
            assert_close(&scene.run(isa, 0..90, 32, dtype::F32), &want, 1e-6, isa);
            assert_close(&scene.run(isa, 0..90, 32, dtype::F16), &half, 1e-6, isa);
        }
    }
}

#[test]
fn a_cache_in_blocks_is_one_of_the_numbers_that_they_stand_for() {
    for shape in [(4, 2, 64), (16, 1, 32), (3, 3, 96)] {
        let scene = Scene::new(shape, &[150], prompt(0, 150));
        let mut wide = Scene::new(shape, &[150], prompt(0, 150));
        for x in wide.keys.iter_mut().chain(&mut wide.values) {
            *x = rounded(x);
        }
        let want = wide.reference(|v| v);
        for isa in Isa::available() {
            let got = scene.run(isa, 0..150, 16, dtype::Q8_0);
            assert_close(&got, &want, 1e-6, isa);
            let alone = scene.run(isa, 149..150, 7, dtype::Q8_0);
            assert_eq!(alone, got[got.len() - alone.len()..], "{isa:?}");
        }
    }
}

#[test]
fn long_contexts_agree_whether_their_spans_are_shared_out_or_not() {
    // One row has few groups, so that its spans are shared out; many rows have too many for that.
    let long = 1700;
    let rows = [
        vec![(1, long - 1)],
        (0..300).map(|i| (1, long - 300 + i)).collect(),
    ]
    .concat();
    let mut scene = Scene::new((8, 8, 16), &[3, long], rows);
    // The first row asks what the last one asks.
    scene.q.copy_within(0..8 * 16, 300 * 8 * 16);
    let want = scene.reference(|v| v);
    for isa in Isa::available() {
        let one = scene.run(isa, 0..1, 64, dtype::F32);
        assert_close(&one, &want[..one.len()], 1e-6, isa);
        let many = scene.run(isa, 1..301, 64, dtype::F32);
        assert_close(&many, &want[one.len()..], 1e-6, isa);
        assert_eq!(
            one,
            many[many.len() - one.len()..],
            "{isa:?}: the last row's bits"
        );
    }
}

#[test]
fn a_row_has_the_same_bits_alone_in_a_prompt_beside_others_and_on_any_page_size() {
    for shape in [(6, 2, 20), (4, 4, 64), (8, 1, 12)] {
        let lengths = [150, 70, 1100];
        let mut rows = prompt(0, 150);
        rows.extend([(2, 1099), (1, 69), (1, 3), (2, 600), (2, 511), (2, 512)]);
        rows.extend(prompt(1, 70));
        let scene = Scene::new(shape, &lengths, rows);
        let width = shape.0 * shape.2;
        for isa in Isa::available() {
            for code in [dtype::F32, dtype::F16] {
                let together = scene.run(isa, 0..scene.rows.len(), 16, code);
                for page_size in [1, 7, 64, 200] {
                    let other = scene.run(isa, 0..scene.rows.len(), page_size, code);
                    assert_eq!(together, other, "{isa:?}: pages of {page_size}");
                }
                for row in 0..scene.rows.len() {
                    let alone = scene.run(isa, row..row + 1, 16, code);
                    assert_eq!(
                        alone,
                        together[row * width..(row + 1) * width],
                        "{isa:?}: row {row}"
                    );
                }
            }
        }
    }
}

#[test]
fn scores_of_any_size_neither_overflow_nor_vanish() {
    let mut scene = Scene::new((2, 1, 8), &[80], prompt(0, 80));
    scene.q.iter_mut().for_each(|v| *v *= 300.0);
    let want = scene.reference(|v| v);
    for isa in Isa::available() {
        let got = scene.run(isa, 0..80, 16, dtype::F32);
        // Scores near 1000 have an absolute precision of 6e-5, and so have the logarithms of weights.
        assert_close(&got, &want, 4e-4, isa);
    }
}

/// A call with two rows that is in order; each case spoils one argument of it.
fn refused(
    spoil: impl Fn(&mut Problem, &mut [i32; 4], &mut [i32; 2], &mut [i32; 2]),
) -> &'static str {
    let cache = [0f32; 4 * 2 * 4 * 8];
    let (mut table, mut sequence, mut position) = ([3, 1, 0, -1], [0, 1], [7, 3]);
    let q = [0f32; 2 * 4 * 8];
    let mut out = [0f32; 2 * 4 * 8];
    let mut problem = Problem {
        out: out.as_mut_ptr(),
        q: q.as_ptr(),
        keys: cache.as_ptr().cast(),
        values: cache.as_ptr().cast(),
        page_table: core::ptr::null(),
        row_sequence: core::ptr::null(),
        row_position: core::ptr::null(),
        cache_dtype: dtype::F32,
        rows: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 8,
        pages: 4,
        page_size: 4,
        sequences: 2,
        max_pages: 2,
        q_stride: 32,
        out_stride: 32,
        scale: 1.0,
    };
    spoil(&mut problem, &mut table, &mut sequence, &mut position);
    problem.page_table = table.as_ptr();
    problem.row_sequence = sequence.as_ptr();
    problem.row_position = position.as_ptr();
    unsafe { attention_with(Isa::Scalar, context(), &problem) }
        .err()
        .unwrap_or("accepted")
}

#[test]
fn what_would_read_outside_the_cache_is_refused() {
    assert_eq!(refused(|_, _, _, _| {}), "accepted");
    assert_eq!(refused(|p, _, _, _| p.rows = 0), "accepted");
    let heads = "heads must be a multiple of kv_heads";
    assert_eq!(refused(|p, _, _, _| p.kv_heads = 3), heads);
    assert_eq!(refused(|p, _, _, _| p.kv_heads = 0), heads);
    let empty = "page_size must be at least 1";
    assert_eq!(refused(|p, _, _, _| p.page_size = 0), empty);
    let wide = "head_dim must be from 1 to 8192";
    assert_eq!(refused(|p, _, _, _| p.head_dim = 0), wide);
    assert_eq!(refused(|p, _, _, _| p.head_dim = 8193), wide);
    let stride = "q_stride and out_stride must be at least heads * head_dim";
    assert_eq!(refused(|p, _, _, _| p.q_stride = 31), stride);
    assert_eq!(
        refused(|p, _, _, _| p.cache_dtype = dtype::I8),
        "cache_dtype must be f32, f16 or q8_0"
    );
    assert_eq!(
        refused(|p, _, _, _| p.cache_dtype = dtype::Q8_0),
        "head_dim must be a multiple of 32 in a cache of q8_0"
    );
    let sequence = "a row_sequence is not below sequences";
    assert_eq!(refused(|_, _, s, _| s[1] = 2), sequence);
    assert_eq!(refused(|_, _, s, _| s[0] = -1), sequence);
    let position = "a row_position is not below max_pages * page_size";
    assert_eq!(refused(|_, _, _, r| r[0] = 8), position);
    assert_eq!(refused(|_, _, _, r| r[1] = -1), position);
    let page = "a page of page_table is not below pages";
    assert_eq!(refused(|_, t, _, _| t[1] = 4), page);
    assert_eq!(refused(|_, _, _, r| r[1] = 4), page);
}

use super::backward::backward;
use super::forward::forward;
use super::problem::{Head, Problem};
use super::work::{documents, query_tiles};
use crate::context::Context;
use crate::ops::testing::{assert_close, context, numbers};
use crate::simd::Isa;
use crate::simd::float16::{bf16_to_f32, f32_to_bf16};

/// Sizes of a call and the documents that its rows hold.
#[derive(Clone)]
struct Shape {
    heads: usize,
    kv_heads: usize,
    dim: usize,
    documents: Vec<usize>,
}

fn shape(heads: usize, kv_heads: usize, dim: usize, documents: &[usize]) -> Shape {
    let documents = documents.to_vec();
    Shape {
        heads,
        kv_heads,
        dim,
        documents,
    }
}

impl Shape {
    fn rows(&self) -> usize {
        self.documents.iter().sum()
    }

    fn starts(&self) -> Vec<i32> {
        let mut starts = Vec::new();
        for &rows in &self.documents {
            starts.extend(vec![starts.len() as i32; rows]);
        }
        starts
    }

    fn head(&self, values: &[f32], heads: usize) -> Head {
        Head::new(values.as_ptr().cast_mut(), (heads * self.dim) as u32)
    }
}

/// Inputs by name; queries large enough that a softmax is not even.
struct Inputs {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    dout: Vec<f32>,
    starts: Vec<i32>,
}

fn inputs(shape: &Shape) -> Inputs {
    let (rows, dim) = (shape.rows(), shape.dim);
    Inputs {
        q: numbers(rows * shape.heads * dim, 1),
        k: numbers(rows * shape.kv_heads * dim, 2),
        v: numbers(rows * shape.kv_heads * dim, 3),
        dout: numbers(rows * shape.heads * dim, 4),
        starts: shape.starts(),
    }
}

/// out, log_z, dq, dk, dv.
type Results = [Vec<f32>; 5];

/// An instruction set, and whether factors are rounded to bf16.
type Way = (Isa, bool);

fn ways() -> impl Iterator<Item = Way> {
    Isa::available().flat_map(|isa| [(isa, false), (isa, true)])
}

fn run((isa, brain): Way, context: &Context, shape: &Shape, inputs: &Inputs) -> Results {
    let rows = shape.rows();
    let fill = |count: usize| vec![f32::NAN; count];
    let (queries, keys) = (inputs.q.len(), inputs.k.len());
    let results = [
        fill(queries),
        fill(rows * shape.heads),
        fill(queries),
        fill(keys),
        fill(keys),
    ];
    let problem = Problem {
        starts: inputs.starts.as_ptr(),
        rows,
        heads: shape.heads,
        kv_heads: shape.kv_heads,
        head_dim: shape.dim,
        scale: 1.0 / (shape.dim as f32).sqrt(),
        brain,
        q: shape.head(&inputs.q, shape.heads),
        k: shape.head(&inputs.k, shape.kv_heads),
        v: shape.head(&inputs.v, shape.kv_heads),
        dout: shape.head(&inputs.dout, shape.heads),
        out: shape.head(&results[0], shape.heads),
        log_z: results[1].as_ptr().cast_mut(),
        dq: shape.head(&results[2], shape.heads),
        dk: shape.head(&results[3], shape.kv_heads),
        dv: shape.head(&results[4], shape.kv_heads),
    };
    assert_eq!(problem.check(&[], &[]), Ok(()));
    unsafe {
        forward(isa, context, &problem);
        backward(isa, context, &problem);
    }
    results
}

/// The same in double precision, one dense row after another.
fn reference(shape: &Shape, inputs: &Inputs) -> [Vec<f64>; 5] {
    let (dim, group) = (shape.dim, shape.heads / shape.kv_heads);
    let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    let (q, k, v) = (wide(&inputs.q), wide(&inputs.k), wide(&inputs.v));
    let dout = wide(&inputs.dout);
    let scale = f64::from(1.0 / (dim as f32).sqrt());
    let zeros = |like: &[f64]| vec![0.0; like.len()];
    let (mut out, mut log_z, mut dq) = (zeros(&q), Vec::new(), zeros(&q));
    let (mut dk, mut dv) = (zeros(&k), zeros(&v));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    for row in 0..shape.rows() {
        for head in 0..shape.heads {
            let at = (row * shape.heads + head) * dim;
            let key = |j: usize| (j * shape.kv_heads + head / group) * dim;
            let seen = inputs.starts[row] as usize..row + 1;
            let scores: Vec<f64> = seen
                .clone()
                .map(|j| scale * dot(&q[at..at + dim], &k[key(j)..key(j) + dim]))
                .collect();
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = scores.iter().map(|s| (s - top).exp()).sum();
            log_z.push(top + total.ln());
            let slopes: Vec<f64> = seen
                .clone()
                .map(|j| dot(&dout[at..at + dim], &v[key(j)..key(j) + dim]))
                .collect();
            let weights: Vec<f64> = scores.iter().map(|s| (s - top).exp() / total).collect();
            let along = dot(&weights, &slopes);
            for (i, j) in seen.enumerate() {
                let slope = scale * weights[i] * (slopes[i] - along);
                for d in 0..dim {
                    out[at + d] += weights[i] * v[key(j) + d];
                    dv[key(j) + d] += weights[i] * dout[at + d];
                    dq[at + d] += slope * k[key(j) + d];
                    dk[key(j) + d] += slope * q[at + d];
                }
            }
        }
    }
    [out, log_z, dq, dk, dv]
}

fn shapes() -> Vec<Shape> {
    vec![
        shape(1, 1, 1, &[1]),
        shape(2, 1, 3, &[5, 1, 2]),
        shape(6, 2, 12, &[11, 48, 1, 49]),
        shape(2, 2, 33, &[95, 96, 97]),
        shape(4, 1, 64, &[7, 150]),
        shape(2, 1, 80, &[193]),
        shape(1, 1, 256, &[100]),
    ]
}

#[test]
fn results_agree_with_a_dense_softmax_on_every_instruction_set() {
    for shape in shapes() {
        let inputs = inputs(&shape);
        let want = reference(&shape, &inputs);
        for isa in Isa::available() {
            let got = run((isa, false), context(), &shape, &inputs);
            for (got, want) in got.iter().zip(&want) {
                assert_close(got, want, 3e-6, isa);
            }
        }
    }
}

#[test]
fn factors_of_bf16_are_rounded_and_nothing_else_is() {
    let narrow = |values: &[f32]| {
        values
            .iter()
            .map(|&v| bf16_to_f32(f32_to_bf16(v)))
            .collect()
    };
    for shape in shapes() {
        let inputs = inputs(&shape);
        let rounded = Inputs {
            q: narrow(&inputs.q),
            k: narrow(&inputs.k),
            v: narrow(&inputs.v),
            dout: narrow(&inputs.dout),
            starts: shape.starts(),
        };
        let want = reference(&shape, &rounded);
        for isa in Isa::available() {
            let got = run((isa, true), context(), &shape, &inputs);
            // Scores have exact factors; weights and slopes are rounded on their way.
            for (i, tolerance) in [4e-3, 3e-6, 8e-3, 8e-3, 4e-3].into_iter().enumerate() {
                assert_close(&got[i], &want[i], tolerance, isa);
            }
            assert_ne!(got, run((isa, false), context(), &shape, &inputs));
        }
    }
}

#[test]
fn threads_change_no_bit() {
    for shape in shapes() {
        let inputs = inputs(&shape);
        for way in ways() {
            let want = run(way, &Context::new(1), &shape, &inputs);
            assert_eq!(run(way, context(), &shape, &inputs), want, "{way:?}");
        }
    }
}

#[test]
fn a_document_gets_the_same_bits_wherever_it_is_packed() {
    let packed = shape(4, 2, 40, &[13, 61, 130, 2]);
    let all = inputs(&packed);
    for way in ways() {
        let together = run(way, context(), &packed, &all);
        let mut first = 0;
        for &rows in &packed.documents {
            let alone = shape(4, 2, 40, &[rows]);
            let part = |values: &[f32], heads: usize| {
                values[first * heads * 40..(first + rows) * heads * 40].to_vec()
            };
            let inputs = Inputs {
                q: part(&all.q, 4),
                k: part(&all.k, 2),
                v: part(&all.v, 2),
                dout: part(&all.dout, 4),
                starts: alone.starts(),
            };
            let [out, log_z, dq, dk, dv] = run(way, context(), &alone, &inputs);
            assert_eq!(out, part(&together[0], 4), "{way:?}");
            assert_eq!(log_z, together[1][first * 4..(first + rows) * 4]);
            assert_eq!(dq, part(&together[2], 4));
            assert_eq!(dk, part(&together[3], 2));
            assert_eq!(dv, part(&together[4], 2));
            first += rows;
        }
    }
}

#[test]
fn queries_that_see_one_key_alone_leave_scores_without_a_gradient() {
    for (heads, kv_heads, dim) in [(1, 1, 6), (3, 3, 33), (4, 2, 48), (6, 1, 130)] {
        let shape = shape(heads, kv_heads, dim, &[1; 101]);
        let inputs = inputs(&shape);
        for way in ways() {
            let [out, _, dq, dk, dv] = run(way, context(), &shape, &inputs);
            assert!(dq.iter().chain(&dk).all(|&v| v == 0.0), "{way:?}: {dim}");
            let want = reference(&shape, &inputs);
            let (isa, brain) = way;
            assert_close(&out, &want[0], if brain { 4e-3 } else { 1e-7 }, isa);
            assert_close(&dv, &want[4], if brain { 4e-3 } else { 3e-7 }, isa);
        }
    }
}

#[test]
fn extreme_scores_stay_finite() {
    let shape = shape(2, 1, 16, &[70]);
    let mut inputs = inputs(&shape);
    for (i, q) in inputs.q.iter_mut().enumerate() {
        *q *= if i % 3 == 0 { 3e4 } else { -2e3 };
    }
    for way in ways() {
        for result in run(way, context(), &shape, &inputs) {
            assert!(result.iter().all(|v| v.is_finite()), "{way:?}");
        }
    }
}

#[test]
fn a_number_that_is_none_reaches_those_who_see_it_and_no_others() {
    let shape = shape(1, 1, 8, &[4, 60]);
    let mut inputs = inputs(&shape);
    inputs.k[10 * 8] = f32::NAN;
    for way in ways() {
        let [out, ..] = run(way, context(), &shape, &inputs);
        for (row, out) in out.chunks(8).enumerate() {
            assert_eq!(out[0].is_nan(), row >= 10, "{way:?}: row {row}");
        }
    }
}

#[test]
fn rows_are_cut_where_documents_begin() {
    let shape = shape(1, 1, 4, &[3, 100, 1]);
    let starts = shape.starts();
    let problem = Problem {
        starts: starts.as_ptr(),
        rows: shape.rows(),
        heads: 1,
        kv_heads: 1,
        head_dim: 4,
        ..Problem::default()
    };
    let found: Vec<_> = documents(&problem).map(|d| (d.first, d.rows)).collect();
    assert_eq!(found, [(0, 3), (3, 100), (103, 1)]);
    let tiles: Vec<_> = query_tiles(&problem)
        .map(|t| (t.document.first, t.first, t.count()))
        .collect();
    assert_eq!(tiles, [(0, 0, 3), (3, 0, 96), (3, 96, 4), (103, 0, 1)]);
}

#[test]
fn starts_that_are_no_documents_and_heads_that_do_not_share_out_are_refused() {
    let check = |starts: &[i32], heads, kv_heads, stride| {
        let problem = Problem {
            starts: starts.as_ptr(),
            rows: starts.len(),
            heads,
            kv_heads,
            head_dim: 4,
            ..Problem::default()
        };
        problem.check(&[stride], &[stride])
    };
    assert_eq!(check(&[0, 0, 2, 2], 2, 1, 8), Ok(()));
    let starts = Err("starts: every row's is its own index or that of the row before");
    for bad in [[1, 1], [0, -1], [0, 2], [-1, 0]] {
        assert_eq!(check(&bad, 2, 1, 8), starts);
    }
    assert_eq!(check(&[0, 0, 1], 2, 1, 8), starts);
    assert_eq!(
        check(&[0], 3, 2, 12),
        Err("heads is not a multiple of kv_heads")
    );
    assert_eq!(
        check(&[0], 3, 0, 12),
        Err("heads is not a multiple of kv_heads")
    );
    assert_eq!(
        check(&[0, 0], 2, 1, 7),
        Err("a stride is below the width of its rows")
    );
}

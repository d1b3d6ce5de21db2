use super::*;
use crate::ops::testing::{assert_close, context, numbers};
use crate::simd::float16::{bf16_to_f32, f32_to_bf16};

/// Whether the lines or the depth of an operand lie side by side.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Lines,
    Depth,
}

/// A matrix with gaps between its rows in memory.
struct Matrix {
    floats: Vec<f32>,
    halves: Vec<u16>,
    line_stride: usize,
    depth_stride: usize,
}

impl Matrix {
    fn new((lines, depth): (usize, usize), order: Order, seed: u64) -> Matrix {
        const GAP: usize = 3;
        let (line_stride, depth_stride) = match order {
            Order::Lines => (1, lines + GAP),
            Order::Depth => (depth + GAP, 1),
        };
        let floats = numbers((lines + GAP) * (depth + GAP), seed);
        let halves = floats.iter().map(|&x| f32_to_bf16(x)).collect();
        Matrix {
            floats,
            halves,
            line_stride,
            depth_stride,
        }
    }

    fn operand(&self, half: bool) -> Operand {
        Operand {
            address: if half {
                self.halves.as_ptr().cast()
            } else {
                self.floats.as_ptr().cast()
            },
            half,
            line_stride: self.line_stride,
            depth_stride: self.depth_stride,
        }
    }

    fn at(&self, line: usize, k: usize, narrow: bool) -> f64 {
        let at = line * self.line_stride + k * self.depth_stride;
        f64::from(if narrow {
            bf16_to_f32(self.halves[at])
        } else {
            self.floats[at]
        })
    }
}

const ORDERS: [(Order, Order); 4] = [
    (Order::Depth, Order::Depth),
    (Order::Depth, Order::Lines),
    (Order::Lines, Order::Lines),
    (Order::Lines, Order::Depth),
];

const SHAPES: [(usize, usize, usize); 7] = [
    (1, 1, 1),
    (2, 3, 2),
    (7, 50, 35),
    (25, 33, 801),
    (130, 70, 64),
    (13, 300, 385),
    (12, 32, 0),
];

fn product(
    out: &mut [f32],
    (a, b): (Operand, Operand),
    (rows, columns, depth): (usize, usize, usize),
) -> Product {
    Product {
        out: out.as_mut_ptr(),
        a,
        b,
        rows,
        columns,
        depth,
        out_stride: columns + 5,
        accumulate: false,
        brain: false,
        b_packed: false,
    }
}

#[test]
fn every_order_type_precision_and_tail_agrees_with_double_precision() {
    for (shape, orders) in SHAPES.iter().flat_map(|&s| ORDERS.map(|o| (s, o))) {
        let (rows, columns, depth) = shape;
        let a = Matrix::new((rows, depth), orders.0, 1);
        let b = Matrix::new((columns, depth), orders.1, 2);
        let types = [(false, false), (true, false), (false, true), (true, true)];
        for ((a_half, b_half), brain) in types.iter().flat_map(|&t| [(t, false), (t, true)]) {
            let sum = |row: usize, column: usize| -> f64 {
                let term =
                    |k: usize| a.at(row, k, a_half || brain) * b.at(column, k, b_half || brain);
                (0..depth).map(term).sum()
            };
            let want: Vec<f64> = (0..rows * columns)
                .map(|i| sum(i / columns, i % columns))
                .collect();
            for isa in Isa::available() {
                for accumulate in [false, true] {
                    let mut out = vec![0.75f32; rows * (columns + 5)];
                    let operands = (a.operand(a_half), b.operand(b_half));
                    let product = Product {
                        accumulate,
                        brain,
                        ..product(&mut out, operands, shape)
                    };
                    unsafe { gemm_on(isa, context(), &product) }.unwrap();
                    let mut got = Vec::new();
                    for row in out.chunks(columns + 5) {
                        got.extend_from_slice(&row[..columns]);
                        assert_eq!(row[columns..], [0.75; 5], "{isa:?} wrote into a gap");
                    }
                    let before = if accumulate { 0.75 } else { 0.0 };
                    let want: Vec<f64> = want.iter().map(|sum| sum + before).collect();
                    assert_close(&got, &want, 2e-6, isa);
                }
            }
        }
    }
}

#[test]
fn rows_columns_and_threads_change_no_bit() {
    let (rows, columns, depth) = (150, 200, 900);
    let one = Context::new(1);
    let a = Matrix::new((rows, depth), Order::Depth, 1);
    let b = Matrix::new((columns, depth), Order::Lines, 2);
    for (isa, brain) in Isa::available().flat_map(|isa| [(isa, false), (isa, true)]) {
        let run = |context: &Context, first: (usize, usize), size: (usize, usize)| {
            let mut out = vec![0f32; size.0 * (size.1 + 5)];
            let (mut x, mut w) = (a.operand(false), b.operand(false));
            x.address = unsafe { x.address.add(first.0 * x.line_stride * 4) };
            w.address = unsafe { w.address.add(first.1 * w.line_stride * 4) };
            let shape = (size.0, size.1, depth);
            let product = Product {
                brain,
                ..product(&mut out, (x, w), shape)
            };
            unsafe { gemm_on(isa, context, &product) }.unwrap();
            out
        };
        let all = run(&one, (0, 0), (rows, columns));
        assert_eq!(
            run(context(), (0, 0), (rows, columns)),
            all,
            "{isa:?}: threads"
        );
        for (first, size) in [((3, 5), (1, 1)), ((17, 40), (20, 90)), ((149, 0), (1, 200))] {
            let part = run(context(), first, size);
            for (i, row) in part.chunks(size.1 + 5).enumerate() {
                let at = (first.0 + i) * (columns + 5) + first.1;
                assert_eq!(
                    row[..size.1],
                    all[at..at + size.1],
                    "{isa:?}: {first:?} {size:?}"
                );
            }
        }
    }
}

#[test]
fn what_is_not_finite_shows_in_its_own_sums_alone() {
    let shape = (13, 40, 10);
    for (isa, brain) in Isa::available().flat_map(|isa| [(isa, false), (isa, true)]) {
        let mut a = Matrix::new((13, 10), Order::Depth, 1);
        let b = Matrix::new((40, 10), Order::Depth, 2);
        a.floats[5 * a.line_stride + 9] = f32::NAN;
        a.floats[7 * a.line_stride] = f32::INFINITY;
        let mut out = vec![0f32; 13 * 45];
        let product = Product {
            brain,
            ..product(&mut out, (a.operand(false), b.operand(false)), shape)
        };
        unsafe { gemm_on(isa, context(), &product) }.unwrap();
        for (row, out) in out.chunks(45).enumerate() {
            let finite = out[..40].iter().all(|x| x.is_finite());
            assert_eq!(finite, row != 5 && row != 7, "{isa:?}: row {row}");
        }
    }
}

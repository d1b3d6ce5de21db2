//! Panels: lines of an operand copied into the order in which a register tile reads them.
//!
//! A panel of `width` lines holds one unit of each line, then the next unit of each, and so on; lines
//! past the last are 0. Panels of one block of depth are neighbours.

use super::Operand;
use super::multiply::Arithmetic;
use super::source::{Brain, Rounded, Single, Source};
use crate::simd::{Isa, MAX_LANES, Simd, per_isa};

/// One operand on its way into panels.
#[derive(Clone, Copy)]
pub struct Packing {
    pub operand: Operand,
    pub arithmetic: Arithmetic,
    /// Lines of a panel.
    pub width: usize,
    /// The lines to pack: those from `first_line` up to `end_line`.
    pub first_line: usize,
    pub end_line: usize,
    /// Elements of depth of the operand.
    pub depth: usize,
    /// The units to pack.
    pub first_unit: usize,
    pub units: usize,
    pub to: *mut f32,
}

unsafe impl Sync for Packing {}

impl Packing {
    /// Panels that the lines fill.
    pub fn panels(&self) -> usize {
        (self.end_line - self.first_line).div_ceil(self.width)
    }
}

/// Packs panels `first` up to `end`.
pub unsafe fn pack_panels(isa: Isa, packing: &Packing, panels: (usize, usize)) {
    unsafe {
        match packing.arithmetic {
            #[cfg(target_arch = "x86_64")]
            Arithmetic::Pairs => pack_pairs(packing, panels),
            _ => pack_floats_on(isa, packing, panels),
        }
    }
}

per_isa! { unsafe fn pack_floats_on = pack_floats(packing: &Packing, panels: (usize, usize)); }

#[inline(always)]
unsafe fn pack_floats<S: Simd>(packing: &Packing, panels: (usize, usize)) {
    unsafe {
        match (packing.operand.half, packing.arithmetic) {
            (true, _) => pack::<S, Brain>(packing, panels),
            (false, Arithmetic::Rounded) => pack::<S, Rounded>(packing, panels),
            (false, _) => pack::<S, Single>(packing, panels),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c")]
unsafe fn pack_pairs(packing: &Packing, panels: (usize, usize)) {
    use super::source::{BrainPairs, SinglePairs};
    use crate::simd::Avx512;
    unsafe {
        if packing.operand.half {
            pack::<Avx512, BrainPairs>(packing, panels)
        } else {
            pack::<Avx512, SinglePairs>(packing, panels)
        }
    }
}

/// One panel while it is packed.
struct Panel {
    to: *mut f32,
    /// Address of the first unit of the first line.
    from: *const u8,
    width: usize,
    /// Lines that are there.
    present: usize,
    /// Lines that are there from the first of the panel on, those of later panels too.
    readable: usize,
    units: usize,
    /// Elements of depth that are there.
    elements: usize,
}

/// Units that are packed of one panel before the next one's turn, where lines lie side by side: the
/// reads of all panels together are runs that the processor foresees.
const TURN: usize = 8;

#[inline(always)]
unsafe fn pack<S: Simd, T: Source>(packing: &Packing, (first, end): (usize, usize)) {
    unsafe {
        let operand = &packing.operand;
        if operand.depth_stride == 1 {
            for panel in first..end {
                let panel = open::<T>(packing, panel);
                pack_along::<S, T>(&panel, operand.line_stride * T::BYTES);
            }
            return;
        }
        for unit in (0..packing.units).step_by(TURN) {
            let units = (unit, packing.units.min(unit + TURN));
            for panel in first..end {
                let panel = open::<T>(packing, panel);
                pack_across::<S, T>(&panel, operand.depth_stride * T::BYTES, units);
            }
        }
    }
}

#[inline(always)]
unsafe fn open<T: Source>(packing: &Packing, panel: usize) -> Panel {
    let operand = &packing.operand;
    let line = packing.first_line + panel * packing.width;
    let k = packing.first_unit * T::DEPTH;
    let element = line * operand.line_stride + k * operand.depth_stride;
    unsafe {
        Panel {
            to: packing.to.add(panel * packing.width * packing.units),
            from: operand.address.add(element * T::BYTES),
            width: packing.width,
            present: packing.width.min(packing.end_line - line),
            readable: packing.end_line - line,
            units: packing.units,
            elements: (packing.units * T::DEPTH).min(packing.depth - k),
        }
    }
}

/// Packs lines whose depth lies side by side.
#[inline(always)]
unsafe fn pack_along<S: Simd, T: Source>(panel: &Panel, line_bytes: usize) {
    unsafe {
        match panel.width {
            12 if S::TURNS => pack_turned::<S, T, 12>(panel, line_bytes),
            32 if S::TURNS => pack_turned::<S, T, 32>(panel, line_bytes),
            _ => pack_by_fours::<S, T>(panel, line_bytes),
        }
    }
}

/// Packs squares of LANES units of LANES lines.
#[inline(always)]
unsafe fn pack_turned<S: Simd, T: Source, const WIDTH: usize>(panel: &Panel, line_bytes: usize) {
    unsafe {
        for unit in (0..panel.units).step_by(S::LANES) {
            let k = unit * T::DEPTH;
            let left = panel.elements.saturating_sub(k);
            let units = S::LANES.min(panel.units - unit);
            let from = panel.from.wrapping_add(k * T::BYTES);
            let mut first = 0;
            while first < WIDTH {
                let mut lines = [S::zero(); MAX_LANES];
                for i in 0..S::LANES.min(WIDTH - first) {
                    let line = first + i;
                    if line < panel.present {
                        lines[i] = T::along::<S>(from.wrapping_add(line * line_bytes), left);
                    }
                }
                let turned = S::turn(lines);
                let to = panel.to.add(unit * WIDTH + first);
                let ends = unit + units == panel.units;
                store_turned::<S, WIDTH>(to, turned, units, WIDTH - first, ends);
                first += S::LANES;
            }
        }
    }
}

/// Stores the first `units` units, `lines` lines of each or as many as a vector has: what is too much
/// of a unit is overwritten by the next, but not that of the last one of a panel.
#[inline(always)]
unsafe fn store_turned<S: Simd, const WIDTH: usize>(
    to: *mut f32,
    units: [S::F32; MAX_LANES],
    count: usize,
    lines: usize,
    ends: bool,
) {
    unsafe {
        if count == S::LANES && !(ends && lines < S::LANES) {
            for i in 0..S::LANES {
                S::store(to.add(i * WIDTH), units[i]);
            }
        } else {
            let kept = units;
            for (i, &unit) in kept.iter().enumerate().take(count) {
                S::store_first(to.add(i * WIDTH), unit, lines);
            }
        }
    }
}

/// Packs four lines at a time.
#[inline(always)]
unsafe fn pack_by_fours<S: Simd, T: Source>(panel: &Panel, line_bytes: usize) {
    unsafe {
        let step = S::LANES * T::DEPTH;
        let fours = panel.present / 4 * 4;
        let whole = panel.present == panel.width;
        for unit in (0..panel.units).step_by(S::LANES) {
            let k = unit * T::DEPTH;
            let left = panel.elements.saturating_sub(k);
            let to = panel.to.add(unit * panel.width);
            let from = panel.from.add(k * T::BYTES);
            if left < step {
                let units = S::LANES.min(panel.units - unit);
                scatter::<S, T>(panel, (to, from), (0, line_bytes), (left, units));
                continue;
            }
            for line in (0..fours).step_by(4) {
                four_lines::<S, T>(
                    panel,
                    (to, from),
                    [0, 1, 2, 3].map(|i| line + i),
                    line_bytes,
                );
            }
            if whole && panel.width > 4 && fours < panel.width {
                let lines = [4, 3, 2, 1].map(|i| panel.width - i);
                four_lines::<S, T>(panel, (to, from), lines, line_bytes);
            } else if whole && panel.width == 3 && unit + S::LANES < panel.units {
                // The fourth number of a unit is overwritten by the first of the next.
                four_lines::<S, T>(panel, (to, from), [0, 1, 2, 2], line_bytes);
            } else if fours < panel.width {
                scatter::<S, T>(panel, (to, from), (fours, line_bytes), (step, S::LANES));
            }
        }
    }
}

/// Packs LANES units of four lines, which go to where the first of them belongs and after it.
#[inline(always)]
unsafe fn four_lines<S: Simd, T: Source>(
    panel: &Panel,
    (to, from): (*mut f32, *const u8),
    lines: [usize; 4],
    line_bytes: usize,
) {
    unsafe {
        let step = S::LANES * T::DEPTH;
        let values = [
            T::along::<S>(from.add(lines[0] * line_bytes), step),
            T::along::<S>(from.add(lines[1] * line_bytes), step),
            T::along::<S>(from.add(lines[2] * line_bytes), step),
            T::along::<S>(from.add(lines[3] * line_bytes), step),
        ];
        S::store_across(to.add(lines[0]), panel.width, values);
    }
}

/// Packs the lines from `first` on one by one, and zeros after the last: `units` units, of which `left`
/// elements are there.
#[inline(always)]
unsafe fn scatter<S: Simd, T: Source>(
    panel: &Panel,
    (to, from): (*mut f32, *const u8),
    (first, line_bytes): (usize, usize),
    (left, units): (usize, usize),
) {
    unsafe {
        for line in first..panel.width {
            let mut lanes = [0f32; MAX_LANES];
            if line < panel.present {
                let values = T::along::<S>(from.add(line * line_bytes), left);
                S::store(lanes.as_mut_ptr(), values);
            }
            for (unit, &value) in lanes.iter().enumerate().take(units) {
                *to.add(unit * panel.width + line) = value;
            }
        }
    }
}

/// Packs units `first` up to `end` of lines that lie side by side.
#[inline(always)]
unsafe fn pack_across<S: Simd, T: Source>(
    panel: &Panel,
    depth_bytes: usize,
    (first, end): (usize, usize),
) {
    unsafe {
        let padded = panel.width.next_multiple_of(S::LANES);
        for unit in first..end {
            let to = panel.to.add(unit * panel.width);
            let from = panel.from.add(unit * T::DEPTH * depth_bytes);
            let pair = (unit + 1) * T::DEPTH <= panel.elements;
            // What a whole vector stores beyond a unit is overwritten by the next one.
            let whole =
                panel.readable >= padded && (padded == panel.width || unit + 1 < panel.units);
            for line in (0..panel.width).step_by(S::LANES) {
                let from = from.wrapping_add(line * T::BYTES);
                if whole {
                    let values = T::across::<S>(from, depth_bytes, pair, S::LANES);
                    S::store(to.add(line), values);
                } else {
                    let lines = panel.present.saturating_sub(line);
                    let values = T::across::<S>(from, depth_bytes, pair, lines);
                    S::store_first(to.add(line), values, panel.width - line);
                }
            }
        }
    }
}

//! Writes keys or values into the paged cache (Kwon et al. 2023, section 4.1).

use super::cache_element::{CacheElement, CacheF16, CacheF32, CacheQ8, check_cache};
use super::chunks::{Shared, in_rows};
use crate::abi_generated::dtype;
use crate::context::{Context, Status};
use crate::simd::{Isa, Simd, isa, per_isa};

/// The shape of a cache, and where the rows go that are written.
#[derive(Clone, Copy)]
struct Store {
    cache: *mut u8,
    x: *const f32,
    slots: *const i32,
    rows: usize,
    kv_heads: usize,
    head_dim: usize,
    stride: usize,
    page_size: usize,
}

/// cache[slots[r] / page_size, h, slots[r] % page_size, :] = x[r,h,:]; `stride` is the distance of
/// rows of x. Where two rows name one slot, the later one stays.
pub unsafe fn kv_store(
    context: &Context,
    cache: *mut u8,
    x: *const f32,
    slots: *const i32,
    cache_dtype: u32,
    rows: u32,
    kv_heads: u32,
    head_dim: u32,
    stride: u32,
    pages: u32,
    page_size: u32,
) -> Status {
    if rows > 1 && u64::from(stride) < u64::from(kv_heads) * u64::from(head_dim) {
        return Err("stride must be at least kv_heads * head_dim");
    }
    let count = i64::from(pages) * i64::from(page_size);
    if (0..rows as usize).any(|row| {
        let slot = i64::from(unsafe { *slots.add(row) });
        slot < 0 || slot >= count
    }) {
        return Err("a slot is not below pages * page_size");
    }
    let store = Store {
        cache,
        x,
        slots,
        rows: rows as usize,
        kv_heads: kv_heads as usize,
        head_dim: head_dim as usize,
        stride: stride as usize,
        page_size: page_size as usize,
    };
    unsafe { kv_store_with(isa(), context, store, cache_dtype) }
}

unsafe fn kv_store_with(isa: Isa, context: &Context, store: Store, cache_dtype: u32) -> Status {
    check_cache(cache_dtype, store.head_dim)?;
    let write_head = match cache_dtype {
        dtype::F32 => write_head_f32_on,
        dtype::F16 => write_head_f16_on,
        _ => write_head_q8_on,
    };
    let shared = Shared::new(store);
    // Cut by heads, so that rows that name one slot are written in order.
    in_rows(
        context,
        store.kv_heads,
        store.rows * store.head_dim,
        &|first, last| {
            for head in first..last {
                unsafe { write_head(isa, shared.get(), head) };
            }
        },
    );
    Ok(())
}

#[inline(always)]
unsafe fn write_head<S: Simd, C: CacheElement>(store: Store, head: usize) {
    let Some(row_bytes) = C::row_bytes(store.head_dim) else {
        return;
    };
    for row in 0..store.rows {
        unsafe {
            let slot = *store.slots.add(row) as usize;
            let (page, place) = (slot / store.page_size, slot % store.page_size);
            let line = (page * store.kv_heads + head) * store.page_size + place;
            let x = store.x.add(row * store.stride + head * store.head_dim);
            C::store_row::<S>(store.cache.add(line * row_bytes), x, store.head_dim);
        }
    }
}

#[inline(always)]
unsafe fn write_head_f32<S: Simd>(store: Store, head: usize) {
    unsafe { write_head::<S, CacheF32>(store, head) }
}
per_isa! { unsafe fn write_head_f32_on = write_head_f32(store: Store, head: usize); }

#[inline(always)]
unsafe fn write_head_f16<S: Simd>(store: Store, head: usize) {
    unsafe { write_head::<S, CacheF16>(store, head) }
}
per_isa! { unsafe fn write_head_f16_on = write_head_f16(store: Store, head: usize); }

#[inline(always)]
unsafe fn write_head_q8<S: Simd>(store: Store, head: usize) {
    unsafe { write_head::<S, CacheQ8>(store, head) }
}
per_isa! { unsafe fn write_head_q8_on = write_head_q8(store: Store, head: usize); }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{context, numbers};
    use crate::quant::BlockFormat;
    use crate::quant::q8_0::Q8_0;
    use crate::simd::float16::{f16_to_f32, f32_to_f16};

    const PAGES: usize = 3;

    #[test]
    fn rows_land_in_their_slots_and_nowhere_else() {
        for (kv_heads, head_dim, page_size) in [(1, 1, 1), (2, 12, 4), (3, 64, 16), (2, 33, 5)] {
            let stride = kv_heads * head_dim + 3;
            let slots = [0i32, (2 * page_size) as i32, (PAGES * page_size - 1) as i32];
            let x = numbers(slots.len() * stride, 1);
            let count = PAGES * kv_heads * page_size * head_dim;
            for isa in Isa::available() {
                let mut wide = vec![9f32; count];
                let mut half = vec![f32_to_f16(9.0); count];
                for (cache, code) in [
                    (wide.as_mut_ptr().cast::<u8>(), dtype::F32),
                    (half.as_mut_ptr().cast::<u8>(), dtype::F16),
                ] {
                    let (x, slots, rows) = (x.as_ptr(), slots.as_ptr(), slots.len());
                    let store = Store {
                        cache,
                        x,
                        slots,
                        rows,
                        kv_heads,
                        head_dim,
                        stride,
                        page_size,
                    };
                    unsafe { kv_store_with(isa, context(), store, code) }.unwrap();
                }
                let mut want = vec![9f32; count];
                for (row, &slot) in slots.iter().enumerate() {
                    let (page, place) = (slot as usize / page_size, slot as usize % page_size);
                    for (h, i) in (0..kv_heads).flat_map(|h| (0..head_dim).map(move |i| (h, i))) {
                        let at = ((page * kv_heads + h) * page_size + place) * head_dim + i;
                        want[at] = x[row * stride + h * head_dim + i];
                    }
                }
                assert_eq!(wide, want, "{isa:?}");
                let rounded: Vec<f32> = want.iter().map(|&v| f16_to_f32(f32_to_f16(v))).collect();
                let half: Vec<f32> = half.iter().map(|&v| f16_to_f32(v)).collect();
                assert_eq!(half, rounded, "{isa:?}");
            }
        }
    }

    #[test]
    fn rows_of_blocks_are_those_of_the_format() {
        let (kv_heads, head_dim, page_size) = (3, 64, 4);
        let slots = [9i32, 0, 5];
        let x = numbers(slots.len() * kv_heads * head_dim, 2);
        let row_bytes = head_dim / 32 * Q8_0::BYTES;
        for isa in Isa::available() {
            let mut cache = vec![0xa5u8; PAGES * kv_heads * page_size * row_bytes];
            let mut want = cache.clone();
            let store = Store {
                cache: cache.as_mut_ptr(),
                x: x.as_ptr(),
                slots: slots.as_ptr(),
                rows: slots.len(),
                kv_heads,
                head_dim,
                stride: kv_heads * head_dim,
                page_size,
            };
            unsafe { kv_store_with(isa, context(), store, dtype::Q8_0) }.unwrap();
            for (row, &slot) in slots.iter().enumerate() {
                let (page, place) = (slot as usize / page_size, slot as usize % page_size);
                for head in 0..kv_heads {
                    let line = (page * kv_heads + head) * page_size + place;
                    for block in 0..head_dim / 32 {
                        let from = (row * kv_heads + head) * head_dim + 32 * block;
                        let to = line * row_bytes + block * Q8_0::BYTES;
                        unsafe { Q8_0::quantize(x[from..].as_ptr(), want[to..].as_mut_ptr()) };
                    }
                }
            }
            assert!(cache == want, "{isa:?}");
        }
    }

    #[test]
    fn the_later_of_two_rows_with_one_slot_stays() {
        let x = [1.0, 2.0, 3.0, 4.0];
        let mut cache = [0f32; 4];
        let p = cache.as_mut_ptr().cast();
        let slots = [1, 1];
        let status = unsafe {
            kv_store(
                context(),
                p,
                x.as_ptr(),
                slots.as_ptr(),
                dtype::F32,
                2,
                1,
                2,
                2,
                2,
                1,
            )
        };
        assert_eq!((status, cache), (Ok(()), [0.0, 0.0, 3.0, 4.0]));
    }

    #[test]
    fn slots_outside_the_cache_and_unknown_types_are_refused() {
        let x = [0f32; 8];
        let mut cache = [0f32; 8];
        let p = cache.as_mut_ptr().cast();
        let context = context();
        let run = |slot: i32, code, stride| unsafe {
            kv_store(
                context,
                p,
                x.as_ptr(),
                [0, slot].as_ptr(),
                code,
                2,
                1,
                2,
                stride,
                2,
                2,
            )
        };
        assert_eq!(
            run(4, dtype::F32, 2),
            Err("a slot is not below pages * page_size")
        );
        assert_eq!(
            run(-1, dtype::F32, 2),
            Err("a slot is not below pages * page_size")
        );
        assert_eq!(
            run(3, dtype::Q4_K, 2),
            Err("cache_dtype must be f32, f16 or q8_0")
        );
        assert_eq!(
            run(3, dtype::Q8_0, 2),
            Err("head_dim must be a multiple of 32 in a cache of q8_0")
        );
        assert_eq!(
            run(3, dtype::F32, 1),
            Err("stride must be at least kv_heads * head_dim")
        );
        assert_eq!(run(3, dtype::F32, 2), Ok(()));
    }
}

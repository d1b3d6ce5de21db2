//! SentencePiece's sample of a huge input: a reservoir drawn by mt19937, as libstdc++ draws it.

use alloc::vec::Vec;

const STATE: usize = 624;

/// Keeps `size` of all lines that come by, each with equal chance.
pub struct Reservoir {
    size: usize,
    total: u64,
    lines: Vec<Vec<u8>>,
    engine: MersenneTwister,
}

impl Reservoir {
    /// A reservoir with the seed that `spm_train` uses.
    pub fn new(size: usize) -> Reservoir {
        Reservoir {
            size,
            total: 0,
            lines: Vec::new(),
            engine: MersenneTwister::new(12_345_678),
        }
    }

    /// Offers a line.
    pub fn add(&mut self, line: &[u8]) {
        self.total += 1;
        if self.lines.len() < self.size {
            self.lines.push(line.to_vec());
            return;
        }
        let at = self.engine.below(self.total) as usize;
        if at < self.lines.len() {
            self.lines[at] = line.to_vec();
        }
    }

    /// The lines kept.
    pub fn take(&mut self) -> Vec<Vec<u8>> {
        core::mem::take(&mut self.lines)
    }
}

/// mt19937 (Matsumoto & Nishimura 1998).
struct MersenneTwister {
    state: [u32; STATE],
    at: usize,
}

impl MersenneTwister {
    fn new(seed: u32) -> MersenneTwister {
        let mut state = [seed; STATE];
        for i in 1..STATE {
            let x = state[i - 1] ^ (state[i - 1] >> 30);
            state[i] = x.wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        MersenneTwister { state, at: STATE }
    }

    fn next(&mut self) -> u32 {
        if self.at == STATE {
            for i in 0..STATE {
                let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % STATE] & 0x7fff_ffff);
                let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + 397) % STATE] ^ (y >> 1) ^ odd;
            }
            self.at = 0;
        }
        let mut x = self.state[self.at];
        self.at += 1;
        x ^= x >> 11;
        x ^= (x << 7) & 0x9d2c_5680;
        x ^= (x << 15) & 0xefc6_0000;
        x ^ (x >> 18)
    }

    /// Uniform in 0 .. range, as libstdc++'s `uniform_int_distribution<uint64_t>` draws it from this
    /// engine: Lemire's multiplication for ranges up to 2^32.
    fn below(&mut self, range: u64) -> u64 {
        if range > 1 << 32 {
            return self.below_wide(range);
        }
        if range == 1 << 32 {
            return u64::from(self.next());
        }
        let narrow = range as u32;
        let mut product = u64::from(self.next()) * range;
        if (product as u32) < narrow {
            let threshold = narrow.wrapping_neg() % narrow;
            while (product as u32) < threshold {
                product = u64::from(self.next()) * range;
            }
        }
        product >> 32
    }

    /// Above 2^32: a high part drawn recursively and a low part, until the sum fits.
    fn below_wide(&mut self, range: u64) -> u64 {
        loop {
            let high = self.below((range - 1) / (1 << 32) + 1) << 32;
            let (value, overflow) = high.overflowing_add(u64::from(self.next()));
            if !overflow && value < range {
                return value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_mt19937() {
        // The standard requires the 10,000th number of the default seed (C++11, 26.5.5).
        let mut engine = MersenneTwister::new(5489);
        let mut last = 0;
        for _ in 0..10_000 {
            last = engine.next();
        }
        assert_eq!(last, 4_123_659_995);
    }

    #[test]
    fn the_sample_is_that_of_libstdcxx() {
        // g++ 12, std::mt19937(12345678) and uniform_int_distribution<unsigned long>.
        let mut reservoir = Reservoir::new(10);
        for line in 0..200u8 {
            reservoir.add(&[line]);
        }
        let kept: Vec<u8> = reservoir.take().concat();
        assert_eq!(kept, [18, 171, 111, 146, 13, 187, 56, 49, 120, 41]);
        let mut engine = MersenneTwister::new(12_345_678);
        for (range, drawn) in [
            (6, 1),
            (7, 5),
            (4_294_967_295, 2_561_641_374),
            (4_294_967_296, 1_376_353_668),
            (4_294_967_297, 825_546_192),
            (10_000_000_000, 6_092_269_871),
        ] {
            assert_eq!(engine.below(range), drawn, "below {range}");
        }
    }
}

//! Chance that can be repeated: a test prints its seed, and takes it from `TESTS_SEED` if that is set.

/// A source of numbers that look as if by chance (xorshift64; Marsaglia, 2003).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Begins with a seed that is another one in each process, and prints it.
    #[must_use]
    pub fn new() -> Self {
        let given = std::env::var("TESTS_SEED").ok();
        let seed = given.and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
        println!("TESTS_SEED={seed}");
        // Zero would stay zero for ever.
        Self(seed.max(1))
    }

    /// A number below `limit`, which must not be 0.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).expect("48 bits") % limit
    }

    /// Any byte.
    pub fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).expect("a byte")
    }

    /// One of these.
    pub fn one_of<'a, T>(&mut self, these: &'a [T]) -> &'a T {
        &these[self.below(these.len())]
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}

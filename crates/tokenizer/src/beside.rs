//! What stands beside a piece that is being made: which symbols, how often, at which places.
//!
//! One piece has hundreds of places but far fewer neighbours. Summing them up here first spares the
//! table of all pairs, which lies in no cache, most of the looks at it.

/// Occurrences summed up by symbol.
#[derive(Default)]
pub struct Beside {
    /// By symbol; those that were not seen are all zero.
    sums: Vec<Sum>,
    /// The symbols that were seen, each once.
    seen: Vec<u32>,
    /// Symbol and place of each occurrence.
    places: Vec<(u32, u32)>,
}

/// How often a symbol was seen.
#[derive(Clone, Copy, Default)]
pub struct Sum {
    /// By the counts of the words.
    pub count: u64,
    /// Number of places.
    pub len: u32,
    /// For whoever sorts the places.
    pub cursor: u32,
}

impl Beside {
    /// Makes room for symbols below `symbols`.
    pub fn grow(&mut self, symbols: usize) {
        self.sums.resize(symbols, Sum::default());
    }

    /// Sees a symbol, at a place.
    #[inline]
    pub fn see_at(&mut self, symbol: u32, count: u64, place: u32) {
        self.see(symbol, count);
        self.places.push((symbol, place));
    }

    /// Sees a symbol somewhere.
    #[inline]
    pub fn see(&mut self, symbol: u32, count: u64) {
        let sum = &mut self.sums[symbol as usize];
        if sum.len == 0 {
            self.seen.push(symbol);
        }
        sum.count += count;
        sum.len += 1;
    }

    /// Hands each symbol over with its sum and forgets all.
    pub fn drain(&mut self, mut each: impl FnMut(u32, Sum)) {
        for symbol in self.seen.drain(..) {
            each(symbol, std::mem::take(&mut self.sums[symbol as usize]));
        }
        self.places.clear();
    }

    /// Appends the places of the symbols that were seen `least` times to `all`, those of a symbol
    /// side by side; its cursor then stands behind its last.
    pub fn sort_places(&mut self, least: u64, all: &mut Vec<u32>) {
        let mut end = all.len() as u32;
        for &symbol in &self.seen {
            let sum = &mut self.sums[symbol as usize];
            sum.cursor = end;
            end += if sum.count >= least { sum.len } else { 0 };
        }
        all.resize(end as usize, 0);
        for &(symbol, place) in &self.places {
            let sum = &mut self.sums[symbol as usize];
            if sum.count >= least {
                all[sum.cursor as usize] = place;
                sum.cursor += 1;
            }
        }
    }
}

//! Strange texts, the same every time: what a tokenizer meets rarely and must not get wrong.

use kollama_tokenizer::{TokenId, Tokenizer};

use super::{LINES, Random};

const BLANKS: [&str; 12] = [
    " ", " ", "\t", "\n", "\r\n", "\u{85}", "\u{a0}", "\u{2003}", "\u{2028}", "\u{3000}",
    "\u{200b}", "▁",
];

const LITERALS: [&str; 12] = [
    "<0x0A>", "<0x00>", "<0xEA>", "<0xFF>", "<s>", "</s>", "<unk>", "[INST]", "<", "0x0A",
    "\u{feff}", "\u{fffd}",
];

const EMOJI: [&str; 9] = ["😀", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇰🇷", "❤️", "1️⃣", "\u{200d}", "\u{fe0f}"];

const RANGES: [(u32, u32); 12] = [
    (0, 0x20),
    (0x20, 0x7f),
    (0x7f, 0x250),
    (0x300, 0x370),
    (0x1100, 0x1200),
    (0x3131, 0x318f),
    (0xac00, 0xd7a4),
    (0x4e00, 0xa000),
    (0x2000, 0x2070),
    (0x1f300, 0x1fb00),
    (0xe0000, 0xe01f0),
    (0, 0x110000),
];

/// Texts of many kinds; some are made of the tokenizer's own pieces.
pub fn strange_texts(tokenizer: &Tokenizer, seed: u64, count: usize) -> Vec<String> {
    let mut draw = Draw { random: Random(seed), tokenizer };
    (0..count).map(|_| draw.text()).collect()
}

struct Draw<'a> {
    random: Random,
    tokenizer: &'a Tokenizer,
}

impl Draw<'_> {
    fn below(&mut self, below: usize) -> usize {
        self.random.below(below as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn text(&mut self) -> String {
        let length = self.below(24);
        match self.below(11) {
            0 => self.random.text(),
            1 => self.glued(&BLANKS, length),
            2 => self.glued(&LITERALS, length),
            3 => self.glued(&EMOJI, length),
            4 => self.glued(&["0", "1", "23", "456", ".", ",", "-", " "], length),
            5 => (0..length).map(|_| self.character()).collect(),
            6 => {
                let range = self.one_of(&RANGES);
                (0..length).map(|_| self.character_of(range)).collect()
            }
            7 => (0..length).map(|_| self.piece()).collect(),
            8 => (0..length).map(|_| self.piece()).collect::<Vec<_>>().join(" "),
            9 => self.run(),
            _ => self.changed_line(),
        }
    }

    fn glued(&mut self, parts: &[&str], length: usize) -> String {
        (0..length).map(|_| self.one_of(parts)).collect()
    }

    fn character(&mut self) -> char {
        let range = self.one_of(&RANGES);
        self.character_of(range)
    }

    fn character_of(&mut self, (from, to): (u32, u32)) -> char {
        self.random.character_between(from, to)
    }

    fn piece(&mut self) -> String {
        let id = self.below(self.tokenizer.vocab_size()) as TokenId;
        self.tokenizer.piece(id).expect("below the size").replace('▁', " ")
    }

    /// The same over and over, up to some thousand bytes, with something around it.
    fn run(&mut self) -> String {
        let unit = match self.below(4) {
            0 => self.one_of(&BLANKS).to_owned(),
            1 => self.one_of(&EMOJI).to_owned(),
            2 => self.piece(),
            _ => self.character().into(),
        };
        let times = self.one_of(&[2, 3, 7, 16, 33, 300]);
        [self.character().into(), unit.repeat(times), self.piece()].concat()
    }

    fn changed_line(&mut self) -> String {
        let mut characters: Vec<char> = self.one_of(&LINES).chars().collect();
        for _ in 0..=self.below(4) {
            let at = self.below(characters.len());
            match self.below(3) {
                0 => drop(characters.remove(at)),
                1 => characters.insert(at, characters[at]),
                _ => characters[at] = self.character(),
            }
        }
        characters.into_iter().collect()
    }
}

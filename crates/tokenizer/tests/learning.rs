//! What learning promises whatever the language: the rules hold, any script will do, threads do not
//! matter.

mod support;

use kollama_tokenizer::{
    LearnOptions, LearnRules, Learned, Tokenizer, TokenizerError, WeightedText, extend, learn,
    train, train_with_progress,
};
use support::{LINES, hugging_face_ids, sound};

/// A base that has seen the ASCII lines and no others.
fn english_base() -> Tokenizer {
    let english = LINES.iter().filter(|line| line.is_ascii()).cycle().take(30);
    train(sound(english.map(|line| line.to_string())), 400, 1.0).expect("enough")
}

fn repeated(lines: &[&str]) -> impl Iterator<Item = Result<String, TokenizerError>> {
    sound(lines.iter().cycle().take(20 * lines.len()).map(|line| line.to_string()))
}

fn learned(rules: LearnRules) -> Learned {
    let options = LearnOptions { rules, ..LearnOptions::hangul(200) };
    learn(&english_base(), repeated(&LINES), &options).expect("learned")
}

/// A language: its script by name, the ranges of its letters and marks, lines, and a digit of its
/// own with the lines that hold it.
struct Language {
    script: &'static str,
    letters: &'static [std::ops::RangeInclusive<char>],
    lines: [&'static str; 3],
    digit: Option<char>,
}

const LANGUAGES: [Language; 4] = [
    Language {
        script: "Thai",
        letters: &['\u{e01}'..='\u{e3a}', '\u{e40}'..='\u{e5b}'],
        lines: [
            "สวัสดีครับ วันนี้อากาศดีมาก เราไปเดินเล่นที่สวนกันไหม",
            "เขาอ่านหนังสือเล่มนี้เมื่อปี ๒๕๖๗ และชอบมาก",
            "ร้านนี้ขายกาแฟ, ขนมปัง และผลไม้ทุกวัน",
        ],
        digit: Some('๒'),
    },
    Language {
        script: "Arabic",
        letters: &['\u{610}'..='\u{61a}', '\u{620}'..='\u{65f}', '\u{670}'..='\u{6ff}'],
        lines: [
            "مرحبا بالعالم، الطقس جميل اليوم.",
            "قرأ الطالب الكتاب في المكتبة ثم عاد إلى البيت.",
            "كَتَبَ الوَلَدُ الدَّرْسَ في المدرسة الكبيرة",
        ],
        digit: None,
    },
    Language {
        script: "Devanagari",
        letters: &['\u{900}'..='\u{963}', '\u{970}'..='\u{97f}'],
        lines: [
            "नमस्ते दुनिया। आज मौसम बहुत अच्छा है।",
            "वह हर सुबह बगीचे में दौड़ता है और चाय पीता है।",
            "सन् १९४७ में भारत स्वतंत्र हुआ।",
        ],
        digit: Some('१'),
    },
    Language {
        script: "Greek",
        letters: &['\u{370}'..='\u{3ff}', '\u{1f00}'..='\u{1fff}'],
        lines: [
            "Καλημέρα κόσμε, σήμερα ο καιρός είναι πολύ ωραίος.",
            "Το παιδί διαβάζει ένα βιβλίο στη βιβλιοθήκη.",
            "Πίνουμε καφέ και μιλάμε για τη θάλασσα.",
        ],
        digit: None,
    },
];

#[test]
fn any_script_by_name_gets_pieces_of_that_script_only() {
    let base = english_base();
    for Language { script, letters, lines, digit } in LANGUAGES {
        // Single characters are at most a quarter of the pieces.
        let options =
            LearnOptions { script: script.into(), coverage: 1.0, ..LearnOptions::hangul(400) };
        let learned = learn(&base, repeated(&lines), &options).expect("learned");
        let size = base.vocab_size() + learned.pieces.len();
        let larger = extend(&base, &learned, size).expect("enough").tokenizer;
        for id in base.vocab_size()..size {
            let piece = larger.piece(id as u32).expect("below the size");
            let body = piece.trim_start_matches('▁');
            let is_letter = |c: char| letters.iter().any(|range| range.contains(&c));
            let is_digit = body.chars().count() == 1 && body.chars().all(char::is_numeric);
            assert!(body.chars().all(is_letter) || is_digit, "{script}: {piece:?}");
        }
        if let Some(digit) = digit {
            assert!(larger.id_of(&digit.to_string()).is_some(), "{script}: {digit}");
        }
        for line in lines {
            let [before, after] = [&base, &larger].map(|tokenizer| tokenizer.encode_to_vec(line));
            assert!(after.len() * 2 < before.len(), "{script}: {line}");
            assert_eq!(larger.decode(&after), line);
        }
        for line in LINES {
            assert_eq!(larger.encode_to_vec(line), base.encode_to_vec(line), "{script}: {line}");
        }
    }
}

#[test]
fn punctuation_and_digits_stay_apart_from_letters() {
    let corpus = ["끝났다. 3월에 끝났다. (끝났다) 2024년에 끝났다! 끝났다, 3월"];
    let base = english_base();
    let learned = learn(&base, repeated(&corpus), &LearnOptions::hangul(30)).expect("learned");
    let is_hangul = |c: char| ('가'..='힣').contains(&c) || c == '▁';
    assert!(learned.pieces.iter().all(|piece| piece.text.chars().all(is_hangul)));
    let corpus = ["ab1. ab1. cd22, (cd22) don't"];
    let rules = LearnRules::default();
    let trained = train_with_progress(repeated(&corpus), 280, 1.0, &rules, &mut |_| {});
    for piece in trained.expect("enough").learned.pieces {
        let body = piece.text.trim_start_matches('▁');
        let letters = body.chars().filter(|c| c.is_alphabetic()).count();
        assert!([0, body.chars().count()].contains(&letters), "{:?}", piece.text);
        assert!(!body.contains(|c: char| c.is_numeric()), "{:?}", piece.text);
    }
}

#[test]
fn no_piece_is_rarer_or_longer_than_the_rules_say() {
    let usual = learned(LearnRules::default());
    let longer = usual.pieces.iter().filter(|piece| piece.text.chars().count() > 1);
    assert!(longer.clone().any(|piece| piece.text.chars().count() > 3));
    assert!(longer.clone().any(|piece| piece.count < 50));
    let rules = LearnRules { min_frequency: 50, max_piece_length: 3, ..LearnRules::default() };
    for piece in learned(rules).pieces {
        let characters = piece.text.chars().count();
        assert!(characters <= 3 && (characters == 1 || piece.count >= 50), "{piece:?}");
    }
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let by = |threads| learned(LearnRules { threads, ..LearnRules::default() }).pieces;
    assert_eq!(by(1), by(3));
}

#[test]
fn uses_say_how_often_a_piece_stands_in_the_texts() {
    let base = english_base();
    let korean: Vec<&str> = LINES.iter().copied().filter(|line| !line.is_ascii()).collect();
    let options = LearnOptions { coverage: 1.0, ..LearnOptions::hangul(600) };
    let learned = learn(&base, repeated(&korean), &options).expect("learned");
    let size = base.vocab_size() + learned.pieces.len();
    let larger = extend(&base, &learned, size).expect("enough").tokenizer;
    let mut uses = vec![0; larger.vocab_size()];
    for text in repeated(&korean) {
        larger.encode_to_vec(&text.expect("sound")).iter().for_each(|&id| uses[id as usize] += 1);
    }
    for piece in &learned.pieces {
        let id = larger.id_of(&piece.text).expect("all are reached");
        assert_eq!(uses[id as usize], piece.uses, "{:?}", piece.text);
    }
}

#[test]
fn a_text_that_weighs_three_counts_like_three() {
    let options = LearnOptions::hangul(100);
    let [light, heavy] = ["책을 읽었습니다 책을 ", "음악을 듣습니다 "].map(|line| line.repeat(20));
    let text = |text: &String, weight| Ok(WeightedText::new(text.clone(), weight));
    let weighted = vec![text(&light, 1.0), text(&heavy, 3.0), text(&light, 1.0)];
    let plain = [&light, &heavy, &heavy, &heavy, &light].map(|text| text.clone());
    let learned = |texts: Vec<Result<WeightedText, TokenizerError>>| {
        learn(&english_base(), texts.into_iter(), &options).expect("learned").pieces
    };
    let plain = plain.map(|text| Ok(text.into())).into();
    let longer = |pieces: Vec<kollama_tokenizer::LearnedPiece>| {
        pieces.into_iter().filter(|piece| piece.text.chars().count() > 1).collect::<Vec<_>>()
    };
    let found = longer(learned(weighted));
    assert!(found.len() > 5);
    assert_eq!(found, longer(learned(plain)));
}

#[test]
fn progress_hears_every_piece() {
    let mut heard = Vec::new();
    let options = LearnOptions::hangul(50);
    let base = english_base();
    let mut hear = |pieces| heard.push(pieces);
    let texts = repeated(&LINES);
    let learned = kollama_tokenizer::learn_with_progress(&base, texts, &options, &mut hear);
    assert!(learned.is_ok() && heard.len() > 10);
    assert!(heard.windows(2).all(|two| two[1] == two[0] + 1));
}

#[test]
fn a_piece_length_that_makes_no_sense_is_refused() {
    for length in [0, 1, 65] {
        let rules = LearnRules { max_piece_length: length, ..LearnRules::default() };
        let options = LearnOptions { rules, ..LearnOptions::hangul(10) };
        let error = learn(&english_base(), repeated(&LINES), &options).expect_err("refused");
        assert!(matches!(error, TokenizerError::PieceLength { .. }), "{error}");
    }
}

#[test]
fn a_base_that_merges_to_pieces_cut_out_of_texts_grows() {
    let base = support::small_tokenizer();
    let korean = |piece: &str| piece.chars().all(|c| ('가'..='힣').contains(&c));
    let merged: Vec<(usize, &str)> = (0..base.vocab_size())
        .map(|id| (id, base.piece(id as u32).expect("below the size")))
        .filter(|(_, piece)| piece.chars().count() > 1 && korean(piece))
        .collect();
    assert!(merged.len() > 10);
    let json = base.to_json().expect("it has one");
    let mut document: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    let added = document["added_tokens"].as_array_mut().expect("a list");
    for (id, piece) in merged {
        added.push(serde_json::json!({"id": id, "content": piece, "special": false,
            "normalized": false, "lstrip": false, "rstrip": false, "single_word": false}));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tokenizer.json");
    std::fs::write(&path, document.to_string()).expect("written");
    let base = Tokenizer::open(&path).expect("sound");
    let learned = learn(&base, repeated(&LINES), &LearnOptions::hangul(30)).expect("learned");
    let larger = extend(&base, &learned, base.vocab_size() + 10).expect("enough").tokenizer;
    std::fs::write(&path, larger.to_json().expect("it has one")).expect("written");
    let peer = tokenizers::Tokenizer::from_file(&path).expect("Hugging Face loads it");
    for line in LINES {
        assert_eq!(larger.encode_to_vec(line), hugging_face_ids(&peer, line), "{line:?}");
    }
}

#[test]
fn a_least_frequency_of_none_is_one_and_a_weight_that_is_no_number_too() {
    let by = |min_frequency| learned(LearnRules { min_frequency, ..LearnRules::default() }).pieces;
    assert_eq!(by(0), by(1));
    let texts =
        |weight| LINES.iter().map(move |line| Ok(WeightedText::new(line.to_string(), weight)));
    let learned =
        |weight| learn::<TokenizerError>(&english_base(), texts(weight), &LearnOptions::hangul(50));
    let [odd, plain] = [f64::NAN, 1.0].map(|weight| learned(weight).expect("learned").pieces);
    assert_eq!(odd, plain);
}

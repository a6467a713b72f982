//! Growing a tokenizer: old ids stay, English stays, new pieces are reached, peers agree.

mod support;

use std::path::PathBuf;

use kollama_tokenizer::{
    Comparison, Extension, LearnOptions, LearnRules, TokenId, Tokenizer, TokenizerError, extend,
    learn, train,
};
use support::{LINES, data, hugging_face_ids, sentence_piece_ids, sound, texts};

fn is_hangul(character: char) -> bool {
    ('가'..='힣').contains(&character)
}

fn korean(name: &str) -> Option<PathBuf> {
    Some(data("ko-corpus")?.join(name))
}

/// Every ninth document of reviews, every second of the dictionary: about 17 MB.
fn korean_texts() -> Option<impl Iterator<Item = String>> {
    let reviews = texts(&korean("nsmc-raw.jsonl.zst")?).step_by(9);
    Some(reviews.chain(texts(&korean("krdict.jsonl.zst")?).step_by(2)))
}

fn check_structure(base: &Tokenizer, extension: &Extension, size: usize) {
    let tokenizer = &extension.tokenizer;
    assert_eq!(tokenizer.vocab_size(), size);
    assert_eq!(extension.made_of.len(), size - base.vocab_size());
    for id in 0..base.vocab_size() as TokenId {
        assert_eq!(tokenizer.piece(id), base.piece(id));
    }
    for (id, made_of) in (base.vocab_size() as TokenId..).zip(&extension.made_of) {
        let piece = tokenizer.piece(id).expect("below the size");
        // `made_of` is the base's way to write just this text.
        assert_eq!(
            base.decode(&[&[base.id_of("▁").expect("▁")], &made_of[..]].concat()),
            piece.replace('▁', " ")
        );
        let (text, expected) = reaching(tokenizer, piece, id);
        assert_eq!(tokenizer.encode_to_vec(&text), expected, "{piece:?} is not reached");
    }
}

/// A text that must be encoded with exactly this piece.
fn reaching(tokenizer: &Tokenizer, piece: &str, id: TokenId) -> (String, Vec<TokenId>) {
    match piece.strip_prefix('▁') {
        Some(rest) => (rest.into(), vec![id]),
        // After a line end no blank is put, and nothing joins a line end to what follows.
        None => {
            let mut ids = tokenizer.encode_to_vec("\n");
            ids.push(id);
            (format!("\n{piece}"), ids)
        }
    }
}

fn check_files(extension: &Extension, lines: &[String]) {
    let folder = tempfile::tempdir().expect("a folder");
    extension.tokenizer.save(folder.path()).expect("saved");
    let json = folder.path().join("tokenizer.json");
    let model = folder.path().join("tokenizer.model");
    let peer = tokenizers::Tokenizer::from_file(&json).expect("Hugging Face loads it");
    for path in [&json, &model] {
        let again = Tokenizer::open(path).expect("every part of every merge is a piece");
        assert_eq!(again.fingerprint(), extension.tokenizer.fingerprint(), "{}", path.display());
    }
    let ours: Vec<Vec<TokenId>> =
        lines.iter().map(|line| extension.tokenizer.encode_to_vec(line)).collect();
    for (line, ids) in lines.iter().zip(&ours) {
        assert_eq!(&hugging_face_ids(&peer, line), ids, "{line:?}");
        assert_eq!(&extension.tokenizer.decode(ids), line);
    }
    for (line, (ids, theirs)) in
        lines.iter().zip(ours.iter().zip(sentence_piece_ids(&model, lines).unwrap_or_default()))
    {
        assert_eq!(&theirs, ids, "{line:?}");
    }
}

#[test]
fn llama_2_grows_into_korean() {
    let (Some(folder), Some(corpus)) = (data("llama2-tokenizer"), korean_texts()) else {
        return;
    };
    let base = Tokenizer::open(&folder).expect("sound");
    let size = 46_336;
    let options = LearnOptions::hangul(size - base.vocab_size());
    let learned = learn(&base, sound(corpus), &options).expect("learned");
    let extension = extend(&base, &learned, size).expect("enough text");
    println!(
        "{} characters, {} unreachable",
        learned.counted.characters,
        extension.unreachable.len()
    );
    check_structure(&base, &extension, size);
    let english = data("en-corpus").expect("beside the other data");
    for name in ["rust-book.jsonl.zst", "tinyshakespeare.jsonl.zst", "python-docs.jsonl.zst"] {
        for text in texts(&english.join(name)) {
            // One book names Korean in Korean.
            for line in text.split_inclusive('\n').filter(|line| !line.chars().any(is_hangul)) {
                let ids = extension.tokenizer.encode_to_vec(line);
                assert_eq!(ids, base.encode_to_vec(line), "{line:?}");
            }
        }
    }
    let reviews = texts(&korean("nsmc-raw.jsonl.zst").expect("there")).skip(1).step_by(9);
    let lines: Vec<String> = reviews
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .take(20_000)
        .collect();
    assert_eq!(lines.len(), 20_000);
    check_files(&extension, &lines);
    for name in ["nsmc-raw", "krdict", "news-nk", "python-docs-ko", "bible-okb-modern"] {
        let mut comparison = Comparison::default();
        let path = korean(&format!("{name}.jsonl.zst")).expect("there");
        texts(&path)
            .take(300)
            .for_each(|text| comparison.add([&base, &extension.tokenizer], &text));
        let [before, after] = comparison.tokens_per_character();
        println!("{name}: {before:.3} tokens a character before, {after:.3} after");
        assert!(after < 0.6 * before);
    }
}

/// Everything in the Korean corpus.
fn all_korean_texts() -> Option<impl Iterator<Item = String>> {
    let folder = std::fs::read_dir(data("ko-corpus")?).expect("a folder");
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "zst"));
    files.sort();
    Some(files.into_iter().flat_map(|file| texts(&file)))
}

#[test]
fn learned_from_all_of_it_a_greeting_takes_eight_tokens_and_english_what_it_took() {
    let (Some(folder), Some(corpus)) = (data("llama2-tokenizer"), all_korean_texts()) else {
        return;
    };
    let base = Tokenizer::open(&folder).expect("sound");
    let options = LearnOptions::hangul(46_336 - base.vocab_size());
    let learned = learn(&base, sound(corpus), &options).expect("learned");
    let larger = extend(&base, &learned, 46_336).expect("enough text").tokenizer;
    let greeting = "안녕하세요, 오늘은 날씨가 좋네요.";
    let ids = larger.encode_to_vec(greeting);
    assert!(ids.len() <= 8, "{:?}", kollama_tokenizer::pieces_of(&larger, greeting));
    assert_eq!(larger.decode(&ids), greeting);
    let title = "Llama 2: Open Foundation and Fine-Tuned Chat Models";
    assert_eq!(larger.encode_to_vec(title), base.encode_to_vec(title));
}

/// A base that has seen only the English lines, and Korean lines to grow with.
fn small_base_and_korean() -> (Tokenizer, Vec<String>) {
    let (korean, english): (Vec<&str>, Vec<&str>) =
        LINES.iter().partition(|line| line.chars().any(is_hangul));
    let repeated = |lines: Vec<&str>| -> Vec<String> {
        lines.iter().cycle().take(lines.len() * 3).map(|line| line.to_string()).collect()
    };
    let base = train(sound(repeated(english).into_iter()), 480, 1.0).expect("enough");
    (base, repeated(korean))
}

#[test]
fn a_small_base_grows_and_keeps_its_english() {
    let (base, korean) = small_base_and_korean();
    let size = base.vocab_size() + 150;
    let learned = learn(&base, sound(korean.clone().into_iter()), &LearnOptions::hangul(150))
        .expect("learned");
    let extension = extend(&base, &learned, size).expect("enough");
    check_structure(&base, &extension, size);
    check_files(&extension, &korean);
    for line in LINES.iter().filter(|line| line.is_ascii()) {
        assert_eq!(extension.tokenizer.encode_to_vec(line), base.encode_to_vec(line));
    }
}

#[test]
fn pieces_go_on_over_a_blank_where_they_may() {
    let (base, _) = small_base_and_korean();
    let corpus = "할 수 있다. 볼 수 있다. 할 수 있다, 갈 수  있다. 할 수 없다 ".repeat(5);
    let rules = LearnRules { cross_space: true, ..LearnRules::default() };
    let options = LearnOptions { rules, coverage: 1.0, ..LearnOptions::hangul(40) };
    let learned = learn(&base, sound(std::iter::once(corpus.clone())), &options).expect("learned");
    let size = base.vocab_size() + 15;
    let extension = extend(&base, &learned, size).expect("enough");
    check_structure(&base, &extension, size);
    let lines = ["볼 수 있다. 할  수 없다", "할 수 있다", "수 있 다 ▁ 할▁수"];
    let lines: Vec<String> = lines.iter().map(|line| line.replace('▁', " ")).collect();
    check_files(&extension, &lines);
    let new = (base.vocab_size()..size).filter_map(|id| extension.tokenizer.piece(id as TokenId));
    let over_blanks = new.clone().filter(|piece| piece.trim_start_matches('▁').contains('▁'));
    assert!(over_blanks.count() > 0);
    assert!(new.clone().all(|piece| !piece.ends_with('▁')));
}

#[test]
fn digits_of_a_script_become_pieces() {
    let (base, _) = small_base_and_korean();
    let thai = || sound(std::iter::repeat_n("ปี ๒๕๖๗ ปี ๒๕๖๘ in 2024 ".to_owned(), 20));
    // Single characters are at most a quarter of the pieces; these are seven.
    let options = LearnOptions { script: "Thai".into(), coverage: 1.0, ..LearnOptions::hangul(28) };
    let learned = learn(&base, thai(), &options).expect("learned");
    let extension = extend(&base, &learned, base.vocab_size() + 7).expect("enough");
    for digit in ["๒", "๕", "๖", "๗", "๘"] {
        assert!(extension.tokenizer.id_of(digit).is_some(), "{digit}");
    }
}

#[test]
fn the_order_of_texts_does_not_matter() {
    let (base, mut korean) = small_base_and_korean();
    let options = LearnOptions::hangul(150);
    let forward = learn(&base, sound(korean.clone().into_iter()), &options).expect("learned");
    korean.reverse();
    let backward = learn(&base, sound(korean.into_iter()), &options).expect("learned");
    assert_eq!(forward.pieces, backward.pieces);
}

#[test]
fn a_text_too_small_and_a_size_too_small_are_told_apart() {
    let (base, korean) = small_base_and_korean();
    let options = LearnOptions::hangul(5000);
    let learned = learn(&base, sound(korean.into_iter()), &options).expect("learned");
    let error = extend(&base, &learned, base.vocab_size() + 5000).err().expect("too little");
    assert!(matches!(error, TokenizerError::CorpusTooSmall { wanted: 5000, .. }), "{error}");
    let error = extend(&base, &learned, base.vocab_size()).err().expect("not larger");
    assert!(matches!(error, TokenizerError::SizeTooSmall { .. }), "{error}");
    let nothing = learn(&base, sound(std::iter::empty()), &options).expect("nothing is learned");
    let error = extend(&base, &nothing, base.vocab_size() + 1).err().expect("no text");
    assert!(error.to_string().contains("from 0 characters"), "{error}");
    let options = LearnOptions { script: "Klingon".into(), ..options };
    let error = learn(&base, sound(std::iter::empty()), &options).expect_err("no script");
    assert!(matches!(error, TokenizerError::UnknownScript { .. }));
}

#[test]
fn training_says_when_texts_or_sizes_are_too_small() {
    let error = train(sound(std::iter::empty()), 300, 1.0).err().expect("no text");
    assert!(matches!(error, TokenizerError::CorpusTooSmall { .. }), "{error}");
    let unread = std::iter::from_fn(|| panic!("texts are read for nothing"));
    let error = train(sound(unread), 260, 1.0).err().expect("no room");
    assert!(matches!(error, TokenizerError::SizeTooSmall { floor: 260, .. }), "{error}");
}

#!/usr/bin/env python3
"""Writes tests/data/tokenizers: small tokenizers in the layouts of known families, and what Hugging Face's tokenizers
makes of adversarial texts with them.

    make_tokenizer_data.py [tests/data/tokenizers]

texts.json      the texts
<layout>/tokenizer.json
<layout>/golden.json    for each text [ids with special tokens, decoded, decoded without special tokens]; null for a
                        decoded text that is the text itself

Needs the package tokenizers (0.23 wrote what is there).
"""
import json
import pathlib
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
MARK = "\u2581"

CORPUS = [
    "The quick brown fox jumps over the lazy dog, and the dog's owner doesn't mind; they'll be friends.",
    "In 1905 he wrote the papers that changed what we know of space, time, light and matter.",
    "She said: \"I've been there, we're going, you'd better come!\" They won't. I'm sure he'll go.",
    "def add(a, b):\n    return a + b\n\nfor i in range(10):\n\tprint(i, add(i, 2))\n",
    "Die Straße führt über den Fluß; naïve café, Zürich, Łódź, garçon, año, smörgåsbord.",
    "Привет, мир! Как дела сегодня? Всё хорошо.", "東京は日本の首都です。今日は良い天気ですね。",
    "안녕하세요 세계 한국어", "مرحبا بالعالم", "नमस्ते दुनिया", "x = 3.14159, y = 2,718,281; z = 10^100 -- 42%",
    "    indented    text   with  runs     of spaces  ", "the the the of of and and to in is that it was for on",
]


def texts(rng):
    fixed = [
        "", " ", "  ", "a", "\n", "\r\n", "\t", "\0", "Hello world", " Hello  world ", "   leading", "trailing   ",
        "don't can't I'm you've they'll he'd it's", "DON'T I'M YOU'VE THEY'LL HE'D IT'S WE'RE", "'s'S's 's 'S 'tis",
        "'\u017f '\u017ft it'\u017f x'\u017fy", "\u212a 'K' '\u212a \u212belvin \u2126hm", "'ll'LL'lL 'Ll're'Re've'VE'm'M'd'D't'T",
        "a\nb\n\nc\t\td", "a\r\nb\r\r\nc\n\rd", " \n \n\n  x", "x \n", "x  \n\n ", "\r", "a \r\n \t b", " \t\n\t  end",
        "spaces  two   three    four     five", "tabs\t\t\t\tx\t \t y", "12345 1,234.56 3.14e-10 007 1234567890",
        "١٢٣٤ ۱۲۳ ०१२३ ໑໒໓ ½ ⅔ ² ³ Ⅷ ㊿ 𝟘𝟙𝟚 𐄇", "naïve café Zürich Łódź ÀÉÎÕÜ", "e\u0301 vs é; A\u030a Å \u212b",
        "q\u0323\u0307 q\u0307\u0323 s\u0323\u0307 \u1e69 \u1e9b\u0323", "\u0301begins with a mark", "a\u0300\u0301\u0302\u0303\u0304b",
        "\u1100\u1161\u11a8 \u1100\u1161 각 가\u11a8 \u1112\u1161\u11ab글", "\u0958 \u09dc \u0f43 \u2adc \ufb1f \U0001d15e",
        "東京は日本の首都です。", "Привет, мир!", "مرحبا بالعالم", "שלום \u05d1\u05b0\u05bc עולם", "नमस्ते दुनिया क्षत्रिय",
        "emoji 😀👍🏽🇫🇷 👨‍👩‍👧‍👦 ❤️ 🏳️‍🌈 end", "zero\u200bwidth\u200cnon\u200djoiner\ufeffbom\u00adsoft",
        "nbsp\u00a0em\u2003ideo\u3000ogham\u1680nel\u0085ls\u2028ps\u2029x", "mongolian\u180evowel \u180e separator", "\u202eRTL override\u202c \u200f\u200e",
        "\ud7ff\ue000 \ufffd \ufffe \uffff \U00010000 \U0010ffff \U0010fffe", "nul\0in\0\0side", "\x01\x02\x1b[0m\x7f\x80\x9f",
        "snake_case camelCase kebab-case SCREAMING_CASE", "def f(x):\n    return x**2  # square", "https://example.org/a?b=c&d=%20#e",
        "....!!!???---___", "'''\"\"\"```", "(((a)))[[b]]{{c}}<<d>>", "...\n\n!!\r\n??\r", "½a²b³ x²+y² H₂O", "ﬁ ligature ﬀ ß ſ ŉ ǰ",
        "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐐷 𠮷野家", "Ünïcödé́", "ĠĊ Ā ġ Ń \u2581 \u2581\u2581x a\u2581b", "<0x0A> <0x41> <0xZZ>", "x" * 300, "ab " * 40, "the" * 80,
        "aaaaaaaaaabbbbbbbbbbaaaaaaaaaa", "é" * 60, "日" * 50, " " * 100, "\n" * 40, " \n" * 20, "\t" * 33 + "x",
        "<s>hello</s>", "<s> hello </s> world", "<unk>", "text<|endoftext|>more", "<|begin_of_text|>hi<|end_of_text|>", "<|endoftext|><|endoftext|>",
        "<|endoftext", "|endoftext|>", "<|im_start|>user\nhi<|im_end|>\n", "a <mask> b", "a   <mask>   b", "<mask><mask>  <mask>", "\u00a0\n<mask>\u3000x",
        "left  <|left|>  x<|left|> y", "right <|right|>   x <|right|>\n\ny<|right|>", "<|right|>  <|left|> z", "the word is word, sword wordy word",
        "word", "words word_ word1 _word éword word\u0301 (word) ⓐword word\u200d", "Cafe\u0301 Café cafe", "Caf\u00e9Caf\u00e9 xCafé", "tok tok2 tok22 ttok",
        " word  word", "\u2581word", " the<s> the", "the  <s>  the", "1<|endoftext|>2", "'<mask>s", "The dog's owner doesn't mind; they'll be friends.",
    ]
    pool = [" ", "  ", "\n", "\r\n", "\t", "a", "the", "The", "ing", "'s", "'T", "1", "23", "456", "é", "e\u0301", "\u0323", "\u0307", "각", "\u1100",
            "\u1161", "\u11a8", "日本", "мир", "😀", "\u200d", "👩", "\u00a0", "\u3000", ".", "!!", "-", "_", "<mask>", "<s>", "<|endoftext|>", "word",
            "<|left|>", "<|right|>", "\u2581", "\0", "ſ", "\u212a", "Ⅷ", "²", "\u0e33", "ಠ", "\u0bcd", "\ufb01", "\U0001f1eb", "\u0345", "Café", "tok"]
    mixed = ["".join(rng.choices(pool, k=rng.randint(2, 30))) for _ in range(60)]
    planes = ["".join(chr(c) for c in (rng.choice([rng.randint(1, 0x7ff), rng.randint(0x800, 0xd7ff), rng.randint(0xe000, 0xffff),
                                                   rng.randint(0x10000, 0x3ffff)]) for _ in range(20))) for _ in range(6)]
    return fixed + mixed + planes


def added():
    """Tokens of every kind; some with contents that NFC or a space changes."""
    return [AddedToken("<|endoftext|>", special=True, normalized=False), AddedToken("<mask>", special=True, lstrip=True, normalized=False),
            AddedToken("<|left|>", lstrip=True, normalized=True), AddedToken("<|right|>", rstrip=True, normalized=False),
            AddedToken("word", single_word=True, normalized=False), AddedToken("Cafe\u0301", normalized=True),
            AddedToken("tok", normalized=True), AddedToken("tok2", normalized=True), AddedToken("tok22", normalized=False)]


def byte_level(size, normalizer, pre, first):
    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
                                  special_tokens=first)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def split(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def bos(tokenizer, token, more=()):
    template = processors.TemplateProcessing(single=f"{token}:0 $A:0", pair=f"{token}:0 $A:0 {token}:1 $B:1",
                                             special_tokens=[(token, tokenizer.token_to_id(token))])
    tokenizer.post_processor = processors.Sequence([*more, template]) if more else template


def sentencepiece(normalizer, pre):
    """Trained on marked text; with the byte tokens that the trainer does not make."""
    marks = pre_tokenizers.Metaspace(prepend_scheme="always")
    base = Tokenizer(models.BPE())
    base.pre_tokenizer = marks
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    base.train_from_iterator(CORPUS[:5] + CORPUS[10:], trainers.BpeTrainer(vocab_size=620, show_progress=False,
                                                                         special_tokens=["<unk>", "<s>", "</s>", *bytes_]))
    learned = json.loads(base.to_str())["model"]
    tokenizer = Tokenizer(models.BPE(vocab=learned["vocab"], merges=[tuple(m) for m in learned["merges"]], unk_token="<unk>",
                                     fuse_unk=True, byte_fallback=True))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre:
        tokenizer.pre_tokenizer = pre
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("<unk>", "<s>", "</s>")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(content=" ", left=1, right=0)])
    bos(tokenizer, "<s>")
    return tokenizer


def layouts():
    gpt2 = byte_level(520, None, pre_tokenizers.ByteLevel(add_prefix_space=False), ["<s>"])
    gpt2.post_processor = processors.ByteLevel(trim_offsets=False)
    yield "gpt2", gpt2
    yield "gpt2-prefix", byte_level(400, None, pre_tokenizers.ByteLevel(add_prefix_space=True), [])
    llama3 = byte_level(560, None, split(LLAMA3), ["<|begin_of_text|>", "<|end_of_text|>"])
    bos(llama3, "<|begin_of_text|>", [processors.ByteLevel()])
    yield "llama3", llama3
    qwen2 = byte_level(540, normalizers.NFC(), split(QWEN2), ["<|im_start|>", "<|im_end|>"])
    qwen2.post_processor = processors.ByteLevel(trim_offsets=False)
    yield "qwen2", qwen2
    yield "llama2", sentencepiece(normalizers.Sequence([normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)]), None)
    legacy = sentencepiece(None, pre_tokenizers.Metaspace(prepend_scheme="always", split=True))
    legacy.decoder = decoders.Metaspace(prepend_scheme="always")
    yield "mistral-legacy", legacy
    yield "mistral-v3", sentencepiece(None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False))
    removed = byte_level(400, None, pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"[\s.,]+"), "removed"),
                                                             pre_tokenizers.Split(Regex(r"\p{Lu}+|\p{N}"), "isolated", invert=True),
                                                             pre_tokenizers.ByteLevel(add_prefix_space=False)]), [])
    yield "removed", removed


def rename(model, *bytes_):
    """The byte tokens become others: ids stay without gaps, which the package relies on for those it adds."""
    model["vocab"] = {f"[{t[1:-1]}]" if t in bytes_ else t: i for t, i in model["vocab"].items()}


def adjust(name, text):
    """What the package cannot be asked for: ignore_merges with words that merges do not reach, merges as texts, unknown tokens
    that are not fused, bytes without a token, fields of older files."""
    data = json.loads(text)
    model = data["model"]
    if name == "llama3":
        model["ignore_merges"] = True
        for word in ("Ġdoesn", "Hello", "Ġworld", "æĹ¥æľ¬"):
            model["vocab"].setdefault(word, len(model["vocab"]))
    if name in ("gpt2", "llama2"):
        model["merges"] = [" ".join(m) for m in model["merges"]]
    if name == "gpt2":
        model["continuing_subword_prefix"] = model["end_of_word_suffix"] = ""
    if name == "mistral-v3":
        rename(model, "<0xE2>", "<0xC3>", "<0xF0>")
        model["fuse_unk"] = False
    if name == "mistral-legacy":
        rename(model, "<0xE2>", "<0xC3>")
        data["pre_tokenizer"] = {"type": "Metaspace", "replacement": MARK, "add_prefix_space": True, "str_rep": MARK}
    return data


def dump(data):
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def write(path, value):
    path.write_text(dump(value).replace("],[[", "],\n[[") + "\n", encoding="utf-8")


def main():
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent / "data" / "tokenizers")
    rng = random.Random(4)
    samples = texts(rng)
    out.mkdir(parents=True, exist_ok=True)
    write(out / "texts.json", samples)
    for name, tokenizer in layouts():
        data = adjust(name, tokenizer.to_str())
        tokenizer = Tokenizer.from_str(dump(data))
        tokenizer.add_tokens(added())
        data["added_tokens"] = json.loads(tokenizer.to_str())["added_tokens"]
        text = dump(data)
        tokenizer = Tokenizer.from_str(text)
        assert all(tokenizer.token_to_id(t["content"]) == t["id"] for t in data["added_tokens"])
        (out / name).mkdir(exist_ok=True)
        (out / name / "tokenizer.json").write_text(text + "\n", encoding="utf-8")
        golden = []
        for sample in samples:
            ids = tokenizer.encode(sample).ids
            plain = tokenizer.encode(sample, add_special_tokens=False).ids
            whole = tokenizer.decode(plain, skip_special_tokens=False)
            skipped = tokenizer.decode(ids, skip_special_tokens=True)
            golden.append([ids, None if whole == sample else whole, None if skipped == sample else skipped])
        write(out / name / "golden.json", golden)
        same = sum(g[1] is None for g in golden)
        print(f"{name}: {tokenizer.get_vocab_size()} tokens, {len(samples)} texts, {same} come back as they were")


main()

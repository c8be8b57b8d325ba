/* From text to MinHash signatures in C: what our kernels are held against (topics/dedup_minhash.py).
 *
 * One pass over each document: words by Unicode's rules, in lower case and without diacritics; hashes of every `ngram`
 * of them; the least value of each 64-bit permutation; 16 bits of each. It reads the same tables (classes, fold), uses
 * the same hashes and the same tricks (eight bytes at a time, eight shingles at a time), and its signatures are those of
 * `MinHashDedup.observe`, to the bit. What it does not do: keep where words are, for other stages, or check bounds.
 *
 *     cc -O3 -march=native -shared -fPIC minhash.c
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { SPACE = 1, WORD = 2, PUNCTUATION = 8, SOLO = 64 }; /* documents/codepoints.py */

static const uint64_t MULTIPLIER = 0x9FB21C651E98DF25, FINAL = 0xD6E8FEB86659FD93, SEED = 0x2545F4914F6CDD1D;
static const uint64_t EACH = 0x0101010101010101, HIGH = 0x8080808080808080, LOW = 0x7F7F7F7F7F7F7F7F;

static inline uint64_t mixed(uint64_t value) {
    value ^= value >> 32;
    value *= FINAL;
    return value ^ (value >> 29);
}

static inline uint64_t step(uint64_t value, uint64_t symbol) {
    value = (value ^ symbol) * MULTIPLIER;
    return value ^ (value >> 32);
}

/* The next eight bytes, with zeros from `end` on; may read up to the end of the whole text. */
static inline uint64_t block_at(const uint8_t *at, const uint8_t *end, const uint8_t *text_end) {
    uint64_t block = 0;
    if (text_end - at >= 8)
        memcpy(&block, at, 8);
    else
        memcpy(&block, at, text_end - at);
    return end - at >= 8 ? block : block & (((uint64_t)1 << (8 * (end - at))) - 1);
}

static inline uint64_t letters_of(uint64_t block) {
    uint64_t lower = (block | (0x20 * EACH)) & LOW;
    return (lower + (0x80 - 0x61) * EACH) & ~(lower + (0x80 - 0x7B) * EACH) & ~block & HIGH;
}

static inline uint64_t digits_of(uint64_t block) {
    uint64_t low = block & LOW;
    return (low + (0x80 - 0x30) * EACH) & ~(low + (0x80 - 0x3A) * EACH) & ~block & HIGH;
}

static inline uint64_t underscores_of(uint64_t block) {
    uint64_t other = (block & LOW) ^ (0x5F * EACH);
    return ~(other + LOW) & ~block & HIGH;
}

static inline uint32_t decoded(const uint8_t **at) {
    const uint8_t *p = *at;
    if (p[0] < 0x80) return *at += 1, p[0];
    if (p[0] < 0xE0) return *at += 2, (p[0] & 0x1Fu) << 6 | (p[1] & 0x3Fu);
    if (p[0] < 0xF0) return *at += 3, (p[0] & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu);
    return *at += 4, (p[0] & 0x07u) << 18 | (p[1] & 0x3Fu) << 12 | (p[2] & 0x3Fu) << 6 | (p[3] & 0x3Fu);
}

/* Hash of what the characters from `at` to `end` fold to, in UTF-8. */
static uint64_t folded_hash(const uint8_t *at, const uint8_t *end, const uint32_t *fold) {
    uint64_t value = SEED, block = 0;
    unsigned length = 0;
    while (at < end) {
        uint32_t code = fold[decoded(&at)];
        unsigned size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
        for (unsigned byte = 0; byte < size; byte++) {
            uint64_t bits = code >> (6 * (size - 1 - byte));
            if (byte > 0)
                bits = 0x80 | (bits & 0x3F);
            else if (size > 1)
                bits |= (0xF00 >> size) & 0xFF;
            block |= bits << (8 * (length & 7));
            if ((++length & 7) == 0) value = step(value, block), block = 0;
        }
    }
    if (length & 7) value = step(value, block);
    return mixed(value + length);
}

/* Hashes of the words that are not punctuation alone; returns how many. */
static size_t words_of(const uint8_t *at, const uint8_t *end, const uint8_t *text_end, const uint8_t *classes,
                       const uint32_t *fold, uint64_t *words) {
    size_t count = 0;
    while (at < end) {
        const uint8_t *start = at;
        uint8_t kind = *at < 0x80 ? classes[*at] : 0;
        if (kind & SPACE) {
            at++;
            continue;
        }
        if (kind & WORD) {
            uint64_t value = SEED, named = 0;
            unsigned length;
            do {
                uint64_t block = block_at(at, end, text_end);
                uint64_t letters = letters_of(block), digits = digits_of(block);
                uint64_t foreign = ~(letters | digits | underscores_of(block)) & HIGH;
                length = foreign ? __builtin_ctzll(foreign) >> 3 : 8;
                uint64_t inside = length == 8 ? ~(uint64_t)0 : ((uint64_t)1 << (8 * length)) - 1;
                named |= (letters | digits) & inside;
                if (length) value = step(value, (block | letters >> 2) & inside);
                at += length;
            } while (length == 8);
            if (at == end || *at < 0x80) {
                words[count] = mixed(value + (uint64_t)(at - start));
                count += named != 0;
                continue;
            }
            at = start;
        }
        kind = classes[decoded(&at)];
        if (kind & SPACE) continue;
        uint8_t every = kind;
        if ((kind & WORD) && !(kind & SOLO)) {
            while (at < end) {
                const uint8_t *next = at;
                uint8_t more = classes[decoded(&next)];
                if (!(more & WORD) || (more & SOLO)) break;
                every &= more;
                at = next;
            }
        }
        if (every & PUNCTUATION) continue;
        words[count++] = folded_hash(start, at, fold);
    }
    return count;
}

/* Hashes of every `ngram` words in a row, or of all where there are fewer; returns how many. */
static size_t shingles_of(const uint64_t *words, size_t count, size_t ngram, uint64_t *shingles) {
    size_t length = count < ngram ? count : ngram;
    if (length == 0) return 0;
    uint64_t top = 1, tail = words[0];
    for (size_t word = 1; word < length; word++) {
        top *= MULTIPLIER;
        tail = tail * MULTIPLIER + words[word];
    }
    uint64_t lead = length * top * MULTIPLIER;
    shingles[0] = mixed(lead + tail);
    for (size_t word = length; word < count; word++) {
        tail = (tail - words[word - length] * top) * MULTIPLIER + words[word];
        shingles[word - length + 1] = mixed(lead + tail);
    }
    return count - length + 1;
}

static inline uint64_t lesser(uint64_t one, uint64_t two) { return one < two ? one : two; }

/* `words`, `shingles` and `least` are scratch: as long as the longest document has bytes; `least`: `count`. */
void signatures(const int32_t *offsets, int64_t documents, const uint8_t *text, int64_t text_bytes,
                const uint8_t *classes, const uint32_t *fold, int64_t ngram, const uint64_t *restrict multipliers,
                const uint64_t *restrict increments, int64_t count, uint64_t *words, uint64_t *shingles,
                uint64_t *restrict least, uint16_t *restrict out) {
    for (int64_t document = 0; document < documents; document++) {
        size_t found = words_of(text + offsets[document], text + offsets[document + 1], text + text_bytes, classes,
                                fold, words);
        size_t end = shingles_of(words, found, (size_t)ngram, shingles), shingle = 0;
        for (int64_t k = 0; k < count; k++) least[k] = ~(uint64_t)0;
        for (; shingle + 8 <= end; shingle += 8) {
            const uint64_t *s = shingles + shingle;
            for (int64_t k = 0; k < count; k++) {
                uint64_t a = multipliers[k], b = increments[k];
                uint64_t one = lesser(lesser(s[0] * a + b, s[1] * a + b), lesser(s[2] * a + b, s[3] * a + b));
                uint64_t two = lesser(lesser(s[4] * a + b, s[5] * a + b), lesser(s[6] * a + b, s[7] * a + b));
                least[k] = lesser(least[k], lesser(one, two));
            }
        }
        for (; shingle < end; shingle++)
            for (int64_t k = 0; k < count; k++)
                least[k] = lesser(least[k], shingles[shingle] * multipliers[k] + increments[k]);
        for (int64_t k = 0; k < count; k++) out[document * count + k] = (uint16_t)(mixed(least[k]) >> 48);
    }
}

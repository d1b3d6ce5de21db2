import assert from "node:assert/strict";
import {
  characterLength,
  isWellFormed,
  malformedAt,
  wholeCharacters,
} from "../../lib/base/utf8.ts";

const decoder = new TextDecoder("utf-8", { fatal: true });

function isDecodable(bytes: Uint8Array): boolean {
  try {
    decoder.decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** Every lead byte with second bytes at the edges of their ranges, and what may follow. */
function* sequences(): Generator<Uint8Array> {
  const edges = [0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff];
  for (let lead = 0; lead < 256; lead++) {
    yield Uint8Array.of(lead);
    for (const second of edges) {
      yield Uint8Array.of(lead, second);
      for (const third of edges) {
        yield Uint8Array.of(lead, second, third);
        for (const fourth of edges) yield Uint8Array.of(lead, second, third, fourth);
      }
    }
  }
}

Deno.test("a character is well-formed where a decoder says so, and its length is that of its bytes", () => {
  for (const bytes of sequences()) {
    const length = characterLength(bytes, 0);
    const fits = isDecodable(bytes) && [...decoder.decode(bytes)].length === 1;
    assert.equal(length === bytes.length, fits, bytes.toHex());
    const between = Uint8Array.of(0xff, ...bytes, 0x80);
    assert.equal(isWellFormed(between, { from: 1, end: 1 + bytes.length }), malformedAt(bytes) < 0);
    assert.equal(malformedAt(bytes) === -1, isDecodable(bytes), bytes.toHex());
  }
});

Deno.test("a character that is cut off is told from one that can be none", () => {
  for (const text of ["é", "€", "퟿", "\u{10ffff}"]) {
    const bytes = new TextEncoder().encode(text);
    for (let end = 1; end < bytes.length; end++) {
      assert.equal(characterLength(bytes.subarray(0, end), 0), -1, text);
      assert.equal(wholeCharacters(Uint8Array.of(0x61, ...bytes.subarray(0, end))), 1, text);
    }
    assert.equal(wholeCharacters(Uint8Array.of(0x61, ...bytes)), 1 + bytes.length);
  }
  for (const hex of ["c0", "c1", "e09f", "eda0", "f08f", "f490", "f5", "80"]) {
    assert.equal(characterLength(Uint8Array.fromHex(hex), 0), 0, hex);
  }
});

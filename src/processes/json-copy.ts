/** The copy of a line that is being shortened. Copies texts in their JSON form, up to a limit. */

/** The bytes of JSON's syntax. */
export const Byte = {
  quote: 0x22,
  comma: 0x2c,
  colon: 0x3a,
  openArray: 0x5b,
  backslash: 0x5c,
  closeArray: 0x5d,
  lowerU: 0x75,
  openObject: 0x7b,
  closeObject: 0x7d,
} as const;

export const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x09 || byte === 0x0d;

/** A byte of a text that is neither its end nor part of an escape. */
export const isPlain = (byte: number): boolean =>
  byte !== Byte.quote && byte !== Byte.backslash && byte >= 0x20;

/** A byte of a number, `true`, `false` or `null`. The parser of the line checks the rest. */
export const isScalar = (byte: number): boolean =>
  (byte >= 0x30 && byte <= 0x39) ||
  (byte >= 0x61 && byte <= 0x7a) ||
  byte === 0x2b ||
  byte === 0x2d ||
  byte === 0x2e ||
  byte === 0x45;

export const isOpening = (byte: number): boolean => byte === Byte.openArray || byte === Byte.openObject;
export const isClosing = (byte: number): boolean => byte === Byte.closeArray || byte === Byte.closeObject;

const FIRST_BYTES = 64 * 1024;
/** A cut may drop this many bytes more, so that no character and no surrogate pair is split. */
const SLACK = 16;

export class JsonCopy {
  readonly #maxTextBytes: number;
  #out = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #length = 0;

  // The text that is being read:
  #copying = false;
  #wasCut = false;
  #ended = true;
  #limit = 0;
  #textBytes = 0;
  #escape: number[] = [];
  /** The length of the copy before the first half of a surrogate pair at its end, or -1. */
  #halfPairAt = -1;

  /** @param maxTextBytes a text keeps at least this much UTF-8, if its limit allows */
  constructor(maxTextBytes: number) {
    this.#maxTextBytes = maxTextBytes + SLACK;
  }

  get length(): number {
    return this.#length;
  }
  /** Whether the last text was read to its end. */
  get textEnded(): boolean {
    return this.#ended;
  }
  /** Whether the end of the last text is missing in the copy. */
  get textWasCut(): boolean {
    return this.#wasCut;
  }

  slice(start: number, end: number): string {
    return this.#out.toString('utf8', start, end);
  }

  shrink(length: number): void {
    this.#length = length;
  }

  put(byte: number): void {
    if (this.#length === this.#out.length) this.#grow(1);
    this.#out[this.#length] = byte;
    this.#length += 1;
  }

  /** @param limit the length of the copy at which the text is cut. null: it is not copied. */
  beginText(limit: number | null): void {
    this.#copying = limit !== null;
    this.#wasCut = false;
    this.#ended = false;
    this.#limit = limit ?? 0;
    this.#textBytes = 0;
    this.#halfPairAt = -1;
    if (this.#copying) this.put(Byte.quote);
  }

  /** Returns how far it read. -1: the bytes are not a valid text. */
  readText(bytes: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end && this.#escape.length > 0) {
      this.#readEscape(bytes[at] ?? 0);
      at += 1;
    }
    const from = at;
    while (at < end && isPlain(bytes[at] ?? 0)) at += 1;
    if (this.#copying && at > from) this.#append(bytes, from, at);
    if (at === end) return end;
    if (bytes[at] === Byte.quote) this.#endText();
    else if (bytes[at] === Byte.backslash) this.#escape.push(Byte.backslash);
    else return -1;
    return at + 1;
  }

  #endText(): void {
    this.#ended = true;
    if (this.#copying || this.#wasCut) this.put(Byte.quote);
  }

  #append(bytes: Buffer, start: number, end: number): void {
    const room = Math.floor(Math.min(this.#limit - this.#length, this.#maxTextBytes - this.#textBytes));
    const taken = Math.max(0, Math.min(room, end - start));
    if (taken > 0) {
      if (this.#length + taken > this.#out.length) this.#grow(taken);
      bytes.copy(this.#out, this.#length, start, start + taken);
      this.#length += taken;
      this.#textBytes += taken;
      this.#halfPairAt = -1;
    }
    if (taken === end - start) return;
    this.#length = characterBoundary(this.#out, this.#length, bytes[start + taken]);
    this.#cut();
  }

  #readEscape(byte: number): void {
    const unit = this.#escape;
    unit.push(byte);
    const isUnicode = unit[1] === Byte.lowerU;
    if (isUnicode && unit.length < 6) return;
    this.#escape = [];
    if (!this.#copying) return;
    const code = isUnicode ? Number.parseInt(String.fromCharCode(...unit.slice(2)), 16) : 0;
    const isHalfPair = (code & 0xf800) === 0xd800;
    this.#textBytes += code < 0x80 ? 1 : code < 0x800 || isHalfPair ? 2 : 3;
    if (this.#textBytes > this.#maxTextBytes || this.#length + unit.length > this.#limit) {
      this.#cut();
      return;
    }
    this.#halfPairAt = (code & 0xfc00) === 0xd800 ? this.#length : -1;
    for (const one of unit) this.put(one);
  }

  #cut(): void {
    if (this.#halfPairAt >= 0) this.#length = this.#halfPairAt;
    this.#copying = false;
    this.#wasCut = true;
  }

  #grow(by: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#out.length * 2, this.#length + by));
    this.#out.copy(grown, 0, 0, this.#length);
    this.#out = grown;
  }
}

const isContinuation = (byte: number | undefined): boolean => ((byte ?? 0) & 0xc0) === 0x80;
const isLead = (byte: number | undefined): boolean => ((byte ?? 0) & 0xc0) === 0xc0;

/**
 * Where to cut, at `end` or before, so that no character is split. `next`: the byte after `end`.
 */
export function characterBoundary(bytes: Buffer, end: number, next: number | undefined): number {
  if (!isContinuation(next)) return end;
  let cut = end - 1;
  while (cut > 0 && end - cut < 3 && isContinuation(bytes[cut])) cut -= 1;
  return isLead(bytes[cut]) ? cut : end;
}

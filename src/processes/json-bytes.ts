/** The bytes JSON is written with. */
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

/** Of a text, neither its end nor an escape; a control character is not allowed in one. */
export const isPlain = (byte: number): boolean =>
  byte !== Byte.quote && byte !== Byte.backslash && byte >= 0x20;

/** Of a number, `true`, `false` or `null`; whether it is one, the parser says. */
export const isScalar = (byte: number): boolean =>
  (byte >= 0x30 && byte <= 0x39) ||
  (byte >= 0x61 && byte <= 0x7a) ||
  byte === 0x2b ||
  byte === 0x2d ||
  byte === 0x2e ||
  byte === 0x45;

export const isOpening = (byte: number): boolean => byte === Byte.openArray || byte === Byte.openObject;
export const isClosing = (byte: number): boolean => byte === Byte.closeArray || byte === Byte.closeObject;

/** Random output of a program, as terminals get it. */
const STYLES = ['0', '1', '2', '22', '3', '5', '7', '27', '8', '28', '9', '53', '55'];
const COLOURS = [
  '31',
  '97',
  '39',
  '42',
  '107',
  '49',
  '38;5;200',
  '48;5;17',
  '38;2;1;2;3',
  '48;2;200;100;0',
  '58;5;9',
];
const MODES = ['?1', '?25', '?2004', '?1000', '?1002', '?1003', '?1006', '?1004', '?6', '?45', '4', '?66'];
const WORDS = ['hello', 'wörld', '漢字', '👍', 'e\u0301', 'a', '한글漢', '────', ' ', '\t', 'x'.repeat(30)];

/** One random piece of output. `pick` gives numbers from 0 to 1. */
export function randomPiece(pick: () => number, cols: number, rows: number): string {
  const one = (list: readonly string[]): string => list[Math.floor(pick() * list.length)] ?? '';
  const upTo = (max: number): number => 1 + Math.floor(pick() * max);
  const kinds: readonly (() => string)[] = [
    () => one(WORDS),
    () => one(WORDS),
    () => `${one(WORDS)} ${one(WORDS)}`,
    () => '\r\n',
    () => '\r\n',
    () => one(['\n', '\r', '\b', '\x1bM', '\x1bD', '\x1bE']),
    () => `\x1b[${one(STYLES)}m`,
    () => `\x1b[${one(COLOURS)}m`,
    () => '\x1b[m',
    () => `\x1b[${upTo(rows)};${upTo(cols)}H`,
    () => `\x1b[${upTo(5)}${one(['A', 'B', 'C', 'D', 'G', 'd', 'X', 'P', '@', 'L', 'M', 'S', 'T', 'b'])}`,
    () => `\x1b[${one(['0K', '1K', '2K', 'J', '2J'])}`,
    () => `\x1b[${one(MODES)}${one(['h', 'l', 'l'])}`,
    () => `\r${one(['\x1b[?1049h', '\x1b[?1049l', '\x1b[?47l'])}`,
    () => `\x1b7\x1b[${upTo(rows)};${upTo(cols)}H${one(WORDS)}${one(['\r\n', ''])}\x1b8`,
    () => `\x1b[${upTo(rows)};${upTo(rows)}r`,
    () => one(['\x1b(0lqqk\x1b(B', '\x1b)0\x0emqqj\x0f']),
    () => `\r\x1b[K\x1b[?7l${'no wrap'.repeat(upTo(20))}\x1b[?7h`,
    () => '\x1b[4:3;58;5;9mcurly\x1b[24;59m',
    () => one(['\x1bH', '\x1b[g', '\t']),
    () => one(['\x1b[2 q', '\x1b[5 q', '\x1b[?12l']),
    () =>
      one([
        '\x1b]0;title\x07',
        '\x1b]2;title\x1b\\',
        '\x1bP+q544e\x1b\\',
        '\x1b]8;;https://a.b\x07link\x1b]8;;\x07',
      ]),
    () => one(['\x1b[c', '\x1b[6n', '\x1b[!p']),
    () => 'y\r\n'.repeat(upTo(60)),
    () => 'long '.repeat(upTo(60)),
  ];
  return kinds[Math.floor(pick() * kinds.length)]?.() ?? '';
}
